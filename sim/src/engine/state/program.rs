//! What the process of a container does, worked out from its command line.

use std::time::Duration;

use super::signal;

/// Where output goes; the numbers are those of the frames of `/logs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Stream {
    Stdout = 1,
    Stderr = 2,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) enum Step {
    /// One line, without its newline.
    Print(Stream, String),
    Sleep(Duration),
}

/// What happens after the last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum End {
    Exit(i64),
    /// Serves HTTP on the container's port 80.
    Serve,
    Never,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Program {
    pub(in crate::engine) steps: Vec<Step>,
    pub(in crate::engine) end: End,
}

impl Program {
    fn exit(code: i64) -> Self {
        Self { steps: Vec::new(), end: End::Exit(code) }
    }

    /// Reads a command line. `web` tells whether the image holds a web server.
    ///
    /// # Errors
    /// The name of an executable that the image lacks.
    pub(in crate::engine) fn parse(argv: &[String], web: bool) -> Result<Self, String> {
        let mut argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        if web && argv.first() == Some(&"/docker-entrypoint.sh") {
            argv.remove(0);
        }
        let Some(&path) = argv.first() else {
            return Ok(Self::exit(0));
        };
        match applet(path) {
            "nginx" if web => Ok(Self { steps: Vec::new(), end: End::Serve }),
            "sh" | "ash" => Ok(match argv.get(1..) {
                Some([flag, script, ..]) if *flag == "-c" => shell(script),
                _ => Self::exit(0),
            }),
            _ => {
                let Some((steps, end)) = simple(&argv, Stream::Stdout) else {
                    return Err(path.to_owned());
                };
                Ok(Self { steps, end })
            }
        }
    }

    /// What a signal does to the process: the exit code it ends with, or `None` when it lives on.
    ///
    /// The first process of a container has no default handlers, so a program that installs none
    /// survives everything but KILL. `init` is a small init in front of it that passes signals on
    /// to a program which is not the first process any more.
    pub(in crate::engine) fn on_signal(&self, signal: u8, init: bool) -> Option<i64> {
        if signal == signal::KILL {
            return Some(128 + i64::from(signal));
        }
        if self.end == End::Serve {
            return signal::ends_nginx(signal).then_some(0);
        }
        (init && signal::is_fatal(signal)).then_some(128 + i64::from(signal))
    }
}

/// The name of an executable without its directory.
fn applet(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A command without a shell around it; `None` when there is no such executable.
fn simple(argv: &[&str], to: Stream) -> Option<(Vec<Step>, End)> {
    let (path, args) = argv.split_first()?;
    Some(match applet(path) {
        "true" => (Vec::new(), End::Exit(0)),
        "false" => (Vec::new(), End::Exit(1)),
        "echo" => {
            let words = if args.first() == Some(&"-n") { &args[1..] } else { args };
            (vec![Step::Print(to, words.join(" "))], End::Exit(0))
        }
        "sleep" => sleep(args),
        _ => return None,
    })
}

fn sleep(args: &[&str]) -> (Vec<Step>, End) {
    let complain = |text: String| (vec![Step::Print(Stream::Stderr, text)], End::Exit(1));
    if args.is_empty() {
        return complain("sleep: missing operand".into());
    }
    let mut total = 0.0;
    for arg in args {
        match seconds(arg) {
            Some(seconds) => total += seconds,
            None => return complain(format!("sleep: invalid number '{arg}'")),
        }
    }
    match Duration::try_from_secs_f64(total) {
        Ok(duration) => (vec![Step::Sleep(duration)], End::Exit(0)),
        Err(_) => (Vec::new(), End::Never),
    }
}

/// Reads `1.5h`, `infinity` and the like; `None` for anything that is not a duration.
fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = match text.as_bytes().last()? {
        b's' => (&text[..text.len() - 1], 1.0),
        b'm' => (&text[..text.len() - 1], 60.0),
        b'h' => (&text[..text.len() - 1], 3600.0),
        b'd' => (&text[..text.len() - 1], 86400.0),
        _ => (text, 1.0),
    };
    let number: f64 = number.parse().ok()?;
    (number >= 0.0).then_some(number * unit)
}

/// A script of simple commands in a row. What it cannot do it says as a shell would, with 127.
fn shell(script: &str) -> Program {
    let mut steps = Vec::new();
    let mut status = 0;
    for Command { words, only_after_success, to_stderr } in commands(script) {
        if only_after_success && status != 0 {
            continue;
        }
        let argv: Vec<&str> = words.iter().map(String::as_str).collect();
        if argv.first() == Some(&"exit") {
            status = argv.get(1).and_then(|code| code.parse().ok()).unwrap_or(status);
            return Program { steps, end: End::Exit(status & 0xff) };
        }
        let to = if to_stderr { Stream::Stderr } else { Stream::Stdout };
        match simple(&argv, to) {
            Some((more, End::Exit(code))) => {
                steps.extend(more);
                status = code;
            }
            Some((more, end)) => {
                steps.extend(more);
                return Program { steps, end };
            }
            None => {
                let name = argv.first().copied().unwrap_or_default();
                steps.push(Step::Print(Stream::Stderr, format!("sh: {name}: not found")));
                status = 127;
            }
        }
    }
    Program { steps, end: End::Exit(status) }
}

#[derive(Default)]
struct Command {
    words: Vec<String>,
    only_after_success: bool,
    to_stderr: bool,
}

/// Splits a script at `;`, newlines and `&&`, and its commands into words, honouring quotes.
fn commands(script: &str) -> Vec<Command> {
    let mut commands = vec![Command::default()];
    let mut word: Option<String> = None;
    // A closing separator, so that the last word ends like the others.
    let mut chars = script.chars().chain(std::iter::once(';')).peekable();
    while let Some(c) = chars.next() {
        let ends = c.is_whitespace() || c == ';' || (c == '&' && chars.peek() == Some(&'&'));
        if !ends {
            let word = word.get_or_insert_default();
            match c {
                '\'' | '"' => word.extend(chars.by_ref().take_while(|inner| *inner != c)),
                c => word.push(c),
            }
            continue;
        }
        let current = commands.last_mut().expect("it starts with one and never shrinks");
        match word.take() {
            Some(redirect) if redirect == ">&2" || redirect == "1>&2" => current.to_stderr = true,
            Some(finished) => current.words.push(finished),
            None => {}
        }
        if c == ';' || c == '\n' {
            commands.push(Command::default());
        } else if c == '&' {
            chars.next();
            commands.push(Command { only_after_success: true, ..Command::default() });
        }
    }
    commands.retain(|command| !command.words.is_empty());
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Program, String> {
        let argv: Vec<String> = line.split(' ').map(Into::into).collect();
        Program::parse(&argv, false)
    }

    fn sh(script: &str) -> Program {
        Program::parse(&["sh".into(), "-c".into(), script.into()], false).unwrap()
    }

    #[test]
    fn sleep_adds_its_arguments_up() {
        let sleeps = |line: &str| match &parse(line).unwrap().steps[..] {
            [Step::Sleep(duration)] => duration.as_millis(),
            other => panic!("{other:?}"),
        };
        assert_eq!(sleeps("sleep 5"), 5_000);
        assert_eq!(sleeps("/bin/sleep 1.5m"), 90_000);
        assert_eq!(sleeps("sleep 1d 1h 1s"), 90_001_000);
        assert_eq!(parse("sleep infinity").unwrap().end, End::Never);
        let wrong = parse("sleep x").unwrap();
        let text = "sleep: invalid number 'x'".to_owned();
        assert_eq!(wrong.steps, [Step::Print(Stream::Stderr, text)]);
        assert_eq!(wrong.end, End::Exit(1));
    }

    #[test]
    fn a_script_runs_until_it_exits() {
        let program = sh("echo 'a  b' c; echo bad >&2 && sleep 2;exit 3; echo never");
        assert_eq!(
            program.steps,
            [
                Step::Print(Stream::Stdout, "a  b c".into()),
                Step::Print(Stream::Stderr, "bad".into()),
                Step::Sleep(Duration::from_secs(2)),
            ]
        );
        assert_eq!(program.end, End::Exit(3));
        assert_eq!(sh("false && echo no"), Program::exit(1));
        assert_eq!(sh("false; true").end, End::Exit(0));
        assert_eq!(sh("exit 256").end, End::Exit(0));
    }

    #[test]
    fn a_shell_says_what_it_does_not_know() {
        let program = sh("curl x; echo on");
        assert_eq!(program.steps[0], Step::Print(Stream::Stderr, "sh: curl: not found".into()));
        assert_eq!(sh("curl x").end, End::Exit(127));
        assert_eq!(parse("curl x"), Err("curl".into()));
        assert_eq!(parse("nginx"), Err("nginx".into()), "only the web image has one");
    }

    #[test]
    fn the_first_process_ignores_what_it_does_not_handle() {
        let sleep = parse("sleep 1d").unwrap();
        assert_eq!(sleep.on_signal(signal::TERM, false), None);
        assert_eq!(sleep.on_signal(signal::TERM, true), Some(143));
        assert_eq!(sleep.on_signal(28, true), None, "a new window size kills nobody");
        assert_eq!(sleep.on_signal(signal::KILL, false), Some(137));
        let argv = ["/docker-entrypoint.sh".into(), "nginx".into()];
        let nginx = Program::parse(&argv, true).unwrap();
        assert_eq!(nginx.on_signal(signal::QUIT, false), Some(0));
        assert_eq!(nginx.on_signal(1, false), None);
    }
}

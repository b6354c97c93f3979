//! `lab env`: the words that make a shell's docker command talk to a cluster that is up.
//!
//! The lab itself talks to the engine that the cluster runs on, which is what the shell's variables
//! named before: they are saved under other names, and [`restore`] takes them from there, so that
//! `lab ps` and `lab down` go on to work in that shell.

use std::env;
use std::sync::OnceLock;

use super::Exit;
use crate::world::docker::standing;

/// What the docker command reads, and the names under which a shell keeps what was there before.
/// The first is always kept: empty means that the command's own default was in use.
const VARIABLES: [(&str, &str); 3] = [
    ("DOCKER_HOST", "LAB_DOCKER_HOST"),
    ("DOCKER_TLS_VERIFY", "LAB_DOCKER_TLS_VERIFY"),
    ("DOCKER_CERT_PATH", "LAB_DOCKER_CERT_PATH"),
];

/// What the shell has in these variables.
static SHELL: OnceLock<[(&str, Option<String>); 3]> = OnceLock::new();

/// Arguments of `lab env`.
#[derive(clap::Args)]
pub struct Args {
    /// The scenario's name, or the run's; without, the only cluster that is up
    name: Option<String>,
    /// Prints what takes it back instead
    #[arg(long, conflicts_with = "name")]
    unset: bool,
}

/// Prints lines for `eval "$(lab env)"`.
pub fn run(args: &Args) -> Exit {
    let before = |key: &str| env::var(key).ok();
    if args.unset {
        println!("{}", unset(before));
        return Exit::Passed;
    }
    super::docker_verb(async {
        let standing = standing::find(args.name.as_deref()).await?;
        let endpoint = standing.endpoint().ok_or_else(|| {
            let what = format!("{} has no manager to talk to", standing.title());
            crate::world::WorldError::new(what, "its engines are at the addresses of `lab ps`")
        })?;
        Ok(set(before, endpoint, standing.certs()))
    })
}

/// Gives this process the variables that its shell had before `lab env`, if it had.
///
/// # Safety
/// No other thread runs yet.
pub unsafe fn restore() {
    let now = VARIABLES.map(|(key, _)| (key, env::var(key).ok().filter(|value| !value.is_empty())));
    let _ = SHELL.set(now);
    if !is_set() {
        return;
    }
    for (key, saved) in VARIABLES {
        match env::var_os(saved).filter(|value| !value.is_empty()) {
            // SAFETY: the caller's promise.
            Some(value) => unsafe { env::set_var(key, value) },
            // SAFETY: the same.
            None => unsafe { env::remove_var(key) },
        }
    }
}

/// A variable of the docker command as this process's shell has it, whatever [`restore`] did.
pub(super) fn from_shell(key: &str) -> Option<String> {
    SHELL.get().into_iter().flatten().find(|(known, _)| *known == key)?.1.clone()
}

/// Whether this process comes from a shell that evaluated `lab env`.
pub fn is_set() -> bool {
    env::var_os(VARIABLES[0].1).is_some()
}

/// The lines for a shell whose variables are `before`. With `certs`, the manager speaks TLS.
fn set(before: impl Fn(&str) -> Option<String>, endpoint: &str, certs: Option<&str>) -> String {
    let mut lines = Lines::default();
    for (key, saved) in VARIABLES {
        match before(key) {
            Some(value) => lines.export(saved, &value),
            None if saved == VARIABLES[0].1 => lines.export(saved, ""),
            None => lines.unset.push(saved),
        }
    }
    lines.export("DOCKER_HOST", endpoint);
    match certs {
        Some(certs) => {
            lines.export("DOCKER_TLS_VERIFY", "1");
            lines.export("DOCKER_CERT_PATH", certs);
        }
        None => lines.unset.extend(["DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"]),
    }
    lines.script()
}

/// The lines that take it back.
fn unset(before: impl Fn(&str) -> Option<String>) -> String {
    let mut lines = Lines::default();
    for (key, saved) in VARIABLES {
        match before(key) {
            Some(value) => lines.export(key, &value),
            None => lines.unset.push(key),
        }
        lines.unset.push(saved);
    }
    lines.script()
}

#[derive(Default)]
struct Lines {
    exports: Vec<String>,
    unset: Vec<&'static str>,
}

impl Lines {
    fn export(&mut self, key: &str, value: &str) {
        self.exports.push(format!("export {key}={};", quoted(value)));
    }

    /// Each line ends with a semicolon: it works without quotes around `$(lab env)` too.
    fn script(mut self) -> String {
        if !self.unset.is_empty() {
            self.exports.push(format!("unset {};", self.unset.join(" ")));
        }
        self.exports.join("\n")
    }
}

/// A value as a word of the shell.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:._-".contains(c);
    if value.chars().all(plain) {
        value.into()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: &str = "tcp://10.100.199.200:2375";

    /// What a shell with `given` has after it has evaluated `script`.
    fn evaluated(script: &str, given: &[(&str, &str)]) -> Vec<String> {
        let shell = format!("{script}\nenv");
        let mut command = std::process::Command::new("sh");
        command.args(["-euc", &shell]).env_clear().envs(given.iter().copied());
        let output = command.output().expect("there is a shell");
        assert!(output.status.success(), "{script}");
        let text = String::from_utf8(output.stdout).expect("the variables are text");
        let mut lines: Vec<_> =
            text.lines().filter(|line| line.contains("DOCKER_")).map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[test]
    fn a_shell_is_pointed_at_the_manager_and_back() {
        let script = set(|_| None, ENDPOINT, None);
        let expected = ["DOCKER_HOST=tcp://10.100.199.200:2375", "LAB_DOCKER_HOST="];
        assert_eq!(evaluated(&script, &[("DOCKER_TLS_VERIFY", "1")]), expected);
        assert!(evaluated(&unset(|_| None), &[("DOCKER_HOST", ENDPOINT)]).is_empty());
    }

    #[test]
    fn what_was_there_before_comes_back() {
        let given = [("DOCKER_HOST", "tcp://o'ne:1"), ("DOCKER_CERT_PATH", "/my certs")];
        let before = |key: &str| {
            given.iter().find(|(given, _)| *given == key).map(|(_, value)| (*value).to_owned())
        };
        assert_eq!(
            evaluated(&set(before, ENDPOINT, Some("/a b")), &given),
            [
                "DOCKER_CERT_PATH=/a b",
                "DOCKER_HOST=tcp://10.100.199.200:2375",
                "DOCKER_TLS_VERIFY=1",
                "LAB_DOCKER_CERT_PATH=/my certs",
                "LAB_DOCKER_HOST=tcp://o'ne:1",
            ]
        );
        let saved = [("LAB_DOCKER_HOST", "x"), ("DOCKER_TLS_VERIFY", "1")];
        let expected = ["DOCKER_CERT_PATH=/my certs", "DOCKER_HOST=tcp://o'ne:1"];
        assert_eq!(evaluated(&unset(before), &saved), expected);
    }

    #[test]
    fn the_lines_are_what_a_person_would_type() {
        assert_eq!(
            set(|_| None, ENDPOINT, None),
            "export LAB_DOCKER_HOST=;\n\
             export DOCKER_HOST=tcp://10.100.199.200:2375;\n\
             unset LAB_DOCKER_TLS_VERIFY LAB_DOCKER_CERT_PATH DOCKER_TLS_VERIFY DOCKER_CERT_PATH;"
        );
    }
}

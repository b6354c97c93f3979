//! The command line: `manage`, `join`, `list`, `create`.
//!
//! Flags, variables, defaults, the order of the checks and their texts are the classic manager's.
//! Nothing here reads the process's own state: the binary, the lab's hidden subcommand and the
//! simulator all call [`run`] with an [`Environment`] of their making.

mod create;
mod duration;
mod grammar;
mod help;
mod join;
mod list;
mod manage;
mod process;
mod values;

use std::sync::Arc;

use crate::ctx::{Ctx, Level, Log, Record};
use crate::manager::Manager;

use grammar::{Misuse, Parsed};
use help::Command;
pub use process::process;

/// The version of this manager, as `X.Y.Z`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Takes pieces of output as they are, line ends included.
pub type Sink = Arc<dyn Fn(&str) + Send + Sync>;

/// Tells the value of an environment variable, if it is set.
pub type Vars = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Meets a manager that has been made.
pub type Meet = Box<dyn Fn(&Arc<Manager>) + Send + Sync>;

/// What a command line runs in.
pub struct Environment {
    /// The program's name as shown in texts: the base name of `argv[0]`.
    pub program: String,
    /// Environment variables by name.
    pub vars: Vars,
    /// Standard output.
    pub out: Sink,
    /// Standard error.
    pub err: Sink,
    /// Is given the manager as soon as there is one: whoever runs it in a process of its own can ask
    /// it what no client can.
    pub manager: Meet,
    /// The world. Its log takes every level: the command line filters.
    pub ctx: Ctx,
}

impl Environment {
    fn var(&self, name: &str) -> Option<String> {
        (self.vars)(name)
    }

    /// A line on standard error in the form of Go's own logger, which `list` and `create` use.
    fn plain_log(&self, text: &str) {
        let time = self.ctx.now().strftime("%Y/%m/%d %H:%M:%S");
        (self.err)(&format!("{time} {text}\n"));
    }
}

const COMMANDS: [Command; 5] =
    [create::COMMAND, list::COMMAND, manage::COMMAND, join::COMMAND, HELP_COMMAND];

const HELP_COMMAND: Command = Command {
    name: "help",
    alias: "h",
    usage: "Shows a list of commands or help for one command",
    arguments: "[command]",
    flags: &[],
};

/// Runs the command line `args` (without the program's name) to its end and returns the exit code.
///
/// `manage` and `join` end only when they cannot start; drop the future to stop them.
pub async fn run(env: Environment, args: Vec<String>) -> i32 {
    let env = &env;
    let var = |name: &str| env.var(name);
    let parsed = match grammar::parse(&help::GLOBAL_FLAGS, &args, &var) {
        Ok(parsed) => parsed,
        Err(misuse) => return misused(env, &misuse, &program_help(env)),
    };
    if parsed.switch("help") {
        (env.out)(&program_help(env));
        return 0;
    }
    if parsed.switch("version") {
        (env.out)(&format!("{} version {VERSION}\n", env.program));
        return 0;
    }
    let level = match log_level(&parsed) {
        Ok(level) => level,
        Err(message) => return fatal(&env.ctx, &message),
    };
    let mut ctx = env.ctx.clone();
    ctx.log = Arc::new(Threshold { level, inner: Arc::clone(&env.ctx.log) });
    match parsed.positional.split_first() {
        None => {
            (env.out)(&program_help(env));
            0
        }
        Some((name, rest)) => command(env, &ctx, &parsed, name, rest).await,
    }
}

async fn command(
    env: &Environment,
    ctx: &Ctx,
    global: &Parsed,
    name: &str,
    args: &[String],
) -> i32 {
    let Some(command) = find(name) else { return no_topic(env, name) };
    let help = help::of_command(&env.program, command);
    let flags = command.flags;
    let parsed = match grammar::parse_command(flags, args, &|name| env.var(name)) {
        Ok(parsed) => parsed,
        Err(misuse) => return misused(env, &misuse, &help),
    };
    if parsed.switch("help") {
        (env.out)(&help);
        return 0;
    }
    match command.name {
        "manage" => match manage::run(env, ctx, global, &parsed).await {
            Ok(never) => match never {},
            Err(message) => fatal(ctx, &message),
        },
        "join" => match join::run(env, ctx, &parsed).await {
            Ok(never) => match never {},
            Err(message) => fatal(ctx, &message),
        },
        "list" => plainly(env, list::run(env, ctx, &parsed).await),
        "create" => plainly(env, create::run(env, &parsed)),
        _ => {
            let Some(topic) = parsed.positional.first() else {
                (env.out)(&program_help(env));
                return 0;
            };
            let Some(command) = find(topic) else { return no_topic(env, topic) };
            (env.out)(&help::of_command(&env.program, command));
            0
        }
    }
}

fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name || command.alias == name)
}

fn no_topic(env: &Environment, topic: &str) -> i32 {
    (env.out)(&format!("No help topic for '{topic}'\n"));
    0
}

fn program_help(env: &Environment) -> String {
    help::of_program(&env.program, VERSION, &COMMANDS)
}

/// Help with what was wrong, and a last line that names it.
fn misused(env: &Environment, misuse: &Misuse, help: &str) -> i32 {
    let headline = if misuse.announced { "Incorrect Usage." } else { &misuse.message };
    (env.out)(&format!("{headline}\n\n{help}\n"));
    fatal(&env.ctx, &misuse.message)
}

fn fatal(ctx: &Ctx, message: &str) -> i32 {
    ctx.log(Level::Fatal, message);
    1
}

fn plainly(env: &Environment, result: Result<(), String>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(message) => {
            env.plain_log(&message);
            1
        }
    }
}

fn log_level(parsed: &Parsed) -> Result<Level, String> {
    let level = parsed.text("log-level").parse()?;
    let explicit = parsed.is_set("log-level");
    Ok(if parsed.switch("debug") && !explicit { Level::Debug } else { level })
}

/// Lets records of a level and above pass.
struct Threshold {
    level: Level,
    inner: Arc<dyn Log>,
}

impl Log for Threshold {
    fn write(&self, record: &Record) {
        if record.level <= self.level {
            self.inner.write(record);
        }
    }
}

#[cfg(test)]
mod tests;

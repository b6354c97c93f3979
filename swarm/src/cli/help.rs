//! What the program says of itself.

use std::fmt::Write as _;

use super::grammar::{Flag, HELP, Kind};

/// A command of the program.
#[derive(Debug)]
pub(super) struct Command {
    pub name: &'static str,
    /// Its one-letter form.
    pub alias: &'static str,
    /// One line.
    pub usage: &'static str,
    /// What follows the options in the usage line.
    pub arguments: &'static str,
    pub flags: &'static [Flag],
}

/// Flags before the command.
pub(super) const GLOBAL_FLAGS: [Flag; 5] = [
    Flag::switch(&["debug"], "debug mode").or_env("DEBUG"),
    Flag::text(
        &["log-level", "l"],
        "info",
        "Log level (options: debug, info, warn, error, fatal, panic)",
    ),
    Flag::switch(&["experimental"], "enable experimental features"),
    HELP,
    Flag::switch(&["version", "v"], "print the version"),
];

/// The explanation of `<discovery>` that every command using it shows.
const DISCOVERY: &str = "\
Arguments:
   <discovery>    discovery service to use [$SWARM_DISCOVERY]
                   * token://<token>
                   * consul://<ip>/<path>
                   * etcd://<ip1>,<ip2>/<path>
                   * file://path/to/file
                   * zk://<ip1>,<ip2>/<path>
                   * [nodes://]<ip1>,<ip2>

";

/// The help of the program.
pub(super) fn of_program(program: &str, version: &str, commands: &[Command]) -> String {
    let mut text = format!(
        "Usage: {program} [OPTIONS] COMMAND [arg...]\n\nA Docker-native clustering system\n\n\
         Version: {version}\n\nOptions:\n"
    );
    write_flags(&mut text, "  ", &GLOBAL_FLAGS);
    text.push_str("\nCommands:\n");
    for command in commands {
        let names = format!("{}, {}", command.name, command.alias);
        let _ = writeln!(text, "  {names:<11} {}", command.usage);
    }
    let _ = writeln!(text, "\nRun '{program} COMMAND --help' for more information on a command.");
    text
}

/// The help of one command.
pub(super) fn of_command(program: &str, command: &Command) -> String {
    let mut text = format!("Usage: {program} {}", command.name);
    if !command.flags.is_empty() {
        text.push_str(" [OPTIONS]");
    }
    if !command.arguments.is_empty() {
        let _ = write!(text, " {}", command.arguments);
    }
    let _ = write!(text, "\n\n{}\n\n", command.usage);
    if command.arguments == "<discovery>" {
        text.push_str(DISCOVERY);
    }
    text.push_str("Options:\n");
    write_flags(&mut text, "   ", command.flags);
    text
}

fn write_flags(text: &mut String, indent: &str, flags: &[Flag]) {
    let names: Vec<String> = flags.iter().map(names_and_value).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    for (flag, names) in flags.iter().zip(&names) {
        let mut lines = flag.usage.lines();
        let _ = write!(text, "{indent}{names:<width$}  {}", lines.next().unwrap_or_default());
        if !flag.env.is_empty() {
            let _ = write!(text, " [${}]", flag.env);
        }
        text.push('\n');
        for line in lines {
            let _ = writeln!(text, "{indent}{:<width$}  {line}", "");
        }
    }
}

/// `--host, -H [--host option --host option]`, `--strategy "spread"`, `--tls`.
fn names_and_value(flag: &Flag) -> String {
    let dashed = |name: &&str| {
        if name.len() == 1 { format!("-{name}") } else { format!("--{name}") }
    };
    let names: Vec<String> = flag.names.iter().map(dashed).collect();
    let first = &names[0];
    let names = names.join(", ");
    match flag.kind {
        Kind::Switch => names,
        Kind::List => format!("{names} [{first} option {first} option]"),
        Kind::Text | Kind::Number if flag.default.is_empty() => names,
        Kind::Text | Kind::Number => format!("{names} \"{}\"", flag.default),
    }
}

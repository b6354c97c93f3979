//! `lab check`: is a run deterministic?

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Exit, Switch};
use crate::scenario;

/// Arguments of `lab check`.
#[derive(clap::Args)]
pub struct Args {
    /// The scenario files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Seed of the simulator
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Sets `cluster.tls` whatever the files say; without, each run of their matrix
    #[arg(long, value_enum)]
    tls: Option<Switch>,
}

/// Runs each file twice, in two processes, and compares the logs.
pub fn run(args: &Args) -> Exit {
    let mut runs = Vec::new();
    for file in &args.files {
        match scenario::load_all(file, &super::overrides(args.tls)) {
            Ok(all) => runs.extend(all.iter().map(|run| (file, run.cluster.tls))),
            Err(report) => {
                eprint!("{}", report.render(super::color()));
                return Exit::Invalid;
            }
        }
    }
    for (file, tls) in runs {
        match check(file, args.seed, tls) {
            Ok(None) => {}
            Ok(Some(difference)) => {
                println!("{}: not deterministic\n{difference}", file.display());
                return Exit::NotDeterministic;
            }
            Err(why) => {
                eprintln!("error: {why}");
                return Exit::Environment;
            }
        }
    }
    Exit::Passed
}

/// `None` when both runs wrote the same bytes, else the first line that differs, from both.
fn check(file: &PathBuf, seed: u64, tls: bool) -> Result<Option<String>, String> {
    let exe = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let dir = std::env::temp_dir().join(format!("lab-check-{}", std::process::id()));
    fs::create_dir_all(&dir).map_err(|e| format!("cannot make {}: {e}", dir.display()))?;
    let logs = ["a", "b"].map(|name| dir.join(name).with_extension("jsonl"));
    let mut codes = Vec::new();
    for log in &logs {
        let status = Command::new(&exe)
            .arg("run")
            .arg(file)
            .args(["--tls", if tls { "on" } else { "off" }])
            .args(["--seed", &seed.to_string(), "--log"])
            .arg(log)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|e| format!("cannot run {}: {e}", exe.display()))?;
        codes.push(status.code());
    }
    let texts = logs.clone().map(|log| read(&log));
    let _ = fs::remove_dir_all(&dir);
    let [a, b] = texts;
    let (a, b) = (a?, b?);
    if a != b {
        return Ok(Some(first_difference(&a, &b)));
    }
    let verdict = if codes[0] == Some(0) { "passed" } else { "failed" };
    println!(
        "{}: seed {seed}, tls {}: two runs, byte-identical logs ({} events, both {verdict})",
        file.display(),
        if tls { "on" } else { "off" },
        a.lines().count().saturating_sub(1),
    );
    Ok(None)
}

#[expect(clippy::disallowed_methods, reason = "the lab reads its own log, outside any world")]
fn read(log: &PathBuf) -> Result<String, String> {
    fs::read_to_string(log).map_err(|e| format!("the run wrote no log: {}: {e}", log.display()))
}

/// The first event that differs, named by its number, from both logs.
fn first_difference(a: &str, b: &str) -> String {
    let (mut left, mut right) = (a.lines(), b.lines());
    let mut number = 0;
    loop {
        let (x, y) = (left.next(), right.next());
        if x != y {
            let show = |line: Option<&str>| line.unwrap_or("(the log ends)").to_owned();
            return format!("  event {number}\n  first:  {}\n  second: {}", show(x), show(y));
        }
        if x.is_none() {
            return "  the logs differ only in how they end".to_owned();
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_that_differs_is_named() {
        assert_eq!(first_difference("h\na\nb", "h\na\nc"), "  event 2\n  first:  b\n  second: c");
        assert!(first_difference("h\na", "h").contains("second: (the log ends)"));
    }
}

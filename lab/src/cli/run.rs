//! `lab run`: replays scenarios and checks what they expect.

use std::fs::File;
use std::io::BufWriter;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Exit, On, Switch, sweep};
use crate::event::{self, Lines, SharedSink, Tee};
use crate::replay::{self, Ended, Keep, Options};
use crate::report::terminal::{Style, Terminal};
use crate::report::{count, human};
use crate::runner::Outcome;
use crate::scenario::{self, Overrides, Scenario};

/// Arguments of `lab run`.
#[derive(clap::Args)]
pub struct Args {
    /// The scenario files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The world to replay them in
    #[arg(long, value_enum, default_value = "sim")]
    on: On,
    /// Seed of the simulator: same seed, same run
    #[arg(long, default_value_t = 1, conflicts_with = "seeds")]
    seed: u64,
    /// Replays with each seed from A to B, both included, and prints only what fails
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    seeds: Option<RangeInclusive<u64>>,
    /// Sets `cluster.tls` whatever the files say; without, each run of their matrix
    #[arg(long, value_enum)]
    tls: Option<Switch>,
    /// Writes the event log to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Stops after this step (counted from 1)
    #[arg(long, value_name = "N")]
    until: Option<usize>,
    /// Leaves the docker cluster running and prints how to reach it
    #[arg(long)]
    keep: bool,
    /// A static binary with the classic command line to run as manager instead of ours (docker)
    #[arg(long, value_name = "PATH")]
    manager: Option<PathBuf>,
}

/// Reads `A..B`.
fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let parse = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is not a seed"));
    let (from, to) = text.split_once("..").ok_or("a range of seeds looks like 1..100")?;
    let (from, to) = (parse(from)?, parse(to.trim_start_matches('='))?);
    if from > to {
        return Err(format!("the range {from}..{to} is empty"));
    }
    Ok(from..=to)
}

/// What the arguments ask for that makes no sense together.
fn contradiction(args: &Args) -> Option<&'static str> {
    let docker = args.on == On::Docker;
    let many = args.files.len() > 1 || args.seeds.is_some();
    if many && args.log.is_some() {
        return Some("--log takes one run: give one file and one seed");
    }
    if docker && args.seeds.is_some() {
        return Some("--seeds is for the simulator: real engines have no seed");
    }
    if !docker && args.keep {
        return Some("--keep is for `--on docker`: a simulated cluster ends with the command");
    }
    if !docker && args.manager.is_some() {
        return Some("--manager is for `--on docker`: the simulator runs our own manager");
    }
    if args.keep && args.files.len() > 1 {
        return Some("--keep takes one scenario");
    }
    None
}

/// Replays every file. All are read first: nothing starts while one of them is wrong.
pub fn run(args: &Args) -> Exit {
    if let Some(why) = contradiction(args) {
        eprintln!("error: {why}");
        return Exit::Usage;
    }
    let mut scenarios = Vec::new();
    let mut invalid = false;
    for file in &args.files {
        match scenario::load_all(file, &super::overrides(args.tls)) {
            Ok(runs) => scenarios.extend(runs.into_iter().map(Arc::new)),
            Err(report) => {
                eprint!("{}", report.render(super::color()));
                invalid = true;
            }
        }
    }
    if invalid {
        return Exit::Invalid;
    }
    if scenarios.len() > 1 && (args.log.is_some() || args.keep) {
        eprintln!(
            "error: --log and --keep take one run: the matrix has several, choose with --tls"
        );
        return Exit::Usage;
    }
    let mut worst = Exit::Passed;
    for scenario in scenarios {
        let exit = match &args.seeds {
            Some(seeds) => sweep(args, &scenario, seeds.clone()),
            None => one(args, &scenario),
        };
        if exit as i32 > worst as i32 {
            worst = exit;
        }
        if worst == Exit::Interrupted {
            break;
        }
    }
    worst
}

fn options(args: &Args, seed: u64) -> Options {
    Options {
        docker: args.on == On::Docker,
        seed,
        until: args.until,
        explain: None,
        keep: if args.keep { Keep::Always } else { Keep::Never },
        manager: args.manager.clone(),
    }
}

/// One scenario, once, with its report on standard output.
fn one(args: &Args, scenario: &Arc<Scenario>) -> Exit {
    let color = super::color();
    let style = Style { color, live: color && args.on == On::Docker };
    let terminal = Arc::new(Terminal::new(Box::new(std::io::stdout()), style));
    let mut sinks: Vec<SharedSink> = Vec::new();
    if let Some(path) = &args.log {
        match File::create(path).and_then(|file| Lines::new(Box::new(BufWriter::new(file)))) {
            Ok(lines) => sinks.push(Arc::new(lines)),
            Err(e) => {
                eprintln!("error: cannot write the log {}: {e}", path.display());
                return Exit::Environment;
            }
        }
    }
    sinks.push(Arc::clone(&terminal) as SharedSink);
    let memory = Arc::new(event::Memory::default());
    sinks.push(Arc::clone(&memory) as SharedSink);
    let progress = {
        let terminal = Arc::clone(&terminal);
        move |what: &str| terminal.under_way(what)
    };
    let began = replay::stopwatch();
    let ended = replay::replay(scenario, &options(args, args.seed), Arc::new(Tee(sinks)), progress);
    terminal.idle();
    match ended {
        Ok(outcome) => {
            finish(args, scenario, &terminal, &outcome, &memory.events(), began());
            if outcome.failure.is_some() { Exit::Failed } else { Exit::Passed }
        }
        Err(ended) => report_end(&ended),
    }
}

/// The last lines: what failed and how to replay it, or how much was checked.
fn finish(
    args: &Args,
    scenario: &Scenario,
    terminal: &Terminal,
    outcome: &Outcome,
    events: &[event::Event],
    took: Duration,
) {
    if let Some(failure) = &outcome.failure {
        let mut notes = failure.notes.clone();
        let last = failure.last_events(events, 8);
        if !last.is_empty() {
            notes.push(format!("last events\n{}", last.join("\n")));
        }
        notes.push(format!("replay: {}", replay_command(args, scenario, failure.step)));
        let text = scenario.diagnostic(
            failure.span,
            &failure.title,
            &failure.label,
            &notes,
            super::color(),
        );
        terminal.line(&format!("\n{}", text.trim_end()));
        terminal.line(&format!(
            "\n  failed: {} of {} steps passed",
            outcome.steps,
            scenario.steps.len()
        ));
        return;
    }
    terminal.line(&format!(
        "\n  passed: {}, {}, {}; {} of cluster time in {}",
        count(outcome.steps, "step"),
        count(outcome.expectations, "expectation"),
        count(outcome.invariants, "invariant check"),
        human(outcome.cluster_time),
        precise(took),
    ));
    if let Some(kept) = &outcome.kept {
        terminal.line(&format!("\n{kept}"));
    }
}

/// Wall time: milliseconds where they matter.
fn precise(time: Duration) -> String {
    if time < Duration::from_secs(1) { format!("{} ms", time.as_millis()) } else { human(time) }
}

fn replay_command(args: &Args, scenario: &Scenario, step: usize) -> String {
    let how = match args.on {
        On::Sim => format!("--seed {}", args.seed),
        On::Docker => "--on docker".to_owned(),
    };
    format!("{} {how} --until {step}", command(args, scenario))
}

/// The command that runs the scenario with the settings it has now.
fn command(args: &Args, scenario: &Scenario) -> String {
    let file = scenario.path.display();
    // What the file says anyway need not be said again.
    let matrix = scenario::load_all(&scenario.path, &Overrides::default());
    let alone = matrix.is_ok_and(
        |runs| matches!(runs.as_slice(), [only] if only.cluster.tls == scenario.cluster.tls),
    );
    if args.tls.is_none() && alone {
        return format!("cargo lab run {file}");
    }
    let tls = if scenario.cluster.tls { "on" } else { "off" };
    format!("cargo lab run {file} --tls {tls}")
}

/// Prints why a run came to no verdict.
pub(super) fn report_end(ended: &Ended) -> Exit {
    match ended {
        Ended::Unsupported(report) => {
            eprint!("{}", report.render(super::color()));
            Exit::Invalid
        }
        Ended::World(error) => {
            eprintln!("error: {error}");
            if !error.help.is_empty() {
                eprintln!("  = {}", error.help);
            }
            Exit::Environment
        }
        Ended::Interrupted => {
            eprintln!("interrupted: everything the run had started has been removed");
            Exit::Interrupted
        }
    }
}

/// One scenario with many seeds: two lines for each that fails, then a summary.
fn sweep(args: &Args, scenario: &Arc<Scenario>, seeds: RangeInclusive<u64>) -> Exit {
    let began = replay::stopwatch();
    let (from, to) = (*seeds.start(), *seeds.end());
    let results = sweep::sweep(seeds, |seed| {
        replay::replay(scenario, &options(args, seed), Arc::new(event::Nowhere), |_| {})
    });
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for (seed, result) in results {
        match result {
            Ok(Outcome { failure: None, .. }) => passed += 1,
            Ok(Outcome { failure: Some(failure), .. }) => {
                failed += 1;
                let command = command(args, scenario);
                println!("  ✗ seed {seed}: step {}: {}", failure.step, failure.title);
                println!("    replay: {command} --seed {seed}");
            }
            Err(ended) => return report_end(&ended),
        }
    }
    let tls = if scenario.cluster.tls { "on" } else { "off" };
    println!(
        "{}   tls {tls}   seeds {from} to {to}: {passed} passed, {failed} failed, in {}",
        scenario.name,
        precise(began()),
    );
    if failed > 0 { Exit::Failed } else { Exit::Passed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_seeds() {
        assert_eq!(seeds("1..100"), Ok(1..=100));
        assert_eq!(seeds("7..=7"), Ok(7..=7));
        assert!(seeds("5..1").unwrap_err().contains("empty"));
        assert!(seeds("5").unwrap_err().contains("looks like"));
        assert!(seeds("a..b").unwrap_err().contains("not a seed"));
    }
}

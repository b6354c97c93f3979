//! `lab compare`: did two worlds tell the same story?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Exit, Switch};
use crate::compare::{self, Difference};
use crate::event::{Event, Memory, SharedSink};
use crate::replay::{self, Options};
use crate::scenario::{self, Scenario};

/// Arguments of `lab compare`.
#[derive(clap::Args)]
pub struct Args {
    /// A scenario file, or two logs
    #[arg(required = true, num_args = 1..=2, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Seed of the simulator
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Sets `cluster.tls` whatever the files say; without, each run of their matrix
    #[arg(long, value_enum)]
    tls: Option<Switch>,
}

/// Compares, and prints `same story` or the first difference.
pub fn run(args: &Args) -> Exit {
    match args.files.as_slice() {
        [file] => all_runs(file, args),
        [a, b] => match (read(a), read(b)) {
            (Ok(left), Ok(right)) => {
                verdict(&left, &right, [&a.display().to_string(), &b.display().to_string()])
            }
            (Err(why), _) | (_, Err(why)) => {
                eprintln!("error: {why}");
                Exit::Usage
            }
        },
        _ => Exit::Usage,
    }
}

#[expect(clippy::disallowed_methods, reason = "the lab reads a log of its own, outside any world")]
fn read(path: &Path) -> Result<Vec<Event>, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    compare::read(&text).map_err(|why| {
        format!("{}: {why}; a log is what `lab run --log FILE` writes", path.display())
    })
}

/// Every run of a file, until one is not the same story.
fn all_runs(file: &Path, args: &Args) -> Exit {
    let runs = match scenario::load_all(file, &super::overrides(args.tls)) {
        Ok(runs) => runs,
        Err(report) => {
            eprint!("{}", report.render(super::color()));
            return Exit::Invalid;
        }
    };
    for scenario in runs {
        let exit = both_worlds(&Arc::new(scenario), args.seed);
        if exit != Exit::Passed {
            return exit;
        }
    }
    Exit::Passed
}

/// Replays a scenario in both worlds and compares.
fn both_worlds(scenario: &Arc<Scenario>, seed: u64) -> Exit {
    let mut logs = Vec::new();
    for docker in [false, true] {
        let world = if docker { "docker" } else { "simulator" };
        let memory = Arc::new(Memory::default());
        let options = Options { docker, seed, ..Options::default() };
        let began = replay::stopwatch();
        let sink = Arc::clone(&memory) as SharedSink;
        match replay::replay(scenario, &options, sink, |_| {}) {
            Ok(outcome) => {
                let verdict = match &outcome.failure {
                    None => "passed".to_owned(),
                    Some(failure) => format!("failed at step {}: {}", failure.step, failure.title),
                };
                let took = began().as_secs_f64();
                println!("  {world:<10} {verdict}, {} steps, {took:.2} s", outcome.steps);
            }
            Err(ended) => return super::run::report_end(&ended),
        }
        logs.push(memory.events());
    }
    verdict(&logs[0], &logs[1], ["simulator", "docker"])
}

fn verdict(a: &[Event], b: &[Event], names: [&str; 2]) -> Exit {
    match compare::first_difference(a, b) {
        None => {
            println!("same story: {} points agree", compare::length(a));
            Exit::Passed
        }
        Some(Difference { step, place, told }) => {
            println!("not the same story: step {step}, {place}");
            for (name, told) in names.iter().zip(&told) {
                println!("  {name:<10} {told}");
            }
            Exit::Failed
        }
    }
}

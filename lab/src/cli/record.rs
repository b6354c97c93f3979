//! What `lab run` leaves behind for machines: `--junit FILE` and `--logs DIR`.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use swarm::ctx::{self, Level};

use crate::event::{Event, Lines, SharedSink};
use crate::replay::Ended;
use crate::report::junit::{Case, Suite, Verdict, document, last_step};
use crate::runner::Outcome;
use crate::scenario::Scenario;

/// Takes what runs came to, and writes it in the end.
#[derive(Default)]
pub struct Record {
    suites: Vec<Suite>,
}

/// A suite of a scenario's run, still without its cases.
pub fn suite(name: &str, file: &Path, properties: Vec<(&'static str, String)>) -> Suite {
    let file = ("file", file.display().to_string());
    let properties = properties.into_iter().chain([file]).collect();
    let began = ctx::real::ctx(Level::Error).clock.wall();
    Suite { scenario: name.to_owned(), properties, began, cases: Vec::new() }
}

impl Record {
    /// A run with a verdict; `failure` is what a person was told of it.
    pub fn run(
        &mut self,
        suite: Suite,
        scenario: &Scenario,
        events: &[Event],
        outcome: &Outcome,
        failure: &str,
    ) {
        self.suites.push(suite.of_steps(scenario, events, outcome, failure));
    }

    /// A sweep: its seeds.
    pub fn sweep(&mut self, suite: Suite, cases: Vec<Case>) {
        self.suites.push(Suite { cases, ..suite });
    }

    /// A run without a verdict.
    pub fn ended(&mut self, suite: Suite, events: &[Event], ended: &Ended, skipped: bool) {
        let (line, full) = match ended {
            Ended::Unsupported(report) => {
                let first = report.diagnostics().first();
                (first.map_or_else(String::new, |one| one.title.clone()), report.render(false))
            }
            Ended::World(error) => (error.what.clone(), error.help.clone()),
            Ended::Interrupted => ("interrupted".to_owned(), String::new()),
        };
        let name = last_step(events).unwrap_or_else(|| "the cluster".to_owned());
        let verdict = if skipped { Verdict::Skipped(line) } else { Verdict::Broken(line, full) };
        self.suites.push(suite.alone(&name, verdict));
    }

    /// A file with mistakes, and the report of them.
    pub fn invalid(&mut self, file: &Path, report: &str) {
        let name = file.display().to_string();
        let line = format!("{name} is not a scenario that can be run");
        let verdict = Verdict::Broken(line, report.to_owned());
        self.suites.push(suite(&name, file, Vec::new()).alone("the file", verdict));
    }

    /// Writes the suites.
    ///
    /// # Errors
    /// The file cannot be written, and why.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(path, document(&self.suites)))
            .map_err(|e| format!("cannot write {}: {e}", path.display()))
    }
}

/// A log on a file, whose folder is made if it is not there.
///
/// # Errors
/// The file cannot be written, and why.
pub fn log(path: &Path) -> Result<SharedSink, String> {
    let open = || -> io::Result<Lines> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        Lines::new(Box::new(BufWriter::new(File::create(path)?)))
    };
    let lines = open().map_err(|e| format!("cannot write the log {}: {e}", path.display()))?;
    Ok(Arc::new(lines))
}

/// The file for the log of a run below `folder`: `vagrant4-docker-tls-on.jsonl`,
/// `vagrant4-tls-off-seed-7.jsonl`.
pub fn log_path(folder: &Path, scenario: &Scenario, world: &str, seed: Option<u64>) -> PathBuf {
    let tls = if scenario.cluster.tls { "on" } else { "off" };
    let which = seed.map_or_else(|| world.to_owned(), |_| String::new());
    let words = [scenario.name.clone(), which, format!("tls-{tls}")];
    let words = words.into_iter().chain(seed.map(|seed| format!("seed-{seed}")));
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    folder.join(words.join("-")).with_extension("jsonl")
}

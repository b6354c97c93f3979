//! `lab run`: replays scenarios and checks what they expect.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::record::{self, Record};
use super::{Exit, On, Switch, endpoint, sweep};
use crate::event::{self, SharedSink, Tee};
use crate::replay::{self, Ended, Keep, Options};
use crate::report::junit::{Case, Suite, Verdict};
use crate::report::terminal::{Style, Terminal};
use crate::report::{count, human};
use crate::runner::{Failure, Outcome};
use crate::scenario::endpoint::Endpoint;
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
    /// Replays only the I-th of N equal parts of the seeds, for N machines that share the work
    #[arg(long, value_name = "I/N", value_parser = shard, requires = "seeds")]
    shard: Option<(usize, usize)>,
    /// Replays only one of the files' runs with each seed, chosen by the seed
    #[arg(long, requires = "seeds")]
    draw: bool,
    /// Sets `cluster.tls` whatever the files say; without, each run of their matrix
    #[arg(long, value_enum)]
    tls: Option<Switch>,
    /// Writes the event log to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Writes the event log of each run into this folder; with --seeds of those that fail
    #[arg(long, value_name = "DIR", conflicts_with = "log")]
    logs: Option<PathBuf>,
    /// Writes what everything came to into this file, as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Leaves out scenarios that the world cannot replay, and says so, instead of failing
    #[arg(long)]
    skip_unsupported: bool,
    /// Stops after this step (counted from 1)
    #[arg(long, value_name = "N")]
    until: Option<usize>,
    /// Leaves the docker cluster running and prints how to reach it
    #[arg(long)]
    keep: bool,
    /// A static binary with the classic command line to run as manager instead of ours (docker)
    #[arg(long, value_name = "PATH")]
    manager: Option<PathBuf>,
    #[command(flatten)]
    at: endpoint::At,
}

/// Reads `I/N`.
fn shard(text: &str) -> Result<(usize, usize), String> {
    let parse = |text: &str| text.parse::<usize>().map_err(|_| format!("`{text}` is no number"));
    let (part, of) = text.split_once('/').ok_or("a part looks like 1/4")?;
    match (parse(part)?, parse(of)?) {
        (part, of) if (1..=of).contains(&part) => Ok((part, of)),
        (part, of) => Err(format!("there is no part {part} of {of}: they go from 1 to {of}")),
    }
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
    if args.on != On::Endpoint && args.at.given() {
        return Some("--host, --cert-path, --endpoint and --dry-run are for `--on endpoint`");
    }
    if many && args.log.is_some() {
        return Some("--log takes one run: give one file and one seed");
    }
    if args.on != On::Sim && args.seeds.is_some() {
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
    let mut record = Record::default();
    let exit = run_all(args, &mut record);
    match args.junit.as_ref().map_or(Ok(()), |path| record.write(path)) {
        Ok(()) => exit,
        Err(why) => environment(&why),
    }
}

fn environment(why: &str) -> Exit {
    eprintln!("error: {why}");
    Exit::Environment
}

fn run_all(args: &Args, record: &mut Record) -> Exit {
    let mut scenarios = Vec::new();
    let mut invalid = false;
    for file in &args.files {
        match scenario::load_all(file, &super::overrides(args.tls)) {
            Ok(runs) => scenarios.extend(runs.into_iter().map(Arc::new)),
            Err(report) => {
                eprint!("{}", report.render(super::color()));
                record.invalid(file, &report.render(false));
                invalid = true;
            }
        }
    }
    let file = match args.at.file() {
        Ok(file) => file,
        Err(report) => {
            eprint!("{}", report.render(super::color()));
            return Exit::Invalid;
        }
    };
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
    let runs = scenarios.len() as u64;
    for (run, scenario) in (0..runs).zip(scenarios) {
        let meant = |seed: &u64| !args.draw || drawn(*seed, runs) == run;
        let exit = match &args.seeds {
            Some(seeds) => sweep(args, &scenario, seeds.clone(), meant, record),
            None => one(args, &scenario, &file, record),
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

/// Which of so many runs a seed draws: an even choice, and none that neighbouring seeds share
/// (the finalizer of SplitMix64).
fn drawn(seed: u64, runs: u64) -> u64 {
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % runs
}

fn options(args: &Args, seed: u64) -> Options {
    Options {
        docker: args.on == On::Docker,
        seed,
        until: args.until,
        explain: None,
        keep: if args.keep { Keep::Always } else { Keep::Never },
        manager: args.manager.clone(),
        endpoint: None,
    }
}

/// The word for the world of a run.
fn world(args: &Args) -> &'static str {
    match args.on {
        On::Sim => "simulator",
        On::Docker => "docker",
        On::Endpoint => "endpoint",
    }
}

/// The record of a scenario's runs, without what they came to.
fn suite(args: &Args, scenario: &Scenario, seeds: Option<String>) -> Suite {
    let tls = if scenario.cluster.tls { "on" } else { "off" };
    let mut properties = vec![("world", world(args).to_owned()), ("tls", tls.to_owned())];
    properties.extend(seeds.map(|seeds| ("seed", seeds)));
    record::suite(&scenario.name, &scenario.path, properties)
}

/// One scenario, once, with its report on standard output.
fn one(args: &Args, scenario: &Arc<Scenario>, file: &Endpoint, record: &mut Record) -> Exit {
    let mut options = options(args, args.seed);
    if args.on == On::Endpoint {
        let target = match args.at.target(scenario, file) {
            Ok(target) => target,
            Err(error) => return super::world_error(&error),
        };
        if args.at.dry_run {
            return endpoint::dry_run(scenario, &target, args.until);
        }
        options.endpoint = Some(target);
    }
    let color = super::color();
    let style = Style { color, live: color && args.on != On::Sim };
    let terminal = Arc::new(Terminal::new(Box::new(std::io::stdout()), style));
    let mut sinks: Vec<SharedSink> = Vec::new();
    let seed = (args.on == On::Sim).then_some(args.seed);
    let logs = args.logs.as_deref();
    let logs = logs.map(|folder| record::log_path(folder, scenario, world(args), seed));
    if let Some(path) = args.log.as_ref().or(logs.as_ref()) {
        match record::log(path) {
            Ok(lines) => sinks.push(lines),
            Err(why) => return environment(&why),
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
    let suite = suite(args, scenario, seed.map(|seed| seed.to_string()));
    let ended = replay::replay(scenario, &options, Arc::new(Tee(sinks)), progress);
    terminal.idle();
    let events = memory.events();
    match ended {
        Ok(outcome) => {
            finish(args, scenario, &terminal, &outcome, &events, began());
            let told = outcome.failure.as_ref();
            let told = told.map(|failure| explain(args, scenario, failure, &events, false));
            record.run(suite, scenario, &events, &outcome, &told.unwrap_or_default());
            if outcome.failure.is_some() { Exit::Failed } else { Exit::Passed }
        }
        Err(ended) => no_verdict(args, scenario, &ended, suite, &events, record),
    }
}

/// Says why a run came to no verdict; one that was to be left out passes.
fn no_verdict(
    args: &Args,
    scenario: &Scenario,
    ended: &Ended,
    suite: Suite,
    events: &[event::Event],
    record: &mut Record,
) -> Exit {
    let skipped = args.skip_unsupported && matches!(ended, Ended::Unsupported(_));
    record.ended(suite, events, ended, skipped);
    match ended {
        Ended::Unsupported(report) if skipped => {
            let why = report.diagnostics().first().map(|one| one.title.as_str());
            println!("{}   left out: {}\n", scenario.name, why.unwrap_or_default());
            Exit::Passed
        }
        ended => report_end(ended),
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
        let text = explain(args, scenario, failure, events, super::color());
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

/// What did not hold, with its place in the file, its evidence, and how to replay it.
fn explain(
    args: &Args,
    scenario: &Scenario,
    failure: &Failure,
    events: &[event::Event],
    color: bool,
) -> String {
    let mut notes = failure.notes.clone();
    let last = failure.last_events(events, 8);
    if !last.is_empty() {
        notes.push(format!("last events\n{}", last.join("\n")));
    }
    notes.push(format!("replay: {}", replay_command(args, scenario, failure.step)));
    scenario.diagnostic(failure.span, &failure.title, &failure.label, &notes, color)
}

/// Wall time: milliseconds where they matter.
fn precise(time: Duration) -> String {
    if time < Duration::from_secs(1) { format!("{} ms", time.as_millis()) } else { human(time) }
}

fn replay_command(args: &Args, scenario: &Scenario, step: usize) -> String {
    let how = match args.on {
        On::Sim => format!("--seed {}", args.seed),
        On::Docker => "--on docker".to_owned(),
        On::Endpoint => "--on endpoint".to_owned(),
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
fn sweep(
    args: &Args,
    scenario: &Arc<Scenario>,
    seeds: RangeInclusive<u64>,
    meant: impl Fn(&u64) -> bool + Send,
    record: &mut Record,
) -> Exit {
    let began = replay::stopwatch();
    let (from, to) = (*seeds.start(), *seeds.end());
    let (part, of) = args.shard.unwrap_or((1, 1));
    let mut range = format!("{from} to {to}");
    if args.shard.is_some() {
        range += &format!(", part {part} of {of}");
    }
    if args.draw {
        range += ", those that draw it";
    }
    let suite = suite(args, scenario, Some(range.clone()));
    let seeds = seeds.skip(part - 1).step_by(of).filter(meant);
    let results = sweep::sweep(seeds, |seed| {
        replay::replay(scenario, &options(args, seed), Arc::new(event::Nowhere), |_| {})
    });
    let (mut passed, mut failed) = (0_usize, 0_usize);
    let mut cases = Vec::new();
    for (seed, result) in results {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(ended) => return no_verdict(args, scenario, &ended, suite, &[], record),
        };
        let verdict = match &outcome.failure {
            None => {
                passed += 1;
                Verdict::Passed
            }
            Some(failure) => {
                failed += 1;
                let command = format!("{} --seed {seed}", command(args, scenario));
                println!("  ✗ seed {seed}: step {}: {}", failure.step, failure.title);
                println!("    replay: {command}");
                if let Err(why) = keep_log(args, scenario, seed) {
                    return environment(&why);
                }
                failed_seed(scenario, failure, command)
            }
        };
        cases.push(Case { name: format!("seed {seed}"), time: outcome.cluster_time, verdict });
    }
    record.sweep(suite, cases);
    let tls = if scenario.cluster.tls { "on" } else { "off" };
    println!(
        "{}   tls {tls}   seeds {range}: {passed} passed, {failed} failed, in {}",
        scenario.name,
        precise(began()),
    );
    if failed > 0 { Exit::Failed } else { Exit::Passed }
}

/// What the record says of a seed that failed.
fn failed_seed(scenario: &Scenario, failure: &Failure, command: String) -> Verdict {
    let line = format!("{}: {}", scenario.location(failure.span), failure.title);
    let notes = [failure.notes.clone(), vec![format!("replay: {command}")]].concat();
    let text = scenario.diagnostic(failure.span, &failure.title, &failure.label, &notes, false);
    Verdict::Failed(line, text)
}

/// Replays a seed that failed, for its log: a sweep keeps none.
fn keep_log(args: &Args, scenario: &Arc<Scenario>, seed: u64) -> Result<(), String> {
    let Some(folder) = &args.logs else { return Ok(()) };
    let log = record::log(&record::log_path(folder, scenario, world(args), Some(seed)))?;
    // The verdict is known.
    let _ = replay::replay(scenario, &options(args, seed), log, |_| {});
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_is_drawn_by_its_share_of_the_seeds() {
        let mut counts = [0; 25];
        (1..=1000).for_each(|seed| counts[usize::try_from(drawn(seed, 25)).unwrap()] += 1);
        assert!(counts.iter().all(|count| (20..=60).contains(count)), "{counts:?}");
    }

    #[test]
    fn ranges_of_seeds() {
        assert_eq!(seeds("1..100"), Ok(1..=100));
        assert_eq!(seeds("7..=7"), Ok(7..=7));
        assert!(seeds("5..1").unwrap_err().contains("empty"));
        assert!(seeds("5").unwrap_err().contains("looks like"));
        assert_eq!(shard("2/3"), Ok((2, 3)));
        assert!(shard("0/3").unwrap_err().contains("from 1 to 3"));
        assert!(shard("4/3").unwrap_err().contains("from 1 to 3"));
        assert!(shard("3").unwrap_err().contains("looks like"));
        assert!(seeds("a..b").unwrap_err().contains("not a seed"));
    }
}

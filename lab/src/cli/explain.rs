//! `lab explain`: why a container goes where it goes.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::run::report_end;
use super::{Exit, Switch};
use crate::event::{Event, Memory};
use crate::replay::{self, Options};
use crate::runner::Outcome;
use crate::scenario::{self, Scenario, Verb};

/// Arguments of `lab explain`.
#[derive(clap::Args)]
pub struct Args {
    /// The scenario file
    file: PathBuf,
    /// The step to explain, a `run` or a `create` (counted from 1)
    #[arg(long, value_name = "N")]
    step: usize,
    /// Seed of the simulator
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Sets `cluster.tls` whatever the file says; without, the first run of its matrix
    #[arg(long, value_enum)]
    tls: Option<Switch>,
}

/// Replays the file up to the step and prints what the manager made of each node.
pub fn run(args: &Args) -> Exit {
    let scenario = match scenario::load_all(&args.file, &super::overrides(args.tls)) {
        Ok(runs) => runs.into_iter().next().expect("a matrix has at least one run"),
        Err(report) => {
            eprint!("{}", report.render(super::color()));
            return Exit::Invalid;
        }
    };
    if let Err(why) = placing(&scenario, args.step) {
        eprintln!("error: {why}");
        return Exit::Usage;
    }
    let options = Options {
        seed: args.seed,
        until: Some(args.step),
        explain: Some(args.step),
        ..Options::default()
    };
    let memory = Arc::new(Memory::default());
    match replay::replay(&Arc::new(scenario), &options, Arc::clone(&memory) as _, |_| {}) {
        Ok(outcome) => {
            print!("{}", tables(&memory.events()));
            verdict(args, &outcome)
        }
        Err(ended) => report_end(&ended),
    }
}

/// Whether the step places containers.
fn placing(scenario: &Scenario, number: usize) -> Result<(), String> {
    let places = |verb: &Verb| matches!(verb, Verb::Run(_) | Verb::Create(_));
    let steps = &scenario.steps;
    let others = || {
        let all = steps.iter().zip(1..).filter(|(step, _)| places(&step.verb));
        let all: Vec<_> = all.map(|(_, number): (_, usize)| number.to_string()).collect();
        if all.is_empty() { "no step does".to_owned() } else { format!("try {}", all.join(", ")) }
    };
    let step = number.checked_sub(1).and_then(|index| steps.get(index));
    match step {
        None => {
            let last = steps.len();
            Err(format!("there is no step {number}: {} has steps 1 to {last}", scenario.name))
        }
        Some(step) if places(&step.verb) => Ok(()),
        Some(step) => {
            let verb = step.verb.word();
            Err(format!("step {number} ({verb}) places no container: {}", others()))
        }
    }
}

/// Says why a step failed, if one did. That the explained one did is no failure to explain it.
fn verdict(args: &Args, outcome: &Outcome) -> Exit {
    match &outcome.failure {
        None => Exit::Passed,
        Some(failure) if failure.step == args.step => {
            println!("step {} failed: {}", failure.step, failure.title);
            Exit::Passed
        }
        Some(failure) => {
            let (early, wanted) = (failure.step, args.step);
            eprintln!("error: step {early} failed, before step {wanted}: {}", failure.title);
            Exit::Failed
        }
    }
}

/// A table for each container, with what came of it.
fn tables(events: &[Event]) -> String {
    let mut out = String::new();
    for (at, event) in events.iter().enumerate() {
        if event.kind != "placement.explained" {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        table(&mut out, event);
        let what = event.fields.get("name");
        let after = events[at..].iter().filter(|event| event.kind == "step.item");
        let item = after.into_iter().find(|item| item.fields.get("subject") == what);
        if let Some(line) = item.map(came_to).filter(|line| !line.is_empty()) {
            writeln!(out, "  {line}").expect("a String takes any text");
        }
    }
    out
}

fn table(out: &mut String, event: &Event) {
    let head = ["name", "strategy", "pass"].map(|key| text(event.fields.get(key)));
    let head: Vec<_> = head.into_iter().filter(|word| !word.is_empty()).collect();
    let mut line = |text: String| {
        writeln!(out, "{}", text.trim_end()).expect("a String takes any text");
    };
    line(format!("{}   {}", head[0], head[1..].join(" · ")));
    if let Some(why) = event.fields.get("error") {
        return line(format!("  refused before any node is looked at: {}", text(Some(why))));
    }
    let nodes = event.fields.get("nodes").and_then(Value::as_array);
    let nodes = nodes.map(Vec::as_slice).unwrap_or_default();
    if nodes.is_empty() {
        return line("  there are no nodes".to_owned());
    }
    let names = nodes.iter().map(|node| text(node.get("node")).chars().count());
    let width = names.max().unwrap_or_default().max(4);
    line(format!("  {:width$}  rank  score", "node"));
    for node in nodes {
        let name = text(node.get("node"));
        let number = |key: &str| node[key].as_i64().map(|number| number.to_string());
        if node["fits"] == true {
            // Dice that are not thrown yet rank nobody.
            let rank = number("rank").unwrap_or_else(|| "any".to_owned());
            let score = number("score").unwrap_or_else(|| "-".to_owned());
            line(format!("  {name:width$}  {rank:>4}  {score:>5}"));
        } else {
            let (filter, reason) = (text(node.get("filter")), text(node.get("reason")));
            line(format!("  {name:width$}     -      -  {filter}: {reason}"));
        }
    }
}

/// What came of the request: the node, or the refusal.
fn came_to(item: &Event) -> String {
    match (text(item.fields.get("result")), text(item.fields.get("detail"))) {
        ("", detail) => detail.to_owned(),
        (node, _) => format!("→ {node}"),
    }
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

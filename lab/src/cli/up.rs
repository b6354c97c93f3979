//! `lab up`: brings the cluster of a scenario up on real engines, and leaves it up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Exit, Switch};
use crate::event::{self, SharedSink, Tee};
use crate::replay::{self, Keep, Options};
use crate::report::terminal::{Style, Terminal};
use crate::runner::Failure;
use crate::scenario::step::Wait;
use crate::scenario::{self, Diagnostic, Scenario, Span, Spanned, Step, Verb};

/// How long the manager may take until it has found every engine healthy.
const WITHIN: Duration = Duration::from_secs(60);

/// Arguments of `lab up`.
#[derive(clap::Args)]
pub struct Args {
    /// The scenario whose cluster is meant; its steps are not run
    file: PathBuf,
    /// Sets `cluster.tls` whatever the file says
    #[arg(long, value_enum)]
    tls: Option<Switch>,
}

/// Brings the cluster up; when that fails, nothing of it is left.
pub fn run(args: &Args) -> Exit {
    let scenario = match scenario::load(&args.file, &super::overrides(args.tls)) {
        Ok(scenario) => Arc::new(only_up(scenario)),
        Err(report) => {
            eprint!("{}", report.render(super::color()));
            return Exit::Invalid;
        }
    };
    let color = super::color();
    let terminal = Terminal::new(Box::new(std::io::stdout()), Style { color, live: color });
    let terminal = Arc::new(terminal);
    let memory = Arc::new(event::Memory::default());
    let sinks: Vec<SharedSink> = vec![terminal.clone(), memory.clone()];
    let progress = {
        let terminal = terminal.clone();
        move |what: &str| terminal.under_way(what)
    };
    let options = Options { docker: true, keep: Keep::IfPassed, ..Options::default() };
    let ended = replay::replay(&scenario, &options, Arc::new(Tee(sinks)), progress);
    terminal.idle();
    let outcome = match ended {
        Ok(outcome) => outcome,
        Err(ended) => return super::run::report_end(&ended),
    };
    if let Some(failure) = &outcome.failure {
        let text = explain(failure, &memory.events(), &args.file).render(color);
        terminal.line(&format!("\n{}", text.trim_end()));
        return Exit::Failed;
    }
    terminal.line(&format!("\n{}", outcome.kept.unwrap_or_default()));
    Exit::Passed
}

/// The scenario with one step instead of its own: the manager finds every engine healthy.
fn only_up(scenario: Scenario) -> Scenario {
    let engines = u64::try_from(scenario.cluster.announced().count()).unwrap_or(u64::MAX);
    let span = Span::default();
    let verb = Verb::Wait(Wait { span, healthy: Spanned::new(engines, span) });
    let wait = Step { span, verb, expect: None, within: Some(WITHIN) };
    Scenario { steps: vec![wait], always: Vec::new(), ..scenario }
}

/// Why the cluster is not up. There is no place in the file to show: nothing there asks for it.
fn explain(failure: &Failure, events: &[event::Event], file: &std::path::Path) -> Diagnostic {
    let mut notes = failure.notes.clone();
    let last = failure.last_events(events, 8);
    if !last.is_empty() {
        notes.push(format!("last events\n{}", last.join("\n")));
    }
    let keep = format!("cargo lab run {} --on docker --keep", file.display());
    notes.push(format!("it has been removed; to leave it for a look: {keep}"));
    Diagnostic { place: None, title: failure.title.clone(), label: String::new(), notes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, Source, parse};

    fn scenario(hosts: &str) -> Scenario {
        let text = format!(
            "name: demo\ncluster:\n  hosts:\n{hosts}steps:\n  - wait: {{ healthy: 1 }}\n  \
             - run: {{ name: web, image: nginx }}\n"
        );
        let scenario = parse(Source::new("demo.yaml", text), &Overrides::default());
        scenario.unwrap_or_else(|report| panic!("{report}"))
    }

    fn awaited(scenario: Scenario) -> u64 {
        let scenario = only_up(scenario);
        assert!(scenario.always.is_empty());
        match scenario.steps.as_slice() {
            [Step { verb: Verb::Wait(wait), within: Some(WITHIN), .. }] => wait.healthy.value,
            steps => panic!("{steps:?}"),
        }
    }

    #[test]
    fn a_cluster_is_up_when_every_engine_that_the_manager_can_know_is_healthy() {
        let with_store = "    boss: { store: consul, manager: {} }\n    'e[1:3]': { engine: {} }\n    \
                          silent: { engine: {}, agent: false }\n";
        assert_eq!(awaited(scenario(with_store)), 3);
        let with_list = "    boss: { manager: {} }\n    'e[1:2]': { engine: {} }\n";
        assert_eq!(awaited(scenario(with_list)), 2);
    }

    #[test]
    fn a_cluster_that_does_not_come_up_says_why_and_that_it_is_gone() {
        let failure = Failure {
            step: 1,
            span: Span::default(),
            title: "after 60 s, 2 of 3 nodes are healthy".into(),
            label: "expected here".into(),
            notes: vec!["nodes\ne1 10.0.0.1:2375 Pending".into()],
        };
        let text = explain(&failure, &[], "demo.yaml".as_ref()).render(false);
        assert!(text.starts_with("  error: after 60 s, 2 of 3 nodes are healthy\n"), "{text}");
        assert!(text.contains("e1 10.0.0.1:2375 Pending"), "{text}");
        assert!(
            text.contains("removed; to leave it for a look: cargo lab run demo.yaml"),
            "{text}"
        );
        assert!(!text.contains("expected here"), "{text}");
    }
}

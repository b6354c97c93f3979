//! What a run would do to a cluster that stands, for `--dry-run`.

use super::{MARK, Target};
use crate::runner::fault::InForce;
use crate::runner::subject;
use crate::scenario::cluster::engine_port;
use crate::scenario::{Scenario, Step, Verb};

/// A line for everything that a run would do, in order. `scenario` is as it is replayed there.
#[must_use]
pub fn lines(scenario: &Scenario, target: &Target, until: Option<usize>) -> Vec<String> {
    let cluster = &scenario.cluster;
    let tls = if cluster.tls { "tls on" } else { "tls off" };
    let mut lines = vec![
        format!("{}   endpoint tcp://{} · {tls} · dry run", scenario.name, target.manager),
        String::new(),
        "  before, refuses the cluster unless it has exactly these nodes:".to_owned(),
    ];
    for host in cluster.announced() {
        let labels = host.engine.iter().flat_map(|engine| &engine.labels);
        let labels: Vec<_> = labels.map(|(key, value)| format!("{key}={value}")).collect();
        let addr = format!("{}:{}", host.address, engine_port(cluster.tls));
        let line = format!("    {:<14} {addr:<21} {}", host.name, labels.join(" "));
        lines.push(line.trim_end().to_owned());
    }
    lines.extend([String::new(), "  then, step by step:".to_owned()]);
    let mut in_force = InForce::default();
    for (n, step) in scenario.steps.iter().enumerate().take(until.unwrap_or(usize::MAX)) {
        let line = format!("  {:>3} {:<8} {}", n + 1, step.verb.word(), subject(step));
        lines.push(line.trim_end().to_owned());
        lines.extend(
            doings(step, scenario, target, &mut in_force).map(|it| format!("        {it}")),
        );
    }
    lines.extend([String::new(), "  in the end:".to_owned()]);
    let cures = in_force.cures(&Vec::new());
    let cures = cures.iter().filter_map(|cure| target.file.commands.command(cure, cluster).ok());
    lines.extend(cures.map(|command| format!("        $ {command}")));
    lines.push(format!("        removes its own containers, by their label {MARK}"));
    lines
}

/// The requests and commands of a step that change something.
fn doings(
    step: &Step,
    scenario: &Scenario,
    target: &Target,
    in_force: &mut InForce,
) -> impl Iterator<Item = String> {
    let each = |request: &str| -> Vec<String> {
        let names = step.verb.containers().iter();
        names.map(|name| request.replace('*', name)).collect()
    };
    let lines = match &step.verb {
        Verb::Run(_) => each("POST /containers/create?name=*, /containers/*/start"),
        Verb::Create(_) => each("POST /containers/create?name=*"),
        Verb::Remove(_) => each("DELETE /containers/*"),
        Verb::Rename(_) => each("POST /containers/…/rename?name=*"),
        Verb::Start(_)
        | Verb::Stop(_)
        | Verb::Kill(_)
        | Verb::Restart(_)
        | Verb::Pause(_)
        | Verb::Unpause(_) => each(&format!("POST /containers/*/{}", step.verb.word())),
        Verb::Fault(fault) => {
            let parts = in_force.parts(&fault.action, &scenario.cluster);
            let command = |part| {
                in_force.note(part);
                target.file.commands.command(part, &scenario.cluster).ok()
            };
            let commands: Vec<_> = parts.iter().filter_map(command).collect();
            commands.into_iter().map(|command| format!("$ {command}")).collect()
        }
        Verb::Wait(_) | Verb::Cert(_) | Verb::Dial(_) | Verb::Expect => Vec::new(),
    };
    lines.into_iter()
}

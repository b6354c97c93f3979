//! What a scenario asks for that nobody can do to a cluster that is not the lab's own.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::Target;
use crate::runner::fault::InForce;
use crate::scenario::cluster::Cluster;
use crate::scenario::endpoint::Commands;
use crate::scenario::step::Dial;
use crate::scenario::{CertKind, Diagnostic, Guise, Scenario, Span, Step, Verb};

/// The scenario as it is replayed there: with the addresses that the endpoint file gives.
///
/// # Errors
/// Every step that cannot be done there, and whatever else stands against it.
pub fn refused(
    scenario: &Scenario,
    target: &Target,
    until: Option<usize>,
) -> Result<Scenario, Vec<Diagnostic>> {
    let mut mistakes = against_cluster(scenario, target);
    let moved = moved(scenario, &target.file.addresses);
    let steps = moved.steps.iter().take(until.unwrap_or(usize::MAX));
    let mut in_force = InForce::default();
    for step in steps {
        mistakes.extend(against_step(&moved, step, &target.file.commands, &mut in_force));
    }
    if mistakes.is_empty() { Ok(moved) } else { Err(mistakes) }
}

/// A message that is about no place of the file.
fn anywhere(title: String, label: &str) -> Diagnostic {
    Diagnostic { place: None, title, label: label.to_owned(), notes: Vec::new() }
}

fn against_cluster(scenario: &Scenario, target: &Target) -> Vec<Diagnostic> {
    let cluster = &scenario.cluster;
    let unknown = target.file.addresses.keys().filter(|name| cluster.host(name).is_none());
    let unknown = unknown.map(|name| {
        let title = format!("the endpoint file has an address for `{name}`");
        anywhere(title, "the scenario has no such host")
    });
    let bad = cluster.hosts.iter().filter(|host| {
        let engine = host.engine.as_ref().map(|engine| (engine.cert, engine.id.is_some()));
        let manager = host.manager.as_ref().map(|manager| (manager.cert, false));
        let certs = [engine, manager].into_iter().flatten();
        certs.into_iter().any(|(cert, id)| id || (cluster.tls && cert != CertKind::Good))
    });
    let bad = bad.map(|host| {
        let title = format!("{} has a certificate or an ID of the scenario's choice", host.name);
        anywhere(title, "a cluster that stands has its own: leave out `--on endpoint`")
    });
    unknown.chain(bad).collect()
}

fn against_step(
    scenario: &Scenario,
    step: &Step,
    commands: &Commands,
    in_force: &mut InForce,
) -> Vec<Diagnostic> {
    let mistake =
        |span: Span, title: String, label: &str| vec![scenario.mistake(span, title, label.into())];
    match &step.verb {
        Verb::Fault(fault) => {
            let mut missing = BTreeMap::new();
            let cluster = &scenario.cluster;
            let mut needs = |fault: &crate::world::Fault, why: &str| {
                if let Err(key) = commands.command(fault, cluster) {
                    missing.entry(key).or_insert_with(|| format!("{why} {fault}"));
                }
            };
            for part in in_force.parts(&fault.action, cluster) {
                needs(&part, "to");
                in_force.note(&part);
            }
            // What is still wrong in the end is undone: the cluster is somebody else's.
            in_force.cures(&Vec::new()).iter().for_each(|cure| needs(cure, "afterwards, to"));
            let title = format!("`{}` needs power over hosts", fault.action.word());
            let told = missing.into_iter();
            told.flat_map(|(key, why)| {
                mistake(
                    fault.span,
                    title.clone(),
                    &format!("the endpoint file has no `{key}`, {why}"),
                )
            })
            .collect()
        }
        Verb::Cert(cert) => {
            let label = "a cluster that stands has its own: leave out `--on endpoint`";
            mistake(cert.span, "`cert` makes certificates of the cluster's authority".into(), label)
        }
        Verb::Dial(dial) if scenario.cluster.tls && !has_guise(dial) => {
            let label = "here there are `client`, `http` and `old-tls`";
            let span = dial.guise.as_ref().map_or(dial.span, |guise| guise.span);
            mistake(span, "this guise needs a certificate that nobody here can make".into(), label)
        }
        _ => Vec::new(),
    }
}

/// Whether a stranger can have the guise without a certificate made for it.
fn has_guise(dial: &Dial) -> bool {
    let guise = dial.guise.as_ref().map_or(Guise::Client, |guise| guise.value);
    matches!(guise, Guise::Client | Guise::Http | Guise::OldTls)
}

/// The scenario with its hosts at other addresses, in the cluster and in URLs.
fn moved(scenario: &Scenario, addresses: &BTreeMap<String, Ipv4Addr>) -> Scenario {
    let mut moved = scenario.clone();
    for host in &mut moved.cluster.hosts {
        host.address = addresses.get(&host.name).copied().unwrap_or(host.address);
    }
    for expect in moved.steps.iter_mut().filter_map(|step| step.expect.as_mut()) {
        for http in &mut expect.http.0 {
            if let Some(url) = url_there(&http.url, &scenario.cluster, addresses) {
                http.url.value = url;
            }
        }
    }
    moved
}

/// A URL with the new address of the host whose old one it has.
fn url_there(
    url: &str,
    cluster: &Cluster,
    addresses: &BTreeMap<String, Ipv4Addr>,
) -> Option<String> {
    let rest = url.strip_prefix("http://")?;
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    let address: Ipv4Addr = rest[..end].parse().ok()?;
    let host = cluster.hosts.iter().find(|host| host.address == address)?;
    let there = addresses.get(&host.name)?;
    Some(format!("http://{there}{}", &rest[end..]))
}

#[cfg(test)]
mod tests {
    use swarm::ctx::Addr;

    use super::*;
    use crate::scenario::endpoint::{self, Endpoint};
    use crate::scenario::{Overrides, Source, parse};

    const FILE: &str = "
name: demo
cluster:
  hosts:
    boss: { address: 10.100.199.9, store: consul, manager: {} }
    red: { address: 10.100.199.10, engine: {} }
    blue: { address: 10.100.199.11, engine: {} }
steps:
  - wait: { healthy: 2 }
    expect: { http: { url: 'http://10.100.199.10:80/x' } }
  - pause: { host: red }
  - heal: everything
  - kill: { engine: [red, blue] }
";

    fn told(commands: &str, until: Option<usize>) -> Result<Scenario, String> {
        let scenario = parse(Source::new("demo.yaml", FILE), &Overrides::default());
        let scenario = scenario.unwrap_or_else(|report| panic!("{report}"));
        let file = match commands {
            "" => Endpoint::default(),
            text => endpoint::parse(Source::new("e.yaml", text)).unwrap(),
        };
        let target = Target { manager: Addr::tcp("boss", 2375), certs: None, file };
        refused(&scenario, &target, until)
            .map_err(|all| all.iter().map(|one| one.render(false)).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn steps_without_their_commands_are_refused_by_name() {
        insta::assert_snapshot!(told("", None).unwrap_err());
        assert!(told("", Some(1)).is_ok(), "the steps that are not run need nothing");
    }

    #[test]
    fn whoever_can_strike_must_be_able_to_undo() {
        let all = "commands:\n  host: { pause: a, unpause: b }\n  engine: { kill: c, start: d }\n";
        assert!(told(all, None).is_ok());
        let half =
            told("commands:\n  host: { pause: a, unpause: b }\n  engine: { kill: c }\n", None);
        let half = half.unwrap_err();
        assert!(half.contains("no `commands.engine.start`, afterwards, to start"), "{half}");
        assert!(!half.contains("pause"), "{half}");
    }

    #[test]
    fn hosts_elsewhere_are_looked_for_there() {
        let there = told("addresses: { red: 192.0.2.7 }\n", Some(1)).unwrap();
        assert_eq!(there.cluster.host("red").unwrap().address, Ipv4Addr::new(192, 0, 2, 7));
        let expect = there.steps[0].expect.as_ref().unwrap();
        assert_eq!(expect.http.0[0].url.value, "http://192.0.2.7:80/x");
        assert!(
            told("addresses: { green: 192.0.2.7 }\n", Some(1)).unwrap_err().contains("`green`")
        );
    }
}

//! What is wrong with a cluster at one moment, and how it is undone.

use std::collections::BTreeSet;

use crate::scenario::Span;
use crate::scenario::cluster::Cluster;
use crate::scenario::fault::{Action, Hosts};
use crate::world::Fault;
use crate::world::fault::Part;

use super::{Miss, Runner};

/// What is wrong.
#[derive(Debug, Default)]
pub struct InForce {
    /// Hosts that are off, and parts of hosts that do not run.
    dead: BTreeSet<(Part, String)>,
    paused: BTreeSet<String>,
    /// Senders and receivers.
    cuts: BTreeSet<(String, String)>,
    unplugged: BTreeSet<String>,
    slow: BTreeSet<String>,
}

impl InForce {
    /// Whatever these faults have made wrong.
    #[must_use]
    pub fn of(faults: &[Fault]) -> Self {
        let mut in_force = Self::default();
        faults.iter().for_each(|fault| in_force.note(fault));
        in_force
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dead.is_empty()
            && self.paused.is_empty()
            && self.cuts.is_empty()
            && self.unplugged.is_empty()
            && self.slow.is_empty()
    }

    /// Whether a part of a host cannot answer anybody, as things are.
    #[must_use]
    pub fn is_silent(&self, part: Part, host: &str) -> bool {
        let dead = |part| self.dead.contains(&(part, host.to_owned()));
        dead(Part::Host)
            || dead(part)
            || self.paused.contains(host)
            || self.unplugged.contains(host)
    }

    /// Takes note of what has happened.
    pub(crate) fn note(&mut self, fault: &Fault) {
        match fault {
            Fault::Kill(part, host) | Fault::Stop(part, host) => {
                self.dead.insert((*part, host.clone()));
                if *part == Part::Host {
                    self.paused.remove(host);
                }
            }
            // Everything that is to run on a host starts with it.
            Fault::Start(Part::Host, host) => self.dead.retain(|(_, dead)| dead != host),
            Fault::Start(part, host) => {
                self.dead.remove(&(*part, host.clone()));
            }
            Fault::Pause(host) => {
                self.paused.insert(host.clone());
            }
            Fault::Resume(host) => {
                self.paused.remove(host);
            }
            Fault::Cut { from, to } => {
                self.cuts.insert((from.clone(), to.clone()));
            }
            Fault::Mend { from, to } => {
                self.cuts.remove(&(from.clone(), to.clone()));
            }
            Fault::Disconnect(host) => {
                self.unplugged.insert(host.clone());
            }
            Fault::Connect(host) => {
                self.unplugged.remove(host);
            }
            Fault::Slow { host, .. } => {
                self.slow.insert(host.clone());
            }
            Fault::Speed(host) => {
                self.slow.remove(host);
            }
            Fault::Reset { .. } => {}
        }
    }

    /// What undoes everything that is wrong with these hosts; with any, if there are none. Networks
    /// first: what starts finds them whole.
    pub(crate) fn cures(&self, hosts: &Hosts) -> Vec<Fault> {
        let meant = |name: &String| hosts.is_empty() || hosts.iter().any(|h| h.value == *name);
        let of = |set: &BTreeSet<String>, cure: fn(String) -> Fault| -> Vec<Fault> {
            set.iter().filter(|host| meant(host)).cloned().map(cure).collect()
        };
        let cuts = self.cuts.iter().filter(|(from, to)| meant(from) || meant(to));
        let dead = self.dead.iter().filter(|(_, host)| meant(host));
        of(&self.unplugged, Fault::Connect)
            .into_iter()
            .chain(cuts.map(|(from, to)| Fault::Mend { from: from.clone(), to: to.clone() }))
            .chain(of(&self.slow, Fault::Speed))
            .chain(of(&self.paused, Fault::Resume))
            // Hosts come before what runs on them.
            .chain(dead.map(|(part, host)| Fault::Start(*part, host.clone())))
            .collect()
    }

    /// The smallest parts of an action, in order.
    #[must_use]
    pub fn parts(&self, action: &Action, cluster: &Cluster) -> Vec<Fault> {
        let each = |hosts: &Hosts, make: &dyn Fn(String) -> Fault| -> Vec<Fault> {
            hosts.iter().map(|host| make(host.value.clone())).collect()
        };
        let pairs = |between: &Hosts, and: &Hosts| -> Vec<(String, String)> {
            let of = |a: &String| {
                let a = a.clone();
                and.iter().map(move |b| (a.clone(), b.value.clone())).collect::<Vec<_>>()
            };
            between.iter().flat_map(|a| of(&a.value)).collect()
        };
        match action {
            Action::Kill(part, hosts) => each(hosts, &|host| Fault::Kill(*part, host)),
            Action::Stop(part, hosts) => each(hosts, &|host| Fault::Stop(*part, host)),
            Action::Start(part, hosts) => each(hosts, &|host| Fault::Start(*part, host)),
            Action::Restart(part, hosts) => {
                let stop = each(hosts, &|host| Fault::Stop(*part, host));
                [stop, each(hosts, &|host| Fault::Start(*part, host))].concat()
            }
            Action::Pause(hosts) => each(hosts, &Fault::Pause),
            Action::Unpause(hosts) => each(hosts, &Fault::Resume),
            Action::Cut { between, and, one_way } => {
                let there = pairs(between, and);
                let back = if *one_way { Vec::new() } else { pairs(and, between) };
                let cut = |(from, to)| Fault::Cut { from, to };
                there.into_iter().chain(back).map(cut).collect()
            }
            Action::Reset { between, and } => {
                pairs(between, and).into_iter().map(|(a, b)| Fault::Reset { a, b }).collect()
            }
            Action::Disconnect(hosts) => each(hosts, &Fault::Disconnect),
            Action::Slow { hosts, delay, kbits } => {
                each(hosts, &|host| Fault::Slow { host, delay: *delay, kbits: *kbits })
            }
            Action::Heal(hosts) => {
                debug_assert!(hosts.iter().all(|host| cluster.host(&host.value).is_some()));
                self.cures(hosts)
            }
        }
    }
}

impl Runner<'_> {
    /// Makes it go wrong, or right again.
    pub(super) async fn strike(&mut self, action: &Action, span: Span) -> Result<(), Miss> {
        for fault in self.in_force.parts(action, &self.scenario.cluster) {
            if let Err(error) = self.world.apply(&fault).await {
                let miss = Miss::new(span, format!("the world failed to {fault}"), "this step");
                return Err(miss.note(error.what).note(error.help));
            }
            self.in_force.note(&fault);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, Scenario, Source, Verb, parse};

    const FILE: &str = "
name: test
cluster:
  hosts: { boss: { store: consul, manager: {} }, 'e[1:3]': { engine: {} } }
steps:
  - cut: { between: 'e[1:2]', and: [boss], one_way: true }
  - kill: { host: e3 }
  - kill: { agent: [e3] }
  - pause: { host: e1 }
  - heal: [e3]
  - heal: everything
";

    fn scenario() -> Scenario {
        let scenario = parse(Source::new("test.yaml", FILE), &Overrides::default());
        scenario.unwrap_or_else(|report| panic!("{report}"))
    }

    #[test]
    fn healing_undoes_what_is_in_force_and_nothing_else() {
        let scenario = scenario();
        let mut in_force = InForce::default();
        let mut told = Vec::new();
        for step in &scenario.steps {
            let Verb::Fault(fault) = &step.verb else { panic!("{step:?}") };
            for part in in_force.parts(&fault.action, &scenario.cluster) {
                in_force.note(&part);
                told.push(part.to_string());
            }
            if fault.action.word() == "kill" {
                assert!(in_force.is_silent(Part::Engine, "e3"));
                assert!(!in_force.is_silent(Part::Engine, "e2"));
            }
        }
        assert_eq!(
            told,
            [
                "cut e1 -> boss",
                "cut e2 -> boss",
                "kill e3",
                "kill agent of e3",
                "pause e1",
                "start e3",
                "start agent of e3",
                "mend e1 -> boss",
                "mend e2 -> boss",
                "resume e1",
            ]
        );
        assert!(in_force.is_empty());
    }
}

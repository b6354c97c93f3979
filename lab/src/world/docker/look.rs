//! How a cluster is, and what is wrong with it: read from the engine and the nodes themselves, so
//! that it needs nobody who remembers what was done.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use testcontainers::bollard::Docker;
use testcontainers::bollard::models::ContainerSummary;

use super::exec::exec;
use super::hosts::Running;
use super::labels::ROLES;
use super::standing::{containers, label, running};
use super::{DockerWorld, connect};
use crate::scenario::cluster::Cluster;
use crate::world::fault::Part;
use crate::world::{Fault, WorldError};

/// What runs on a host: the name of each process, and how it is.
pub type Processes = Vec<(String, String)>;

/// A cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// What runs on each host, by its name.
    pub processes: BTreeMap<String, Processes>,
    /// What would have made it so, had it been struck now. What is wrong inside a host that
    /// stands still cannot be seen.
    pub wrong: Vec<Fault>,
}

impl DockerWorld {
    /// How the cluster is.
    ///
    /// # Errors
    /// No engine answers.
    pub async fn look(&self) -> Result<Look, WorldError> {
        let docker = connect().await?;
        let containers = containers(&docker, self.run()).await?;
        let seen = containers.iter().map(async |container| {
            let node = running(container)?;
            let at = Place { docker: &docker, cluster: &self.cluster, node: &node };
            let (processes, wrong) = at.look(container, &self.network()).await;
            Some((node.host.clone(), processes, wrong))
        });
        let mut look = Look::default();
        for (host, mut processes, wrong) in join_all(seen).await.into_iter().flatten() {
            // Engines before their agents.
            processes.sort_by_key(|(name, _)| (name != "engine", name.clone()));
            look.processes.entry(host).or_default().extend(processes);
            look.wrong.extend(wrong);
        }
        look.wrong = without_the_dead(look.wrong);
        Ok(look)
    }
}

/// A container, and the cluster around it.
struct Place<'a> {
    docker: &'a Docker,
    cluster: &'a Cluster,
    node: &'a Running,
}

impl Place<'_> {
    async fn look(&self, container: &ContainerSummary, network: &str) -> (Processes, Vec<Fault>) {
        let host = self.node.host.clone();
        let state = container.state.map(|state| state.to_string()).unwrap_or_default();
        let all = |word: &str| -> Processes {
            let roles = label(container, ROLES).unwrap_or_default().split(',');
            let roles = roles.filter(|role| !role.is_empty());
            roles.map(|role| (role.to_owned(), word.to_owned())).collect()
        };
        let is_node = self.node.component.is_none();
        match state.as_str() {
            "running" if is_node => {
                let states = self.states().await;
                let mut wrong = ended(&host, &states);
                let networks =
                    container.network_settings.as_ref().and_then(|all| all.networks.as_ref());
                if networks.is_some_and(|networks| networks.contains_key(network)) {
                    wrong.extend(self.disturbed().await);
                } else {
                    wrong.push(Fault::Disconnect(host));
                }
                let known = !states.is_empty();
                (if known { states } else { all("unknown") }, wrong)
            }
            "running" => (all("running"), Vec::new()),
            // A store stands still with its host.
            "paused" if is_node => (all("paused"), vec![Fault::Pause(host)]),
            "paused" => (all("paused"), Vec::new()),
            _ if is_node => (all("off"), vec![Fault::Kill(Part::Host, host)]),
            _ => (all("off"), vec![Fault::Kill(Part::Store, host)]),
        }
    }

    async fn ask(&self, argv: &[&str]) -> Option<String> {
        exec(self.docker, &self.node.id, &self.node.host, argv).await.ok()
    }

    /// What the node's supervisor says of its processes.
    async fn states(&self) -> Processes {
        let answer = self.ask(&["/lab/lab", "node", "ctl", "status"]).await.unwrap_or_default();
        let states: BTreeMap<_, _> = serde_json::from_str(&answer).unwrap_or_default();
        states.into_iter().collect()
    }

    /// What is wrong with the node's network.
    async fn disturbed(&self) -> Vec<Fault> {
        let rules = self.ask(&["iptables", "-w", "-S", "INPUT"]).await.unwrap_or_default();
        let queue = self.ask(&["tc", "qdisc", "show", "dev", "eth0"]).await.unwrap_or_default();
        let mut wrong = cuts(self.cluster, &self.node.host, &rules);
        if queue.contains("tbf") {
            let host = self.node.host.clone();
            wrong.push(Fault::Slow { host, delay: None, kbits: None });
        }
        wrong
    }
}

/// A host that is off says everything: its store, whose container is another, is off with it.
fn without_the_dead(wrong: Vec<Fault>) -> Vec<Fault> {
    let off = |host: &String| wrong.contains(&Fault::Kill(Part::Host, host.clone()));
    let said = |fault: &&Fault| !matches!(fault, Fault::Kill(Part::Store, host) if off(host));
    wrong.iter().filter(said).cloned().collect()
}

/// The processes that have ended.
fn ended(host: &str, states: &Processes) -> Vec<Fault> {
    let ended = states.iter().filter(|(_, state)| state.starts_with("ended"));
    let parts = [Part::Engine, Part::Agent, Part::Manager];
    ended
        .filter_map(|(name, _)| parts.into_iter().find(|part| part.to_string() == *name))
        .map(|part| Fault::Kill(part, host.to_owned()))
        .collect()
}

/// Whose packets `host` drops, by the rules of its kernel as `iptables -S` lists them: each cut is put
/// before all others.
fn cuts(cluster: &Cluster, host: &str, rules: &str) -> Vec<Fault> {
    let sender = |rule: &str| {
        let address = rule.strip_prefix("-A INPUT -s ")?.strip_suffix("/32 -j DROP")?;
        let from = cluster.hosts.iter().find(|host| host.address.to_string() == address)?;
        Some(Fault::Cut { from: from.name.clone(), to: host.to_owned() })
    };
    rules.lines().rev().filter_map(sender).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, Source, parse};

    #[test]
    fn cuts_are_read_from_the_rules_that_make_them() {
        let file = "name: demo\ncluster:\n  network: 10.0.0.0/24\n  hosts: { boss: { address: \
                    10.0.0.9, manager: {} }, e1: { address: 10.0.0.2, engine: {} } }\n\
                    steps: [{ wait: { healthy: 1 } }]\n";
        let scenario = parse(Source::new("demo.yaml", file), &Overrides::default());
        let cluster = scenario.unwrap_or_else(|report| panic!("{report}")).cluster;
        let rules = "-P INPUT ACCEPT\n-A INPUT -s 10.0.0.9/32 -j DROP\n\
                     -A INPUT -s 10.0.0.77/32 -j DROP\n\
                     -A INPUT -s 10.0.0.2/32 -j DROP\n\
                     -A INPUT -s 10.0.0.9/32 -p tcp -j REJECT --reject-with tcp-reset\n";
        let cut = |from: &str| Fault::Cut { from: from.into(), to: "e1".into() };
        assert_eq!(cuts(&cluster, "e1", rules), [cut("e1"), cut("boss")]);
    }

    #[test]
    fn a_store_is_off_with_its_host() {
        let kill = |part| Fault::Kill(part, "boss".to_owned());
        let store = vec![kill(Part::Store)];
        assert_eq!(without_the_dead(store.clone()), store);
        let all = vec![kill(Part::Host), kill(Part::Store), kill(Part::Manager)];
        assert_eq!(without_the_dead(all), [kill(Part::Host), kill(Part::Manager)]);
    }

    #[test]
    fn a_process_that_has_ended_is_wrong_and_one_that_waits_is_not() {
        let states = [("agent", "ended (signal: 9 (SIGKILL))"), ("engine", "running")];
        let states = states.map(|(name, state)| (name.to_owned(), state.to_owned())).to_vec();
        assert_eq!(ended("e1", &states), [Fault::Kill(Part::Agent, "e1".into())]);
        assert!(ended("e1", &vec![("manager".into(), "waiting".into())]).is_empty());
    }
}

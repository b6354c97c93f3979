//! The facts of a cluster for others that build it: `lab export vagrant`.

use std::net::Ipv4Addr;

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::json;

use crate::scenario::cluster::{Cluster, Host, PKI, STORE_PAIR, consul_port};

/// How many hosts there are in all, those beyond the scenario's among them.
const MOST: usize = 16;
/// Memory of a host without an engine, in MiB, and its CPUs: those of the engines' hosts.
const USUAL: (u64, u32) = (1024, 1);

/// Everything that provisioning needs to know of a cluster.
#[derive(Serialize)]
struct Facts<'a> {
    scenario: &'a str,
    network: String,
    /// The scenario's hosts.
    hosts: Vec<Machine>,
    /// More hosts with engines, for those who want more than the scenario has: alike, counted on.
    more: Vec<Machine>,
}

/// One host.
#[derive(Serialize)]
struct Machine {
    name: String,
    address: Ipv4Addr,
    cpus: u32,
    /// In MiB.
    memory: u64,
    /// What runs there: the names of the scripts that set it up, in order.
    roles: Vec<&'static str>,
    /// The files with its certificates, for a cluster with TLS.
    certs: Vec<String>,
    /// What the scripts read, without TLS and with it.
    environment: IndexMap<&'static str, IndexMap<&'static str, String>>,
}

/// The facts of a cluster for a Vagrantfile, as JSON with a line end. The result is the same
/// whatever `cluster.tls` says: it has both.
#[must_use]
pub fn vagrant(cluster: &Cluster) -> String {
    let all = grown(cluster, MOST);
    let [plain, tls] = [false, true].map(|tls| with_tls(&all, tls));
    let machine = |host: &Host| machine(host, [("plain", &plain), ("tls", &tls)]);
    let mut hosts: Vec<_> = all.hosts.iter().map(machine).collect();
    let more = hosts.split_off(cluster.hosts.len());
    let facts =
        Facts { scenario: &cluster.name, network: cluster.network.to_string(), hosts, more };
    let mut text = serde_json::to_string_pretty(&facts).expect("facts are plain data");
    text.push('\n');
    text
}

/// The same cluster with or without TLS. Only the ports of managers depend on it, and only those
/// that the scenario leaves to us.
fn with_tls(cluster: &Cluster, tls: bool) -> Cluster {
    let mut cluster = cluster.clone();
    for manager in cluster.hosts.iter_mut().filter_map(|host| host.manager.as_mut()) {
        manager.port = match (manager.port, tls) {
            (2375 | 2376, tls) => 2375 + u16::from(tls),
            (3375 | 3376, tls) => 3375 + u16::from(tls),
            (port, _) => port,
        };
    }
    Cluster { tls, ..cluster }
}

/// The cluster with more engines like those it has, up to `most` hosts: names and addresses count
/// on from the last one's, labels go round. A cluster whose manager has a list of its engines, or
/// whose last name has no number, cannot grow.
#[must_use]
pub fn grown(cluster: &Cluster, most: usize) -> Cluster {
    let mut all = cluster.clone();
    let engines: Vec<Host> = cluster.engines().map(|(host, _)| host.clone()).collect();
    let Some(last) = engines.last().filter(|_| cluster.store().is_some()) else { return all };
    let stem = last.name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &last.name[stem.len()..];
    let Ok(number) = digits.parse::<usize>() else { return all };
    for n in 1..=most.saturating_sub(cluster.hosts.len()) {
        let model = &engines[(n - 1) % engines.len()];
        let offset = u32::try_from(n).unwrap_or(u32::MAX);
        let address = Ipv4Addr::from(u32::from(last.address).saturating_add(offset));
        let name = format!("{stem}{:0width$}", number + n, width = digits.len());
        let taken = all.hosts.iter().any(|host| host.address == address || host.name == name);
        if taken || !cluster.network.contains(address) {
            break;
        }
        let (store, manager) = (None, None);
        all.hosts.push(Host { name, address, store, manager, ..model.clone() });
    }
    all
}

fn machine(host: &Host, clusters: [(&'static str, &Cluster); 2]) -> Machine {
    let (memory, cpus) =
        host.engine.as_ref().map_or(USUAL, |engine| (engine.memory >> 20, engine.cpus));
    let of = |given: bool, role: &'static str| given.then_some(role);
    let roles = [
        Some("hosts"),
        of(host.engine.is_some(), "engine"),
        of(host.store.is_some(), "consul"),
        of(host.agent.is_some(), "agent"),
        of(host.manager.is_some(), "manager"),
    ];
    let pair = |prefix: String| [format!("{prefix}cert.pem"), format!("{prefix}key.pem")];
    let pairs = [
        host.engine.as_ref().map(|_| format!("{}-", host.name)),
        host.store.as_ref().map(|_| STORE_PAIR.to_owned()),
        host.manager.as_ref().map(|_| "swarm-".to_owned()),
    ];
    let certs = ["ca.pem".to_owned()].into_iter();
    Machine {
        name: host.name.clone(),
        address: host.address,
        cpus,
        memory,
        roles: roles.into_iter().flatten().collect(),
        certs: certs.chain(pairs.into_iter().flatten().flat_map(pair)).collect(),
        environment: clusters
            .into_iter()
            .map(|(name, cluster)| {
                let same = |other: &&Host| other.name == host.name;
                (name, environment(cluster, cluster.hosts.iter().find(same).unwrap_or(host)))
            })
            .collect(),
    }
}

/// What the scripts read on a host.
fn environment(cluster: &Cluster, host: &Host) -> IndexMap<&'static str, String> {
    let names = cluster.hosts.iter().map(|host| format!("{} {}", host.address, host.name));
    let mut all = IndexMap::from([
        ("HOSTS", names.collect::<Vec<_>>().join(",")),
        ("TLS", if cluster.tls { "on" } else { "off" }.to_owned()),
    ]);
    if host.engine.is_some() {
        all.insert("ENGINE_ARGS", cluster.engine_args(host, cluster.tls).join(" "));
    }
    if host.store.is_some() {
        all.insert("CONSUL_CONFIG", consul(cluster, host));
    }
    if let Some(agent) = &host.agent {
        all.insert("AGENT_ARGS", cluster.agent_args(host, agent).join(" "));
    }
    if let Some(manager) = &host.manager {
        all.insert("MANAGER_ARGS", cluster.manager_args(manager).join(" "));
    }
    all
}

/// The configuration of a store that is the only one, and talks on the cluster's network alone.
fn consul(cluster: &Cluster, host: &Host) -> String {
    let mut config = json!({
        "server": true,
        "bootstrap": true,
        "bind_addr": host.address,
        "client_addr": format!("127.0.0.1 {}", host.address),
        "data_dir": "/var/lib/consul",
        "disable_update_check": true,
        "performance": { "raft_multiplier": 1 },
    });
    if cluster.tls {
        config["ports"] = json!({ "http": -1, "https": consul_port(true) });
        config["verify_incoming_https"] = true.into();
        config["ca_file"] = format!("{PKI}/ca.pem").into();
        config["cert_file"] = format!("{PKI}/{STORE_PAIR}cert.pem").into();
        config["key_file"] = format!("{PKI}/{STORE_PAIR}key.pem").into();
    }
    config.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, Source, parse};

    const VAGRANT4: &str = include_str!("../../scenarios/vagrant4.yaml");
    const COMMITTED: &str = include_str!("../../vagrant/cluster.json");

    fn cluster(text: &str, tls: bool) -> Cluster {
        let overrides = Overrides { tls: Some(tls) };
        let scenario = parse(Source::new("scenario.yaml", text), &overrides);
        scenario.unwrap_or_else(|report| panic!("{report}")).cluster
    }

    #[test]
    fn the_committed_facts_are_those_of_the_scenario() {
        for tls in [false, true] {
            assert!(
                COMMITTED == vagrant(&cluster(VAGRANT4, tls)),
                "vagrant/cluster.json is stale; write it anew with:\n\n    \
                 cargo lab export vagrant scenarios/vagrant4.yaml > vagrant/cluster.json\n"
            );
        }
    }

    #[test]
    fn a_cluster_grows_by_engines_like_those_it_has() {
        let all = grown(&cluster(VAGRANT4, false), 8);
        let names: Vec<_> = all.hosts.iter().map(|host| host.name.as_str()).collect();
        assert_eq!(names[4..], ["dockerhost04", "dockerhost05", "dockerhost06", "dockerhost07"]);
        let of = |name: &str| all.host(name).and_then(|host| host.engine.clone());
        assert_eq!(of("dockerhost04"), of("dockerhost01"));
        assert_eq!(of("dockerhost06"), of("dockerhost03"));
        let last = all.host("dockerhost07").unwrap();
        assert_eq!(last.address, Ipv4Addr::new(10, 100, 199, 207));
        assert!(last.agent.is_some());
    }

    #[test]
    fn a_cluster_with_a_list_or_without_numbers_does_not_grow() {
        let list = "name: t\ncluster: { hosts: { a1: { engine: {}, manager: {} } } }\n\
                    steps: [{ wait: { healthy: 1 } }]\n";
        assert_eq!(grown(&cluster(list, false), 8).hosts.len(), 1);
        let words = "name: t\ncluster: { hosts: { a: { store: consul, manager: {} }, \
                     red: { engine: {} } } }\nsteps: [{ wait: { healthy: 1 } }]\n";
        assert_eq!(grown(&cluster(words, false), 8).hosts.len(), 2);
    }
}

//! Is this the cluster that the scenario means? What `docker info` of the manager says, against the
//! scenario.

use swarm::ctx::Addr;

use crate::runner::view::Info;
use crate::scenario::cluster::{Cluster, engine_port};
use crate::world::WorldError;

/// Refuses a cluster whose nodes are not the scenario's.
pub(super) fn check(cluster: &Cluster, manager: &Addr, info: &Info) -> Result<(), WorldError> {
    if info.strategy.is_empty() {
        let what = format!("{manager} is not a swarm manager: its `docker info` lists no nodes");
        return Err(WorldError::new(what, "-H takes the address of the manager, not of an engine"));
    }
    let differences = differences(cluster, info);
    if differences.is_empty() {
        return Ok(());
    }
    let what = format!("{manager} is not the cluster of {}", cluster.name);
    Err(WorldError::new(what, differences.join("\n  = ")))
}

/// Where the cluster is not what the scenario says, a line for each.
fn differences(cluster: &Cluster, info: &Info) -> Vec<String> {
    let mut found = Vec::new();
    let named = |name: &str| info.nodes.iter().find(|node| node.name == name);
    for host in cluster.announced() {
        let name = &host.name;
        let Some(node) = named(name) else {
            found.push(format!("it has no node {name}"));
            continue;
        };
        let addr = format!("{}:{}", host.address, engine_port(cluster.tls));
        if node.addr != addr {
            found.push(format!(
                "{name} is at {}, not at {addr}: `addresses` in the endpoint file can say so",
                node.addr
            ));
        }
        for (key, value) in host.engine.iter().flat_map(|engine| &engine.labels) {
            match node.labels.get(key) {
                Some(seen) if seen == value => {}
                Some(seen) => found.push(format!("{name} has {key}={seen}, not {key}={value}")),
                None => found.push(format!("{name} lacks the label {key}={value}")),
            }
        }
    }
    for node in &info.nodes {
        if cluster.announced().all(|host| host.name != node.name) {
            let (name, addr, status) = (&node.name, &node.addr, &node.status);
            found.push(format!("its node {name} at {addr} ({status}) is not in the scenario"));
        }
    }
    let strategy = cluster.manager().map(|(_, manager)| manager.strategy.as_str());
    if let Some(strategy) = strategy.filter(|strategy| *strategy != info.strategy) {
        found.push(format!("its strategy is {}, not {strategy}", info.strategy));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scenario::{Overrides, Source, parse};

    fn cluster() -> Cluster {
        let text = "name: demo\ncluster:\n  hosts:\n    \
                    boss: { address: 10.100.199.9, store: consul, manager: { strategy: spread } }\n    \
                    red: { address: 10.100.199.10, engine: { labels: { disk: ssd } } }\n    \
                    blue: { address: 10.100.199.11, engine: { labels: { disk: hdd } } }\n\
                    steps: [{ wait: { healthy: 1 } }]\n";
        let scenario = parse(Source::new("demo.yaml", text), &Overrides::default());
        scenario.unwrap_or_else(|report| panic!("{report}")).cluster
    }

    fn told(rows: &serde_json::Value) -> String {
        let info = Info::parse(&json!({ "SystemStatus": rows }));
        let done = check(&cluster(), &Addr::tcp("boss", 2375), &info);
        done.map_or_else(|error| format!("{}\n  = {}", error.what, error.help), |()| "fine".into())
    }

    #[test]
    fn the_scenarios_own_cluster_passes_whatever_else_its_engines_say() {
        let rows = json!([
            ["Strategy", "spread"],
            ["Nodes", "2"],
            [" red", "10.100.199.10:2375"],
            ["  └ Status", "Healthy"],
            ["  └ Labels", "disk=ssd, kernelversion=6.1.0, storagedriver=overlay2"],
            [" blue", "10.100.199.11:2375"],
            ["  └ Labels", "disk=hdd"],
        ]);
        assert_eq!(told(&rows), "fine");
    }

    #[test]
    fn every_difference_is_told() {
        let rows = json!([
            ["Strategy", "binpack"],
            ["Nodes", "2"],
            [" red", "192.0.2.7:2375"],
            ["  └ Labels", "disk=hdd"],
            [" (unknown)", "10.100.199.12:2375"],
            ["  └ Status", "Pending"],
        ]);
        insta::assert_snapshot!(told(&rows));
    }

    #[test]
    fn an_engine_is_not_a_manager() {
        assert!(told(&json!(null)).contains("boss:2375 is not a swarm manager"));
    }
}

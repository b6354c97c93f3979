//! What must hold after every step, read from the engines themselves and not from the manager
//! under test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use swarm::cluster::{LINEAGE_LABEL, Lineage};

use super::view::{Endpoints, LIST, Listed, Row};
use crate::scenario::cluster::Cluster;
use crate::scenario::{Expression, Invariant};

/// The label by which a manager marks the containers it made.
const SWARM_ID: &str = "com.docker.swarm.id";
/// The label in which a manager keeps the constraints of a container, as a JSON list.
const CONSTRAINTS: &str = "com.docker.swarm.constraints";

/// One container as its engine describes it.
pub struct Found {
    /// Host of the engine.
    pub host: String,
    /// Its row in the engine's list.
    pub row: Row,
    /// What the engine's inspect said of its configuration.
    pub inspect: Arc<Value>,
}

impl Found {
    /// Whether a manager made it: nothing is promised for what others made.
    fn is_swarms(&self) -> bool {
        self.inspect["Config"]["Labels"][SWARM_ID].is_string()
    }

    /// The IDs of the containers that a manager made this one in place of, the original first.
    fn stands_for(&self) -> Vec<String> {
        let label = self.inspect["Config"]["Labels"][LINEAGE_LABEL].as_str().unwrap_or_default();
        Lineage::parse(label).map(|lineage| lineage.from).unwrap_or_default()
    }

    fn is_copy_of(&self, other: &Self) -> bool {
        let (mine, others) = (self.stands_for(), other.stands_for());
        mine.contains(&other.row.id)
            || others.contains(&self.row.id)
            || !mine.is_empty() && mine.first() == others.first()
    }
}

/// All containers of all engines that answer, and who did not.
pub struct Truth {
    /// The containers, by host and name.
    pub containers: Vec<Found>,
    /// Hosts whose engine did not answer.
    pub silent: BTreeSet<String>,
    /// Whether there must be one copy of each container: nothing is wrong with the cluster.
    pub settled: bool,
}

impl Truth {
    /// Asks every engine but those that are known to be `silent`.
    pub async fn read(endpoints: &Endpoints, silent: impl Fn(&str) -> bool, settled: bool) -> Self {
        let mut truth = Self { containers: Vec::new(), silent: BTreeSet::new(), settled };
        for (host, api) in &endpoints.engines {
            if silent(host) {
                truth.silent.insert(host.clone());
                continue;
            }
            let Ok(rows) = api.get_as::<Vec<Listed>>(LIST).await else {
                truth.silent.insert(host.clone());
                continue;
            };
            let rows = rows.into_iter().filter(|row| endpoints.counts(row));
            let mut rows: Vec<_> = rows.map(Row::from_engine).collect();
            rows.sort_by(|a, b| a.name.cmp(&b.name));
            for row in rows {
                // A container that went away since the list is not there: nothing to check.
                if let Some(inspect) = endpoints.configuration(api, &row.id).await {
                    truth.containers.push(Found { host: host.clone(), row, inspect });
                }
            }
        }
        truth
    }
}

/// What the manager acknowledged: container IDs with the names they were made under.
pub type Acknowledged = BTreeMap<String, String>;

/// Checks one invariant.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn check(
    invariant: Invariant,
    truth: &Truth,
    cluster: &Cluster,
    acknowledged: &Acknowledged,
) -> Result<(), String> {
    match invariant {
        Invariant::UniqueNames => unique_names(truth),
        Invariant::UniquePorts => unique_ports(truth),
        Invariant::WithinResources => within_resources(truth, cluster),
        Invariant::ConstraintsHold => constraints_hold(truth, cluster),
        Invariant::NothingLost => nothing_lost(truth, acknowledged),
    }
}

/// What the manager promises beyond what an engine has, unless it is told otherwise, in percent.
const OVERCOMMIT_PERCENT: u64 = 5;

fn within_resources(truth: &Truth, cluster: &Cluster) -> Result<(), String> {
    for (host, engine) in cluster.engines() {
        let here = || truth.containers.iter().filter(|f| f.host == host.name && f.is_swarms());
        let reserved = |key: &str| -> u64 {
            here().map(|found| found.inspect["HostConfig"][key].as_u64().unwrap_or(0)).sum()
        };
        let with_overcommit = |has: u64| has + has * OVERCOMMIT_PERCENT / 100;
        let (used, most) = (reserved("Memory"), with_overcommit(engine.memory));
        if used > most {
            let name = &host.name;
            return Err(format!("containers on {name} reserve {used} bytes of memory of {most}"));
        }
        // The manager hands out 1024 shares for all the CPUs of an engine; rounding up may add one
        // to each container.
        let (shares, most) = (reserved("CpuShares"), with_overcommit(1024) + here().count() as u64);
        if shares > most {
            let name = &host.name;
            return Err(format!("containers on {name} reserve {shares} of {most} CPU shares"));
        }
    }
    Ok(())
}

/// Hard constraints on labels and names of hosts. Those on what an engine says of itself
/// (`storagedriver` and the like) are not in the scenario and so not looked at.
fn constraints_hold(truth: &Truth, cluster: &Cluster) -> Result<(), String> {
    for found in truth.containers.iter().filter(|found| found.is_swarms()) {
        let list = found.inspect["Config"]["Labels"][CONSTRAINTS].as_str().unwrap_or("[]");
        let list: Vec<String> = serde_json::from_str(list).unwrap_or_default();
        let labels =
            cluster.host(&found.host).and_then(|h| h.engine.as_ref()).map(|engine| &engine.labels);
        let Some(labels) = labels else { continue };
        for expression in list.iter().filter_map(|text| Expression::parse(text).ok()) {
            let value = match expression.key.as_str() {
                "node" => Some(&found.host),
                key => labels.get(key),
            };
            let Some(value) = value.filter(|_| !expression.soft) else { continue };
            if !expression.matches([value.as_str()]) {
                let (name, host) = (&found.row.name, &found.host);
                return Err(format!("{name} must not be on {host}: {}", expression.text));
            }
        }
    }
    Ok(())
}

fn unique_names(truth: &Truth) -> Result<(), String> {
    let mut seen: BTreeMap<&str, &Found> = BTreeMap::new();
    for found in truth.containers.iter().filter(|found| found.is_swarms()) {
        if let Some(other) = seen.insert(&found.row.name, found)
            && (truth.settled || !found.is_copy_of(other))
        {
            let (name, there) = (&found.row.name, &other.host);
            return Err(format!("two containers are named {name}: on {there} and {}", found.host));
        }
    }
    Ok(())
}

fn unique_ports(truth: &Truth) -> Result<(), String> {
    let mut seen: BTreeMap<(&str, String), &str> = BTreeMap::new();
    for found in truth.containers.iter().filter(|found| found.is_swarms()) {
        let bindings = found.inspect["HostConfig"]["PortBindings"].as_object();
        for (inner, binding) in bindings.into_iter().flatten() {
            let kind = inner.rsplit_once('/').map_or("tcp", |(_, kind)| kind);
            for one in binding.as_array().into_iter().flatten() {
                let port = one["HostPort"].as_str().unwrap_or_default();
                if port.is_empty() || port == "0" {
                    continue;
                }
                let ip = one["HostIp"].as_str().unwrap_or_default();
                let claim = (found.host.as_str(), format!("{ip}:{port}/{kind}"));
                if let Some(other) = seen.insert(claim, &found.row.name) {
                    let (host, name) = (&found.host, &found.row.name);
                    return Err(format!("{other} and {name} both claim port {port} of {host}"));
                }
            }
        }
    }
    Ok(())
}

fn nothing_lost(truth: &Truth, acknowledged: &Acknowledged) -> Result<(), String> {
    // An engine that is silent may still hold what is not seen: no verdict is possible.
    if !truth.silent.is_empty() {
        return Ok(());
    }
    for (id, name) in acknowledged {
        let is_it = |found: &Found| found.row.id == *id || found.stands_for().contains(id);
        if !truth.containers.iter().any(is_it) {
            let id = &id[..id.len().min(12)];
            return Err(format!("{name} ({id}) was acknowledged and is on no engine any more"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(host: &str, name: &str, port: &str) -> Found {
        let row = json!({"Id": format!("{host}{name}"), "Names": [format!("/{name}")]});
        let inspect = json!({
            "Config": {"Labels": {SWARM_ID: "x"}},
            "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": port}]}},
        });
        let row = Row::from_engine(serde_json::from_value(row).unwrap());
        Found { host: host.into(), row, inspect: Arc::new(inspect) }
    }

    fn truth(containers: Vec<Found>) -> Truth {
        Truth { containers, silent: BTreeSet::new(), settled: true }
    }

    #[test]
    fn copies_may_be_two_while_something_is_wrong_and_no_longer() {
        let (id, other) = ("a".repeat(64), "b".repeat(64));
        let copy = |host: &str, id: &str, from: Option<&str>| {
            let mut found = found(host, "web", "");
            found.row.id = id.to_owned();
            if let Some(from) = from {
                let lineage = json!({"generation": 1, "running": true, "from": [from]});
                let inspect = Arc::make_mut(&mut found.inspect);
                inspect["Config"]["Labels"][LINEAGE_LABEL] = lineage.to_string().into();
            }
            found
        };
        let copies = || vec![copy("a", &id, None), copy("b", &other, Some(&id))];
        let divided = Truth { settled: false, ..truth(copies()) };
        assert_eq!(unique_names(&divided), Ok(()));
        assert!(unique_names(&truth(copies())).is_err());
        let strangers = vec![copy("a", &id, None), copy("b", &other, None)];
        assert!(unique_names(&Truth { settled: false, ..truth(strangers) }).is_err());
        // Whoever stands for a container has not lost it.
        let acknowledged = Acknowledged::from([(id.clone(), "web".to_owned())]);
        let moved = truth(vec![copy("b", &other, Some(&id))]);
        assert_eq!(nothing_lost(&moved, &acknowledged), Ok(()));
        assert!(nothing_lost(&truth(vec![copy("b", &other, None)]), &acknowledged).is_err());
    }

    #[test]
    fn a_name_twice_is_found_and_names_both_hosts() {
        let error = unique_names(&truth(vec![found("a", "web", ""), found("b", "web", "")]));
        assert_eq!(error.unwrap_err(), "two containers are named web: on a and b");
        assert!(unique_names(&truth(vec![found("a", "x", ""), found("b", "y", "")])).is_ok());
    }

    #[test]
    fn a_port_twice_on_one_host_is_found() {
        let error = unique_ports(&truth(vec![found("a", "x", "80"), found("a", "y", "80")]));
        assert_eq!(error.unwrap_err(), "x and y both claim port 80 of a");
        assert!(unique_ports(&truth(vec![found("a", "x", "80"), found("b", "y", "80")])).is_ok());
        assert!(unique_ports(&truth(vec![found("a", "x", ""), found("a", "y", "")])).is_ok());
    }

    #[test]
    fn more_than_an_engine_has_is_found() {
        let text = "name: t\ncluster: { hosts: { a: { engine: { memory: 1GiB }, manager: {} } } }\n\
                    steps: [{ wait: { healthy: 1 } }]\n";
        let source = crate::scenario::Source::new("t.yaml", text);
        let scenario = crate::scenario::parse(source, &crate::scenario::Overrides::default());
        let cluster = scenario.unwrap_or_else(|report| panic!("{}", report.render(false))).cluster;
        let with = |key: &str, value: u64| {
            let mut one = found("a", "x", "");
            Arc::make_mut(&mut one.inspect)["HostConfig"][key] = value.into();
            within_resources(&truth(vec![one]), &cluster)
        };
        assert!(with("Memory", 1 << 30).is_ok());
        assert!(with("Memory", 2 << 30).unwrap_err().contains("bytes of memory"));
        assert!(with("CpuShares", 1024).is_ok());
        assert!(with("CpuShares", 2048).unwrap_err().contains("CPU shares"));
    }

    #[test]
    fn an_acknowledged_container_must_be_somewhere() {
        let acknowledged = Acknowledged::from([("ax".to_owned(), "x".to_owned())]);
        assert!(nothing_lost(&truth(vec![found("a", "x", "")]), &acknowledged).is_ok());
        let error = nothing_lost(&truth(vec![]), &acknowledged).unwrap_err();
        assert!(error.contains("x (ax) was acknowledged"), "{error}");
        let silent = BTreeSet::from(["a".to_owned()]);
        let silent = Truth { containers: vec![], silent, settled: true };
        assert!(nothing_lost(&silent, &acknowledged).is_ok());
    }
}

//! What an engine says of itself, and whether that makes it a usable node.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Cluster, Facts, Node, Specs, SpecsError, State, json};

/// Clocks that differ by less are taken as equal.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(2);

/// Labels every node has, with the member of `/info` they come from.
const STANDARD_LABELS: [(&str, &str); 4] = [
    ("storagedriver", "/Driver"),
    ("kernelversion", "/KernelVersion"),
    ("operatingsystem", "/OperatingSystem"),
    ("ostype", "/OSType"),
];

impl Cluster {
    /// Takes over what the engine at `addr` answered to `/info` and `/version`; `ip` is what its
    /// host resolved to, `info_at` the wall clock when the answer to `/info` was complete, which
    /// tells how far the engine's clock is off. Returns warnings to be logged.
    ///
    /// # Errors
    /// The classic manager's text when this is no engine, when a label has no `=`, or when it is
    /// another engine than before at this address. In the last case everything known of the old
    /// one is dropped and the node is pending again; a later validation may take the new one.
    pub fn set_specs(
        &mut self,
        addr: &str,
        ip: &str,
        info: &Value,
        version: &Value,
        info_at: Timestamp,
    ) -> Result<Vec<String>, SpecsError> {
        let Some(node) = self.nodes.get(addr) else {
            return Err(refused("Engine no longer exists".to_owned()));
        };
        let id = format!("{}|{addr}", json::text(info, "/ID"));
        if node.registered && node.id != id {
            return Err(self.forget_identity(node.slot, &id));
        }
        let (slot, meaning) = (node.slot, (node.specs.cpus, node.clock_delta));
        let taken = self.change_node(addr, |node| take_specs(node, ip, id, info, version, info_at));
        // Shares mean CPUs and dates mean moments only with the numbers just read.
        self.read_again(slot, meaning);
        taken.unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Reads the containers of a node again if its CPUs or its clock are not what they were.
    fn read_again(&mut self, slot: u32, (cpus, clock_delta): (i64, SignedDuration)) {
        let Some(node) = self.nodes.at(slot) else { return };
        let now = (node.specs.cpus, node.clock_delta);
        if now == (cpus, clock_delta) {
            return;
        }
        let ids: Vec<String> = node.containers.keys().map(str::to_owned).collect();
        for id in ids {
            let Some(container) = self.take(slot, &id) else { continue };
            let mut container = Arc::unwrap_or_clone(container);
            container.facts = Facts::read(&container.summary, &container.inspect, now.0, now.1);
            self.put(slot, container);
        }
    }

    /// Drops everything known of the engine at a node's address, as there is another one now.
    fn forget_identity(&mut self, slot: u32, id: &str) -> SpecsError {
        self.take_all(slot);
        let message = self.nodes.at_mut(slot).map(|node| {
            let message = format!(
                "Engine (ID: {}, Addr: {}) shows up with another ID:{id}. Please remove it from \
                 cluster, it can be added back.",
                node.id, node.addr
            );
            *node = Node {
                addr: std::mem::take(&mut node.addr),
                state: State::Pending,
                updated_at: node.updated_at,
                slot,
                ..Node::default()
            };
            self.index.sync_node(node, &self.options);
            message
        });
        SpecsError { message: message.unwrap_or_default(), identity_changed: true }
    }
}

/// Takes over the answers of an engine whose identity is the node's.
fn take_specs(
    node: &mut Node,
    ip: &str,
    id: String,
    info: &Value,
    version: &Value,
    info_at: Timestamp,
) -> Result<Vec<String>, SpecsError> {
    let (cpus, memory) = (json::int(info, "/NCPU"), json::int(info, "/MemTotal"));
    if cpus <= 0 || memory <= 0 {
        return Err(refused(format!(
            "cannot get resources for this engine, make sure {} is a Docker Engine, \
                 not a Swarm manager",
            node.addr
        )));
    }
    ip.clone_into(&mut node.ip);
    node.id = id;
    json::text(info, "/Name").clone_into(&mut node.name);
    let engine_version = json::text(version, "/Version").to_owned();
    node.specs = Specs { cpus, memory, labels: BTreeMap::new(), version: engine_version };
    let mut warnings = Vec::new();
    set_clock_delta(node, info, info_at, &mut warnings);
    set_labels(node, info, &mut warnings)?;
    Ok(warnings)
}

fn refused(message: String) -> SpecsError {
    SpecsError { message, identity_changed: false }
}

fn set_clock_delta(node: &mut Node, info: &Value, info_at: Timestamp, warnings: &mut Vec<String>) {
    let theirs: Option<Timestamp> = json::text(info, "/SystemTime").parse().ok();
    let delta = theirs.map_or(SignedDuration::ZERO, |theirs| info_at.duration_since(theirs));
    if delta.abs() < CLOCK_TOLERANCE {
        node.clock_delta = SignedDuration::ZERO;
        return;
    }
    node.clock_delta = delta;
    warnings.push(format!(
        "Engine (ID: {}, Addr: {}) has unsynchronized clock: the manager is {} ms ahead of it.",
        node.id,
        node.addr,
        delta.as_millis()
    ));
}

/// Standard labels first: an engine's own label cannot replace one, nor be called `node`, which
/// expressions use for the node's name.
fn set_labels(node: &mut Node, info: &Value, warnings: &mut Vec<String>) -> Result<(), SpecsError> {
    for (key, pointer) in STANDARD_LABELS {
        let value = json::text(info, pointer);
        if !value.is_empty() {
            node.specs.labels.insert(key.to_owned(), value.to_owned());
        }
    }
    let engine = format!("Engine (ID: {}, Addr: {})", node.id, node.addr);
    for label in json::texts(info, "/Labels") {
        let Some((key, value)) = label.split_once('=') else {
            return Err(refused(format!(
                "{engine} contains an invalid label ({label}) not formatted as \"key=value\"."
            )));
        };
        if key == "node" {
            warnings.push(format!(
                "{engine} contains a label ({label}) with key of \"node\" which cannot be used \
                 in Swarm."
            ));
        } else if let Some(current) = node.specs.labels.get(key) {
            warnings.push(format!(
                "{engine} contains a label ({label}) that cannot replace its {key}={current}."
            ));
        } else {
            node.specs.labels.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{GIB, add_engine, addr, cluster, info, inspect, now, put, summary};
    use super::*;
    use serde_json::json;

    /// What the engine at a new address is taken for.
    fn specs_of(info: &Value) -> (Node, Result<Vec<String>, SpecsError>) {
        let mut cluster = Cluster::default();
        cluster.add_node("10.0.0.1:2375", now());
        let version = json!({"Version": "24.0.1"});
        let result = cluster.set_specs("10.0.0.1:2375", "10.0.0.1", info, &version, now());
        (cluster.node("10.0.0.1:2375").expect("it was added").clone(), result)
    }

    #[test]
    fn standard_labels_come_first_and_the_value_may_hold_equals_signs() {
        let (node, warnings) = specs_of(&info("node-1", 4, GIB, &["a=b=c", "storage="]));
        assert_eq!(warnings, Ok(vec![]));
        assert_eq!(node.id, "ID-node-1|10.0.0.1:2375");
        let labels: Vec<_> =
            node.specs.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let expected = [
            "a=b=c",
            "kernelversion=6.1.0",
            "operatingsystem=Debian GNU/Linux 12",
            "ostype=linux",
            "storage=",
            "storagedriver=overlay2",
        ];
        assert_eq!(labels, expected);
        assert!(!node.registered);
    }

    #[test]
    fn labels_that_cannot_be_used_are_warned_of() {
        let (node, warnings) =
            specs_of(&info("node-1", 4, GIB, &["node=foo", "storagedriver=x", "ok=1"]));
        let warnings = warnings.expect("a usable engine");
        assert_eq!(
            warnings[0],
            "Engine (ID: ID-node-1|10.0.0.1:2375, Addr: 10.0.0.1:2375) contains a label \
             (node=foo) with key of \"node\" which cannot be used in Swarm."
        );
        assert!(warnings[1].contains("(storagedriver=x)"), "{warnings:?}");
        assert_eq!(node.specs.labels["storagedriver"], "overlay2");
        assert_eq!(node.specs.labels["ok"], "1");
        assert!(!node.specs.labels.contains_key("node"));
    }

    #[test]
    fn a_label_without_equals_sign_refuses_an_engine_that_is_already_shown() {
        let (node, result) = specs_of(&info("node-1", 4, GIB, &["broken"]));
        assert_eq!(
            result.expect_err("a broken label").to_string(),
            "Engine (ID: ID-node-1|10.0.0.1:2375, Addr: 10.0.0.1:2375) contains an invalid label \
             (broken) not formatted as \"key=value\"."
        );
        assert_eq!((node.name.as_str(), node.specs.cpus), ("node-1", 4));
    }

    #[test]
    fn a_manager_is_no_engine() {
        let (node, result) = specs_of(&info("node-1", 0, GIB, &[]));
        assert_eq!(
            result.expect_err("no CPUs").to_string(),
            "cannot get resources for this engine, make sure 10.0.0.1:2375 is a Docker Engine, \
             not a Swarm manager"
        );
        assert_eq!(node.name, "");
    }

    #[test]
    fn another_engine_at_the_address_must_be_validated_again() {
        let mut cluster = cluster(&["node-1"]);
        put(&mut cluster, 1, "web", &json!({}));
        let other = info("other", 2, GIB, &[]);
        let error =
            cluster.set_specs(&addr(1), "", &other, &json!({}), now()).expect_err("another engine");
        assert!(error.identity_changed);
        assert_eq!(
            error.message,
            "Engine (ID: ID-node-1|10.0.0.1:2375, Addr: 10.0.0.1:2375) shows up with another \
             ID:ID-other|10.0.0.1:2375. Please remove it from cluster, it can be added back."
        );
        let node = cluster.node(&addr(1)).expect("still known");
        assert_eq!((node.state, node.registered), (State::Pending, false));
        assert!(node.containers.is_empty());
        assert!(cluster.find_container("web").is_none());
        add_engine(&mut cluster, &addr(1), "other", &[]);
        assert!(cluster.node(&addr(1)).expect("still known").registered);
    }

    #[test]
    fn clocks_count_as_equal_below_two_seconds() {
        for (theirs, delta) in [("03:04:03.1", 0), ("03:04:03", 2), ("03:05:05", -60)] {
            let mut info = info("node-1", 4, GIB, &[]);
            info["SystemTime"] = format!("2026-01-02T{theirs}Z").into();
            let (node, warnings) = specs_of(&info);
            assert_eq!(node.clock_delta, SignedDuration::from_secs(delta), "{theirs}");
            assert_eq!(warnings.expect("a fine engine").len(), usize::from(delta != 0));
        }
    }

    #[test]
    fn new_specs_are_applied_to_containers_already_known() {
        let mut cluster = cluster(&["node-1"]);
        let extra = json!({"HostConfig": {"CpuShares": 512}});
        cluster.update_container(&addr(1), summary("web"), Some(inspect("web", &extra)));
        let mut info = info("node-1", 8, GIB, &[]);
        info["SystemTime"] = "2026-01-02T03:03:05Z".into();
        cluster.set_specs(&addr(1), "", &info, &json!({}), now()).expect("the same engine");
        let (_, container) = cluster.find_container("web").expect("still there");
        assert_eq!(container.facts.cpus, 4);
        assert_eq!(container.facts.created().to_string(), "2026-01-01T00:01:00.5Z");
    }
}

//! What an engine says of itself, and whether that makes it a usable node.

use std::collections::BTreeMap;

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
        let Some(node) = self.nodes.get_mut(addr) else {
            return Err(refused("Engine no longer exists".to_owned()));
        };
        let id = format!("{}|{addr}", json::text(info, "/ID"));
        check_identity(node, &id)?;
        let (cpus, memory) = (json::int(info, "/NCPU"), json::int(info, "/MemTotal"));
        if cpus <= 0 || memory <= 0 {
            return Err(refused(format!(
                "cannot get resources for this engine, make sure {addr} is a Docker Engine, \
                 not a Swarm manager"
            )));
        }
        ip.clone_into(&mut node.ip);
        node.id = id;
        json::text(info, "/Name").clone_into(&mut node.name);
        let engine_version = json::text(version, "/Version").to_owned();
        node.specs = Specs { cpus, memory, labels: BTreeMap::new(), version: engine_version };
        let mut warnings = Vec::new();
        set_clock_delta(node, info, info_at, &mut warnings);
        // Shares mean CPUs and dates mean moments only with the numbers just read.
        for container in node.containers.values_mut() {
            container.facts =
                Facts::read(&container.summary, &container.inspect, cpus, node.clock_delta);
        }
        set_labels(node, info, &mut warnings)?;
        Ok(warnings)
    }
}

fn refused(message: String) -> SpecsError {
    SpecsError { message, identity_changed: false }
}

fn check_identity(node: &mut Node, id: &str) -> Result<(), SpecsError> {
    if node.id.is_empty() || node.id == id {
        return Ok(());
    }
    let message = format!(
        "Engine (ID: {}, Addr: {}) shows up with another ID:{id}. Please remove it from cluster, \
         it can be added back.",
        node.id, node.addr
    );
    *node = Node {
        addr: std::mem::take(&mut node.addr),
        state: State::Pending,
        updated_at: node.updated_at,
        ..Node::default()
    };
    Err(SpecsError { message, identity_changed: true })
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

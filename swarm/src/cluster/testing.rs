//! Clusters and containers for tests of the cluster and the scheduler.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Cluster;
use crate::scheduler::{Placement, Request, Scheduler};

pub(crate) const GIB: i64 = 1 << 30;

/// Some moment.
pub(crate) fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("a date")
}

/// The address of the node with this number in its name's place.
pub(crate) fn addr(number: usize) -> String {
    format!("10.0.0.{number}:2375")
}

/// `/info` of an engine.
pub(crate) fn info(name: &str, cpus: i64, memory: i64, labels: &[&str]) -> Value {
    json!({
        "ID": format!("ID-{name}"), "Name": name, "NCPU": cpus, "MemTotal": memory,
        "Driver": "overlay2", "KernelVersion": "6.1.0", "OperatingSystem": "Debian GNU/Linux 12",
        "OSType": "linux", "Labels": labels, "SystemTime": now().to_string(),
    })
}

/// Adds and registers an engine with 4 CPUs and 8 GiB.
pub(crate) fn add_engine(cluster: &mut Cluster, addr: &str, name: &str, labels: &[&str]) {
    cluster.add_node(addr, now());
    let info = info(name, 4, 8 * GIB, labels);
    cluster
        .set_specs(addr, "10.0.0.9", &info, &json!({"Version": "24.0.1"}), now())
        .expect("a fine engine");
    cluster.register(addr, now());
}

/// A cluster of healthy engines of these names at [`addr`] 1, 2, 3.
pub(crate) fn cluster(names: &[&str]) -> Cluster {
    let mut cluster = Cluster::default();
    for (index, name) in names.iter().enumerate() {
        add_engine(&mut cluster, &addr(index + 1), name, &[]);
    }
    cluster
}

/// The ID of the container of this name.
pub(crate) fn container_id(name: &str) -> String {
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex:0<64}")
}

/// The list row of a running container.
pub(crate) fn summary(name: &str) -> Value {
    json!({"Id": container_id(name), "Names": [format!("/{name}")], "State": "running"})
}

/// The inspect JSON of a running container with the members of `extra` added.
pub(crate) fn inspect(name: &str, extra: &Value) -> Value {
    let mut inspect = json!({
        "Id": container_id(name), "Name": format!("/{name}"), "Created": "2026-01-01T00:00:00.5Z",
        "State": {"Running": true, "StartedAt": "2026-01-01T00:00:01Z",
                  "FinishedAt": "0001-01-01T00:00:00Z"},
        "Config": {"Image": "nginx", "Labels": null}, "HostConfig": {},
    });
    let members = extra.as_object().expect("members");
    inspect.as_object_mut().expect("an object").extend(members.clone());
    inspect
}

/// Puts a running container on the node with this number.
pub(crate) fn put(cluster: &mut Cluster, node: usize, name: &str, extra: &Value) {
    cluster.update_container(&addr(node), summary(name), Some(inspect(name, extra)));
}

/// Reads a create body that has nothing wrong.
pub(crate) fn request(name: &str, mut body: Value) -> Request {
    Request::from_create(name, &mut body).expect("a fine request")
}

/// Places a create body with all filters and `spread`: the placement, or the client's text.
pub(crate) fn place(cluster: &Cluster, body: Value) -> Result<Placement, String> {
    Scheduler::default()
        .place(cluster, &request("", body), &mut |_| 0)
        .map_err(|rejection| rejection.message)
}

/// The names of the nodes that would take a create body, best first.
pub(crate) fn fitting(cluster: &Cluster, body: Value) -> Vec<String> {
    let placement = place(cluster, body).unwrap_or_default();
    let node = |addr: &String| cluster.node(addr).expect("a known node").name.clone();
    placement.ranked.iter().map(node).collect()
}

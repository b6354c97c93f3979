//! Shared inputs of the benchmarks.

use serde_json::{Value, json};
use swarm::cluster::{Cluster, Options};
use swarm::scheduler::Request;

/// Containers on each node, as in the published scale test of the classic manager.
pub const CONTAINERS_PER_NODE: usize = 30;

/// A cluster of `nodes` healthy nodes with [`CONTAINERS_PER_NODE`] containers each. Every tenth
/// node has the label `disk=ssd`; the containers of every second node hold port 80.
#[must_use]
pub fn cluster(nodes: usize) -> Cluster {
    let mut cluster = Cluster::new(Options::default());
    let now = jiff::Timestamp::UNIX_EPOCH;
    for n in 0..nodes {
        let addr = format!("10.{}.{}.{}:2375", n >> 16, n >> 8 & 255, n & 255);
        let disk = if n % 10 == 0 { "ssd" } else { "hdd" };
        let info = json!({
            "ID": format!("ID{n}"), "Name": format!("engine-{n}"), "NCPU": 64,
            "MemTotal": 64_u64 << 30, "Labels": [format!("disk={disk}")],
            "Driver": "overlay2", "OSType": "linux", "SystemTime": "1970-01-01T00:00:00Z",
        });
        cluster.add_node(&addr, now);
        cluster
            .set_specs(&addr, "10.0.0.1", &info, &json!({"Version": "20.10.24"}), now)
            .expect("the description is complete");
        cluster.register(&addr, now);
        for c in 0..CONTAINERS_PER_NODE {
            let (summary, inspect) = container(n, c);
            cluster.update_container(&addr, summary, Some(inspect));
        }
    }
    cluster
}

fn container(node: usize, n: usize) -> (Value, Value) {
    let id = format!("{:064x}", node * CONTAINERS_PER_NODE + n);
    let name = format!("/c{node}-{n}");
    let binding =
        if node.is_multiple_of(2) && n == 0 { json!([{"HostPort": "80"}]) } else { Value::Null };
    let summary = json!({"Id": id, "Names": [name], "Image": "nginx", "State": "running"});
    let inspect = json!({
        "Id": id, "Name": name, "Created": "1970-01-01T00:00:00Z",
        "State": {"Status": "running", "Running": true},
        "Config": {"Image": "nginx", "Labels": {}},
        "HostConfig": {"PortBindings": {"80/tcp": binding}, "Memory": 64 << 20},
    });
    (summary, inspect)
}

/// A request made from a create body.
///
/// # Panics
/// When the body is no create body.
#[must_use]
pub fn request(env: &[&str], ports: &[&str]) -> Request {
    let bindings: serde_json::Map<String, Value> =
        ports.iter().map(|port| ("80/tcp".to_owned(), json!([{"HostPort": port}]))).collect();
    let mut body = json!({
        "Image": "nginx", "Env": env, "HostConfig": {"PortBindings": bindings},
    });
    Request::from_create("new", &mut body).expect("the body is a create body")
}

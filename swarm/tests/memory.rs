//! What a container costs beside its texts and the raw JSON it came from. Nothing else may run in
//! this process, so it is the only test here.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use swarm::cluster::{Cluster, Options};

/// The system's allocator, with an eye on how much is in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NODES: usize = 200;
const CONTAINERS: usize = 30;

/// A container as `docker run -p 8080:80 -l a=b` through a manager makes it.
fn container(node: usize, n: usize) -> (Value, Value) {
    let number = (node * CONTAINERS + n) as u64;
    let random = |salt: u64| {
        // Any numbers that look like IDs: spread over all of the range.
        let word = |at: u64| (number + salt + at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (1..=4).map(|at| format!("{:016x}", word(at << 32).rotate_left(29))).collect::<String>()
    };
    let id = random(0);
    let name = format!("/project-service-{number}");
    let port = (20_000 + n).to_string();
    let bindings = json!({"80/tcp": [{"HostIp": "", "HostPort": port}]});
    let summary = json!({"Id": id, "Names": [name], "Image": "nginx:1.27", "State": "running"});
    let inspect = json!({
        "Id": id, "Name": name, "Created": "2026-01-01T00:00:00.123456789Z",
        "State": {"Running": true, "StartedAt": "2026-01-01T00:00:01Z"},
        "Config": {"Image": "nginx:1.27", "Labels": {
            "com.docker.swarm.id": random(7), "com.docker.compose.service": "web",
        }},
        "HostConfig": {"PortBindings": bindings, "Memory": 64 << 20},
    });
    (summary, inspect)
}

#[test]
fn a_container_takes_300_bytes_beside_its_texts() {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let mut cluster = Cluster::new(Options::default());
    for node in 0..NODES {
        let addr = format!("10.0.{}.{}:2375", node >> 8, node & 255);
        let info = json!({
            "ID": format!("ID{node}"), "Name": format!("engine-{node}"), "NCPU": 64,
            "MemTotal": 64_u64 << 30, "SystemTime": "1970-01-01T00:00:00Z",
        });
        cluster.add_node(&addr, now);
        cluster.set_specs(&addr, "10.0.0.1", &info, &json!({}), now).expect("a fine engine");
        cluster.register(&addr, now);
    }
    // The JSON is there before and only moves, so it does not count.
    let bodies: Vec<(String, Value, Value)> = (0..NODES * CONTAINERS)
        .map(|at| {
            let (node, n) = (at / CONTAINERS, at % CONTAINERS);
            let (summary, inspect) = container(node, n);
            (format!("10.0.{}.{}:2375", node >> 8, node & 255), summary, inspect)
        })
        .collect();
    let roots = 2 * size_of::<Value>();
    let held_by_list = size_of::<(String, Value, Value)>() * bodies.capacity()
        + bodies.iter().map(|body| body.0.capacity()).sum::<usize>();
    let before = IN_USE.load(Ordering::Relaxed) - held_by_list;
    for (addr, summary, inspect) in bodies {
        cluster.update_container(&addr, summary, Some(inspect));
    }
    let after = IN_USE.load(Ordering::Relaxed);
    let count: usize = cluster.nodes().map(|node| node.containers.len()).sum();
    assert_eq!(count, NODES * CONTAINERS);
    let containers = cluster.nodes().flat_map(|node| node.containers.values());
    let texts: usize = containers
        .map(|container| {
            let facts = &container.facts;
            let names: usize = facts.names().map(str::len).sum();
            let labels: usize = facts.labels().map(|(key, value)| key.len() + value.len()).sum();
            let ports: usize = facts.ports().map(|port| port.ip.len() + port.port.len()).sum();
            container.id.len() + names + labels + ports + facts.image().len()
        })
        .sum();
    let each = (after - before - texts) / count - roots;
    println!("{each} bytes for each container, {} of them texts", texts / count);
    assert!(each <= 300, "{each} bytes for each container");
}

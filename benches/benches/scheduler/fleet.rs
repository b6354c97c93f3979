//! Clusters of any size, as their engines tell of them.

use serde_json::{Value, json};
use swarm::cluster::Cluster;
use swarm::scheduler::Request;

use crate::world::{Container, Engine, World};

/// Containers on each node, as in the published scale test of the classic manager.
pub const CONTAINERS: usize = 30;

/// Many nodes alike.
#[derive(Clone, Copy)]
pub struct Fleet {
    pub nodes: usize,
    pub containers: usize,
}

impl Fleet {
    pub fn address(n: usize) -> String {
        format!("10.{}.{}.{}:2375", n >> 16, n >> 8 & 255, n & 255)
    }

    pub fn container_id(self, node: usize, n: usize) -> String {
        hex((node * self.containers + n) as u64, 1)
    }

    /// One of the nodes. Every tenth has the label `disk=ssd` and the image `redis:7`; the first
    /// container of every second holds port 80.
    fn engine(self, node: usize) -> Engine {
        let tenth = node.is_multiple_of(10);
        let disk = if tenth { "ssd" } else { "hdd" };
        let image = |name: &str| json!({"Id": format!("sha256:{}", hex(name.len() as u64, 2)), "RepoTags": [name]});
        let images = ["nginx:1.27", "postgres:17", "redis:7"].map(image);
        Engine {
            addr: Self::address(node),
            info: json!({
                "ID": format!("ID{node}"), "Name": format!("engine-{node}"), "NCPU": 64,
                "MemTotal": 64_u64 << 30, "OSType": "linux",
                "Labels": [format!("disk={disk}"), format!("zone=z{}", node % 7)],
                "SystemTime": "2026-01-02T03:04:05Z",
            }),
            registered: true,
            failures: 0,
            containers: (0..self.containers).map(|n| self.container(node, n)).collect(),
            images: images[..if tenth { 3 } else { 2 }].to_vec(),
        }
    }

    /// Sizes differ, as they do; names tell the node and the number.
    fn container(self, node: usize, n: usize) -> Container {
        let (id, name) = (self.container_id(node, n), format!("/c{node}-{n}"));
        let mut host = json!({"Memory": (64 + (node * 7 + n * 13) % 64) << 20});
        if node.is_multiple_of(2) && n == 0 {
            host["PortBindings"] = json!({"80/tcp": [{"HostPort": "80"}]});
        }
        let swarm_id = hex((node * self.containers + n) as u64, 3);
        Container {
            row: json!({"Id": id, "Names": [name], "State": "running"}),
            inspect: json!({
                "State": {"Running": true},
                "Config": {"Image": "nginx:1.27", "Labels": {"com.docker.swarm.id": swarm_id}},
                "HostConfig": host,
            }),
        }
    }

    /// What the manager makes of it.
    pub fn cluster(self) -> Cluster {
        let mut cluster = World { engines: Vec::new(), ..self.world_of(0) }.build();
        (0..self.nodes).for_each(|node| self.engine(node).tell(&mut cluster));
        cluster
    }

    /// What the oracle reads.
    pub fn world(self) -> World {
        self.world_of(self.nodes)
    }

    fn world_of(self, nodes: usize) -> World {
        let engines = (0..nodes).map(|node| self.engine(node)).collect();
        World { overcommit: 0, failure_retry: 3, engines, creates: Vec::new() }
    }
}

/// 64 hexadecimal digits that look as if they were drawn.
pub fn hex(number: u64, salt: u64) -> String {
    let word = |at: u64| {
        let mut x = number.wrapping_add(at << 40).wrapping_add(salt << 56);
        // The finalizer of SplitMix64.
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    (1..=4).map(|at| format!("{:016x}", word(at))).collect()
}

/// Something to place.
pub struct Case {
    pub name: &'static str,
    pub body: Value,
    /// What the classic manager takes for it at 1,000 and 10,000 nodes, and what ours may take at
    /// 10,000 nodes; texts for the table.
    pub classic: [&'static str; 2],
    pub required: &'static str,
}

pub fn request(mut body: Value) -> Request {
    Request::from_create("new", &mut body).expect("the body is a create body")
}

/// What is placed, at every size and with every strategy.
pub fn cases() -> Vec<Case> {
    let case = |name, body, classic, required| Case { name, body, classic, required };
    let env = |text: &str| json!({"Image": "nginx:1.27", "Env": [text]});
    let host = |host: Value| json!({"Image": "nginx:1.27", "HostConfig": host});
    let none = ["", ""];
    vec![
        case("plain", host(json!({})), ["0.37 ms", "6.6 ms"], "10 us"),
        case("with resources", host(json!({"Memory": 64 << 20, "CpuShares": 1})), none, ""),
        case("constraint ==", env("constraint:disk==ssd"), ["10.5 ms", "125 ms"], "10 us"),
        case("regex, seen before", env("constraint:disk==/s+d/"), ["8.6 ms", "101 ms"], "10 us"),
        case(
            "static port",
            host(json!({"PortBindings": {"80/tcp": [{"HostPort": "80"}]}})),
            ["26 ms", "303 ms"],
            "10 us",
        ),
        case("affinity container", env("affinity:container==c5-3"), ["29 ms", "298 ms"], "10 us"),
        case("affinity image", env("affinity:image==redis:7"), ["14 ms", "168 ms"], "10 us"),
        case("dependency", host(json!({"VolumesFrom": ["c5-3"]})), ["31 ms", "535 ms"], "10 us"),
        case("soft that fails", env("constraint:disk==~tape"), none, ""),
    ]
}

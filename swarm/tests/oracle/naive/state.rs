//! What a node has, and what is claimed of it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value;

use super::request::{bindings, keys, number, read, text, text_map, texts, whole};
use crate::world::{Container, Create, Engine, World};

/// A validated engine.
#[derive(Debug)]
pub struct Node<'w> {
    pub addr: String,
    /// The engine's ID and its address.
    pub id: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub cpus: i64,
    pub memory: i64,
    /// 100 without failures, 0 when unhealthy.
    pub health: i128,
    /// Its containers, in any state, and the creates under way on it.
    pub claims: Vec<Claim>,
    pub engine: &'w Engine,
}

/// A container or a create under way.
#[derive(Debug)]
pub struct Claim {
    /// `None` while it is being made.
    pub id: Option<String>,
    /// With their slashes.
    pub names: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// Empty if it has none.
    pub swarm_id: String,
    /// What it was made in place of.
    pub lineage: Option<Lineage>,
    /// Whether it was made and not started.
    pub never_ran: bool,
    /// Address and port, as far as a port is named.
    pub bindings: Vec<(String, String)>,
    pub host_mode: bool,
    pub exposed: Vec<String>,
    pub cpus: i64,
    pub memory: i64,
}

/// What a replacement stands for.
#[derive(Debug)]
pub struct Lineage {
    pub generation: u64,
    /// Whether it is to run.
    pub running: bool,
    /// IDs, the original first.
    pub from: Vec<String>,
}

impl Node<'_> {
    pub fn used_cpus(&self) -> i128 {
        self.claims.iter().map(|claim| i128::from(claim.cpus)).sum()
    }

    pub fn used_memory(&self) -> i128 {
        self.claims.iter().map(|claim| i128::from(claim.memory)).sum()
    }
}

/// The validated engines in the order in which people count them.
pub fn nodes(world: &World) -> Vec<Node<'_>> {
    let registered = world.engines.iter().filter(|engine| engine.registered);
    let mut nodes: Vec<Node<'_>> = registered.map(|engine| node(world, engine)).collect();
    nodes.sort_by(|a, b| natural(&a.name, &b.name).then(a.addr.cmp(&b.addr)));
    nodes
}

fn node<'w>(world: &World, engine: &'w Engine) -> Node<'w> {
    let info = &engine.info;
    let cpus = number(&info["NCPU"]);
    let mut claims: Vec<Claim> = engine.containers.iter().map(|c| existing(c, cpus)).collect();
    let known: Vec<String> = claims.iter().map(|claim| claim.swarm_id.clone()).collect();
    for create in world.creates.iter().filter(|create| create.addr == engine.addr) {
        if !known.contains(&create.swarm_id) {
            claims.push(under_way(create));
        }
    }
    Node {
        addr: engine.addr.clone(),
        id: format!("{}|{}", text(&info["ID"]), engine.addr),
        name: text(&info["Name"]),
        labels: node_labels(engine),
        cpus,
        memory: number(&info["MemTotal"]),
        health: health(engine.failures, world.failure_retry),
        claims,
        engine,
    }
}

fn health(failures: u32, retry: u32) -> i128 {
    if failures >= retry { 0 } else { i128::from(100 - failures * 100 / retry) }
}

fn node_labels(engine: &Engine) -> BTreeMap<String, String> {
    let standard = [
        ("storagedriver", "Driver"),
        ("kernelversion", "KernelVersion"),
        ("operatingsystem", "OperatingSystem"),
        ("ostype", "OSType"),
    ];
    let standard = standard.map(|(label, member)| (label.to_owned(), text(&engine.info[member])));
    let mut labels: BTreeMap<_, _> =
        standard.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    for label in texts(&engine.info["Labels"]) {
        let (key, value) = label.split_once('=').expect("a node without is not validated");
        if key != "node" {
            labels.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    labels
}

fn existing(container: &Container, engine_cpus: i64) -> Claim {
    let Container { row, inspect } = container;
    let host = &inspect["HostConfig"];
    let labels = text_map(&inspect["Config"]["Labels"]);
    let mut ports = bindings(&host["PortBindings"]);
    ports.extend(bindings(&inspect["NetworkSettings"]["Ports"]));
    ports.retain(|(_, port)| !port.is_empty());
    Claim {
        id: Some(container.id().to_owned()),
        names: texts(&row["Names"]),
        swarm_id: labels.get("com.docker.swarm.id").cloned().unwrap_or_default(),
        lineage: lineage(&labels),
        never_ran: inspect["State"]["Running"] == false
            && text(&inspect["State"]["StartedAt"]).starts_with("0001-"),
        labels,
        bindings: ports,
        host_mode: text(&host["NetworkMode"]) == "host",
        exposed: keys(&inspect["Config"]["ExposedPorts"]),
        cpus: match number(&host["CpuShares"]) {
            0 => whole(number(&host["NanoCpus"])),
            shares => shares * engine_cpus / 1024,
        },
        memory: number(&host["Memory"]),
    }
}

/// The label in which a manager says what it made a replacement for.
fn lineage(labels: &BTreeMap<String, String>) -> Option<Lineage> {
    let label: Value =
        serde_json::from_str(labels.get("com.docker.swarm.rescheduled-from")?).ok()?;
    Some(Lineage {
        generation: label["generation"].as_u64()?,
        running: label["running"].as_bool()?,
        from: texts(&label["from"]),
    })
}

/// What a create claims.
pub fn under_way(create: &Create) -> Claim {
    let asked = read(&create.body);
    let mut labels = asked.labels;
    labels.insert("com.docker.swarm.id".to_owned(), create.swarm_id.clone());
    let named = !create.name.is_empty();
    Claim {
        id: None,
        names: if named { vec![format!("/{}", create.name)] } else { Vec::new() },
        swarm_id: create.swarm_id.clone(),
        lineage: lineage(&labels),
        never_ran: true,
        labels,
        bindings: asked.bindings.into_iter().filter(|(_, port)| !port.is_empty()).collect(),
        host_mode: asked.host_mode,
        exposed: asked.exposed,
        cpus: asked.cpus,
        memory: asked.memory,
    }
}

/// `node2` before `node10`; digits before letters; what still is equal, by its characters.
fn natural(a: &str, b: &str) -> Ordering {
    chunks(a).cmp(&chunks(b)).then_with(|| a.cmp(b))
}

fn chunks(name: &str) -> Vec<(bool, u64, String)> {
    let mut chunks: Vec<String> = Vec::new();
    for c in name.chars() {
        match chunks.last_mut() {
            Some(chunk) if chunk.ends_with(|last: char| is_digit(last) == is_digit(c)) => {
                chunk.push(c);
            }
            _ => chunks.push(c.to_string()),
        }
    }
    let chunk = |chunk: String| match chunk.parse() {
        Ok(number) => (false, number, String::new()),
        Err(_) => (true, 0, chunk),
    };
    chunks.into_iter().map(chunk).collect()
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

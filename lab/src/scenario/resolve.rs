//! From a cluster as written to a cluster with every range expanded, every default filled in and
//! every address dealt out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use indexmap::IndexMap;

use super::cert::{CertKind, Holder};
use super::cluster::{
    Agent, Cluster, Engine, Host, Manager, StoreKind, Subnet, consul_port, engine_port,
};
use super::context::Context;
use super::decode::Entry;
use super::expect::Strategy;
use super::file::{AgentKeys, ClusterKeys, EngineKeys, HostKeys, ManagerKeys};
use super::name::Range;
use super::scalar::Period;
use super::span::{Span, Spanned};

/// Images that every engine holds in every scenario.
const IMAGES: &[&str] = &["busybox", "nginx"];

/// The network of a cluster that names none.
const NETWORK: Subnet = Subnet { base: Ipv4Addr::new(10, 100, 199, 0), prefix: 24 };

/// The network of a cluster that names none and has more hosts than [`NETWORK`] holds.
const NETWORK_LARGE: Subnet = Subnet { base: Ipv4Addr::new(10, 100, 0, 0), prefix: 16 };

/// What an engine without sizes has: a virtual machine of the reference clusters.
const ENGINE_CPUS: u32 = 1;
const ENGINE_MEMORY: u64 = 1 << 30;

/// A cluster, and how far it can be trusted.
pub struct Resolved {
    /// The cluster.
    pub cluster: Cluster,
    /// Hosts whose description has mistakes: nothing is concluded from what they lack.
    pub doubtful: BTreeSet<String>,
    /// Whether there may be further hosts that could not be read.
    pub incomplete: bool,
}

/// One host of the file after its range is expanded.
struct Slot<'a> {
    name: String,
    key: Span,
    /// Its number in the range of names.
    index: usize,
    keys: &'a HostKeys,
}

/// Resolves a cluster. Mistakes are noted; what they spoil is left out of the result.
pub fn resolve(keys: &ClusterKeys, name: &str, tls: bool, cx: &mut Context) -> Resolved {
    let mut incomplete = false;
    let mut doubtful = BTreeSet::new();
    let mut slots: Vec<Slot<'_>> = Vec::new();
    let mut seen: BTreeMap<String, Span> = BTreeMap::new();
    for entry in keys.hosts.iter().flat_map(|hosts| &hosts.value.0) {
        let Some(names) = host_names(&entry.key, cx) else {
            incomplete = true;
            continue;
        };
        check_range_address(entry, names.len(), cx);
        for (index, name) in names.into_iter().enumerate() {
            if let Some(first) = seen.insert(name.clone(), entry.key.span) {
                if first == entry.key.span {
                    continue;
                }
                let (line, column) = cx.source().position(first.start);
                let label = format!("the first is at {line}:{column}");
                cx.error(entry.key.span, format!("two hosts are called `{name}`"), label);
                continue;
            }
            if !entry.clean {
                doubtful.insert(name.clone());
            }
            match &entry.value {
                Some(keys) => slots.push(Slot { name, key: entry.key.span, index, keys }),
                None => incomplete = true,
            }
        }
    }
    let network = keys.network.as_ref().map_or_else(
        || if slots.len() > capacity(NETWORK) { NETWORK_LARGE } else { NETWORK },
        |network| network.value,
    );
    let addresses = addresses(&slots, network, cx);
    let has_store = slots.iter().any(|slot| slot.keys.store.is_some());
    let hosts = slots.iter().zip(addresses).map(|(slot, address)| Host {
        name: slot.name.clone(),
        address,
        engine: slot.keys.engine.as_ref().map(|engine| engine_of(engine, slot.index, cx)),
        store: slot.keys.store.as_ref().map(|store| store.value),
        manager: slot.keys.manager.as_ref().map(|manager| manager_of(manager, slot.keys, tls)),
        agent: match &slot.keys.agent {
            None => (slot.keys.engine.is_some() && has_store).then(Agent::default),
            Some(agent) => agent_of(agent),
        },
    });
    let hosts = hosts.collect();
    let mut images: Vec<String> = IMAGES.iter().map(|image| (*image).to_owned()).collect();
    for image in &keys.images {
        if !images.contains(&image.value) {
            images.push(image.value.clone());
        }
    }
    let cluster = Cluster { name: name.to_owned(), network, tls, hosts, images };
    Resolved { cluster, doubtful, incomplete }
}

/// The names of the hosts that one key stands for.
fn host_names(key: &Spanned<String>, cx: &mut Context) -> Option<Vec<String>> {
    let names = match Range::parse(&key.value) {
        Ok(range) => range.all(),
        Err(why) => {
            cx.error(key.span, format!("`{}` is not a host name", key.value), why);
            return None;
        }
    };
    // The rule of DNS, in one letter case: a name is compared as text.
    let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = |name: &String| {
        (1..=63).contains(&name.len())
            && name.bytes().all(inside)
            && !name.starts_with('-')
            && !name.ends_with('-')
    };
    if names.iter().all(good) {
        return Some(names);
    }
    let lower = key.value.to_lowercase().replace(['_', '.'], "-");
    let label = match lower == key.value {
        true => "at most 63 of a-z 0-9 -, with - only inside".to_owned(),
        false => format!("did you mean `{lower}`? host names have a-z 0-9 -"),
    };
    cx.error(key.span, format!("`{}` is not a host name", key.value), label);
    None
}

fn check_range_address(entry: &Entry<HostKeys>, hosts: usize, cx: &mut Context) {
    let address = entry.value.as_ref().and_then(|keys| keys.address.as_ref());
    if let Some(address) = address
        && hosts > 1
    {
        let title = format!("{hosts} hosts cannot have one address");
        cx.error(address.span, title, "leave it out: addresses are dealt out");
    }
}

/// Number of hosts that a network has room for: all addresses but its own, its gateway's and the
/// one for broadcasts.
fn capacity(network: Subnet) -> usize {
    (1 << (32 - u32::from(network.prefix))) - 3
}

/// The address that the private network's gateway has, in both worlds: the first usable one.
fn gateway(network: Subnet) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(network.base) + 1)
}

/// The address of each host: the one it names, else the first that is free.
fn addresses(slots: &[Slot<'_>], network: Subnet, cx: &mut Context) -> Vec<Ipv4Addr> {
    let mut taken: BTreeMap<Ipv4Addr, &str> = BTreeMap::new();
    for slot in slots.iter().filter(|slot| slot.index == 0) {
        let Some(address) = &slot.keys.address else { continue };
        check_address(address, network, cx);
        if let Some(other) = taken.insert(address.value, &slot.name) {
            let title = format!("two hosts have the address {}", address.value);
            cx.error(address.span, title, format!("`{other}` has it too"));
        }
    }
    let mut free = (2..).map(|n| Ipv4Addr::from(u32::from(network.base).wrapping_add(n)));
    let mut free = free.by_ref().filter(|address| !taken.contains_key(address));
    let mut full = false;
    let mut deal = |slot: &Slot<'_>| {
        if let Some(address) = &slot.keys.address {
            return address.value;
        }
        let address = free.next().expect("the iterator has no end");
        if !network.contains(address) && !full {
            full = true;
            let title = format!("the network {network} has room for {} hosts", capacity(network));
            cx.error(slot.key, title, format!("none for `{}`", slot.name));
        }
        address
    };
    slots.iter().map(&mut deal).collect()
}

fn check_address(address: &Spanned<Ipv4Addr>, network: Subnet, cx: &mut Context) {
    let ip = address.value;
    let size = 1u32 << (32 - u32::from(network.prefix));
    let base = u32::from(network.base);
    let (first, last) = (Ipv4Addr::from(base + 2), Ipv4Addr::from(base + (size - 2)));
    let (title, label) = if ip == network.base {
        (format!("{ip} is the network's own address"), "a host cannot have it".to_owned())
    } else if ip == Ipv4Addr::from(base + (size - 1)) {
        (format!("{ip} is the network's broadcast address"), "a host cannot have it".to_owned())
    } else if ip == gateway(network) {
        let label = "the first address of the network is its gateway's".to_owned();
        (format!("{ip} is taken by the network's gateway"), label)
    } else if !network.contains(ip) {
        let near = Ipv4Addr::from(base | (u32::from(ip) & (size - 1)));
        let label = match network.contains(near) && near != gateway(network) {
            true => format!("did you mean `{near}`?"),
            false => "not in the network".to_owned(),
        };
        (format!("{ip} is not in the network {network}"), label)
    } else {
        return;
    };
    cx.error(address.span, title, label).note(format!("hosts have {first} to {last}"));
}

/// The engine of the host with number `index` in its range of names.
fn engine_of(keys: &EngineKeys, index: usize, cx: &mut Context) -> Engine {
    let mut labels = IndexMap::new();
    for Entry { key, value, .. } in &keys.labels.0 {
        let Some(value) = value else { continue };
        let around = match Range::parse(&value.0) {
            Ok(range) => range.nth(index),
            Err(why) => {
                // One message for the whole range of hosts.
                if index == 0 {
                    cx.error(value.span, format!("`{}` is not a range of values", value.0), why);
                }
                continue;
            }
        };
        labels.insert(key.value.clone(), around);
    }
    Engine {
        cpus: keys.cpus.as_ref().map_or(ENGINE_CPUS, |cpus| cpus.value),
        memory: keys.memory.as_ref().map_or(ENGINE_MEMORY, |memory| memory.value.0),
        id: keys.id.as_ref().map(|id| id.value.clone()),
        labels,
        cert: keys.cert.as_ref().map_or(CertKind::Good, |cert| cert.value),
    }
}

fn manager_of(keys: &ManagerKeys, host: &HostKeys, tls: bool) -> Manager {
    let beside_engine = if host.engine.is_some() { 1000 } else { 0 };
    Manager {
        strategy: keys.strategy.as_ref().map_or(Strategy::Spread, |s| s.value).to_string(),
        port: keys.port.as_ref().map_or(engine_port(tls) + beside_engine, |port| port.value),
        options: keys.options.iter().map(|word| word.0.clone()).collect(),
        cert: keys.cert.as_ref().map_or(CertKind::Good, |cert| cert.value),
    }
}

/// Notes what a cluster cannot be.
pub fn check(keys: &ClusterKeys, resolved: &Resolved, cx: &mut Context) {
    let cluster = &resolved.cluster;
    let Some(hosts) = &keys.hosts else { return };
    let mut store: Option<&Spanned<StoreKind>> = None;
    for entry in &hosts.value.0 {
        let Some(host) = &entry.value else { continue };
        check_host(host, cluster, cx);
        if let Some(second) = &host.store {
            if store.is_some()
                || Range::parse(&entry.key.value).is_ok_and(|range| range.count() > 1)
            {
                cx.error(second.span, "a cluster has one store", "a second one");
            }
            store = Some(second);
        }
    }
    let all_there = !resolved.incomplete && hosts.value.0.iter().all(|entry| entry.clean);
    let place = hosts.value.0.first().map_or(hosts.span, |entry| entry.key.span);
    if all_there && cluster.engines().next().is_none() {
        cx.error(place, "the cluster has no engine", "no host has one: write `engine: {}`");
    }
    if all_there && cluster.manager().is_none() {
        cx.error(place, "the cluster has no manager", "no host has one: write `manager: {}`");
    }
}

/// Notes a certificate that nobody shows, or that is not wrong where it is shown.
pub fn check_cert(kind: &Spanned<CertKind>, holder: Holder, cluster: &Cluster, cx: &mut Context) {
    let problem = match (kind.value, holder) {
        _ if !cluster.tls => Some("the cluster has no TLS: write `tls: true`"),
        (CertKind::Good, _) => None,
        (CertKind::NoClientAuth, Holder::Engine) => Some("an engine shows it to nobody as client"),
        (CertKind::Plain, Holder::Manager) => {
            Some("a manager speaks TLS to its clients whenever it does to its engines")
        }
        _ => None,
    };
    if let Some(label) = problem {
        cx.error(kind.span, format!("`{}` makes no difference here", kind.value), label);
    }
}

/// The agent that is asked for, unless it is asked that there is none.
fn agent_of(keys: &AgentKeys) -> Option<Agent> {
    let given = |time: &Option<Spanned<Period>>| time.as_ref().map(|time| time.value.0);
    let default = Agent::default();
    keys.run.as_ref().is_none_or(|run| run.value).then(|| Agent {
        heartbeat: given(&keys.heartbeat).unwrap_or(default.heartbeat),
        ttl: given(&keys.ttl).unwrap_or(default.ttl),
    })
}

/// What an agent would refuse to start with, and what Consul would refuse it.
fn check_times(keys: &AgentKeys, agent: Agent, cx: &mut Context) {
    let span = |time: &Option<Spanned<Period>>| time.as_ref().map_or(keys.span, |time| time.span);
    let (heartbeat, ttl) = (span(&keys.heartbeat), span(&keys.ttl));
    if agent.heartbeat < Duration::from_secs(1) {
        cx.error(heartbeat, "a heartbeat of less than 1s", "an agent takes no shorter one");
    }
    if agent.ttl < Duration::from_secs(20) {
        cx.error(ttl, "a TTL of less than 20s", "Consul takes no shorter one");
    } else if agent.ttl <= agent.heartbeat {
        let what = "a TTL that is no longer than the heartbeat";
        cx.error(ttl, what, "the engine would leave the list between two announcements");
    }
}

fn check_host(host: &HostKeys, cluster: &Cluster, cx: &mut Context) {
    let engine = host.engine.as_ref().and_then(|engine| engine.cert.as_ref());
    let manager = host.manager.as_ref().and_then(|manager| manager.cert.as_ref());
    for (cert, holder) in [(engine, Holder::Engine), (manager, Holder::Manager)] {
        if let Some(cert) = cert {
            check_cert(cert, holder, cluster, cx);
        }
    }
    if let Some(agent) = &host.agent
        && let Some(times) = agent_of(agent)
    {
        check_times(agent, times, cx);
        if host.engine.is_none() {
            cx.error(agent.span, "an agent without an engine", "this host has nothing to announce");
        } else if cluster.store().is_none() {
            cx.error(agent.span, "an agent without a store", "no host of the cluster has one");
        }
    }
    if let Some(port) = host.manager.as_ref().and_then(|manager| manager.port.as_ref()) {
        let engine = engine_port(cluster.tls);
        let owner = match port.value {
            0 => Some("no program".to_owned()),
            port if host.engine.is_some() && port == engine => Some("this host's engine".into()),
            port if host.store.is_some() && port == consul_port(cluster.tls) => {
                Some("this host's store".into())
            }
            _ => None,
        };
        if let Some(owner) = owner {
            let label = format!("{owner} listens there");
            cx.error(port.span, format!("the manager cannot have port {}", port.value), label);
        }
    }
    for word in host.manager.iter().flat_map(|manager| &manager.options) {
        let key = match word.0.split('=').next() {
            Some("--strategy") => "strategy",
            Some("-H" | "--host") => "port",
            _ => continue,
        };
        let title = format!("`{}` is not given among the options", word.0);
        cx.error(word.span, title, format!("write `{key}: …` beside them"));
    }
    if let Some(engine) = &host.engine {
        if let Some(cpus) = engine.cpus.as_ref().filter(|cpus| cpus.value == 0) {
            cx.error(cpus.span, "an engine has one CPU or more", "");
        }
        if let Some(memory) = engine.memory.as_ref().filter(|memory| memory.value.0 == 0) {
            cx.error(memory.span, "an engine has some memory", "");
        }
    }
}

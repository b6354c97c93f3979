//! The cluster of a scenario, resolved: every range expanded, every default filled in, every
//! address dealt out. Both worlds build from this and from nothing else.

use std::fmt;
use std::net::Ipv4Addr;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// What stands before the first step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// The scenario's name.
    pub name: String,
    /// The private network all hosts are on.
    pub network: Subnet,
    /// Whether every connection is TLS with certificates checked on both sides.
    pub tls: bool,
    /// The hosts, in the order of the file.
    pub hosts: Vec<Host>,
    /// Images that every engine holds from the start, as `name` or `name:tag`.
    pub images: Vec<String>,
}

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The network's own address.
    pub base: Ipv4Addr,
    /// Length of the prefix in bits, at most 30.
    pub prefix: u8,
}

impl Subnet {
    /// Whether `ip` may be a host of the network: not its own or its broadcast address.
    #[must_use]
    pub fn contains(&self, ip: Ipv4Addr) -> bool {
        let mask = u32::MAX << (32 - u32::from(self.prefix));
        let (base, ip) = (u32::from(self.base), u32::from(ip));
        ip & mask == base & mask && ip != base && ip != base | !mask
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// One machine, and what runs on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Its host name.
    pub name: String,
    /// Its address on the cluster's network.
    pub address: Ipv4Addr,
    /// A Docker engine, if one runs here.
    pub engine: Option<Engine>,
    /// A discovery store, if one runs here.
    pub store: Option<StoreKind>,
    /// A manager, if one runs here.
    pub manager: Option<Manager>,
    /// Whether an agent announces this host's engine in the store.
    pub agent: bool,
}

/// A Docker engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Engine {
    /// Number of CPUs it reports.
    pub cpus: u32,
    /// Memory it reports, in bytes.
    pub memory: u64,
    /// Its own ID, if the scenario gives one.
    pub id: Option<String>,
    /// Its labels.
    pub labels: IndexMap<String, String>,
}

/// The kind of a discovery store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreKind {
    /// HashiCorp Consul, one server.
    Consul,
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Consul => "consul",
        })
    }
}

/// A manager.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manager {
    /// `spread`, `binpack` or `random`.
    pub strategy: String,
    /// The port it listens on.
    pub port: u16,
    /// Further words of its command line, as typed.
    pub options: Vec<String>,
}

/// The port of every Docker engine, without and with TLS.
#[must_use]
pub fn engine_port(tls: bool) -> u16 {
    if tls { 2376 } else { 2375 }
}

/// The port of Consul's HTTP interface.
pub const CONSUL_PORT: u16 = 8500;

impl Cluster {
    /// The host called `name`.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name == name)
    }

    /// The hosts with an engine.
    pub fn engines(&self) -> impl Iterator<Item = (&Host, &Engine)> {
        self.hosts.iter().filter_map(|host| Some((host, host.engine.as_ref()?)))
    }

    /// The first host with a manager.
    #[must_use]
    pub fn manager(&self) -> Option<(&Host, &Manager)> {
        self.hosts.iter().find_map(|host| Some((host, host.manager.as_ref()?)))
    }

    /// Where the docker command reaches the manager: the value of `DOCKER_HOST`.
    #[must_use]
    pub fn endpoint(&self) -> Option<String> {
        self.manager().map(|(host, manager)| format!("tcp://{}:{}", host.address, manager.port))
    }

    /// The hosts whose engine a manager finds: all if it is given a list, else those with an agent.
    pub fn announced(&self) -> impl Iterator<Item = &Host> {
        let all = self.store().is_none();
        self.engines().map(|(host, _)| host).filter(move |host| all || host.agent)
    }

    /// The first host with a store.
    #[must_use]
    pub fn store(&self) -> Option<(&Host, StoreKind)> {
        self.hosts.iter().find_map(|host| Some((host, host.store?)))
    }

    /// Where managers find their engines: the store, or a list when the cluster has none.
    #[must_use]
    pub fn discovery(&self) -> String {
        match self.store() {
            Some((host, StoreKind::Consul)) => format!("consul://{}:{CONSUL_PORT}", host.address),
            None => {
                let port = engine_port(self.tls);
                let list: Vec<_> =
                    self.engines().map(|(host, _)| format!("{}:{port}", host.address)).collect();
                format!("nodes://{}", list.join(","))
            }
        }
    }

    /// The words after `swarm` that start the manager of a host.
    #[must_use]
    pub fn manager_args(&self, manager: &Manager) -> Vec<String> {
        let mut args = vec!["manage".to_owned(), "--strategy".into(), manager.strategy.clone()];
        args.extend(["-H".into(), format!("tcp://0.0.0.0:{}", manager.port)]);
        args.extend(manager.options.iter().cloned());
        args.push(self.discovery());
        args
    }

    /// The words after `swarm` that start the agent of a host.
    #[must_use]
    pub fn agent_args(&self, host: &Host) -> Vec<String> {
        let advertise = format!("{}:{}", host.address, engine_port(self.tls));
        vec![
            "join".into(),
            "--heartbeat".into(),
            "20s".into(),
            "--ttl".into(),
            "60s".into(),
            "--advertise".into(),
            advertise,
            self.discovery(),
        ]
    }
}

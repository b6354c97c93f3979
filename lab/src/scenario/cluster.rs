//! The cluster of a scenario, resolved: every range expanded, every default filled in, every
//! address dealt out. Both worlds build from this and from nothing else.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::cert::{CertKind, Holder};

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
    /// The agent that announces this host's engine in the store, if there is one.
    pub agent: Option<Agent>,
}

/// How an engine is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Time between two announcements.
    pub heartbeat: Duration,
    /// How long the engine stays listed after the last one.
    pub ttl: Duration,
}

impl Default for Agent {
    /// Soon listed again by a store that has lost everything, and listed long enough to be called
    /// unhealthy before it disappears: the manager's own bound is 110 s (see docs/faults.md).
    fn default() -> Self {
        Self { heartbeat: Duration::from_secs(20), ttl: Duration::from_secs(180) }
    }
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
    /// What is wrong with its certificate from the start; of no consequence without TLS.
    pub cert: CertKind,
}

impl Host {
    /// The server that is meant: the one asked for, else the engine, else the manager. `None` if
    /// it does not run here.
    #[must_use]
    pub fn holder(&self, of: Option<Holder>) -> Option<Holder> {
        let runs = |holder: &Holder| match holder {
            Holder::Engine => self.engine.is_some(),
            Holder::Manager => self.manager.is_some(),
        };
        match of {
            Some(holder) => Some(holder).filter(runs),
            None => [Holder::Engine, Holder::Manager].into_iter().find(runs),
        }
    }
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
    /// What is wrong with its certificate from the start; of no consequence without TLS.
    pub cert: CertKind,
}

/// The port of every Docker engine, without and with TLS.
#[must_use]
pub fn engine_port(tls: bool) -> u16 {
    if tls { 2376 } else { 2375 }
}

/// The port of Consul's HTTP interface, without and with TLS.
#[must_use]
pub fn consul_port(tls: bool) -> u16 {
    if tls { 8501 } else { 8500 }
}

/// Where hosts have their certificates and keys.
pub const PKI: &str = "/etc/pki/tls";

/// The beginning of a manager's file names in [`PKI`]: `swarm-cert.pem`, `swarm-key.pem`.
pub const MANAGER_PAIR: &str = "swarm-";

/// The beginning of the store's.
pub const STORE_PAIR: &str = "store-";

/// The beginning of those of the engine on a host.
#[must_use]
pub fn engine_pair(host: &str) -> String {
    format!("{host}-")
}

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
        self.engines().map(|(host, _)| host).filter(move |host| all || host.agent.is_some())
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
            Some((host, StoreKind::Consul)) => {
                format!("consul://{}:{}", host.address, consul_port(self.tls))
            }
            None => {
                let port = engine_port(self.tls);
                let list: Vec<_> =
                    self.engines().map(|(host, _)| format!("{}:{port}", host.address)).collect();
                format!("nodes://{}", list.join(","))
            }
        }
    }

    /// What the engine of a host is told beside where its own data and socket are; `tls` is whether
    /// it has a certificate.
    #[must_use]
    pub fn engine_args(&self, host: &Host, tls: bool) -> Vec<String> {
        let mut args = vec!["-H".to_owned(), format!("tcp://0.0.0.0:{}", engine_port(self.tls))];
        for (key, value) in host.engine.iter().flat_map(|engine| &engine.labels) {
            args.extend(["--label".into(), format!("{key}={value}")]);
        }
        if tls {
            let pair = engine_pair(&host.name);
            args.push("--tlsverify".into());
            args.push(format!("--tlscacert={PKI}/ca.pem"));
            args.push(format!("--tlscert={PKI}/{pair}cert.pem"));
            args.push(format!("--tlskey={PKI}/{pair}key.pem"));
        } else {
            // Said outright: an engine that has to guess warns for 15 seconds before it listens.
            args.push("--tls=false".into());
        }
        args
    }

    /// The words after `swarm` that start the manager of a host.
    #[must_use]
    pub fn manager_args(&self, manager: &Manager) -> Vec<String> {
        let mut args = vec!["manage".to_owned(), "--strategy".into(), manager.strategy.clone()];
        args.extend(["-H".into(), format!("tcp://0.0.0.0:{}", manager.port)]);
        if self.tls {
            args.push("--tlsverify".into());
            args.push(format!("--tlscacert={PKI}/ca.pem"));
            args.push(format!("--tlscert={PKI}/{MANAGER_PAIR}cert.pem"));
            args.push(format!("--tlskey={PKI}/{MANAGER_PAIR}key.pem"));
        }
        args.extend(self.store_options(MANAGER_PAIR));
        args.extend(manager.options.iter().cloned());
        args.push(self.discovery());
        args
    }

    /// What a process with the certificate `pair` is told of the store's TLS.
    fn store_options(&self, pair: &str) -> Vec<String> {
        if !self.tls || self.store().is_none() {
            return Vec::new();
        }
        let option = |key: &str, file: &str| {
            ["--discovery-opt".to_owned(), format!("kv.{key}={PKI}/{file}")]
        };
        let files = [
            option("cacertfile", "ca.pem"),
            option("certfile", &format!("{pair}cert.pem")),
            option("keyfile", &format!("{pair}key.pem")),
        ];
        files.into_iter().flatten().collect()
    }

    /// The key that `text` stands for in the store's directory of engines: a host's name stands for
    /// its engine's address.
    #[must_use]
    pub fn store_key(&self, text: &str) -> String {
        match self.host(text).filter(|host| host.engine.is_some()) {
            Some(host) => format!("{}:{}", host.address, engine_port(self.tls)),
            None => text.to_owned(),
        }
    }

    /// The words after `swarm` that start the agent of a host.
    #[must_use]
    pub fn agent_args(&self, host: &Host, agent: &Agent) -> Vec<String> {
        let advertise = format!("{}:{}", host.address, engine_port(self.tls));
        let time = |time: Duration| match time.subsec_nanos() {
            0 => format!("{}s", time.as_secs()),
            _ => format!("{}ms", time.as_millis()),
        };
        let times = ["--heartbeat".into(), time(agent.heartbeat), "--ttl".into(), time(agent.ttl)];
        let mut args = vec!["join".to_owned()];
        args.extend(times);
        args.extend(["--advertise".to_owned(), advertise]);
        args.extend(self.store_options(&engine_pair(&host.name)));
        args.push(self.discovery());
        args
    }
}

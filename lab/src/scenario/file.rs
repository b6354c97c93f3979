//! A scenario file as it is written, before ranges are expanded and defaults filled in.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::cert::CertKind;
use super::cluster::{StoreKind, Subnet};
use super::context::Context;
use super::decode::{Decode, Table, Word};
use super::expect::Strategy;
use super::record::{choice, record, words};
use super::scalar::{Memory, Period};
use super::span::Spanned;
use super::step::Step;
use super::yaml::Node;

record! {
    /// A scenario: a cluster, and what happens in it.
    pub struct File: "a scenario" {
        /// Its name, as reports and the resources of a run show it.
        name: required Spanned<String>,
        /// What it is about, in a sentence.
        description: optional Spanned<String>,
        /// What stands before the first step.
        cluster: required ClusterKeys,
        /// What happens, in order.
        steps: required Vec<Step>,
        /// Settings that the scenario is run with, one run for each.
        matrix: optional Matrix,
        /// What must hold at every moment; everything that can be checked, if absent.
        always: optional Vec<Spanned<Invariant>>,
    }
}

record! {
    /// Settings of which each gets a run of its own. The command line's go before them.
    pub struct Matrix: "a matrix" {
        /// Values of `cluster.tls`.
        tls: default Vec<Spanned<bool>>,
    }
}

record! {
    /// The cluster: hosts on one private network, and what runs where.
    pub struct ClusterKeys: "a cluster" {
        /// Another scenario file whose cluster this is; the path is relative to this file.
        from: optional Spanned<String>,
        /// The network, such as 10.100.199.0/24. Without it: that one, or 10.100.0.0/16 when there
        /// are more hosts than it holds.
        network: optional Spanned<Subnet>,
        /// Whether every connection is TLS.
        tls: optional Spanned<bool>,
        /// Images that every engine holds from the start, besides busybox and nginx.
        images: default Vec<Spanned<String>>,
        /// The hosts: a name, or names such as "engine-[001:100]", and what runs there.
        hosts: optional Spanned<Table<HostKeys>>,
    }
}

record! {
    /// One host, or each host of a range.
    pub struct HostKeys: "a host" {
        /// Its address; without it, the first free one of the network.
        address: optional Spanned<Ipv4Addr>,
        /// The discovery store that runs here.
        store: optional Spanned<StoreKind>,
        /// The manager that runs here; `{}` for the defaults.
        manager: optional ManagerKeys,
        /// The Docker engine that runs here; `{}` for the defaults.
        engine: optional EngineKeys,
        /// Whether, and how, an agent announces the engine in the store; true where there are both.
        agent: optional AgentKeys,
    }
}

record! {
    /// An agent, which announces an engine in the store.
    pub struct AgentKeys: "an agent" or run {
        /// Whether there is one; true if absent.
        run: optional Spanned<bool>,
        /// Time between two announcements; 20s if absent.
        heartbeat: optional Spanned<Period>,
        /// How long the engine stays listed after the last one; 180s if absent.
        ttl: optional Spanned<Period>,
    }
}

record! {
    /// A manager.
    pub struct ManagerKeys: "a manager" {
        /// How it ranks the nodes that fit; spread if absent.
        strategy: optional Spanned<Strategy>,
        /// The port it listens on. Without it: 2375 (2376 with TLS), or 1000 more when an engine
        /// on the same host has that one.
        port: optional Spanned<u16>,
        /// Further words of its command line.
        options: default Vec<Spanned<Word>>,
        /// What is wrong with its certificate from the start; nothing if absent.
        cert: optional Spanned<CertKind>,
    }
}

record! {
    /// A Docker engine.
    pub struct EngineKeys: "an engine" {
        /// Number of CPUs it reports; 1 if absent.
        cpus: optional Spanned<u32>,
        /// Memory it reports; 1GiB if absent.
        memory: optional Spanned<Memory>,
        /// Its own ID; drawn if absent. Engines with the same one are what copied disks make; real
        /// ones up to 23.0 show a fingerprint instead of this text.
        id: optional Spanned<String>,
        /// Its labels. On a range of hosts "rack-[1:20]" goes round.
        labels: default Table<Spanned<Word>>,
        /// What is wrong with its certificate from the start; nothing if absent.
        cert: optional Spanned<CertKind>,
    }
}

choice! {
    /// What must hold at every moment of a run.
    pub enum Invariant: "an invariant" {
        /// No two containers have the same name.
        UniqueNames = "unique-names",
        /// No two containers of a host have the same host port.
        UniquePorts = "unique-ports",
        /// What containers reserve on a host is no more than it has.
        WithinResources = "within-resources",
        /// Every container is on a node that its constraints allow.
        ConstraintsHold = "constraints-hold",
        /// What the manager has acknowledged exists.
        NothingLost = "nothing-lost",
    }
}

impl Invariant {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::UniqueNames,
        Self::UniquePorts,
        Self::WithinResources,
        Self::ConstraintsHold,
        Self::NothingLost,
    ];
}

words! { StoreKind: "a store" { Consul = "consul", } }

impl Decode for Ipv4Addr {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let Word(text) = Word::decode(node, cx)?;
        let address = text.parse().ok();
        if address.is_none() {
            let label = format!("`{text}` is not four numbers from 0 to 255 with dots");
            let title = format!("{} must be an IPv4 address", cx.subject());
            cx.error(node.span, title, label);
        }
        address
    }
}

impl Decode for Subnet {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let Word(text) = Word::decode(node, cx)?;
        let (base, prefix) = text.split_once('/').unwrap_or((text.as_str(), ""));
        let base: Option<Ipv4Addr> = base.parse().ok();
        let prefix: Option<u8> = prefix.parse().ok();
        let label = match (base, prefix) {
            (Some(base), Some(prefix @ 8..=30)) => {
                let mask = u32::MAX << (32 - u32::from(prefix));
                let first = Ipv4Addr::from(u32::from(base) & mask);
                if first == base {
                    return Some(Self { base, prefix });
                }
                format!("{base} is a host of it: did you mean `{first}/{prefix}`?")
            }
            (Some(_), Some(_)) => "the prefix is from 8 to 30 bits long".to_owned(),
            (Some(base), None) if !text.contains('/') => {
                format!("the length of the prefix is missing: did you mean `{base}/24`?")
            }
            _ => format!("`{text}` is not an address and a prefix, as in 10.100.199.0/24"),
        };
        let title = format!("{} must be an IPv4 network", cx.subject());
        cx.error(node.span, title, label);
        None
    }
}

impl JsonSchema for Subnet {
    fn schema_name() -> Cow<'static, str> {
        "Subnet".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An IPv4 network.",
            "type": "string",
            "pattern": "^[0-9]+(\\.[0-9]+){3}/[0-9]+$",
            "examples": ["10.100.199.0/24"],
        })
    }
}

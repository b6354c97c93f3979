//! One engine as the manager sees it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::{Cluster, Containers, Options, cpu_shares};

/// The life of a node. The texts are what `docker info` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// A known address that has not been validated yet.
    #[default]
    Pending,
    /// Too many connection failures in a row.
    Unhealthy,
    /// Usable.
    Healthy,
    /// Removed from discovery.
    Disconnected,
}

impl State {
    /// The state's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Unhealthy => "Unhealthy",
            Self::Healthy => "Healthy",
            Self::Disconnected => "Disconnected",
        }
    }
}

/// What an engine says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Specs {
    /// Number of CPUs.
    pub cpus: i64,
    /// Memory in bytes.
    pub memory: i64,
    /// Engine labels plus `storagedriver`, `kernelversion`, `operatingsystem`, `ostype`.
    pub labels: BTreeMap<String, String>,
    /// Engine version, such as `20.10.24`.
    pub version: String,
}

/// A node.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Its address in discovery, `host:port`. The key.
    pub addr: String,
    /// The IP its host resolved to; empty before the first contact.
    pub ip: String,
    /// `<engine ID>|<addr>`; empty before the first contact.
    pub id: String,
    /// The engine's name; empty before the first contact.
    pub name: String,
    /// Where it is in its life.
    pub state: State,
    /// Whether it has been validated once and not lost its identity since: only registered nodes
    /// are scheduled on, listed and counted.
    pub registered: bool,
    /// Connection failures in a row.
    pub failures: u32,
    /// The last failure's text; empty after a success.
    pub error: String,
    /// When a call last succeeded or failed to connect; at first, when the address became known.
    pub updated_at: Timestamp,
    /// What the engine says of itself.
    pub specs: Specs,
    /// What to add to the engine's dates to make them the manager's; zero below two seconds.
    pub clock_delta: SignedDuration,
    /// By full ID.
    pub containers: Containers,
    /// The rows of the engine's image list, as sent.
    pub images: Vec<Value>,
    /// The rows of the engine's network list, as sent.
    pub networks: Vec<Value>,
    /// The rows of the engine's volume list, as sent.
    pub volumes: Vec<Value>,
    /// Its number in the indexes, while it is known there.
    pub(crate) slot: u32,
}

impl Node {
    /// Whether its calls succeed.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.state == State::Healthy
    }

    /// How trustworthy it is: 100 without recent failures, less with each, 0 when not healthy.
    #[must_use]
    pub fn health_indicator(&self, options: &Options) -> i64 {
        if !self.is_healthy() || self.failures >= options.failure_retry {
            return 0;
        }
        100 - i64::from(self.failures) * 100 / i64::from(options.failure_retry)
    }

    /// CPUs that may be promised: what the engine has, plus overcommitment.
    #[must_use]
    pub fn total_cpus(&self, options: &Options) -> i64 {
        overcommitted(self.specs.cpus, options)
    }

    /// Bytes of memory that may be promised: what the engine has, plus overcommitment.
    #[must_use]
    pub fn total_memory(&self, options: &Options) -> i64 {
        overcommitted(self.specs.memory, options)
    }

    /// CPUs promised to containers in any state and to those being made.
    #[must_use]
    pub fn used_cpus(&self, cluster: &Cluster) -> i64 {
        cluster.load(self).map_or(0, |load| saturated(load.cpus_used))
    }

    /// Bytes of memory promised to containers in any state and to those being made.
    #[must_use]
    pub fn used_memory(&self, cluster: &Cluster) -> i64 {
        cluster.load(self).map_or(0, |load| saturated(load.memory_used))
    }

    /// Turns the whole CPUs of a create body's `HostConfig.CpuShares` into this engine's shares.
    /// A body without is left alone.
    pub fn scale_cpu_shares(&self, body: &mut Value) {
        let host: Option<&mut Map<_, _>> =
            body.get_mut("HostConfig").and_then(Value::as_object_mut);
        let Some(shares) = host.and_then(|host| host.get_mut("CpuShares")) else { return };
        if let Some(cpus) = shares.as_i64().filter(|cpus| *cpus > 0) {
            *shares = cpu_shares(cpus, self.specs.cpus).into();
        }
    }

    /// Its name for people: the address while the name is unknown.
    pub(crate) fn label(&self) -> &str {
        if self.name.is_empty() { &self.addr } else { &self.name }
    }
}

/// As the sum of any number of claims that are each far below the limit: nobody promises more.
pub(crate) fn saturated(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(i64::MAX)
}

/// `amount` plus the overcommit percentage of it, rounded towards `amount`.
fn overcommitted(amount: i64, options: &Options) -> i64 {
    let extra = i128::from(amount) * i128::from(options.overcommit_percent) / 100;
    i64::try_from(i128::from(amount) + extra).unwrap_or(i64::MAX)
}

/// Why an engine's description of itself was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecsError {
    /// The classic manager's text.
    pub message: String,
    /// Whether the engine turned out to be another one than before at this address.
    pub identity_changed: bool,
}

impl fmt::Display for SpecsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SpecsError {}

//! One engine as the manager sees it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::Container;

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
    /// By full ID.
    pub containers: BTreeMap<String, Container>,
    /// The rows of the engine's image list, as sent.
    pub images: Vec<Value>,
    /// The rows of the engine's network list, as sent.
    pub networks: Vec<Value>,
    /// The rows of the engine's volume list, as sent.
    pub volumes: Vec<Value>,
}

/// Why an engine's description of itself was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecsError {
    /// The classic manager's text.
    pub message: String,
    /// Whether the engine turned out to be another one than before at this address.
    pub identity_changed: bool,
}

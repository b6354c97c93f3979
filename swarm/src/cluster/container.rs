//! One container as the manager sees it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::Lineage;
use super::index::Handle;

/// What a container is doing. The texts are those of `docker ps --filter status=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunState {
    /// Made, never started.
    #[default]
    Created,
    /// Running.
    Running,
    /// Running, frozen.
    Paused,
    /// Between two runs.
    Restarting,
    /// Ended.
    Exited,
    /// Could not be removed.
    Dead,
}

impl RunState {
    /// The state's text in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// Whether it counts as running: `docker ps` shows it without `--all`.
    #[must_use]
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

/// A port of the node that a container claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The address it is bound to; empty means all.
    pub ip: String,
    /// The port as text, as the client wrote it.
    pub port: String,
}

impl HostPort {
    /// Whether it is bound to all addresses. `::ffff:0.0.0.0` is all of IPv4 as well.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        let ip = self.ip.parse::<IpAddr>();
        self.ip.is_empty() || ip.is_ok_and(|ip| ip.to_canonical().is_unspecified())
    }
}

/// What scheduling, naming and listing need to know, read once from the raw JSON.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Names with their leading slash; a container may have none.
    pub names: Vec<String>,
    /// The image as the client named it.
    pub image: String,
    /// The container's labels.
    pub labels: BTreeMap<String, String>,
    /// Its swarm ID, if it came through a manager.
    pub swarm_id: Option<String>,
    /// What it was made in place of, as its label tells.
    pub lineage: Option<Lineage>,
    /// What it is doing.
    pub state: RunState,
    /// `starting`, `healthy`, `unhealthy`; empty without a health check.
    pub health: String,
    /// Exit code of the last run.
    pub exit_code: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it last started; `None` if never.
    pub started: Option<Timestamp>,
    /// When it last ended; `None` if never.
    pub finished: Option<Timestamp>,
    /// Whole CPUs it reserves: from its shares, or from `NanoCpus` when it has no shares.
    pub cpus: i64,
    /// Memory it reserves, in bytes.
    pub memory: i64,
    /// Host ports it claims, requested and given.
    pub ports: Vec<HostPort>,
    /// Whether it uses the host's network.
    pub host_network: bool,
    /// Its exposed ports as `80/tcp`; only looked at in host mode.
    pub exposed: Vec<String>,
    /// Whether the engine removes it when it ends.
    pub auto_remove: bool,
}

/// A container.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// Full ID, 64 hexadecimal digits.
    pub id: String,
    /// Its row in the engine's list, as sent.
    pub summary: Value,
    /// What the engine's inspect said, as sent; shared with what was known before, if it is news of
    /// the list only.
    pub inspect: Arc<Value>,
    /// What was read from both.
    pub facts: Facts,
    /// Its number in the index, while it is known there.
    pub(crate) handle: Handle,
}

//! What the manager knows: nodes, their containers and images, names, reservations.
//!
//! A plain data structure. Everything that happens is a typed update; every decision is a pure
//! function of it. It does no I/O, so a lock around it is never held across an await.

mod cache;
mod container;
mod containers;
mod copies;
mod facts;
mod format;
pub(crate) mod index;
pub(crate) mod json;
mod lookup;
mod membership;
mod names;
mod node;
mod nodes;
#[cfg(test)]
mod properties;
mod specs;
mod status;
#[cfg(test)]
pub(crate) mod testing;
mod texts;
mod update;
mod volumes;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::scheduler::{Answers, Rejection};
use index::Index;
use nodes::Nodes;

pub use container::{Container, Facts, HostPort, Port, RunState, Words};
pub use containers::Containers;
pub use copies::{Care, LINEAGE_LABEL, Lineage, Place};
pub(crate) use facts::host_ports;
pub use facts::{SWARM_ID_LABEL, cpu_shares};
pub use format::{bytes_text, natural_cmp};
pub(crate) use lookup::{Candidate, resolve, split_image};
pub(crate) use node::saturated;
pub use node::{Node, Specs, SpecsError, State};
pub use status::status_text;

/// Settings that change what the cluster may hold.
#[derive(Clone, Debug)]
pub struct Options {
    /// Extra resources to promise on every node, in percent of what the engine has; may be
    /// negative.
    pub overcommit_percent: i64,
    /// Connection failures in a row after which a node is unhealthy.
    pub failure_retry: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { overcommit_percent: 0, failure_retry: 3 }
    }
}

/// What a create has claimed and not yet committed: visible to names, ports, slots, affinities and
/// resources, invisible to clients.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// The key: the swarm ID of the container to be.
    pub swarm_id: String,
    /// Its name without a leading slash; may be empty.
    pub name: String,
    /// Address of the node it was placed on.
    pub node: String,
    /// What it will be like, in the words of the filters.
    pub facts: Facts,
    /// How its node was found, as in [`Placement::summary`](crate::scheduler::Placement).
    pub summary: String,
}

/// A call's effect on the health of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// None that anyone needs to hear of.
    None,
    /// The node has just become unhealthy after this many failures.
    WentDown(u32),
    /// The node has just become healthy again after this many failures.
    CameBack(u32),
}

/// A name is already in use. Its text is the classic manager's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTaken(pub String);

impl fmt::Display for NameTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.0;
        write!(
            f,
            "Conflict: The name {name} is already assigned. You have to delete (or rename) that \
             container to be able to assign {name} to a container again."
        )
    }
}

impl std::error::Error for NameTaken {}

/// Why a create was refused before any engine was asked.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// Another container has the name.
    Name(NameTaken),
    /// No node fits.
    Scheduling(Rejection),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(taken) => taken.fmt(f),
            Self::Scheduling(rejection) => f.write_str(&rejection.message),
        }
    }
}

impl std::error::Error for Refusal {}

/// The manager's knowledge of its cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    options: Options,
    /// By address, `host:port`.
    nodes: Nodes,
    /// By swarm ID.
    reservations: BTreeMap<String, Reservation>,
    /// How many reservations have a name.
    reserved_names: BTreeMap<String, u32>,
    /// Names claimed by renames under way, with the address of the node.
    renames: BTreeMap<String, String>,
    /// Nodes that left discovery, are dead, and had containers that are to be made anew; by
    /// address.
    departed: BTreeMap<String, Node>,
    /// Follows from nodes and reservations.
    index: Index,
    /// Answers to what was asked before; behind a lock because questions do not change the cluster.
    answers: Mutex<Answers>,
}

impl Cluster {
    /// An empty cluster.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// The settings.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The indexes over all of it.
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// What the scheduler remembers.
    pub(crate) fn answers(&self) -> MutexGuard<'_, Answers> {
        // Whatever a panic left there is renewed from the journals or is plain data.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node with this number.
    pub(crate) fn node_at(&self, slot: u32) -> Option<&Node> {
        self.nodes.at(slot)
    }

    /// What strategies look at; `None` for a node that has left.
    pub(crate) fn load(&self, node: &Node) -> Option<&index::Load> {
        let slot = self.nodes.slot_of(&node.addr).filter(|slot| *slot == node.slot)?;
        self.index.loads().get(slot as usize)
    }
}

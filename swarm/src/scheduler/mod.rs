//! Which node gets a container. Pure: cluster state + request (+ randomness) -> node, or why not.

use std::collections::BTreeMap;

use crate::cluster::Facts;

/// What is asked of the scheduler.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The container's name without slash; may be empty.
    pub name: String,
    /// Ports, resources, labels, image of the container to be.
    pub facts: Facts,
    /// Constraint expressions, as typed.
    pub constraints: Vec<String>,
    /// Affinity expressions, as typed.
    pub affinities: Vec<String>,
    /// Whitelist expressions, as typed.
    pub whitelists: Vec<String>,
    /// Containers that must be on the same node, each with its flag for messages, such as
    /// `("--volumes-from", "data")`, `("--link", "db")`, `("--net=container", "x")`.
    pub dependencies: Vec<(String, String)>,
    /// Requested host port bindings; an empty port means any free one.
    pub bindings: Vec<crate::cluster::HostPort>,
}

/// Where to put it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Addresses of all nodes that fit, best first; never empty.
    pub ranked: Vec<String>,
}

/// Why no node fits. `message` is the classic manager's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// What the client is told.
    pub message: String,
    /// For each node's name, the filter that refused it and why.
    pub nodes: BTreeMap<String, String>,
}

/// Filters and a strategy.
#[derive(Clone, Debug)]
pub struct Scheduler {
    filters: Vec<Filter>,
    strategy: Strategy,
}

/// A filter, by the name used on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Only healthy nodes.
    Health,
    /// No host port twice.
    Port,
    /// The engine label `containerslots`.
    ContainerSlots,
    /// Next to the containers it needs.
    Dependency,
    /// `affinity:` expressions.
    Affinity,
    /// `constraint:` expressions.
    Constraint,
    /// `whitelist:` expressions.
    Whitelist,
}

/// How the nodes that pass are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The emptiest first.
    Spread,
    /// The fullest first.
    Binpack,
    /// Any.
    Random,
}

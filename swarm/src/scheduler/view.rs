//! A node as filters and strategies see it.

use crate::cluster::index::Load;
use crate::cluster::{Cluster, Facts, Node, Reservation};

/// A node together with the creates under way on it.
pub(crate) struct View<'a> {
    pub(crate) node: &'a Node,
    pub(crate) pending: Vec<&'a Reservation>,
    pub(crate) load: &'a Load,
}

impl<'a> View<'a> {
    /// The registered nodes in the order of names.
    pub(crate) fn all(cluster: &'a Cluster) -> Vec<Self> {
        let mut views: Vec<Self> =
            cluster.registered().filter_map(|node| Self::of(cluster, node)).collect();
        views.sort_by(|a, b| Cluster::natural_order(a.node, b.node));
        views
    }

    /// One node; `None` if it has left.
    pub(crate) fn of(cluster: &'a Cluster, node: &'a Node) -> Option<Self> {
        Some(Self { node, pending: cluster.pending(node).collect(), load: cluster.load(node)? })
    }

    /// Everything that claims something of the node.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &'a Facts> {
        let cached = self.node.containers.values().map(|container| &container.facts);
        cached.chain(self.pending.iter().map(|pending| &pending.facts))
    }

    /// How many containers it has, in any state and including those being made.
    pub(crate) fn count(&self) -> usize {
        self.node.containers.len() + self.pending.len()
    }
}

/// The name of a container for people.
pub(crate) fn display_name(facts: &Facts) -> &str {
    facts.names().next().map_or("an unnamed container", |name| name.trim_start_matches('/'))
}

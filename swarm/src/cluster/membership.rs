//! Which nodes there are, and how well they do.

use jiff::Timestamp;

use super::{Cluster, Node, State, Transition};

impl Cluster {
    /// Adds the address as a pending node; `false` if it is known already.
    pub fn add_node(&mut self, addr: &str, now: Timestamp) -> bool {
        if self.nodes.contains_key(addr) {
            return false;
        }
        let node = Node { addr: addr.to_owned(), updated_at: now, ..Node::default() };
        self.nodes.insert(addr.to_owned(), node);
        true
    }

    /// Forgets the node with everything that was claimed on it; what is returned is
    /// disconnected.
    pub fn remove_node(&mut self, addr: &str) -> Option<Node> {
        let mut node = self.nodes.remove(addr)?;
        self.reservations.retain(|_, reservation| reservation.node != addr);
        self.renames.retain(|_, node| node != addr);
        node.state = State::Disconnected;
        node.registered = false;
        Some(node)
    }

    /// The node at `addr`.
    #[must_use]
    pub fn node(&self, addr: &str) -> Option<&Node> {
        self.nodes.get(addr)
    }

    /// All nodes by address, pending ones included.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> + Clone {
        self.nodes.values()
    }

    /// The registered nodes by address, unhealthy ones included.
    pub fn registered(&self) -> impl Iterator<Item = &Node> + Clone {
        self.nodes.values().filter(|node| node.registered)
    }

    /// Makes a pending node that was just validated a healthy one.
    pub fn register(&mut self, addr: &str, now: Timestamp) {
        let Some(node) = self.nodes.get_mut(addr) else { return };
        if node.state == State::Pending {
            node.state = State::Healthy;
            node.registered = true;
            node.failures = 0;
            node.error.clear();
            node.updated_at = now;
        }
    }

    /// Notes a call to the node that succeeded: one is enough to revive it.
    pub fn succeeded(&mut self, addr: &str, now: Timestamp) -> Transition {
        let Some(node) = self.nodes.get_mut(addr) else { return Transition::None };
        node.error.clear();
        node.updated_at = now;
        let failures = std::mem::take(&mut node.failures);
        if node.state != State::Unhealthy {
            return Transition::None;
        }
        node.state = State::Healthy;
        Transition::CameBack(failures)
    }

    /// Notes a call to the node that could not connect.
    pub fn failed(&mut self, addr: &str, error: &str, now: Timestamp) -> Transition {
        let retry = self.options.failure_retry;
        let Some(node) = self.nodes.get_mut(addr) else { return Transition::None };
        error.clone_into(&mut node.error);
        node.updated_at = now;
        node.failures = node.failures.saturating_add(1);
        if node.state != State::Healthy || node.failures < retry {
            return Transition::None;
        }
        node.state = State::Unhealthy;
        Transition::WentDown(node.failures)
    }

    /// Shows `error` as the node's, without counting a failure: why it was not validated.
    pub fn note_error(&mut self, addr: &str, error: &str, now: Timestamp) {
        let Some(node) = self.nodes.get_mut(addr) else { return };
        error.clone_into(&mut node.error);
        node.updated_at = now;
    }
}

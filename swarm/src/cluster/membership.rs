//! Which nodes there are, and how well they do.

use jiff::Timestamp;

use super::{Cluster, Node, State, Transition};

impl Cluster {
    /// Adds the address as a pending node; `false` if it is known already.
    pub fn add_node(&mut self, addr: &str, now: Timestamp) -> bool {
        if self.nodes.slot_of(addr).is_some() {
            return false;
        }
        let node = Node { addr: addr.to_owned(), updated_at: now, ..Node::default() };
        let slot = self.nodes.insert(node);
        if let Some(node) = self.nodes.at(slot) {
            self.index.add_node(node, self.nodes.universe(), &self.options);
        }
        true
    }

    /// Forgets the node with everything that was claimed on it; what is returned is
    /// disconnected.
    pub fn remove_node(&mut self, addr: &str) -> Option<Node> {
        let node = self.nodes.get(addr)?;
        // What is returned still knows its containers and images; they are shared or moved.
        let (slot, containers) = (node.slot, node.containers.clone());
        let claims = self.reservations.values().filter(|reservation| reservation.node == addr);
        let claims: Vec<String> = claims.map(|claim| claim.swarm_id.clone()).collect();
        claims.iter().for_each(|swarm_id| self.drop_reservation(swarm_id));
        let images = self.take_all(slot);
        let mut node = self.nodes.remove(addr)?;
        self.index.remove_node(&node);
        (node.containers, node.images) = (containers, images);
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
        self.change_node(addr, |node| {
            if node.state == State::Pending {
                node.state = State::Healthy;
                node.registered = true;
                node.failures = 0;
                node.error.clear();
                node.updated_at = now;
            }
        });
    }

    /// Notes a call to the node that succeeded: one is enough to revive it.
    pub fn succeeded(&mut self, addr: &str, now: Timestamp) -> Transition {
        let change = self.change_node(addr, |node| {
            node.error.clear();
            node.updated_at = now;
            let failures = std::mem::take(&mut node.failures);
            if node.state != State::Unhealthy {
                return Transition::None;
            }
            node.state = State::Healthy;
            Transition::CameBack(failures)
        });
        change.unwrap_or(Transition::None)
    }

    /// Notes a call to the node that could not connect.
    pub fn failed(&mut self, addr: &str, error: &str, now: Timestamp) -> Transition {
        let retry = self.options.failure_retry;
        let change = self.change_node(addr, |node| {
            error.clone_into(&mut node.error);
            node.updated_at = now;
            node.failures = node.failures.saturating_add(1);
            if node.state != State::Healthy || node.failures < retry {
                return Transition::None;
            }
            node.state = State::Unhealthy;
            Transition::WentDown(node.failures)
        });
        change.unwrap_or(Transition::None)
    }

    /// Shows `error` as the node's, without counting a failure: why it was not validated.
    pub fn note_error(&mut self, addr: &str, error: &str, now: Timestamp) {
        let Some(node) = self.nodes.get_mut(addr) else { return };
        error.clone_into(&mut node.error);
        node.updated_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{addr, cluster, now, put, request};
    use super::super::{Options, SWARM_ID_LABEL};
    use super::*;
    use crate::scheduler::Scheduler;
    use serde_json::json;

    #[test]
    fn a_node_goes_down_at_the_limit_and_comes_back_with_one_success() {
        let mut cluster = cluster(&["node-1"]);
        let at = addr(1);
        let indicators: Vec<_> = (0..3)
            .map(|_| {
                let node = cluster.node(&at).expect("known");
                let indicator = node.health_indicator(cluster.options());
                (indicator, cluster.failed(&at, "refused", now()))
            })
            .collect();
        let expected =
            [(100, Transition::None), (67, Transition::None), (34, Transition::WentDown(3))];
        assert_eq!(indicators, expected);
        assert_eq!(cluster.failed(&at, "refused", now()), Transition::None);
        let node = cluster.node(&at).expect("known");
        assert_eq!(node.health_indicator(cluster.options()), 0);
        assert_eq!((node.state, node.error.as_str()), (State::Unhealthy, "refused"));
        assert!(node.registered);
        assert_eq!(cluster.succeeded(&at, now()), Transition::CameBack(4));
        let node = cluster.node(&at).expect("known");
        assert_eq!((node.failures, node.error.as_str()), (0, ""));
        assert_eq!(cluster.succeeded(&at, now()), Transition::None);
    }

    #[test]
    fn a_pending_node_counts_failures_and_is_registered_only_once() {
        let mut cluster = Cluster::new(Options::default());
        assert!(cluster.add_node("a:1", now()));
        assert!(!cluster.add_node("a:1", now()));
        for _ in 0..5 {
            assert_eq!(cluster.failed("a:1", "refused", now()), Transition::None);
        }
        let node = cluster.node("a:1").expect("known");
        assert_eq!((node.state, node.failures), (State::Pending, 5));
        assert_eq!(cluster.registered().count(), 0);
        cluster.note_error("a:1", "odd", now());
        assert_eq!(cluster.node("a:1").expect("known").failures, 5);
        cluster.register("a:1", now());
        let node = cluster.node("a:1").expect("known");
        assert_eq!((node.state, node.failures, node.error.as_str()), (State::Healthy, 0, ""));
        for _ in 0..3 {
            cluster.failed("a:1", "refused", now());
        }
        cluster.register("a:1", now());
        assert_eq!(cluster.node("a:1").expect("known").state, State::Unhealthy);
    }

    #[test]
    fn a_removed_node_takes_its_claims_along() {
        let mut cluster = cluster(&["node-1"]);
        let web = request("web", json!({"Labels": {SWARM_ID_LABEL: "s1"}}));
        cluster.reserve(&web, "s1", &Scheduler::default(), &mut |_| 0).expect("room");
        cluster.claim_name("new", &addr(1)).expect("free");
        put(&mut cluster, 1, "db", &json!({}));
        let node = cluster.remove_node(&addr(1)).expect("it was there");
        assert_eq!((node.state, node.registered), (State::Disconnected, false));
        assert_eq!(node.containers.len(), 1);
        for name in ["web", "new", "db"] {
            assert_eq!(cluster.check_name(name), Ok(()), "{name}");
        }
        assert!(cluster.remove_node(&addr(1)).is_none());
        // Late answers of the node that is gone change nothing.
        put(&mut cluster, 1, "db", &json!({}));
        assert_eq!(cluster.failed(&addr(1), "refused", now()), Transition::None);
        assert_eq!(cluster.nodes().count(), 0);
    }

    #[test]
    fn overcommitment_is_cut_to_whole_units() {
        let total = |percent, cpus| {
            let options = Options { overcommit_percent: percent, ..Options::default() };
            let mut node = Node::default();
            (node.specs.cpus, node.specs.memory) = (cpus, 1000);
            (node.total_cpus(&options), node.total_memory(&options))
        };
        assert_eq!(total(5, 4), (4, 1050));
        assert_eq!(total(5, 20), (21, 1050));
        assert_eq!(total(-50, 3), (2, 500));
    }
}

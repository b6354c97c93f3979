//! Claims made while a call to an engine is under way: no name and no resource is promised twice.

use std::sync::Arc;

use super::copies::gives_way;
use super::{
    Cluster, Container, Facts, Lineage, NameTaken, Node, Refusal, Reservation, SWARM_ID_LABEL,
};
use crate::scheduler::{Rejection, Request, Scheduler};

impl Cluster {
    /// Whether `name` is free: on registered nodes, among creates and among renames under way.
    /// The empty name always is.
    ///
    /// # Errors
    /// The name is in use.
    pub fn check_name(&self, name: &str) -> Result<(), NameTaken> {
        self.check_name_for(name, None)
    }

    /// As [`Cluster::check_name`]; a replacement, which is `Some` swarm ID and lineage, gets the
    /// name of the copies it stands for.
    fn check_name_for(
        &self,
        name: &str,
        replacement: Option<(&str, &Lineage)>,
    ) -> Result<(), NameTaken> {
        let bare = bare(name);
        if bare.is_empty() {
            return Ok(());
        }
        let claims = self.index.names.equal(bare).map(|handle| self.index.claim(handle));
        let mut held = claims.filter(|(container, slot)| {
            // Creates under way are asked below, also those whose containers are known already.
            !container.id.is_empty()
                && self.index.registered.contains(*slot)
                && container.facts.names().any(|taken| self::bare(taken) == bare)
        });
        let keeps = |(container, slot): (&Arc<Container>, u32)| match replacement {
            Some((swarm_id, its)) => {
                !self.nodes.at(slot).is_some_and(|node| gives_way(node, container, swarm_id, its))
            }
            None => true,
        };
        let taken = held.any(keeps)
            || self.reserved_names.contains_key(bare)
            || self.renames.contains_key(bare);
        if taken { Err(NameTaken(name.to_owned())) } else { Ok(()) }
    }

    /// Checks the name, chooses a node and claims both for a container with this swarm ID: one
    /// step, so that of two creates at the same time the second sees the first. The claim lasts
    /// until [`Cluster::release`]. `random(n)` gives a number below `n`.
    ///
    /// # Errors
    /// The name is in use, the swarm ID is being created already, or no node fits.
    pub fn reserve(
        &mut self,
        request: &Request,
        swarm_id: &str,
        scheduler: &Scheduler,
        random: &mut dyn FnMut(u64) -> u64,
    ) -> Result<Reservation, Refusal> {
        let replacement = request.facts.lineage.as_deref().map(|lineage| (swarm_id, lineage));
        self.check_name_for(&request.name, replacement).map_err(Refusal::Name)?;
        if self.reservations.contains_key(swarm_id) {
            let message = format!("Conflict: a container with swarm ID {swarm_id} is being made");
            return Err(Refusal::Scheduling(Rejection { message }));
        }
        let choice = scheduler.choose(self, request, random).map_err(Refusal::Scheduling)?;
        let facts = request.facts.clone().with_label(SWARM_ID_LABEL, swarm_id);
        let reservation = Reservation {
            swarm_id: swarm_id.to_owned(),
            name: bare(&request.name).to_owned(),
            node: choice.node,
            facts,
            summary: choice.summary,
        };
        self.add_reservation(reservation.clone());
        Ok(reservation)
    }

    /// Ends the claim of a create, whether it succeeded (then the container is in the cache and
    /// speaks for itself) or failed.
    pub fn release(&mut self, swarm_id: &str) {
        self.drop_reservation(swarm_id);
    }

    /// Claims a name for a rename on the node at `addr`, until [`Cluster::release_name`]. (The
    /// classic manager only checks, so that two renames at the same time both succeed.)
    ///
    /// # Errors
    /// The name is in use.
    pub fn claim_name(&mut self, name: &str, addr: &str) -> Result<(), NameTaken> {
        self.check_name(name)?;
        self.renames.insert(bare(name).to_owned(), addr.to_owned());
        Ok(())
    }

    /// Ends the claim of a rename.
    pub fn release_name(&mut self, name: &str) {
        self.renames.remove(bare(name));
    }

    /// The creates under way on a node whose containers are not in its cache yet.
    pub fn pending(&self, node: &Node) -> impl Iterator<Item = &Reservation> {
        let slot = self.nodes.slot_of(&node.addr).filter(|slot| *slot == node.slot);
        let pending = slot.into_iter().flat_map(|slot| self.index.pending_on(slot));
        pending.filter_map(|swarm_id| self.reservations.get(swarm_id))
    }

    /// Everything that claims something of the node: its containers in any state and the creates
    /// under way.
    pub fn claims<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Facts> {
        let cached = node.containers.values().map(|container| &container.facts);
        cached.chain(self.pending(node).map(|pending| &pending.facts))
    }
}

fn bare(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::super::LINEAGE_LABEL;
    use super::super::testing::{addr, cluster, container_id, now, put, request};
    use super::*;
    use serde_json::{Value, json};

    fn reserve(cluster: &mut Cluster, name: &str, id: &str, body: Value) -> Result<String, String> {
        cluster
            .reserve(&request(name, body), id, &Scheduler::default(), &mut |_| 0)
            .map(|reservation| reservation.node)
            .map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_name_is_taken_by_containers_creates_and_renames() {
        let mut cluster = cluster(&["node-1", "node-2"]);
        put(&mut cluster, 1, "web", &json!({}));
        for _ in 0..3 {
            cluster.failed(&addr(1), "refused", now());
        }
        let text = "Conflict: The name web is already assigned. You have to delete (or rename) \
                    that container to be able to assign web to a container again.";
        assert_eq!(reserve(&mut cluster, "web", "s1", json!({})), Err(text.to_owned()));
        assert!(cluster.check_name("/web").is_err());
        assert_eq!(reserve(&mut cluster, "db", "s1", json!({})), Ok(addr(2)));
        assert!(reserve(&mut cluster, "db", "s2", json!({})).is_err());
        assert!(cluster.claim_name("db", &addr(1)).is_err());
        assert_eq!(cluster.claim_name("/new", &addr(1)), Ok(()));
        assert!(cluster.claim_name("new", &addr(2)).is_err());
        assert!(reserve(&mut cluster, "new", "s3", json!({})).is_err());
        cluster.release_name("new");
        assert!(reserve(&mut cluster, "new", "s3", json!({})).is_ok());
        cluster.release("s1");
        assert!(cluster.check_name("db").is_ok());
    }

    /// Replacements meet the copies they stand for; a stranger keeps its name whatever its labels
    /// say that it was committed with.
    #[test]
    fn a_replacement_gets_only_the_name_of_its_own_copies() {
        let lineage = |from: &str| {
            json!({"generation": 1, "running": true, "from": [container_id(from)]}).to_string()
        };
        let holder = |swarm_id: &str, from: &str, image: &[&str]| {
            let mut cluster = cluster(&["node-1", "node-2"]);
            let mut labels = json!({SWARM_ID_LABEL: swarm_id, LINEAGE_LABEL: lineage(from)});
            let committed: serde_json::Map<_, _> =
                image.iter().map(|key| ((*key).to_owned(), labels[*key].clone())).collect();
            cluster.set_images(&addr(1), vec![json!({"Id": "i", "Labels": committed})]);
            if from.is_empty() {
                labels[LINEAGE_LABEL] = Value::Null;
            }
            let made = json!({"Image": "i", "Config": {"Labels": labels}});
            put(&mut cluster, 1, "web", &made);
            cluster
        };
        let replace = |mut cluster: Cluster, from: &str| {
            let body = json!({"Labels": {LINEAGE_LABEL: lineage(from)}});
            reserve(&mut cluster, "web", "s1", body).is_ok()
        };
        assert!(replace(holder("s1", "", &[]), "web"), "it stands for it");
        assert!(replace(holder("s1", "first", &[]), "first"), "both stand for the same");
        assert!(!replace(holder("s1", "", &[]), "other"), "an equal swarm ID is not enough");
        assert!(!replace(holder("s1", "first", &[]), "other"));
        assert!(!replace(holder("s2", "first", &[]), "first"), "another swarm ID");
        assert!(!replace(holder("s1", "first", &[SWARM_ID_LABEL, LINEAGE_LABEL]), "first"));
        assert!(!replace(holder("s1", "first", &[LINEAGE_LABEL]), "first"));
        let mut cluster = holder("s1", "", &[]);
        assert!(reserve(&mut cluster, "web", "s1", json!({})).is_err(), "no replacement at all");
    }

    #[test]
    fn nameless_creates_do_not_exclude_each_other() {
        let mut cluster = cluster(&["node-1"]);
        assert!(reserve(&mut cluster, "", "s1", json!({})).is_ok());
        assert!(reserve(&mut cluster, "", "s2", json!({})).is_ok());
        assert!(cluster.check_name("/").is_ok());
        let node = cluster.node(&addr(1)).expect("known");
        assert!(cluster.pending(node).all(|pending| pending.facts.names().next().is_none()));
    }

    #[test]
    fn a_swarm_id_is_reserved_once() {
        let mut cluster = cluster(&["node-1"]);
        assert!(reserve(&mut cluster, "a", "s1", json!({})).is_ok());
        let text = reserve(&mut cluster, "b", "s1", json!({})).expect_err("the same ID");
        assert_eq!(text, "Conflict: a container with swarm ID s1 is being made");
        assert!(cluster.check_name("a").is_err());
    }

    #[test]
    fn a_create_counts_once_when_its_container_appears_before_the_release() {
        let mut cluster = cluster(&["node-1"]);
        let body = json!({"HostConfig": {"CpuShares": 2, "Memory": 5}});
        reserve(&mut cluster, "web", "s1", body).expect("room");
        let node = |cluster: &Cluster| {
            let node = cluster.node(&addr(1)).expect("known");
            (node.used_cpus(cluster), node.used_memory(cluster), cluster.pending(node).count())
        };
        assert_eq!(node(&cluster), (2, 5, 1));
        let made = json!({
            "Config": {"Labels": {SWARM_ID_LABEL: "s1"}},
            "HostConfig": {"CpuShares": 512, "Memory": 5},
        });
        put(&mut cluster, 1, "web", &made);
        assert_eq!(node(&cluster), (2, 5, 0));
        cluster.release("s1");
        assert_eq!(node(&cluster), (2, 5, 0));
    }

    #[test]
    fn creates_under_way_are_invisible_to_clients() {
        let mut cluster = cluster(&["node-1"]);
        reserve(&mut cluster, "web", "s1", json!({})).expect("room");
        assert!(cluster.find_container("web").is_none());
        assert!(cluster.find_container("s1").is_none());
        assert!(cluster.container_ids(&addr(1)).is_empty());
    }
}

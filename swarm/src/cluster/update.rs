//! Changes of nodes, containers and claims: the truth and its indexes in one step.

use serde_json::Value;

use super::{Cluster, Container, Node, Reservation};

impl Cluster {
    /// Changes a node, containers and images excepted, and what follows from it.
    pub(super) fn change_node<R>(
        &mut self,
        addr: &str,
        change: impl FnOnce(&mut Node) -> R,
    ) -> Option<R> {
        let node = self.nodes.get_mut(addr)?;
        let result = change(node);
        self.index.sync_node(node, &self.options);
        Some(result)
    }

    /// Takes over a container in place of what was known of it.
    pub(super) fn put(&mut self, slot: u32, container: Container) {
        let Some(node) = self.nodes.at_mut(slot) else { return };
        let old = node.containers.shared(&container.id).cloned();
        let new = match &old {
            Some(old) => self.index.replace(old, container),
            None => self.index.insert(slot, container),
        };
        node.containers.insert(new.clone());
        let before = old.as_ref().and_then(|old| old.facts.swarm_id.as_deref());
        let now = new.facts.swarm_id.as_deref();
        before.into_iter().for_each(|swarm_id| self.sync_pending(swarm_id));
        now.filter(|now| before != Some(*now)).into_iter().for_each(|id| self.sync_pending(id));
    }

    /// Forgets a container.
    pub(super) fn take(&mut self, slot: u32, id: &str) {
        let node = self.nodes.at_mut(slot);
        let Some(old) = node.and_then(|node| node.containers.remove(id)) else { return };
        self.index.remove(&old);
        if let Some(swarm_id) = old.facts.swarm_id.as_deref() {
            self.sync_pending(swarm_id);
        }
    }

    /// Forgets all containers and images of a node; returns the images.
    pub(super) fn take_all(&mut self, slot: u32) -> Vec<Value> {
        let Some(node) = self.nodes.at_mut(slot) else { return Vec::new() };
        let ids: Vec<String> = node.containers.keys().map(str::to_owned).collect();
        let images = std::mem::take(&mut node.images);
        self.index.set_images(slot, &images, &[]);
        ids.iter().for_each(|id| self.take(slot, id));
        images
    }

    /// Notes a create under way.
    pub(super) fn add_reservation(&mut self, reservation: Reservation) {
        let swarm_id = reservation.swarm_id.clone();
        if !reservation.name.is_empty() {
            *self.reserved_names.entry(reservation.name.clone()).or_insert(0) += 1;
        }
        self.reservations.insert(swarm_id.clone(), reservation);
        self.sync_pending(&swarm_id);
    }

    /// Forgets a create under way.
    pub(super) fn drop_reservation(&mut self, swarm_id: &str) {
        let Some(reservation) = self.reservations.remove(swarm_id) else { return };
        if let Some(count) = self.reserved_names.get_mut(&reservation.name) {
            *count -= 1;
            if *count == 0 {
                self.reserved_names.remove(&reservation.name);
            }
        }
        self.sync_pending(swarm_id);
    }

    /// A create under way claims something until its container is known on its node.
    fn sync_pending(&mut self, swarm_id: &str) {
        let reservation = self.reservations.get(swarm_id);
        let slot = reservation.and_then(|reservation| self.nodes.slot_of(&reservation.node));
        let wanted = slot.filter(|slot| !self.is_made(swarm_id, *slot));
        let claimed = self.index.pending(swarm_id);
        if wanted == claimed {
            return;
        }
        self.index.remove_pending(swarm_id);
        if let (Some(slot), Some(reservation)) = (wanted, reservation) {
            self.index.insert_pending(slot, swarm_id, reservation.facts.clone());
        }
    }

    /// Whether the container of this swarm ID is known on the node.
    fn is_made(&self, swarm_id: &str, slot: u32) -> bool {
        let claims = self.index.swarm_ids.equal(swarm_id).map(|handle| self.index.claim(handle));
        let mut here = claims.filter(|(container, at)| *at == slot && !container.id.is_empty());
        here.any(|(container, _)| container.facts.swarm_id.as_deref() == Some(swarm_id))
    }
}

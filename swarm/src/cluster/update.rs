//! Changes of nodes, containers and claims: the truth and its indexes in one step.

use std::sync::Arc;

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
        let before = old.as_ref().and_then(|old| old.facts.swarm_id());
        let now = new.facts.swarm_id();
        before.into_iter().for_each(|swarm_id| self.sync_pending(swarm_id));
        now.filter(|now| before != Some(*now)).into_iter().for_each(|id| self.sync_pending(id));
    }

    /// Forgets a container and returns it.
    pub(super) fn take(&mut self, slot: u32, id: &str) -> Option<Arc<Container>> {
        let old = self.nodes.at_mut(slot)?.containers.remove(id)?;
        self.index.remove(&old);
        if let Some(swarm_id) = old.facts.swarm_id() {
            self.sync_pending(swarm_id);
        }
        Some(old)
    }

    /// Takes the inspect JSON out of a container that is about to be replaced: it is large.
    pub(super) fn take_inspect(&mut self, slot: u32, id: &str) -> Option<Value> {
        let container = self.nodes.at_mut(slot)?.containers.shared_mut(id)?;
        // While the index has it as well, it belongs to nobody.
        let held = self.index.let_go(container.handle);
        drop(held);
        let inspect = match Arc::get_mut(container) {
            Some(container) => std::mem::take(&mut container.inspect),
            None => container.inspect.clone(),
        };
        self.index.hold(Arc::clone(container));
        Some(inspect)
    }

    /// Forgets all containers and images of a node; returns the images.
    pub(super) fn take_all(&mut self, slot: u32) -> Vec<Value> {
        let Some(node) = self.nodes.at_mut(slot) else { return Vec::new() };
        let ids: Vec<String> = node.containers.keys().map(str::to_owned).collect();
        let images = std::mem::take(&mut node.images);
        self.index.set_images(slot, &images, &[]);
        for id in &ids {
            self.take(slot, id);
        }
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
        here.any(|(container, _)| container.facts.swarm_id() == Some(swarm_id))
    }
}

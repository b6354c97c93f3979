//! The nodes: dense small integers for the indexes, addresses for everybody else.

use std::collections::BTreeMap;

use super::Node;

/// Nodes by address. Each has a slot, a small integer that no other known node has; it is given
/// again when its node is gone.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// Boxed, so that finding out where a node is does not look at it.
    slots: Vec<Option<Box<Node>>>,
    free: Vec<u32>,
    by_addr: BTreeMap<String, u32>,
}

impl Nodes {
    pub(super) fn slot_of(&self, addr: &str) -> Option<u32> {
        self.by_addr.get(addr).copied()
    }

    pub(super) fn at(&self, slot: u32) -> Option<&Node> {
        self.slots.get(slot as usize)?.as_deref()
    }

    pub(super) fn at_mut(&mut self, slot: u32) -> Option<&mut Node> {
        self.slots.get_mut(slot as usize)?.as_deref_mut()
    }

    pub(super) fn get(&self, addr: &str) -> Option<&Node> {
        self.at(self.slot_of(addr)?)
    }

    pub(super) fn get_mut(&mut self, addr: &str) -> Option<&mut Node> {
        self.at_mut(self.slot_of(addr)?)
    }

    /// Adds a node whose address is unknown and gives it a slot.
    pub(super) fn insert(&mut self, mut node: Node) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer than four thousand million nodes")
        });
        node.slot = slot;
        self.by_addr.insert(node.addr.clone(), slot);
        self.slots[slot as usize] = Some(Box::new(node));
        slot
    }

    pub(super) fn remove(&mut self, addr: &str) -> Option<Node> {
        let slot = self.by_addr.remove(addr)?;
        self.free.push(slot);
        self.slots[slot as usize].take().map(|node| *node)
    }

    /// By address.
    pub(super) fn values(&self) -> impl Iterator<Item = &Node> + Clone {
        self.by_addr.values().filter_map(|slot| self.at(*slot))
    }

    /// One more than the highest slot ever given.
    pub(super) fn universe(&self) -> usize {
        self.slots.len()
    }
}

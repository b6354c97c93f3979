//! What makes finding and scheduling fast: for each thing that is asked of nodes, the set of the
//! nodes that have it.
//!
//! Everything here follows from the nodes and their claims, containers and creates under way
//! alike, and is changed with them in one step; [`check`] builds it anew and compares.

mod bits;
mod check;
mod journal;
mod order;
mod ports;
mod sorted;
mod tally;
mod texts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::{Container, Facts, Node, Options, json};
use order::Order;
use texts::{Beginnings, Wholes};

pub(crate) use bits::Bits;
pub(crate) use journal::Journal;
pub(crate) use order::RANKS;
pub(crate) use ports::Ports;
pub(crate) use tally::Tally;
pub(crate) use texts::Handle;

/// The engine label that limits the number of containers.
pub(crate) const SLOTS_LABEL: &str = "containerslots";

/// What strategies look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// CPUs and bytes that are promised to claims.
    pub(crate) cpus_used: i128,
    pub(crate) memory_used: i128,
    /// CPUs and bytes that may be promised.
    pub(crate) cpus: i64,
    pub(crate) memory: i64,
    /// The health indicator.
    pub(crate) health: i64,
    /// How many claims there are, and how many may be.
    pub(crate) count: u32,
    limit: Option<i64>,
    /// Where it is in the order of names: only comparisons mean something.
    pub(crate) rank: u32,
}

/// What a node is called.
#[derive(Clone, Debug, Default)]
struct Known {
    name: String,
    id: String,
    labels: BTreeMap<String, String>,
}

/// The indexes.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// How many slots there are.
    universe: usize,
    /// By slot; `None` while the slot is free.
    nodes: Vec<Option<Known>>,
    loads: Vec<Load>,
    order: Order,
    /// Whatever claims a part of a node, by handle: containers, and those being made, which have no
    /// ID yet. `None` while the handle is free.
    claims: Vec<Option<Arc<Container>>>,
    /// Their nodes' slots.
    slots: Vec<u32>,
    free: Vec<Handle>,
    /// Creates under way that claim something, by swarm ID and by node.
    pending: BTreeMap<String, Handle>,
    pending_on: BTreeSet<(u32, String)>,

    /// Claims by full ID, swarm ID, bare name; those with a lineage by swarm ID.
    pub(crate) ids: Beginnings,
    pub(crate) swarm_ids: Beginnings,
    pub(crate) names: Wholes,
    pub(crate) lineages: Beginnings,

    /// All nodes; those that are registered, healthy, have no slot for a container left.
    pub(crate) known: Bits,
    pub(crate) registered: Bits,
    pub(crate) healthy: Bits,
    pub(crate) full: Bits,
    /// Nodes by name, ID, label and value, host port, exposed port in host mode, image.
    pub(crate) node_names: BTreeMap<String, Tally>,
    pub(crate) node_ids: BTreeMap<String, Tally>,
    pub(crate) labels: BTreeMap<String, BTreeMap<String, Tally>>,
    pub(crate) ports: Ports,
    pub(crate) exposed: BTreeMap<String, Tally>,
    pub(crate) images: BTreeMap<String, Tally>,

    /// Changes of names and labels, of images, of claims, of anything in [`Load`].
    pub(crate) specs_log: Journal,
    pub(crate) images_log: Journal,
    pub(crate) claims_log: Journal,
    pub(crate) loads_log: Journal,
}

impl Index {
    /// How many slots there are.
    pub(crate) fn universe(&self) -> usize {
        self.universe
    }

    /// By slot.
    pub(crate) fn loads(&self) -> &[Load] {
        &self.loads
    }

    /// The container of a handle that some index gave, and its node's slot.
    pub(crate) fn claim(&self, handle: Handle) -> (&Arc<Container>, u32) {
        let container = self.claims[handle as usize].as_ref();
        (container.expect("what an index names is there"), self.slots[handle as usize])
    }

    /// The creates under way on the node, by swarm ID.
    pub(crate) fn pending_on(&self, slot: u32) -> impl Iterator<Item = &str> {
        let from = self.pending_on.range((slot, String::new())..);
        from.take_while(move |(at, _)| *at == slot).map(|(_, swarm_id)| swarm_id.as_str())
    }

    /// Where a create under way claims something.
    pub(super) fn pending(&self, swarm_id: &str) -> Option<u32> {
        self.pending.get(swarm_id).map(|handle| self.claim(*handle).1)
    }

    pub(super) fn insert_pending(&mut self, slot: u32, swarm_id: &str, facts: Facts) {
        let container = self.insert(slot, Container { facts, ..Container::default() });
        self.pending.insert(swarm_id.to_owned(), container.handle);
        self.pending_on.insert((slot, swarm_id.to_owned()));
    }

    pub(super) fn remove_pending(&mut self, swarm_id: &str) {
        let Some(handle) = self.pending.remove(swarm_id) else { return };
        let (container, slot) = self.claim(handle);
        let container = Arc::clone(container);
        self.pending_on.remove(&(slot, swarm_id.to_owned()));
        self.remove(&container);
    }

    /// Takes a claim into all indexes.
    pub(super) fn insert(&mut self, slot: u32, mut container: Container) -> Arc<Container> {
        let handle = self.free.pop().unwrap_or_else(|| {
            if self.claims.len() == self.claims.capacity() {
                // Doubling would leave room for as many again.
                self.claims.reserve_exact(self.claims.len() / 8 + 16);
                self.slots.reserve_exact(self.slots.len() / 8 + 16);
            }
            self.claims.push(None);
            self.slots.push(slot);
            Handle::try_from(self.claims.len() - 1).expect("fewer than four thousand million")
        });
        container.handle = handle;
        let container = Arc::new(container);
        self.claims[handle as usize] = Some(Arc::clone(&container));
        self.slots[handle as usize] = slot;
        let facts = &container.facts;
        if !container.id.is_empty() {
            self.ids.insert(&container.id, handle);
        }
        for_each_bare_name(facts, |name| self.names.insert(name, handle));
        if let Some(swarm_id) = facts.swarm_id() {
            self.swarm_ids.insert(swarm_id, handle);
            if facts.lineage.is_some() {
                self.lineages.insert(swarm_id, handle);
            }
        }
        for port in facts.ports() {
            self.ports.add(port, slot, self.universe);
        }
        for port in exposed(facts) {
            tally(&mut self.exposed, port).add(slot, self.universe);
        }
        let load = &mut self.loads[slot as usize];
        load.count += 1;
        load.cpus_used += i128::from(facts.cpus);
        load.memory_used += i128::from(facts.memory);
        self.note_claims(slot);
        container
    }

    /// Takes a claim out of all indexes.
    pub(super) fn remove(&mut self, container: &Container) {
        let handle = container.handle;
        let slot = self.slots[handle as usize];
        self.claims[handle as usize] = None;
        self.free.push(handle);
        let facts = &container.facts;
        if !container.id.is_empty() {
            self.ids.remove(&container.id, handle);
        }
        for_each_bare_name(facts, |name| self.names.remove(name, handle));
        if let Some(swarm_id) = facts.swarm_id() {
            self.swarm_ids.remove(swarm_id, handle);
            self.lineages.remove(swarm_id, handle);
        }
        for port in facts.ports() {
            self.ports.sub(port, slot);
        }
        for port in exposed(facts) {
            sub_tally(&mut self.exposed, port, slot);
        }
        let load = &mut self.loads[slot as usize];
        load.count -= 1;
        load.cpus_used -= i128::from(facts.cpus);
        load.memory_used -= i128::from(facts.memory);
        self.note_claims(slot);
    }

    /// Puts a container in the place of what was known of it before.
    pub(super) fn replace(&mut self, old: &Container, new: Container) -> Arc<Container> {
        let slot = self.slots[old.handle as usize];
        if !old.facts.same_claim(&new.facts) {
            self.remove(old);
            return self.insert(slot, new);
        }
        // Most news are of states and dates, which no index knows.
        let new = Arc::new(Container { handle: old.handle, ..new });
        self.hold(Arc::clone(&new));
        new
    }

    /// Gives back a container for a moment, without any index being asked meanwhile.
    pub(super) fn let_go(&mut self, handle: Handle) -> Option<Arc<Container>> {
        self.claims[handle as usize].take()
    }

    /// Takes a container under its handle.
    pub(super) fn hold(&mut self, container: Arc<Container>) {
        let handle = container.handle as usize;
        self.claims[handle] = Some(container);
    }

    fn note_claims(&mut self, slot: u32) {
        let load = &self.loads[slot as usize];
        self.full.set(slot, load.limit.is_some_and(|limit| i64::from(load.count) >= limit));
        self.claims_log.note(slot, self.universe);
        self.loads_log.note(slot, self.universe);
    }

    /// Takes over the images of a node in place of `old`.
    pub(super) fn set_images(&mut self, slot: u32, old: &[Value], new: &[Value]) {
        if old == new {
            return;
        }
        for text in old.iter().flat_map(image_texts) {
            sub_tally(&mut self.images, text, slot);
        }
        for text in new.iter().flat_map(image_texts) {
            tally(&mut self.images, text).add(slot, self.universe);
        }
        self.images_log.note(slot, self.universe);
    }

    /// Makes room for a new node.
    pub(super) fn add_node(&mut self, node: &Node, universe: usize, options: &Options) {
        if universe > self.universe {
            self.universe = universe;
            self.nodes.resize(universe, None);
            self.loads.resize(universe, Load::default());
        }
        self.known.insert(node.slot);
        let moved = self.order.insert(&node.name, &node.addr, node.slot);
        self.set_ranks(node.slot, moved);
        self.set_words(node.slot, Some(node));
        self.images_log.note(node.slot, self.universe);
        self.sync_node(node, options);
    }

    /// Forgets a node whose claims and images are gone.
    pub(super) fn remove_node(&mut self, node: &Node) {
        let slot = node.slot;
        if let Some(known) = &self.nodes[slot as usize] {
            self.order.remove(&known.name, &node.addr);
        }
        self.set_words(slot, None);
        self.loads[slot as usize] = Load::default();
        for set in [&mut self.known, &mut self.registered, &mut self.healthy, &mut self.full] {
            set.remove(slot);
        }
        self.loads_log.note(slot, self.universe);
    }

    /// Takes over whatever changed of a node, claims and images excepted.
    pub(super) fn sync_node(&mut self, node: &Node, options: &Options) {
        let slot = node.slot;
        let Some(known) = &self.nodes[slot as usize] else { return };
        let renamed = known.name != node.name;
        let news = renamed || known.id != node.id || known.labels != node.specs.labels;
        if renamed {
            self.order.remove(&known.name, &node.addr);
            let moved = self.order.insert(&node.name, &node.addr, slot);
            self.set_ranks(slot, moved);
        }
        if news {
            self.set_words(slot, Some(node));
        }
        self.registered.set(slot, node.registered);
        self.healthy.set(slot, node.is_healthy());
        let load = &mut self.loads[slot as usize];
        let mut now = load.clone();
        now.cpus = node.total_cpus(options);
        now.memory = node.total_memory(options);
        now.health = node.health_indicator(options);
        now.limit = node.specs.labels.get(SLOTS_LABEL).and_then(|limit| limit.parse().ok());
        if now != *load {
            *load = now;
            let load = &self.loads[slot as usize];
            self.full.set(slot, load.limit.is_some_and(|limit| i64::from(load.count) >= limit));
            self.loads_log.note(slot, self.universe);
        }
    }

    /// Puts the node's name, ID and labels in the place of those that the slot had.
    fn set_words(&mut self, slot: u32, node: Option<&Node>) {
        let universe = self.universe;
        if let Some(old) = self.nodes[slot as usize].take() {
            sub_tally(&mut self.node_names, &old.name, slot);
            sub_tally(&mut self.node_ids, &old.id, slot);
            for (key, value) in &old.labels {
                if let Some(values) = self.labels.get_mut(key) {
                    sub_tally(values, value, slot);
                    if values.is_empty() {
                        self.labels.remove(key);
                    }
                }
            }
        }
        if let Some(node) = node {
            tally(&mut self.node_names, &node.name).add(slot, universe);
            tally(&mut self.node_ids, &node.id).add(slot, universe);
            for (key, value) in &node.specs.labels {
                let values = self.labels.entry(key.clone()).or_default();
                tally(values, value).add(slot, universe);
            }
        }
        self.nodes[slot as usize] = node.map(|node| Known {
            name: node.name.clone(),
            id: node.id.clone(),
            labels: node.specs.labels.clone(),
        });
        self.specs_log.note(slot, universe);
    }

    /// Takes over the place of a node in the order of names, or of all nodes if they moved.
    fn set_ranks(&mut self, slot: u32, moved: bool) {
        if moved {
            for (slot, rank) in self.order.ranks() {
                self.loads[slot as usize].rank = rank;
            }
            self.loads_log.forget();
        } else if let Some(rank) = self.order.rank_of(slot) {
            self.loads[slot as usize].rank = rank;
            self.loads_log.note(slot, self.universe);
        }
    }
}

/// A container's names without the slash they begin with.
fn for_each_bare_name(facts: &Facts, mut f: impl FnMut(&str)) {
    for name in facts.names() {
        f(name.strip_prefix('/').unwrap_or(name));
    }
}

/// The ports a container exposes on its node's own network.
fn exposed(facts: &Facts) -> impl Iterator<Item = &str> {
    facts.exposed().filter(|_| facts.host_network)
}

/// The texts by which an `affinity:image` knows an image: its tags, the repositories of its tags,
/// its ID.
pub(crate) fn image_texts(row: &Value) -> impl Iterator<Item = &str> {
    let tags = json::texts(row, "/RepoTags").flat_map(|tag| [tag, super::split_image(tag).0]);
    tags.chain([json::text(row, "/Id")])
}

fn tally<'a>(map: &'a mut BTreeMap<String, Tally>, key: &str) -> &'a mut Tally {
    if !map.contains_key(key) {
        map.insert(key.to_owned(), Tally::default());
    }
    map.get_mut(key).expect("there since the line above")
}

fn sub_tally(map: &mut BTreeMap<String, Tally>, key: &str, slot: u32) {
    if let Some(tally) = map.get_mut(key) {
        tally.sub(slot);
        if tally.is_empty() {
            map.remove(key);
        }
    }
}

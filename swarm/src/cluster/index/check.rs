//! The indexes built anew in the simplest way, for tests: index and truth must never part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::texts::{Beginnings, Wholes};
use super::{Bits, Index, SLOTS_LABEL, Tally, exposed, image_texts};
use crate::cluster::{Cluster, Container, Node};

/// How often something occurs on each node, by what it is.
type Counts = BTreeMap<String, BTreeMap<u32, u32>>;

impl Cluster {
    /// Compares everything that follows from nodes, containers and creates under way with what
    /// follows from them when it is worked out anew. For tests: it takes long.
    ///
    /// # Errors
    /// The first thing that differs.
    #[doc(hidden)]
    pub fn check_consistency(&self) -> Result<(), String> {
        let index = self.index();
        self.check_claims()?;
        let (mut expected, mut names) = (Counts::new(), BTreeMap::<String, u32>::new());
        for node in self.nodes() {
            self.count_node(node, &mut expected);
            self.check_node(node)?;
        }
        same("what nodes have", &index.counts(), &expected)?;
        let slots = |holds: fn(&Node) -> bool| -> Vec<u32> {
            let mut slots: Vec<u32> =
                self.nodes().filter(|node| holds(node)).map(|node| node.slot).collect();
            slots.sort_unstable();
            slots
        };
        let set = |bits: &Bits| bits.iter().collect::<Vec<u32>>();
        same("known", &set(&index.known), &slots(|_| true))?;
        same("registered", &set(&index.registered), &slots(|node| node.registered))?;
        same("healthy", &set(&index.healthy), &slots(Node::is_healthy))?;
        let mut ordered: Vec<&Node> = self.nodes().collect();
        ordered.sort_by(|a, b| Self::natural_order(a, b));
        let ranks: Vec<u32> =
            ordered.iter().map(|node| index.loads()[node.slot as usize].rank).collect();
        if !ranks.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err(format!("the order of nodes: {ranks:?}"));
        }
        for reservation in self.reservations.values().filter(|claim| !claim.name.is_empty()) {
            *names.entry(reservation.name.clone()).or_insert(0) += 1;
        }
        same("reserved names", &self.reserved_names, &names)?;
        self.answers().check(self)
    }

    /// The creates under way that claim something of a node, as they are defined.
    fn true_pending<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a str> {
        let claims = self.reservations.values().filter(|claim| claim.node == node.addr);
        let is_made = |swarm_id: &str| {
            let mut containers = node.containers.values();
            containers.any(|container| container.facts.swarm_id() == Some(swarm_id))
        };
        claims.map(|claim| claim.swarm_id.as_str()).filter(move |id| !is_made(id))
    }

    /// Whether each claim is where its handle says, and found by its texts, and nothing else is.
    fn check_claims(&self) -> Result<(), String> {
        let index = self.index();
        let mut claims: Vec<Arc<Container>> = Vec::new();
        for node in self.nodes() {
            let pending: Vec<&str> = self.true_pending(node).collect();
            let known: Vec<&str> = index.pending_on(node.slot).collect();
            same("creates under way", &known, &pending)?;
            for id in node.containers.keys() {
                let container = node.containers.shared(id).ok_or("a key without a container")?;
                let (indexed, slot) = index.claim(container.handle);
                if slot != node.slot || !Arc::ptr_eq(indexed, container) {
                    return Err(format!("{id} of {} is not what its handle says", node.addr));
                }
                claims.push(Arc::clone(container));
            }
            for swarm_id in pending {
                let handle = index.pending.get(swarm_id).copied().ok_or("no handle")?;
                let (claim, slot) = index.claim(handle);
                same("the node of a create", &slot, &node.slot)?;
                claims.push(Arc::clone(claim));
            }
        }
        let used = index.claims.iter().flatten().count();
        same("handles", &(used, used + index.free.len()), &(claims.len(), index.claims.len()))?;
        let ids = |claim: &Container| Some(claim.id.to_string()).filter(|id| !id.is_empty());
        check_beginnings("IDs", &index.ids, &claims, ids)?;
        let swarm_ids = |claim: &Container| claim.facts.swarm_id().map(str::to_owned);
        check_beginnings("swarm IDs", &index.swarm_ids, &claims, swarm_ids)?;
        let lineages =
            |claim: &Container| swarm_ids(claim).filter(|_| claim.facts.lineage.is_some());
        check_beginnings("lineages", &index.lineages, &claims, lineages)?;
        check_names(&index.names, &claims)
    }

    fn count_node(&self, node: &Node, counts: &mut Counts) {
        let mut add = |kind: &str, what: &str| {
            let nodes = counts.entry(format!("{kind} {what}")).or_default();
            *nodes.entry(node.slot).or_insert(0) += 1;
        };
        add("name", &node.name);
        add("id", &node.id);
        node.specs.labels.iter().for_each(|(key, value)| add("label", &format!("{key}={value}")));
        node.images.iter().flat_map(image_texts).for_each(|text| add("image", text));
        for facts in self.claims(node) {
            exposed(facts).for_each(|port| add("exposed", port));
            for port in facts.ports() {
                let ip = if port.is_everywhere() { "*" } else { port.ip };
                add("port", port.port);
                add("port", &format!("{} on {ip}", port.port));
            }
        }
    }

    /// Compares the sums of a node.
    fn check_node(&self, node: &Node) -> Result<(), String> {
        let index = self.index();
        let load = &index.loads()[node.slot as usize];
        let claims: Vec<_> = self.claims(node).collect();
        let cpus: i128 = claims.iter().map(|facts| i128::from(facts.cpus)).sum();
        let memory: i128 = claims.iter().map(|facts| i128::from(facts.memory)).sum();
        let options = self.options();
        let limit: Option<i64> =
            node.specs.labels.get(SLOTS_LABEL).and_then(|limit| limit.parse().ok());
        let count = claims.len();
        same("used", &(load.cpus_used, load.memory_used), &(cpus, memory))?;
        let totals = (node.total_cpus(options), node.total_memory(options));
        same("totals", &(load.cpus, load.memory), &totals)?;
        let decisive = (node.health_indicator(options), count);
        same("health and count", &(load.health, load.count as usize), &decisive)?;
        let full = limit.is_some_and(|limit| count as i64 >= limit);
        same("full", &index.full.contains(node.slot), &full)
    }
}

impl Index {
    fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        let mut add = |kind: &str, what: &str, entries: Vec<(u32, u32)>| {
            counts.insert(format!("{kind} {what}"), entries.into_iter().collect());
        };
        let labels = self.labels.iter().flat_map(|(key, values)| {
            values.iter().map(move |(value, nodes)| (format!("{key}={value}"), nodes))
        });
        labels.for_each(|(what, nodes)| add("label", &what, nodes.entries()));
        let maps: [(&str, &BTreeMap<String, Tally>); 4] = [
            ("name", &self.node_names),
            ("id", &self.node_ids),
            ("image", &self.images),
            ("exposed", &self.exposed),
        ];
        for (kind, map) in maps {
            map.iter().for_each(|(what, nodes)| add(kind, what, nodes.entries()));
        }
        let ports = self.ports.entries().filter(|(_, entries)| !entries.is_empty());
        ports.for_each(|(what, entries)| add("port", &what, entries));
        counts
    }
}

fn check_beginnings(
    what: &str,
    index: &Beginnings,
    claims: &[Arc<Container>],
    text: impl Fn(&Container) -> Option<String>,
) -> Result<(), String> {
    let mut count = 0;
    for claim in claims {
        let Some(text) = text(claim) else { continue };
        count += 1;
        if !index.equal(&text).any(|handle| handle == claim.handle) {
            return Err(format!("{what}: {text} is not found"));
        }
    }
    same(what, &index.len(), &count)
}

fn check_names(index: &Wholes, claims: &[Arc<Container>]) -> Result<(), String> {
    let mut count = 0;
    for claim in claims {
        let names = claim.facts.names().map(|name| name.strip_prefix('/').unwrap_or(name));
        let names: BTreeSet<&str> = names.collect();
        count += names.len();
        for name in names {
            if !index.equal(name).any(|handle| handle == claim.handle) {
                return Err(format!("names: {name} is not found"));
            }
        }
    }
    same("names", &index.len(), &count)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, expected: &T) -> Result<(), String> {
    if is == expected { Ok(()) } else { Err(format!("{what}: {is:?} instead of {expected:?}")) }
}

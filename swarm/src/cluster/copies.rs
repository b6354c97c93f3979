//! Copies of one container: which ones belong together, which one counts, and what to do.
//!
//! When a node dies, a container that asks for it is made anew elsewhere. The replacement carries
//! the swarm ID of the original and a label of the manager's own, the [`Lineage`], that names the
//! full IDs of every copy it stands for. Nothing else makes two containers copies of each other: not
//! a common name, and not a common swarm ID, which `docker commit` copies into images. So whoever
//! reads the engines, also a manager that was just started, comes to the same conclusions.
//!
//! Of copies that belong together the later generation counts: clients have worked with it while
//! the older one was out of reach. A replacement that was never started yet, though it should
//! have been, counts less than any other copy: nobody has worked with it. The ID decides the rest,
//! so that two managers that both made a replacement agree on the one to keep.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Cluster, Container, Node, RunState, State, json};

/// The label in which a replacement names what it stands for.
pub const LINEAGE_LABEL: &str = "com.docker.swarm.rescheduled-from";

/// The label with a container's reschedule policies.
pub(crate) const POLICY_LABEL: &str = "com.docker.swarm.reschedule-policies";

/// The policy that asks for a replacement.
const ON_NODE_FAILURE: &str = "on-node-failure";

/// How many ancestors a lineage names: the first, which identifies the family, and the latest.
const ANCESTORS_MAX: usize = 64;

/// What a replacement stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// How many replacements ago the original was.
    pub generation: u32,
    /// Whether the container was running when it was lost, so that its replacement must run.
    pub running: bool,
    /// Full IDs, the original first.
    pub from: Vec<String>,
}

impl Lineage {
    /// Reads the label's value; `None` if no manager wrote it.
    #[must_use]
    pub fn parse(label: &str) -> Option<Self> {
        let lineage: Self = serde_json::from_str(label).ok()?;
        let is_id = |id: &String| id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
        let fine =
            lineage.generation > 0 && !lineage.from.is_empty() && lineage.from.iter().all(is_id);
        fine.then_some(lineage)
    }

    /// The lineage of a replacement for `container`, as the label's value.
    fn of_replacement(container: &Container, own: Option<&Self>) -> String {
        let mut from = own.map(|lineage| lineage.from.clone()).unwrap_or_default();
        from.push(container.id.clone());
        if from.len() > ANCESTORS_MAX {
            from.remove(1);
        }
        let generation = own.map_or(0, |lineage| lineage.generation).saturating_add(1);
        let lineage = Self { generation, running: container.facts.state.is_running(), from };
        serde_json::to_string(&lineage).expect("texts and numbers only")
    }
}

/// Where a container is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its swarm ID: common to all copies.
    pub swarm_id: String,
    /// The address of its node.
    pub addr: String,
    /// Its full ID.
    pub id: String,
}

/// Something to be done about copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Care {
    /// The node is dead: make the container anew elsewhere.
    Replace(Place),
    /// The replacement was made but not started.
    Start(Place),
    /// The first is a copy of the second, and the second counts.
    Remove(Place, Place),
}

impl Care {
    /// The swarm ID of the container in question.
    #[must_use]
    pub fn swarm_id(&self) -> &str {
        let (Self::Replace(place) | Self::Start(place) | Self::Remove(place, _)) = self;
        &place.swarm_id
    }
}

/// A container that a manager made, with what decides on its worth.
#[derive(Clone, Copy)]
struct Copy<'a> {
    node: &'a Node,
    container: &'a Container,
    lineage: Option<&'a Lineage>,
}

impl<'a> Copy<'a> {
    /// `None` for containers that no manager made, and for those that could not be removed.
    fn of(node: &'a Node, container: &'a Container) -> Option<Self> {
        let facts = &container.facts;
        let id = facts.swarm_id()?;
        if facts.state == RunState::Dead || inherits(node, container, super::SWARM_ID_LABEL, id) {
            return None;
        }
        let label = facts.label(LINEAGE_LABEL);
        let own = label.is_some_and(|label| !inherits(node, container, LINEAGE_LABEL, label));
        Some(Self { node, container, lineage: facts.lineage.as_deref().filter(|_| own) })
    }

    fn swarm_id(&self) -> &'a str {
        self.container.facts.swarm_id().unwrap_or_default()
    }

    fn place(&self) -> Place {
        Place {
            swarm_id: self.swarm_id().to_owned(),
            addr: self.node.addr.clone(),
            id: self.container.id.clone(),
        }
    }

    /// Whether it is a replacement that has yet to be started.
    fn is_unfinished(&self) -> bool {
        let running = self.lineage.is_some_and(|lineage| lineage.running);
        running && self.container.facts.state == RunState::Created
    }

    /// The greater, the more it counts. Never equal for two containers.
    fn rank(&self) -> (bool, u32, Reverse<&'a str>) {
        let generation = self.lineage.map_or(0, |lineage| lineage.generation);
        (!self.is_unfinished(), generation, Reverse(self.container.id.as_str()))
    }

    /// As the rank, for clients: a copy that cannot be reached is of no use to them.
    fn worth(&self) -> (bool, (bool, u32, Reverse<&'a str>)) {
        (self.node.is_healthy(), self.rank())
    }

    fn stands_for(&self, other: &Self) -> bool {
        self.lineage.is_some_and(|lineage| lineage.from.contains(&other.container.id))
    }

    /// Whether one was made in place of the other, or both in place of a third.
    fn belongs_to(&self, other: &Self) -> bool {
        let origin = |copy: &Self| copy.lineage.and_then(|lineage| lineage.from.first());
        let siblings = origin(self).is_some() && origin(self) == origin(other);
        self.container.id != other.container.id
            && self.swarm_id() == other.swarm_id()
            && (self.stands_for(other) || other.stands_for(self) || siblings)
    }

    /// Whether it is to be made anew when its node dies.
    fn wants_replacement(&self) -> bool {
        let facts = &self.container.facts;
        let policies = facts.label(POLICY_LABEL).unwrap_or_default();
        let policies: Vec<String> = serde_json::from_str(policies).unwrap_or_default();
        policies.iter().any(|policy| policy == ON_NODE_FAILURE)
            && facts.names().any(|name| name.len() > 1)
    }
}

/// Whether a replacement with this swarm ID and lineage may have the name of the container: it
/// stands for it, or both stand for the same original. Anything else keeps its name, a stranger
/// with a copied swarm ID as well.
pub(super) fn gives_way(
    node: &Node,
    container: &Container,
    swarm_id: &str,
    lineage: &Lineage,
) -> bool {
    let Some(own) = container.facts.swarm_id() else { return false };
    if own != swarm_id || inherits(node, container, super::SWARM_ID_LABEL, own) {
        return false;
    }
    let sibling = Copy::of(node, container)
        .and_then(|copy| copy.lineage)
        .is_some_and(|its| its.from.first() == lineage.from.first());
    lineage.from.contains(&container.id) || sibling
}

/// Whether a label of a container comes from its image: then it says something of whatever was
/// committed, and nothing of the container.
fn inherits(node: &Node, container: &Container, label: &str, value: &str) -> bool {
    let image = json::text(&container.inspect, "/Image");
    !image.is_empty()
        && node.images.iter().filter(|row| json::text(row, "/Id") == image).any(|row| {
            json::members(row, "/Labels").any(|(key, text)| key == label && text == value)
        })
}

impl Cluster {
    /// What is to be done about copies, and about containers of dead nodes. One thing for each
    /// swarm ID: it may change what else is to be done.
    #[must_use]
    pub fn care(&self) -> Vec<Care> {
        let mut todo: BTreeMap<&str, Care> = BTreeMap::new();
        let families = self.families(true);
        for copies in families.values() {
            for copy in copies {
                let best = copies
                    .iter()
                    .filter(|other| is_live(other) && other.belongs_to(copy))
                    .max_by_key(|other| other.rank());
                let care = match best {
                    Some(best) if is_live(copy) && best.rank() > copy.rank() => {
                        Care::Remove(copy.place(), best.place())
                    }
                    _ if is_live(copy) && copy.is_unfinished() => Care::Start(copy.place()),
                    None if is_dead(copy) && copy.wants_replacement() => {
                        let better = |other: &&Copy<'_>| {
                            other.belongs_to(copy) && other.rank() > copy.rank()
                        };
                        if copies.iter().any(|other| better(&other)) {
                            continue;
                        }
                        Care::Replace(copy.place())
                    }
                    _ => continue,
                };
                todo.entry(copy.swarm_id()).or_insert(care);
            }
        }
        todo.into_values().collect()
    }

    /// The IDs of containers that another copy stands for: hidden from clients who do not ask for
    /// exactly them. A copy on a live node comes before one that cannot be reached.
    #[must_use]
    pub fn superseded(&self) -> BTreeSet<&str> {
        let families = self.families(false);
        let mut hidden = BTreeSet::new();
        for copies in families.values() {
            let loses = |copy: &&Copy<'_>| {
                copies.iter().any(|other| other.belongs_to(copy) && other.worth() > copy.worth())
            };
            hidden.extend(copies.iter().filter(loses).map(|copy| &*copy.container.id));
        }
        hidden
    }

    /// Whether another copy stands for this container, as [`Cluster::superseded`] tells of all.
    pub(super) fn is_superseded(&self, (node, container): &(&Node, &Container)) -> bool {
        let Some(swarm_id) = container.facts.swarm_id() else { return false };
        if self.index.swarm_ids.equal(swarm_id).nth(1).is_none() {
            return false;
        }
        let Some(copy) = Copy::of(node, container) else { return false };
        let family = self.family(swarm_id);
        family.iter().any(|other| other.belongs_to(&copy) && other.worth() > copy.worth())
    }

    /// The copies of a swarm ID on registered nodes, by address and ID.
    fn family(&self, swarm_id: &str) -> Vec<Copy<'_>> {
        let claims = self.index.swarm_ids.equal(swarm_id).map(|handle| self.index.claim(handle));
        let claims = claims.filter(|(container, _)| {
            !container.id.is_empty() && container.facts.swarm_id() == Some(swarm_id)
        });
        let places = claims.filter_map(|(container, slot)| {
            let node = self.nodes.at(slot).filter(|node| node.registered)?;
            Copy::of(node, container)
        });
        let mut copies: Vec<Copy<'_>> = places.collect();
        copies.sort_by_key(|copy| (copy.node.addr.as_str(), &*copy.container.id));
        copies
    }

    /// The label that a replacement for this container gets; `None` if it is not a manager's.
    #[must_use]
    pub fn lineage_of_replacement(&self, place: &Place) -> Option<String> {
        let (node, container) = self.lost_container(place)?;
        let copy = Copy::of(node, container)?;
        Some(Lineage::of_replacement(copy.container, copy.lineage))
    }

    /// A container, also of a node that has left and is dead.
    #[must_use]
    pub fn lost_container(&self, place: &Place) -> Option<(&Node, &Container)> {
        let nodes = [self.nodes.get(&place.addr), self.departed.get(&place.addr)];
        let mut found = nodes.into_iter().flatten();
        found.find_map(|node| Some((node, node.containers.get(&place.id)?)))
    }

    /// Whether the node at `addr` has containers that are to be made anew if it is dead.
    #[must_use]
    pub fn is_needed(&self, addr: &str) -> bool {
        let node = self.nodes.get(addr).filter(|node| node.registered);
        node.is_some_and(|node| copies(node).any(|copy| copy.wants_replacement()))
    }

    /// Takes a node that has left discovery for dead.
    pub fn mourn(&mut self, node: Node) {
        self.departed.insert(node.addr.clone(), node);
    }

    /// A container was made anew: the lost one is no longer known at its dead node, or it would be
    /// made again when its replacement is removed.
    pub fn replaced(&mut self, place: &Place) {
        let dead = self.nodes.get(&place.addr).filter(|node| !node.is_healthy());
        if let Some(slot) = dead.map(|node| node.slot) {
            self.take(slot, &place.id);
        }
        if let Some(node) = self.departed.get_mut(&place.addr) {
            node.containers.remove(&place.id);
            if node.containers.is_empty() {
                self.departed.remove(&place.addr);
            }
        }
    }

    /// A node that was taken for dead is not, or is in discovery again.
    pub fn forget_departed(&mut self, addr: &str) {
        self.departed.remove(addr);
    }

    /// Containers that managers made, by swarm ID, as far as there is anything to decide: where one
    /// is a replacement, and with `lost` also those that want one.
    fn families(&self, lost: bool) -> BTreeMap<&str, Vec<Copy<'_>>> {
        let departed = || lost.then(|| self.departed.values()).into_iter().flatten();
        let is_suspect = |container: &Container| {
            container.facts.lineage.is_some()
                || lost && container.facts.label(POLICY_LABEL).is_some()
        };
        // Of live nodes only replacements, which an index knows; of dead ones whoever wants one.
        let replacements = self.index.lineages.all().filter_map(|handle| {
            let (container, slot) = self.index.claim(handle);
            let node = self.nodes.at(slot).filter(|node| node.registered)?;
            (!container.id.is_empty()).then_some((node, &**container))
        });
        let is_down = |node: &&Node| lost && node.state == State::Unhealthy;
        let lost = self.registered().filter(is_down).chain(departed()).flat_map(|node| {
            let suspects = node.containers.values().filter(|container| is_suspect(container));
            suspects.map(move |container| (node, container))
        });
        let suspects = replacements.chain(lost);
        let copies = suspects.filter_map(|(node, container)| Copy::of(node, container));
        let copies = copies
            .filter(|copy| copy.lineage.is_some() || is_dead(copy) && copy.wants_replacement());
        let mut families: BTreeMap<&str, Vec<Copy<'_>>> =
            copies.map(|copy| (copy.swarm_id(), Vec::new())).collect();
        for (swarm_id, family) in &mut families {
            *family = self.family(swarm_id);
        }
        for copy in departed().flat_map(self::copies) {
            if let Some(family) = families.get_mut(copy.swarm_id()) {
                family.push(copy);
            }
        }
        families
    }
}

fn copies(node: &Node) -> impl Iterator<Item = Copy<'_>> {
    node.containers.values().filter_map(move |container| Copy::of(node, container))
}

fn is_live(copy: &Copy<'_>) -> bool {
    copy.node.registered && copy.node.is_healthy()
}

fn is_dead(copy: &Copy<'_>) -> bool {
    matches!(copy.node.state, State::Unhealthy | State::Disconnected)
}

#[cfg(test)]
mod tests;

//! Finding objects by what a client types.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value;

use super::{Cluster, Container, Facts, Node, format, json};

/// Length of the short form of an ID.
const SHORT_ID: usize = 12;

impl Cluster {
    /// The container a client means by `text`: by full or short ID, by full or short swarm ID, by
    /// name (bare, or after its node's name or ID), or by the beginning of an ID, in this order. A
    /// name or beginning that fits several containers finds none.
    #[must_use]
    pub fn find_container(&self, text: &str) -> Option<(&Node, &Container)> {
        let candidates = self.healthy_first().flat_map(|node| {
            node.containers.values().map(move |container| Candidate {
                node,
                id: &container.id,
                facts: &container.facts,
                item: (node, container),
            })
        });
        resolve(text, candidates)
    }

    /// The registered nodes that hold an image, healthy ones first, then by name. `text` is an ID,
    /// its beginning, or `repository[:tag]` or `repository@digest`; without `match_tag` only the
    /// repository is compared.
    #[must_use]
    pub fn find_image(&self, text: &str, match_tag: bool) -> Vec<&Node> {
        let holds = |node: &&Node| node.images.iter().any(|row| is_image(row, text, match_tag));
        let mut nodes: Vec<&Node> = self.registered().filter(holds).collect();
        nodes.sort_by(|a, b| {
            b.is_healthy().cmp(&a.is_healthy()).then_with(|| Self::natural_order(a, b))
        });
        nodes
    }

    /// The network a client means by `text`, as listed by one of the nodes that know it: by full
    /// or short ID, by name (bare, or as `<node>/<name>`), or by the beginning of an ID. A name or
    /// beginning that fits networks of several IDs finds none. `Scope` of the row tells whether it
    /// lives on that node only.
    #[must_use]
    pub fn network_scope(&self, text: &str) -> Option<(&Node, Value)> {
        if text.is_empty() {
            return None;
        }
        let all =
            || self.healthy_first().flat_map(|node| node.networks.iter().map(move |n| (node, n)));
        let by_id =
            all().find(|(_, row)| network_id(row) == text || short(network_id(row)) == Some(text));
        if let Some((node, row)) = by_id {
            return Some((node, row.clone()));
        }
        let unique = |fits: &dyn Fn(&Node, &Value) -> bool| {
            let mut found = BTreeMap::new();
            for (node, row) in all().filter(|(node, row)| fits(node, row)) {
                found.entry(network_id(row)).or_insert((node, row));
            }
            found
        };
        let rules: [&dyn Fn(&Node, &Value) -> bool; 3] = [
            &|node, row| is_on_node(text, node, json::text(row, "/Name")),
            &|_, row| json::text(row, "/Name").strip_prefix('/') == Some(text),
            &|_, row| network_id(row).starts_with(text),
        ];
        let found = rules.iter().map(|rule| unique(*rule)).find(|found| !found.is_empty())?;
        let one = if found.len() == 1 { found.into_values().next() } else { None };
        one.map(|(node, row)| (node, row.clone()))
    }

    /// The order in which people count nodes: `node2` before `node10`; nameless ones first. Nodes
    /// of one name go by address.
    #[must_use]
    pub fn natural_order(a: &Node, b: &Node) -> Ordering {
        format::natural_cmp(&a.name, &b.name).then_with(|| a.addr.cmp(&b.addr))
    }

    /// Registered nodes by address, healthy ones first: where any hit will do, a live one is best.
    fn healthy_first(&self) -> impl Iterator<Item = &Node> + Clone {
        let healthy = self.registered().filter(|node| node.is_healthy());
        healthy.chain(self.registered().filter(|node| !node.is_healthy()))
    }
}

fn network_id(row: &Value) -> &str {
    json::text(row, "/Id")
}

/// Something that can be meant by a container's ID or name.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a, T> {
    /// Where it is.
    pub(crate) node: &'a Node,
    /// Its ID; empty if it is still being made.
    pub(crate) id: &'a str,
    /// Its names and swarm ID.
    pub(crate) facts: &'a Facts,
    /// What finding it gives.
    pub(crate) item: T,
}

/// The candidate meant by `text`, by the rules of [`Cluster::find_container`].
pub(crate) fn resolve<'a, T>(
    text: &str,
    candidates: impl Iterator<Item = Candidate<'a, T>> + Clone,
) -> Option<T> {
    if text.is_empty() {
        return None;
    }
    let is_id = |id: &str| id == text || short(id) == Some(text);
    if let Some(found) = candidates.clone().find(|candidate| is_id(candidate.id)) {
        return Some(found.item);
    }
    let swarm_id = |facts: &'a Facts| facts.swarm_id.as_deref().unwrap_or_default();
    if let Some(found) = candidates.clone().find(|candidate| is_id(swarm_id(candidate.facts))) {
        return Some(found.item);
    }
    let mut named = candidates.clone().filter(|Candidate { node, facts, .. }| {
        facts
            .names
            .iter()
            .any(|name| name.strip_prefix('/') == Some(text) || is_on_node(text, node, name))
    });
    if let Some(found) = named.next() {
        return named.next().is_none().then_some(found.item);
    }
    // Both kinds of ID count on their own: a container that fits by both is ambiguous.
    let by_id = candidates.clone().filter(|candidate| candidate.id.starts_with(text));
    let by_swarm_id = candidates.filter(|candidate| swarm_id(candidate.facts).starts_with(text));
    let mut begun = by_id.chain(by_swarm_id);
    let found = begun.next()?;
    begun.next().is_none().then_some(found.item)
}

/// Whether `text` is `name`, or `name` after the ID or the name of its node. Names of containers
/// begin with the slash that separates them; those of networks do not.
fn is_on_node(text: &str, node: &Node, name: &str) -> bool {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let after = |node: &str| {
        let rest = text.strip_prefix(node).and_then(|rest| rest.strip_prefix('/'));
        !node.is_empty() && rest == Some(bare)
    };
    text == name || after(&node.id) || after(&node.name)
}

/// The short form of an ID that has one.
fn short(id: &str) -> Option<&str> {
    id.get(..SHORT_ID)
}

/// Splits an image reference into repository and tag or digest; the tag may be empty. A colon
/// before a slash belongs to the registry's port.
pub(crate) fn split_image(reference: &str) -> (&str, &str) {
    if let Some(parts) = reference.split_once('@') {
        return parts;
    }
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (reference, ""),
    }
}

fn is_image(row: &Value, text: &str, match_tag: bool) -> bool {
    let is_id = |id: &str| !id.is_empty() && (id == text || text.len() > 2 && id.starts_with(text));
    let id = json::text(row, "/Id");
    if is_id(id) || id.strip_prefix("sha256:").is_some_and(is_id) {
        return true;
    }
    let (repository, tag) = split_image(text);
    json::texts(row, "/RepoTags").chain(json::texts(row, "/RepoDigests")).any(|reference| {
        let (its_repository, its_tag) = split_image(reference);
        its_repository == repository && (!match_tag || tag.is_empty() || tag == its_tag)
    })
}

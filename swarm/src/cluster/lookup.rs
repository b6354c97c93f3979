//! Finding objects by what a client types.

use std::cmp::Ordering;

use serde_json::Value;

use super::index::{Bits, Handle};
use super::{Cluster, Container, Facts, Node, format, json};

/// Length of the short form of an ID.
const SHORT_ID: usize = 12;

impl Cluster {
    /// The container a client means by `text`: by full or short ID, by full or short swarm ID, by
    /// name (bare, or after its node's name or ID), or by the beginning of an ID, in this order. A
    /// name or beginning that fits several containers finds none. A container that another copy
    /// stands for is found only if nothing else is.
    #[must_use]
    pub fn find_container(&self, text: &str) -> Option<(&Node, &Container)> {
        if self.index.lineages.is_empty() {
            return self.meant(text, |_| true);
        }
        self.meant(text, |place| !self.is_superseded(place)).or_else(|| self.meant(text, |_| true))
    }

    /// What `text` means among the containers of registered nodes for which `counts` holds.
    fn meant<'a>(
        &'a self,
        text: &str,
        counts: impl Fn(&(&'a Node, &'a Container)) -> bool,
    ) -> Option<(&'a Node, &'a Container)> {
        if text.is_empty() {
            return None;
        }
        let place = |handle| {
            let (container, slot) = self.index.claim(handle);
            let node = self.nodes.at(slot).filter(|_| self.index.registered.contains(slot))?;
            // A create under way is nothing that a client can mean.
            Some((node, &**container)).filter(|place| !place.1.id.is_empty() && counts(place))
        };
        // Where any hit will do, a live one is best.
        let order = |place: &(&'a Node, &'a Container)| {
            (!place.0.is_healthy(), place.0.addr.as_str(), &*place.1.id)
        };
        let index = &self.index;
        let (ids, swarm_ids) = (index.ids.beginning(text), index.swarm_ids.beginning(text));
        let by_id = ids.clone().take_while(|hit| hit.0).filter_map(|hit| place(hit.1));
        let by_id = by_id.filter(|(_, container)| is_id(text, &container.id));
        if let Some(found) = by_id.min_by(|a, b| order(a).cmp(&order(b))) {
            return Some(found);
        }
        let by_swarm_id = swarm_ids.clone().take_while(|hit| hit.0);
        let by_swarm_id = by_swarm_id.filter_map(|hit| place(hit.1));
        let by_swarm_id = by_swarm_id.filter(|found| is_id(text, swarm_id(&found.1.facts)));
        if let Some(found) = by_swarm_id.min_by(|a, b| order(a).cmp(&order(b))) {
            return Some(found);
        }
        let mut named = self.named(text).filter_map(place);
        if let Some(found) = named.next() {
            let same = |other: (_, &Container)| std::ptr::eq(other.1, found.1);
            return named.all(same).then_some(found);
        }
        // Both kinds of ID count on their own: a container that fits by both is ambiguous.
        let by_id = ids.filter_map(|hit| place(hit.1));
        let by_id = by_id.filter(|(_, container)| container.id.starts_with(text));
        let by_swarm_id = swarm_ids.filter_map(|hit| place(hit.1));
        let by_swarm_id = by_swarm_id.filter(|found| swarm_id(&found.1.facts).starts_with(text));
        let mut begun = by_id.chain(by_swarm_id);
        let found = begun.next()?;
        begun.next().is_none().then_some(found)
    }

    /// The claims that `text` names, bare or after its node's name or ID; one that is named in two
    /// ways comes twice.
    fn named<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Handle> + 'a {
        let index = &self.index;
        let is_node = |text: &str| {
            !text.is_empty()
                && (index.node_names.contains_key(text) || index.node_ids.contains_key(text))
        };
        let after_node = text
            .match_indices('/')
            .filter(move |(at, _)| is_node(&text[..*at]))
            .map(|(at, _)| &text[at + 1..]);
        // A name without its slash, or with it.
        let bare = [Some(text), text.strip_prefix('/')].into_iter().flatten();
        let handles = bare.chain(after_node).flat_map(|name| index.names.equal(name));
        handles.filter(move |handle| {
            let (container, slot) = index.claim(*handle);
            let node = self.nodes.at(slot);
            node.is_some_and(|node| is_named(text, node, &container.facts))
        })
    }

    /// Adds the nodes on which `text` means a container, or one being made, when nothing but the
    /// node is looked at.
    pub(crate) fn add_nodes_of(&self, text: &str, set: &mut Bits) {
        if text.is_empty() {
            return;
        }
        let index = &self.index;
        let claim = |handle| index.claim(handle);
        let by_id = index.ids.equal(text).map(claim);
        by_id.filter(|claim| is_id(text, &claim.0.id)).for_each(|claim| set.insert(claim.1));
        let by_swarm_id = index.swarm_ids.equal(text).map(claim);
        let by_swarm_id = by_swarm_id.filter(|claim| is_id(text, swarm_id(&claim.0.facts)));
        by_swarm_id.for_each(|claim| set.insert(claim.1));
        // By name if it is the only one of its node; one that is named in two ways is one.
        let mut named: Vec<(u32, Handle)> =
            self.named(text).map(|handle| (claim(handle).1, handle)).collect();
        named.sort_unstable();
        named.dedup();
        let mut names = Once::default();
        named.into_iter().for_each(|(slot, _)| names.count(slot));
        // By the beginning of an ID where nothing has the name. Both kinds of ID count.
        let mut begun = Once::default();
        let by_id = index.ids.beginning(text).map(|hit| claim(hit.1));
        let by_id = by_id.filter(|claim| claim.0.id.starts_with(text));
        by_id.for_each(|claim| begun.count(claim.1));
        let by_swarm_id = index.swarm_ids.beginning(text).map(|hit| claim(hit.1));
        let by_swarm_id = by_swarm_id.filter(|claim| swarm_id(&claim.0.facts).starts_with(text));
        by_swarm_id.for_each(|claim| begun.count(claim.1));
        begun.seen.drop_all(&begun.again);
        begun.seen.drop_all(&names.seen);
        names.seen.drop_all(&names.again);
        set.add_all(&begun.seen);
        set.add_all(&names.seen);
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
        let named = |name: &str| name.strip_prefix('/') == Some(text);
        let (node, row) = only(all().filter(|(node, row)| is_on_node(text, node, name_of(row))))
            .or_else(|| only(all().filter(|(_, row)| named(name_of(row)))))
            .or_else(|| only(all().filter(|(_, row)| network_id(row).starts_with(text))))
            .flatten()?;
        Some((node, row.clone()))
    }

    /// The order in which people count nodes: `node2` before `node10`; nameless ones first. Nodes
    /// of one name go by address.
    #[must_use]
    pub fn natural_order(a: &Node, b: &Node) -> Ordering {
        format::natural_cmp(&a.name, &b.name).then_with(|| a.addr.cmp(&b.addr))
    }

    /// The registered nodes in natural order.
    #[must_use]
    pub fn in_natural_order(&self) -> Vec<&Node> {
        let mut nodes: Vec<&Node> = self.registered().collect();
        nodes.sort_by(|a, b| Self::natural_order(a, b));
        nodes
    }

    /// Registered nodes by address, healthy ones first: where any hit will do, a live one is best.
    fn healthy_first(&self) -> impl Iterator<Item = &Node> + Clone {
        let healthy = self.registered().filter(|node| node.is_healthy());
        healthy.chain(self.registered().filter(|node| !node.is_healthy()))
    }
}

fn name_of(row: &Value) -> &str {
    json::text(row, "/Name")
}

/// Rows of one network, seen through any number of nodes: `None` if there are none, `Some(None)`
/// if there are several networks.
fn only<'a>(
    mut rows: impl Iterator<Item = (&'a Node, &'a Value)>,
) -> Option<Option<(&'a Node, &'a Value)>> {
    let first = rows.next()?;
    Some(rows.all(|(_, row)| network_id(row) == network_id(first.1)).then_some(first))
}

fn network_id(row: &Value) -> &str {
    json::text(row, "/Id")
}

/// Slots that came, and those that came more than once.
#[derive(Default)]
struct Once {
    seen: Bits,
    again: Bits,
}

impl Once {
    fn count(&mut self, slot: u32) {
        if self.seen.contains(slot) {
            self.again.insert(slot);
        }
        self.seen.insert(slot);
    }
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

/// The candidate meant by `text`, by the rules of [`Cluster::find_container`]: for people who ask
/// about one node, without an index.
pub(crate) fn resolve<'a, T>(
    text: &str,
    candidates: impl Iterator<Item = Candidate<'a, T>> + Clone,
) -> Option<T> {
    if text.is_empty() {
        return None;
    }
    if let Some(found) = candidates.clone().find(|candidate| is_id(text, candidate.id)) {
        return Some(found.item);
    }
    let has_swarm_id = |facts: &Facts| is_id(text, swarm_id(facts));
    if let Some(found) = candidates.clone().find(|candidate| has_swarm_id(candidate.facts)) {
        return Some(found.item);
    }
    let is_named = |candidate: &Candidate<'a, T>| is_named(text, candidate.node, candidate.facts);
    let mut named = candidates.clone().filter(is_named);
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

/// Whether `text` is all of an ID or its short form.
fn is_id(text: &str, id: &str) -> bool {
    id == text || short(id) == Some(text)
}

fn swarm_id(facts: &Facts) -> &str {
    facts.swarm_id().unwrap_or_default()
}

fn is_named(text: &str, node: &Node, facts: &Facts) -> bool {
    let mut names = facts.names();
    names.any(|name| name.strip_prefix('/') == Some(text) || is_on_node(text, node, name))
}

/// Whether `text` is `name`, or `name` after the ID or the name of its node. Names of containers
/// begin with the slash that separates them; those of networks do not.
pub(super) fn is_on_node(text: &str, node: &Node, name: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::super::SWARM_ID_LABEL;
    use super::super::testing::{addr, cluster, container_id, now, put};
    use super::*;
    use serde_json::json;

    fn found(cluster: &Cluster, text: &str) -> Option<String> {
        let (node, container) = cluster.find_container(text)?;
        Some(format!("{}{}", node.name, container.facts.names().next()?))
    }

    fn with_swarm_id(id: &str) -> Value {
        json!({"Config": {"Labels": {SWARM_ID_LABEL: id}}})
    }

    #[test]
    fn containers_by_id_swarm_id_name_and_beginning() {
        let mut cluster = cluster(&["node-1", "node-2"]);
        let swarm_id = format!("f00d{:060}", 1);
        put(&mut cluster, 1, "web", &with_swarm_id(&swarm_id));
        put(&mut cluster, 2, "db", &json!({}));
        let id = container_id("web");
        let web = Some("node-1/web".to_owned());
        for text in [
            id.as_str(),
            &id[..12],
            &id[..3],
            &swarm_id,
            &swarm_id[..12],
            "f00",
            "web",
            "/web",
            "node-1/web",
            "ID-node-1|10.0.0.1:2375/web",
        ] {
            assert_eq!(found(&cluster, text), web, "{text}");
        }
        for text in ["", "we", "node-2/web", "node-1web", "ID-node-1/web", "/node-1/web"] {
            assert_eq!(found(&cluster, text), None, "{text}");
        }
    }

    #[test]
    fn an_ambiguous_name_finds_none_but_an_id_the_first() {
        let mut cluster = cluster(&["node-1", "node-2"]);
        put(&mut cluster, 1, "web", &json!({}));
        put(&mut cluster, 2, "web", &json!({}));
        assert_eq!(found(&cluster, "web"), None);
        assert_eq!(found(&cluster, "node-2/web").as_deref(), Some("node-2/web"));
        assert_eq!(found(&cluster, &container_id("web")).as_deref(), Some("node-1/web"));
        // A live node answers for itself.
        for _ in 0..3 {
            cluster.failed(&addr(1), "refused", now());
        }
        assert_eq!(found(&cluster, &container_id("web")).as_deref(), Some("node-2/web"));
    }

    #[test]
    fn a_name_that_begins_another_containers_id_wins() {
        let mut cluster = cluster(&["node-1"]);
        put(&mut cluster, 1, "web", &json!({}));
        put(&mut cluster, 1, "7765", &json!({}));
        assert_eq!(found(&cluster, "7765").as_deref(), Some("node-1/7765"));
    }

    #[test]
    fn a_beginning_of_both_ids_of_one_container_is_ambiguous() {
        let mut cluster = cluster(&["node-1"]);
        put(&mut cluster, 1, "web", &with_swarm_id(&format!("7{:063}", 0)));
        assert_eq!(found(&cluster, "77").as_deref(), Some("node-1/web"));
        assert_eq!(found(&cluster, "70").as_deref(), Some("node-1/web"));
        assert_eq!(found(&cluster, "7"), None);
    }

    #[test]
    fn only_registered_nodes_are_searched() {
        let mut cluster = Cluster::default();
        cluster.add_node(&addr(1), now());
        put(&mut cluster, 1, "web", &json!({}));
        assert_eq!(found(&cluster, "web"), None);
    }

    #[test]
    fn images_by_id_tag_and_digest() {
        let mut cluster = cluster(&["node-2", "node-10", "node-1"]);
        let row = json!({
            "Id": "sha256:abcdef", "RepoTags": ["reg:5000/app:v1", "nginx:latest"],
            "RepoDigests": ["nginx@sha256:123"],
        });
        cluster.set_images(&addr(1), vec![row.clone()]);
        cluster.set_images(&addr(2), vec![row.clone()]);
        cluster.set_images(&addr(3), vec![json!({"Id": "sha256:other", "RepoTags": null}), row]);
        for _ in 0..3 {
            cluster.failed(&addr(3), "refused", now());
        }
        let holders = |text: &str, match_tag| -> Vec<&str> {
            cluster.find_image(text, match_tag).iter().map(|node| node.name.as_str()).collect()
        };
        let all = ["node-2", "node-10", "node-1"];
        for text in [
            "sha256:abcdef",
            "sha",
            "abcdef",
            "abc",
            "nginx",
            "nginx:latest",
            "nginx@sha256:123",
            "reg:5000/app",
            "reg:5000/app:v1",
        ] {
            assert_eq!(holders(text, true), all, "{text}");
        }
        for text in ["ab", "nginx:1", "nginx@sha256:12", "reg", "app", "", "<none>"] {
            assert_eq!(holders(text, true), [""; 0], "{text}");
        }
        assert_eq!(holders("nginx:1", false), all);
    }

    #[test]
    fn networks_by_id_and_by_name_unique_by_id() {
        let mut cluster = cluster(&["node-1", "node-2"]);
        let row = |name: &str, id: &str, scope: &str| {
            let id = format!("{id:0<64}");
            json!({"Name": name, "Id": id, "Scope": scope})
        };
        let over = row("over", "cc", "swarm");
        cluster.set_networks(&addr(1), vec![row("bridge", "aa1", "local"), over.clone()]);
        cluster.set_networks(
            &addr(2),
            vec![row("bridge", "aa2", "local"), row("barb", "bb", "local"), over.clone()],
        );
        let scope = |text: &str| {
            let (node, row) = cluster.network_scope(text)?;
            Some(format!("{} {}", node.name, json::text(&row, "/Scope")))
        };
        let full = format!("{:0<64}", "bb");
        for text in [full.as_str(), &full[..12], "bb", "barb", "node-2/barb"] {
            assert_eq!(scope(text).as_deref(), Some("node-2 local"), "{text}");
        }
        for text in ["over", "node-1/over", "c"] {
            assert_eq!(scope(text).as_deref(), Some("node-1 swarm"), "{text}");
        }
        assert_eq!(scope("node-1/bridge").as_deref(), Some("node-1 local"));
        for text in ["", "bridge", "aa", "node-1/barb", "host", "node-1bridge"] {
            assert_eq!(scope(text), None, "{text}");
        }
    }
}

//! Keeping what is known of each engine's objects up to date.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Cluster, Container, Facts, RunState, json};

impl Cluster {
    /// The containers known on a node. Taken before its list is asked for, it tells
    /// [`Cluster::update_containers`] which containers the list can know of.
    #[must_use]
    pub fn container_ids(&self, addr: &str) -> BTreeSet<String> {
        let containers = self.nodes.get(addr).map(|node| node.containers.keys().map(str::to_owned));
        containers.into_iter().flatten().collect()
    }

    /// Whether the container of this list row must be inspected: it is unknown, it was restarting
    /// when last seen, or the row tells another state than the last inspect, so that an event was
    /// missed. (The classic manager does not look at the last of these and shows the old state
    /// until the next event.)
    #[must_use]
    pub fn needs_inspect(&self, addr: &str, summary: &Value) -> bool {
        let id = json::text(summary, "/Id");
        let Some(container) = self.nodes.get(addr).and_then(|node| node.containers.get(id)) else {
            return true;
        };
        let known = container.facts.state;
        let listed = json::text(summary, "/State");
        known == RunState::Restarting || is_state(listed) && listed != known.as_str()
    }

    /// Takes over a complete list of the node's containers, each row with its inspect JSON if that
    /// was asked for. Containers of `known_before` that are not listed are gone; those that
    /// appeared while the list was made are kept; those that were removed meanwhile stay removed.
    pub fn update_containers(
        &mut self,
        addr: &str,
        known_before: &BTreeSet<String>,
        listed: Vec<(Value, Option<Value>)>,
    ) {
        let Some(node) = self.nodes.get(addr) else { return };
        let slot = node.slot;
        let ids: BTreeSet<&str> =
            listed.iter().map(|(summary, _)| json::text(summary, "/Id")).collect();
        let gone = node.containers.keys().filter(|id| !ids.contains(id));
        let gone: Vec<String> =
            gone.filter(|id| known_before.contains(*id)).map(str::to_owned).collect();
        for id in &gone {
            self.take(slot, id);
        }
        for (summary, inspect) in listed {
            let id = json::text(&summary, "/Id");
            let is_known = self.nodes.at(slot).is_some_and(|node| node.containers.contains_key(id));
            if is_known || !known_before.contains(id) {
                self.put_container(slot, summary, inspect);
            }
        }
    }

    /// Takes over one container: its list row, and its inspect JSON if that was asked for.
    /// Without one the last is kept; a container that was never inspected is not taken, as its
    /// ports and labels would be missing from decisions.
    pub fn update_container(&mut self, addr: &str, summary: Value, inspect: Option<Value>) {
        if let Some(slot) = self.nodes.slot_of(addr) {
            self.put_container(slot, summary, inspect);
        }
    }

    fn put_container(&mut self, slot: u32, summary: Value, inspect: Option<Value>) {
        let Some(node) = self.nodes.at(slot) else { return };
        let id = json::text(&summary, "/Id").to_owned();
        let (cpus, clock_delta) = (node.specs.cpus, node.clock_delta);
        let told = inspect.filter(Value::is_object);
        let Some(inspect) = told.or_else(|| self.take_inspect(slot, &id)) else { return };
        if id.is_empty() {
            return;
        }
        let facts = Facts::read(&summary, &inspect, cpus, clock_delta);
        self.put(slot, Container { id, summary, inspect, facts, ..Container::default() });
    }

    /// Forgets a container.
    pub fn remove_container(&mut self, addr: &str, id: &str) {
        if let Some(slot) = self.nodes.slot_of(addr) {
            self.take(slot, id);
        }
    }

    /// Takes over a complete list of the node's images.
    pub fn set_images(&mut self, addr: &str, rows: Vec<Value>) {
        if let Some(node) = self.nodes.get_mut(addr) {
            self.index.set_images(node.slot, &node.images, &rows);
            node.images = rows;
        }
    }

    /// Takes over a complete list of the node's networks.
    pub fn set_networks(&mut self, addr: &str, rows: Vec<Value>) {
        if let Some(node) = self.nodes.get_mut(addr) {
            node.networks = rows;
        }
    }

    /// Takes over a complete list of the node's volumes.
    pub fn set_volumes(&mut self, addr: &str, rows: Vec<Value>) {
        if let Some(node) = self.nodes.get_mut(addr) {
            node.volumes = rows;
        }
    }
}

/// Whether `text` is a state we know; `removing`, for one, is not.
fn is_state(text: &str) -> bool {
    use RunState::{Created, Dead, Exited, Paused, Restarting, Running};
    [Created, Running, Paused, Restarting, Exited, Dead].iter().any(|state| state.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{addr, cluster, container_id, inspect, put, summary};
    use super::*;
    use serde_json::json;

    fn full(name: &str) -> (Value, Option<Value>) {
        (summary(name), Some(inspect(name, &json!({}))))
    }

    fn names(cluster: &Cluster) -> Vec<String> {
        let node = cluster.node(&addr(1)).expect("known");
        node.containers
            .values()
            .flat_map(|container| container.facts.names().map(str::to_owned))
            .collect()
    }

    #[test]
    fn a_list_removes_only_what_it_could_have_known() {
        let mut cluster = cluster(&["node-1"]);
        put(&mut cluster, 1, "gone", &json!({}));
        put(&mut cluster, 1, "stays", &json!({}));
        let known = cluster.container_ids(&addr(1));
        put(&mut cluster, 1, "created-meanwhile", &json!({}));
        let list = vec![(summary("stays"), None), full("unknown")];
        cluster.update_containers(&addr(1), &known, list);
        assert_eq!(names(&cluster), ["/created-meanwhile", "/stays", "/unknown"]);
    }

    #[test]
    fn a_list_does_not_bring_back_what_was_removed_meanwhile() {
        let mut cluster = cluster(&["node-1"]);
        put(&mut cluster, 1, "web", &json!({}));
        let known = cluster.container_ids(&addr(1));
        cluster.remove_container(&addr(1), &container_id("web"));
        cluster.update_containers(&addr(1), &known, vec![full("web")]);
        assert_eq!(names(&cluster), [""; 0]);
    }

    #[test]
    fn half_a_container_is_not_taken_but_a_known_one_is_renewed() {
        let mut cluster = cluster(&["node-1"]);
        cluster.update_container(&addr(1), summary("web"), None);
        cluster.update_container(&addr(1), summary("web"), Some(Value::Null));
        assert_eq!(names(&cluster), [""; 0]);
        let extra = json!({"Config": {"Labels": {"a": "b"}}});
        put(&mut cluster, 1, "web", &extra);
        let renamed = json!({"Id": container_id("web"), "Names": ["/new"]});
        cluster.update_container(&addr(1), renamed.clone(), None);
        let (_, container) = cluster.find_container("new").expect("renamed");
        assert_eq!(container.facts.label("a"), Some("b"));
        assert_eq!((&container.summary, &container.inspect), (&renamed, &inspect("web", &extra)));
    }

    #[test]
    fn inspected_are_the_unknown_the_restarting_and_the_changed() {
        let mut cluster = cluster(&["node-1"]);
        let row = |name: &str, state: &str| {
            let mut row = summary(name);
            row["State"] = state.into();
            row
        };
        put(&mut cluster, 1, "web", &json!({}));
        put(&mut cluster, 1, "loop", &json!({"State": {"Running": true, "Restarting": true}}));
        assert!(cluster.needs_inspect(&addr(1), &row("unknown", "running")));
        assert!(cluster.needs_inspect(&addr(1), &row("loop", "restarting")));
        assert!(cluster.needs_inspect(&addr(1), &row("web", "exited")));
        assert!(!cluster.needs_inspect(&addr(1), &row("web", "running")));
        assert!(!cluster.needs_inspect(&addr(1), &row("web", "removing")));
        assert!(!cluster.needs_inspect(&addr(1), &row("web", "")));
    }
}

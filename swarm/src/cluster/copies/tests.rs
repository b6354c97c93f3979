use super::super::testing::{addr, cluster, container_id, inspect, now, summary};
use super::super::{Facts, SWARM_ID_LABEL};
use super::*;
use serde_json::{Value, json};

/// A container of the swarm ID `s` with the policy; `from` are the names of what it stands for.
fn put(cluster: &mut Cluster, node: usize, name: &str, from: &[&str], state: Value) {
    let mut labels = json!({
        SWARM_ID_LABEL: "s", POLICY_LABEL: "[\"on-node-failure\"]",
    });
    if !from.is_empty() {
        let from: Vec<String> = from.iter().map(|name| container_id(name)).collect();
        let lineage = json!({"generation": from.len(), "running": true, "from": from});
        labels[LINEAGE_LABEL] = lineage.to_string().into();
    }
    let extra = json!({"Config": {"Labels": labels}, "State": state, "Image": "sha256:i"});
    let inspect = inspect(name, &extra);
    cluster.update_container(&addr(node), summary(name), Some(inspect));
}

fn running() -> Value {
    json!({"Running": true, "StartedAt": "2026-01-01T00:00:01Z"})
}

fn created() -> Value {
    json!({"Running": false, "StartedAt": "0001-01-01T00:00:00Z"})
}

fn down(cluster: &mut Cluster, node: usize) {
    for _ in 0..3 {
        cluster.failed(&addr(node), "refused", now());
    }
}

fn place(node: usize, name: &str) -> Place {
    Place { swarm_id: "s".to_owned(), addr: addr(node), id: container_id(name) }
}

fn hidden(cluster: &Cluster) -> Vec<String> {
    cluster.superseded().into_iter().map(str::to_owned).collect()
}

#[test]
fn only_a_dead_nodes_container_with_the_policy_is_replaced() {
    let mut cluster = cluster(&["node-1", "node-2"]);
    put(&mut cluster, 1, "old", &[], running());
    assert_eq!(cluster.care(), []);
    down(&mut cluster, 1);
    assert_eq!(cluster.care(), [Care::Replace(place(1, "old"))]);
    let slot = cluster.nodes.slot_of(&addr(1)).unwrap();
    let mut container = cluster.nodes.at(slot).unwrap().containers.values().next().unwrap().clone();
    container.facts = container.facts.with_label(POLICY_LABEL, "[\"off\"]");
    cluster.put(slot, container);
    assert_eq!(cluster.care(), []);
}

#[test]
fn the_replacement_counts_and_the_original_goes_when_it_is_back() {
    let mut cluster = cluster(&["node-1", "node-2"]);
    put(&mut cluster, 1, "old", &[], running());
    down(&mut cluster, 1);
    let label = cluster.lineage_of_replacement(&place(1, "old")).unwrap();
    let from = vec![container_id("old")];
    assert_eq!(Lineage::parse(&label), Some(Lineage { generation: 1, running: true, from }));
    put(&mut cluster, 2, "new", &["old"], running());
    assert_eq!(cluster.care(), []);
    cluster.replaced(&place(1, "old"));
    assert!(cluster.lost_container(&place(1, "old")).is_none());
    cluster.succeeded(&addr(1), now());
    put(&mut cluster, 1, "old", &[], running());
    assert_eq!(cluster.care(), [Care::Remove(place(1, "old"), place(2, "new"))]);
    assert_eq!(hidden(&cluster), [container_id("old")]);
    assert_eq!(cluster.find_container("s").unwrap().1.id, container_id("new"));
    assert_eq!(
        cluster.find_container(&container_id("old")).unwrap().1.id,
        container_id("old"),
        "who asks for exactly this one finds it"
    );
}

#[test]
fn a_replacement_that_never_ran_is_finished_or_gives_way() {
    let mut cluster = cluster(&["node-1", "node-2"]);
    put(&mut cluster, 2, "new", &["old"], created());
    assert_eq!(cluster.care(), [Care::Start(place(2, "new"))]);
    put(&mut cluster, 1, "old", &[], running());
    assert_eq!(cluster.care(), [Care::Remove(place(2, "new"), place(1, "old"))]);
    assert_eq!(hidden(&cluster), [container_id("new")]);
}

#[test]
fn of_two_replacements_the_same_one_stays_whoever_decides() {
    let mut cluster = cluster(&["node-1", "node-2", "node-3"]);
    put(&mut cluster, 2, "new-a", &["old"], running());
    put(&mut cluster, 3, "new-b", &["old"], running());
    let keep_a = [Care::Remove(place(3, "new-b"), place(2, "new-a"))];
    assert_eq!(cluster.care(), keep_a);
    // A later generation counts more, and one that is out of reach cannot be removed.
    put(&mut cluster, 1, "new-c", &["old", "new-b"], running());
    let care = cluster.care();
    assert_eq!(care, [Care::Remove(place(2, "new-a"), place(1, "new-c"))]);
    down(&mut cluster, 1);
    assert_eq!(cluster.care(), keep_a);
}

#[test]
fn what_a_live_copy_stands_for_is_not_made_again() {
    let mut cluster = cluster(&["node-1", "node-2", "node-3"]);
    put(&mut cluster, 1, "old", &[], running());
    put(&mut cluster, 2, "new", &["old"], running());
    down(&mut cluster, 1);
    assert_eq!(cluster.care(), []);
    // The replacement's node dies, too: one copy is made, of the one that counts.
    down(&mut cluster, 2);
    assert_eq!(cluster.care(), [Care::Replace(place(2, "new"))]);
    // The original is back in reach: that will do.
    cluster.succeeded(&addr(1), now());
    assert_eq!(cluster.care(), []);
    assert_eq!(hidden(&cluster), [container_id("new")]);
}

#[test]
fn neither_a_common_name_nor_a_common_swarm_id_makes_a_copy() {
    let mut cluster = cluster(&["node-1", "node-2"]);
    put(&mut cluster, 1, "web", &[], running());
    put(&mut cluster, 2, "web", &[], running());
    assert_eq!(cluster.care(), []);
    assert!(hidden(&cluster).is_empty());
    for slot in [0, 1] {
        let mut web = cluster.nodes.at(slot).unwrap().containers[&container_id("web")].clone();
        web.facts = web.facts.with_label(SWARM_ID_LABEL, "");
        cluster.put(slot, web);
    }
    assert_eq!(cluster.care(), []);
}

#[test]
fn labels_of_an_image_say_nothing_of_its_containers() {
    let mut cluster = cluster(&["node-1", "node-2"]);
    put(&mut cluster, 1, "old", &[], running());
    put(&mut cluster, 2, "committed", &["old"], running());
    let label = |cluster: &Cluster, node, name: &str, label: &str| {
        let container = &cluster.node(&addr(node)).unwrap().containers[&container_id(name)];
        container.facts.label(label).unwrap().to_owned()
    };
    let lineage = label(&cluster, 2, "committed", LINEAGE_LABEL);
    let labels = json!({ SWARM_ID_LABEL: "s", LINEAGE_LABEL: lineage });
    let image = json!({"Id": "sha256:i", "Labels": labels});
    cluster.set_images(&addr(2), vec![image.clone()]);
    assert_eq!(cluster.care(), []);
    // Nor is a container replaced that only looks as if a manager had made it.
    cluster.set_images(&addr(1), vec![image]);
    down(&mut cluster, 1);
    assert_eq!(cluster.care(), []);
}

#[test]
fn a_node_that_left_is_replaced_only_once_it_is_known_to_be_dead() {
    let mut cluster = cluster(&["node-1", "node-2"]);
    put(&mut cluster, 1, "old", &[], running());
    assert!(cluster.is_needed(&addr(1)) && !cluster.is_needed(&addr(2)));
    let node = cluster.remove_node(&addr(1)).unwrap();
    assert_eq!(cluster.care(), []);
    cluster.mourn(node.clone());
    assert_eq!(cluster.care(), [Care::Replace(place(1, "old"))]);
    cluster.replaced(&place(1, "old"));
    assert_eq!(cluster.care(), []);
    cluster.mourn(node);
    cluster.forget_departed(&addr(1));
    assert_eq!(cluster.care(), []);
}

#[test]
fn lineages_are_read_strictly_and_do_not_grow_for_ever() {
    let id = "a".repeat(64);
    let label = |generation: u32, from: &str| {
        format!(r#"{{"generation":{generation},"running":false,"from":["{from}"]}}"#)
    };
    assert!(Lineage::parse(&label(1, &id)).is_some());
    for odd in [label(0, &id), label(1, ""), label(1, "web"), "x".into(), "[]".into()] {
        assert_eq!(Lineage::parse(&odd), None, "{odd}");
    }
    let mut container = Container { id: "b".repeat(64), ..Container::default() };
    container.facts = Facts::default().with_label(SWARM_ID_LABEL, "s");
    let mut lineage = Lineage::parse(&label(1, &id));
    for _ in 0..2 * ANCESTORS_MAX {
        lineage = Lineage::parse(&Lineage::of_replacement(&container, lineage.as_ref()));
    }
    let lineage = lineage.unwrap();
    assert_eq!((lineage.from.len(), lineage.from[0].as_str()), (ANCESTORS_MAX, id.as_str()));
    assert_eq!(lineage.generation as usize, 1 + 2 * ANCESTORS_MAX);
}

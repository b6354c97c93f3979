//! Strategies and resources.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{add_engine, addr, cluster, now, put, request};
use crate::cluster::testing::{GIB, info};
use crate::cluster::{Cluster, Options};
use crate::scheduler::{Explained, Filter, Scheduler, Strategy, Verdict};

fn ranked(strategy: Strategy, cluster: &Cluster, body: Value) -> Result<Vec<String>, String> {
    let scheduler = Scheduler::new(Filter::ALL.to_vec(), strategy);
    let placed = scheduler.place(cluster, &request("", body), &mut |_| 0);
    let name = |addr: &String| cluster.node(addr).expect("known").name.clone();
    placed
        .map(|placement| placement.ranked.iter().map(name).collect())
        .map_err(|rejection| rejection.message)
}

fn spread(cluster: &Cluster, body: Value) -> Vec<String> {
    ranked(Strategy::Spread, cluster, body).unwrap_or_default()
}

fn binpack(cluster: &Cluster, body: Value) -> Vec<String> {
    ranked(Strategy::Binpack, cluster, body).unwrap_or_default()
}

fn asking(cpus: i64, memory: i64) -> Value {
    json!({"HostConfig": {"CpuShares": cpus, "Memory": memory}})
}

/// A container that reserves this much of a node with 4 CPUs.
fn reserving(cpus: i64, memory: i64) -> Value {
    asking(cpus * 256, memory)
}

#[test]
fn without_a_request_the_number_of_containers_decides() {
    let mut cluster = cluster(&["node-1", "node-2", "node-3"]);
    put(&mut cluster, 1, "a", &json!({"State": {}}));
    put(&mut cluster, 1, "b", &json!({}));
    // What others reserve does not matter to one that asks for nothing.
    put(&mut cluster, 3, "c", &reserving(4, GIB));
    assert_eq!(spread(&cluster, json!({})), ["node-2", "node-3", "node-1"]);
    assert_eq!(binpack(&cluster, json!({})), ["node-1", "node-3", "node-2"]);
}

#[test]
fn equals_come_in_the_natural_order_of_names_then_addresses() {
    let names = ["node10", "node9", "node1"];
    let cluster = cluster(&names);
    assert_eq!(spread(&cluster, json!({})), ["node1", "node9", "node10"]);
    assert_eq!(binpack(&cluster, json!({})), ["node1", "node9", "node10"]);
    let mut twins = Cluster::default();
    for number in [2, 1] {
        add_engine(&mut twins, &addr(number), "twin", &[]);
    }
    let placed = Scheduler::default().place(&twins, &request("", json!({})), &mut |_| 0);
    assert_eq!(placed.expect("room").ranked, [addr(1), addr(2)]);
}

#[test]
fn reserved_resources_weigh_more_than_the_number_of_containers() {
    let mut cluster = cluster(&["node-1", "node-2", "node-3"]);
    put(&mut cluster, 1, "big", &reserving(2, 0));
    put(&mut cluster, 2, "small", &reserving(1, 0));
    put(&mut cluster, 2, "none", &json!({}));
    assert_eq!(spread(&cluster, asking(1, 0)), ["node-3", "node-2", "node-1"]);
    assert_eq!(binpack(&cluster, asking(1, 0)), ["node-1", "node-2", "node-3"]);
    // Memory counts alike.
    put(&mut cluster, 3, "memory", &reserving(0, 6 * GIB));
    assert_eq!(spread(&cluster, asking(1, GIB)), ["node-2", "node-1", "node-3"]);
}

#[test]
fn a_node_is_filled_to_the_last_and_not_beyond() {
    let mut cluster = cluster(&["node-1", "node-2"]);
    put(&mut cluster, 1, "a", &reserving(3, 0));
    put(&mut cluster, 2, "b", &reserving(0, 7 * GIB));
    assert_eq!(spread(&cluster, asking(2, 0)), ["node-2"]);
    assert_eq!(spread(&cluster, asking(0, 2 * GIB)), ["node-1"]);
    assert_eq!(spread(&cluster, asking(1, GIB)).len(), 2);
    let text = Err("no resources available to schedule container".to_owned());
    for body in [asking(2, 2 * GIB), asking(5, 0), asking(0, 9 * GIB), asking(i64::MAX, i64::MAX)] {
        assert_eq!(ranked(Strategy::Spread, &cluster, body.clone()), text);
        assert_eq!(ranked(Strategy::Binpack, &cluster, body), text);
    }
}

#[test]
fn creates_under_way_hold_their_resources() {
    let mut cluster = cluster(&["node-1"]);
    let mut reserve = |id: &str, cpus| {
        let request = request("", asking(cpus, 0));
        cluster.reserve(&request, id, &Scheduler::default(), &mut |_| 0).map(|r| r.node).ok()
    };
    assert_eq!(reserve("s1", 3), Some(addr(1)));
    assert_eq!(reserve("s2", 2), None);
    assert_eq!(reserve("s3", 1), Some(addr(1)));
}

#[test]
fn overcommitment_makes_room() {
    let overcommitted = |percent| {
        let options = Options { overcommit_percent: percent, ..Options::default() };
        let mut cluster = Cluster::new(options);
        cluster.add_node(&addr(1), now());
        let info = info("node-1", 20, GIB, &[]);
        cluster.set_specs(&addr(1), "", &info, &json!({}), now()).expect("a fine engine");
        cluster.register(&addr(1), now());
        cluster
    };
    assert_eq!(spread(&overcommitted(5), asking(21, 0)), ["node-1"]);
    assert_eq!(spread(&overcommitted(0), asking(21, 0)), [""; 0]);
    assert_eq!(spread(&overcommitted(-50), asking(11, 0)), [""; 0]);
}

#[test]
fn recent_failures_weigh_most() {
    let mut cluster = cluster(&["node-1", "node-2"]);
    put(&mut cluster, 2, "big", &reserving(3, 7 * GIB));
    cluster.failed(&addr(1), "refused", now());
    for strategy in [Strategy::Spread, Strategy::Binpack] {
        let order = ranked(strategy, &cluster, asking(1, GIB));
        assert_eq!(order, Ok(vec!["node-2".to_owned(), "node-1".to_owned()]), "{strategy:?}");
    }
}

#[test]
fn random_shuffles_and_asks_for_no_resources() {
    let cluster = cluster(&["node-1", "node-2", "node-3"]);
    let scheduler = Scheduler::new(Filter::ALL.to_vec(), Strategy::Random);
    let request = request("", asking(99, 0));
    let mut dice = [1, 0].into_iter();
    let mut bounds = Vec::new();
    let placed = scheduler.place(&cluster, &request, &mut |bound| {
        bounds.push(bound);
        dice.next().expect("two numbers for three nodes")
    });
    assert_eq!(bounds, [3, 2]);
    // 1 2 3, with the last and the second swapped, then the second and the first.
    assert_eq!(placed.expect("any node").ranked, [addr(3), addr(1), addr(2)]);
}

/// The caches work on blocks of 64 nodes, so this goes on for several of them.
#[test]
fn the_order_is_kept_while_hundreds_of_nodes_come_fill_and_go() {
    let mut cluster = Cluster::default();
    let asks = request("", asking(1, 0));
    let schedulers = [Strategy::Spread, Strategy::Binpack]
        .map(|strategy| Scheduler::new(Filter::ALL.to_vec(), strategy));
    for number in 1..=150_usize {
        add_engine(&mut cluster, &addr(number), &format!("node-{number}"), &[]);
        let filled = number * 7 % number.max(2) + 1;
        put(&mut cluster, filled, &format!("c{number}"), &reserving(1, 0));
        if number % 3 == 0 {
            cluster.remove_node(&addr(number - 2));
        }
        for scheduler in &schedulers {
            let best = scheduler.choose(&cluster, &asks, &mut |_| 0).expect("there is room");
            let all = scheduler.place(&cluster, &asks, &mut |_| 0).expect("there is room");
            assert_eq!(best.node, all.ranked[0], "with {number} nodes");
            // An explanation looks at every node, without any cache.
            let explained = scheduler.explain(&cluster, &asks).nodes.into_iter();
            let rank = |node: Explained| match node.verdict {
                Verdict::Fits { rank, .. } => Some((rank, node.addr)),
                Verdict::Refused { .. } => None,
            };
            let ranks: BTreeMap<_, _> = explained.filter_map(rank).collect();
            assert_eq!(all.ranked, ranks.into_values().collect::<Vec<_>>());
        }
        let answers = &mut *cluster.answers();
        assert_eq!(answers.check(&cluster), Ok(()));
    }
}

//! Whole placements: filters, texts, soft expressions, ranking.

mod filters;
mod ranking;

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy as Generator;
use serde_json::json;

use super::*;
use crate::cluster::testing::{add_engine, addr, cluster, fitting, now, place, put, request};

/// Three nodes: `zone=z1` on the first, `zone=z2` on the others.
fn zones() -> Cluster {
    let mut cluster = Cluster::default();
    add_engine(&mut cluster, &addr(1), "node-1", &["zone=z1"]);
    add_engine(&mut cluster, &addr(2), "node-2", &["zone=z2"]);
    add_engine(&mut cluster, &addr(3), "node-3", &["zone=z2"]);
    cluster
}

fn message(cluster: &Cluster, body: serde_json::Value) -> String {
    place(cluster, body).expect_err("it does not fit")
}

/// Makes a node unhealthy.
fn take_down(cluster: &mut Cluster, number: usize) {
    for _ in 0..3 {
        cluster.failed(&addr(number), "refused", now());
    }
}

#[test]
fn the_texts_tell_all_conditions_up_to_the_failing_filter() {
    let mut cluster = zones();
    let conditions = "Unable to find a node that satisfies the following conditions ";
    let published = json!({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}});
    let mut body = published.clone();
    body["Env"] = json!(["constraint:zone==z9", "constraint:ostype==linux"]);
    assert_eq!(
        message(&cluster, body.clone()),
        format!(
            "{conditions}\n[port 80 (Bridge mode)]\n[available container slots]\n\
             [zone==z9 ostype==linux]"
        )
    );
    assert_eq!(
        message(&cluster, json!({"Env": ["constraint:zone>z1"]})),
        format!(
            "{conditions}\n[available container slots]\n\
             error from constraint filter: One of operator ==, != is expected"
        )
    );
    assert_eq!(
        message(&cluster, json!({"Env": ["affinity:container==nope"]})),
        format!("{conditions}\n[available container slots]\n[container==nope (soft=false)]")
    );
    // A filter after the one that fails is not even read.
    for node in 1..=3 {
        put(&mut cluster, node, &format!("c{node}"), &published);
    }
    body["Env"] = json!(["constraint:broken"]);
    assert_eq!(message(&cluster, body), format!("{conditions}\n[port 80 (Bridge mode)]"));
}

#[test]
fn the_text_shows_soft_expressions_that_played_no_part() {
    let env = json!(["affinity:container==~web", "affinity:image==x", "whitelist:node==~a|b"]);
    assert_eq!(
        message(&zones(), json!({"Env": env})),
        "Unable to find a node that satisfies the following conditions \n\
         [available container slots]\n[container==web (soft=true) image==x (soft=false)]"
    );
    assert_eq!(
        message(&zones(), json!({"Env": ["constraint:zone==~z7", "whitelist:node==x"]})),
        "Unable to find a node that satisfies the following conditions \n\
         [available container slots]\n[zone==z7]\n[node==x (soft=false)]"
    );
}

#[test]
fn without_healthy_nodes_or_any_nodes() {
    let mut cluster = zones();
    (1..=3).for_each(|number| take_down(&mut cluster, number));
    let body = json!({"Env": ["constraint:broken"]});
    assert_eq!(message(&cluster, body.clone()), "No healthy node available in the cluster");
    assert_eq!(message(&Cluster::default(), body), "No healthy node available in the cluster");
    let scheduler = Scheduler::new(vec![Filter::Constraint], Strategy::Spread);
    let nobody = scheduler.place(&Cluster::default(), &Request::default(), &mut |_| 0);
    let text = nobody.map_err(|rejection| rejection.message);
    assert_eq!(text, Err("No nodes available in the cluster".to_owned()));
    // Soft expressions that no longer count demand nothing of anybody.
    let soft =
        json!({"Env": ["constraint:zone==~z1", "affinity:container==~x", "whitelist:node==~x"]});
    let filters = vec![Filter::Affinity, Filter::Constraint, Filter::Whitelist];
    let nobody = Scheduler::new(filters, Strategy::Spread).place(
        &Cluster::default(),
        &request("", soft),
        &mut |_| 0,
    );
    let text = nobody.map_err(|rejection| rejection.message);
    assert_eq!(text, Err("No nodes available in the cluster".to_owned()));
    // Neither do a dependency or a port that nobody could refuse.
    for (filter, host) in [
        (Filter::Dependency, json!({"Links": ["db"]})),
        (Filter::Port, json!({"NetworkMode": "host"})),
    ] {
        let asks = request("", json!({"HostConfig": host}));
        let scheduler = Scheduler::new(vec![filter], Strategy::Spread);
        let nobody = scheduler.place(&Cluster::default(), &asks, &mut |_| 0);
        let text = nobody.map_err(|rejection| rejection.message);
        assert_eq!(text, Err("No nodes available in the cluster".to_owned()));
    }
    // Where health is not asked, the dead nodes are candidates.
    assert!(scheduler.place(&cluster, &Request::default(), &mut |_| 0).is_ok());
}

#[test]
fn an_explanation_tells_for_each_node_the_first_filter_and_why() {
    let mut cluster = Cluster::default();
    add_engine(&mut cluster, &addr(1), "proxy1", &["status=master"]);
    add_engine(&mut cluster, &addr(2), "proxy2", &["status=non-master"]);
    add_engine(&mut cluster, &addr(3), "proxy3", &[]);
    add_engine(&mut cluster, &addr(4), "proxy4", &["status=master", "containerslots=0"]);
    add_engine(&mut cluster, &addr(5), "proxy4", &["status=master"]);
    let port = json!({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}});
    put(&mut cluster, 1, "proxy", &port);
    take_down(&mut cluster, 5);
    let mut body = port;
    body["Env"] = json!(["constraint:status==master"]);
    let explanation = Scheduler::default().explain(&cluster, &request("", body.clone()));
    let nodes: Vec<_> = explanation
        .nodes
        .iter()
        .map(|node| format!("{} ({}): {}", node.name, node.addr, node.verdict))
        .collect();
    let expected = [
        "proxy1 (10.0.0.1:2375): port: 80 is taken by proxy",
        "proxy2 (10.0.0.2:2375): constraint: status==master (status=non-master)",
        "proxy3 (10.0.0.3:2375): constraint: status==master (no status)",
        "proxy4 (10.0.0.4:2375): containerslots: 0 of 0 taken",
        "proxy4 (10.0.0.5:2375): health: Unhealthy (refused)",
    ];
    assert_eq!(nodes, expected);
    let summary = "port 80 1, constraint status==master 2, containerslots 1, health 1";
    assert_eq!(explanation.summary(), summary);
    assert!(place(&cluster, body).is_err());
}

#[test]
fn a_summary_counts_the_nodes_of_each_demand() {
    let mut cluster = zones();
    put(&mut cluster, 2, "big", &json!({"HostConfig": {"CpuShares": 1024, "Memory": 1 << 30}}));
    let host_mode = json!({"Config": {"ExposedPorts": {"80/tcp": {}}},
        "HostConfig": {"NetworkMode": "host"}});
    put(&mut cluster, 1, "front", &host_mode);
    let summary = |cluster: &Cluster, body| {
        Scheduler::default().explain(cluster, &request("", body)).summary()
    };
    let env = |env: &[&str]| json!({"Env": env});
    assert_eq!(summary(&cluster, json!({})), "", "they all fit");
    let two = env(&["affinity:container==big", "affinity:container!=~front"]);
    assert_eq!(summary(&cluster, two), "affinity container==big 2");
    let names = env(&["whitelist:node==node-1|x", "constraint:zone==z2"]);
    assert_eq!(summary(&cluster, names), "constraint zone==z2 1, whitelist node==node-1|x 2");
    assert_eq!(summary(&cluster, env(&["constraint:z"])), "constraint malformed 3");
    let asks = |host: serde_json::Value| json!({"HostConfig": host});
    assert_eq!(summary(&cluster, asks(json!({"CpuShares": 1}))), "resources CPUs 1");
    assert_eq!(summary(&cluster, asks(json!({"Memory": 8_i64 << 30}))), "resources memory 1");
    assert_eq!(
        summary(&cluster, asks(json!({"Links": ["front:f", "big"]}))),
        "dependency big 1, dependency front 2"
    );
    let mut same = asks(json!({"NetworkMode": "host"}));
    same["ExposedPorts"] = json!({"80/tcp": {}});
    assert_eq!(summary(&cluster, same), "port 80/tcp 1");
    take_down(&mut cluster, 1);
    assert_eq!(summary(&cluster, json!({})), "health 1");
    assert_eq!(summary(&Cluster::default(), json!({})), "");
}

#[test]
fn an_explanation_tells_the_pass_the_ranks_and_the_scores() {
    let mut cluster = zones();
    put(&mut cluster, 2, "small", &json!({"HostConfig": {"CpuShares": 256}}));
    let explain = |strategy, env: &[&str]| {
        let request = request("", json!({"Env": env, "HostConfig": {"CpuShares": 1}}));
        let explanation =
            Scheduler::new(Filter::ALL.to_vec(), strategy).explain(&cluster, &request);
        let rank = |node: Explained| match node.verdict {
            Verdict::Fits { rank, score } => Some((rank, score)),
            Verdict::Refused { .. } => None,
        };
        (explanation.pass, explanation.nodes.into_iter().map(rank).collect::<Vec<_>>())
    };
    // One of four CPUs is a quarter, two are a half; memory is not asked for.
    let fits = |rank, score| Some((Some(rank), Some(score)));
    let spread = vec![fits(1, -875), fits(3, -850), fits(2, -875)];
    assert_eq!(explain(Strategy::Spread, &[]), (Pass::Hard, spread.clone()));
    assert_eq!(explain(Strategy::Spread, &["constraint:zone==~z9"]), (Pass::SoftDropped, spread));
    let soft = vec![None, fits(2, -850), fits(1, -875)];
    assert_eq!(explain(Strategy::Spread, &["constraint:zone==~z2"]), (Pass::Soft, soft));
    let binpack = vec![fits(2, 1125), fits(1, 1150), fits(3, 1125)];
    assert_eq!(explain(Strategy::Binpack, &[]).1, binpack);
    let any = Some((None, None));
    assert_eq!(
        explain(Strategy::Random, &["constraint:zone==z2"]),
        (Pass::Hard, vec![None, any, any])
    );
    // Nobody looks at a soft expression when its filter is off.
    let scheduler = Scheduler::new(vec![Filter::Health], Strategy::Spread);
    let soft = request("", json!({"Env": ["constraint:zone==~z9"]}));
    assert_eq!(scheduler.explain(&cluster, &soft).pass, Pass::Hard);
}

/// As in a placement, what comes after the filter that left nothing is not even read.
#[test]
fn a_malformed_expression_is_no_reason_where_it_is_not_reached() {
    let mut cluster = zones();
    let port = json!({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}});
    put(&mut cluster, 1, "web", &port);
    let mut body = port;
    body["Env"] = json!(["constraint:broken"]);
    let explained = |cluster: &Cluster| {
        let explanation = Scheduler::default().explain(cluster, &request("", body.clone()));
        explanation.nodes.iter().map(|node| node.verdict.to_string()).collect::<Vec<_>>()
    };
    let broken = "constraint: One of operator ==, != is expected";
    assert_eq!(explained(&cluster), ["port: 80 is taken by web", broken, broken]);
    cluster.remove_node(&addr(2));
    cluster.remove_node(&addr(3));
    assert_eq!(explained(&cluster), ["port: 80 is taken by web"]);
}

#[test]
fn the_summary_tells_which_steps_left_how_many() {
    let mut cluster = zones();
    let summary = |cluster: &Cluster, body| place(cluster, body).expect("room").summary;
    assert_eq!(summary(&cluster, json!({})), "3 nodes");
    take_down(&mut cluster, 3);
    let one = json!({"Env": ["constraint:zone==z2"]});
    assert_eq!(summary(&cluster, one.clone()), "3 nodes, 2 after health, 1 after constraint");
    let full = json!({"HostConfig": {"CpuShares": 1024}});
    put(&mut cluster, 1, "big", &full);
    let asks = json!({"HostConfig": {"CpuShares": 1}, "Env": ["constraint:zone==~z9"]});
    assert_eq!(
        summary(&cluster, asks),
        "3 nodes, 2 after health, 1 after resources, soft expressions dropped"
    );
    cluster.remove_node(&addr(3));
    cluster.remove_node(&addr(2));
    assert_eq!(summary(&cluster, json!({})), "1 node");
}

#[test]
fn every_filter_gives_its_reason() {
    let mut cluster = Cluster::default();
    add_engine(&mut cluster, &addr(1), "node-1", &[]);
    let host_mode = json!({"Config": {"ExposedPorts": {"80/tcp": {}}},
        "HostConfig": {"NetworkMode": "host"}});
    put(&mut cluster, 1, "front", &host_mode);
    let reason = |body| {
        let explanation = Scheduler::default().explain(&cluster, &request("", body));
        explanation.nodes[0].verdict.to_string()
    };
    for (env, expected) in [
        ("affinity:container==db", "affinity: container==db does not hold"),
        ("affinity:image!=~nginx", "fits"),
        ("constraint:node!=node-1", "constraint: node!=node-1 (node=node-1)"),
        ("constraint:zone==z1", "constraint: zone==z1 (no zone)"),
        ("whitelist:node==a|b", "whitelist: node==a|b does not name it"),
    ] {
        assert_eq!(reason(json!({"Env": [env]})), expected);
    }
    let links = json!({"HostConfig": {"Links": ["front", "db"]}});
    assert_eq!(reason(links), "dependency: db is not here");
    let same = json!({"ExposedPorts": {"80/tcp": {}}, "HostConfig": {"NetworkMode": "host"}});
    assert_eq!(reason(same), "port: 80/tcp is taken by front");
}

#[test]
fn an_explanation_covers_every_node_in_the_order_of_names() {
    let mut cluster = zones();
    put(&mut cluster, 2, "big", &json!({"HostConfig": {"CpuShares": 1024, "Memory": 1 << 30}}));
    let explain = |body| {
        let explanation = Scheduler::default().explain(&cluster, &request("", body));
        let line = |node: Explained| format!("{}: {}", node.name, node.verdict);
        explanation.nodes.into_iter().map(line).collect::<Vec<_>>()
    };
    let asks = json!({"HostConfig": {"CpuShares": 1}, "Env": ["constraint:zone==~z2"]});
    let expected = [
        "node-1: constraint: zone==~z2 (zone=z1)",
        "node-2: resources: 1 CPUs asked, 4 of 4 reserved",
        "node-3: fits",
    ];
    assert_eq!(explain(asks), expected);
    // A soft expression that cannot hold is no reason.
    let asks = json!({"HostConfig": {"Memory": 8_i64 << 30}, "Env": ["constraint:zone==~z7"]});
    let expected =
        ["node-1: fits", "node-2: resources: 8 GiB of memory asked, 1 GiB of 8 GiB reserved"];
    assert_eq!(explain(asks)[..2], expected);
    let broken = explain(json!({"Env": ["affinity:x"]}));
    assert_eq!(broken[0], "node-1: affinity: One of operator ==, != is expected");
}

#[test]
fn soft_expressions_hold_all_together_or_not_at_all() {
    let cluster = zones();
    let fits = |env: &[&str]| fitting(&cluster, json!({"Env": env}));
    assert_eq!(fits(&["constraint:zone==~z2"]), ["node-2", "node-3"]);
    assert_eq!(fits(&["constraint:zone==~z2", "affinity:container==~no"]).len(), 3);
    // Neither do they end the evaluation of hard ones that follow, nor narrow their choice.
    assert_eq!(fits(&["constraint:zone==~z9", "constraint:zone==z2"]), ["node-2", "node-3"]);
    assert_eq!(fits(&["constraint:zone==~z1", "constraint:zone==z2"]), ["node-2", "node-3"]);
    assert_eq!(fits(&["constraint:zone!=~z1"]), ["node-2", "node-3"]);
}

#[test]
fn a_soft_expression_gives_way_to_resources() {
    let mut cluster = zones();
    put(&mut cluster, 1, "big", &json!({"HostConfig": {"CpuShares": 1024}}));
    let body = json!({"HostConfig": {"CpuShares": 1}, "Env": ["affinity:container==~big"]});
    assert_eq!(fitting(&cluster, body), ["node-2", "node-3"]);
}

#[test]
fn filters_run_in_the_order_given() {
    let scheduler = |filters: &[Filter]| Scheduler::new(filters.to_vec(), Strategy::Spread);
    let request = request("", json!({"Env": ["affinity:container==no", "constraint:zone==no"]}));
    let text = |filters: &[Filter]| {
        let placed = scheduler(filters).place(&zones(), &request, &mut |_| 0);
        placed.expect_err("no such zone and no such container").message
    };
    let start = "Unable to find a node that satisfies the following conditions ";
    let constraint = text(&[Filter::Constraint, Filter::Affinity]);
    assert_eq!(constraint, format!("{start}\n[zone==no]"));
    let affinity = text(&[Filter::Affinity, Filter::Constraint]);
    assert_eq!(affinity, format!("{start}\n[container==no (soft=false)]"));
}

#[test]
fn what_is_looked_up_is_not_searched() {
    let mut cluster = zones();
    let labels = json!({"Config": {"Image": "nginx", "Labels": {"tier": "front"}}});
    put(&mut cluster, 1, "web", &labels);
    let remembered = |cluster: &Cluster| cluster.answers().patterns.len();
    for env in [
        "affinity:container==web",
        "affinity:image==nginx",
        "constraint:zone==z1",
        "constraint:node==node-1",
        "whitelist:node==node-1|node-2",
    ] {
        let _ = place(&cluster, json!({"Env": [env]}));
        assert_eq!(remembered(&cluster), 0, "{env}");
    }
    let _ = place(&cluster, json!({"Env": ["constraint:zone==z*", "affinity:tier==front"]}));
    assert_eq!(remembered(&cluster), 2);
}

#[test]
fn an_answer_that_was_not_renewed_is_noticed() {
    let cluster = zones();
    let _ = place(&cluster, json!({"Env": ["constraint:zone==z*"]}));
    let answers = &mut *cluster.answers();
    assert_eq!(answers.check(&cluster), Ok(()));
    answers.patterns.spoil();
    assert!(answers.check(&cluster).is_err());
}

#[test]
fn names_on_the_command_line() {
    for filter in Filter::ALL {
        assert_eq!(Filter::parse(filter.as_str()), Some(filter));
    }
    for strategy in [Strategy::Spread, Strategy::Binpack, Strategy::Random] {
        assert_eq!(Strategy::parse(strategy.as_str()), Some(strategy));
    }
    assert_eq!(Strategy::parse("binpacking"), Some(Strategy::Binpack));
    assert_eq!((Strategy::parse("Spread"), Filter::parse("slots")), (None, None));
}

fn expression(soft: &'static str) -> impl Generator<Value = String> {
    let key = prop::sample::select(vec![
        "constraint:zone",
        "constraint:node",
        "affinity:container",
        "affinity:tier",
        "whitelist:node",
    ]);
    let operator = prop::sample::select(vec!["==", "!="]);
    let value =
        prop::sample::select(vec!["z1", "z2", "node-1", "node-2|node-3", "web", "/[12]/", "["]);
    (key, operator, value).prop_map(move |(k, op, value)| format!("{k}{op}{soft}{value}"))
}

proptest! {
    /// A soft expression is never the reason of a failure, and never lets a node in that the
    /// hard ones refuse.
    #[test]
    fn soft_expressions_only_prefer(
        hard in prop::collection::vec(expression(""), 0..3),
        soft in prop::collection::vec(expression("~"), 1..4),
        cpus in 0..6_i64,
        soft_first in any::<bool>(),
    ) {
        let mut cluster = zones();
        let labels = json!({"Labels": {"tier": "web"}});
        put(&mut cluster, 1, "web", &json!({"Config": labels, "HostConfig": {"CpuShares": 512}}));
        let body = |env: &[&String]| json!({"Env": env, "HostConfig": {"CpuShares": cpus}});
        let (first, second) = if soft_first { (&soft, &hard) } else { (&hard, &soft) };
        let both: Vec<&String> = first.iter().chain(second).collect();
        let with = place(&cluster, body(&both));
        let without = place(&cluster, body(&hard.iter().collect::<Vec<_>>()));
        prop_assert_eq!(with.is_ok(), without.is_ok());
        if let (Ok(with), Ok(without)) = (with, without) {
            prop_assert!(with.ranked.iter().all(|addr| without.ranked.contains(addr)));
        }
    }
}

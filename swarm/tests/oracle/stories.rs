//! Long stories of a cluster: after every step the manager must know what it was told, neither
//! more nor less, and decide as the oracle does; in the end it must know the truth.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use swarm::cluster::Node;

use crate::machine::{Machine, Missing, Outcome};
use crate::steps::{Step, orderly_step, wild_step};
use crate::world::{Container, Engine, World};
use crate::{config, generate, naive};

/// Whether the manager knows of this engine what it was told.
fn check_engine(machine: &Machine, engine: &Engine) -> Outcome {
    let node = machine.real.node(&engine.addr);
    let Some(node) = node.filter(|node| node.registered == engine.registered) else {
        prop_assert!(false, "{} is not there, or not validated", engine.addr);
        return Ok(());
    };
    check_containers(node, &engine.containers)?;
    prop_assert_eq!(&node.images, &engine.images);
    Ok(())
}

/// Whether these are the node's containers, as it was told of them.
fn check_containers(node: &Node, containers: &[Container]) -> Outcome {
    let real: BTreeMap<&str, _> =
        node.containers.values().map(|c| (&*c.id, (&c.summary, &c.inspect))).collect();
    let told: BTreeMap<&str, _> =
        containers.iter().map(|c| (c.id(), (&c.row, &c.inspect))).collect();
    prop_assert_eq!(real, told);
    Ok(())
}

/// Whether what the manager derived of this node is what follows from what it was told.
fn check_node(machine: &Machine, oracle: &naive::Node<'_>) -> Outcome {
    let (cluster, options) = (&machine.real, machine.real.options());
    let node = cluster.node(&oracle.addr).expect("just found");
    prop_assert_eq!((&node.id, &node.name), (&oracle.id, &oracle.name));
    prop_assert_eq!(&node.specs.labels, &oracle.labels);
    prop_assert_eq!(i128::from(node.health_indicator(options)), oracle.health);
    let total = |amount| naive::total(amount, &machine.known);
    prop_assert_eq!(i128::from(node.total_cpus(options)), total(oracle.cpus));
    prop_assert_eq!(i128::from(node.total_memory(options)), total(oracle.memory));
    prop_assert_eq!(i128::from(node.used_cpus(cluster)), oracle.used_cpus());
    prop_assert_eq!(i128::from(node.used_memory(cluster)), oracle.used_memory());
    let under_way = oracle.claims.iter().filter(|claim| claim.id.is_none());
    let expected: BTreeSet<_> = under_way.map(|claim| claim.swarm_id.as_str()).collect();
    let pending: BTreeSet<_> = cluster.pending(node).map(|one| one.swarm_id.as_str()).collect();
    prop_assert_eq!(pending, expected);
    for claim in oracle.claims.iter().filter(|claim| claim.id.is_some()) {
        let facts = &node.containers[claim.id.as_ref().expect("just asked")].facts;
        prop_assert!(facts.names().eq(&claim.names));
        let labels = claim.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        prop_assert!(facts.labels().eq(labels));
        prop_assert_eq!(facts.swarm_id().unwrap_or_default(), &claim.swarm_id);
        let ports: BTreeSet<_> =
            facts.ports().map(|port| (port.ip.to_owned(), port.port.to_owned())).collect();
        prop_assert_eq!(ports, claim.bindings.iter().cloned().collect::<BTreeSet<_>>());
    }
    Ok(())
}

/// Whether names and lookups are as the oracle says; `turn` picks which of them.
fn check_lookups(machine: &Machine, nodes: &[naive::Node<'_>], turn: usize) -> Outcome {
    let (real, known) = (&machine.real, &machine.known);
    let name = generate::NAMES[turn % generate::NAMES.len()];
    let free = naive::name_is_free_on(nodes, known, &[], name, None);
    prop_assert_eq!(real.check_name(name).is_ok(), free);
    let ids: Vec<&str> =
        known.engines.iter().flat_map(|engine| &engine.containers).map(Container::id).collect();
    let id = if ids.is_empty() { "ab" } else { ids[turn % ids.len()] };
    let beginning = &id[..[2, 5, 12, 64][turn % 4].min(id.len())];
    for text in [name, beginning] {
        let found = real.find_container(text);
        let found = found.map(|(node, found)| (node.addr.clone(), found.id.clone()));
        prop_assert_eq!(found, naive::find_container(nodes, text), "{}", text);
    }
    Ok(())
}

fn check(machine: &Machine, nodes: &[naive::Node<'_>], turn: usize) -> Outcome {
    let real: BTreeSet<_> = machine.real.nodes().map(|node| node.addr.as_str()).collect();
    let known: BTreeSet<_> = machine.known.engines.iter().map(|e| e.addr.as_str()).collect();
    prop_assert_eq!(real, known);
    for engine in &machine.known.engines {
        check_engine(machine, engine)?;
    }
    for node in nodes {
        check_node(machine, node)?;
    }
    // This takes as long as all the rest, and what has parted stays so: the end is checked, too.
    let consistent = if turn.is_multiple_of(4) { machine.real.check_consistency() } else { Ok(()) };
    prop_assert!(consistent.is_ok(), "index and truth part: {:?}", consistent);
    check_lookups(machine, nodes, turn)
}

/// Whether nothing was given twice, and no more than there is.
fn check_order(world: &World, nodes: &[naive::Node<'_>]) -> Outcome {
    let mut names = BTreeSet::new();
    for name in nodes.iter().flat_map(|node| &node.claims).flat_map(|claim| &claim.names) {
        prop_assert!(names.insert(name), "{} twice", name);
    }
    for node in nodes {
        for (place, one) in node.claims.iter().enumerate() {
            for other in &node.claims[..place] {
                // Docker publishes nothing in host mode.
                let bridge = !one.host_mode && !other.host_mode;
                let clash = |a| other.bindings.iter().any(|b| naive::clash(a, b));
                prop_assert!(!(bridge && one.bindings.iter().any(clash)), "a port twice");
                let host = one.host_mode && other.host_mode;
                let shared = one.exposed.iter().any(|port| other.exposed.contains(port));
                prop_assert!(!(host && shared), "a port of the host twice");
            }
        }
        // The rules count in whole percents, rounded down.
        let percent = |used, amount| used * 100 / naive::total(amount, world);
        prop_assert!(percent(node.used_cpus(), node.cpus) <= 100, "too many CPUs");
        prop_assert!(percent(node.used_memory(), node.memory) <= 100, "too much memory");
        let slots = node.labels.get("containerslots").and_then(|slots| slots.parse::<i64>().ok());
        let free = slots.is_none_or(|slots| node.claims.len() as i64 <= slots.max(0));
        prop_assert!(free, "too many containers");
    }
    Ok(())
}

/// Plays a story, in whose end every engine is asked for all its containers.
fn play(steps: Vec<Step>, mut machine: Machine, orderly: bool) -> Outcome {
    for (turn, step) in steps.into_iter().enumerate() {
        machine.apply(step)?;
        let nodes = naive::nodes(&machine.known);
        check(&machine, &nodes, turn)?;
        if orderly {
            check_order(&machine.known, &nodes)?;
        }
    }
    for engine in 0..machine.truth.len() {
        machine.begin_list(engine);
        machine.end_list()?;
        let node = machine.real.node(&machine.known.engines[engine].addr).expect("just checked");
        check_containers(node, &machine.truth[engine])?;
    }
    check(&machine, &naive::nodes(&machine.known), 0)
}

/// A few engines join, then `step` after `step`.
fn story(step: impl Strategy<Value = Step>) -> impl Strategy<Value = Vec<Step>> {
    let joins = vec(generate::info().prop_map(Step::Join), 1..4);
    (joins, vec(step, 1..100)).prop_map(|(joins, steps)| joins.into_iter().chain(steps).collect())
}

fn overcommit() -> impl Strategy<Value = i64> {
    select(vec![0, 0, 25, -25])
}

fn wild() -> impl Strategy<Value = (Vec<Step>, &'static str, i64)> {
    (story(wild_step()), generate::strategy(), overcommit())
}

proptest! {
    #![proptest_config(config())]

    /// Whatever happens and whatever is missed, the manager knows what it was told.
    #[test]
    fn caches_and_truth_never_part((steps, strategy, overcommit) in wild()) {
        play(steps, Machine::new(strategy, overcommit, Missing::Nothing), false)?;
    }

    /// As long as all goes through the manager, nothing is given twice.
    #[test]
    fn names_ports_and_resources_are_given_once(
        steps in story(orderly_step()),
        strategy in select(vec!["spread", "binpack"]),
        overcommit in overcommit(),
    ) {
        play(steps, Machine::new(strategy, overcommit, Missing::Nothing), true)?;
    }
}

/// A manager that misses one kind of update is found out.
#[test]
fn every_missed_update_is_found() {
    for missing in [
        Missing::Release,
        Missing::Removal,
        Missing::Row,
        Missing::List,
        Missing::Failure,
        Missing::Success,
        Missing::Images,
        Missing::Specs,
        Missing::Departure,
    ] {
        let config = Config {
            cases: 1_000,
            max_shrink_iters: 500,
            failure_persistence: None,
            ..Config::default()
        };
        let dice = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(config, dice);
        let outcome = runner.run(&wild(), |(steps, strategy, overcommit)| {
            play(steps, Machine::new(strategy, overcommit, missing), false)
        });
        let Err(TestError::Fail(reason, (steps, ..))) = outcome else {
            panic!("{missing:?}: not found, {outcome:?}");
        };
        assert!(reason.message().starts_with("assertion failed"), "{reason}");
        println!("{missing:?}: found in {} steps", steps.len());
    }
}

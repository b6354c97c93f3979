//! Whole texts, from YAML to scenario or report.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::container::{Reschedule, Restart};
use super::{ContainerSpec, Invariant, Overrides, Report, Scenario, Source, Verb, load, parse};
use crate::world::{docker, simulated};

const VAGRANT4: &str = include_str!("../../../scenarios/vagrant4.yaml");

fn read(text: &str) -> Result<Scenario, Report> {
    parse(Source::new("test.yaml", text), &Overrides::default())
}

fn good(text: &str) -> Scenario {
    read(text).unwrap_or_else(|report| panic!("{report}"))
}

/// A scenario with these hosts and steps.
fn scenario(hosts: &str, steps: &str) -> Result<Scenario, Report> {
    read(&format!("name: test\ncluster: {{ hosts: {{ {hosts} }} }}\nsteps: [{steps}]\n"))
}

/// The container that one `run` step describes.
fn container(keys: &str) -> ContainerSpec {
    let hosts = "boss: { manager: {}, engine: { cpus: 4 } }";
    let scenario = scenario(hosts, &format!("run: {{ name: web, image: nginx, {keys} }}"));
    let step = scenario.unwrap_or_else(|report| panic!("{report}")).steps.remove(0);
    let Verb::Run(spec) = step.verb else { panic!("{step:?}") };
    *spec
}

#[test]
fn the_reference_cluster_is_read_as_written() {
    let scenario = good(VAGRANT4);
    let hosts: Vec<_> =
        scenario.cluster.hosts.iter().map(|h| format!("{} {}", h.name, h.address)).collect();
    assert_eq!(
        hosts,
        [
            "dockerswarm01 10.100.199.200",
            "dockerhost01 10.100.199.201",
            "dockerhost02 10.100.199.202",
            "dockerhost03 10.100.199.203",
        ]
    );
    let agents: Vec<_> = scenario.cluster.hosts.iter().map(|host| host.agent.is_some()).collect();
    assert_eq!(agents, [false, true, true, true]);
    let (boss, manager) = scenario.cluster.manager().expect("there is a manager");
    assert_eq!((boss.name.as_str(), manager.port), ("dockerswarm01", 2375));
    assert_eq!(scenario.cluster.discovery(), "consul://10.100.199.200:8500");
    assert_eq!(scenario.cluster.images, ["busybox", "nginx"]);
    assert_eq!(scenario.always, Invariant::ALL);
}

#[test]
fn the_workload_of_the_reference_cluster_is_read_as_written() {
    let scenario = good(VAGRANT4);
    assert_eq!(scenario.steps[0].within, Some(Duration::from_secs(30)));
    let Verb::Run(spec) = &scenario.steps[4].verb else { panic!("{:?}", scenario.steps[4]) };
    assert_eq!(spec.name.all, ["webapp1", "webapp2", "webapp3"]);
    assert_eq!(spec.environment.0, ["SERVICE_NAME=webapp"]);
    assert_eq!(spec.constraints[0].text, "zone==internal");
    let expect = scenario.steps[4].expect.as_ref().expect("the step has an expectation");
    let node = expect.node.as_ref().expect("it expects a node");
    assert_eq!(node.value, "dockerhost01");
    assert_eq!(&VAGRANT4[node.span.start..node.span.end], "dockerhost01");
}

#[test]
fn a_failed_expectation_can_be_shown_in_the_file() {
    let scenario = good(VAGRANT4);
    let expect = scenario.steps[2].expect.as_ref().expect("the step has an expectation");
    let node = expect.node.as_ref().expect("it expects a node");
    let notes = ["dockerhost01  refused\ndockerhost03  chosen".to_owned()];
    let message = scenario.diagnostic(node.span, "on another host", "expected here", &notes, false);
    insta::assert_snapshot!(message, @"
      error: on another host
        ┌ test.yaml:37:21
     37 │     expect: { node: dockerhost03, state: running }
        │                     ^^^^^^^^^^^^ expected here
        = dockerhost01  refused
          dockerhost03  chosen
    ");
}

#[test]
fn containers_are_described_in_the_words_of_compose() {
    let spec = container(
        r#"command: [sleep, "1d"], environment: [A=1, B], labels: { tier: 2 }, expose: [53/udp],
           reschedule: on-node-failure, restart: "on-failure:3", cpus: 2, memory: 64MiB,
           network_mode: bridge, hostname: w, init: true"#,
    );
    let command: Vec<_> = spec.command.iter().map(|word| word.0.as_str()).collect();
    assert_eq!(command, ["sleep", "1d"]);
    assert_eq!(spec.environment.0, ["A=1", "B"]);
    assert_eq!(spec.labels.0["tier"], "2");
    assert_eq!(spec.reschedule.map(|one| one.value), Some(Reschedule::OnNodeFailure));
    assert_eq!(spec.restart.map(|one| one.value), Some(Restart::OnFailure(3)));
    assert_eq!(spec.memory.map(|one| one.value.0), Some(64 << 20));
}

#[test]
fn the_containers_another_one_depends_on_are_named() {
    let hosts = "boss: { manager: {}, engine: {} }";
    let steps = r#"{ run: { name: "db[1:3]", image: busybox } }, { run: { name: web, image: nginx,
        volumes_from: ["db1:ro"], links: [db2], network_mode: "container:db3" } }"#;
    let scenario = scenario(hosts, steps).unwrap_or_else(|report| panic!("{report}"));
    let Verb::Run(spec) = &scenario.steps[1].verb else { panic!("{:?}", scenario.steps[1]) };
    let names: Vec<_> = spec.dependencies().iter().map(|name| name.value).collect();
    assert_eq!(names, ["db1", "db2", "db3"]);
}

#[test]
fn a_name_alone_stands_for_a_verbs_mapping() {
    let hosts = "boss: { manager: {}, engine: {} }";
    let steps = "{ run: { name: web, image: nginx } }, { stop: web }, { rm: web }";
    let scenario = scenario(hosts, steps).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(scenario.steps[1].verb.containers(), ["web"]);
    let Verb::Remove(remove) = &scenario.steps[2].verb else { panic!("{:?}", scenario.steps[2]) };
    assert_eq!((remove.name.all.as_slice(), &remove.force), (&["web".to_owned()][..], &None));
}

#[test]
fn verbs_speak_of_containers_or_of_what_they_run_on() {
    let hosts = r#"boss: { store: consul, manager: {} }, "e[1:3]": { engine: {} }"#;
    let steps = r#"{ run: { name: web, image: nginx } }, { kill: web }, { kill: { host: e1 } },
        { start: { host: [e1] } }, { restart: { engine: "e[1:2]" } }, { stop: { agent: e1 } },
        { kill: { store: boss } }, { pause: { host: e2 } }, { unpause: { host: e2 } },
        { cut: { between: e1, and: [boss, "e[2:3]"], one_way: true } },
        { reset: { between: e1, and: boss } }, { disconnect: [e1, e2] },
        { slow: { host: e1, delay: 200ms } }, { heal: e1 }, { heal: everything }"#;
    let scenario = scenario(hosts, steps).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(scenario.steps[1].verb.containers(), ["web"]);
    let told: Vec<_> = scenario.steps[2..]
        .iter()
        .map(|step| match &step.verb {
            Verb::Fault(fault) => format!("{} {}", step.verb.word(), fault.action.subject()),
            verb => panic!("{verb:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            "kill e1",
            "start e1",
            "restart engine of e1, e2",
            "stop agent of e1",
            "kill store of boss",
            "pause e2",
            "unpause e2",
            "cut e1 -> boss, e2, e3",
            "reset e1 <-> boss",
            "disconnect e1, e2",
            "slow e1",
            "heal e1",
            "heal everything",
        ]
    );
}

#[test]
fn faults_that_cannot_be_are_shown_where_they_stand() {
    let hosts = r#"boss: { store: consul, manager: {} }, "e[1:2]": { engine: {} }"#;
    let mistakes = |steps: &str| scenario(hosts, steps).expect_err("a mistake").to_string();
    for (step, title) in [
        ("kill: { host: e9 }", "unknown host `e9`"),
        ("kill: { manager: e1 }", "`e1` has no manager"),
        ("stop: { store: e1 }", "`e1` has no store"),
        ("kill: {}", "a kill of what?"),
        ("stop: { host: e1, engine: e1 }", "a stop is of one kind of thing"),
        ("kill: { host: e1, signal: HUP }", "`signal` is for containers"),
        ("pause: { engine: e1 }", "unknown field `engine`"),
        ("cut: { between: e1 }", "`and` is missing"),
        ("cut: { between: [e1, e2], and: e2 }", "`e2` is in both groups"),
        ("slow: { host: e1 }", "slow in which way?"),
        ("slow: { host: e1, kbits: 0 }", "sends nothing is cut off"),
        ("heal: [everything, e1]", "everything is more than some hosts"),
        ("heal: e7", "unknown host `e7`"),
    ] {
        let report = mistakes(step);
        assert!(report.contains(title), "{step}: {report}");
        assert!(report.contains("test.yaml:3:"), "{step}: {report}");
    }
}

#[test]
fn what_a_world_cannot_do_is_a_mistake_of_the_file() {
    let hosts = "boss: { manager: {} }, e1: { engine: {} }";
    let steps = "{ slow: { host: e1, delay: 1s } }, { slow: { host: e1, kbits: 8000 } }";
    let scenario = scenario(hosts, steps).unwrap_or_else(|report| panic!("{report}"));
    for (supports, advice) in [
        (simulated::faults::supports as fn(&_) -> _, "use `delay`"),
        (docker::faults::supports, "use `kbits`"),
    ] {
        let report = Report::new(scenario.unsupported(supports)).to_string();
        assert_eq!(report.matches("error:").count(), 1, "{report}");
        assert!(report.contains(advice) && report.contains("test.yaml:3:"), "{report}");
    }
}

#[test]
fn a_thousand_engines_are_one_line() {
    let hosts = r#"boss: { store: consul, manager: {} }, "engine-[0001:1000]":
        { engine: { cpus: 4, memory: 8GiB, labels: { rack: "r[1:20]" } } }"#;
    let scenario = scenario(hosts, "wait: { healthy: 1000 }");
    let cluster = scenario.unwrap_or_else(|report| panic!("{report}")).cluster;
    assert_eq!(cluster.network.to_string(), "10.100.0.0/16", "a /24 has no room for them");
    assert_eq!(cluster.hosts[0].address.to_string(), "10.100.0.2");
    let shown: Vec<_> = [1, 20, 21, 1000]
        .map(|n| {
            let host = &cluster.hosts[n];
            let rack = host.engine.as_ref().map(|engine| engine.labels["rack"].as_str());
            format!("{} {} {}", host.name, host.address, rack.unwrap_or_default())
        })
        .to_vec();
    assert_eq!(
        shown,
        [
            "engine-0001 10.100.0.3 r1",
            "engine-0020 10.100.0.22 r20",
            "engine-0021 10.100.0.23 r1",
            "engine-1000 10.100.3.234 r20",
        ]
    );
}

#[test]
fn addresses_are_dealt_out_around_those_that_are_named() {
    let hosts = "a: { manager: {}, engine: {} }, b: { address: 10.100.199.3 }, c: {}";
    let scenario =
        scenario(hosts, "wait: { healthy: 1 }").unwrap_or_else(|report| panic!("{report}"));
    let addresses: Vec<_> =
        scenario.cluster.hosts.iter().map(|host| host.address.to_string()).collect();
    assert_eq!(addresses, ["10.100.199.2", "10.100.199.3", "10.100.199.4"]);
}

#[test]
fn a_manager_beside_an_engine_has_a_port_of_its_own() {
    let hosts = "boss: { manager: {}, engine: {} }";
    let scenario =
        scenario(hosts, "wait: { healthy: 1 }").unwrap_or_else(|report| panic!("{report}"));
    let (host, manager) = scenario.cluster.manager().expect("there is a manager");
    assert_eq!((manager.port, host.agent), (3375, None), "no agent without a store");
}

#[test]
fn a_cluster_may_come_from_another_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/other.yaml");
    let text = "name: other\ncluster: { from: vagrant4.yaml }\nsteps:\n  - wait: { healthy: 3 }\n";
    let other = parse(Source::new(path.clone(), text), &Overrides::default());
    let other = other.unwrap_or_else(|report| panic!("{report}"));
    let original = load(&path.with_file_name("vagrant4.yaml"), &Overrides::default());
    let mut cluster = original.unwrap_or_else(|report| panic!("{report}")).cluster;
    cluster.name = "other".to_owned();
    assert_eq!(other.cluster, cluster, "the same cluster under this scenario's name");
}

#[test]
fn what_the_run_decides_is_no_mistake() {
    let hosts = r#"boss: { store: consul, manager: {} },
        "e[1:2]": { engine: { labels: { zone: "z[1:2]" } } }"#;
    let steps = r#"
        { run: { name: aa, image: nginx, constraints: [zone==~nowhere] } },
        { run: { name: bb, image: nginx, constraints: [ostype==linux, "node==/e[12]/"] } },
        { run: { name: cc, image: nginx, constraints: [zone!=z1] }, expect: { node: e2 } },
        { run: { name: dd, image: unheard-of, memory: 1TiB, constraints: [zone==nowhere] },
          expect: { error: nowhere } },
        { rm: nobody, expect: { error: "No such container" } },
        { rm: { name: aa, force: true }, expect: { ps: { named: aa, count: 0 } } },
        { run: { name: aa, image: "nginx:latest", memory: 1075MiB } }"#;
    scenario(hosts, steps).unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn the_managers_overcommit_counts() {
    let run = |options: &str, memory: &str| {
        let hosts = format!("boss: {{ manager: {{ {options} }}, engine: {{ memory: 1000MiB }} }}");
        scenario(&hosts, &format!("run: {{ name: web, image: nginx, memory: {memory} }}")).is_ok()
    };
    assert!(run("", "1050MiB") && !run("", "1051MiB"));
    let half = "options: [--cluster-opt, swarm.overcommit=0.5]";
    assert!(run(half, "1500MiB") && !run(half, "1501MiB"));
    assert!(run("strategy: random", "1TiB"), "this strategy looks at no sizes");
}

#[test]
fn a_doubtful_host_is_not_held_against_the_steps() {
    let hosts = "boss: { store: consul, manager: {} }, e1: { engin: { labels: { zone: a } } }";
    let steps = "{ wait: { healthy: 1 } }, { run: { name: web, image: nginx,
        constraints: [zone==a] }, expect: { node: e1 } }";
    let report = scenario(hosts, steps).expect_err("`engin` is a mistake");
    assert_eq!(report.diagnostics().len(), 1, "{report}");
}

proptest! {
    /// Whatever stands in a file, the answer is a scenario or a report that can be shown.
    #[test]
    fn any_text_has_an_answer(text in "(?s).{0,200}") {
        if let Err(report) = read(&text) {
            prop_assert!(!report.render(true).is_empty());
        }
    }

    /// The same for a good file with a hole, or with something foreign in it.
    #[test]
    fn a_damaged_scenario_has_an_answer(
        at in 0..VAGRANT4.len(),
        gone in 0_usize..40,
        put in "[\\[\\]{}:,&*!#\"' \n\tä0-9a-z-]{0,6}",
    ) {
        let end = (at + gone).min(VAGRANT4.len());
        let text = format!("{}{put}{}", &VAGRANT4[..at], &VAGRANT4[end..]);
        if let Err(report) = read(&text) {
            prop_assert!(!report.render(false).is_empty());
        }
    }
}

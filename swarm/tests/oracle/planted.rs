//! Deliberate faults: the suites must find each of them. A fault changes what the scheduler gets
//! to see, so that it answers as if the rule were broken; the oracle sees the truth.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::generate::{KINDS, label_of};
use crate::placement::{Trial, agree, is_fair, trials_of, trials_of_ranking};

/// A broken rule.
pub struct Fault {
    /// The filter or strategy that breaks it.
    of: &'static str,
    /// What it does instead.
    what: &'static str,
    /// Makes the trial look so that the right scheduler gives the wrong answer.
    pub plant: fn(&mut Trial),
}

const FAULTS: [Fault; 25] = [
    Fault {
        of: "health",
        what: "takes unhealthy nodes",
        plant: |trial| revive(trial, |failures, retry| failures.min(retry - 1)),
    },
    Fault {
        of: "port",
        what: "overlooks creates under way",
        plant: |trial| bodies(trial, no_ports),
    },
    Fault {
        of: "port",
        what: "overlooks creates under way in host mode",
        plant: |trial| bodies(trial, |body| body["ExposedPorts"] = Value::Null),
    },
    Fault {
        of: "port",
        what: "overlooks ports that the engine chose",
        plant: |trial| inspects(trial, |inspect| inspect["NetworkSettings"] = Value::Null),
    },
    Fault {
        of: "port",
        what: "overlooks the ports of stopped containers",
        plant: |trial| {
            inspects(trial, |inspect| {
                if inspect["State"]["Running"] == false {
                    no_ports(inspect);
                    inspect["NetworkSettings"] = Value::Null;
                }
            });
        },
    },
    Fault {
        of: "port",
        what: "does not look at addresses",
        plant: |trial| addresses(&mut trial.body["HostConfig"]["PortBindings"], |_| true, ""),
    },
    Fault {
        of: "port",
        what: "takes the unspecified address for one like others",
        plant: |trial| {
            let ports = &mut trial.body["HostConfig"]["PortBindings"];
            addresses(ports, |ip| ip.is_empty() || ip == "0.0.0.0", "10.9.9.9");
        },
    },
    Fault {
        of: "containerslots",
        what: "gives one slot too many",
        plant: |trial| {
            infos(trial, |info| {
                let text = info["Labels"].to_string();
                let text = text.replace("slots=3", "slots=4").replace("slots=1", "slots=2");
                info["Labels"] = text.parse().expect("still JSON");
            });
        },
    },
    Fault { of: "containerslots", what: "counts only running containers", plant: drop_stopped },
    Fault {
        of: "dependency",
        what: "looks only at the first link",
        plant: |trial| {
            if let Some(links) = trial.body["HostConfig"]["Links"].as_array_mut() {
                links.truncate(1);
            }
        },
    },
    Fault {
        of: "dependency",
        what: "overlooks creates under way",
        plant: |trial| trial.world.creates.clear(),
    },
    Fault {
        of: "dependency",
        what: "overlooks swarm IDs",
        plant: |trial| inspects(trial, |inspect| inspect["Config"]["Labels"] = Value::Null),
    },
    Fault {
        of: "affinity",
        what: "takes soft expressions for hard ones",
        plant: |trial| expressions(trial, "affinity", |text| text.replace('~', "")),
    },
    Fault {
        of: "affinity",
        what: "matches names other than the first",
        plant: |trial| {
            for container in trial.world.engines.iter_mut().flat_map(|e| &mut e.containers) {
                container.row["Names"].as_array_mut().expect("generated as one").reverse();
            }
        },
    },
    Fault {
        of: "affinity",
        what: "overlooks the labels of creates under way",
        plant: |trial| bodies(trial, |body| body["Labels"] = Value::Null),
    },
    Fault {
        of: "affinity",
        what: "overlooks the IDs of images",
        plant: |trial| {
            for image in trial.world.engines.iter_mut().flat_map(|engine| &mut engine.images) {
                image["Id"] = "x".into();
            }
        },
    },
    Fault {
        of: "constraint",
        what: "takes soft expressions for hard ones",
        plant: |trial| expressions(trial, "constraint", |text| text.replace('~', "")),
    },
    Fault {
        of: "constraint",
        what: "overlooks the IDs of nodes",
        plant: |trial| infos(trial, |info| info["ID"] = "".into()),
    },
    Fault {
        of: "constraint",
        what: "takes != for ==",
        plant: |trial| expressions(trial, "constraint", |text| text.replace("!=", "==")),
    },
    Fault {
        of: "whitelist",
        what: "looks only at the first name",
        plant: |trial| {
            expressions(trial, "whitelist", |text| {
                text.split('|').next().unwrap_or(text).to_owned()
            });
        },
    },
    Fault { of: "spread", what: "packs instead", plant: |trial| trial.strategy = "binpack" },
    Fault {
        of: "spread",
        what: "does not mind recent failures",
        plant: |trial| revive(trial, |failures, retry| if failures < retry { 0 } else { failures }),
    },
    Fault {
        of: "binpack",
        what: "forgets what creates under way reserve",
        plant: |trial| {
            bodies(trial, |body| {
                (body["HostConfig"]["CpuShares"], body["HostConfig"]["Memory"]) =
                    Default::default();
            });
        },
    },
    Fault { of: "binpack", what: "never overcommits", plant: |trial| trial.world.overcommit = 0 },
    Fault { of: "random", what: "is not random", plant: |trial| trial.strategy = "spread" },
];

fn revive(trial: &mut Trial, failures: fn(u32, u32) -> u32) {
    let retry = trial.world.failure_retry;
    for engine in &mut trial.world.engines {
        engine.failures = failures(engine.failures, retry);
    }
}

fn bodies(trial: &mut Trial, change: fn(&mut Value)) {
    trial.world.creates.iter_mut().for_each(|create| change(&mut create.body));
}

fn inspects(trial: &mut Trial, change: fn(&mut Value)) {
    let containers = trial.world.engines.iter_mut().flat_map(|engine| &mut engine.containers);
    containers.for_each(|container| change(&mut container.inspect));
}

fn infos(trial: &mut Trial, change: fn(&mut Value)) {
    trial.world.engines.iter_mut().for_each(|engine| change(&mut engine.info));
}

fn no_ports(body: &mut Value) {
    body["HostConfig"]["PortBindings"] = Value::Null;
}

fn drop_stopped(trial: &mut Trial) {
    for engine in &mut trial.world.engines {
        engine.containers.retain(|container| container.inspect["State"]["Running"] == true);
    }
}

/// Replaces the addresses of these kinds.
fn addresses(ports: &mut Value, which: fn(&str) -> bool, new: &str) {
    let lists = ports.as_object_mut().into_iter().flatten().map(|(_, list)| list);
    for binding in lists.flat_map(|list| list.as_array_mut().into_iter().flatten()) {
        if which(binding["HostIp"].as_str().unwrap_or_default()) {
            binding["HostIp"] = new.into();
        }
    }
}

/// Changes all expressions of a kind, in the environment and in the label.
fn expressions(trial: &mut Trial, kind: &str, change: fn(&str) -> String) {
    assert!(KINDS.contains(&kind));
    for entry in trial.body["Env"].as_array_mut().expect("generated as one") {
        let text = entry.as_str().expect("generated as one");
        if let Some(expression) = text.strip_prefix(kind).and_then(|rest| rest.strip_prefix(':')) {
            *entry = format!("{kind}:{}", change(expression)).into();
        }
    }
    let label = &mut trial.body["Labels"][label_of(kind)];
    let kept = label.as_str().and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    if let Some(kept) = kept {
        *label = json!(kept.iter().map(|text| change(text)).collect::<Vec<_>>()).to_string().into();
    } else {
        trial.body["Labels"].as_object_mut().expect("generated as one").remove(&label_of(kind));
    }
}

/// Runs the suite that must find the fault, with the same dice every time: the smallest case found.
fn hunt(
    fault: &Fault,
    trials: impl Strategy<Value = Trial>,
    suite: fn(&Trial, Option<&Fault>) -> Result<(), TestCaseError>,
) -> Trial {
    let config = Config {
        cases: 10_000,
        max_shrink_iters: 2_000,
        failure_persistence: None,
        ..Config::default()
    };
    let dice = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, dice);
    match runner.run(&trials, |trial| suite(&trial, Some(fault))) {
        Err(TestError::Fail(reason, case)) => {
            let told = reason.message();
            // Found by comparing, not by stumbling over the fault.
            assert!(told.starts_with("assertion failed: `(left == right)`"), "{told}");
            println!("{} {}: found\n{told}", fault.of, fault.what);
            case
        }
        outcome => panic!("{} {}: not found, {outcome:?}", fault.of, fault.what),
    }
}

#[test]
fn every_planted_fault_is_found() {
    for fault in &FAULTS {
        let case = match fault.of {
            "spread" | "binpack" | "random" => hunt(fault, trials_of_ranking(fault.of), agree),
            filter => hunt(fault, trials_of(filter), agree),
        };
        // Without the fault there is nothing to find in the same case.
        agree(&case, None).expect("they agree");
        if fault.of == "random" {
            hunt(fault, trials_of_ranking(fault.of), is_fair);
        }
    }
}

#[test]
fn every_filter_and_strategy_has_a_planted_fault() {
    let strategies = ["spread", "binpack", "random"];
    let filters = swarm::scheduler::Filter::ALL.map(swarm::scheduler::Filter::as_str);
    for name in filters.iter().chain(&strategies) {
        assert!(FAULTS.iter().any(|fault| fault.of == *name), "{name}");
    }
}

//! Properties that hold whatever happens in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::testing::{addr, cluster, container_id};
use super::{Cluster, SWARM_ID_LABEL, cpu_shares};
use crate::scheduler::{Filter, Request, Scheduler, Strategy as Ranking};

/// Something that happens to a cluster. Names, ports and creates are small numbers, so that they
/// collide.
#[derive(Clone, Debug)]
enum Step {
    Reserve {
        name: u8,
        port: u8,
        host_mode: bool,
        cpus: i64,
    },
    /// The engine has made the container of a create; the create is released after.
    Commit(usize),
    /// A create fails.
    Release(usize),
    Remove(usize),
    Rename {
        container: usize,
        name: u8,
    },
    /// The engine has done the rename, or it failed.
    EndRename {
        done: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8, 0..3_u8, any::<bool>(), 0..3_i64).prop_map(
            |(name, port, host_mode, cpus)| Step::Reserve { name, port, host_mode, cpus },
        ),
        3 => any::<usize>().prop_map(Step::Commit),
        1 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Remove),
        1 => (any::<usize>(), 0..4_u8)
            .prop_map(|(container, name)| Step::Rename { container, name }),
        1 => any::<bool>().prop_map(|done| Step::EndRename { done }),
    ]
}

/// A cluster with the creates and the rename under way.
struct World {
    cluster: Cluster,
    scheduler: Scheduler,
    /// Swarm ID, node, body.
    creates: Vec<(String, String, Value)>,
    /// Node and ID of containers.
    containers: Vec<(String, String)>,
    /// Node, ID and new name.
    rename: Option<(String, String, String)>,
    next_id: u32,
}

impl World {
    fn body(port: u8, host_mode: bool, cpus: i64) -> Value {
        let port = 80 + u16::from(port);
        let mut body = json!({"HostConfig": {"CpuShares": cpus}});
        if host_mode {
            body["HostConfig"]["NetworkMode"] = "host".into();
            body["ExposedPorts"] = json!({format!("{port}/tcp"): {}});
        } else {
            let binding = json!([{"HostIp": "", "HostPort": port.to_string()}]);
            body["HostConfig"]["PortBindings"] = json!({"80/tcp": binding});
        }
        body
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Reserve { name, port, host_mode, cpus } => {
                self.next_id += 1;
                let id = format!("s{}", self.next_id);
                let name = if name == 0 { String::new() } else { format!("n{name}") };
                let mut body = Self::body(port, host_mode, cpus);
                let request = Request::from_create(&name, &mut body).expect("a fine request");
                body["Name"] = name.into();
                let done = self.cluster.reserve(&request, &id, &self.scheduler, &mut |_| 0);
                if let Ok(reservation) = done {
                    self.creates.push((id, reservation.node, body));
                }
            }
            Step::Commit(index) if !self.creates.is_empty() => {
                let (id, node, body) = self.creates.remove(index % self.creates.len());
                self.commit(&id, &node, &body);
                self.cluster.release(&id);
            }
            Step::Release(index) if !self.creates.is_empty() => {
                let (id, ..) = self.creates.remove(index % self.creates.len());
                self.cluster.release(&id);
            }
            Step::Remove(index) if !self.containers.is_empty() => {
                let (node, id) = self.containers.remove(index % self.containers.len());
                self.cluster.remove_container(&node, &id);
            }
            Step::Rename { container, name } if !self.containers.is_empty() => {
                let (node, id) = self.containers[container % self.containers.len()].clone();
                let name = format!("n{name}");
                if self.rename.is_none() && self.cluster.claim_name(&name, &node).is_ok() {
                    self.rename = Some((node, id, name));
                }
            }
            Step::EndRename { done } => {
                let Some((node, id, name)) = self.rename.take() else { return };
                let names = json!([format!("/{name}")]);
                if done {
                    self.cluster.update_container(&node, json!({"Id": id, "Names": names}), None);
                }
                self.cluster.release_name(&name);
            }
            _ => {}
        }
    }

    fn commit(&mut self, swarm_id: &str, node: &str, body: &Value) {
        let id = container_id(swarm_id);
        let name = body["Name"].as_str().expect("set on reserve");
        let names: Vec<String> =
            Some(format!("/{name}")).filter(|name| name != "/").into_iter().collect();
        let mut body = body.clone();
        self.cluster.node(node).expect("nodes stay").scale_cpu_shares(&mut body);
        let inspect = json!({
            "Config": {"Labels": {SWARM_ID_LABEL: swarm_id}, "ExposedPorts": body["ExposedPorts"]},
            "HostConfig": body["HostConfig"],
        });
        let summary = json!({"Id": id, "Names": names});
        self.cluster.update_container(node, summary, Some(inspect));
        self.containers.push((node.to_owned(), id));
    }

    fn check(&self) {
        let mut names = BTreeMap::new();
        for node in self.cluster.registered() {
            let mut ports = BTreeSet::new();
            for facts in self.cluster.claims(node) {
                for name in facts.names() {
                    *names.entry(name.trim_start_matches('/').to_owned()).or_insert(0) += 1;
                }
                let host = facts.exposed().filter(|_| facts.host_network).map(str::to_owned);
                let bridge = facts.ports().map(|port| format!("bridge {}", port.port));
                for port in host.chain(bridge) {
                    assert!(ports.insert(port.clone()), "{port} twice on {}", node.name);
                }
            }
            let (used, total) =
                (node.used_cpus(&self.cluster), node.total_cpus(self.cluster.options()));
            assert!(used <= total, "{used} of {total} CPUs reserved");
        }
        if let Some((_, _, name)) = &self.rename {
            *names.entry(name.clone()).or_insert(0) += 1;
        }
        assert!(names.values().all(|count| *count == 1), "{names:?}");
    }
}

proptest! {
    /// Names and static ports stay unique, resources are never exceeded, over any sequence of
    /// creates, renames and removals that overlap.
    #[test]
    fn claims_never_collide(
        steps in prop::collection::vec(step(), 1..60),
        ranking in prop::sample::select(vec![Ranking::Spread, Ranking::Binpack]),
    ) {
        let mut world = World {
            cluster: cluster(&["node-1", "node-2"]),
            scheduler: Scheduler::new(Filter::ALL.to_vec(), ranking),
            creates: Vec::new(),
            containers: Vec::new(),
            rename: None,
            next_id: 0,
        };
        for step in steps {
            world.apply(step);
            world.check();
            world.cluster.check_consistency().expect("the index follows");
        }
        for (id, ..) in std::mem::take(&mut world.creates) {
            world.cluster.release(&id);
        }
        let node = world.cluster.node(&addr(1)).expect("nodes stay");
        prop_assert_eq!(world.cluster.pending(node).count(), 0);
    }

    /// What an engine is given reads back as what was asked for.
    #[test]
    fn cpus_survive_the_way_through_shares(cpus in 0..=1024_i64, engine in 1..=1024_i64) {
        let inspect = json!({"HostConfig": {"CpuShares": cpu_shares(cpus, engine)}});
        let facts =
            super::Facts::read(&json!({}), &inspect, engine, jiff::SignedDuration::ZERO);
        prop_assert_eq!(facts.cpus, cpus);
    }
}

//! A cluster as engines and clients tell of it: raw JSON, and nothing derived from it.

use serde_json::{Value, json};
use swarm::cluster::{Cluster, Options};
use swarm::scheduler::{Filter, Request, Scheduler, Strategy};

use crate::naive;

/// The cluster.
#[derive(Clone, Debug)]
pub struct World {
    /// In percent.
    pub overcommit: i64,
    /// Failures that make an engine unhealthy.
    pub failure_retry: u32,
    pub engines: Vec<Engine>,
    /// Creates under way.
    pub creates: Vec<Create>,
}

/// An engine.
#[derive(Clone, Debug)]
pub struct Engine {
    pub addr: String,
    /// What it answers to `/info`.
    pub info: Value,
    /// Whether it has been validated.
    pub registered: bool,
    /// Failures in a row.
    pub failures: u32,
    pub containers: Vec<Container>,
    /// Its image list.
    pub images: Vec<Value>,
}

/// A container of an engine.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its row in the engine's list.
    pub row: Value,
    pub inspect: Value,
}

/// A create under way.
#[derive(Clone, Debug)]
pub struct Create {
    pub swarm_id: String,
    pub name: String,
    /// What the client sent.
    pub body: Value,
    /// Where it was placed.
    pub addr: String,
}

impl Container {
    pub fn id(&self) -> &str {
        self.row["Id"].as_str().expect("generated with an ID")
    }
}

impl World {
    /// Tells the manager all of it. A create that the rules forbid is dropped, and must be refused.
    pub fn build(&mut self) -> Cluster {
        let options =
            Options { overcommit_percent: self.overcommit, failure_retry: self.failure_retry };
        let mut cluster = Cluster::new(options);
        for engine in &self.engines {
            engine.tell(&mut cluster);
        }
        for create in std::mem::take(&mut self.creates) {
            let claim = naive::under_way(&create);
            let free = naive::name_is_free(self, &[], &create.name, Some(&claim))
                && self.creates.iter().all(|other| other.swarm_id != create.swarm_id);
            let placed = self.engines.iter().any(|e| e.registered && e.addr == create.addr);
            assert_eq!(create.claim(&mut cluster), free && placed, "{create:?}");
            if free && placed {
                self.creates.push(create);
            }
        }
        cluster
    }
}

/// Some moment.
pub fn now() -> jiff::Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("a date")
}

impl Engine {
    pub fn tell(&self, cluster: &mut Cluster) {
        assert!(cluster.add_node(&self.addr, now()), "{} twice", self.addr);
        let version = json!({"Version": "24.0.1"});
        cluster
            .set_specs(&self.addr, "10.0.0.1", &self.info, &version, now())
            .expect("generated without mistakes");
        if self.registered {
            cluster.register(&self.addr, now());
        }
        for container in &self.containers {
            let Container { row, inspect } = container.clone();
            cluster.update_container(&self.addr, row, Some(inspect));
        }
        cluster.set_images(&self.addr, self.images.clone());
        for _ in 0..self.failures {
            cluster.failed(&self.addr, "refused", now());
        }
    }
}

impl Create {
    /// Claims a place for it on its engine, whatever else it asks for; `false` if it is refused.
    fn claim(&self, cluster: &mut Cluster) -> bool {
        let mut request = Request::from_create(&self.name, &mut self.body.clone())
            .expect("generated without mistakes");
        let addr = self.addr.replace('.', "\\.");
        request.constraints = vec![format!("node==/\\|{addr}$/")];
        let anywhere = Scheduler::new(vec![Filter::Constraint], Strategy::Random);
        let claimed = cluster.reserve(&request, &self.swarm_id, &anywhere, &mut |_| 0);
        claimed.inspect(|claimed| assert_eq!(claimed.node, self.addr)).is_ok()
    }
}

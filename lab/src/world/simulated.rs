//! The simulated world: virtual time and network, fake engines and store, the real manager and
//! agents.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sim::engine::{Engine, Spec};
use sim::{Process, TraceRecord, World as Sim};
use swarm::cli::Environment;
use swarm::ctx::{Addr, BoxFuture, Ctx};

use super::{World, WorldError};
use crate::event::{Event, SharedSink};
use crate::scenario::cluster::{CONSUL_PORT, Cluster, Host, StoreKind, engine_port};

/// The host the runner is on. No scenario can name it: its name has a blank.
const CLIENT: &str = "lab client";

/// A cluster in the simulator.
pub struct SimulatedWorld {
    sim: Sim,
    cluster: Cluster,
    client: Ctx,
    began: Duration,
    processes: Vec<Process>,
}

impl SimulatedWorld {
    /// Prepares the hosts of `cluster` in `sim`; what happens there becomes events in `sink`.
    #[must_use]
    pub fn new(sim: Sim, cluster: &Cluster, sink: &SharedSink) -> Self {
        let sink = Arc::clone(sink);
        sim.trace().observe(Box::new(move |record| sink.emit(event(record))));
        for host in &cluster.hosts {
            sim.add_host(&host.name, host.address);
        }
        // The client stands where a real one would: on the network's gateway.
        let gateway = Ipv4Addr::from(u32::from(cluster.network.base) + 1);
        let client = sim.add_host(CLIENT, gateway);
        let began = sim.now();
        Self { sim, cluster: cluster.clone(), client, began, processes: Vec::new() }
    }

    fn start_engine(&mut self, host: &Host) {
        let Some(plan) = &host.engine else { return };
        let spec = Spec {
            cpus: plan.cpus,
            memory: plan.memory,
            labels: plan.labels.iter().map(|(key, value)| format!("{key}={value}")).collect(),
            images: self.cluster.images.clone(),
            ..Spec::new(host.name.clone(), host.address.to_string())
        };
        let at = Addr::tcp("0.0.0.0", engine_port(self.cluster.tls));
        let world = self.sim.clone();
        let name = host.name.clone();
        self.processes.push(self.sim.start(&host.name, "engine", move |ctx| async move {
            let engine = Engine::new(ctx, spec);
            engine.observe(Box::new(move |kind: &str, fields: Value| {
                world.record(&name, "engine", kind, fields);
            }));
            // An engine that cannot listen shows as one that does not answer.
            let _ = engine.serve(at).await;
        }));
    }

    fn start_store(&mut self, host: &Host) {
        let Some(StoreKind::Consul) = host.store else { return };
        let at = Addr::tcp("0.0.0.0", CONSUL_PORT);
        self.processes.push(self.sim.start(&host.name, "store", move |ctx| async move {
            let _ = sim::store::serve(ctx, at).await;
        }));
    }

    /// Runs the command line of the real manager or agent on a host.
    fn start_swarm(&mut self, host: &Host, component: &'static str, args: Vec<String>) {
        self.processes.push(self.sim.start(&host.name, component, move |ctx| async move {
            let environment = Environment {
                program: "swarm".to_owned(),
                vars: Box::new(|_| None),
                out: Arc::new(|_| {}),
                err: Arc::new(|_| {}),
                ctx,
            };
            swarm::cli::run(environment, args).await;
        }));
    }
}

/// A record of the simulator as an event of the log.
fn event(record: &TraceRecord) -> Event {
    Event {
        time: record.time,
        host: record.host.clone(),
        component: record.component.clone(),
        kind: record.kind.clone(),
        fields: record.fields.clone(),
    }
}

impl World for SimulatedWorld {
    fn name(&self) -> &'static str {
        "simulator"
    }

    fn up(&mut self) -> BoxFuture<'_, Result<(), WorldError>> {
        Box::pin(async move {
            let hosts = self.cluster.hosts.clone();
            for host in &hosts {
                self.start_store(host);
                self.start_engine(host);
            }
            for host in hosts.iter().filter(|host| host.agent) {
                self.start_swarm(host, "agent", self.cluster.agent_args(host));
            }
            for host in &hosts {
                if let Some(manager) = &host.manager {
                    self.start_swarm(host, "manager", self.cluster.manager_args(manager));
                }
            }
            Ok(())
        })
    }

    fn client(&self) -> Ctx {
        self.client.clone()
    }

    fn now(&self) -> Duration {
        self.sim.now() - self.began
    }

    fn down(&mut self) -> BoxFuture<'_, Result<(), WorldError>> {
        Box::pin(async move {
            for process in self.processes.drain(..) {
                process.kill();
            }
            Ok(())
        })
    }
}

//! The simulated world: virtual time and network, fake engines and store, the real manager and
//! agents.

pub mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use sim::engine::{Engine, Spec};
use sim::{Process, TraceRecord, World as Sim};
use swarm::cli::Environment;
use swarm::ctx::{Addr, BoxFuture, Ctx};

use super::fault::Part;
use super::{Fault, World, WorldError};
use crate::event::{Event, SharedSink};
use crate::scenario::cluster::{CONSUL_PORT, Cluster, Host, StoreKind, engine_port};

/// The host the runner is on. No scenario can name it: its name has a blank.
const CLIENT: &str = "lab client";

/// A cluster in the simulator.
pub struct SimulatedWorld {
    sim: Sim,
    cluster: Cluster,
    /// What runs, by host.
    processes: BTreeMap<(String, Part), Process>,
    /// The engines that run or ran last, by host: what an engine has stored outlives its process.
    engines: BTreeMap<String, Disk>,
    /// Hosts with a link of their own: those that were made slow.
    slow: BTreeSet<String>,
}

/// Where an engine's state is found when its process is gone.
type Disk = Arc<Mutex<Option<Arc<Engine>>>>;

impl SimulatedWorld {
    /// A world for `cluster` in `sim`; what happens there becomes events in `sink`.
    #[must_use]
    pub fn new(sim: Sim, cluster: &Cluster, sink: &SharedSink) -> Self {
        let sink = Arc::clone(sink);
        sim.trace().observe(Box::new(move |record| sink.emit(event(record))));
        Self {
            sim,
            cluster: cluster.clone(),
            processes: BTreeMap::new(),
            engines: BTreeMap::new(),
            slow: BTreeSet::new(),
        }
    }

    fn add_hosts(&self) {
        for host in &self.cluster.hosts {
            self.sim.add_host(&host.name, host.address);
        }
        // The client stands where a real one would: on the network's gateway.
        let gateway = Ipv4Addr::from(u32::from(self.cluster.network.base) + 1);
        self.sim.add_host(CLIENT, gateway);
    }

    fn start_engine(&mut self, host: &Host) {
        let Some(plan) = &host.engine else { return };
        let spec = Spec {
            cpus: plan.cpus,
            memory: plan.memory,
            id: plan.id.clone(),
            labels: plan.labels.iter().map(|(key, value)| format!("{key}={value}")).collect(),
            images: self.cluster.images.clone(),
            ..Spec::new(host.name.clone(), host.address.to_string())
        };
        let at = Addr::tcp("0.0.0.0", engine_port(self.cluster.tls));
        let world = self.sim.clone();
        let name = host.name.clone();
        let disk = Arc::clone(self.engines.entry(host.name.clone()).or_default());
        let process = self.sim.start(&host.name, "engine", move |ctx| async move {
            let stored = stored(&disk).take().map(|engine| engine.state());
            let engine = match stored {
                Some(state) => Engine::resume(ctx, spec, state),
                None => Engine::new(ctx, spec),
            };
            *self::stored(&disk) = Some(Arc::clone(&engine));
            engine.observe(Box::new(move |kind: &str, fields: Value| {
                world.record(&name, "engine", kind, fields);
            }));
            // An engine that cannot listen shows as one that does not answer.
            let _ = engine.serve(at).await;
        });
        self.processes.insert((host.name.clone(), Part::Engine), process);
    }

    fn start_store(&mut self, host: &Host) {
        let Some(StoreKind::Consul) = host.store else { return };
        let at = Addr::tcp("0.0.0.0", CONSUL_PORT);
        // Like Consul in its development mode, it keeps nothing when its process ends.
        let process = self.sim.start(&host.name, "store", move |ctx| async move {
            let _ = sim::store::serve(ctx, at).await;
        });
        self.processes.insert((host.name.clone(), Part::Store), process);
    }

    /// Runs the command line of the real manager or agent on a host.
    fn start_swarm(&mut self, host: &Host, part: Part, args: Vec<String>) {
        let component = if part == Part::Agent { "agent" } else { "manager" };
        let process = self.sim.start(&host.name, component, move |ctx| async move {
            let environment = Environment {
                program: "swarm".to_owned(),
                vars: Box::new(|_| None),
                out: Arc::new(|_| {}),
                err: Arc::new(|_| {}),
                ctx,
            };
            swarm::cli::run(environment, args).await;
        });
        self.processes.insert((host.name.clone(), part), process);
    }

    /// Starts what is to run on a host, if it is to and does not yet.
    fn start(&mut self, host: &Host, part: Part) {
        if self.processes.get(&(host.name.clone(), part)).is_some_and(Process::is_running) {
            return;
        }
        match part {
            Part::Host => {}
            Part::Store => self.start_store(host),
            Part::Engine => self.start_engine(host),
            Part::Agent if host.agent => {
                self.start_swarm(host, part, self.cluster.agent_args(host));
            }
            Part::Agent => {}
            Part::Manager => {
                if let Some(manager) = &host.manager {
                    self.start_swarm(host, part, self.cluster.manager_args(manager));
                }
            }
        }
    }
}

fn stored(disk: &Disk) -> std::sync::MutexGuard<'_, Option<Arc<Engine>>> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
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
            self.add_hosts();
            let hosts = self.cluster.hosts.clone();
            for parts in [&[Part::Store, Part::Engine][..], &[Part::Agent], &[Part::Manager]] {
                for host in &hosts {
                    parts.iter().for_each(|part| self.start(host, *part));
                }
            }
            Ok(())
        })
    }

    fn client(&self) -> Ctx {
        self.sim.ctx(CLIENT)
    }

    fn now(&self) -> Duration {
        self.sim.now()
    }

    fn apply<'a>(&'a mut self, fault: &'a Fault) -> BoxFuture<'a, Result<(), WorldError>> {
        Box::pin(async move { self.strike(fault) })
    }

    fn down(&mut self) -> BoxFuture<'_, Result<(), WorldError>> {
        Box::pin(async move {
            for process in std::mem::take(&mut self.processes).into_values() {
                process.kill();
            }
            Ok(())
        })
    }
}

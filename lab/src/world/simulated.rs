//! The simulated world: virtual time and network, fake engines and store, the real manager and
//! agents.

pub mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde_json::Value;
use sim::engine::{Engine, Spec};
use sim::store::Store;
use sim::{Process, TraceRecord, World as Sim};
use swarm::cli::Environment;
use swarm::ctx::{Addr, BoxFuture, Ctx, Level, Listener};
use swarm::manager::Manager;
use swarm::tls::Tls;

use super::fault::Part;
use super::{Fault, World, WorldError};
use crate::event::{Event, SharedSink};
use crate::pki::{Keys, Pair, Pki};
use crate::scenario::cluster::{
    Cluster, Host, MANAGER_PAIR, PKI, STORE_PAIR, StoreKind, consul_port, engine_pair, engine_port,
};
use crate::scenario::{CertKind, Holder};

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
    /// The managers that run, by host; those that have ended are gone.
    managers: Managers,
    /// Hosts with a link of their own: those that were made slow.
    slow: BTreeSet<String>,
    pki: Option<Arc<Pki>>,
    /// The hosts whose engine speaks no TLS though the cluster does.
    plain: BTreeSet<String>,
}

/// Where an engine's state is found when its process is gone.
type Disk = Arc<Mutex<Option<Arc<Engine>>>>;

type Managers = Arc<Mutex<BTreeMap<String, Weak<Manager>>>>;

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
            managers: Managers::default(),
            slow: BTreeSet::new(),
            pki: None,
            plain: BTreeSet::new(),
        }
    }

    fn add_hosts(&mut self) {
        for host in &self.cluster.hosts {
            self.sim.add_host(&host.name, host.address);
        }
        // The client stands where a real one would: on the network's gateway.
        let gateway = Ipv4Addr::from(u32::from(self.cluster.network.base) + 1);
        self.sim.add_host(CLIENT, gateway);
        if self.cluster.tls {
            let client = self.client();
            // Keys follow the seed, as everything does, but are no part of what a run draws.
            let keys = Keys::Seeded(client.random_u64("pki"));
            self.pki = Some(Arc::new(Pki::new(keys, client.clock.wall())));
            self.install_certificates();
        }
    }

    /// Puts the certificates of every host where its processes look for them.
    fn install_certificates(&mut self) {
        let Some(pki) = self.pki.clone() else { return };
        for host in self.cluster.hosts.clone() {
            self.sim.write_file(&host.name, format!("{PKI}/ca.pem"), pki.authority());
            if let Some(engine) = &host.engine {
                self.install(&host, Holder::Engine, engine.cert);
            }
            if let Some(manager) = &host.manager {
                self.install(&host, Holder::Manager, manager.cert);
            }
            if host.store.is_some() {
                self.write_pair(&host, STORE_PAIR, pki.store(&host));
            }
        }
    }

    fn install(&mut self, host: &Host, holder: Holder, kind: CertKind) {
        let Some(pki) = self.pki.clone() else { return };
        match holder {
            Holder::Manager => self.write_pair(host, MANAGER_PAIR, pki.manager(host, kind)),
            Holder::Engine => {
                self.write_pair(host, &engine_pair(&host.name), pki.engine(host, kind));
                match kind {
                    CertKind::Plain => self.plain.insert(host.name.clone()),
                    _ => self.plain.remove(&host.name),
                };
            }
        }
    }

    fn write_pair(&self, host: &Host, prefix: &str, pair: Pair) {
        self.sim.write_file(&host.name, format!("{PKI}/{prefix}cert.pem"), pair.cert);
        self.sim.write_file(&host.name, format!("{PKI}/{prefix}key.pem"), pair.key);
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
        let secured = self.cluster.tls && !self.plain.contains(&host.name);
        let pair = secured.then(|| engine_pair(&host.name));
        let world = self.sim.clone();
        let name = host.name.clone();
        let disk = Arc::clone(self.engines.entry(host.name.clone()).or_default());
        let process = self.sim.start(&host.name, "engine", move |ctx| async move {
            let stored = stored(&disk).take().map(|engine| engine.state());
            let engine = match stored {
                Some(state) => Engine::resume(ctx.clone(), spec, state),
                None => Engine::new(ctx.clone(), spec),
            };
            *self::stored(&disk) = Some(Arc::clone(&engine));
            engine.observe(Box::new(move |kind: &str, fields: Value| {
                world.record(&name, "engine", kind, fields);
            }));
            // An engine that cannot listen shows as one that does not answer.
            if let Some(listener) = listen(&ctx, &at, pair.as_deref()).await {
                engine.serve_on(listener).await;
            }
        });
        self.processes.insert((host.name.clone(), Part::Engine), process);
    }

    fn start_store(&mut self, host: &Host) {
        let Some(StoreKind::Consul) = host.store else { return };
        let at = Addr::tcp("0.0.0.0", consul_port(self.cluster.tls));
        let pair = self.cluster.tls.then_some(STORE_PAIR);
        // Like Consul in its development mode, it keeps nothing when its process ends.
        let process = self.sim.start(&host.name, "store", move |ctx| async move {
            if let Some(listener) = listen(&ctx, &at, pair).await {
                Store::new("consul").serve_on(ctx, listener).await;
            }
        });
        self.processes.insert((host.name.clone(), Part::Store), process);
    }

    /// Runs the command line of the real manager or agent on a host.
    fn start_swarm(&mut self, host: &Host, part: Part, args: Vec<String>) {
        let component = if part == Part::Agent { "agent" } else { "manager" };
        let (managers, name) = (Arc::clone(&self.managers), host.name.clone());
        let process = self.sim.start(&host.name, component, move |ctx| async move {
            let environment = Environment {
                program: "swarm".to_owned(),
                vars: Box::new(|_| None),
                out: Arc::new(|_| {}),
                err: Arc::new(|_| {}),
                manager: Box::new(move |manager| {
                    stored(&managers).insert(name.clone(), Arc::downgrade(manager));
                }),
                ctx,
            };
            swarm::cli::run(environment, args).await;
        });
        self.processes.insert((host.name.clone(), part), process);
    }

    /// Ends a component of a host and starts it again with what it needs now.
    async fn restart(&mut self, host: &Host, holder: Holder) {
        let part = match holder {
            Holder::Engine => Part::Engine,
            Holder::Manager => Part::Manager,
        };
        if let Some(process) = self.processes.remove(&(host.name.clone(), part)) {
            process.kill();
            process.wait().await;
        }
        self.start(host, part);
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
            Part::Agent => {
                if let Some(agent) = &host.agent {
                    self.start_swarm(host, part, self.cluster.agent_args(host, agent));
                }
            }
            Part::Manager => {
                if let Some(manager) = &host.manager {
                    self.start_swarm(host, part, self.cluster.manager_args(manager));
                }
            }
        }
    }
}

/// A socket at `at`, with TLS above it if a certificate is named by the beginning of its files.
async fn listen(ctx: &Ctx, at: &Addr, pair: Option<&str>) -> Option<Box<dyn Listener>> {
    let listener = ctx.net.listen(at).await.ok()?;
    let Some(pair) = pair else { return Some(listener) };
    let (cert, key) = (format!("{PKI}/{pair}cert.pem"), format!("{PKI}/{pair}key.pem"));
    let ca = format!("{PKI}/ca.pem");
    match Tls::load(ctx, &cert, &key, Some(&ca)) {
        Ok(tls) => Some(tls.server.listener(ctx, listener)),
        Err(why) => {
            ctx.log(Level::Fatal, why);
            None
        }
    }
}

fn stored<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn pki(&self) -> Option<Arc<Pki>> {
        self.pki.clone()
    }

    fn manager(&self, host: &str) -> Option<Arc<Manager>> {
        stored(&self.managers).get(host)?.upgrade()
    }

    fn certify<'a>(
        &'a mut self,
        host: &'a str,
        holder: Holder,
        kind: CertKind,
    ) -> BoxFuture<'a, Result<(), WorldError>> {
        Box::pin(async move {
            let found = self.cluster.host(host).cloned();
            let host = found.ok_or_else(|| WorldError::new(format!("no host {host}"), ""))?;
            self.install(&host, holder, kind);
            self.restart(&host, holder).await;
            Ok(())
        })
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

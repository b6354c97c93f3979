//! What all handles of a world share.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::host::{Host, Owner, Scope, lock};
use super::watchdog::{self, Watchdog};
use crate::net::{Core, Effects};
use crate::trace::{Trace, TraceRecord};

pub(crate) struct Shared {
    pub(crate) seed: u64,
    start: Instant,
    /// When the world ended, in microseconds; its clock stands still from then on.
    ended: OnceLock<u64>,
    pub(crate) trace: Trace,
    net: Mutex<Core>,
    pub(crate) hosts: Mutex<BTreeMap<String, Arc<Host>>>,
    next_id: AtomicU64,
    watchdog: Mutex<Watchdog>,
    failure: Mutex<Failure>,
}

/// Why the run must stop, and whom to tell.
#[derive(Default)]
struct Failure {
    message: Option<String>,
    main: Option<Waker>,
}

impl Shared {
    pub(crate) fn new(seed: u64) -> Self {
        let trace = Trace::default();
        Self {
            seed,
            start: Instant::now(),
            ended: OnceLock::new(),
            net: Mutex::new(Core::new(seed, trace.segments())),
            trace,
            hosts: Mutex::default(),
            next_id: AtomicU64::new(0),
            watchdog: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    /// Microseconds since the world began.
    pub(crate) fn now_us(&self) -> u64 {
        match self.ended.get() {
            Some(ended_us) => *ended_us,
            None => {
                let elapsed = Instant::now().duration_since(self.start);
                u64::try_from(elapsed.as_micros()).expect("a run is shorter than 500,000 years")
            }
        }
    }

    pub(crate) fn now(&self) -> Duration {
        Duration::from_micros(self.now_us())
    }

    /// The runtime's instant at `at_us` microseconds since the world began.
    pub(crate) fn instant(&self, at_us: u64) -> Instant {
        self.start + Duration::from_micros(at_us)
    }

    /// A number never given before.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Calls the network, then does what the call asked for: tasks are woken and records written
    /// with the network unlocked, because both may call it again.
    pub(crate) fn net<R>(&self, call: impl FnOnce(&mut Core, u64, &mut Effects) -> R) -> R {
        let now_us = self.now_us();
        let mut fx = Effects::default();
        let result = call(&mut lock(&self.net), now_us, &mut fx);
        for record in fx.records {
            self.trace.push(TraceRecord {
                time: Duration::from_micros(record.time_us),
                host: record.host,
                component: "network".to_owned(),
                kind: record.kind.to_owned(),
                fields: object(record.fields),
            });
        }
        fx.wakes.into_iter().for_each(Waker::wake);
        result
    }

    /// Writes a record.
    pub(crate) fn record(&self, host: &str, component: &str, kind: &str, fields: Value) {
        self.trace.push(TraceRecord {
            time: self.now(),
            host: host.to_owned(),
            component: component.to_owned(),
            kind: kind.to_owned(),
            fields: object(fields),
        });
    }

    /// The host of that name.
    pub(crate) fn host(&self, name: &str) -> Arc<Host> {
        let hosts = lock(&self.hosts);
        let found = hosts.get(name).cloned();
        found.unwrap_or_else(|| {
            let known: Vec<&str> = hosts.keys().map(String::as_str).collect();
            panic!("no host {name:?}; there are {}", known.join(", "))
        })
    }

    pub(crate) fn address_of(&self, name: &str) -> Option<Ipv4Addr> {
        lock(&self.hosts).get(name).map(|host| host.address)
    }

    /// A new owner of tasks and sockets.
    pub(crate) fn new_scope(&self, name: &'static str, host: &Arc<Host>) -> Arc<Scope> {
        Arc::new(Scope::new(self.next_id(), name, Arc::clone(host)))
    }

    /// Ends a process that lives: its tasks are dropped, its sockets closed as by the kernel.
    pub(crate) fn end_process(&self, scope: &Arc<Scope>, kind: &str) {
        if scope.end() {
            lock(&scope.host.processes).remove(&scope.id);
            self.net(|net, now_us, fx| net.close_scope(now_us, scope.id, fx));
            self.record(&scope.host.name, scope.name, kind, Value::Null);
        }
    }

    /// Stops the run with a message; the first one counts.
    pub(crate) fn fail(&self, message: String) {
        let mut failure = lock(&self.failure);
        failure.message.get_or_insert(message);
        let main = failure.main.take();
        drop(failure);
        main.into_iter().for_each(Waker::wake);
    }

    /// Why the run must stop, if it must; else `main` is woken when it must.
    pub(super) fn failure(&self, main: &Waker) -> Option<String> {
        let mut failure = lock(&self.failure);
        failure.main = Some(main.clone());
        failure.message.clone()
    }

    /// Counts a poll of a task; fails the run when time seems to stand still.
    pub(crate) fn watch(&self, host: &str, task: &'static str) {
        let stuck = lock(&self.watchdog).count(|| self.now_us(), (host, task));
        if let Some(tally) = stuck {
            self.fail(watchdog::livelock(self, &tally));
        }
    }

    /// How many polls there were.
    pub(super) fn polls(&self) -> u64 {
        lock(&self.watchdog).polls()
    }

    /// Ends the world: drops every task, stops the clock.
    pub(super) fn end(&self) {
        let hosts: Vec<Arc<Host>> = lock(&self.hosts).values().cloned().collect();
        for host in hosts {
            let base = lock(&host.base).take();
            let processes = std::mem::take(&mut *lock(&host.processes));
            base.iter().chain(processes.values()).for_each(|scope| {
                scope.end();
            });
        }
        let _ = self.ended.set(self.now_us());
    }
}

/// The details of a record: an object, or none.
fn object(fields: Value) -> Map<String, Value> {
    match fields {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Everything a context of the simulator acts through.
pub(crate) struct HostCtx {
    pub(crate) shared: Arc<Shared>,
    pub(crate) owner: Owner,
}

//! A world: hosts, processes, a clock, and what can go wrong with them.
//!
//! [`run`] makes one and runs a program in it. Everything in it happens on one thread and one
//! paused runtime: when every task waits, time jumps to the next event. Same seed and same program
//! give the same trace, whatever the machine.

mod crypto;
mod ctx;
mod host;
mod shared;
mod task;
mod watchdog;

use std::future::{Future, poll_fn};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::Duration;

use serde_json::{Value, json};
use swarm::ctx::Ctx;
use tokio::runtime::{Builder, RngSeed};

pub use self::ctx::EPOCH;
pub(crate) use self::host::Owner;
use self::host::{Host, Scope, lock};
pub(crate) use self::shared::{HostCtx, Shared};
use crate::net::{self, Link};
use crate::trace::Trace;

/// The stack of the thread a world runs on: debug builds of deep futures need more than the
/// default.
const STACK_BYTES: usize = 16 << 20;

/// Runs `main` in a new world and returns what it returns. Every task is dropped at the end.
///
/// The world gets a thread of its own, so that worlds may run side by side and nothing
/// thread-local leaks from one into the next.
///
/// # Panics
/// When `main` or any task panics, when time stands still although tasks run, and when nothing is
/// left that could wake `main`; the message says which, and where.
pub fn run<T, F, M>(seed: u64, main: F) -> T
where
    F: FnOnce(World) -> M + Send,
    M: Future<Output = T>,
    T: Send,
{
    let body = || {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .rng_seed(RngSeed::from_bytes(&seed.to_le_bytes()))
            .build()
            .expect("a runtime without I/O needs nothing from the system");
        runtime.block_on(live(seed, main))
    };
    let ended = std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name(format!("world {seed}"))
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, body)
            .expect("the system has a thread to spare")
            .join()
    });
    match ended {
        Ok(Ok(value)) => value,
        Ok(Err(message)) => panic!("{message}"),
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// The life of a world.
#[expect(clippy::disallowed_methods, reason = "the pump and the watchdog belong to no host")]
async fn live<T, F, M>(seed: u64, main: F) -> Result<T, String>
where
    F: FnOnce(World) -> M,
    M: Future<Output = T>,
{
    let shared = Arc::new(Shared::new(seed));
    crypto::begin(seed);
    tokio::spawn(net::pump(Arc::clone(&shared)));
    tokio::spawn(watchdog::silence(Arc::clone(&shared)));
    let mut main = pin!(main(World { shared: Arc::clone(&shared) }));
    let ended = poll_fn(|cx| {
        if let Some(message) = shared.failure(cx.waker()) {
            return Poll::Ready(Err(message));
        }
        shared.watch("world", "main");
        main.as_mut().poll(cx).map(Ok)
    })
    .await;
    shared.end();
    ended
}

/// A handle to the world. Cheap to clone.
///
/// Methods that take the name of a host panic when there is no such host: a scenario checks its
/// names before it starts.
#[derive(Clone)]
pub struct World {
    shared: Arc<Shared>,
}

impl World {
    /// Virtual time since the world began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.shared.now()
    }

    /// The trace of the world.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.shared.trace.clone()
    }

    /// Writes a record of the caller's own into the trace; fields are a JSON object.
    pub fn record(&self, host: &str, component: &str, kind: &str, fields: Value) {
        self.shared.record(host, component, kind, fields);
    }

    /// Adds a host that is up; every host can reach it by name and address from now on.
    ///
    /// # Panics
    /// When the name or the address is taken.
    pub fn add_host(&self, name: &str, address: Ipv4Addr) -> Ctx {
        assert!(!lock(&self.shared.hosts).contains_key(name), "there is a host {name:?} already");
        let id = self
            .shared
            .net(|net, _, _| net.add_host(name, address))
            .unwrap_or_else(|| panic!("{name}: the address {address} is taken"));
        let host = Arc::new(Host::new(id, name, address));
        *lock(&host.base) = Some(self.shared.new_scope("host", &host));
        lock(&self.shared.hosts).insert(name.to_owned(), host);
        self.note(name, "host.added", json!({"address": address.to_string()}));
        self.ctx(name)
    }

    /// A context of the host outside any process: for clients and probes. It serves whichever
    /// incarnation of the host is up, and gives errors while none is.
    #[must_use]
    pub fn ctx(&self, host: &str) -> Ctx {
        ctx::context(&self.shared, Owner::Host(self.shared.host(host)))
    }

    /// Writes a file of the host, replacing what was there.
    pub fn write_file(&self, host: &str, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) {
        lock(&self.shared.host(host).files).insert(path.into(), bytes.into());
    }

    /// Starts a process. It ends when `main` returns, like any process: what it spawned is dropped
    /// and its sockets are closed.
    ///
    /// # Panics
    /// When the host is off.
    pub fn start<F, M>(&self, host: &str, name: &'static str, main: F) -> Process
    where
        F: FnOnce(Ctx) -> M,
        M: Future<Output = ()> + Send + 'static,
    {
        let host = self.shared.host(host);
        assert!(lock(&host.base).is_some(), "{name}: the host {} is off", host.name);
        let scope = self.shared.new_scope(name, &host);
        lock(&host.processes).insert(scope.id, Arc::clone(&scope));
        self.shared.record(&host.name, name, "process.started", Value::Null);
        let main = main(ctx::context(&self.shared, Owner::Process(Arc::clone(&scope))));
        self.shared.spawn(&scope, name, true, Box::pin(main));
        Process { shared: Arc::clone(&self.shared), scope }
    }

    /// Kills every process of the host. Its kernel lives on: connections are closed and new ones
    /// refused.
    pub fn kill_host(&self, name: &str) {
        let host = self.shared.host(name);
        self.note(name, "host.killed", Value::Null);
        let processes: Vec<Arc<Scope>> = lock(&host.processes).values().cloned().collect();
        for process in processes {
            self.shared.end_process(&process, "process.killed");
        }
        let base = lock(&host.base).take();
        if let Some(base) = base {
            base.end();
            self.shared.net(|net, now_us, fx| net.close_scope(now_us, base.id, fx));
            *lock(&host.base) = Some(self.shared.new_scope("host", &host));
        }
    }

    /// Cuts the power: everything on the host is gone at once and nobody is told. Peers notice
    /// when nothing answers any more, or after the next boot, by a reset.
    pub fn power_off(&self, name: &str) {
        let host = self.shared.host(name);
        self.note(name, "host.off", Value::Null);
        self.shared.net(|net, _, fx| net.power_off(host.id, fx));
        let base = lock(&host.base).take();
        let processes = std::mem::take(&mut *lock(&host.processes));
        base.iter().chain(processes.values()).for_each(|scope| {
            scope.end();
        });
    }

    /// Boots a host whose power is off; nothing runs on it yet, its files are as they were. Does
    /// nothing when it is on.
    pub fn boot(&self, name: &str) {
        let host = self.shared.host(name);
        if lock(&host.base).is_some() {
            return;
        }
        self.note(name, "host.booted", Value::Null);
        host.gate.resume().into_iter().for_each(Waker::wake);
        self.shared.net(|net, _, _| net.power_on(host.id));
        *lock(&host.base) = Some(self.shared.new_scope("host", &host));
    }

    /// Whether the power of the host is on.
    #[must_use]
    pub fn is_up(&self, name: &str) -> bool {
        lock(&self.shared.host(name).base).is_some()
    }

    /// Loses everything sent from one host to another, from now on. The other direction is left
    /// alone.
    pub fn cut(&self, from: &str, to: &str) {
        self.set_cut(from, to, true);
    }

    /// Undoes [`World::cut`] for this direction.
    pub fn heal(&self, from: &str, to: &str) {
        self.set_cut(from, to, false);
    }

    fn set_cut(&self, from: &str, to: &str, cut: bool) {
        let ids = (self.shared.host(from).id, self.shared.host(to).id);
        self.note(from, if cut { "link.cut" } else { "link.healed" }, json!({"to": to}));
        self.shared.net(|net, _, _| net.set_cut(ids.0, ids.1, cut));
    }

    /// Resets every connection between two hosts. Returns how many there were.
    pub fn reset(&self, a: &str, b: &str) -> usize {
        let ids = (self.shared.host(a).id, self.shared.host(b).id);
        let count = self.shared.net(|net, _, fx| net.reset_between(ids.0, ids.1, fx));
        self.note(a, "connections.reset", json!({"with": b, "count": count}));
        count
    }

    /// Hangs the host: no task of it runs, while its kernel still takes connections and data.
    pub fn pause(&self, name: &str) {
        self.note(name, "host.paused", Value::Null);
        self.shared.host(name).gate.pause();
    }

    /// Undoes [`World::pause`].
    pub fn resume(&self, name: &str) {
        self.note(name, "host.resumed", Value::Null);
        self.shared.host(name).gate.resume().into_iter().for_each(Waker::wake);
    }

    /// Delays each wake of each task of the host; zero makes it as fast as ever.
    pub fn slow(&self, name: &str, delay: Duration) {
        let delay_us = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.note(name, "host.slowed", json!({"delay_us": delay_us}));
        self.shared.host(name).gate.set_slow(delay);
    }

    /// Moves the wall clock of the host by so many milliseconds. Monotonic time goes on.
    pub fn wall_jump(&self, name: &str, by_ms: i64) {
        self.note(name, "clock.jumped", json!({"by_ms": by_ms}));
        self.shared.host(name).wall_offset_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// Sets delays and losses of one direction between two hosts, for what is sent from now on.
    pub fn set_link(&self, from: &str, to: &str, link: Link) {
        let ids = (self.shared.host(from).id, self.shared.host(to).id);
        let Link { min_us, max_us, loss_ppm } = link;
        let fields = json!({"to": to, "min_us": min_us, "max_us": max_us, "loss_ppm": loss_ppm});
        self.note(from, "link.set", fields);
        self.shared.net(|net, _, _| net.set_link(ids.0, ids.1, link));
    }

    /// Sets delays and losses wherever [`World::set_link`] has not been called.
    pub fn set_default_link(&self, link: Link) {
        self.shared.net(|net, _, _| net.set_default_link(link));
    }

    /// Records something that was done to a host.
    fn note(&self, host: &str, kind: &str, fields: Value) {
        self.shared.record(host, "world", kind, fields);
    }
}

/// A process of a host. Dropping the handle lets it run on.
pub struct Process {
    shared: Arc<Shared>,
    scope: Arc<Scope>,
}

impl Process {
    /// A context that acts as the process.
    #[must_use]
    pub fn ctx(&self) -> Ctx {
        ctx::context(&self.shared, Owner::Process(Arc::clone(&self.scope)))
    }

    /// Kills the process: its tasks are dropped, its listeners freed, its connections closed as
    /// the kernel does for a dead process (a reset where data was left unread, an end elsewhere,
    /// and a reset for whatever comes later).
    pub fn kill(&self) {
        self.shared.end_process(&self.scope, "process.killed");
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.scope.alive()
    }

    /// Waits until it has ended.
    pub async fn wait(&self) {
        let mut ended = pin!(self.scope.ended.notified());
        // Enabled before the check, so that an end in between is not missed.
        ended.as_mut().enable();
        if self.scope.alive() {
            ended.await;
        }
    }
}

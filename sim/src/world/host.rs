//! Hosts, and the scopes that own what runs on them.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::rng::Stream;

/// Locks a mutex of the world.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of the world's locks panics")
}

/// A host: an address on the network, files, a clock that may be wrong, and a gate through which
/// its tasks get to run.
pub(crate) struct Host {
    pub(crate) id: usize,
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    /// How far the wall clock is off, in milliseconds.
    pub(crate) wall_offset_ms: AtomicI64,
    pub(crate) files: Mutex<BTreeMap<PathBuf, Vec<u8>>>,
    /// How many draws each purpose has had.
    pub(crate) draws: Mutex<BTreeMap<&'static str, u64>>,
    pub(crate) gate: Gate,
    /// Owns what is started on the host outside any process; `None` while the power is off.
    pub(crate) base: Mutex<Option<Arc<Scope>>>,
    /// The running processes, by the number of their scope.
    pub(crate) processes: Mutex<BTreeMap<u64, Arc<Scope>>>,
}

impl Host {
    pub(crate) fn new(id: usize, name: &str, address: Ipv4Addr) -> Self {
        Self {
            id,
            name: name.to_owned(),
            address,
            wall_offset_ms: AtomicI64::new(0),
            files: Mutex::default(),
            draws: Mutex::default(),
            gate: Gate::default(),
            base: Mutex::default(),
            processes: Mutex::default(),
        }
    }

    /// Fills `bytes` with the next draws for `purpose`.
    pub(super) fn fill(&self, seed: u64, purpose: &'static str, bytes: &mut [u8]) {
        let stream = Stream::new(seed, &["host", &self.name, purpose]);
        let mut draws = lock(&self.draws);
        let count = draws.entry(purpose).or_default();
        *count = stream.fill(*count, bytes);
    }
}

/// Decides when the tasks of a host get to run.
#[derive(Default)]
pub(crate) struct Gate {
    paused: AtomicBool,
    slow_us: AtomicU64,
    /// Tasks that were woken while the host was paused, by their numbers.
    parked: Mutex<BTreeMap<u64, Waker>>,
}

impl Gate {
    pub(crate) fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
    }

    /// Lets the tasks run again; returns those that wanted to meanwhile.
    pub(crate) fn resume(&self) -> Vec<Waker> {
        self.paused.store(false, Ordering::Relaxed);
        std::mem::take(&mut *lock(&self.parked)).into_values().collect()
    }

    /// Keeps a task for later when the host is paused.
    pub(super) fn park(&self, task: u64, waker: &Waker) -> bool {
        let paused = self.paused.load(Ordering::Relaxed);
        if paused {
            lock(&self.parked).insert(task, waker.clone());
        }
        paused
    }

    pub(crate) fn set_slow(&self, delay: Duration) {
        let delay_us = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.slow_us.store(delay_us, Ordering::Relaxed);
    }

    /// How long each wake of a task takes; zero when the host is not slow.
    pub(super) fn slow(&self) -> Duration {
        Duration::from_micros(self.slow_us.load(Ordering::Relaxed))
    }
}

/// What owns tasks and sockets: a process, or the host itself. It ends once.
pub(crate) struct Scope {
    pub(crate) id: u64,
    pub(crate) name: &'static str,
    pub(crate) host: Arc<Host>,
    alive: AtomicBool,
    tasks: Mutex<BTreeMap<u64, AbortHandle>>,
    pub(crate) ended: Notify,
}

impl Scope {
    pub(crate) fn new(id: u64, name: &'static str, host: Arc<Host>) -> Self {
        Self {
            id,
            name,
            host,
            alive: AtomicBool::new(true),
            tasks: Mutex::default(),
            ended: Notify::new(),
        }
    }

    pub(crate) fn alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    pub(super) fn adopt(&self, task: u64, handle: AbortHandle) {
        lock(&self.tasks).insert(task, handle);
    }

    pub(super) fn forget(&self, task: u64) {
        lock(&self.tasks).remove(&task);
    }

    /// Ends every task. Returns whether the scope was alive.
    pub(super) fn end(&self) -> bool {
        let was_alive = self.alive.swap(false, Ordering::Relaxed);
        // Taken out first: ending a task may drop it, and that calls `forget`.
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.into_values().for_each(|task| task.abort());
        self.ended.notify_waiters();
        was_alive
    }
}

/// On whose behalf a context acts.
#[derive(Clone)]
pub(crate) enum Owner {
    /// The host itself, whichever incarnation is up.
    Host(Arc<Host>),
    /// One process; useless once it has ended.
    Process(Arc<Scope>),
}

impl Owner {
    pub(crate) fn host(&self) -> &Arc<Host> {
        match self {
            Self::Host(host) => host,
            Self::Process(scope) => &scope.host,
        }
    }

    /// The component named in the trace.
    pub(crate) fn component(&self) -> &'static str {
        match self {
            Self::Host(_) => "host",
            Self::Process(scope) => scope.name,
        }
    }

    /// The scope that owns what is started now.
    pub(crate) fn scope(&self) -> io::Result<Arc<Scope>> {
        match self {
            Self::Host(host) => lock(&host.base)
                .clone()
                .ok_or_else(|| io::Error::other(format!("host {} is off", host.name))),
            Self::Process(scope) if scope.alive() => Ok(Arc::clone(scope)),
            Self::Process(scope) => {
                Err(io::Error::other(format!("process {} has ended", scope.name)))
            }
        }
    }
}

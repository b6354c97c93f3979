//! A world for unit tests: hosts joined by in-memory streams, on the paused clock of the test's
//! runtime. Use it under `#[tokio::test(start_paused = true)]`.

mod consul;
mod engine;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::ctx::{
    Addr, BoxFuture, BoxStream, Clock, Ctx, Files, Listener, Log, Net, Record, Rng, Spawn, Task,
};

pub(crate) use consul::FakeConsul;
pub(crate) use engine::{FakeEngine, Reaction};

/// Where the wall clock starts.
const EPOCH_SECONDS: u64 = 1_800_000_000;

/// A world: everything is reachable from everywhere under its address.
#[derive(Clone)]
pub(crate) struct World(Arc<Inner>);

struct Inner {
    started: Instant,
    listeners: Mutex<BTreeMap<String, mpsc::UnboundedSender<BoxStream>>>,
    files: Mutex<BTreeMap<PathBuf, String>>,
    records: Mutex<Vec<Record>>,
    draws: Mutex<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            started: Instant::now(),
            listeners: Mutex::default(),
            files: Mutex::default(),
            records: Mutex::default(),
            draws: Mutex::default(),
        }))
    }

    /// A context in this world.
    pub(crate) fn ctx(&self) -> Ctx {
        Ctx {
            net: Arc::new(self.clone()),
            clock: Arc::new(self.clone()),
            rng: Arc::new(self.clone()),
            spawn: Arc::new(self.clone()),
            files: Arc::new(self.clone()),
            log: Arc::new(self.clone()),
        }
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, text: &str) {
        lock(&self.0.files).insert(PathBuf::from(path), text.to_owned());
    }

    /// Everything logged so far, as `level message`.
    pub(crate) fn log(&self) -> Vec<String> {
        let line = |record: &Record| format!("{} {}", record.level.as_str(), record.message);
        lock(&self.0.records).iter().map(line).collect()
    }

    /// Nobody listens at `addr` any more.
    pub(crate) fn close(&self, addr: &str) {
        lock(&self.0.listeners).remove(addr);
    }

    /// The wall clock.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.ctx().now()
    }
}

/// Waits until `done` holds, looking every 10 ms; panics after `limit` of virtual time.
pub(crate) async fn eventually(limit: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Net for World {
    fn listen<'a>(&'a self, at: &'a Addr) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let (sender, receiver) = mpsc::unbounded_channel();
            lock(&self.0.listeners).insert(at.to_string(), sender);
            Ok(Box::new(MemoryListener { receiver, at: at.clone() }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, to: &'a Addr) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            self.resolve(to.host()).await?;
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let (near, far) = tokio::io::duplex(64 << 10);
            let sender = lock(&self.0.listeners).get(&to.to_string()).cloned();
            sender.ok_or_else(refused)?.send(Box::new(far)).map_err(|_| refused())?;
            Ok(Box::new(near) as BoxStream)
        })
    }

    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<IpAddr>> {
        Box::pin(async move {
            match host.ends_with(".invalid") {
                true => Err(io::Error::other(format!("lookup {host}: no such host"))),
                false => Ok(host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))),
            }
        })
    }
}

struct MemoryListener {
    receiver: mpsc::UnboundedReceiver<BoxStream>,
    at: Addr,
}

impl Listener for MemoryListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async move {
            match self.receiver.recv().await {
                Some(stream) => Ok((stream, "test".to_owned())),
                None => std::future::pending().await,
            }
        })
    }

    fn local_addr(&self) -> Addr {
        self.at.clone()
    }
}

impl Clock for World {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_SECONDS) + self.0.started.elapsed()
    }
}

impl Rng for World {
    fn fill(&self, _: &'static str, bytes: &mut [u8]) {
        let mut draws = lock(&self.0.draws);
        for chunk in bytes.chunks_mut(8) {
            *draws += 1;
            // SplitMix64 over a counter: spread well, the same in every run.
            let mut mixed = draws.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
        }
    }
}

impl Spawn for World {
    #[expect(clippy::disallowed_methods, reason = "the one place where tests start tasks")]
    fn spawn(&self, _: &'static str, future: BoxFuture<'static, ()>) -> Task {
        Task::new(tokio::spawn(future).abort_handle())
    }
}

impl Files for World {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let files = lock(&self.0.files);
        let text = files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.clone().into_bytes())
    }
}

impl Log for World {
    fn write(&self, record: &Record) {
        lock(&self.0.records).push(record.clone());
    }
}

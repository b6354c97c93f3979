//! The seam between the manager and the world it runs in.
//!
//! Production code touches the outside through a [`Ctx`] and nothing else: sockets and names
//! ([`Net`]), the wall clock ([`Clock`]), randomness ([`Rng`]), tasks ([`Spawn`]), files
//! ([`Files`]) and the log ([`Log`]). [`real`] implements it for an operating system; the
//! simulator implements it for a host of its virtual world. Monotonic time is tokio's
//! (`tokio::time`), which the simulator pauses and advances, so it needs no seam.
//!
//! Trait objects rather than type parameters: only `connect` and `accept` box, and both cost a
//! system call anyway.

mod addr;
pub mod http;
mod log;
pub mod real;

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use tokio::io::{AsyncRead, AsyncWrite};

pub use addr::{Addr, AddrError, split_host_port};
pub use log::{Level, Log, Record};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A byte stream in both directions: TCP, a Unix socket, TLS over either, or a simulated one.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A stream whose concrete type is known only to the world that made it.
pub type BoxStream = Box<dyn Stream>;

/// Sockets and names of one host.
pub trait Net: Send + Sync {
    /// Listens on `at`. A host part of `0.0.0.0` means every address of the host; port 0 means
    /// a free port, which [`Listener::local_addr`] tells.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, or what the operating system says.
    fn listen<'a>(&'a self, at: &'a Addr) -> BoxFuture<'a, io::Result<Box<dyn Listener>>>;

    /// Connects to `to`, resolving its host name first. There is no timeout here: callers wrap
    /// the future in `tokio::time::timeout`.
    ///
    /// # Errors
    /// `ConnectionRefused`, `HostUnreachable`, `TimedOut`, a failed look-up, and so on.
    fn connect<'a>(&'a self, to: &'a Addr) -> BoxFuture<'a, io::Result<BoxStream>>;

    /// The first address of `host`; an IP literal is its own answer.
    ///
    /// # Errors
    /// `lookup <host>: no such host` when the name is unknown.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<IpAddr>>;
}

/// A bound socket that takes connections.
pub trait Listener: Send {
    /// The next connection, with the peer's address as text (`ip:port`, empty for Unix sockets).
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>>;

    /// Where it listens: with the real port if port 0 was asked for.
    fn local_addr(&self) -> Addr;
}

/// The wall clock of one host. It may jump; measure durations with `tokio::time::Instant`.
pub trait Clock: Send + Sync {
    /// The date and time now.
    fn wall(&self) -> SystemTime;
}

/// Randomness: identifiers, jitter, key material.
pub trait Rng: Send + Sync {
    /// Fills `bytes`. `purpose` names the use (`"swarm-id"`, `"refresh-jitter"`): in the simulator
    /// each purpose is a stream of its own, so that a new use does not reshuffle the others.
    fn fill(&self, purpose: &'static str, bytes: &mut [u8]);

    /// The cryptography that TLS connections are made with. The default is ring's, with ephemeral
    /// keys from the operating system; the simulator replaces what draws random numbers, so that a
    /// seed decides every byte on the wire. Nothing else may.
    fn crypto(&self) -> CryptoProvider {
        rustls::crypto::ring::default_provider()
    }
}

/// Tasks of one host.
pub trait Spawn: Send + Sync {
    /// Runs `future` in the background. It dies with its host. `name` is for logs and traces.
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) -> Task;
}

/// Files of one host. Only whole small files are read: discovery lists, certificates, keys.
pub trait Files: Send + Sync {
    /// The content of `path`.
    ///
    /// # Errors
    /// As `std::fs::read`.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

/// A background task. Dropping it lets the task run on; [`Task::abort`] ends it.
#[derive(Debug)]
pub struct Task(tokio::task::AbortHandle);

impl Task {
    /// Wraps the handle of a task that was just spawned.
    #[must_use]
    pub fn new(handle: tokio::task::AbortHandle) -> Self {
        Self(handle)
    }

    /// Ends the task at its next await point.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// A guard that ends the task when dropped.
    #[must_use]
    pub fn abort_on_drop(self) -> TaskGuard {
        TaskGuard(self)
    }
}

/// Ends its task when dropped.
#[derive(Debug)]
pub struct TaskGuard(Task);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Everything a component may touch of the world. Cheap to clone.
#[derive(Clone)]
pub struct Ctx {
    /// Sockets and names.
    pub net: Arc<dyn Net>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// Tasks.
    pub spawn: Arc<dyn Spawn>,
    /// Files.
    pub files: Arc<dyn Files>,
    /// The log.
    pub log: Arc<dyn Log>,
}

impl Ctx {
    /// Runs `future` in the background as a task of this host.
    pub fn spawn(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> Task {
        self.spawn.spawn(name, Box::pin(future))
    }

    /// A random number, uniform over all 64-bit values.
    #[must_use]
    pub fn random_u64(&self, purpose: &'static str) -> u64 {
        let mut bytes = [0; 8];
        self.rng.fill(purpose, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A random number below `bound`; 0 when `bound` is 0. The bias of the modulo (below 2^-32 for
    /// the small bounds used here) is of no consequence.
    #[must_use]
    pub fn random_below(&self, purpose: &'static str, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.random_u64(purpose) % bound }
    }

    /// A random 256-bit identifier: 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn random_id(&self, purpose: &'static str) -> String {
        let mut bytes = [0; 32];
        self.rng.fill(purpose, &mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Logs `message` at `level`.
    pub fn log(&self, level: Level, message: impl Into<String>) {
        self.log.write(&Record { level, message: message.into(), fields: Vec::new() });
    }

    /// Logs `message` at `level` with fields.
    pub fn log_with(&self, level: Level, message: impl Into<String>, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.log.write(&Record { level, message: message.into(), fields });
    }

    /// The time now, as a timestamp that can be formatted and compared.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::try_from(self.clock.wall()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

/// An operating system's error as Go words it.
pub(crate) fn go_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".into(),
        io::ErrorKind::IsADirectory => "is a directory".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::AddrInUse => "address already in use".into(),
        io::ErrorKind::AddrNotAvailable => "cannot assign requested address".into(),
        _ => error.to_string(),
    }
}

#[cfg(not(tokio_unstable))]
compile_error!(
    "build with `--cfg tokio_unstable` (set in .cargo/config.toml; a RUSTFLAGS variable in the \
     environment replaces that file's flags: add the cfg to it, or unset it)"
);

//! The seam over an operating system.
#![expect(clippy::disallowed_methods, reason = "this is where the world's own calls are wrapped")]

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::{
    Addr, BoxFuture, BoxStream, Clock, Ctx, Files, Level, Listener, Log, Net, Record, Rng, Spawn,
    Task,
};

/// A context over this process: its sockets, clock, randomness and files, with the log on standard
/// output at `level` and above.
///
/// Call it inside a tokio runtime.
#[must_use]
pub fn ctx(level: Level) -> Ctx {
    Ctx {
        net: Arc::new(OsNet),
        clock: Arc::new(OsClock),
        rng: Arc::new(OsRng),
        spawn: Arc::new(OsSpawn),
        files: Arc::new(OsFiles),
        log: Arc::new(StdoutLog { level }),
    }
}

struct OsNet;

impl Net for OsNet {
    fn listen<'a>(&'a self, at: &'a Addr) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener: Box<dyn Listener> = match at {
                Addr::Tcp { host, port } => {
                    let host = if host.is_empty() { "::" } else { host };
                    let bound = match TcpListener::bind((host, *port)).await {
                        // No IPv6 on this machine: every address means every IPv4 address.
                        Err(e) if host == "::" && e.kind() != io::ErrorKind::AddrInUse => {
                            TcpListener::bind(("0.0.0.0", *port)).await
                        }
                        other => other,
                    };
                    Box::new(OsTcpListener(bound?))
                }
                Addr::Unix(path) => Box::new(OsUnixListener(bind_unix(path)?, at.clone())),
            };
            Ok(listener)
        })
    }

    fn connect<'a>(&'a self, to: &'a Addr) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            let stream: BoxStream = match to {
                Addr::Tcp { host, port } => {
                    let ip = self.resolve(host).await?;
                    let stream = TcpStream::connect((ip, *port)).await?;
                    stream.set_nodelay(true)?;
                    Box::new(stream)
                }
                Addr::Unix(path) => Box::new(UnixStream::connect(path).await?),
            };
            Ok(stream)
        })
    }

    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<IpAddr>> {
        Box::pin(async move {
            if let Ok(ip) = host.parse() {
                return Ok(ip);
            }
            let unknown = || io::Error::other(format!("lookup {host}: no such host"));
            let mut found = tokio::net::lookup_host((host, 0)).await.map_err(|_| unknown())?;
            found.next().map(|addr| addr.ip()).ok_or_else(unknown)
        })
    }
}

/// Binds a Unix socket that only its owner may use, replacing what an earlier process left.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    // Only a socket is a leftover; a file at that path is somebody's data.
    if path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

struct OsTcpListener(TcpListener);

impl Listener for OsTcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async move {
            let (stream, peer) = self.0.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as BoxStream, peer.to_string()))
        })
    }

    fn local_addr(&self) -> Addr {
        match self.0.local_addr() {
            Ok(addr) => Addr::tcp(addr.ip().to_string(), addr.port()),
            Err(_) => Addr::tcp("", 0),
        }
    }
}

struct OsUnixListener(UnixListener, Addr);

impl Listener for OsUnixListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async move {
            let (stream, _) = self.0.accept().await?;
            Ok((Box::new(stream) as BoxStream, String::new()))
        })
    }

    fn local_addr(&self) -> Addr {
        self.1.clone()
    }
}

struct OsClock;

impl Clock for OsClock {
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

struct OsRng;

impl Rng for OsRng {
    fn fill(&self, _purpose: &'static str, bytes: &mut [u8]) {
        let mut filled = 0;
        while filled < bytes.len() {
            let rest = &mut bytes[filled..];
            // SAFETY: the pointer and the length describe `rest`, which lives across the call.
            let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
            match usize::try_from(n) {
                Ok(n) => filled += n,
                // Interrupted by a signal before any byte came: ask again.
                Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                Err(_) => panic!("the system has no randomness: {}", io::Error::last_os_error()),
            }
        }
    }
}

struct OsSpawn;

impl Spawn for OsSpawn {
    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) -> Task {
        Task::new(tokio::spawn(future).abort_handle())
    }
}

struct OsFiles;

impl Files for OsFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }
}

struct StdoutLog {
    level: Level,
}

impl Log for StdoutLog {
    fn write(&self, record: &Record) {
        if record.level > self.level {
            return;
        }
        let now = jiff::Timestamp::try_from(OsClock.wall()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let line = record.line(&now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        // A closed standard output must not stop the manager.
        let _ = writeln!(io::stdout().lock(), "{line}");
    }
}

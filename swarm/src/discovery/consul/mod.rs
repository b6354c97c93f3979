//! `consul://host:port/prefix`: engines are keys that live as long as their session.

mod client;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use self::client::{Client, Listing};
use super::entry::{Entry, Parsed};
use super::{Batch, Discovery, Watch};
use crate::ctx::{Addr, BoxFuture, Ctx, Level};
use crate::tls;

/// Where the nodes are when no `kv.path` is given.
const NODES: &str = "docker/swarm/nodes";

/// Attempts of one registration, against a lock that is still held or a session that just died.
const REGISTER_TRIES: u32 = 5;

/// Between two attempts of a registration; longer than the lock delay of the sessions.
const REGISTER_PAUSE: Duration = Duration::from_millis(250);

/// The first and the longest pause of a watch after an error (and never more than a heartbeat).
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Between two answers that came at once and told nothing new.
const IDLE_PAUSE: Duration = Duration::from_secs(1);

/// A directory in Consul's key-value store.
pub(super) struct Consul {
    ctx: Ctx,
    client: Client,
    directory: String,
    heartbeat: Duration,
    ttl: Duration,
}

impl Consul {
    /// Reads `host:port[/prefix]`.
    ///
    /// # Errors
    /// More than one endpoint, a malformed one, or an option that is not served.
    pub(super) fn new(
        ctx: &Ctx,
        rest: &str,
        heartbeat: Duration,
        ttl: Duration,
        options: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let (endpoint, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if endpoint.contains(',') {
            return Err("consul does not support multiple endpoints".to_owned());
        }
        let to: Addr = endpoint.parse().map_err(|error| format!("{error}"))?;
        let tls = tls_of(ctx, options)?;
        let path = options.get("kv.path").map_or(NODES, String::as_str);
        let segments = prefix.split('/').chain(path.split('/')).filter(|part| !part.is_empty());
        Ok(Self {
            ctx: ctx.clone(),
            client: Client::new(ctx, to, tls),
            directory: segments.collect::<Vec<_>>().join("/"),
            heartbeat,
            ttl,
        })
    }

    async fn poll(self: Arc<Self>, batches: mpsc::Sender<Batch>) {
        let mut seen = Seen::default();
        let mut pause = PAUSE.0;
        let mut prepared = false;
        loop {
            let asked = Instant::now();
            let result = match prepared {
                true => Ok(()),
                false => self.make_directory().await,
            };
            let result = match result {
                Ok(()) => self.client.list(&self.directory, seen.index).await,
                Err(error) => Err(error),
            };
            match result {
                Err(error) => {
                    prepared = false;
                    // What the index counted may be gone when the store comes back.
                    seen.index = 0;
                    if batches.send(Err(error)).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(pause.min(self.heartbeat)).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
                Ok(listing) => {
                    (prepared, pause) = (true, PAUSE.0);
                    let moved = seen.advance(listing.index);
                    if let Some(entries) = self.news(&listing, &mut seen)
                        && batches.send(Ok(entries)).await.is_err()
                    {
                        return;
                    }
                    if !moved && asked.elapsed() < IDLE_PAUSE {
                        tokio::time::sleep(IDLE_PAUSE).await;
                    }
                }
            }
        }
    }

    /// The entries of a listing, if they are not those that were told last.
    fn news(&self, listing: &Listing, seen: &mut Seen) -> Option<Vec<Entry>> {
        let inside = format!("{}/", self.directory);
        // Only direct children: `nodes-x` and `nodes/a/b` belong to somebody else.
        let children = listing.pairs.iter().filter(|pair| {
            let name = pair.key.strip_prefix(&inside);
            name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
        });
        let parsed = Parsed::of(children.map(|pair| String::from_utf8_lossy(&pair.value)));
        if seen.errors != parsed.errors {
            for error in &parsed.errors {
                self.ctx.log(Level::Warn, format!("Discovery entry ignored: {error}"));
            }
            seen.errors = parsed.errors;
        }
        if seen.entries.as_ref() == Some(&parsed.entries) {
            return None;
        }
        seen.entries = Some(parsed.entries.clone());
        Some(parsed.entries)
    }

    /// Makes the directory's marker, an empty key, if there is none.
    async fn make_directory(&self) -> Result<(), String> {
        match self.client.get(&self.directory).await? {
            Some(_) => Ok(()),
            None => self.client.put(&self.directory, "").await,
        }
    }

    /// One registration: find or make a session, prolong it, write the key as its holder.
    async fn enter(&self, addr: &str) -> Result<(), String> {
        let key = format!("{}/{addr}", self.directory);
        for attempt in 0..REGISTER_TRIES {
            if attempt > 0 {
                tokio::time::sleep(REGISTER_PAUSE).await;
            }
            // The session is found through its key, so an agent that restarts goes on with it.
            let held = self.client.get(&key).await?.and_then(|pair| pair.session);
            let session = match held {
                Some(session) if self.client.renew_session(&session).await? => session,
                Some(_) => continue,
                None => self.client.create_session(self.ttl / 2).await?,
            };
            // Not a plain write, even when the lock is held: should the session have died since,
            // a plain write would leave a key that never expires.
            if self.client.acquire(&key, addr, &session).await? {
                return Ok(());
            }
        }
        Err("cannot set or renew session for ttl, unable to operate on sessions".to_owned())
    }
}

/// TLS to the store, if all three files it takes are named; a part of them is ignored, as by the
/// classic manager.
///
/// # Errors
/// As [`tls::Client::load`].
fn tls_of(ctx: &Ctx, options: &BTreeMap<String, String>) -> Result<Option<tls::Client>, String> {
    let file = |name: &str| options.get(name).filter(|path| !path.is_empty());
    let files = (file("kv.certfile"), file("kv.keyfile"), file("kv.cacertfile"));
    let (Some(cert), Some(key), Some(ca)) = files else {
        ctx.log(Level::Info, "Initializing discovery without TLS");
        return Ok(None);
    };
    ctx.log(Level::Info, "Initializing discovery with TLS");
    tls::Client::load(ctx, cert, key, ca).map(Some)
}

/// What a watch has seen and told.
#[derive(Default)]
struct Seen {
    index: u64,
    entries: Option<Vec<Entry>>,
    errors: Vec<String>,
}

impl Seen {
    /// Takes the index of an answer; says whether it is another one than before.
    fn advance(&mut self, index: u64) -> bool {
        let moved = index != self.index;
        // An index that goes back means a store that was restored: start over (Consul's rule).
        self.index = if index < self.index { 0 } else { index };
        moved
    }
}

impl Discovery for Consul {
    fn watch(self: Arc<Self>) -> Watch {
        Watch::spawn(&self.ctx.clone(), |batches| self.poll(batches))
    }

    fn register<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.enter(addr))
    }
}

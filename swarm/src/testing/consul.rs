//! A small Consul: keys, sessions, blocking queries.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{World, lock};
use crate::ctx::http::{self, Body};
use crate::ctx::{Addr, Net as _};

#[derive(Default)]
pub(crate) struct Store {
    /// Value, session and flags by key.
    pub(crate) keys: BTreeMap<String, (String, Option<String>, u64)>,
    /// TTLs by ID.
    pub(crate) sessions: BTreeMap<String, Value>,
    pub(crate) requests: Vec<String>,
    /// Answers everything with 500.
    pub(crate) down: bool,
    index: u64,
    made: u32,
}

/// A Consul at `consul:8500`.
#[derive(Clone)]
pub(crate) struct FakeConsul {
    store: Arc<Mutex<Store>>,
    changed: Arc<Notify>,
}

impl FakeConsul {
    pub(crate) async fn start(world: &World) -> Self {
        let consul = Self {
            store: Arc::new(Mutex::new(Store { index: 1, ..Store::default() })),
            changed: Arc::default(),
        };
        let listener = world.listen(&Addr::tcp("consul", 8500)).await.unwrap();
        let (ctx, this) = (world.ctx(), consul.clone());
        world.ctx().spawn(
            "fake-consul",
            http::serve(ctx, listener, move |request| {
                let consul = this.clone();
                async move { consul.handle(request).await }
            }),
        );
        consul
    }

    /// Changes the store; blocking queries wake up.
    pub(crate) fn change<R>(&self, f: impl FnOnce(&mut Store) -> R) -> R {
        let result = {
            let mut store = lock(&self.store);
            store.index += 1;
            f(&mut store)
        };
        self.changed.notify_waiters();
        result
    }

    pub(crate) fn put(&self, key: &str, value: &str) {
        self.change(|store| store.keys.insert(key.into(), (value.into(), None, 0)));
    }

    /// A session ends, and its keys with it.
    pub(crate) fn expire(&self, session: &str) {
        self.change(|store| {
            store.sessions.remove(session);
            store.keys.retain(|_, (_, holder, _)| holder.as_deref() != Some(session));
        });
    }

    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = http::collect(body, 1 << 20).await.unwrap_or_default();
        let body = String::from_utf8_lossy(&body).into_owned();
        let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
        let query: BTreeMap<&str, &str> =
            query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        let line = format!("{} {}", parts.method, parts.uri);
        lock(&self.store).requests.push(line);
        if lock(&self.store).down {
            return answer(500, "No cluster leader", 0);
        }
        match (parts.method.as_str(), path.strip_prefix("/v1/").unwrap_or_default()) {
            ("GET", key) => self.read(key.strip_prefix("kv/").unwrap(), &query).await,
            ("PUT", "session/create") => {
                let id = self.change(|store| {
                    store.made += 1;
                    let id = format!("session-{}", store.made);
                    store.sessions.insert(id.clone(), serde_json::from_str(&body).unwrap());
                    id
                });
                answer(200, &json!({ "ID": id }).to_string(), 0)
            }
            ("PUT", rest) => match rest.strip_prefix("session/renew/") {
                Some(id) if lock(&self.store).sessions.contains_key(id) => answer(200, "[]", 0),
                Some(_) => answer(404, "Session id not found", 0),
                None => self.write(rest.strip_prefix("kv/").unwrap(), &query, body),
            },
            _ => answer(405, "", 0),
        }
    }

    fn write(&self, key: &str, query: &BTreeMap<&str, &str>, value: String) -> Response<Body> {
        let flags = query.get("flags").map_or(0, |flags| flags.parse().unwrap());
        let done = self.change(|store| {
            let holder = store.keys.get(key).and_then(|(_, holder, _)| holder.clone());
            let session = match query.get("acquire") {
                None => holder,
                Some(session) if !store.sessions.contains_key(*session) => return None,
                Some(session) if holder.as_deref().is_some_and(|held| held != *session) => {
                    return Some(false);
                }
                Some(session) => Some((*session).to_owned()),
            };
            store.keys.insert(key.to_owned(), (value, session, flags));
            Some(true)
        });
        match done {
            Some(done) => answer(200, &done.to_string(), 0),
            None => answer(500, "invalid session", 0),
        }
    }

    async fn read(&self, key: &str, query: &BTreeMap<&str, &str>) -> Response<Body> {
        assert!(query.contains_key("consistent"), "reads go to the leader");
        let wanted: u64 = query.get("index").map_or(0, |index| index.parse().unwrap());
        let wait = query.get("wait").map_or("0", |wait| wait.trim_end_matches('s'));
        let deadline = tokio::time::sleep(Duration::from_secs(wait.parse().unwrap()));
        tokio::pin!(deadline);
        loop {
            let changed = self.changed.notified();
            if lock(&self.store).index > wanted {
                break;
            }
            tokio::select! {
                () = changed => {}
                () = &mut deadline => break,
            }
        }
        let store = lock(&self.store);
        let recurse = query.contains_key("recurse");
        let found = store.keys.iter().filter(|(name, _)| match recurse {
            true => name.starts_with(key),
            false => *name == key,
        });
        let rows: Vec<Value> = found
            .map(|(key, (value, session, flags))| {
                let mut row =
                    json!({ "Key": key, "Value": STANDARD.encode(value), "Flags": flags });
                if let Some(session) = session {
                    row["Session"] = json!(session);
                }
                row
            })
            .collect();
        match rows.is_empty() {
            true => answer(404, "", store.index),
            false => answer(200, &Value::Array(rows).to_string(), store.index),
        }
    }
}

fn answer(status: u16, body: &str, index: u64) -> Response<Body> {
    let mut answer = Response::new(http::full(body.to_owned()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer.headers_mut().insert("x-consul-index", index.into());
    answer
}

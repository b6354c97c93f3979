//! The HTTP face of the store.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use swarm::ctx::{Addr, Ctx, Listener, http};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::params::{Params, parse_duration, parse_uint};
use super::session::{Refusal, SessionRequest};
use super::state::{Condition, Entry, State};

/// The largest value of a key.
const VALUE_MAX: usize = 512 * 1024;
/// The largest body that is read at all.
const BODY_MAX: usize = 2 * 1024 * 1024;
/// How long a blocking query waits when it does not say, and at most.
const WAIT_DEFAULT: Duration = Duration::from_secs(300);
const WAIT_MAX: Duration = Duration::from_secs(600);
/// A blocking query waits up to this fraction longer, at random, to spread the clients.
const WAIT_JITTER: u32 = 16;

/// A store that may be served, stopped and served again with what it holds. Cheap to clone;
/// clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    origin: Instant,
    changed: Notify,
}

/// Serves a new store at `at` until the process ends.
///
/// # Errors
/// As [`swarm::ctx::Net::listen`].
pub async fn serve(ctx: Ctx, at: Addr) -> io::Result<()> {
    Store::new("consul").serve(ctx, at).await
}

impl Store {
    /// An empty store on a server of that name. Call it inside a runtime.
    #[must_use]
    pub fn new(node: &str) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State::new(node)),
            origin: Instant::now(),
            changed: Notify::new(),
        }))
    }

    /// What the store holds now.
    #[must_use]
    pub fn snapshot(&self) -> State {
        self.state().clone()
    }

    /// Serves the store at `at` until the process ends. A store that was served before goes on as
    /// Consul does after a restart: keys and sessions are there, every session has its full time.
    ///
    /// # Errors
    /// As [`swarm::ctx::Net::listen`].
    pub async fn serve(&self, ctx: Ctx, at: Addr) -> io::Result<()> {
        let listener = ctx.net.listen(&at).await?;
        self.serve_on(ctx, listener).await;
        Ok(())
    }

    /// As [`Store::serve`], on a bound socket.
    pub async fn serve_on(&self, ctx: Ctx, listener: Box<dyn Listener>) {
        self.state().restart(self.now());
        let expiring = self.clone();
        ctx.spawn("store-sessions", async move { expiring.expire_sessions().await });
        let (store, handler_ctx) = (self.clone(), ctx.clone());
        http::serve(ctx, listener, move |request| {
            let (store, ctx) = (store.clone(), handler_ctx.clone());
            async move { store.answer(&ctx, request).await.into_response() }
        })
        .await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no holder of the store's lock panics")
    }

    fn now(&self) -> Duration {
        self.0.origin.elapsed()
    }

    /// Changes the state and wakes the blocking queries.
    fn change<T>(&self, change: impl FnOnce(&mut State, Duration) -> T) -> T {
        let result = change(&mut self.state(), self.now());
        self.0.changed.notify_waiters();
        result
    }

    async fn expire_sessions(&self) {
        loop {
            let changed = self.0.changed.notified();
            let next = self.state().next_expiry();
            match next {
                Some(at) if at <= self.now() => {
                    self.change(|state, now| state.expire(now));
                }
                Some(at) => {
                    let _ = tokio::time::timeout(at - self.now(), changed).await;
                }
                None => changed.await,
            }
        }
    }

    async fn answer(&self, ctx: &Ctx, request: Request<Incoming>) -> Reply {
        let method = request.method().clone();
        let path = percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
        let params = Params::parse(request.uri().query().unwrap_or_default());
        let length = request.body().size_hint().lower();
        let answer = if let Some(key) = path.strip_prefix("/v1/kv/") {
            match method {
                Method::GET => self.read_keys(ctx, key, &params).await,
                Method::PUT if length > VALUE_MAX as u64 => Err(too_large(length)),
                Method::PUT => match http::collect(request.into_body(), BODY_MAX).await {
                    Ok(value) => self.write_key(key, &params, value),
                    Err(e) => Err(Reply::text(StatusCode::INTERNAL_SERVER_ERROR, e.to_string())),
                },
                Method::DELETE => self.delete_keys(key, &params),
                other => Err(not_allowed(&other, "GET,PUT,DELETE")),
            }
        } else if let Some(rest) = path.strip_prefix("/v1/session/") {
            match http::collect(request.into_body(), BODY_MAX).await {
                Ok(body) => self.sessions(ctx, &method, rest, &params, &body).await,
                Err(e) => Err(Reply::text(StatusCode::INTERNAL_SERVER_ERROR, e.to_string())),
            }
        } else {
            self.about(&path)
        };
        let mut reply = answer.unwrap_or_else(|failed| failed);
        if params.has("pretty") {
            reply.indent();
        }
        reply
    }

    /// Runs `query` until its index has moved beyond the client's, or its time is up.
    async fn block(
        &self,
        ctx: &Ctx,
        params: &Params,
        query: impl Fn(&State) -> (u64, Reply),
    ) -> Result<Reply, Reply> {
        let bad = |text: &str| Reply::text(StatusCode::BAD_REQUEST, text);
        let wait = match params.get("wait") {
            None | Some("") => Duration::ZERO,
            Some(text) => parse_duration(text).map_err(|_| bad("Invalid wait time"))?,
        };
        let known = match params.get("index") {
            None | Some("") => 0,
            Some(text) => parse_uint(text).map_err(|_| bad("Invalid index"))?,
        };
        if params.has("stale") && params.has("consistent") {
            let text = "Cannot specify ?stale with ?consistent, conflicting semantics.";
            return Err(bad(text));
        }
        let wait = if wait.is_zero() { WAIT_DEFAULT } else { wait.min(WAIT_MAX) };
        let jitter_us = u64::try_from((wait / WAIT_JITTER).as_micros()).unwrap_or(u64::MAX);
        let jitter = if known == 0 { 0 } else { ctx.random_below("store-wait", jitter_us) };
        let until = Instant::now() + wait + Duration::from_micros(jitter);
        loop {
            // Made before the query, so that a change right after it is not missed.
            let changed = self.0.changed.notified();
            let (index, reply) = query(&self.state());
            // An index of 0 would mean to a client that it need not wait.
            let index = index.max(1);
            let moved = known == 0 || index > known;
            if moved || tokio::time::timeout_at(until, changed).await.is_err() {
                return Ok(reply.with_index(index));
            }
        }
    }

    async fn read_keys(&self, ctx: &Ctx, key: &str, params: &Params) -> Result<Reply, Reply> {
        if params.has("keys") {
            // The second spelling is Consul's own, kept for old clients.
            let separator = params.get("separator").or_else(|| params.get("seperator"));
            let separator = separator.unwrap_or_default();
            return self
                .block(ctx, params, |state| {
                    let (index, names) = state.names(key, separator);
                    let missing = names.is_empty() && !key.is_empty();
                    (index, if missing { Reply::not_found() } else { Reply::json(json!(names)) })
                })
                .await;
        }
        if params.has("recurse") {
            return self
                .block(ctx, params, |state| {
                    let (index, found) = state.list(key);
                    let list = found.iter().map(|(key, entry)| entry_json(key, entry));
                    let reply = match found.is_empty() {
                        true => Reply::not_found(),
                        false => Reply::json(list.collect()),
                    };
                    (index, reply)
                })
                .await;
        }
        check_key(key)?;
        let raw = params.has("raw");
        self.block(ctx, params, |state| {
            let (index, entry) = state.get(key);
            let reply = match entry {
                None => Reply::not_found(),
                Some(entry) if raw => Reply::raw(entry.value.clone()),
                Some(entry) => Reply::json(json!([entry_json(key, entry)])),
            };
            (index, reply)
        })
        .await
    }

    fn write_key(&self, key: &str, params: &Params, value: Bytes) -> Result<Reply, Reply> {
        check_key(key)?;
        check_conflicts(params, &["cas", "acquire", "release"])?;
        if value.len() > VALUE_MAX {
            return Err(too_large(value.len() as u64));
        }
        let flags = params.get("flags").map_or(Ok(0), parse_uint).map_err(Reply::failed)?;
        let condition = if let Some(text) = params.get("cas") {
            Condition::Index(parse_uint(text).map_err(Reply::failed)?)
        } else if let Some(session) = params.get("acquire") {
            Condition::Acquire(session.to_owned())
        } else if let Some(session) = params.get("release") {
            Condition::Release(session.to_owned())
        } else {
            Condition::Always
        };
        let done = self.change(|state, now| state.put(now, key, value.to_vec(), flags, &condition));
        done.map(|done| Reply::json(json!(done))).map_err(Reply::failed)
    }

    fn delete_keys(&self, key: &str, params: &Params) -> Result<Reply, Reply> {
        check_conflicts(params, &["recurse", "cas"])?;
        if params.has("recurse") {
            self.change(|state, _| state.delete_tree(key));
            return Ok(Reply::json(json!(true)));
        }
        check_key(key)?;
        let wanted = params.get("cas").map(parse_uint).transpose().map_err(Reply::failed)?;
        let gone = self.change(|state, _| state.delete(key, wanted));
        Ok(Reply::json(json!(gone)))
    }

    async fn sessions(
        &self,
        ctx: &Ctx,
        method: &Method,
        path: &str,
        params: &Params,
        body: &[u8],
    ) -> Result<Reply, Reply> {
        let (verb, id) = path.split_once('/').unwrap_or((path, ""));
        let wanted = if matches!(verb, "create" | "destroy" | "renew") { "PUT" } else { "GET" };
        if !matches!(verb, "create" | "destroy" | "renew" | "info" | "list" | "node") {
            return Err(unknown_path());
        }
        if method.as_str() != wanted {
            return Err(not_allowed(method, wanted));
        }
        if id.is_empty() && !matches!(verb, "create" | "list") {
            let what = if verb == "node" { "Missing node name" } else { "Missing session" };
            return Err(Reply::text(StatusCode::BAD_REQUEST, what));
        }
        match verb {
            "create" => self.create_session(ctx, body),
            "destroy" => {
                self.change(|state, now| state.destroy_session(now, id));
                Ok(Reply::json(json!(true)))
            }
            "renew" => self.change(|state, now| match state.renew_session(now, id) {
                Some(session) => Ok(Reply::json(json!([session.json()]))),
                None => {
                    let text = format!("Session id '{id}' not found");
                    Err(Reply::text(StatusCode::NOT_FOUND, text))
                }
            }),
            "info" => {
                self.block(ctx, params, |state| {
                    let (index, session) = state.session(id);
                    let list = session.iter().map(|session| session.json());
                    (index, Reply::json(list.collect()))
                })
                .await
            }
            _ => {
                self.block(ctx, params, |state| {
                    let (index, sessions) = state.sessions();
                    let here = sessions.iter().filter(|s| verb == "list" || s.request.node == id);
                    (index, Reply::json(here.map(|session| session.json()).collect()))
                })
                .await
            }
        }
    }

    fn create_session(&self, ctx: &Ctx, body: &[u8]) -> Result<Reply, Reply> {
        let request = SessionRequest::decode(body).map_err(|refusal| match refusal {
            Refusal::Undecodable(text) => Reply::text(StatusCode::BAD_REQUEST, text),
            Refusal::Invalid(text) => Reply::failed(text),
        })?;
        let hex = ctx.random_id("store-session");
        let id = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-");
        self.change(|state, now| state.create_session(now, &id, request));
        Ok(Reply::json(json!({"ID": id})))
    }

    /// The few facts about the server that clients look at.
    fn about(&self, path: &str) -> Result<Reply, Reply> {
        let node = self.state().node().to_owned();
        Ok(Reply::json(match path {
            "/v1/status/leader" => json!("127.0.0.1:8300"),
            "/v1/status/peers" => json!(["127.0.0.1:8300"]),
            "/v1/agent/self" => json!({
                "Config": {
                    "Datacenter": "dc1",
                    "NodeName": node,
                    "NodeID": "00000000-0000-0000-0000-000000000001",
                    "Revision": "",
                    "Server": true,
                    "Version": "1.8.7",
                },
                "Member": {
                    "Name": node,
                    "Addr": "127.0.0.1",
                    "Port": 8301,
                    "Tags": {"dc": "dc1", "role": "consul"},
                    "Status": 1,
                },
            }),
            _ => return Err(unknown_path()),
        }))
    }
}

/// A key as Consul prints it.
fn entry_json(key: &str, entry: &Entry) -> Value {
    let value = match entry.value.is_empty() {
        true => Value::Null,
        false => BASE64_STANDARD.encode(&entry.value).into(),
    };
    let mut object = json!({
        "LockIndex": entry.lock_index, "Key": key, "Flags": entry.flags, "Value": value,
    });
    if !entry.session.is_empty() {
        object["Session"] = entry.session.clone().into();
    }
    object["CreateIndex"] = entry.create_index.into();
    object["ModifyIndex"] = entry.modify_index.into();
    object
}

fn check_key(key: &str) -> Result<(), Reply> {
    match key.is_empty() {
        true => Err(Reply::text(StatusCode::BAD_REQUEST, "Missing key name")),
        false => Ok(()),
    }
}

fn check_conflicts(params: &Params, flags: &[&str]) -> Result<(), Reply> {
    if flags.iter().filter(|flag| params.has(flag)).count() < 2 {
        return Ok(());
    }
    let text = format!("Conflicting flags: {}\n", params.encode());
    Err(Reply::text(StatusCode::BAD_REQUEST, text))
}

fn too_large(length: u64) -> Reply {
    let text = format!(
        "Request body({length} bytes) too large, max size: {VALUE_MAX} bytes. See \
         https://www.consul.io/docs/agent/options.html#kv_max_value_size."
    );
    Reply::text(StatusCode::PAYLOAD_TOO_LARGE, text)
}

fn not_allowed(method: &Method, allowed: &'static str) -> Reply {
    let text = format!("method {method} not allowed");
    let mut reply = Reply::text(StatusCode::METHOD_NOT_ALLOWED, text);
    reply.allow = Some(allowed);
    reply
}

fn unknown_path() -> Reply {
    let text = "Invalid URL path: not a recognized HTTP API endpoint";
    Reply::text(StatusCode::NOT_FOUND, text)
}

/// A response before it has headers.
struct Reply {
    status: StatusCode,
    content: Content,
    /// The index of a query.
    index: Option<u64>,
    /// The methods a path has.
    allow: Option<&'static str>,
}

enum Content {
    Json(Value, bool),
    Bytes(Vec<u8>),
}

impl Reply {
    fn json(value: Value) -> Self {
        let content = Content::Json(value, false);
        Self { status: StatusCode::OK, content, index: None, allow: None }
    }

    fn text(status: StatusCode, text: impl Into<String>) -> Self {
        let content = Content::Bytes(text.into().into_bytes());
        Self { status, content, index: None, allow: None }
    }

    fn raw(bytes: Vec<u8>) -> Self {
        Self { content: Content::Bytes(bytes), ..Self::text(StatusCode::OK, "") }
    }

    fn not_found() -> Self {
        Self::text(StatusCode::NOT_FOUND, "")
    }

    /// Consul's answer to everything it considers its own failure.
    fn failed(text: String) -> Self {
        Self::text(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    fn with_index(mut self, index: u64) -> Self {
        self.index = Some(index);
        self
    }

    fn indent(&mut self) {
        if let Content::Json(_, indented) = &mut self.content {
            *indented = true;
        }
    }

    fn into_response(self) -> Response<http::Body> {
        let (kind, bytes) = match self.content {
            Content::Json(value, true) => ("application/json", format!("{value:#}\n").into_bytes()),
            Content::Json(value, false) => (
                "application/json",
                serde_json::to_vec(&value).expect("a JSON value is serialisable"),
            ),
            Content::Bytes(bytes) => ("text/plain", bytes),
        };
        let mut response = Response::new(http::full(bytes));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(index) = self.index {
            headers.insert("x-consul-index", HeaderValue::from(index));
            headers.insert("x-consul-knownleader", HeaderValue::from_static("true"));
            headers.insert("x-consul-lastcontact", HeaderValue::from_static("0"));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

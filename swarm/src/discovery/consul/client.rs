//! The part of Consul's HTTP API that discovery needs: keys, sessions, blocking queries.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::ctx::http;
use crate::ctx::{Addr, Ctx};
use crate::tls;

/// Marks keys as those of Consul's lock protocol: the number that Consul's own clients set.
pub(super) const LOCK_FLAGS: u64 = 3_304_740_253_564_472_344;

/// How long a blocking query waits for a change.
pub(super) const WAIT: Duration = Duration::from_secs(15);

/// For a connection, and for the answer of anything but a blocking query.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer: some 100,000 addresses.
const ANSWER_MAX_BYTES: usize = 64 << 20;

/// Everything but what a path segment may hold unescaped.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'[')
    .remove(b']');

/// A key and what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) value: Vec<u8>,
    /// The session that holds its lock.
    pub(super) session: Option<String>,
}

/// All keys below a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) pairs: Vec<Pair>,
    /// Grows with every change below the prefix; what the next blocking query waits to see
    /// exceeded.
    pub(super) index: u64,
}

/// A client of one Consul endpoint.
pub(super) struct Client {
    to: Addr,
    scheme: &'static str,
    http: http::Client,
}

impl Client {
    pub(super) fn new(ctx: &Ctx, to: Addr, tls: Option<tls::Client>) -> Self {
        let connector = http::connector(ctx, to.clone(), TIMEOUT).secured(tls);
        Self { to, scheme: connector.scheme(), http: http::client(connector) }
    }

    /// The pair at `key`, as the leader knows it.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Pair>, String> {
        let path = format!("/v1/kv/{}?consistent=", escaped(key));
        let (parts, body) = self.exchange(Method::GET, &path, Bytes::new(), TIMEOUT).await?;
        Ok(pairs(parts.status, &body)?.into_iter().next())
    }

    /// The pairs below `directory/`, as the leader knows them. With an index other than 0 the
    /// answer waits until there is something newer, but not much longer than [`WAIT`].
    pub(super) async fn list(&self, directory: &str, index: u64) -> Result<Listing, String> {
        let mut path = format!("/v1/kv/{}/?recurse=&consistent=", escaped(directory));
        let mut limit = TIMEOUT;
        if index > 0 {
            path += &format!("&index={index}&wait={}s", WAIT.as_secs());
            // Consul adds up to a sixteenth to the wait, so that clients spread.
            limit += WAIT + WAIT / 16;
        }
        let (parts, body) = self.exchange(Method::GET, &path, Bytes::new(), limit).await?;
        let index = parts.headers.get("x-consul-index").and_then(|value| value.to_str().ok());
        let index = index.and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Listing { pairs: pairs(parts.status, &body)?, index })
    }

    /// Writes `key` without a session.
    pub(super) async fn put(&self, key: &str, value: &str) -> Result<(), String> {
        let path = format!("/v1/kv/{}?flags={LOCK_FLAGS}", escaped(key));
        let (parts, body) = self.put_text(&path, value).await?;
        success(parts.status, &body).map(drop)
    }

    /// Writes `key` as its lock holder. `false` when another session holds the lock, or when the
    /// server makes everybody wait after a lost one.
    pub(super) async fn acquire(
        &self,
        key: &str,
        value: &str,
        session: &str,
    ) -> Result<bool, String> {
        let path = format!("/v1/kv/{}?acquire={session}&flags={LOCK_FLAGS}", escaped(key));
        let (parts, body) = self.put_text(&path, value).await?;
        Ok(success(parts.status, &body)?.trim_ascii() == b"true")
    }

    /// A new session whose keys vanish with it. The server lets it live up to twice `ttl`.
    pub(super) async fn create_session(&self, ttl: Duration) -> Result<String, String> {
        let ttl = format!("{}s", ttl.as_secs_f64());
        let body = json!({ "LockDelay": "1ms", "TTL": ttl, "Behavior": "delete" }).to_string();
        let (parts, body) = self.put_text("/v1/session/create", &body).await?;
        let answer: Value = serde_json::from_slice(success(parts.status, &body)?)
            .map_err(|error| format!("session: {error}"))?;
        let id = answer.get("ID").and_then(Value::as_str);
        id.map(str::to_owned).ok_or_else(|| "session: no ID in the answer".to_owned())
    }

    /// Prolongs a session. `false` when it is gone.
    pub(super) async fn renew_session(&self, session: &str) -> Result<bool, String> {
        let (parts, body) = self.put_text(&format!("/v1/session/renew/{session}"), "").await?;
        match parts.status {
            StatusCode::NOT_FOUND => Ok(false),
            status => success(status, &body).map(|_| true),
        }
    }

    async fn put_text(
        &self,
        path: &str,
        body: &str,
    ) -> Result<(hyper::http::response::Parts, Bytes), String> {
        self.exchange(Method::PUT, path, Bytes::copy_from_slice(body.as_bytes()), TIMEOUT).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<(hyper::http::response::Parts, Bytes), String> {
        let url = format!("{}://{}{path}", self.scheme, self.to);
        let verb = if method == Method::GET { "Get" } else { "Put" };
        let failed = |why: &str| format!("{verb} \"{url}\": {why}");
        let request = Request::builder()
            .method(method)
            .uri(&url)
            .header(header::USER_AGENT, HeaderValue::from_static("swarm"))
            .body(http::full(body))
            .map_err(|error| failed(&error.to_string()))?;
        let work = async {
            let answer: Response<_> =
                self.http.request(request).await.map_err(|error| self.reason(&error))?;
            let (parts, body) = answer.into_parts();
            let body = http::collect(body, ANSWER_MAX_BYTES).await;
            Ok((parts, body.map_err(|error| error.to_string())?))
        };
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result.map_err(|why: String| failed(&why)),
            Err(_) => Err(failed("request timed out")),
        }
    }

    /// Why there was no answer, in the words of Go's dialer where it was the dial that failed.
    fn reason(&self, error: &hyper_util::client::legacy::Error) -> String {
        let mut last: &dyn std::error::Error = error;
        while let Some(source) = last.source() {
            last = source;
        }
        match last.downcast_ref::<std::io::Error>() {
            Some(io) if error.is_connect() && tls::refusal(io).is_none() => {
                let why = match io.kind() {
                    std::io::ErrorKind::ConnectionRefused => "connect: connection refused",
                    std::io::ErrorKind::TimedOut => "i/o timeout",
                    std::io::ErrorKind::HostUnreachable => "connect: no route to host",
                    _ => &io.to_string(),
                };
                format!("dial tcp {}: {why}", self.to)
            }
            _ => last.to_string(),
        }
    }
}

/// A key as a path: each of its segments escaped.
fn escaped(key: &str) -> String {
    let segments = key.split('/').map(|part| utf8_percent_encode(part, SEGMENT).to_string());
    segments.collect::<Vec<_>>().join("/")
}

/// The body of a successful answer.
fn success(status: StatusCode, body: &[u8]) -> Result<&[u8], String> {
    if status.is_success() {
        return Ok(body);
    }
    let text = String::from_utf8_lossy(body);
    Err(format!("Unexpected response code: {} ({})", status.as_u16(), text.trim()))
}

/// The pairs in the answer to a read; 404 is how Consul says that there are none.
fn pairs(status: StatusCode, body: &[u8]) -> Result<Vec<Pair>, String> {
    if status == StatusCode::NOT_FOUND {
        return Ok(Vec::new());
    }
    let rows: Vec<Value> = serde_json::from_slice(success(status, body)?)
        .map_err(|error| format!("unreadable answer: {error}"))?;
    Ok(rows.iter().map(pair).collect())
}

fn pair(row: &Value) -> Pair {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    let session = Some(text("Session").to_owned()).filter(|id| !id.is_empty());
    // A value that is not base64 is no address either; the caller complains about it as such.
    let value = STANDARD.decode(text("Value")).unwrap_or_default();
    Pair { key: text("Key").to_owned(), value, session }
}

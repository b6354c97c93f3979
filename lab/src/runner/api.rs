//! A small client of the Docker API: what the runner needs, over any world's sockets.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use swarm::ctx::{Addr, Ctx, http};
use swarm::tls;

/// Longest wait for any one reply. Beyond it something hangs, which is worth a failure of its own.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest reply that is read.
const REPLY_LIMIT: usize = 64 << 20;
/// What stays as it is in a path segment or a query value.
const SAFE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');

/// Text as a path segment or query value.
#[must_use]
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, SAFE).to_string()
}

/// A reply, whole.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON; `null` when it is not.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// What went wrong, in the peer's words: the `message` of a JSON body, else the body.
    #[must_use]
    pub fn message(&self) -> String {
        match self.json()["message"].as_str() {
            Some(message) => message.trim().to_owned(),
            None => String::from_utf8_lossy(&self.body).trim().to_owned(),
        }
    }

    /// The reply if its status is a success, else the peer's words.
    ///
    /// # Errors
    /// As [`Reply::message`], or the status alone when the body is empty.
    pub fn ok(self) -> Result<Self, String> {
        if self.status.is_success() || self.status == StatusCode::NOT_MODIFIED {
            return Ok(self);
        }
        let message = self.message();
        Err(if message.is_empty() { format!("status {}", self.status) } else { message })
    }
}

/// A client of one endpoint: an engine, a manager, a store, a published port.
#[derive(Clone)]
pub struct Api {
    client: http::Client,
    scheme: &'static str,
    /// Where it connects to.
    pub addr: Addr,
}

impl Api {
    /// A client of `addr`, over TLS if any is given.
    #[must_use]
    pub fn new(ctx: &Ctx, addr: Addr, tls: Option<tls::Client>) -> Self {
        let connector = http::connector(ctx, addr.clone(), Duration::from_secs(10)).secured(tls);
        Self { scheme: connector.scheme(), client: http::client(connector), addr }
    }

    /// Sends a request and reads the whole reply.
    ///
    /// # Errors
    /// What kept the reply from coming, with the address.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, String> {
        let fail = |why: String| format!("{method} {}://{}{path}: {why}", self.scheme, self.addr);
        let mut request = Request::builder()
            .method(method.clone())
            .uri(format!("{}://{}{path}", self.scheme, self.addr))
            .header("host", self.addr.to_string())
            .header("user-agent", concat!("swarmlab/", env!("CARGO_PKG_VERSION")));
        let bytes = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                http::full(body.to_string())
            }
            None => http::empty(),
        };
        let request = request.body(bytes).map_err(|e| fail(e.to_string()))?;
        let exchange = async {
            let reply = self.client.request(request).await.map_err(|e| root_cause(&e))?;
            let status = reply.status();
            let body =
                http::collect(reply.into_body(), REPLY_LIMIT).await.map_err(|e| e.to_string())?;
            Ok(Reply { status, body })
        };
        match tokio::time::timeout(REPLY_TIMEOUT, exchange).await {
            Ok(result) => result.map_err(fail),
            Err(_) => Err(fail(format!("no reply within {} s", REPLY_TIMEOUT.as_secs()))),
        }
    }

    /// `GET`, with any status but a success as an error.
    ///
    /// # Errors
    /// As [`Api::send`] and [`Reply::ok`].
    pub async fn get(&self, path: &str) -> Result<Value, String> {
        Ok(self.send(Method::GET, path, None).await?.ok()?.json())
    }

    /// `GET` of the part of a JSON document that `T` has.
    ///
    /// # Errors
    /// As [`Api::get`], or that the document is of another kind.
    pub async fn get_as<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let reply = self.send(Method::GET, path, None).await?.ok()?;
        serde_json::from_slice(&reply.body).map_err(|e| {
            format!("GET {}://{}{path}: unexpected reply: {e}", self.scheme, self.addr)
        })
    }
}

/// The innermost reason of an error: `connection refused` rather than `client error (Connect)`.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

//! One remote engine: how to call it, in which version, and what its failures mean.
//!
//! An [`Engine`] knows nothing of clusters. It owns one pooled client, so a slow engine slows only
//! itself, and tells an [`Observer`] how every call went; the manager keeps the score.

mod error;
mod stream;
mod version;

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use serde_json::Value;

use crate::ctx::http::{self, Body};
use crate::ctx::{Addr, AddrError, BoxStream, Ctx};
use crate::tls;

pub use error::EngineError;
pub(crate) use error::Failure;
pub use stream::JsonStream;
pub use version::{ApiVersion, NotAVersion};

/// The largest answer that is read whole: a list of 100,000 containers with room to spare.
const ANSWER_MAX_BYTES: usize = 512 << 20;

/// How long to wait for an engine.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For `/info`, `/version`, `/_ping` and the head of the event stream.
    pub probe: Duration,
    /// For the whole of any other call that reads.
    pub request: Duration,
    /// For the whole of a call that changes something: create, start, remove.
    pub action: Duration,
    /// For the next piece of a pull's progress.
    pub pull_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            probe: Duration::from_secs(10),
            request: Duration::from_secs(30),
            action: Duration::from_secs(120),
            pull_idle: Duration::from_secs(300),
        }
    }
}

/// Hears how calls went.
pub trait Observer: Send + Sync {
    /// A call to `engine` succeeded, or failed with `EngineError`. Called for every call, also for
    /// proxied ones, but not once the engine is retired.
    fn observe(&self, engine: &Engine, result: Result<(), &EngineError>);
}

/// One engine.
pub struct Engine {
    /// Its address in discovery, `host:port`.
    pub addr: String,
    to: Addr,
    timeouts: Timeouts,
    ctx: Ctx,
    connector: http::Connector,
    client: http::Client,
    version: AtomicU32,
    gone: AtomicBool,
    observer: Weak<dyn Observer>,
}

/// A request to an engine, before it has a connection.
struct Call<'a> {
    method: Method,
    /// With a leading slash and without a version.
    path: &'a str,
    versioned: bool,
    headers: HeaderMap,
    body: Option<Bytes>,
    /// For the whole exchange.
    limit: Duration,
}

impl Engine {
    /// An engine at `addr` (`host:port`). Nothing is sent yet.
    ///
    /// # Errors
    /// When `addr` is not an address.
    pub fn new(
        ctx: &Ctx,
        addr: &str,
        timeouts: Timeouts,
        observer: Weak<dyn Observer>,
    ) -> Result<Self, AddrError> {
        let to: Addr = addr.parse()?;
        let connector = http::connector(ctx, to.clone(), timeouts.connect);
        Ok(Self {
            addr: addr.to_owned(),
            to,
            timeouts,
            ctx: ctx.clone(),
            client: http::client(connector.clone()),
            connector,
            version: AtomicU32::new(ApiVersion::MIN.pack()),
            gone: AtomicBool::new(false),
            observer,
        })
    }

    /// The same with TLS above every connection, if any is given.
    #[must_use]
    pub fn secured(self, tls: Option<tls::Client>) -> Self {
        let connector = self.connector.secured(tls);
        Self { client: http::client(connector.clone()), connector, ..self }
    }

    /// The host part of its address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.to.host()
    }

    /// The version spoken to it: the oldest until one has been negotiated.
    #[must_use]
    pub fn version(&self) -> ApiVersion {
        ApiVersion::unpack(self.version.load(Ordering::Relaxed))
    }

    /// Sets the version to speak from now on.
    pub(crate) fn speak(&self, version: ApiVersion) {
        self.version.store(version.pack(), Ordering::Relaxed);
    }

    /// Makes every later call fail and ends the reports to the observer: the engine has left.
    pub(crate) fn retire(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Calls `path` (without a version, with a query if any), sending `body` as JSON.
    ///
    /// The deadline is that of a read for `GET` and `HEAD`, of an action for everything else.
    ///
    /// # Errors
    /// [`EngineError::Connect`] or [`EngineError::Other`]; an answer of any status is a success.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), EngineError> {
        self.attempt(method, path, body).await.map_err(|failure| failure.error)
    }

    /// As [`Self::call`], but keeps whether a failed call may have had its effect.
    pub(crate) async fn attempt(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let limit = match method.is_safe() {
            true => self.timeouts.request,
            false => self.timeouts.action,
        };
        let mut headers = HeaderMap::new();
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        } else if method == Method::POST {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        let body = body.map(|json| Bytes::from(json.to_string()));
        self.fetch(&Call { method, path, versioned: true, headers, body, limit }).await
    }

    /// As [`Self::call`] for answers in JSON. An empty answer is `null`.
    ///
    /// # Errors
    /// Also [`EngineError::Api`] for a status other than 2xx.
    pub async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, EngineError> {
        decode(self.call(method, path, body).await?)
    }

    /// `GET path` without a version, within the time of a probe.
    pub(crate) async fn probe(&self, path: &str) -> Result<Value, EngineError> {
        let call = self.probe_call(Method::GET, path);
        decode(self.fetch(&call).await.map_err(|failure| failure.error)?)
    }

    /// The `Api-Version` of its ping, if it sends one.
    pub(crate) async fn ping(&self) -> Result<Option<ApiVersion>, EngineError> {
        let mut response = None;
        for method in [Method::HEAD, Method::GET] {
            let call = self.probe_call(method, "/_ping");
            let answer = self.within(call.limit, self.send(&call)).await;
            let answer = self.observed(answer).map_err(|failure| failure.error)?;
            // 500 is an engine's way to say that it is up but not well.
            let done = matches!(answer.status().as_u16(), 200 | 500);
            response = Some(answer);
            if done {
                break;
            }
        }
        let header = response.as_ref().and_then(|answer| answer.headers().get("api-version"));
        Ok(header.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok()))
    }

    /// Opens the event stream, from `since` (seconds, with a fraction) on if given.
    ///
    /// # Errors
    /// As [`Self::json`]. How it went is not observed: an event stream says nothing about calls.
    pub(crate) async fn events(&self, since: Option<&str>) -> Result<JsonStream, EngineError> {
        let path = match since {
            Some(since) => format!("/events?since={since}"),
            None => "/events".to_owned(),
        };
        let call = Call { versioned: true, ..self.probe_call(Method::GET, &path) };
        let answer = self.within(call.limit, self.send(&call)).await;
        let answer = self.successful(answer, call.limit).await?;
        Ok(JsonStream::new(answer.into_body()))
    }

    /// Pulls an image and waits for the end. `path` is that of `/images/create` with its query.
    ///
    /// # Errors
    /// As [`Self::json`]; an error inside the progress stream is [`EngineError::Other`] with the
    /// engine's message alone.
    pub(crate) async fn pull(&self, path: &str, auth: &str) -> Result<(), EngineError> {
        let mut headers = HeaderMap::new();
        let auth = HeaderValue::from_str(auth).unwrap_or(HeaderValue::from_static("e30="));
        headers.insert(HeaderName::from_static("x-registry-auth"), auth);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let limit = self.timeouts.pull_idle;
        let call = Call { method: Method::POST, path, versioned: true, headers, body: None, limit };
        let answer = self.within(limit, self.send(&call)).await;
        let answer = self.observed(answer);
        let mut progress = JsonStream::new(self.successful(answer, limit).await?.into_body());
        loop {
            let piece = tokio::time::timeout(limit, progress.next()).await;
            let piece = piece.map_err(|_| EngineError::unreachable(&self.addr))?;
            match piece.map_err(EngineError::Other)? {
                None => return Ok(()),
                Some(piece) => {
                    let nested = piece.pointer("/errorDetail/message").and_then(Value::as_str);
                    let flat = piece.get("error").and_then(Value::as_str);
                    if let Some(message) = nested.or(flat) {
                        return Err(EngineError::Other(message.to_owned()));
                    }
                }
            }
        }
    }

    /// Passes a request on. Its URI holds the path and query without a version; bodies stream in
    /// both directions, and only connecting has a deadline.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn forward(&self, request: Request<Body>) -> Result<Response<Incoming>, EngineError> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = self.url(path, true);
        let method = parts.method.clone();
        let result = match url.parse() {
            Err(_) => Err(bad_url(&url)),
            Ok(uri) => {
                parts.uri = uri;
                strip_hop_by_hop(&mut parts.headers);
                self.exchange(&method, &url, Request::from_parts(parts, body)).await
            }
        };
        self.observed(result).map_err(|failure| failure.error)
    }

    /// As [`Self::forward`], on a connection of its own, which the answer may take over: with the
    /// status 101, `hyper::upgrade::on` gives it. `Connection` and `Upgrade` are passed on.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn take_over(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, EngineError> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = self.url(path, true);
        let path = format!("/v{}{path}", self.version());
        let result = async {
            parts.uri = path.parse().map_err(|_| bad_url(&url))?;
            let kept = [header::CONNECTION, header::UPGRADE]
                .map(|name| parts.headers.get(&name).cloned().map(|value| (name, value)));
            strip_hop_by_hop(&mut parts.headers);
            parts.headers.extend(kept.into_iter().flatten());
            let host = HeaderValue::from_str(&self.addr).map_err(|_| bad_url(&url))?;
            parts.headers.insert(header::HOST, host);
            let method = parts.method.clone();
            let stream = self.open().await?;
            let answer = http::send_alone(&self.ctx, stream, Request::from_parts(parts, body));
            answer.await.map_err(|error| Failure::broken(&method, &url, &error::root_cause(&error)))
        };
        let result = result.await;
        self.observed(result).map_err(|failure| failure.error)
    }

    /// Opens a connection outside the pool.
    async fn open(&self) -> Result<BoxStream, Failure> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(gone());
        }
        self.connector.open().await.map_err(|error| {
            Failure::certain(match tls::refusal(&error) {
                Some(why) => EngineError::Connect(format!("error during connect: {why}")),
                None if error::counts(&error) => EngineError::unreachable(&self.addr),
                None => EngineError::Other(error.to_string()),
            })
        })
    }

    fn probe_call<'a>(&self, method: Method, path: &'a str) -> Call<'a> {
        let limit = self.timeouts.probe;
        Call { method, path, versioned: false, headers: HeaderMap::new(), body: None, limit }
    }

    fn url(&self, path: &str, versioned: bool) -> String {
        let scheme = self.connector.scheme();
        match versioned {
            true => format!("{scheme}://{}/v{}{path}", self.addr, self.version()),
            false => format!("{scheme}://{}{path}", self.addr),
        }
    }

    /// Makes a call and reads its answer, within the call's limit, and reports how it went.
    async fn fetch(&self, call: &Call<'_>) -> Result<(StatusCode, Bytes), Failure> {
        let result = self.within(call.limit, self.exchange_whole(call)).await;
        self.observed(result)
    }

    async fn exchange_whole(&self, call: &Call<'_>) -> Result<(StatusCode, Bytes), Failure> {
        let mut retried = false;
        loop {
            let result = async {
                let answer = self.send(call).await?;
                let status = answer.status();
                let body = http::collect(answer.into_body(), ANSWER_MAX_BYTES).await;
                let body = body.map_err(|error| {
                    let cause = error::body_cause(&*error);
                    Failure::broken(&call.method, &self.url(call.path, call.versioned), &cause)
                })?;
                Ok::<_, Failure>((status, body))
            };
            match result.await {
                // A pooled connection may have died unnoticed. A read does no harm twice.
                Err(failure) if failure.unknown && call.method.is_safe() && !retried => {
                    retried = true;
                }
                result => return result,
            }
        }
    }

    async fn send(&self, call: &Call<'_>) -> Result<Response<Incoming>, Failure> {
        let url = self.url(call.path, call.versioned);
        let uri: Uri = url.parse().map_err(|_| bad_url(&url))?;
        let body = call.body.clone().map_or_else(http::empty, http::full);
        let mut request = Request::new(body);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = call.headers.clone();
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("swarm"));
        self.exchange(&call.method, &url, request).await
    }

    async fn exchange(
        &self,
        method: &Method,
        url: &str,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Failure> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(gone());
        }
        let result = self.client.request(request).await;
        result.map_err(|error| Failure::client(&self.addr, method, url, &error))
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => Err(Failure::timeout(&self.addr)),
        }
    }

    /// The answer if its status is 2xx, else the error that its body tells.
    async fn successful(
        &self,
        answer: Result<Response<Incoming>, Failure>,
        limit: Duration,
    ) -> Result<Response<Incoming>, EngineError> {
        let answer = answer.map_err(|failure| failure.error)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = tokio::time::timeout(limit, http::collect(answer.into_body(), 1 << 20)).await;
        // Without a body the status alone has to do.
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        Err(EngineError::api(status, &body))
    }

    fn observed<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        self.report(result.as_ref().map(|_| ()).map_err(|failure| &failure.error));
        result
    }

    fn report(&self, result: Result<(), &EngineError>) {
        if self.gone.load(Ordering::Relaxed) {
            return;
        }
        if let Some(observer) = self.observer.upgrade() {
            observer.observe(self, result);
        }
    }
}

fn gone() -> Failure {
    Failure::certain(EngineError::Other("Engine no longer exists".to_owned()))
}

fn bad_url(url: &str) -> Failure {
    Failure::certain(EngineError::Other(format!("parse \"{url}\": invalid URL")))
}

fn decode((status, body): (StatusCode, Bytes)) -> Result<Value, EngineError> {
    if !status.is_success() {
        return Err(EngineError::api(status, &body));
    }
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&body).map_err(|error| {
        EngineError::Other(format!("invalid JSON in the engine's answer: {error}"))
    })
}

/// Headers that speak of one connection, not of the message; and the name of the manager.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in [
        header::CONNECTION,
        header::HOST,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
    ] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests;

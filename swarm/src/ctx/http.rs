//! HTTP/1.1 over the seam: hyper's executor, connector and timer, a client per peer, a server loop.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body as _, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::{Addr, BoxFuture, BoxStream, Ctx, Listener};
use crate::tls;

/// Why a body ended early.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body of either direction, whole or streamed.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// An empty body.
#[must_use]
pub fn empty() -> Body {
    full(Bytes::new())
}

/// A body that is already whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that is passed on as it arrives.
#[must_use]
pub fn streamed(incoming: Incoming) -> Body {
    incoming.map_err(Into::into).boxed_unsync()
}

/// Reads a body to its end.
///
/// # Errors
/// The connection's error, or `body larger than <limit> bytes`.
pub async fn collect(incoming: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    let too_large = || BodyError::from(format!("body larger than {limit} bytes"));
    if incoming.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let limited = http_body_util::Limited::new(incoming, limit);
    match limited.collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(e) if e.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Err(e) => Err(e),
    }
}

/// Runs hyper's background work as tasks of the host.
#[derive(Clone)]
pub struct Executor(pub Ctx);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn("http", future);
    }
}

/// A pooled client for one peer. One pool per peer keeps the closing order of idle connections
/// independent of hash maps.
pub type Client = hyper_util::client::legacy::Client<Connector, Body>;

/// How a client reaches its peer.
#[derive(Clone)]
pub struct Connector {
    ctx: Ctx,
    to: Addr,
    timeout: Duration,
    tls: Option<tls::Client>,
}

impl Connector {
    /// The same with TLS above each connection, if any is given.
    #[must_use]
    pub fn secured(self, tls: Option<tls::Client>) -> Self {
        Self { tls, ..self }
    }

    /// The scheme of URLs at the peer.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Opens a connection outside the pool, for requests that take the connection over.
    ///
    /// # Errors
    /// As [`super::Net::connect`] and [`tls::Client::connect`], or `TimedOut` after the
    /// connector's limit, which is for both together.
    pub async fn open(&self) -> io::Result<BoxStream> {
        let opening = async {
            let stream = self.ctx.net.connect(&self.to).await?;
            match &self.tls {
                Some(tls) => tls.connect(self.to.host(), stream).await,
                None => Ok(stream),
            }
        };
        match tokio::time::timeout(self.timeout, opening).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "i/o timeout")),
        }
    }
}

/// Sends `request` on `stream`, which serves this one exchange: the answer may take it over
/// ([`hyper::upgrade::on`]). The connection lives on as a task of the host until it is done.
///
/// # Errors
/// The connection broke before an answer came.
pub async fn send_alone(
    ctx: &Ctx,
    stream: BoxStream,
    request: Request<Body>,
) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    ctx.spawn("http-alone", async move {
        // Whoever reads the answer, or writes to what it became, hears how it ended.
        let _ = connection.with_upgrades().await;
    });
    sender.send_request(request).await
}

/// A connector for `to` that gives up after `timeout`.
#[must_use]
pub fn connector(ctx: &Ctx, to: Addr, timeout: Duration) -> Connector {
    Connector { ctx: ctx.clone(), to, timeout, tls: None }
}

/// A client whose every connection goes to the connector's peer, whatever the URI says.
#[must_use]
pub fn client(connector: Connector) -> Client {
    hyper_util::client::legacy::Client::builder(Executor(connector.ctx.clone()))
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(60))
        .build(connector)
}

impl tower_service::Service<Uri> for Connector {
    type Response = PooledStream;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<PooledStream>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { Ok(PooledStream(TokioIo::new(connector.open().await?))) })
    }
}

/// A stream in the clothes that hyper-util's pool wants.
pub struct PooledStream(TokioIo<BoxStream>);

impl Connection for PooledStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for PooledStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for PooledStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Serves connections of `listener` for ever with `handler`, each as a task of the host.
///
/// Upgrades (hijacked connections) work; keep-alive connections live until the peer closes them,
/// as an engine's do. The handler sets its own `Date` header if it wants one.
pub async fn serve<H, F>(ctx: Ctx, mut listener: Box<dyn Listener>, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let handler = Arc::new(handler);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                // Out of file descriptors, most likely: wait for some to come back.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let handler = Arc::clone(&handler);
        ctx.spawn("http-connection", async move { serve_stream(stream, handler).await });
    }
}

/// Serves one connection until it ends.
pub async fn serve_stream<H, F>(stream: BoxStream, handler: Arc<H>)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let reply = handler(request);
        async move { Ok::<_, std::convert::Infallible>(reply.await) }
    });
    // How a connection ends is the peer's affair: nothing to report to anyone here.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

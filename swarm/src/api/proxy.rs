//! Passing a request on to the engine of its container.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::response;
use hyper::http::uri::InvalidUri;
use hyper::{Request, Response, Uri, Version};

use crate::ctx::BoxFuture;
use crate::ctx::http::{Body, BodyError, streamed};
use crate::engine::Engine;

use super::error::ApiError;
use super::{Api, Reply};

impl Api {
    /// Sends the request to `/containers/<id>/<verb>` on the container's engine and streams the
    /// reply back as it comes. With `refresh`, the reply ends only after the manager has looked at
    /// the container again, so that a list right after a `stop` tells the truth.
    ///
    /// When the client goes away, hyper drops the reply, and with it the engine's connection.
    pub(super) async fn forward(
        self: &Arc<Self>,
        name: &str,
        verb: &str,
        request: Request<Incoming>,
        refresh: bool,
    ) -> Reply {
        let located = self
            .locate(name)
            .ok_or_else(|| ApiError::not_found(format!("No such container: {name}")))?;
        located.check_healthy(name)?;
        let engine = self.engine_of(&located)?;
        // The path is built anew: replacing the name inside the client's text would hit the wrong
        // place for a container called `containers` or `stop`.
        let path = format!("/containers/{}/{verb}", located.id);
        let (parts, body) = pass_on(&engine, &path, request).await?;
        if !refresh {
            return Ok(Response::from_parts(parts, streamed(body)));
        }
        Ok(followed(parts, body, self.look_again(located.addr, located.id)).await)
    }

    /// Refreshes what is known of a container. The work is a task of its own: it is finished even
    /// when the client has left.
    fn look_again(self: &Arc<Self>, addr: String, id: String) -> BoxFuture<'static, ()> {
        let api = Arc::clone(self);
        Box::pin(async move {
            let (done, finished) = tokio::sync::oneshot::channel::<()>();
            let manager = Arc::clone(&api.manager);
            api.manager.ctx.spawn("refresh-after-proxy", async move {
                // A failure is counted and logged where engines are called.
                let _ = manager.refresh_container(&addr, &id).await;
                let _ = done.send(());
            });
            let _ = finished.await;
        })
    }
}

/// `path` with the query of the client's request.
pub(super) fn with_query(path: &str, query: Option<&str>) -> Result<Uri, ApiError> {
    let uri = match query {
        Some(query) => format!("{path}?{query}").parse(),
        None => path.parse(),
    };
    uri.map_err(|e: InvalidUri| ApiError::bad_request(e.to_string()))
}

/// Sends the request to `path` on an engine, with the request's query.
pub(super) async fn pass_on(
    engine: &Engine,
    path: &str,
    request: Request<Incoming>,
) -> Result<(response::Parts, Incoming), ApiError> {
    let uri = with_query(path, request.uri().query())?;
    send_to(engine, uri, request).await
}

/// Sends the request to an engine, at this path and query.
pub(super) async fn send_to(
    engine: &Engine,
    uri: Uri,
    request: Request<Incoming>,
) -> Result<(response::Parts, Incoming), ApiError> {
    let (mut parts, body) = request.into_parts();
    parts.version = Version::HTTP_11;
    parts.uri = uri;
    let reply = engine.forward(Request::from_parts(parts, streamed(body))).await;
    let (mut parts, body) = reply.map_err(ApiError::internal)?.into_parts();
    keep_end_to_end(&mut parts.headers);
    Ok((parts, body))
}

/// Removes headers that speak of the engine's connection or that the manager sets itself.
pub(super) fn keep_end_to_end(headers: &mut HeaderMap) {
    for name in [
        header::CONNECTION,
        header::DATE,
        header::PROXY_AUTHENTICATE,
        header::SERVER,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("api-version"),
        HeaderName::from_static("docker-experimental"),
        HeaderName::from_static("ostype"),
    ] {
        headers.remove(name);
    }
}

/// A reply that ends only after something else has.
pub(super) async fn followed(
    mut parts: response::Parts,
    body: Incoming,
    then: BoxFuture<'static, ()>,
) -> Response<Body> {
    if body.is_end_stream() {
        // Nothing follows the head, so the head itself has to wait.
        then.await;
        return Response::from_parts(parts, streamed(body));
    }
    // With a length the client would stop reading before the end.
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Followed { body, then: Some(then) }.boxed_unsync())
}

/// A body whose end waits for something.
struct Followed {
    body: Incoming,
    then: Option<BoxFuture<'static, ()>>,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            return Poll::Ready(Some(frame.map_err(Into::into)));
        }
        if let Some(then) = &mut self.then {
            ready!(then.as_mut().poll(cx));
            self.then = None;
        }
        Poll::Ready(None)
    }
}

//! Requests that take their connection over: terminals and input of containers.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, copy, split};

use crate::ctx::http::{self, streamed};
use crate::engine::Engine;

use super::error::ApiError;
use super::{Api, Reply};

/// The largest body before the connection is taken over: the options of an exec.
const BODY_MAX_BYTES: usize = 1 << 20;

impl Api {
    /// Sends the request to `/containers/<id>/<verb>` on the container's engine, and joins the two
    /// connections if the engine agrees.
    ///
    /// A client that does not ask for an upgrade gets the output as a stream; its input ends with
    /// the request's body, because HTTP has no other way.
    pub(super) async fn hijack(
        self: &Arc<Self>,
        name: &str,
        verb: &str,
        request: Request<Incoming>,
    ) -> Reply {
        if !request.headers().contains_key(UPGRADE) {
            return self.forward(name, verb, request, false).await;
        }
        let located = self
            .locate(name)
            .ok_or_else(|| ApiError::not_found(format!("No such container: {name}")))?;
        located.check_healthy(name)?;
        let engine = self.engine_of(&located)?;
        self.take_over(&engine, &format!("/containers/{}/{verb}", located.id), request).await
    }

    /// Passes the request on to `path` with the request's query, on a connection of its own.
    pub(super) async fn take_over(
        &self,
        engine: &Engine,
        path: &str,
        mut request: Request<Incoming>,
    ) -> Reply {
        let client = hyper::upgrade::on(&mut request);
        let uri = super::proxy::with_query(path, request.uri().query())?;
        let (mut parts, body) = request.into_parts();
        parts.uri = uri;
        // All of it has to be read before the connection is free.
        let body = http::collect(body, BODY_MAX_BYTES).await;
        let body = body.map_err(|e| ApiError::bad_request(e.to_string()))?;
        let request = Request::from_parts(parts, http::full(body));
        let mut answer = engine.take_over(request).await.map_err(ApiError::internal)?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (mut parts, body) = answer.into_parts();
            super::proxy::keep_end_to_end(&mut parts.headers);
            return Ok(Response::from_parts(parts, streamed(body)));
        }
        let engine = hyper::upgrade::on(&mut answer);
        self.manager.ctx.spawn("hijacked", join(client, engine));
        let (mut parts, _) = answer.into_parts();
        let kept = [CONNECTION, UPGRADE].map(|name| (parts.headers.remove(&name), name));
        super::proxy::keep_end_to_end(&mut parts.headers);
        let kept = kept.into_iter().filter_map(|(value, name)| Some((name, value?)));
        parts.headers.extend(kept.map(|(name, value)| (Some(name), value)));
        Ok(Response::from_parts(parts, http::empty()))
    }
}

/// Joins two connections once both are free.
async fn join(client: OnUpgrade, engine: OnUpgrade) {
    // Whoever went away first takes the other along.
    if let (Ok(client), Ok(engine)) = (client.await, engine.await) {
        splice(client, engine).await;
    }
}

/// Copies both ways until the engine has said all. The end of the client's input is passed on,
/// and is not the end: `echo x | docker run -i` still waits for its output.
async fn splice(client: Upgraded, engine: Upgraded) {
    let (mut from_client, mut to_client) = split(TokioIo::new(client));
    let (mut from_engine, mut to_engine) = split(TokioIo::new(engine));
    let output = async {
        let _ = copy(&mut from_engine, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    let input = async {
        if copy(&mut from_client, &mut to_engine).await.is_ok() {
            let _ = to_engine.shutdown().await;
            std::future::pending().await
        }
    };
    // In a fixed order, for the simulator's sake.
    tokio::select! {
        biased;
        () = output => {}
        () = input => {}
    }
}

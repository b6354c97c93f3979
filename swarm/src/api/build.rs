//! `POST /build`: an image is built where a container of its size would be placed.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::ctx::BoxFuture;
use crate::ctx::http::streamed;
use crate::engine::Engine;

use super::error::ApiError;
use super::proxy::{followed, pass_on};
use super::query::Query;
use super::{Api, Reply};

/// How build arguments begin that are meant for the scheduler.
const KINDS: [&str; 2] = ["constraint:", "affinity:"];

impl Api {
    /// Builds on the node that the scheduler chooses for the build's resources, and for the
    /// expressions among its arguments: `--build-arg constraint:disk==ssd`. Those stay arguments,
    /// too: engines only warn of arguments that no line of the Dockerfile uses.
    pub(super) async fn build(
        self: &Arc<Self>,
        query: &Query,
        request: Request<Incoming>,
    ) -> Reply {
        if query.text("version") == "2" {
            // Without its session the engine would wait for ever.
            let text = "BuildKit is not supported by swarm: set DOCKER_BUILDKIT=0";
            return Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, text));
        }
        let wanted = wanted(query)?;
        let addr = self.manager.choose(wanted).map_err(ApiError::internal)?;
        let gone = || ApiError::internal("Engine no longer exists");
        let engine = self.manager.engine(&addr).ok_or_else(gone)?;
        let (parts, body) = pass_on(&engine, "/build", request).await?;
        if parts.status != StatusCode::OK {
            return Ok(Response::from_parts(parts, streamed(body)));
        }
        Ok(followed(parts, body, self.images_again(engine)).await)
    }

    fn images_again(self: &Arc<Self>, engine: Arc<Engine>) -> BoxFuture<'static, ()> {
        let api = Arc::clone(self);
        Box::pin(async move { api.manager.relist_images(&engine).await })
    }
}

/// The build as the container that the scheduler finds a place for.
fn wanted(query: &Query) -> Result<Value, ApiError> {
    let arguments: Map<String, Value> = match query.text("buildargs") {
        "" => Map::new(),
        text => serde_json::from_str(text).map_err(|e| ApiError::bad_request(e.to_string()))?,
    };
    let is_expression = |key: &str| KINDS.iter().any(|kind| key.starts_with(kind));
    let expressions = arguments.iter().filter(|(key, _)| is_expression(key));
    // The client has split `constraint:disk==ssd` at the first sign.
    let env =
        expressions.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    let number = |name: &str| query.text(name).parse::<i64>().unwrap_or(0);
    Ok(json!({
        "Env": env.collect::<Vec<_>>(),
        "HostConfig": { "CpuShares": number("cpushares"), "Memory": number("memory") },
    }))
}

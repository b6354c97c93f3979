//! Commands inside containers.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::{Method, Request, Response, StatusCode};
use indexmap::IndexMap;
use serde_json::Value;

use crate::ctx::http::{self, streamed};
use crate::engine::Engine;

use super::error::ApiError;
use super::proxy::pass_on;
use super::{Api, Reply};

/// How many commands are remembered. For one that is not, all engines are asked.
const REMEMBERED_MAX: usize = 1 << 12;

/// The largest answer to the creation of a command: an identifier, or an error's text.
const ANSWER_MAX_BYTES: usize = 1 << 20;

/// On which engine a command is: addresses by the command's ID, the oldest first.
#[derive(Default)]
pub(super) struct Execs(Mutex<IndexMap<String, String>>);

impl Execs {
    fn remember(&self, id: &str, addr: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == REMEMBERED_MAX {
            known.shift_remove_index(0);
        }
        known.insert(id.to_owned(), addr.to_owned());
    }

    fn addr(&self, id: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

impl Api {
    /// Makes a command in a container, and remembers where.
    pub(super) async fn create_exec(&self, name: &str, request: Request<Incoming>) -> Reply {
        let located = self
            .locate(name)
            .ok_or_else(|| ApiError::not_found(format!("No such container {name}")))?;
        let engine = self.engine_of(&located)?;
        let path = format!("/containers/{}/exec", located.id);
        let (parts, body) = pass_on(&engine, &path, request).await?;
        if parts.status != StatusCode::CREATED {
            return Ok(Response::from_parts(parts, streamed(body)));
        }
        let body = http::collect(body, ANSWER_MAX_BYTES).await;
        let body = body.map_err(|e| ApiError::internal(e.to_string()))?;
        let made: Option<Value> = serde_json::from_slice(&body).ok();
        if let Some(id) = made.as_ref().and_then(|made| made["Id"].as_str()) {
            self.execs.remember(id, &engine.addr);
        }
        Ok(Response::from_parts(parts, http::full(body)))
    }

    /// Passes a request about a command on to its engine: `/exec/<id>/<verb>`.
    pub(super) async fn forward_exec(
        &self,
        id: &str,
        verb: &str,
        request: Request<Incoming>,
    ) -> Reply {
        let engine = self.engine_of_exec(id).await;
        let engine = engine.ok_or_else(|| ApiError::not_found(format!("Exec {id} not found")))?;
        let path = format!("/exec/{id}/{verb}");
        if verb == "start" && request.headers().contains_key(UPGRADE) {
            return self.take_over(&engine, &path, request).await;
        }
        let (parts, body) = pass_on(&engine, &path, request).await?;
        Ok(Response::from_parts(parts, streamed(body)))
    }

    /// Commands outlive the manager's memory, and other managers make some: where one is not known
    /// to be anywhere, every healthy engine is asked for it.
    async fn engine_of_exec(&self, id: &str) -> Option<Arc<Engine>> {
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        if let Some(engine) = self.execs.addr(id).and_then(|addr| self.manager.engine(&addr)) {
            return Some(engine);
        }
        let healthy = self.manager.healthy();
        let path = format!("/exec/{id}/json");
        let asked = healthy.iter().filter_map(|addr| self.manager.engine(addr)).map(|engine| {
            let path = &path;
            async move { engine.json(Method::GET, path, None).await.is_ok().then_some(engine) }
        });
        let found = join_all(asked).await.into_iter().flatten().next()?;
        self.execs.remember(id, &found.addr);
        Some(found)
    }
}

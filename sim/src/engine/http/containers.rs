//! Containers: everything but the streams.

use std::sync::Arc;

use hyper::Response;
use hyper::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use swarm::ctx::http::{Body, collect};

use super::reply::{self, Reply};
use super::{Call, Verb, streams};
use crate::engine::run::Engine;
use crate::engine::state::filter::{ListQuery, go_error};
use crate::engine::state::{Refusal, signal};

/// The largest body of a create request.
const LIMIT: usize = 4 << 20;

pub(super) async fn list(call: &Call) -> Reply {
    tokio::time::sleep(call.engine.spec.timings.list).await;
    let query = ListQuery {
        filters: call.query.filters()?,
        all: call.query.flag("all"),
        size: call.query.flag("size"),
        limit: call.query.number("limit")?.unwrap_or(0),
    };
    let now = call.engine.ctx.now();
    let list = call.engine.read(|state| state.list(&query, now))?;
    Ok(reply::json(200, &Value::Array(list)))
}

pub(super) async fn create(call: Call) -> Reply {
    let kind = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if let Some(kind) = kind
        && kind.split(';').next().map(str::trim) != Some("application/json")
    {
        return Err(Refusal::bad(format!(
            "Content-Type specified ({kind}) must be 'application/json'"
        )));
    }
    let old = call.version < (1, 42);
    let unreadable = |text: String| match old {
        true => Refusal::server(text),
        false => Refusal::bad(format!("invalid JSON: {text}")),
    };
    let body = collect(call.body, LIMIT).await.map_err(|e| Refusal::bad(e.to_string()))?;
    let body: Value = serde_json::from_slice(&body).map_err(|_| unreadable(go_error(&body)))?;
    let body = match body {
        Value::Object(object) => object,
        Value::Null => Map::new(),
        _ => {
            let text = "json: cannot unmarshal value into Go value of type \
                        runconfig.ContainerConfigWrapper";
            return Err(unreadable(text.into()));
        }
    };
    let (engine, name) = (Arc::clone(&call.engine), call.query.get("name").to_owned());
    let id = finish(&call.engine, async move {
        tokio::time::sleep(engine.spec.timings.create).await;
        engine.update(|state, moment| state.create(moment, &name, &body))
    })
    .await?;
    Ok(reply::json(201, &json!({"Id": id, "Warnings": []})))
}

/// Runs `work` to its end even if the client goes away.
async fn finish<T: Send + 'static>(
    engine: &Engine,
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    let gone = || Err(Refusal::server("the engine is shutting down"));
    engine.finish(work).await.unwrap_or_else(gone)
}

pub(super) async fn verb(call: Call, verb: Verb, name: String) -> Reply {
    match verb {
        Verb::Inspect => inspect(&call, &name).await,
        Verb::Logs => streams::logs(&call, &name).await,
        Verb::Top => top(&call, &name).await,
        Verb::Wait => streams::wait(&call, &name),
        Verb::Start | Verb::Stop | Verb::Restart | Verb::Kill | Verb::Remove => {
            slow(call, verb, name).await
        }
        Verb::Pause | Verb::Unpause | Verb::Rename => quick(&call, verb, &name).await,
    }
}

async fn inspect(call: &Call, name: &str) -> Reply {
    tokio::time::sleep(call.engine.spec.timings.inspect).await;
    let id = call.engine.settled(name).await?;
    let size = call.query.flag("size");
    let found = call.engine.read(|state| state.container(&id).map(|c| c.inspect(size)));
    // Removed while it was waited for: the name that was asked for is the one to tell.
    let missing = |_| Refusal::not_found(format!("No such container: {name}"));
    Ok(reply::json(200, &found.map_err(missing)?))
}

async fn top(call: &Call, name: &str) -> Reply {
    tokio::time::sleep(call.engine.spec.timings.other).await;
    let id = call.engine.settled(name).await?;
    let args = call.query.get("ps_args");
    let table = call.engine.update(|state, moment| {
        let table = state.container(&id)?.top(args)?;
        state.note(moment, &id, "top");
        Ok(table)
    })?;
    Ok(reply::json(200, &table))
}

/// What an engine finishes even if the client goes away.
async fn slow(call: Call, verb: Verb, name: String) -> Reply {
    let query = &call.query;
    let engine = Arc::clone(&call.engine);
    let timeout = query.number("t")?;
    let (force, volumes) = (query.flag("force"), query.flag("v"));
    let number = match (verb, query.get("signal")) {
        (Verb::Kill, "") => signal::KILL,
        (Verb::Kill, text) => {
            signal::parse(text).ok_or_else(|| Refusal::bad(format!("Invalid signal: {text}")))?
        }
        _ => signal::TERM,
    };
    if verb == Verb::Remove && query.flag("link") {
        let text = "Conflict, cannot remove the default link name of the container";
        return Err(Refusal::server(text));
    }
    finish(&call.engine, async move {
        match verb {
            Verb::Start => engine.start(&name).await,
            Verb::Stop => engine.stop(&name, timeout).await,
            Verb::Restart => engine.restart(&name, timeout).await,
            Verb::Kill => engine.kill(&name, number).await,
            _ => engine.remove(&name, force, volumes).await,
        }
    })
    .await?;
    Ok(done())
}

async fn quick(call: &Call, verb: Verb, name: &str) -> Reply {
    let engine = &call.engine;
    let new = call.query.get("name");
    tokio::time::sleep(engine.spec.timings.other).await;
    if verb == Verb::Rename && new.is_empty() {
        // Said before the container is looked for.
        engine.update(|state, moment| state.rename(moment, name, new))?;
    }
    engine
        .change(name, |state, moment, id| match verb {
            Verb::Pause => state.pause(moment, id),
            Verb::Unpause => state.unpause(moment, id),
            _ => state.rename(moment, id, new),
        })
        .await?;
    Ok(done())
}

fn done() -> Response<Body> {
    reply::status(204)
}

//! Asking an engine what it has, and the loop that does so for ever.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::{Cluster, State};
use crate::ctx::Level;
use crate::engine::{Engine, EngineError};

use super::{Manager, Signals};

/// How often an engine that is well is asked who it is.
const SPECS_EVERY: Duration = Duration::from_secs(300);

/// How many steps the back-off of an unreachable engine takes at most.
const BACKOFF_MAX: u32 = 1000;

/// How many containers of one engine are inspected at the same time.
const INSPECTS: usize = 8;

/// A container's row of the list, and its inspect JSON if it was asked for.
type Row = (Value, Option<Value>);

/// How thoroughly to look at one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// Inspect it only if it is unknown or its row tells something new.
    Soft,
    /// Inspect it.
    Full,
}

impl Manager {
    /// Refreshes what is known of an engine until it turns out to be another one.
    pub(super) async fn keep_fresh(&self, engine: &Engine, signals: &Signals) {
        let mut specs_at = Instant::now();
        loop {
            let Some((state, pause)) = self.next_refresh(engine) else { return };
            if state == State::Pending {
                return;
            }
            let mut due = Instant::now() + pause;
            let hurried = loop {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => break false,
                    () = signals.refresh.notified() => break true,
                    () = signals.doubt.notified() => {
                        let Some((_, pause)) = self.next_refresh(engine) else { return };
                        due = due.min(Instant::now() + pause);
                    }
                }
            };
            let state = self.with_slot(engine, |_, cluster| state_of(cluster, &engine.addr));
            match state {
                // A question that every engine answers at once: one that has fallen silent is known
                // after the time of a probe, not of a list.
                Some(State::Healthy) if specs_at.elapsed() <= SPECS_EVERY => {
                    if let Err(EngineError::Connect(_)) = engine.ping().await {
                        continue;
                    }
                }
                None | Some(State::Pending | State::Disconnected) => return,
                Some(State::Healthy | State::Unhealthy) => match self.read_specs(engine).await {
                    Ok(_) => specs_at = Instant::now(),
                    Err(failure) => {
                        let text = format!("Update engine specs failed: {}", failure.message);
                        self.ctx.log_with(Level::Error, text, &[("Addr", &engine.addr)]);
                        if failure.identity_changed {
                            return;
                        }
                        continue;
                    }
                },
            }
            self.refresh_everything(engine).await;
            if hurried || state == Some(State::Unhealthy) {
                // It was away: what it has may have been made anew elsewhere.
                self.watchdog.hurry();
            }
        }
    }

    /// The node's state, and how long to wait: longer the longer it has been unreachable. One that
    /// has failed but not yet often enough is asked again sooner, so that all the failures it takes
    /// to call it unhealthy fall within one refresh.
    fn next_refresh(&self, engine: &Engine) -> Option<(State, Duration)> {
        let (min, max) = (self.options.refresh_min, self.options.refresh_max);
        let spread = u64::try_from(max.saturating_sub(min).as_millis()).unwrap_or(u64::MAX);
        let jitter = Duration::from_millis(self.ctx.random_below("refresh-jitter", spread));
        self.with_slot(engine, |_, cluster| {
            let retry = cluster.options().failure_retry;
            let node = cluster.node(&engine.addr)?;
            if node.state == State::Healthy && (1..retry).contains(&node.failures) {
                return Some((node.state, min / retry));
            }
            let backoff = node.failures.saturating_sub(retry).min(BACKOFF_MAX);
            Some((node.state, min.saturating_mul(1 + backoff).saturating_add(jitter)))
        })
        .flatten()
    }

    /// One cycle: containers, and if they could be listed, the rest.
    pub(super) async fn refresh_everything(&self, engine: &Engine) {
        if let Err(error) = self.list_containers(engine).await {
            self.log_failed(engine, "containers", &error);
            return;
        }
        for (what, result) in [
            ("volumes", self.list_volumes(engine).await),
            ("networks", self.list_networks(engine).await),
            ("images", self.list_images(engine).await),
        ] {
            if let Err(error) = result {
                self.log_failed(engine, what, &error);
            }
        }
    }

    pub(super) fn log_failed(&self, engine: &Engine, what: &str, error: &EngineError) {
        let text = format!("Failed to update {what}: {error}");
        self.ctx.log_with(Level::Debug, text, &[("Addr", &engine.addr)]);
    }

    /// Asks the engine at `addr` for one container and takes the answer over.
    ///
    /// # Errors
    /// When the engine could not be asked. A container that it does not have is no error: it is
    /// forgotten.
    pub async fn refresh_container(&self, addr: &str, id: &str) -> Result<(), EngineError> {
        let engine = self.known_engine(addr)?;
        self.look_at(&engine, id, Depth::Full).await.map(drop)
    }

    /// Asks the engine at `addr` for all its containers and takes the answer over.
    ///
    /// # Errors
    /// When the engine could not be asked; what was known stays.
    pub async fn refresh_containers(&self, addr: &str) -> Result<(), EngineError> {
        let engine = self.known_engine(addr)?;
        self.list_containers(&engine).await
    }

    /// Asks for one container. Says whether the engine has it.
    pub(super) async fn look_at(
        &self,
        engine: &Engine,
        id: &str,
        depth: Depth,
    ) -> Result<bool, EngineError> {
        let number = self.with_slot(engine, |slot, _| slot.fresh.begin()).unwrap_or_default();
        let listed = rows(engine.json(Method::GET, &list_path("id", id), None).await?);
        if listed.len() > 1 {
            // An engine that knows no such filter: it told of all it has.
            self.list_containers(engine).await?;
            return Ok(listed.iter().any(|row| id_of(row) == id));
        }
        let Some(row) = listed.into_iter().next().filter(|row| id_of(row) == id) else {
            self.forget(engine, id, number);
            return Ok(false);
        };
        let due = depth == Depth::Full
            || self
                .with_slot(engine, |_, cluster| must_inspect(cluster, &engine.addr, &row))
                .unwrap_or(false);
        let inspect = match due {
            false => None,
            true => match self.inspect(engine, id).await? {
                Some(inspect) => Some(inspect),
                None => {
                    self.forget(engine, id, number);
                    return Ok(false);
                }
            },
        };
        self.with_slot(engine, |slot, cluster| {
            if slot.fresh.accept(id, number) {
                cluster.update_container(&engine.addr, row, inspect);
            }
        });
        Ok(true)
    }

    /// Forgets a container that the answer to request `number` did not have.
    fn forget(&self, engine: &Engine, id: &str, number: u64) {
        self.with_slot(engine, |slot, cluster| {
            if slot.fresh.accept(id, number) {
                cluster.remove_container(&engine.addr, id);
            }
        });
    }

    /// Forgets a container that is certainly gone: the engine said so just now.
    pub(super) fn forget_now(&self, engine: &Engine, id: &str) {
        self.with_slot(engine, |slot, cluster| {
            let number = slot.fresh.begin();
            slot.fresh.accept(id, number);
            cluster.remove_container(&engine.addr, id);
        });
    }

    /// Asks for all containers, inspecting those that are unknown or changed. What appeared while
    /// the list was on its way is kept, and what was removed meanwhile stays removed.
    pub(super) async fn list_containers(&self, engine: &Engine) -> Result<(), EngineError> {
        let addr = engine.addr.as_str();
        let begun = self
            .with_slot(engine, |slot, cluster| (slot.fresh.begin(), cluster.container_ids(addr)));
        let Some((number, mut known)) = begun else { return Ok(()) };
        let listed = rows(engine.json(Method::GET, "/containers/json?all=1&limit=0", None).await?);
        let due: Vec<bool> = self
            .with_slot(engine, |_, cluster| {
                listed.iter().map(|row| must_inspect(cluster, addr, row)).collect()
            })
            .unwrap_or_default();
        let looked: Vec<Result<Option<Row>, EngineError>> =
            futures_util::stream::iter(listed.into_iter().zip(due))
                .map(|(row, due)| self.complete(engine, row, due))
                .buffered(INSPECTS)
                .collect()
                .await;
        let mut complete = Vec::with_capacity(looked.len());
        for row in looked {
            complete.extend(row?);
        }
        self.with_slot(engine, |slot, cluster| {
            let newer = slot.fresh.newer_than(number);
            known.retain(|id| !newer.contains(id));
            complete.retain(|(row, _)| !newer.contains(id_of(row)));
            let listed: BTreeSet<String> =
                complete.iter().map(|(row, _)| id_of(row).to_owned()).collect();
            for id in known.iter().chain(&listed) {
                slot.fresh.accept(id, number);
            }
            cluster.update_containers(addr, &known, complete);
            slot.fresh.prune(&cluster.container_ids(addr));
        });
        Ok(())
    }

    /// A row with its inspect JSON if that is due; nothing if the container has gone since it was
    /// listed, or cannot be inspected.
    async fn complete(
        &self,
        engine: &Engine,
        row: Value,
        due: bool,
    ) -> Result<Option<Row>, EngineError> {
        if !due {
            return Ok(Some((row, None)));
        }
        match self.inspect(engine, id_of(&row)).await {
            Ok(None) => Ok(None),
            Ok(Some(inspect)) => Ok(Some((row, Some(inspect)))),
            // One broken container must not hide the others; what was known of it stays.
            Err(error @ EngineError::Api { .. }) => {
                self.log_failed(engine, "a container", &error);
                Ok(Some((row, None)))
            }
            Err(error) => Err(error),
        }
    }

    async fn inspect(&self, engine: &Engine, id: &str) -> Result<Option<Value>, EngineError> {
        match engine.json(Method::GET, &format!("/containers/{id}/json"), None).await {
            Ok(inspect) => Ok(Some(inspect)),
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn list_images(&self, engine: &Engine) -> Result<(), EngineError> {
        let images = rows(engine.json(Method::GET, "/images/json?all=1", None).await?);
        self.with_slot(engine, |_, cluster| cluster.set_images(&engine.addr, images));
        Ok(())
    }

    pub(super) async fn list_networks(&self, engine: &Engine) -> Result<(), EngineError> {
        let networks = rows(engine.json(Method::GET, "/networks", None).await?);
        self.with_slot(engine, |_, cluster| cluster.set_networks(&engine.addr, networks));
        Ok(())
    }

    pub(super) async fn list_volumes(&self, engine: &Engine) -> Result<(), EngineError> {
        let mut answer = engine.json(Method::GET, "/volumes", None).await?;
        let volumes = rows(answer.get_mut("Volumes").map(Value::take).unwrap_or_default());
        self.with_slot(engine, |_, cluster| cluster.set_volumes(&engine.addr, volumes));
        Ok(())
    }
}

/// The path of a list of the containers that pass one filter.
pub(super) fn list_path(filter: &str, value: &str) -> String {
    let filters = json!({ filter: { value: true } }).to_string();
    let filters = utf8_percent_encode(&filters, NON_ALPHANUMERIC);
    format!("/containers/json?all=1&limit=0&filters={filters}")
}

/// The rows of a list; `null` is an empty one.
pub(super) fn rows(list: Value) -> Vec<Value> {
    match list {
        Value::Array(rows) => rows,
        _ => Vec::new(),
    }
}

/// The full ID in a container's row.
pub(super) fn id_of(row: &Value) -> &str {
    row.get("Id").and_then(Value::as_str).unwrap_or_default()
}

fn state_of(cluster: &Cluster, addr: &str) -> State {
    cluster.node(addr).map(|node| node.state).unwrap_or(State::Disconnected)
}

/// Whether the row is that of an unknown container, or tells something that the last one did not:
/// then an event was missed, and what inspect said may be outdated.
fn must_inspect(cluster: &Cluster, addr: &str, row: &Value) -> bool {
    let known = cluster.node(addr).and_then(|node| node.containers.get(id_of(row)));
    cluster.needs_inspect(addr, row) || known.is_none_or(|known| differs(&known.summary, row))
}

/// Whether two rows of one container differ in more than the time that has passed.
fn differs(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
        return old != new;
    };
    // `Up 5 minutes (healthy)`: only the part in parentheses is news, and the exit code.
    let status = |row: &serde_json::Map<String, Value>| {
        let text = row.get("Status").and_then(Value::as_str).unwrap_or_default();
        text.split_once('(').map(|(_, rest)| rest.split(')').next().unwrap_or(rest).to_owned())
    };
    let rest = |row: &serde_json::Map<String, Value>| -> usize {
        row.keys().filter(|key| *key != "Status").count()
    };
    rest(old) != rest(new)
        || status(old) != status(new)
        || old.iter().any(|(key, value)| key != "Status" && new.get(key) != Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_news_in_a_row_calls_for_an_inspect() {
        let row =
            |state: &str, status: &str| json!({ "Id": "a", "State": state, "Status": status });
        let up = row("running", "Up 5 minutes (healthy)");
        assert!(!differs(&up, &row("running", "Up 6 minutes (healthy)")));
        assert!(differs(&up, &row("running", "Up 6 minutes (unhealthy)")));
        assert!(differs(&up, &row("paused", "Up 5 minutes (healthy)")));
        assert!(differs(&up, &json!({ "Id": "a", "State": "running" })));
        assert!(differs(&row("exited", "Exited (0) 1 second ago"), &row("exited", "Exited (1) x")));
    }

    #[test]
    fn a_filter_survives_the_query() {
        assert_eq!(
            list_path("id", "ab"),
            "/containers/json?all=1&limit=0&filters=%7B%22id%22%3A%7B%22ab%22%3Atrue%7D%7D"
        );
    }
}

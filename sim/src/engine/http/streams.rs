//! Answers that go on: events, logs, wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;
use jiff::Timestamp;
use serde_json::json;

use super::reply::{self, Reply, line};
use super::{Call, number};
use crate::engine::run::Engine;
use crate::engine::state::filter::Filters;
use crate::engine::state::program::Stream;
use crate::engine::state::{Container, Refusal, State};

/// The stream of `/events`.
pub(super) fn events(call: Call) -> Reply {
    let (since, until) = (call.query.date("since")?, call.query.date("until")?);
    let filters = call.query.filters()?;
    let now = call.engine.ctx.now();
    let past = since.is_some() || until.is_some();
    let cursor = call.engine.read(|state| match past {
        true => state.events.oldest(),
        false => state.events.next(),
    });
    let deadline = until.map(|until| {
        let left = until.duration_since(now);
        tokio::time::Instant::now() + Duration::try_from(left).unwrap_or_default()
    });
    call.engine.listeners.fetch_add(1, Ordering::Relaxed);
    let engine = call.engine;
    let reader = EventReader { engine, filters, since, until, cursor, deadline };
    let parts = stream::unfold(reader, |mut reader| async move {
        let part = reader.next().await?;
        Some((part, reader))
    });
    Ok(reply::typed(reply::stream_of(parts), "application/json"))
}

struct EventReader {
    engine: Arc<Engine>,
    filters: Filters,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    cursor: u64,
    deadline: Option<tokio::time::Instant>,
}

impl EventReader {
    async fn next(&mut self) -> Option<Bytes> {
        // A deadline in the past still lets through what happened before it.
        if let Some(part) = self.engine.clone().read(|state| self.take(state)) {
            return Some(part);
        }
        let (engine, deadline) = (Arc::clone(&self.engine), self.deadline);
        let more = engine.until(|state| self.take(state));
        match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, more).await.ok(),
            None => Some(more.await),
        }
    }

    /// All that has happened since the last look, if anything of it is of interest.
    fn take(&mut self, state: &State) -> Option<Bytes> {
        let mut out = BytesMut::new();
        while let Some((next, event)) = state.events.at(self.cursor) {
            self.cursor = next;
            let early = self.since.is_some_and(|since| event.time < since);
            let late = self.until.is_some_and(|until| event.time > until);
            if !early && !late && self.filters.event(event) {
                out.put(line(&event.json()));
            }
        }
        (!out.is_empty()).then(|| out.freeze())
    }
}

impl Drop for EventReader {
    fn drop(&mut self) {
        self.engine.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The output of a container.
pub(super) async fn logs(call: &Call, name: &str) -> Reply {
    let query = &call.query;
    let (stdout, stderr) = (query.flag("stdout"), query.flag("stderr"));
    if !stdout && !stderr {
        return Err(Refusal::bad("Bad parameters: you must choose at least one stream"));
    }
    tokio::time::sleep(call.engine.spec.timings.inspect).await;
    let id = call.engine.settled(name).await?;
    let mut reader = LogReader {
        engine: Arc::clone(&call.engine),
        id,
        index: 0,
        follow: query.flag("follow"),
        stdout,
        stderr,
        timestamps: query.flag("timestamps"),
        since: query.date("since")?,
        until: query.date("until")?,
        tty: false,
    };
    let tail: Option<usize> = query.get("tail").parse().ok();
    let id = reader.id.clone();
    reader.tty = call.engine.read(|state| {
        let container = state.container(&id)?;
        if let Some(tail) = tail {
            reader.index = reader.skip(container, tail);
        }
        Ok(container.tty())
    })?;
    let tty = reader.tty;
    let parts = stream::unfold(reader, |mut reader| async move {
        let part = reader.next().await?;
        Some((part, reader))
    });
    let response = reply::stream_of(parts);
    // Engines before 23.0 send no content type here.
    let typed = call.version >= (1, 42) && number(&call.engine.spec.api) >= (1, 42);
    Ok(match (typed, tty) {
        (false, _) => response,
        (true, true) => reply::typed(response, "application/vnd.docker.raw-stream"),
        (true, false) => reply::typed(response, "application/vnd.docker.multiplexed-stream"),
    })
}

struct LogReader {
    engine: Arc<Engine>,
    id: String,
    /// The next line to look at.
    index: usize,
    follow: bool,
    stdout: bool,
    stderr: bool,
    timestamps: bool,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    tty: bool,
}

impl LogReader {
    fn wants(&self, stream: Stream, time: Timestamp) -> bool {
        let selected = match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        };
        selected
            && self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time <= until)
    }

    /// Where the last `tail` lines of interest begin.
    fn skip(&self, container: &Container, tail: usize) -> usize {
        let lines = container.logs.iter().enumerate().rev();
        let mut wanted = lines.filter(|(_, line)| self.wants(line.stream, line.time));
        match tail {
            0 => container.logs.len(),
            tail => wanted.nth(tail - 1).map_or(0, |(index, _)| index),
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        let engine = Arc::clone(&self.engine);
        engine
            .until(|state| {
                let Some(container) = state.containers.get(&self.id) else {
                    return Some(None);
                };
                let part = self.take(container);
                let over = !self.follow || !container.running();
                match part.is_empty() {
                    false => Some(Some(part)),
                    true if over => Some(None),
                    true => None,
                }
            })
            .await
    }

    fn take(&mut self, container: &Container) -> Bytes {
        let mut out = BytesMut::new();
        for line in container.logs.iter().skip(self.index) {
            self.index += 1;
            if !self.wants(line.stream, line.time) {
                continue;
            }
            let stamp = match self.timestamps {
                true => line.time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ ").to_string(),
                false => String::new(),
            };
            let end = if self.tty { "\r\n" } else { "\n" };
            let text = format!("{stamp}{}{end}", line.text);
            if !self.tty {
                out.put_u32((line.stream as u32) << 24);
                out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
            }
            out.put(text.as_bytes());
        }
        out.freeze()
    }
}

/// What a client waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    NotRunning,
    NextExit,
    Removed,
}

/// Answers when a container has ended; the head of the answer is sent at once.
pub(super) fn wait(call: &Call, name: &str) -> Reply {
    let condition = match call.query.get("condition") {
        "next-exit" => Condition::NextExit,
        "removed" => Condition::Removed,
        _ => Condition::NotRunning,
    };
    let (id, exits, running) = call
        .engine
        .read(|state| state.container(name).map(|c| (c.id.clone(), c.exits, c.running())))?;
    let over = condition == Condition::NotRunning && !running;
    let engine = Arc::clone(&call.engine);
    let code = async move {
        engine
            .until(|state| match state.containers.get(&id) {
                // Removed so long ago that the code is forgotten: it cannot have mattered.
                None => Some(state.exit_code_of_removed(&id).unwrap_or_default()),
                Some(_) if condition == Condition::Removed => None,
                Some(container) => {
                    (over || container.exits != exits).then_some(container.exit_code)
                }
            })
            .await
    };
    let part = async move { line(&json!({"Error": null, "StatusCode": code.await})) };
    Ok(reply::typed(reply::stream_of(stream::once(part)), "application/json"))
}

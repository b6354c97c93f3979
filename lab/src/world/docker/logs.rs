//! Follows what the nodes say, and turns it into events.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::{Stream, StreamExt as _};
use serde_json::{Map, Value, json};
use testcontainers::bollard::Docker;
use testcontainers::bollard::container::LogOutput;
use testcontainers::bollard::errors::Error;
use testcontainers::bollard::query_parameters::{
    AttachContainerOptionsBuilder, LogsOptionsBuilder,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::engine_error;
use crate::event::{Event, SharedSink};
use crate::node::report::Report;
use crate::world::WorldError;

/// What a container says, in pieces.
pub(super) type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

/// What is known of the processes of all nodes.
pub(super) struct Board {
    sink: SharedSink,
    begin: Instant,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Whether the process of a host and component runs.
    runs: BTreeMap<(String, String), bool>,
    /// The first thing that went wrong, in words.
    failure: Option<String>,
    /// The last line that each component of a host said.
    last: BTreeMap<(String, String), String>,
}

impl Board {
    /// A board for a world that began at `begin`.
    pub(super) fn new(sink: SharedSink, begin: Instant) -> Arc<Self> {
        Arc::new(Self { sink, begin, state: Mutex::default(), changed: Notify::new() })
    }

    /// Returns when all of `processes` run; fails as soon as any has ended.
    pub(super) async fn all_run(&self, processes: &[(String, String)]) -> Result<(), String> {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state();
                if let Some(failure) = &state.failure {
                    return Err(failure.clone());
                }
                if processes.iter().all(|process| state.runs.get(process) == Some(&true)) {
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    /// What has gone wrong so far, if anything: waits for the next failure otherwise.
    pub(super) async fn failure(&self) -> String {
        loop {
            let changed = self.changed.notified();
            if let Some(failure) = self.state().failure.clone() {
                return failure;
            }
            changed.await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the lock panics")
    }

    fn emit(&self, host: &str, component: &str, kind: &str, fields: Value) {
        self.sink.emit(Event::new(self.begin.elapsed(), host, component, kind, fields));
    }

    /// Takes a line of a node's own output.
    fn node_said(&self, host: &str, line: &str) {
        match serde_json::from_str(line) {
            Ok(Report::Line { component, line }) => self.said(host, &component, &line),
            Ok(Report::Start { component }) => {
                self.emit(host, &component, "process.started", json!({}));
                self.state().runs.insert((host.to_owned(), component.into_owned()), true);
            }
            Ok(Report::Exit { component, status }) => {
                self.emit(host, &component, "process.exited", json!({ "status": status }));
                self.ended(host, &component, &status);
            }
            Ok(Report::Failed { what }) => {
                self.emit(host, "node", "node.failed", json!({ "message": what }));
                self.state().failure.get_or_insert_with(|| format!("{host}: {what}"));
            }
            // Not a report: the node's program itself failed.
            Err(_) => self.said(host, "node", line),
        }
        self.changed.notify_waiters();
    }

    /// Takes a line that a process said.
    fn said(&self, host: &str, component: &str, line: &str) {
        if line.is_empty() {
            return;
        }
        let (level, fields) = parse(line);
        let message = fields.get("message").and_then(Value::as_str).unwrap_or(line).to_owned();
        self.state().last.insert((host.to_owned(), component.to_owned()), message);
        self.emit(host, component, &format!("log.{level}"), Value::Object(fields));
    }

    fn ended(&self, host: &str, component: &str, status: &str) {
        let mut state = self.state();
        let process = (host.to_owned(), component.to_owned());
        let last = state.last.get(&process).map(|line| format!(": {line}")).unwrap_or_default();
        state.runs.insert(process, false);
        let what = format!("the {component} on {host} has ended ({status}){last}");
        state.failure.get_or_insert(what);
    }
}

/// Follows the output of a node until it ends. `component` is what speaks when the container is no
/// node but a single program.
pub(super) async fn follow(
    docker: Docker,
    container: String,
    board: Arc<Board>,
    host: String,
    component: Option<&'static str>,
) {
    let options = LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).build();
    hear(docker.logs(&container, Some(options)), board, host, component).await;
}

/// What a container says from now on; it may be one that is about to start.
pub(super) async fn attach(docker: &Docker, container: &str) -> Result<Output, WorldError> {
    let options = AttachContainerOptionsBuilder::new().stream(true).stdout(true).stderr(true);
    let attached = docker.attach_container(container, Some(options.build())).await;
    Ok(attached.map_err(|e| engine_error("listening to a node", e))?.output)
}

/// Takes what a container says until it ends.
pub(super) async fn hear(
    mut output: impl Stream<Item = Result<LogOutput, Error>> + Unpin,
    board: Arc<Board>,
    host: String,
    component: Option<&'static str>,
) {
    let mut buffer = Vec::new();
    while let Some(Ok(chunk)) = output.next().await {
        buffer.extend_from_slice(&chunk.into_bytes());
        // Lines longer than the engine's own buffer come in pieces.
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            match component {
                None => board.node_said(&host, line.trim_end()),
                Some(component) => board.said(&host, component, line.trim_end()),
            }
        }
    }
    board.ended(&host, component.unwrap_or("node"), "the container is gone");
    board.changed.notify_waiters();
}

/// Level and fields of a log line: `time="…" level=info msg="…"` of engines and managers, or
/// Consul's `2026-01-02T03:04:05.678Z [INFO]  part: message`. Any other line is a message.
fn parse(line: &str) -> (String, Map<String, Value>) {
    if let Some(mut fields) = pairs(line)
        && let Some(Value::String(level)) = fields.shift_remove("level")
    {
        fields.shift_remove("time");
        // The name that every event of the log has for it, whatever the world.
        if let Some(message) = fields.shift_remove("msg") {
            fields.shift_insert(0, "message".to_owned(), message);
        }
        return (level, fields);
    }
    let message = |text: &str| Map::from_iter([("message".to_owned(), Value::from(text))]);
    if let Some((_, rest)) = line.split_once('[')
        && let Some((level, text)) = rest.split_once(']')
    {
        let level = match level {
            "TRACE" | "DEBUG" => "debug",
            "INFO" => "info",
            "WARN" => "warning",
            "ERR" | "ERROR" => "error",
            _ => return ("info".into(), message(line)),
        };
        return (level.into(), message(text.trim()));
    }
    ("info".into(), message(line))
}

/// The `key=value key="quoted value"` pairs of a line that is nothing else.
fn pairs(line: &str) -> Option<Map<String, Value>> {
    let mut fields = Map::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        if key.is_empty() || key.contains([' ', '"']) {
            return None;
        }
        let value = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, length) = unquote(quoted)?;
                rest = &quoted[length..];
                value
            }
            None => {
                let end = after.find(' ').unwrap_or(after.len());
                rest = &after[end..];
                after[..end].to_owned()
            }
        };
        fields.insert(key.to_owned(), Value::from(value));
        rest = rest.trim_start();
    }
    Some(fields)
}

/// The text up to the closing quote, without escapes, and its length with that quote.
fn unquote(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, at + 1)),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Memory;

    fn fields(line: &str) -> (String, String) {
        let (level, fields) = parse(line);
        (level, Value::Object(fields).to_string())
    }

    #[test]
    fn lines_of_engines_and_managers_become_fields() {
        let line = "time=\"2026-01-02T03:04:05Z\" level=warning msg=\"a \\\"b\\\"\\nc\" name=x";
        let expected = "{\"message\":\"a \\\"b\\\"\\nc\",\"name\":\"x\"}";
        assert_eq!(fields(line), ("warning".into(), expected.into()));
    }

    #[test]
    fn lines_of_consul_become_messages() {
        let line = "    2026-01-02T03:04:05.678Z [WARN]  agent: started";
        assert_eq!(fields(line), ("warning".into(), "{\"message\":\"agent: started\"}".into()));
    }

    #[test]
    fn any_other_line_is_a_message() {
        for line in ["panic: oops", "a=b [x] c", "level=\"open", "==> Starting"] {
            let expected = json!({ "message": line }).to_string();
            assert_eq!(fields(line), ("info".into(), expected));
        }
    }

    #[tokio::test]
    async fn a_process_that_ends_is_a_failure_with_its_last_words() {
        let sink = Arc::new(Memory::default());
        let board = Board::new(sink.clone(), Instant::now());
        board.node_said("one", r#"{"start":{"component":"manager"}}"#);
        let processes = [("one".to_owned(), "manager".to_owned())];
        assert_eq!(board.all_run(&processes).await, Ok(()));
        board.node_said("one", r#"{"line":{"component":"manager","line":"no such strategy"}}"#);
        board.node_said("one", r#"{"exit":{"component":"manager","status":"exit status: 1"}}"#);
        let failure = "the manager on one has ended (exit status: 1): no such strategy";
        assert_eq!(board.all_run(&processes).await, Err(failure.to_owned()));
        let kinds: Vec<_> = sink.events().into_iter().map(|event| event.kind).collect();
        assert_eq!(kinds, ["process.started", "log.info", "process.exited"]);
    }
}

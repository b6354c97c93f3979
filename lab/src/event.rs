//! The event log: what happened in a run, one JSON object per line, the same in both worlds.
//!
//! Every report is a reader of this log. The format is versioned: the first line is a header with
//! [`VERSION`], and readers refuse a version they do not know.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};

/// The version of the format.
pub const VERSION: u64 = 1;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Time since the cluster started: virtual in the simulator, real elsewhere.
    pub time: Duration,
    /// The host it happened on; `lab` for the runner itself.
    pub host: String,
    /// The part of the host: `engine`, `manager`, `agent`, `store`, `network`, `runner`.
    pub component: String,
    /// What kind of thing, as `noun.verb` (`container.start`, `log.info`, `step.passed`).
    pub kind: String,
    /// Details.
    pub fields: Map<String, Value>,
}

impl Event {
    /// An event with details given as a JSON object (anything else means none).
    #[must_use]
    pub fn new(time: Duration, host: &str, component: &str, kind: &str, fields: Value) -> Self {
        let fields = match fields {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        Self { time, host: host.into(), component: component.into(), kind: kind.into(), fields }
    }

    /// The event as a line of the log, without the newline. Times are in whole microseconds.
    #[must_use]
    pub fn line(&self) -> String {
        json!({
            "t_us": u64::try_from(self.time.as_micros()).unwrap_or(u64::MAX),
            "host": self.host,
            "component": self.component,
            "kind": self.kind,
            "fields": self.fields,
        })
        .to_string()
    }

    /// Reads a line written by [`Event::line`].
    ///
    /// # Errors
    /// What is missing or of the wrong type.
    pub fn parse(line: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
        let text = |key: &str| {
            value[key].as_str().map(str::to_owned).ok_or_else(|| format!("no text `{key}`"))
        };
        Ok(Self {
            time: Duration::from_micros(value["t_us"].as_u64().ok_or("no number `t_us`")?),
            host: text("host")?,
            component: text("component")?,
            kind: text("kind")?,
            fields: value["fields"].as_object().cloned().unwrap_or_default(),
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3} {:<14} {}", self.time.as_secs_f64(), self.host, self.kind)?;
        // A manager's own labels on a container say again what its log says better.
        let told = self.fields.iter().filter(|(key, _)| !key.starts_with("com.docker.swarm."));
        for (key, value) in told {
            match value.as_str() {
                Some(text) if is_id(text) => write!(f, " {key}={}", &text[..12])?,
                Some(text) if key == "message" => write!(f, " {text}")?,
                Some(text) => write!(f, " {key}={text}")?,
                None => write!(f, " {key}={value}")?,
            }
        }
        Ok(())
    }
}

/// Whether a text is a full identifier, of which people read only the beginning.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Takes events as they happen.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);
}

/// A sink that may be shared.
pub type SharedSink = Arc<dyn Sink>;

/// Lets every event go: for runs of which only the verdict counts.
pub struct Nowhere;

impl Sink for Nowhere {
    fn emit(&self, _: Event) {}
}

/// Keeps every event in memory, in the order of arrival.
#[derive(Default)]
pub struct Memory(Mutex<Vec<Event>>);

impl Memory {
    /// All events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().expect("no writer panics while it holds the lock").clone()
    }
}

impl Sink for Memory {
    fn emit(&self, event: Event) {
        self.0.lock().expect("no writer panics while it holds the lock").push(event);
    }
}

/// Writes each event as a line, behind a header with the version of the format.
pub struct Lines(Mutex<Box<dyn std::io::Write + Send>>);

impl Lines {
    /// A log on `out`; writes the header.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(mut out: Box<dyn std::io::Write + Send>) -> std::io::Result<Self> {
        writeln!(out, "{}", json!({ "swarmlab_log": VERSION }))?;
        Ok(Self(Mutex::new(out)))
    }
}

impl Sink for Lines {
    fn emit(&self, event: Event) {
        let mut out = self.0.lock().expect("no writer panics while it holds the lock");
        // Each line goes out at once: a run that is killed leaves all it saw. A full disk must not
        // stop a run that has containers to remove.
        let _ = writeln!(out, "{}", event.line()).and_then(|()| out.flush());
    }
}

/// Gives each event to several sinks, in their order.
pub struct Tee(pub Vec<SharedSink>);

impl Sink for Tee {
    fn emit(&self, event: Event) {
        for sink in &self.0 {
            sink.emit(event.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let fields = json!({
            "message": "made", "id": "ab".repeat(32), "name": "web", "exit": 0,
            "com.docker.swarm.id": "x",
        });
        Event::new(Duration::from_micros(1_250_000), "red", "engine", "container.create", fields)
    }

    #[test]
    fn a_line_is_read_back_as_it_was() {
        assert_eq!(Event::parse(&event().line()), Ok(event()));
        assert!(Event::parse("{}").unwrap_err().contains("t_us"));
    }

    #[test]
    fn people_see_short_identifiers() {
        let text = event().to_string();
        assert_eq!(
            text,
            "    1.250 red            container.create made id=abababababab name=web exit=0"
        );
    }
}

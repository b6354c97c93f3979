//! The engine's event stream.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde_json::{Value, json};

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Topic {
    Container,
    Image,
    Network,
    Volume,
}

impl Topic {
    pub(in crate::engine) fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
        }
    }
}

/// One event.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Event {
    pub(in crate::engine) topic: Topic,
    pub(in crate::engine) action: String,
    /// ID of the container, network and so on; the name of an image or a volume.
    pub(in crate::engine) id: String,
    pub(in crate::engine) attributes: BTreeMap<String, String>,
    pub(in crate::engine) time: Timestamp,
}

impl Event {
    /// The event as a line of `/events`, without its newline.
    pub(in crate::engine) fn json(&self) -> Value {
        let mut out = json!({});
        match self.topic {
            Topic::Container => {
                out["status"] = json!(self.action);
                out["id"] = json!(self.id);
                out["from"] = json!(self.attributes.get("image"));
            }
            Topic::Image => {
                out["status"] = json!(self.action);
                out["id"] = json!(self.id);
            }
            Topic::Network | Topic::Volume => {}
        }
        out["Type"] = json!(self.topic.as_str());
        out["Action"] = json!(self.action);
        out["Actor"] = json!({"ID": self.id, "Attributes": self.attributes});
        out["scope"] = json!("local");
        out["time"] = json!(self.time.as_second());
        out["timeNano"] = json!(i64::try_from(self.time.as_nanosecond()).unwrap_or(i64::MAX));
        out
    }
}

/// How many events `since` can reach back to, as in an engine.
const HISTORY: usize = 256;
/// How many events a slow reader may be behind before it misses some.
const BACKLOG: usize = 4096;

/// The latest events, numbered from the engine's first.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Events {
    kept: VecDeque<Event>,
    /// Number of the next event.
    next: u64,
}

impl Events {
    pub(in crate::engine) fn push(&mut self, event: Event) {
        if self.kept.len() == BACKLOG {
            self.kept.pop_front();
        }
        self.kept.push_back(event);
        self.next += 1;
    }

    /// Number of the next event: where a reader of the future starts.
    pub(in crate::engine) fn next(&self) -> u64 {
        self.next
    }

    /// Where a reader of the past starts.
    pub(in crate::engine) fn oldest(&self) -> u64 {
        self.next - self.kept.len().min(HISTORY) as u64
    }

    /// The event of that number, or of the oldest that is kept, with the number after it.
    pub(in crate::engine) fn at(&self, number: u64) -> Option<(u64, &Event)> {
        let first = self.next - self.kept.len() as u64;
        let number = number.max(first);
        let index = usize::try_from(number - first).ok()?;
        Some((number + 1, self.kept.get(index)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: usize) -> Event {
        Event {
            topic: Topic::Image,
            action: "pull".into(),
            id: format!("image{n}:latest"),
            attributes: BTreeMap::new(),
            time: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_reader_sees_each_event_once_and_a_slow_one_the_latest() {
        let mut events = Events::default();
        assert!(events.at(0).is_none());
        for n in 0..3 {
            events.push(event(n));
        }
        let (next, first) = events.at(0).unwrap();
        assert_eq!((next, first.id.as_str()), (1, "image0:latest"));
        assert!(events.at(3).is_none());
        for n in 3..BACKLOG + 10 {
            events.push(event(n));
        }
        assert_eq!(events.at(0).unwrap().1.id, "image10:latest");
        assert_eq!(events.next() - events.oldest(), HISTORY as u64);
    }
}

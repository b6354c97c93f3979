//! Events of engines and of the manager itself, and who hears them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::cluster::Node;

/// How far a reader may fall behind before it is cut off (the classic manager's number).
const BACKLOG_MAX: usize = 10_000;

/// Hands every event to every subscriber.
#[derive(Debug, Default)]
pub struct Hub {
    subscribers: Mutex<Subscribers>,
}

#[derive(Debug, Default)]
struct Subscribers {
    /// In order of subscription, so that delivery has a fixed order.
    senders: BTreeMap<u64, mpsc::Sender<Arc<Value>>>,
    next: u64,
}

/// One reader's place in the stream of events.
#[derive(Debug)]
pub struct Subscription(mpsc::Receiver<Arc<Value>>);

impl Subscription {
    /// The next event. `None` after the reader fell too far behind, once it has read what was kept.
    pub async fn next(&mut self) -> Option<Arc<Value>> {
        self.0.recv().await
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Subscribers> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives `event` to everybody who listens, without waiting for anyone.
    pub fn publish(&self, event: &Arc<Value>) {
        // A reader that is gone or full is dropped: nobody else waits for it.
        self.lock().senders.retain(|_, sender| sender.try_send(Arc::clone(event)).is_ok());
    }

    /// Listens from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let (sender, receiver) = mpsc::channel(BACKLOG_MAX);
        let mut subscribers = self.lock();
        let key = subscribers.next;
        subscribers.next += 1;
        subscribers.senders.insert(key, sender);
        Subscription(receiver)
    }

    /// How many are listening.
    #[must_use]
    pub fn listeners(&self) -> usize {
        let mut subscribers = self.lock();
        subscribers.senders.retain(|_, sender| !sender.is_closed());
        subscribers.senders.len()
    }
}

/// Who an event is about, as events name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) id: String,
    addr: String,
    ip: String,
}

impl From<&Node> for Source {
    fn from(node: &Node) -> Self {
        Self {
            name: node.name.clone(),
            id: node.id.clone(),
            addr: node.addr.clone(),
            ip: node.ip.clone(),
        }
    }
}

impl Source {
    fn attributes(&self) -> [(&'static str, &String); 4] {
        [
            ("node.addr", &self.addr),
            ("node.id", &self.id),
            ("node.ip", &self.ip),
            ("node.name", &self.name),
        ]
    }

    fn node(&self) -> Value {
        json!({ "Name": self.name, "Id": self.id, "Addr": self.addr, "Ip": self.ip })
    }

    /// An engine's event as the manager's clients see it: `from` names the node, so do four more
    /// attributes, and a `node` object is appended.
    pub(super) fn decorate(&self, event: Value) -> Value {
        let Value::Object(mut fields) = event else {
            return event;
        };
        let from = fields.get("from").and_then(Value::as_str).unwrap_or_default();
        let from = format!("{from} node:{}", self.name);
        // The engine's order, with `from` in its place even when the engine left it out.
        let mut out = Map::new();
        for key in ["status", "id"] {
            if let Some(value) = fields.shift_remove(key) {
                out.insert(key.to_owned(), value);
            }
        }
        out.insert("from".to_owned(), Value::String(from));
        fields.shift_remove("from");
        for (key, mut value) in fields {
            if key == "Actor" {
                self.add_attributes(&mut value);
            }
            out.insert(key, value);
        }
        out.insert("node".to_owned(), self.node());
        Value::Object(out)
    }

    /// Adds the node's attributes, keeping them sorted as an engine does.
    fn add_attributes(&self, actor: &mut Value) {
        let Some(actor) = actor.as_object_mut() else {
            return;
        };
        let given = actor.shift_remove("Attributes");
        let mut sorted: BTreeMap<String, Value> = match given {
            Some(Value::Object(given)) => given.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        for (key, value) in self.attributes() {
            sorted.insert(key.to_owned(), Value::String(value.clone()));
        }
        actor.insert("Attributes".to_owned(), Value::Object(sorted.into_iter().collect()));
    }

    /// One of the manager's own events: `engine_connect`, `engine_reconnect`, `engine_disconnect`.
    pub(super) fn own(&self, action: &str, now: Timestamp) -> Value {
        let attributes: Map<String, Value> = self
            .attributes()
            .into_iter()
            .map(|(key, value)| (key.to_owned(), Value::String(value.clone())))
            .collect();
        json!({
            "status": action,
            "from": format!("swarm node:{}", self.name),
            "Type": "swarm",
            "Action": action,
            "Actor": { "ID": "", "Attributes": attributes },
            "time": now.as_second(),
            "timeNano": i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX),
            "node": self.node(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        Source {
            name: "node-1".into(),
            id: "D501|127.0.0.1:2401".into(),
            addr: "127.0.0.1:2401".into(),
            ip: "127.0.0.1".into(),
        }
    }

    #[test]
    fn an_engines_event_is_shown_as_the_classic_manager_does() {
        let event = json!({
            "status": "create", "id": "01a0", "from": "nginx", "Type": "container",
            "Action": "create",
            "Actor": { "ID": "01a0", "Attributes": { "image": "nginx", "zone": "a" } },
            "scope": "local", "time": 1, "timeNano": 1_000_000_001
        });
        let expected = concat!(
            r#"{"status":"create","id":"01a0","from":"nginx node:node-1","Type":"container","#,
            r#""Action":"create","Actor":{"ID":"01a0","Attributes":{"image":"nginx","#,
            r#""node.addr":"127.0.0.1:2401","node.id":"D501|127.0.0.1:2401","#,
            r#""node.ip":"127.0.0.1","node.name":"node-1","zone":"a"}},"scope":"local","time":1,"#,
            r#""timeNano":1000000001,"node":{"Name":"node-1","Id":"D501|127.0.0.1:2401","#,
            r#""Addr":"127.0.0.1:2401","Ip":"127.0.0.1"}}"#
        );
        assert_eq!(source().decorate(event).to_string(), expected);
    }

    #[test]
    fn a_missing_from_is_named_after_the_node_alone() {
        let event = json!({ "Type": "network", "Action": "create", "Actor": { "ID": "n" } });
        let shown = source().decorate(event).to_string();
        assert!(shown.starts_with(r#"{"from":" node:node-1","Type":"network""#), "{shown}");
        assert!(shown.contains(r#""node.ip":"127.0.0.1""#), "{shown}");
    }

    #[test]
    fn the_managers_own_events_have_no_actor_and_no_scope() {
        let event = source().own("engine_connect", Timestamp::from_second(7).unwrap());
        assert_eq!(event["from"], "swarm node:node-1");
        assert_eq!(event["Actor"]["ID"], "");
        assert_eq!(event["timeNano"], 7_000_000_000_i64);
        assert_eq!(event.get("scope"), None);
    }

    #[tokio::test]
    async fn a_reader_that_falls_behind_is_cut_and_the_others_are_not() {
        let hub = Hub::default();
        let (mut slow, mut quick) = (hub.subscribe(), hub.subscribe());
        for number in 0..=BACKLOG_MAX {
            hub.publish(&Arc::new(json!(number)));
            assert_eq!(*quick.next().await.unwrap(), json!(number));
        }
        assert_eq!(hub.listeners(), 1);
        let mut read = 0;
        while slow.next().await.is_some() {
            read += 1;
        }
        assert_eq!(read, BACKLOG_MAX);
        drop(quick);
        assert_eq!(hub.listeners(), 0);
    }
}

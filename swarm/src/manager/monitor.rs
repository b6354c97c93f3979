//! Following an engine's events: what they change, and how none is lost.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::Value;

use crate::ctx::Level;
use crate::engine::{Engine, EngineError, JsonStream};

use super::events::Source;
use super::refresh::Depth;
use super::{Manager, Signals};

/// The longest pause before the event stream is opened again (the classic manager's number).
const REOPEN_MAX: Duration = Duration::from_secs(10);

/// After so long a silence the stream is opened again: a peer that lost power never says so.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// How many events wait at most while earlier ones are dealt with; then the engine has to wait.
const QUEUE_MAX: usize = 10_000;

/// How many events an engine keeps, so how many can come twice.
const REPLAY_MAX: usize = 256;

/// How many containers of one engine are looked at at the same time.
const LOOKS: usize = 8;

/// How far an engine's events have been read.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Nanoseconds since 1970 on the engine's clock; `None` while nothing is known.
    at: Option<i128>,
    /// Hashes of the last events.
    recent: VecDeque<u64>,
}

impl Cursor {
    /// Before the first event: at the engine's clock when it was asked who it is.
    pub(super) fn starting(at: Option<Timestamp>) -> Self {
        Self { at: at.map(Timestamp::as_nanosecond), recent: VecDeque::new() }
    }

    /// Where to go on, for the engine's `since` parameter. Inclusive: several events may share an
    /// instant, so some come twice.
    fn since(&self) -> Option<String> {
        let at = self.at.filter(|at| *at >= 0)?;
        Some(format!("{}.{:09}", at / 1_000_000_000, at % 1_000_000_000))
    }

    /// Takes note of an event; `false` if it has been seen already.
    fn advance(&mut self, event: &Value) -> bool {
        let mut hasher = DefaultHasher::new();
        event.to_string().hash(&mut hasher);
        let hash = hasher.finish();
        if self.recent.contains(&hash) {
            return false;
        }
        if self.recent.len() == REPLAY_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(hash);
        let nano = event.get("timeNano").and_then(Value::as_i64).filter(|nano| *nano > 0);
        let second =
            event.get("time").and_then(Value::as_i64).map(|at| i128::from(at) * 1_000_000_000);
        // The last event's time even when it is earlier: the engine's clock was set back.
        self.at = nano.map(i128::from).or(second).or(self.at);
        true
    }
}

/// An open event stream that is read while other work goes on, so that the engine never has to
/// wait, or to drop events, because the manager is busy with earlier ones.
pub(super) struct Feed {
    stream: JsonStream,
    queue: Vec<Value>,
    /// Why nothing more will come.
    broken: Option<String>,
}

impl Feed {
    pub(super) fn new(stream: JsonStream) -> Self {
        Self { stream, queue: Vec::new(), broken: None }
    }

    /// Does `work` while collecting events.
    pub(super) async fn during<T>(
        &mut self,
        cursor: &mut Cursor,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        loop {
            let reading = self.broken.is_none() && self.queue.len() < QUEUE_MAX;
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.read(cursor), if reading => {}
            }
        }
    }

    /// Collects one event. Dropping the future loses nothing.
    async fn read(&mut self, cursor: &mut Cursor) {
        match self.stream.next().await {
            Ok(Some(event)) if cursor.advance(&event) => self.queue.push(event),
            Ok(Some(_)) => {}
            Ok(None) => self.broken = Some("EOF".to_owned()),
            Err(why) => self.broken = Some(why),
        }
    }
}

/// What a batch of events calls for. Many events of one container need one look.
#[derive(Debug, Default)]
struct Plan {
    /// By full ID, in the order of the first event; `None` for those that were destroyed.
    containers: IndexMap<String, Option<Depth>>,
    all_containers: bool,
    images: bool,
    networks: bool,
    volumes: bool,
    specs: bool,
}

impl Plan {
    fn of(events: &[Value]) -> Self {
        let mut plan = Self::default();
        for event in events {
            plan.add(event);
        }
        plan
    }

    fn add(&mut self, event: &Value) {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let action = if text("Action").is_empty() { text("status") } else { text("Action") };
        // `exec_create: sh -c x`, `health_status: healthy`.
        let action = action.split(':').next().unwrap_or_default();
        let actor = event.pointer("/Actor/ID").and_then(Value::as_str).unwrap_or_default();
        let id = if text("id").is_empty() { actor } else { text("id") };
        match text("Type") {
            "container" => self.add_container(action, id),
            "image" => self.images = true,
            "volume" => self.volumes |= !matches!(action, "mount" | "unmount"),
            "network" => {
                self.networks = true;
                let member = event.pointer("/Actor/Attributes/container").and_then(Value::as_str);
                if let (Some(id), "connect" | "disconnect") = (member, action) {
                    self.look(id, Depth::Full);
                }
            }
            "daemon" => self.specs |= action == "reload",
            // Engines before 1.10 name no type.
            "" if matches!(action, "pull" | "untag" | "delete" | "commit") => self.images = true,
            "" => {
                self.add_container(action, id);
                (self.networks, self.volumes) = (true, true);
            }
            _ => {}
        }
    }

    fn add_container(&mut self, action: &str, id: &str) {
        match action {
            "commit" => self.images = true,
            "prune" => self.all_containers = true,
            "destroy" => {
                self.containers.insert(id.to_owned(), None);
            }
            "die" | "kill" | "oom" | "pause" | "start" | "restart" | "stop" | "unpause"
            | "rename" | "update" | "health_status" => self.look(id, Depth::Full),
            "top" | "resize" | "export" | "attach" | "detach" | "extract-to-dir" | "copy"
            | "archive-path" => {}
            _ if action.starts_with("exec_") => {}
            _ => self.look(id, Depth::Soft),
        }
    }

    fn look(&mut self, id: &str, depth: Depth) {
        if id.is_empty() {
            self.all_containers = true;
            return;
        }
        let entry = self.containers.entry(id.to_owned()).or_insert(Some(depth));
        // Destroyed stays destroyed: an engine never gives an ID twice.
        *entry = entry.map(|known| known.max(depth));
    }
}

impl Manager {
    /// Follows the events of a validated engine for as long as the task lives.
    pub(super) async fn follow_events(
        self: Arc<Self>,
        engine: Arc<Engine>,
        signals: Arc<Signals>,
        mut feed: Feed,
        mut cursor: Cursor,
    ) {
        loop {
            let why = self.follow(&engine, &signals, &mut feed, &mut cursor).await;
            self.ctx.log_with(
                Level::Debug,
                format!("Event stream ended: {why}"),
                &[("Addr", &engine.addr)],
            );
            // Perhaps the engine is dead: then its failures count from now on, and not only from the
            // next refresh. How the stream itself fares counts for nothing.
            if let Err(error) = engine.ping().await {
                self.log_failed(&engine, "health", &error);
            }
            feed = loop {
                tokio::time::sleep(self.reopen_delay(&engine)).await;
                match self.reopen(&engine, &signals, &mut cursor).await {
                    Ok(feed) => break feed,
                    Err(error) => self.log_failed(&engine, "events", &error),
                }
            };
        }
    }

    fn reopen_delay(&self, engine: &Engine) -> Duration {
        let failures = self.with_slot(engine, |_, cluster| {
            cluster.node(&engine.addr).map_or(0, |node| node.failures)
        });
        let pause = u64::from(failures.unwrap_or(0)).saturating_add(1);
        Duration::from_secs(pause).min(REOPEN_MAX)
    }

    /// Opens the stream where the last one ended. An engine keeps few events, and none across a
    /// restart, so everything is listed again as well.
    async fn reopen(
        &self,
        engine: &Engine,
        signals: &Signals,
        cursor: &mut Cursor,
    ) -> Result<Feed, EngineError> {
        let stream = engine.events(cursor.since().as_deref()).await?;
        // What was suspected of the old stream says nothing about this one.
        let _ = signals.suspect.notified().now_or_never();
        let mut feed = Feed::new(stream);
        let lists = async {
            self.list_containers(engine).await?;
            self.list_volumes(engine).await?;
            self.list_networks(engine).await?;
            self.list_images(engine).await
        };
        feed.during(cursor, lists).await?;
        Ok(feed)
    }

    /// Deals with events until the stream breaks; says why it did.
    async fn follow(
        &self,
        engine: &Engine,
        signals: &Signals,
        feed: &mut Feed,
        cursor: &mut Cursor,
    ) -> String {
        let mut suspicion = None;
        loop {
            let batch = std::mem::take(&mut feed.queue);
            if !batch.is_empty() {
                feed.during(cursor, self.deal_with(engine, batch)).await;
                continue;
            }
            if let Some(why) = suspicion.or_else(|| feed.broken.take()) {
                return why;
            }
            suspicion = tokio::select! {
                biased;
                () = feed.read(cursor) => None,
                () = signals.suspect.notified() => Some("a call to the engine failed".to_owned()),
                () = tokio::time::sleep(SILENCE_MAX) => Some("nothing to hear".to_owned()),
            };
        }
    }

    /// Brings the cache up to date with a batch of events, then tells everybody of them: who reacts
    /// to an event finds what it speaks of.
    async fn deal_with(&self, engine: &Engine, events: Vec<Value>) {
        let plan = Plan::of(&events);
        futures_util::stream::iter(&plan.containers)
            .for_each_concurrent(LOOKS, async |(id, depth)| {
                let Some(depth) = depth else {
                    self.forget_now(engine, id);
                    return;
                };
                if let Err(error) = self.look_at(engine, id, *depth).await {
                    self.log_failed(engine, "a container", &error);
                }
            })
            .await;
        let mut results = Vec::new();
        if plan.all_containers {
            results.push(("containers", self.list_containers(engine).await));
        }
        if plan.images {
            results.push(("images", self.list_images(engine).await));
        }
        if plan.networks {
            results.push(("networks", self.list_networks(engine).await));
        }
        if plan.volumes {
            results.push(("volumes", self.list_volumes(engine).await));
        }
        for (what, result) in results {
            if let Err(error) = result {
                self.log_failed(engine, what, &error);
            }
        }
        if plan.specs
            && let Err(failure) = self.read_specs(engine).await
        {
            let text = format!("Update engine specs failed: {}", failure.message);
            self.ctx.log_with(Level::Error, text, &[("Addr", &engine.addr)]);
            self.with_slot(engine, |slot, _| slot.signals.refresh.notify_one());
        }
        let source = self.with_slot(engine, |_, cluster| {
            cluster.node(&engine.addr).map(Source::from).unwrap_or_default()
        });
        if let Some(source) = source {
            for event in events {
                self.publish_event(&source, event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(action: &str, id: &str) -> Value {
        json!({ "Type": "container", "Action": action, "Actor": { "ID": id } })
    }

    #[test]
    fn many_events_of_one_container_need_one_look() {
        let plan = Plan::of(&[event("create", "a"), event("start", "a"), event("attach", "a")]);
        assert_eq!(plan.containers["a"], Some(Depth::Full));
        let plan = Plan::of(&[event("die", "a"), event("destroy", "a"), event("stop", "a")]);
        assert_eq!(plan.containers["a"], None);
        let plan = Plan::of(&[event("exec_create: sh -c ls", "a"), event("exec_die", "a")]);
        assert!(plan.containers.is_empty());
        let plan = Plan::of(&[event("health_status: healthy", "a")]);
        assert_eq!(plan.containers["a"], Some(Depth::Full));
    }

    #[test]
    fn an_event_without_an_object_means_everything_of_its_type() {
        assert!(Plan::of(&[event("prune", "")]).all_containers);
        let prune = |of: &str| Plan::of(&[json!({ "Type": of, "Action": "prune" })]);
        assert!(prune("image").images && prune("network").networks && prune("volume").volumes);
        let old = Plan::of(&[json!({ "status": "die", "id": "a", "from": "x", "time": 1 })]);
        assert_eq!(old.containers["a"], Some(Depth::Full));
        assert!(old.networks && old.volumes && !old.images);
    }

    #[test]
    fn a_member_that_joins_a_network_is_looked_at() {
        let joined = json!({ "Type": "network", "Action": "connect",
            "Actor": { "ID": "n", "Attributes": { "container": "a" } } });
        let plan = Plan::of(&[joined]);
        assert!(plan.networks);
        assert_eq!(plan.containers["a"], Some(Depth::Full));
    }

    #[test]
    fn a_replayed_event_is_known_and_the_place_in_the_stream_is_exact() {
        let mut cursor = Cursor::starting(Timestamp::from_second(5).ok());
        assert_eq!(cursor.since().unwrap(), "5.000000000");
        let first = json!({ "Action": "start", "timeNano": 7_000_000_001_i64 });
        let second = json!({ "Action": "die", "timeNano": 7_000_000_001_i64 });
        assert!(cursor.advance(&first) && cursor.advance(&second));
        assert_eq!(cursor.since().unwrap(), "7.000000001");
        assert!(!cursor.advance(&first) && !cursor.advance(&second));
        let old = json!({ "status": "die", "time": 3 });
        assert!(cursor.advance(&old));
        assert_eq!(cursor.since().unwrap(), "3.000000000");
    }
}

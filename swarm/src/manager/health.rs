//! What the outcome of a call means for its node.

use crate::cluster::Transition;
use crate::ctx::Level;
use crate::engine::{Engine, EngineError, Observer};

use super::Manager;
use super::events::Source;

impl Observer for Manager {
    /// The classic manager's accounting: a success revives, a failure to connect counts, any other
    /// error says nothing about the engine.
    fn observe(&self, engine: &Engine, result: Result<(), &EngineError>) {
        let (addr, now) = (engine.addr.as_str(), self.ctx.now());
        let changed = self.with_slot(engine, |slot, cluster| {
            let transition = match result {
                Ok(()) => cluster.succeeded(addr, now),
                Err(EngineError::Connect(text)) => cluster.failed(addr, text, now),
                Err(EngineError::Api { .. } | EngineError::Other(_)) => Transition::None,
            };
            if matches!(result, Err(EngineError::Connect(_) | EngineError::Other(_))) {
                slot.signals.suspect.notify_one();
            }
            if matches!(transition, Transition::CameBack(_)) {
                slot.signals.refresh.notify_one();
            }
            if matches!(result, Err(EngineError::Connect(_))) {
                slot.signals.doubt.notify_one();
            }
            (transition, cluster.node(addr).map(Source::from).unwrap_or_default())
        });
        match changed {
            Some((Transition::WentDown(failures), source)) => {
                self.log_node(
                    &source,
                    Level::Error,
                    &format!("Flagging engine as unhealthy. Connect failed {failures} times"),
                );
                self.publish_own(&source, "engine_disconnect");
                self.watchdog.hurry();
            }
            Some((Transition::CameBack(retries), source)) => {
                self.log_node(
                    &source,
                    Level::Info,
                    &format!("Engine came back to life after {retries} retries. Hooray!"),
                );
                self.publish_own(&source, "engine_reconnect");
            }
            Some((Transition::None, _)) | None => {}
        }
    }
}

impl Manager {
    /// Logs `message` with the node's name and ID as fields, as the classic manager does.
    pub(super) fn log_node(&self, source: &Source, level: Level, message: &str) {
        let fields = [("name", source.name.as_str()), ("id", source.id.as_str())];
        self.ctx.log_with(level, message, &fields);
    }
}

//! From an address to a registered engine, and back when it turns out to be another one.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::ctx::Level;
use crate::engine::{ApiVersion, Engine, EngineError};

use super::events::Source;
use super::monitor::{Cursor, Feed};
use super::{Manager, Signals};

/// Between the first attempts to validate an engine. The classic manager leaves a new address alone
/// for half a minute; an agent often registers before its engine listens.
const RETRY_SOON: Duration = Duration::from_secs(10);

/// How many attempts follow each other that quickly.
const RETRIES_SOON: u32 = 3;

/// The longest pause between two attempts. The classic manager goes up to four hours.
const RETRY_MAX: Duration = Duration::from_secs(300);

/// Why an engine's description of itself could not be taken over.
pub(super) struct SpecsFailure {
    /// The text to show and log.
    pub(super) message: String,
    /// Whether another engine answered: the node is pending again.
    pub(super) identity_changed: bool,
}

impl From<EngineError> for SpecsFailure {
    fn from(error: EngineError) -> Self {
        Self { message: error.to_string(), identity_changed: false }
    }
}

/// What an engine says of itself.
pub(super) struct Specs {
    /// Its clock when it was asked.
    system_time: Option<Timestamp>,
    warnings: Vec<String>,
}

impl Manager {
    /// Looks after one engine for as long as its address is in discovery.
    pub(super) async fn supervise(self: Arc<Self>, engine: Arc<Engine>, signals: Arc<Signals>) {
        loop {
            let mut failures = 0;
            let (feed, cursor) = loop {
                match self.connect(&engine).await {
                    Ok(connected) => break connected,
                    Err(message) => self.note_invalid(&engine, &message),
                }
                failures += 1;
                tokio::time::sleep(retry_delay(failures)).await;
            };
            let follow = Arc::clone(&self).follow_events(
                Arc::clone(&engine),
                Arc::clone(&signals),
                feed,
                cursor,
            );
            let monitor = self.ctx.spawn("engine-events", follow).abort_on_drop();
            self.with_slot(&engine, |slot, _| slot.monitor = Some(monitor));
            self.keep_fresh(&engine, &signals).await;
            // The engine is another one: its events must not be taken for those of the old one.
            self.with_slot(&engine, |slot, _| slot.monitor = None);
        }
    }

    /// Validates an engine and learns what it has. The order matters: the event stream is open
    /// before the first list, so nothing that happens in between is missed.
    async fn connect(&self, engine: &Engine) -> Result<(Feed, Cursor), String> {
        let specs = self.read_specs(engine).await.map_err(|failure| failure.message)?;
        for warning in &specs.warnings {
            self.ctx.log(Level::Warn, warning.as_str());
        }
        let stream = engine.events(None).await.map_err(|error| error.to_string())?;
        let mut feed = Feed::new(stream);
        let mut cursor = Cursor::starting(specs.system_time);
        let lists = async {
            self.list_containers(engine).await?;
            self.list_images(engine).await?;
            // Engines without volumes or networks are engines, too.
            for result in [self.list_volumes(engine).await, self.list_networks(engine).await] {
                if let Err(error) = result {
                    self.ctx.log(Level::Debug, error.to_string());
                }
            }
            Ok::<_, EngineError>(())
        };
        let lists = feed.during(&mut cursor, lists).await;
        lists.map_err(|error| error.to_string())?;
        let registered = self.with_slot(engine, |_, cluster| {
            let source = cluster.node(&engine.addr).map(Source::from).unwrap_or_default();
            self.publish_own(&source, "engine_connect");
            cluster.register(&engine.addr, self.ctx.now());
            cluster.forget_departed(&engine.addr);
            source
        });
        let source = registered.ok_or("Engine no longer exists")?;
        let message = format!("Registered Engine {} at {}", source.name, engine.addr);
        self.ctx.log(Level::Info, message);
        self.watchdog.hurry();
        Ok((feed, cursor))
    }

    /// Asks the engine who it is, and agrees with it on a version.
    pub(super) async fn read_specs(&self, engine: &Engine) -> Result<Specs, SpecsFailure> {
        let limit = self.options.timeouts.probe;
        let look_up = tokio::time::timeout(limit, self.ctx.net.resolve(engine.host())).await;
        let ip = look_up
            .map_err(|_| EngineError::Other(format!("lookup {}: i/o timeout", engine.host())))?
            .map_err(|error| EngineError::Other(error.to_string()))?;
        let info = engine.probe("/info").await?;
        let info_at = self.ctx.now();
        let version = engine.probe("/version").await?;
        let taken = self.with_slot(engine, |_, cluster| {
            cluster.set_specs(&engine.addr, &ip.to_string(), &info, &version, info_at)
        });
        let gone = || EngineError::Other("Engine no longer exists".to_owned());
        let warnings = taken.ok_or_else(gone)?.map_err(|error| SpecsFailure {
            message: error.message,
            identity_changed: error.identity_changed,
        })?;
        let newest = engine.ping().await?;
        let oldest = version.get("MinAPIVersion").and_then(Value::as_str);
        let oldest = oldest.and_then(|text| text.parse().ok());
        let spoken = ApiVersion::negotiate(newest, oldest).map_err(EngineError::Other)?;
        engine.speak(spoken);
        let system_time = info.get("SystemTime").and_then(Value::as_str);
        Ok(Specs { system_time: system_time.and_then(|text| text.parse().ok()), warnings })
    }

    /// Shows why an engine is not usable. The classic manager shows it for refused connections
    /// only.
    fn note_invalid(&self, engine: &Engine, message: &str) {
        let text = format!("Failed to validate pending node: {message}");
        self.ctx.log_with(Level::Debug, text, &[("Addr", &engine.addr)]);
        let now = self.ctx.now();
        self.with_slot(engine, |_, cluster| cluster.note_error(&engine.addr, message, now));
    }
}

/// The pause after the given number of failed validations: quick at first, then the classic
/// manager's 30 s plus a power of two.
fn retry_delay(failures: u32) -> Duration {
    if failures <= RETRIES_SOON {
        return RETRY_SOON;
    }
    let power = 2_u64.saturating_pow(failures - RETRIES_SOON);
    Duration::from_secs(30).saturating_add(Duration::from_secs(power)).min(RETRY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_is_tried_soon_and_then_ever_more_rarely() {
        let seconds: Vec<u64> = (1..=6).map(|n| retry_delay(n).as_secs()).collect();
        assert_eq!(seconds, [10, 10, 10, 32, 34, 38]);
        assert_eq!(retry_delay(u32::MAX), RETRY_MAX);
    }
}

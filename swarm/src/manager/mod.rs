//! The manager: one owner of the cluster's state, and the tasks that keep it true.
//!
//! Each address in discovery has a [`slot`](Slot): its engine and one supervising task, which
//! validates the engine ([`connect`]), then refreshes what is known of it ([`refresh`]) until it
//! leaves or turns out to be another engine. A second task follows the engine's events
//! ([`monitor`]). What clients ask for is in [`create`], [`actions`], [`networks`], and
//! [`volumes`]; containers of dead nodes are looked after in [`reschedule`]. All of them meet in
//! [`Manager::with`], which holds the only lock and never across an await.

mod actions;
mod choose;
mod connect;
mod create;
pub mod events;
mod explain;
mod fresh;
mod health;
mod image;
mod images;
mod membership;
mod monitor;
mod networks;
mod refresh;
mod replacement;
mod reschedule;
mod settle;
mod volumes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use crate::cluster::{self, Cluster};
use crate::ctx::{Ctx, Level, TaskGuard};
use crate::discovery::Discovery;
use crate::engine::{Engine, EngineError, Timeouts};
use crate::scheduler::Scheduler;
use crate::tls;

pub use actions::RenameError;
pub use create::{CreateError, Created};
use events::{Hub, Source};
use fresh::Freshness;
pub use networks::Network;
use reschedule::Watchdog;
pub use volumes::volume_path;

/// Settings of a manager.
#[derive(Clone, Debug)]
pub struct Options {
    /// Filters and strategy.
    pub scheduler: Scheduler,
    /// Overcommitment and failure count.
    pub cluster: cluster::Options,
    /// The shortest time between two refreshes of an engine.
    pub refresh_min: Duration,
    /// The longest, before back-off.
    pub refresh_max: Duration,
    /// How often a failed create is tried again.
    pub create_retry: u32,
    /// How long to wait for engines.
    pub timeouts: Timeouts,
    /// For the connections to engines; without it they are plain.
    pub tls: Option<tls::Client>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scheduler: Scheduler::default(),
            cluster: cluster::Options::default(),
            refresh_min: Duration::from_secs(30),
            refresh_max: Duration::from_secs(60),
            create_retry: 0,
            timeouts: Timeouts::default(),
            tls: None,
        }
    }
}

/// The manager.
pub struct Manager {
    /// The host it runs on.
    pub ctx: Ctx,
    /// Its settings.
    pub options: Options,
    /// Everything that happens on the engines, and to them.
    pub events: Hub,
    state: Mutex<Shared>,
    watchdog: Watchdog,
    /// Itself, for the tasks it starts and the engines that report to it.
    this: Weak<Self>,
}

/// What the lock protects.
struct Shared {
    cluster: Cluster,
    /// By address.
    slots: BTreeMap<String, Slot>,
}

/// One address of discovery. Dropping it ends its tasks.
struct Slot {
    engine: Arc<Engine>,
    fresh: Freshness,
    signals: Arc<Signals>,
    /// Validates and refreshes.
    supervisor: Option<TaskGuard>,
    /// Follows the events; there is never more than one.
    monitor: Option<TaskGuard>,
}

/// The client's text when the host goes down while it waits.
const STOPPED: &str = "the manager is shutting down";

/// How an engine's tasks are hurried. Each holds at most one wake-up, so nobody ever waits to send.
#[derive(Debug, Default)]
struct Signals {
    /// Refresh now: the engine is back, or it is another one.
    refresh: Notify,
    /// The engine could not be reached: the next refresh may be due sooner.
    doubt: Notify,
    /// The event stream may be dead without knowing it: some call to the engine broke.
    suspect: Notify,
}

impl Manager {
    /// A manager without engines.
    #[must_use]
    pub fn new(ctx: Ctx, options: Options) -> Arc<Self> {
        let cluster = Cluster::new(options.cluster.clone());
        Arc::new_cyclic(|this| Self {
            ctx,
            options,
            events: Hub::default(),
            state: Mutex::new(Shared { cluster, slots: BTreeMap::new() }),
            watchdog: Watchdog::default(),
            this: this.clone(),
        })
    }

    /// Follows `discovery` from now on, as a task.
    pub fn start(self: &Arc<Self>, discovery: Arc<dyn Discovery>) {
        self.ctx.spawn("watchdog", Arc::clone(self).watch_copies());
        let manager = Arc::clone(self);
        self.ctx.spawn("membership", async move {
            let mut watch = discovery.watch();
            while let Some(batch) = watch.recv().await {
                match batch {
                    Ok(entries) => {
                        let addrs: Vec<String> = entries.iter().map(ToString::to_string).collect();
                        manager.apply_membership(&addrs);
                    }
                    // The engines known so far stay: a store that is down removes nobody.
                    Err(error) => {
                        manager.ctx.log(Level::Error, format!("Discovery error: {error}"));
                    }
                }
            }
        });
    }

    /// Reads or changes the cluster. `f` must not call the manager.
    pub fn with<R>(&self, f: impl FnOnce(&mut Cluster) -> R) -> R {
        f(&mut self.shared().cluster)
    }

    /// The engine at `addr`.
    #[must_use]
    pub fn engine(&self, addr: &str) -> Option<Arc<Engine>> {
        self.shared().slots.get(addr).map(|slot| Arc::clone(&slot.engine))
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // A panic while the lock was held has been reported; the state is plain data.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine at `addr`, for calls that need one.
    fn known_engine(&self, addr: &str) -> Result<Arc<Engine>, EngineError> {
        let gone = || EngineError::Other("Engine no longer exists".to_owned());
        self.engine(addr).ok_or_else(gone)
    }

    /// Changes the slot of `engine` and the cluster, unless the engine has left meanwhile: then
    /// what was learnt from it is of no use.
    fn with_slot<R>(
        &self,
        engine: &Engine,
        f: impl FnOnce(&mut Slot, &mut Cluster) -> R,
    ) -> Option<R> {
        let Shared { cluster, slots } = &mut *self.shared();
        let slot = slots.get_mut(&engine.addr)?;
        std::ptr::eq(Arc::as_ptr(&slot.engine), engine).then(|| f(slot, cluster))
    }

    /// Publishes one of the manager's own events about a node.
    fn publish_own(&self, source: &Source, action: &str) {
        self.events.publish(&Arc::new(source.own(action, self.ctx.now())));
    }

    /// Publishes an event of an engine.
    fn publish_event(&self, source: &Source, event: Value) {
        self.events.publish(&Arc::new(source.decorate(event)));
    }

    /// Runs `work` to its end even if the caller stops waiting: a client that disconnects must not
    /// leave a claim or an unseen container behind. `None` only if the host is shutting down.
    async fn detached<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.ctx.spawn(name, async move {
            // A caller that is gone does not need the result.
            let _ = sender.send(work.await);
        });
        receiver.await.ok()
    }
}

#[cfg(test)]
mod tests;

//! The watchdog: containers of dead nodes are made anew elsewhere, and there is one of each
//! afterwards.
//!
//! It does not react to events but compares what is with what should be
//! ([`Cluster::care`](crate::cluster::Cluster::care)), after anything that may have changed it and
//! from time to time. So it does not matter whether a node died before this manager was in charge,
//! whether an attempt failed, or in which step another manager was interrupted.
//!
//! * A node is dead when its calls fail to connect as often in a row as the settings say, and one
//!   last question finds no answer either. Having left discovery is no death: the engine is asked.
//! * A copy is removed only when both copies have just been seen, and only by its lineage.
//! * A failed attempt is repeated, at once when a node joins or comes back, else after a pause.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::cluster::{Care, Node, Place, State};
use crate::ctx::Level;
use crate::engine::EngineError;

use super::Manager;
use super::refresh::Depth;
use super::replacement;

/// How often to look without a reason. What is missed until then: an attempt that another manager
/// left unfinished.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How many containers are dealt with at the same time.
const CHORES_MAX: usize = 8;

/// The pause after the first failure; each further one doubles it.
const PAUSE: Duration = Duration::from_secs(2);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The pause between two steps for one container.
const STEP: Duration = Duration::from_millis(500);

/// How often an engine that left discovery is asked at most when it neither answers nor fails to
/// connect: a name that no longer resolves, say.
const DOUBTS_MAX: u32 = 100;

/// What is being done about copies, by swarm ID: one thing at a time for each container.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    wake: Notify,
    chores: Mutex<BTreeMap<String, Chore>>,
}

#[derive(Debug)]
struct Chore {
    busy: bool,
    /// Not before.
    due: Instant,
    failures: u32,
    /// What was logged last, so that it is not logged again and again.
    said: String,
}

impl Watchdog {
    /// Looks now, and repeats now what has failed: something has changed.
    pub(super) fn hurry(&self) {
        let now = Instant::now();
        for chore in self.chores().values_mut() {
            chore.due = now;
        }
        self.wake.notify_one();
    }

    fn chores(&self) -> MutexGuard<'_, BTreeMap<String, Chore>> {
        self.chores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks as begun what is due of `todo`; gives that, and when something else will be.
    fn begin(&self, todo: Vec<Care>, now: Instant) -> (Vec<Care>, Instant) {
        let mut next = now + LOOK_EVERY;
        let todo: BTreeMap<String, Care> =
            todo.into_iter().map(|care| (care.swarm_id().to_owned(), care)).collect();
        let mut chores = self.chores();
        chores.retain(|id, chore| chore.busy || todo.contains_key(id));
        let mut begun = Vec::new();
        for (id, care) in todo {
            let new = || Chore { busy: false, due: now, failures: 0, said: String::new() };
            let chore = chores.entry(id).or_insert_with(new);
            if chore.busy {
                continue;
            }
            if chore.due > now {
                next = next.min(chore.due);
                continue;
            }
            chore.busy = true;
            begun.push(care);
        }
        (begun, next)
    }

    /// Notes how it went. Says whether the failure is a new one.
    fn end(&self, swarm_id: &str, result: &Result<(), String>, now: Instant) -> bool {
        let mut chores = self.chores();
        let Some(chore) = chores.get_mut(swarm_id) else { return true };
        chore.busy = false;
        let new = match result {
            Ok(()) => {
                chore.failures = 0;
                chore.due = now + STEP;
                false
            }
            Err(text) => {
                let pause = PAUSE.saturating_mul(1 << chore.failures.min(5)).min(PAUSE_MAX);
                chore.failures = chore.failures.saturating_add(1);
                chore.due = now + pause;
                std::mem::replace(&mut chore.said, text.clone()) != *text
            }
        };
        drop(chores);
        self.wake.notify_one();
        new
    }
}

impl Manager {
    /// Looks after copies for ever.
    pub(super) async fn watch_copies(self: Arc<Self>) {
        let places = Arc::new(Semaphore::new(CHORES_MAX));
        loop {
            let todo = self.with(|cluster| cluster.care());
            let (begun, next) = self.watchdog.begin(todo, Instant::now());
            for care in begun {
                let (manager, places) = (Arc::clone(&self), Arc::clone(&places));
                self.ctx.spawn("reschedule", async move {
                    let _place = places.acquire().await.expect("never closed");
                    manager.attend(&care).await;
                });
            }
            tokio::select! {
                biased;
                () = self.watchdog.wake.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    async fn attend(self: &Arc<Self>, care: &Care) {
        let result = match care {
            Care::Replace(place) => self.replace(place).await,
            Care::Start(place) => self.start_replacement(place).await,
            Care::Remove(place, keeper) => self.remove_copy(place, keeper).await,
        };
        let new = self.watchdog.end(care.swarm_id(), &result, Instant::now());
        if let Err(text) = result {
            self.ctx.log(if new { Level::Error } else { Level::Debug }, text);
        }
    }

    /// Whether it is still the thing to do: time has passed.
    fn is_due(&self, care: &Care) -> bool {
        self.with(|cluster| cluster.care().contains(care))
    }

    /// Makes a container of a dead node anew.
    async fn replace(self: &Arc<Self>, place: &Place) -> Result<(), String> {
        if self.answers(place).await || !self.is_due(&Care::Replace(place.clone())) {
            return Ok(());
        }
        let lost = self.with(|cluster| {
            let label = cluster.lineage_of_replacement(place)?;
            let (node, container) = cluster.lost_container(place)?;
            Some((replacement::Lost::new(container, &label)?, node.name.clone()))
        });
        let Some((mut lost, from)) = lost else { return Ok(()) };
        self.release_endpoints(&mut lost).await;
        let created = self.create_replacement(&lost.name, &place.swarm_id, lost.body.clone()).await;
        let id = &place.id;
        let created = created.map_err(|e| format!("Failed to reschedule container {id}: {e}"))?;
        let to = self.with(|cluster| {
            cluster.replaced(place);
            cluster.node(&created.node).map(|node| node.name.clone()).unwrap_or_default()
        });
        let new = &created.id;
        let text = format!("Rescheduled container {id} from {from} to {to} as {new}");
        self.ctx.log(Level::Info, text);
        self.connect_networks(&created, &lost).await;
        if !lost.running || self.with(|c| c.node(&place.addr).is_some_and(Node::is_healthy)) {
            // It came back in the last moment: which copy is kept is seen when it has told what it
            // has.
            return Ok(());
        }
        let text = format!("Container {id} was running, starting container {new}");
        self.ctx.log(Level::Info, text);
        let copy = Place { swarm_id: place.swarm_id.clone(), addr: created.node, id: created.id };
        self.start_replacement(&copy).await
    }

    /// One last question to a node that is taken for dead. An answer makes it alive.
    async fn answers(&self, place: &Place) -> bool {
        let addr = place.addr.as_str();
        if let Some(engine) = self.engine(addr) {
            return engine.ping().await.is_ok();
        }
        let Some(engine) = self.new_engine(addr, Weak::new()) else { return false };
        let answers = engine.ping().await.is_ok();
        if answers {
            self.with(|cluster| cluster.forget_departed(addr));
        }
        answers
    }

    async fn start_replacement(&self, place: &Place) -> Result<(), String> {
        let started = self.start_container(&place.addr, &place.id).await;
        started.map_err(|e| format!("Failed to start rescheduled container {}: {e}", place.id))
    }

    /// Removes a copy, if both are there.
    async fn remove_copy(&self, place: &Place, keeper: &Place) -> Result<(), String> {
        let name = |place: &Place| {
            let name = self.with(|cluster| cluster.node(&place.addr).map(|node| node.name.clone()));
            name.unwrap_or_else(|| place.addr.clone())
        };
        let (id, node) = (&place.id, name(place));
        let failed = |error: EngineError| {
            format!("Failed to remove duplicate container {id} on node {node}: {error}")
        };
        for copy in [place, keeper] {
            let engine = self.known_engine(&copy.addr).map_err(failed)?;
            self.look_at(&engine, &copy.id, Depth::Full).await.map_err(failed)?;
        }
        if !self.is_due(&Care::Remove(place.clone(), keeper.clone())) {
            return Ok(());
        }
        match self.remove_container(&place.addr, id, true, true).await {
            Ok(()) => {
                let (kept, there) = (&keeper.id, name(keeper));
                let text = format!(
                    "Removed duplicate container {id} on node {node}: {kept} on node {there} stands \
                     for it"
                );
                self.ctx.log(Level::Info, text);
                Ok(())
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// A node with containers that are to survive it has left discovery. Perhaps only its agent is
    /// dead: its engine decides.
    pub(super) fn doubt(self: &Arc<Self>, node: Node) {
        let manager = Arc::clone(self);
        let Some(engine) = self.new_engine(&node.addr, Weak::new()) else { return };
        self.ctx.spawn("doubt", async move {
            let retry = manager.options.cluster.failure_retry;
            // One that was unhealthy already has had its chances.
            let mut failures = if node.failures >= retry { retry } else { 0 };
            for _ in 0..DOUBTS_MAX {
                if failures >= retry {
                    debug_assert_eq!(node.state, State::Disconnected);
                    manager.with(|cluster| cluster.mourn(node));
                    manager.watchdog.hurry();
                    return;
                }
                match engine.ping().await {
                    Ok(_) => return,
                    Err(EngineError::Connect(_)) => failures += 1,
                    Err(EngineError::Api { .. } | EngineError::Other(_)) => {}
                }
                tokio::time::sleep(manager.options.refresh_min).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(swarm_id: &str) -> Care {
        Care::Start(Place {
            swarm_id: swarm_id.to_owned(),
            addr: "a:1".to_owned(),
            id: "c".to_owned(),
        })
    }

    #[test]
    fn a_failure_is_repeated_after_a_pause_or_when_something_changed() {
        let (watchdog, now) = (Watchdog::default(), Instant::now());
        let todo = || vec![start("s")];
        assert_eq!(watchdog.begin(todo(), now).0, todo());
        assert_eq!(watchdog.begin(todo(), now).0, [], "one thing at a time");
        let failed = Err("no room".to_owned());
        assert!(watchdog.end("s", &failed, now));
        assert_eq!(watchdog.begin(todo(), now), (vec![], now + PAUSE));
        let later = now + PAUSE;
        assert_eq!(watchdog.begin(todo(), later).0, todo());
        assert!(!watchdog.end("s", &failed, later), "the same failure is no news");
        assert_eq!(watchdog.begin(todo(), later).1, later + 2 * PAUSE);
        watchdog.hurry();
        assert_eq!(watchdog.begin(todo(), Instant::now()).0, todo());
        for _ in 0..100 {
            watchdog.end("s", &failed, later);
        }
        assert_eq!(watchdog.begin(todo(), later).1, later + PAUSE_MAX);
    }

    #[test]
    fn what_is_no_longer_to_be_done_is_forgotten() {
        let (watchdog, now) = (Watchdog::default(), Instant::now());
        watchdog.begin(vec![start("s")], now);
        watchdog.end("s", &Ok(()), now);
        assert_eq!(watchdog.begin(vec![start("s")], now).0, [], "not twice in one moment");
        watchdog.begin(vec![], now);
        assert_eq!(watchdog.begin(vec![start("s")], now).0, [start("s")]);
    }
}

//! Engines come and go with discovery.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use crate::ctx::Level;
use crate::engine::{Engine, Observer};

use super::events::Source;
use super::{Freshness, Manager, Shared, Signals, Slot};

impl Manager {
    /// Makes `addrs` (`host:port`) the engines of the cluster: first the others leave, then new
    /// ones are added in the order given, and validated at once.
    pub fn apply_membership(self: &Arc<Self>, addrs: &[String]) {
        let wanted: BTreeSet<&String> = addrs.iter().collect();
        let known: Vec<String> = self.shared().slots.keys().cloned().collect();
        for addr in known.iter().filter(|addr| !wanted.contains(addr)) {
            self.remove_engine(addr);
        }
        for addr in addrs {
            self.add_engine(addr);
        }
    }

    /// An engine at `addr` whose calls `observer` hears of; `None` if that is no address.
    pub(super) fn new_engine(&self, addr: &str, observer: Weak<Self>) -> Option<Engine> {
        let observer: Weak<dyn Observer> = observer;
        match Engine::new(&self.ctx, addr, self.options.timeouts, observer) {
            Ok(engine) => Some(engine),
            Err(error) => {
                self.ctx.log(Level::Warn, format!("Discovery entry ignored: {error}"));
                None
            }
        }
    }

    fn add_engine(self: &Arc<Self>, addr: &str) {
        let Some(engine) = self.new_engine(addr, Weak::clone(&self.this)).map(Arc::new) else {
            return;
        };
        let signals = Arc::new(Signals::default());
        {
            let Shared { cluster, slots } = &mut *self.shared();
            if !cluster.add_node(addr, self.ctx.now()) {
                return;
            }
            let slot = Slot {
                engine: Arc::clone(&engine),
                fresh: Freshness::default(),
                signals: Arc::clone(&signals),
                supervisor: None,
                monitor: None,
            };
            slots.insert(addr.to_owned(), slot);
        }
        let work = Arc::clone(self).supervise(Arc::clone(&engine), signals);
        let task = self.ctx.spawn("engine", work).abort_on_drop();
        // If the engine left in this instant, the guard ends the task here.
        self.with_slot(&engine, |slot, _| slot.supervisor = Some(task));
    }

    fn remove_engine(self: &Arc<Self>, addr: &str) {
        let (needed, slot, node) = {
            let Shared { cluster, slots } = &mut *self.shared();
            (cluster.is_needed(addr), slots.remove(addr), cluster.remove_node(addr))
        };
        let (Some(slot), Some(node)) = (slot, node) else {
            return;
        };
        slot.engine.retire();
        let source = Source::from(&node);
        self.ctx.log(Level::Info, format!("Removed Engine {}", source.name));
        self.publish_own(&source, "engine_disconnect");
        if needed {
            self.doubt(node);
        }
    }
}

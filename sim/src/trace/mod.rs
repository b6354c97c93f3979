//! What happened in a world, in order.
//!
//! Every record goes into one rolling hash: two runs are the same run exactly when their hashes
//! are equal. The records themselves are handed to observers as they happen; only the last few are
//! kept, for the message of a run that got stuck.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// How many records are kept for messages.
const RECENT_MAX: usize = 32;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceRecord {
    /// Virtual time since the world began, in whole microseconds.
    pub time: Duration,
    /// The host it happened on; `world` for the world itself.
    pub host: String,
    /// The process, or the part of the world: `network`, `host`.
    pub component: String,
    /// What kind of thing, as `noun.verb`.
    pub kind: String,
    /// Details.
    pub fields: Map<String, Value>,
}

impl fmt::Display for TraceRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, host, component, kind, fields } = self;
        write!(f, "{:12.6} {host}/{component} {kind}", time.as_secs_f64())?;
        for (key, value) in fields {
            write!(f, " {key}={value}")?;
        }
        Ok(())
    }
}

/// Receives records as they happen.
pub type Observer = Box<dyn Fn(&TraceRecord) + Send + Sync>;

/// The trace of a world. Cheap to clone; clones are the same trace.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    hash: Sha256,
    count: u64,
    observers: Arc<Vec<Arc<Observer>>>,
    recent: VecDeque<TraceRecord>,
    /// Shared with the network, which must not wait for this lock.
    segments: Arc<AtomicBool>,
}

impl Trace {
    /// Calls `observer` with every record from now on.
    pub fn observe(&self, observer: Observer) {
        let mut inner = self.lock();
        let mut observers = inner.observers.to_vec();
        observers.push(Arc::new(observer));
        inner.observers = Arc::new(observers);
    }

    /// Whether every delivered network segment becomes a record too (off by default).
    pub fn record_segments(&self, on: bool) {
        self.lock().segments.store(on, Ordering::Relaxed);
    }

    /// The switch of [`Trace::record_segments`].
    pub(crate) fn segments(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.lock().segments)
    }

    /// The hash of everything so far: 32 hexadecimal digits.
    #[must_use]
    pub fn hash(&self) -> String {
        let digest = self.lock().hash.clone().finalize();
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// How many records there are so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    /// The last records, oldest first.
    #[must_use]
    pub fn recent(&self) -> Vec<TraceRecord> {
        self.lock().recent.iter().cloned().collect()
    }

    pub(crate) fn push(&self, record: TraceRecord) {
        let observers = {
            let mut inner = self.lock();
            inner.count += 1;
            inner.absorb(&record);
            Arc::clone(&inner.observers)
        };
        // Outside the lock: an observer may ask the trace or the world something.
        for observer in observers.iter() {
            observer(&record);
        }
        let mut inner = self.lock();
        if inner.recent.len() == RECENT_MAX {
            inner.recent.pop_front();
        }
        inner.recent.push_back(record);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of the trace's lock panics")
    }
}

impl Inner {
    fn absorb(&mut self, record: &TraceRecord) {
        let time = u64::try_from(record.time.as_micros()).unwrap_or(u64::MAX);
        self.hash.update(time.to_le_bytes());
        for text in [&record.host, &record.component, &record.kind] {
            self.hash.update((text.len() as u64).to_le_bytes());
            self.hash.update(text);
        }
        let fields = serde_json::to_vec(&record.fields).expect("a JSON map is serialisable");
        self.hash.update((fields.len() as u64).to_le_bytes());
        self.hash.update(fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(ms: u64, kind: &str) -> TraceRecord {
        TraceRecord {
            time: Duration::from_millis(ms),
            host: "a".into(),
            component: "b".into(),
            kind: kind.into(),
            fields: Map::new(),
        }
    }

    #[test]
    fn the_hash_depends_on_every_record_and_their_order() {
        let hash = |records: &[TraceRecord]| {
            let trace = Trace::default();
            records.iter().for_each(|r| trace.push(r.clone()));
            trace.hash()
        };
        let (a, b) = (record(1, "x"), record(1, "y"));
        let both = hash(&[a.clone(), b.clone()]);
        assert_eq!(both, hash(&[a.clone(), b.clone()]));
        assert_ne!(both, hash(&[b.clone(), a.clone()]));
        assert_ne!(both, hash(&[a.clone(), record(2, "y")]));
        assert_eq!(both.len(), 32);
    }

    #[test]
    fn observers_see_records_and_may_look_at_the_trace() {
        let trace = Trace::default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (inside, sink) = (trace.clone(), Arc::clone(&seen));
        trace.observe(Box::new(move |record| {
            sink.lock().unwrap().push((record.kind.clone(), inside.count()));
        }));
        (0..40).for_each(|n| trace.push(record(n, "x")));
        assert_eq!(seen.lock().unwrap().len(), 40);
        assert_eq!(seen.lock().unwrap()[1], ("x".to_owned(), 2));
        assert_eq!(trace.recent().len(), RECENT_MAX);
        assert_eq!(trace.recent()[0].time, Duration::from_millis(8));
    }
}

//! Notices runs that will never end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::host::lock;
use super::shared::Shared;

/// How many polls may happen while the virtual clock stands still. A burst at 10,000 hosts stays
/// well below.
const POLLS_MAX: u64 = 4_000_000;
/// How often the clock is looked at.
const CHECK_EVERY: u64 = 4096;
/// How long nothing at all may happen: longer than any timer, and costs nothing to wait for.
const SILENCE_MAX: Duration = Duration::from_hours(24 * 365);

/// Polls by task, most first, as text.
type Tally = BTreeMap<(String, &'static str), u64>;

/// Counts polls.
#[derive(Default)]
pub(super) struct Watchdog {
    polls: u64,
    /// The count when the clock last moved, and where it moved to.
    moved: (u64, u64),
    tally: Option<Tally>,
}

impl Watchdog {
    pub(super) fn polls(&self) -> u64 {
        self.polls
    }

    /// Counts one poll of `task`; returns who polls so much when it is too much.
    pub(super) fn count(
        &mut self,
        now_us: impl FnOnce() -> u64,
        (host, task): (&str, &'static str),
    ) -> Option<Tally> {
        self.polls += 1;
        // Names are only counted once there is a suspicion: that is what makes this cheap.
        if let Some(tally) = &mut self.tally {
            *tally.entry((host.to_owned(), task)).or_default() += 1;
        }
        if !self.polls.is_multiple_of(CHECK_EVERY) {
            return None;
        }
        let now_us = now_us();
        if now_us != self.moved.1 {
            self.moved = (self.polls, now_us);
            self.tally = None;
            return None;
        }
        let still = self.polls - self.moved.0;
        if still > POLLS_MAX / 2 {
            self.tally.get_or_insert_default();
        }
        if still > POLLS_MAX { self.tally.clone() } else { None }
    }
}

/// The message of a run whose clock stands still.
pub(super) fn livelock(shared: &Shared, tally: &Tally) -> String {
    let mut busiest: Vec<_> = tally.iter().collect();
    busiest.sort_by_key(|(who, count)| (std::cmp::Reverse(**count), (*who).clone()));
    let mut text = format!(
        "livelock at {:.6} s: more than {POLLS_MAX} polls while the virtual clock stood still; \
         busiest tasks:",
        shared.now().as_secs_f64()
    );
    for ((host, task), count) in busiest.into_iter().take(5) {
        let _ = write!(text, "\n  {task} on {host}: {count} of the last {}", POLLS_MAX / 2);
    }
    text + &recent(shared)
}

/// Waits until nothing has happened for longer than any timer could last, and fails the run.
pub(super) async fn silence(shared: Arc<Shared>) {
    loop {
        let polls = shared.polls();
        tokio::time::sleep(SILENCE_MAX).await;
        if shared.polls() == polls {
            break;
        }
    }
    let mut text =
        "deadlock: the scenario waits, but no timer, packet or task is pending".to_owned();
    for host in lock(&shared.hosts).values() {
        let names: Vec<_> = lock(&host.processes).values().map(|scope| scope.name).collect();
        let _ = write!(text, "\n  {}: {}", host.name, names.join(", "));
    }
    shared.fail(text + &recent(&shared));
}

fn recent(shared: &Shared) -> String {
    let mut text = "\nlast records:".to_owned();
    for record in shared.trace.recent() {
        let _ = write!(text, "\n  {record}");
    }
    text
}

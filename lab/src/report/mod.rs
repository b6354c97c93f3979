//! Readers of the event log for people.

pub mod junit;
pub mod terminal;

use std::time::Duration;

/// A duration as a person reads it: `0.30 s`, `12.4 s`, `9 ms`, `3 min 5 s`.
#[must_use]
pub fn human(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 60.0 {
        format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
    } else if seconds >= 10.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{seconds:.2} s")
    }
}

/// A count with its noun: `1 engine`, `3 engines`.
#[must_use]
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

//! Faults as data: what can be scripted, drawn, listed and taken out again.

use std::fmt;
use std::time::Duration;

use crate::net::Link;
use crate::world::World;

/// One thing that goes wrong, or right again. Hosts are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every process of the host is killed; its kernel lives on.
    Kill {
        /// Whose.
        host: String,
    },
    /// The host falls silent.
    PowerOff {
        /// Which.
        host: String,
    },
    /// A silent host is back, with nothing running.
    Boot {
        /// Which.
        host: String,
    },
    /// What `from` sends to `to` is lost.
    Cut {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
    },
    /// What `from` sends to `to` arrives again.
    Heal {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
    },
    /// The way from `from` to `to` changes its delays and losses.
    Link {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
        /// How it behaves from now on.
        link: Link,
    },
    /// No task of the host runs.
    Pause {
        /// Which.
        host: String,
    },
    /// The tasks of the host run again.
    Resume {
        /// Whose.
        host: String,
    },
    /// Each wake of each task of the host takes so long; zero heals it.
    Slow {
        /// Which.
        host: String,
        /// How long.
        delay: Duration,
    },
    /// Every connection between two hosts is reset.
    Reset {
        /// One.
        a: String,
        /// The other.
        b: String,
    },
    /// The wall clock of the host jumps.
    WallJump {
        /// Which.
        host: String,
        /// By how many milliseconds, forwards or backwards.
        by_ms: i64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { host } => write!(f, "kill {host}"),
            Self::PowerOff { host } => write!(f, "power off {host}"),
            Self::Boot { host } => write!(f, "boot {host}"),
            Self::Cut { from, to } => write!(f, "cut {from} -> {to}"),
            Self::Heal { from, to } => write!(f, "heal {from} -> {to}"),
            Self::Link { from, to, link: Link { min_us, max_us, loss_ppm } } => {
                write!(f, "link {from} -> {to}: {min_us}-{max_us} us, {loss_ppm} ppm lost")
            }
            Self::Pause { host } => write!(f, "pause {host}"),
            Self::Resume { host } => write!(f, "resume {host}"),
            Self::Slow { host, delay } => write!(f, "slow {host} by {} us", delay.as_micros()),
            Self::Reset { a, b } => write!(f, "reset {a} - {b}"),
            Self::WallJump { host, by_ms } => write!(f, "jump the clock of {host} by {by_ms} ms"),
        }
    }
}

impl World {
    /// Makes `fault` happen now.
    ///
    /// # Panics
    /// When it names a host that does not exist.
    pub fn inject(&self, fault: &Fault) {
        match fault {
            Fault::Kill { host } => self.kill_host(host),
            Fault::PowerOff { host } => self.power_off(host),
            Fault::Boot { host } => self.boot(host),
            Fault::Cut { from, to } => self.cut(from, to),
            Fault::Heal { from, to } => self.heal(from, to),
            Fault::Link { from, to, link } => self.set_link(from, to, *link),
            Fault::Pause { host } => self.pause(host),
            Fault::Resume { host } => self.resume(host),
            Fault::Slow { host, delay } => self.slow(host, *delay),
            Fault::Reset { a, b } => {
                self.reset(a, b);
            }
            Fault::WallJump { host, by_ms } => self.wall_jump(host, *by_ms),
        }
    }
}

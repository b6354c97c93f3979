//! What goes wrong in a world, in the smallest parts: the same list for every world.

use std::fmt;
use std::time::Duration;

pub use crate::scenario::fault::Part;

/// One thing that goes wrong with one host or between two, or right again. Hosts are named, and
/// exist. Undoing what was not done does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends at once. A host falls silent; a process that is killed leaves a host that refuses
    /// connections.
    Kill(Part, String),
    /// It ends in good order, and is gone when this is done.
    Stop(Part, String),
    /// It runs again with what it had stored; a host with everything that is to run on it.
    Start(Part, String),
    /// Nothing on the host runs; its kernel keeps every connection and accepts new ones.
    Pause(String),
    /// Undoes a pause.
    Resume(String),
    /// What `from` sends to `to` is lost.
    Cut {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
    },
    /// Undoes a cut.
    Mend {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
    },
    /// Every connection between two hosts is reset; new ones can be made.
    Reset {
        /// One.
        a: String,
        /// The other.
        b: String,
    },
    /// The host is off the network, for everybody.
    Disconnect(String),
    /// Undoes a disconnection: the host has the address it had.
    Connect(String),
    /// What the host sends arrives later, or slowly.
    Slow {
        /// Which.
        host: String,
        /// How much later.
        delay: Option<Duration>,
        /// How many kilobits a second.
        kbits: Option<u64>,
    },
    /// Undoes a slowness.
    Speed(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |part: &Part| match part {
            Part::Host => String::new(),
            part => format!("{part} of "),
        };
        match self {
            Self::Kill(part, host) => write!(f, "kill {}{host}", of(part)),
            Self::Stop(part, host) => write!(f, "stop {}{host}", of(part)),
            Self::Start(part, host) => write!(f, "start {}{host}", of(part)),
            Self::Pause(host) => write!(f, "pause {host}"),
            Self::Resume(host) => write!(f, "resume {host}"),
            Self::Cut { from, to } => write!(f, "cut {from} -> {to}"),
            Self::Mend { from, to } => write!(f, "mend {from} -> {to}"),
            Self::Reset { a, b } => write!(f, "reset {a} <-> {b}"),
            Self::Disconnect(host) => write!(f, "disconnect {host}"),
            Self::Connect(host) => write!(f, "connect {host}"),
            Self::Slow { host, .. } => write!(f, "slow {host}"),
            Self::Speed(host) => write!(f, "speed {host}"),
        }
    }
}

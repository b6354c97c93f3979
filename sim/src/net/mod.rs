//! The virtual network: TCP between hosts, as an event heap.
//!
//! `Core` is the network as a pure state machine: sockets call it with the time, it
//! answers at once, and what must happen later goes onto a heap of events ordered by (microsecond,
//! sequence number). One pump task sleeps until the first event is due and applies all that are;
//! nothing ticks, so an idle network costs nothing. The runtime's clock has a grain of one
//! millisecond: events inside the same millisecond are applied in their order before any task runs.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `core` | hosts, links, ports, the heap |
//! | `dial` | opening connections |
//! | `conn` | one connection: windows, closing |
//! | `flight` | segments under way: delivery, loss, retransmission |
//! | `socket` | the sockets that production code sees |
//! | `errors` | errors in the words of the operating system |
//!
//! What is modelled after Linux: refusal by reset, connection attempts repeated after 1, 3, 7 …
//! seconds and given up after 127, unreachable neighbours reported after 3 seconds, retransmission
//! from 200 ms doubling to 120 s with 15 tries, windows of 256 KiB, half-close, reset when a socket
//! closes with unread data or gets data after it closed, a backlog of 1,024. Acknowledgements cost
//! no time; when their way back is cut they are missing. Bandwidth is unlimited.

mod conn;
mod core;
mod dial;
mod errors;
mod flight;
mod socket;

pub use self::core::Link;
pub(crate) use self::core::{Core, Effects};
pub(crate) use self::errors::os_error;
pub(crate) use self::socket::pump;

//! A store that speaks Consul's HTTP API: keys and values, locks, sessions, blocking queries.
//!
//! [`state`] is the store as a pure state machine, [`serve`] gives it an HTTP face on a host.
//! Routes, field names, status codes and texts are those of Consul 1.8, one server without ACLs,
//! so that any Consul client can use it. What is not there: the catalog, services, transactions,
//! more than one data centre.

mod http;
mod params;
mod session;
pub mod state;

pub use http::{Store, serve};
pub use session::{Behavior, Session, SessionRequest};

//! A deterministic world of fake Docker engines.
//!
//! [`run`] makes a [`World`] from a seed and runs a program in it. Production code gets the
//! simulator's [`swarm::ctx::Ctx`] of a host and cannot tell the difference.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `world` | hosts, processes, the run loop, faults as calls |
//! | `net` | TCP between hosts, on virtual time |
//! | `rng` | draws that depend on nothing but their coordinates |
//! | `trace` | every event, ordered and hashed |
//! | `fault` | faults as data |
//! | `store` | a store that speaks Consul's HTTP API |

pub mod engine;
pub mod fault;
pub mod net;
pub mod rng;
pub mod store;
pub mod trace;
pub mod world;

pub use net::Link;
pub use trace::{Trace, TraceRecord};
pub use world::{EPOCH, Process, World, run};

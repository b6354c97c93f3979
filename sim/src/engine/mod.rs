//! A fake Docker engine that the stock `docker` command cannot tell from a real one.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`state`] | the engine as a plain value: no clock, no sockets, no tasks |
//! | `run` | what happens over time: processes, restarts, published ports |
//! | `http` | the Docker Engine API, versions 1.12 to 1.41 |
//! | `web` | the web server that an `nginx` container runs |
//!
//! Texts, codes and shapes are those of an engine 20.10.24.

mod http;
mod ops;
mod run;
mod spec;
pub mod state;
#[cfg(test)]
mod tests;
mod web;

pub use run::Engine;
pub use spec::{Spec, Timings};
pub use state::State;

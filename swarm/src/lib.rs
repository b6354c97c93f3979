//! The standalone Docker Swarm manager and agent: one Docker API endpoint over many engines.
pub mod api;
pub mod cli;
pub mod cluster;
pub mod ctx;
pub mod discovery;
pub mod engine;
pub mod manager;
pub mod scheduler;
pub mod tls;

#[cfg(test)]
pub(crate) mod testing;

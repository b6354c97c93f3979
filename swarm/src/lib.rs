//! The standalone Docker Swarm manager and agent: one Docker API endpoint over many engines.
pub mod ctx;

//! The standalone Docker Swarm manager and agent: one Docker API endpoint over many engines.
pub mod cluster;
pub mod ctx;
pub mod scheduler;

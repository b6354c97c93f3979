//! Scenario files.
pub mod cluster;

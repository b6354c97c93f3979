//! One scenario file, two worlds, one story: clusters of Docker engines, in a simulator and for
//! real.
pub mod cli;
pub mod compare;
pub mod event;
pub mod export;
pub mod node;
pub mod pki;
pub mod replay;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod world;

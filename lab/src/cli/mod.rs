//! The command line: one file per verb.
pub mod schema;
pub mod validate;

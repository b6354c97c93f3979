//! `lab schema`: the JSON schema of scenario files.

use std::io::{self, Write as _};

use crate::scenario;

/// Prints the schema; `scenarios/schema.json` is this output. The result is the exit code.
#[must_use]
pub fn run() -> i32 {
    // A pipe that was closed early leaves nobody to tell.
    let printed = io::stdout().write_all(scenario::schema().as_bytes());
    i32::from(printed.is_err())
}

//! The command line over this process: its variables, its output, its signals.

use std::io::Write as _;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::Environment;
use crate::ctx::{Level, real};

/// Runs `args` (without the program's name) until the command ends or SIGINT or SIGTERM comes,
/// which is a clean end. Returns the exit code.
#[must_use]
pub fn process(program: &str, args: Vec<String>) -> i32 {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the runtime: {error}");
            return 1;
        }
    };
    let code = runtime.block_on(until_signal(program, args));
    // Requests under way and the tasks of the manager end with the process.
    runtime.shutdown_background();
    code
}

async fn until_signal(program: &str, args: Vec<String>) -> i32 {
    let (mut interrupt, mut terminate) =
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
            (Err(error), _) | (_, Err(error)) => {
                eprintln!("cannot listen for signals: {error}");
                return 1;
            }
        };
    let env = Environment {
        program: program.to_owned(),
        vars: Box::new(|name| std::env::var(name).ok()),
        // A closed pipe must not stop the manager.
        out: Arc::new(|text| drop(std::io::stdout().write_all(text.as_bytes()))),
        err: Arc::new(|text| drop(std::io::stderr().write_all(text.as_bytes()))),
        manager: Box::new(|_| {}),
        ctx: real::ctx(Level::Debug),
    };
    tokio::select! {
        code = super::run(env, args) => code,
        _ = interrupt.recv() => 0,
        _ = terminate.recv() => 0,
    }
}

//! The `swarm` program: the command line over this process.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use swarm::cli::{self, Environment};
use swarm::ctx::{Level, real};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run());
    // Requests under way and the tasks of the manager end with the process.
    runtime.shutdown_background();
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Runs the command line until its end, SIGINT or SIGTERM; a signal is a clean end.
async fn run() -> i32 {
    let (mut interrupt, mut terminate) =
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
            (Err(error), _) | (_, Err(error)) => {
                eprintln!("cannot listen for signals: {error}");
                return 1;
            }
        };
    let mut args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let program = args.next().unwrap_or_default();
    let base = Path::new(&program).file_name();
    let env = Environment {
        program: base.map_or_else(|| "swarm".into(), |name| name.to_string_lossy().into_owned()),
        vars: Box::new(|name| std::env::var(name).ok()),
        // A closed pipe must not stop the manager.
        out: Arc::new(|text| drop(std::io::stdout().write_all(text.as_bytes()))),
        err: Arc::new(|text| drop(std::io::stderr().write_all(text.as_bytes()))),
        ctx: real::ctx(Level::Debug),
    };
    tokio::select! {
        code = cli::run(env, args.collect()) => code,
        _ = interrupt.recv() => 0,
        _ = terminate.recv() => 0,
    }
}

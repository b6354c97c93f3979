//! The guard of a run: a process in a session of its own that outlives it.
//!
//! It holds the reading end of a pipe whose writing end only the run has. When the run dies,
//! however it dies, the pipe closes, and the guard removes everything that carries the run's
//! label. A run that ends in good order dismisses its guard.

use std::io::{BufRead as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::images::packages_home;
use super::{connect, gc};
use crate::world::WorldError;

/// The word that ends a guard without a look at the engine.
const DISMISS: &str = "dismiss";
/// How long nothing of the run must have been seen before the guard believes it.
const SETTLED: Duration = Duration::from_secs(3);
/// How long a run waits for its guard when it ends in disorder.
const PATIENCE: Duration = Duration::from_secs(45);

/// Runs `lab guard RUN` with the words after `guard`, and returns the exit code.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    let [run] = args else {
        eprintln!("usage: lab guard RUN");
        return 1;
    };
    ignore_signals();
    let mut word = String::new();
    // An error means a closed pipe as well.
    let _ = std::io::stdin().lock().read_line(&mut word);
    if word.trim_end() == DISMISS {
        return 0;
    }
    i32::from(remove(run).is_err())
}

fn remove(run: &str) -> Result<(), WorldError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| WorldError::new(format!("the runtime: {e}"), ""))?;
    let removed = runtime.block_on(async {
        let docker = connect().await?;
        gc::remove_run(&docker, run, SETTLED).await
    });
    // There only if the run died while it built images.
    let _ = std::fs::remove_dir_all(packages_home(run));
    removed
}

/// Whoever ends the run by a signal to all its processes does not mean the guard.
fn ignore_signals() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGPIPE] {
        // SAFETY: SIG_IGN is a valid disposition, and no handler runs.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// The run's side of its guard. Dropping it lets the guard do its work, and waits for it.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Guard {
    /// Starts a guard for `run`. `lab` is the program of the `lab` command.
    pub(super) fn start(lab: &Path, run: &str) -> Result<Self, WorldError> {
        let mut command = Command::new(lab);
        command.args(["guard", run]).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        // SAFETY: setsid is safe to call between fork and exec, and touches no memory.
        unsafe {
            command.pre_exec(|| match libc::setsid() {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            });
        }
        let started = command.spawn();
        let child = started.map_err(|e| {
            WorldError::new(format!("starting the guard {}: {e}", lab.display()), "")
        })?;
        Ok(Self { child })
    }

    /// Ends the guard: there is nothing to remove, or all of it is to stay.
    pub(super) fn dismiss(mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            // A guard that is gone needs no word.
            let _ = writeln!(pipe, "{DISMISS}");
        }
    }
}

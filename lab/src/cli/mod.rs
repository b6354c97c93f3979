//! The command line. One file per verb.

mod certs;
mod check;
mod compare;
mod down;
mod endpoint;
pub mod env;
mod explain;
mod export;
mod fault;
mod ps;
mod record;
mod run;
mod schema;
mod sweep;
mod up;
mod validate;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Parser, Subcommand, ValueEnum};

use crate::scenario::Overrides;
use crate::world::{WorldError, docker};

/// How a command ended: the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything held.
    Passed = 0,
    /// The command line was wrong.
    Usage = 1,
    /// A scenario file is wrong; nothing was started.
    Invalid = 2,
    /// The world could not be built: no engine, no image.
    Environment = 3,
    /// An expectation or an invariant did not hold.
    Failed = 4,
    /// Two runs of one seed differ.
    NotDeterministic = 5,
    /// Ended by a signal, after cleaning up (128 + SIGINT).
    Interrupted = 130,
}

/// Replays clusters of Docker engines: in a simulator, and for real.
#[derive(Parser)]
#[command(name = "lab", version, disable_help_subcommand = true)]
struct Lab {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Replays scenarios and checks what they expect
    Run(Box<run::Args>),
    /// Checks scenario files without starting anything
    Validate {
        /// The scenario files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Sets `cluster.tls` whatever the files say
        #[arg(long, value_enum)]
        tls: Option<Switch>,
    },
    /// Runs each scenario twice with one seed and compares the logs byte by byte
    Check(check::Args),
    /// Says for each node why a step's container goes there or not
    ///
    /// Replays the scenario in the simulator up to the step and asks the manager, just before each
    /// of the step's containers is created, what it makes of each node: its score and rank, or the
    /// first filter that refuses it.
    Explain(explain::Args),
    /// Says whether two worlds told the same story
    ///
    /// With one scenario file, runs it in the simulator and on docker and compares the two runs.
    /// With two logs (`lab run --log FILE`), compares those.
    Compare(compare::Args),
    /// Brings the cluster of a scenario up on docker, and leaves it up
    Up(up::Args),
    /// Prints the variables with which the docker command talks to a cluster that is up
    ///
    /// For a shell: eval "$(lab env)"
    Env(env::Args),
    /// Shows the clusters that are up: their hosts, what runs there, what the manager sees
    Ps {
        /// The scenario's name, or the run's; without, all clusters that are up
        name: Option<String>,
    },
    /// Makes something go wrong in a cluster that is up, or right again
    Fault(fault::Args),
    /// Removes a cluster that is up
    Down(down::Args),
    /// Prints the facts of a scenario's cluster for a tool that builds it
    Export(export::Args),
    /// Prints the JSON schema of scenario files
    Schema,
    /// Writes the certificates and keys of a cluster with TLS, for use elsewhere
    Certs(certs::Args),
    /// Prepares the images of the docker world
    Images,
    /// Removes what runs that are no longer alive left on the Docker engine, and what is up
    Gc {
        /// Also what belongs to runs that are still under way
        #[arg(long)]
        all: bool,
    },
}

/// Where a scenario is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum On {
    /// In the deterministic simulator
    Sim,
    /// On real Docker engines in containers
    Docker,
    /// In a cluster that stands already
    Endpoint,
}

/// Whether connections are TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// Certificates on both sides, checked on both sides
    On,
    /// Plain
    Off,
}

/// What `--tls` says over a file.
fn overrides(tls: Option<Switch>) -> Overrides {
    Overrides { tls: tls.map(|switch| switch == Switch::On) }
}

/// Runs the command line `args` (with the program's name first) and returns the exit code.
#[must_use]
pub fn main(args: Vec<OsString>) -> i32 {
    if let Some(code) = hidden(&args) {
        return code;
    }
    let lab = match Lab::try_parse_from(args) {
        Ok(lab) => lab,
        Err(error) => {
            let _ = error.print();
            let shown = !error.use_stderr();
            return if shown { Exit::Passed as i32 } else { Exit::Usage as i32 };
        }
    };
    let exit = match lab.verb {
        Verb::Run(args) => run::run(&args),
        Verb::Validate { files, tls } => return validate::run(&files, &overrides(tls)),
        Verb::Check(args) => check::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Compare(args) => compare::run(&args),
        Verb::Export(args) => export::run(&args),
        Verb::Schema => return schema::run(),
        Verb::Certs(args) => certs::run(&args),
        Verb::Up(args) => up::run(&args),
        Verb::Env(args) => env::run(&args),
        Verb::Ps { name } => ps::run(name.as_deref()),
        Verb::Fault(args) => fault::run(&args),
        Verb::Down(args) => down::run(&args),
        Verb::Images => images(),
        Verb::Gc { all } => gc(all),
    };
    exit as i32
}

/// The verbs that the lab itself calls inside nodes and beside runs: not for people, so not in
/// the help.
fn hidden(args: &[OsString]) -> Option<i32> {
    let rest = |from: usize| -> Vec<String> {
        args.iter().skip(from).map(|arg| arg.to_string_lossy().into_owned()).collect()
    };
    match args.get(1)?.to_str()? {
        "swarm" => Some(swarm::cli::process("swarm", rest(2))),
        "node" => Some(crate::node::main(&rest(2))),
        "guard" => Some(docker::guard::main(&rest(2))),
        _ => None,
    }
}

/// Whether to use colours on standard output.
fn color() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::io::stdout().is_terminal()
}

/// Builds every image of the docker world that is not there yet.
fn images() -> Exit {
    docker_verb(async {
        docker::prepare(Arc::new(|what: &str| println!("  {what}"))).await?;
        Ok("all images are ready".to_owned())
    })
}

/// Removes what runs have left on the engine.
fn gc(all: bool) -> Exit {
    docker_verb(async move {
        let removed = docker::gc::collect(all).await?;
        let line =
            |run: &docker::gc::Collected| format!("removed run {}: {} things", run.run, run.things);
        let lines: Vec<_> = removed.iter().map(line).collect();
        Ok(if lines.is_empty() { "nothing to remove".to_owned() } else { lines.join("\n") })
    })
}

/// Runs a verb that only talks to the Docker engine, and prints what it says in the end, if anything.
fn docker_verb(verb: impl Future<Output = Result<String, WorldError>>) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(verb),
        Err(e) => Err(WorldError::new(format!("cannot start a runtime: {e}"), "")),
    };
    match done {
        Ok(words) => {
            if !words.is_empty() {
                println!("{words}");
            }
            Exit::Passed
        }
        Err(error) => world_error(&error),
    }
}

/// Prints why a world failed.
fn world_error(error: &WorldError) -> Exit {
    eprintln!("error: {error}");
    if !error.help.is_empty() {
        eprintln!("  = {}", error.help);
    }
    Exit::Environment
}

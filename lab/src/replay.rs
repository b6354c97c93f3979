//! One scenario, once, in the world of choice.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::event::SharedSink;
use crate::pki::{self, Pki};
use crate::runner::{self, Outcome};
use crate::scenario::cluster::Cluster;
use crate::scenario::{Report, Scenario};
use crate::world::docker::DockerWorld;
use crate::world::simulated::{SimulatedWorld, faults};
use crate::world::{World, WorldError, docker};

/// How to replay.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// On real engines rather than in the simulator.
    pub docker: bool,
    /// Seed of the simulator.
    pub seed: u64,
    /// The last step to run, counted from 1.
    pub until: Option<usize>,
    /// Leave the docker cluster running.
    pub keep: bool,
    /// Another manager for the docker world.
    pub manager: Option<PathBuf>,
}

/// Why a run came to no verdict.
#[derive(Debug)]
pub enum Ended {
    /// The world cannot do everything that the scenario asks for: what, as a report.
    Unsupported(Report),
    /// The world could not be built, or not be taken down.
    World(WorldError),
    /// A signal asked for the end; all that was started has been removed.
    Interrupted,
}

/// Replays `scenario`. Events go to `sink` as they happen; `progress` hears what a slow world is
/// busy with.
///
/// # Errors
/// See [`Ended`].
pub fn replay(
    scenario: &Arc<Scenario>,
    options: &Options,
    sink: SharedSink,
    progress: impl Fn(&str) + Send + Sync + 'static,
) -> Result<Outcome, Ended> {
    let supports = if options.docker { docker::faults::supports } else { faults::supports };
    let mistakes = scenario.unsupported(supports);
    if !mistakes.is_empty() {
        return Err(Ended::Unsupported(Report::new(mistakes)));
    }
    if options.docker {
        on_docker(scenario, options, &sink, progress)
    } else {
        simulated(scenario, options, sink)
    }
}

fn simulated(
    scenario: &Arc<Scenario>,
    options: &Options,
    sink: SharedSink,
) -> Result<Outcome, Ended> {
    let scenario = Arc::clone(scenario);
    let until = options.until;
    let seed = options.seed;
    sim::run(seed, move |world| async move {
        let mut world = SimulatedWorld::new(world, &scenario.cluster, &sink);
        runner::run(&mut world, &scenario, &sink, Some(seed), until).await
    })
    .map_err(Ended::World)
}

fn on_docker(
    scenario: &Arc<Scenario>,
    options: &Options,
    sink: &SharedSink,
    progress: impl Fn(&str) + Send + Sync + 'static,
) -> Result<Outcome, Ended> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Ended::World(WorldError::new(format!("cannot start a runtime: {e}"), "")))?;
    runtime.block_on(async {
        let mut settings =
            docker::Options::new(Arc::clone(sink), Arc::new(progress)).map_err(Ended::World)?;
        settings.manager.clone_from(&options.manager);
        settings.keep = options.keep;
        let mut world =
            DockerWorld::new(scenario.cluster.clone(), settings).map_err(Ended::World)?;
        let run = runner::run(&mut world, scenario, sink, None, options.until);
        let ended = or_signal(run).await;
        // With `keep` this leaves everything where it is.
        let down = world.down().await;
        match (ended, down) {
            (_, Err(error)) | (Some(Err(error)), Ok(())) => Err(Ended::World(error)),
            (None, Ok(())) => Err(Ended::Interrupted),
            (Some(Ok(outcome)), Ok(())) => {
                let certs = match world.pki().filter(|_| options.keep) {
                    Some(pki) => Some(keep_certificates(&pki, &scenario.cluster, world.run())?),
                    None => None,
                };
                let kept = options.keep.then(|| how_to_reach(&scenario.cluster, certs.as_deref()));
                Ok(Outcome { kept, ..outcome })
            }
        }
    })
}

/// Writes a client's certificate where the user of a cluster that stays up finds it.
fn keep_certificates(pki: &Pki, cluster: &Cluster, run: &str) -> Result<PathBuf, Ended> {
    let dir = std::env::temp_dir().join(format!("swarmlab-{run}"));
    let written = pki::write(&dir, &pki.files(cluster));
    written.map_err(|why| Ended::World(WorldError::new(why, "")))?;
    Ok(dir)
}

/// What the user of a cluster that stays up needs to know; `certs` is where the certificates are.
fn how_to_reach(cluster: &Cluster, certs: Option<&Path>) -> String {
    let endpoint = cluster.manager().map(|(host, manager)| {
        format!("    export DOCKER_HOST=tcp://{}:{}\n", host.address, manager.port)
    });
    let (secured, remove) = match certs.map(Path::display) {
        Some(dir) => (
            format!("    export DOCKER_CERT_PATH={dir} DOCKER_TLS_VERIFY=1\n"),
            format!(" && rm -r {dir}"),
        ),
        None => (String::new(), String::new()),
    };
    format!(
        "  the cluster stays up; to use it, and to remove it:\n{}{secured}    cargo lab gc{remove}",
        endpoint.unwrap_or_default(),
    )
}

/// The future's output, or `None` when SIGINT or SIGTERM came first.
async fn or_signal<T>(run: impl Future<Output = T>) -> Option<T> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut run = pin!(run);
    let (Ok(mut int), Ok(mut term)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the default action ends the process, and the guard cleans up.
        return Some(run.await);
    };
    tokio::select! {
        output = &mut run => Some(output),
        _ = int.recv() => None,
        _ = term.recv() => None,
    }
}

/// Starts measuring wall time; the closure returned tells how much has passed.
#[expect(clippy::disallowed_methods, reason = "how long the command took, outside any world")]
pub fn stopwatch() -> impl Fn() -> Duration {
    let began = std::time::Instant::now();
    move || began.elapsed()
}

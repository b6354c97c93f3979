//! One scenario, once, in the world of choice.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::event::SharedSink;
use crate::runner::{self, Outcome, Scope};
use crate::scenario::cluster::Cluster;
use crate::scenario::{Report, Scenario};
use crate::world::docker::DockerWorld;
use crate::world::endpoint::{self, EndpointWorld, Target};
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
    /// The step whose placements the log explains; in the simulator only.
    pub explain: Option<usize>,
    /// Whether the docker cluster stays up.
    pub keep: Keep,
    /// Another manager for the docker world.
    pub manager: Option<PathBuf>,
    /// In a cluster that stands already, rather than in one of the lab's own.
    pub endpoint: Option<Target>,
}

/// Whether the cluster of a run in the docker world stays up afterwards. That of a run that came to
/// no verdict never does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// It is removed.
    #[default]
    Never,
    /// It stays if everything held.
    IfPassed,
    /// It stays, whatever the verdict.
    Always,
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
    if let Some(target) = &options.endpoint {
        return at_endpoint(scenario, target, options.until, &sink);
    }
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
    let scope = Scope { until: options.until, explain: options.explain };
    let seed = options.seed;
    sim::run(seed, move |world| async move {
        let mut world = SimulatedWorld::new(world, &scenario.cluster, &sink);
        runner::run(&mut world, &scenario, &sink, Some(seed), scope).await
    })
    .map_err(Ended::World)
}

fn on_docker(
    scenario: &Arc<Scenario>,
    options: &Options,
    sink: &SharedSink,
    progress: impl Fn(&str) + Send + Sync + 'static,
) -> Result<Outcome, Ended> {
    in_real_time(async {
        let mut settings =
            docker::Options::new(Arc::clone(sink), Arc::new(progress)).map_err(Ended::World)?;
        settings.manager.clone_from(&options.manager);
        settings.keep = options.keep != Keep::Never;
        settings.file = std::path::absolute(&scenario.path).ok();
        let mut world =
            DockerWorld::new(scenario.cluster.clone(), settings).map_err(Ended::World)?;
        let scope = Scope { until: options.until, explain: None };
        let run = runner::run(&mut world, scenario, sink, None, scope);
        let ended = or_signal(run).await;
        let keep = match (options.keep, &ended) {
            (Keep::Always, Some(Ok(_))) => true,
            (Keep::IfPassed, Some(Ok(outcome))) => outcome.failure.is_none(),
            _ => false,
        };
        let down = if keep { world.down().await } else { world.discard().await };
        match (ended, down) {
            (_, Err(error)) | (Some(Err(error)), Ok(())) => Err(Ended::World(error)),
            (None, Ok(())) => Err(Ended::Interrupted),
            (Some(Ok(outcome)), Ok(())) => {
                let kept = keep.then(|| how_to_use(&scenario.cluster));
                Ok(Outcome { kept, ..outcome })
            }
        }
    })
}

fn at_endpoint(
    scenario: &Arc<Scenario>,
    target: &Target,
    until: Option<usize>,
    sink: &SharedSink,
) -> Result<Outcome, Ended> {
    let moved = endpoint::refused(scenario, target, until);
    let scenario = Arc::new(moved.map_err(|mistakes| Ended::Unsupported(Report::new(mistakes)))?);
    in_real_time(async {
        let mut world = EndpointWorld::new(Arc::clone(&scenario), target.clone());
        let scope = Scope { until, explain: None };
        let ended = or_signal(runner::run(&mut world, &scenario, sink, None, scope)).await;
        match (ended, world.down().await) {
            (Some(Err(error)), _) | (_, Err(error)) => Err(Ended::World(error)),
            (None, Ok(())) => Err(Ended::Interrupted),
            (Some(Ok(outcome)), Ok(())) => Ok(outcome),
        }
    })
}

/// Runs on this machine's own clock and sockets.
fn in_real_time<T>(run: impl Future<Output = Result<T, Ended>>) -> Result<T, Ended> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime
        .map_err(|e| Ended::World(WorldError::new(format!("cannot start a runtime: {e}"), "")))?;
    runtime.block_on(run)
}

/// What the user of a cluster that stays up needs to know.
fn how_to_use(cluster: &Cluster) -> String {
    let name = &cluster.name;
    let mut rows = vec![
        (format!("eval \"$(cargo lab env {name})\""), "docker talks to its manager"),
        (format!("cargo lab ps {name}"), "its hosts, and what runs on them"),
    ];
    if let Some((host, _)) = cluster.engines().last() {
        rows.push((format!("cargo lab fault pause {}", host.name), "something goes wrong"));
        rows.push(("cargo lab fault heal".to_owned(), "and right again"));
    }
    rows.push((format!("cargo lab down {name}"), "removes it"));
    let width = rows.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    let rows = rows.iter().map(|(command, what)| format!("    {command:width$}   {what}"));
    format!("  {name} stays up:\n{}", rows.collect::<Vec<_>>().join("\n"))
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

//! The real world: a container for every host of the cluster, with a real Docker engine in each
//! host that has one.
//!
//! A run has a private network of its own (`network`), a node per host (`hosts`) with the
//! program of [`crate::node`] as its main process, stores next to their nodes (`store`), and a
//! guard that removes all of it should the run be killed (`guard`). Everything carries the
//! run's label (`labels`), and nothing is published beyond this machine.
#![expect(clippy::disallowed_methods, reason = "the real world's own calls")]

mod certs;
pub(super) mod client;
mod exec;
pub mod faults;
pub mod gc;
pub mod guard;
mod hosts;
mod identity;
pub mod images;
mod labels;
mod logs;
pub mod look;
mod network;
mod privilege;
mod ready;
pub mod standing;
mod store;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use swarm::ctx::{self, BoxFuture, Ctx, Level};
use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error;
use testcontainers::bollard::models::SystemInfo;
use testcontainers::core::client::docker_client_instance;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use self::guard::Guard;
use self::hosts::{Plan, Running};
use self::identity::Identities;
use self::images::{Source, Wanted};
use self::labels::Owner;
use self::logs::Board;
use super::{Fault, World, WorldError};
use crate::event::{Memory, SharedSink};
use crate::pki::{Keys, Pki};
use crate::scenario::cluster::{Cluster, Host};
use crate::scenario::{CertKind, Holder};

/// How long nothing of a run must have been seen when it was taken down while it came up: the
/// engine may still be carrying out what was asked of it.
const SETTLED: Duration = Duration::from_secs(1);

/// Hears what takes long: `building the consul image`.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// How a world is to be.
#[derive(Clone)]
pub struct Options {
    /// A static binary with the classic command line, instead of the manager inside this program.
    pub manager: Option<PathBuf>,
    /// Whether everything stays when the world is taken down.
    pub keep: bool,
    /// The scenario's file: whoever finds the cluster later is told.
    pub file: Option<PathBuf>,
    /// Takes what happens.
    pub sink: SharedSink,
    /// Hears what takes long.
    pub progress: Progress,
    /// The program of the `lab` command: this one, unless a test says otherwise.
    pub lab: PathBuf,
    /// Where images come from.
    pub source: Source,
}

impl Options {
    /// The manager inside this program, nothing kept, images from wherever `LAB_IMAGES` says.
    ///
    /// # Errors
    /// That variable has no valid value.
    pub fn new(sink: SharedSink, progress: Progress) -> Result<Self, WorldError> {
        // The link works even when a build has replaced the file meanwhile.
        let lab = PathBuf::from("/proc/self/exe");
        let source = Source::from_env()?;
        Ok(Self { manager: None, keep: false, file: None, sink, progress, lab, source })
    }
}

/// A cluster of containers on the local Docker engine.
///
/// Take it down with [`World::down`]. When it is dropped before, or its process is killed, its
/// guard removes it.
pub struct DockerWorld {
    cluster: Cluster,
    options: Options,
    owner: Owner,
    pki: Option<Arc<Pki>>,
    begin: Option<Instant>,
    /// Whether everything that was asked of the engine has been answered.
    complete: bool,
    guard: Option<Guard>,
    running: Vec<Running>,
    followers: Vec<AbortHandle>,
    /// Who hears what nodes say; once there are any.
    board: Option<Arc<Board>>,
}

impl DockerWorld {
    /// A world for `cluster`, with nothing in it yet.
    ///
    /// # Errors
    /// The cluster has something that this world cannot do.
    pub fn new(cluster: Cluster, options: Options) -> Result<Self, WorldError> {
        if let Some(manager) = &options.manager
            && !manager.is_file()
        {
            let what = format!("there is no manager at {}", manager.display());
            return Err(WorldError::new(what, "--manager takes the path of a static binary"));
        }
        let owner = Owner::this_process(new_run(), Some(cluster.name.clone()), options.keep);
        let now = ctx::real::ctx(Level::Error).clock.wall();
        let pki = cluster.tls.then(|| Arc::new(Pki::new(Keys::Fresh, now)));
        Ok(Self {
            cluster,
            options,
            owner,
            pki,
            begin: None,
            complete: true,
            guard: None,
            running: Vec::new(),
            followers: Vec::new(),
            board: None,
        })
    }

    /// The run's identifier: the value of the label `lab.run`.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.owner.run
    }

    /// Removes everything, also if it was to stay.
    ///
    /// # Errors
    /// As [`World::down`].
    pub async fn discard(&mut self) -> Result<(), WorldError> {
        self.take_down(false).await
    }

    async fn bring_up(&mut self) -> Result<(), WorldError> {
        let begin = Instant::now();
        self.begin = Some(begin);
        self.complete = false;
        let docker = connect().await?;
        let info = docker.info().await.map_err(|e| engine_error("asking the engine", e))?;
        for leftover in gc::sweep(&docker).await? {
            let words = format!("removed what run {} had left behind", leftover.run);
            (self.options.progress)(&words);
        }
        if self.options.keep {
            standing::refuse_twice(&docker, &self.cluster.name).await?;
        }
        let wanted = Wanted {
            workloads: &self.cluster.images,
            store: self.cluster.store().is_some(),
            lab: &self.options.lab,
            source: self.options.source,
        };
        let images = images::ensure(&docker, &wanted, &self.options.progress).await?;
        // Also of what is to stay: it stays when all has come to a good end, and not before.
        self.guard = Some(Guard::start(&self.options.lab, &self.owner.run)?);
        if let Some(pki) = self.pki.as_ref().filter(|_| self.owner.keep) {
            certs::write_client(pki, &self.owner.run)?;
        }
        let engine = info.id.as_deref().unwrap_or_default();
        let (network, privilege) = tokio::join!(
            network::create(&docker, &self.cluster, &self.owner, self.options.file.as_deref()),
            privilege::probe(&docker, engine, &images.node, &self.owner),
        );
        let plan = Plan {
            docker: &docker,
            cluster: &self.cluster,
            owner: &self.owner,
            images: &images,
            network: &network?,
            privilege: privilege?,
            cpus: cpus(&info),
            manager: self.options.manager.as_deref(),
            pki: self.pki.as_deref(),
            identities: Identities::new(&self.cluster),
        };
        tell_limits(&plan, &self.options.progress);
        let board = Board::new(self.options.sink.clone(), begin);
        self.board = Some(board.clone());
        let hosts = plan.cluster.hosts.iter().enumerate();
        let nodes = hosts.map(|(index, host)| start(&plan, &board, index, host));
        let mut failure = None;
        for node in join_all(nodes).await {
            match node {
                Ok((running, followers)) => {
                    self.running.extend(running);
                    self.followers.extend(followers);
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        ready::wait(&plan, &self.client(), &board).await
    }

    async fn take_down(&mut self, keep: bool) -> Result<(), WorldError> {
        for follower in self.followers.drain(..) {
            follower.abort();
        }
        self.running.clear();
        if !keep && self.begin.is_some() {
            let docker = connect().await?;
            let settled = if self.complete { Duration::ZERO } else { SETTLED };
            gc::remove_run(&docker, &self.owner.run, settled).await?;
            self.complete = true;
        }
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
        Ok(())
    }
}

impl World for DockerWorld {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn up(&mut self) -> BoxFuture<'_, Result<(), WorldError>> {
        Box::pin(async {
            let done = self.bring_up().await;
            self.complete = true;
            done
        })
    }

    fn client(&self) -> Ctx {
        client::ctx(&self.cluster)
    }

    fn pki(&self) -> Option<Arc<Pki>> {
        self.pki.clone()
    }

    fn certify<'a>(
        &'a mut self,
        host: &'a str,
        holder: Holder,
        kind: CertKind,
    ) -> BoxFuture<'a, Result<(), WorldError>> {
        Box::pin(async move {
            let node = self.running.iter().find(|node| {
                let is_node = node.component.is_none();
                is_node && node.host == host
            });
            let absent = || WorldError::new(format!("{host} has no certificates"), "");
            let found = self.cluster.host(host).zip(node).zip(self.pki.as_deref());
            let ((host, node), pki) = found.ok_or_else(absent)?;
            certs::replace(node, pki, host, holder, kind).await
        })
    }

    fn now(&self) -> Duration {
        self.begin.map(|begin| begin.elapsed()).unwrap_or_default()
    }

    fn apply<'a>(&'a mut self, fault: &'a Fault) -> BoxFuture<'a, Result<(), WorldError>> {
        Box::pin(self.strike(fault))
    }

    fn down(&mut self) -> BoxFuture<'_, Result<(), WorldError>> {
        Box::pin(self.take_down(self.options.keep))
    }
}

impl Drop for DockerWorld {
    fn drop(&mut self) {
        for follower in self.followers.drain(..) {
            follower.abort();
        }
        // The guard, which is dropped next, removes everything.
    }
}

/// Starts what a host needs, and follows what it says from its first word on.
async fn start(
    plan: &Plan<'_>,
    board: &Arc<Board>,
    index: usize,
    host: &Host,
) -> Result<(Vec<Running>, Vec<AbortHandle>), WorldError> {
    let running = plan.start(index, host).await?;
    let follow = |node: &Running| {
        let (docker, id) = (plan.docker.clone(), node.id.clone());
        let told = logs::follow(docker, id, board.clone(), node.host.clone(), node.component);
        tokio::spawn(told).abort_handle()
    };
    let followers = running.iter().map(follow).collect();
    Ok((running, followers))
}

/// An identifier for a run: short enough to type, long enough for all that one engine ever sees.
fn new_run() -> String {
    let mut run = ctx::real::ctx(Level::Error).random_id("run");
    run.truncate(8);
    run
}

/// Says where this machine is smaller than the scenario.
fn tell_limits(plan: &Plan<'_>, progress: &Progress) {
    for (host, engine) in plan.cluster.engines() {
        if engine.cpus > plan.cpus {
            let (has, name, wants) = (plan.cpus, &host.name, engine.cpus);
            progress(&format!("this machine has {has} CPUs: so has {name} instead of {wants}"));
        }
    }
}

/// Makes every image that a usual cluster needs, so that the first run does not have to.
///
/// # Errors
/// No engine answers, or an image cannot be made: the help says how to get what is missing.
pub async fn prepare(progress: Progress) -> Result<(), WorldError> {
    let options = Options::new(Arc::new(Memory::default()), progress)?;
    let docker = connect().await?;
    let workloads = ["busybox".to_owned(), "nginx".to_owned()];
    let wanted =
        Wanted { workloads: &workloads, store: true, lab: &options.lab, source: options.source };
    images::ensure(&docker, &wanted, &options.progress).await.map(drop)
}

fn cpus(info: &SystemInfo) -> u32 {
    info.ncpu.and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or(1)
}

/// The engine that `DOCKER_HOST` names, or the local one.
async fn connect() -> Result<Docker, WorldError> {
    let help = "start it, or name another one in DOCKER_HOST";
    let absent = |e: &dyn std::error::Error| {
        WorldError::new(format!("no Docker engine answers: {}", root_cause(e)), help)
    };
    let docker = docker_client_instance().await.map_err(|e| absent(&e))?;
    docker.ping().await.map_err(|e| absent(&e))?;
    Ok(docker)
}

/// An error of the engine, as one of the world.
fn engine_error(what: &str, error: Error) -> WorldError {
    let why = match error {
        Error::DockerResponseServerError { message, .. } => message,
        Error::DockerStreamError { error } => error,
        other => root_cause(&other),
    };
    WorldError::new(format!("{what}: {}", why.trim()), "")
}

/// The innermost error: those around it only say that a request failed.
fn root_cause(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .last()
        .map_or_else(String::new, ToString::to_string)
}

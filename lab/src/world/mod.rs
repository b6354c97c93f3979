//! A world is where a scenario happens. The runner drives this trait and never knows which world
//! it has.

pub mod docker;
pub mod endpoint;
pub mod fault;
pub mod simulated;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use swarm::ctx::{Addr, BoxFuture, Ctx};
use swarm::manager::Manager;
use swarm::tls;

use crate::pki::Pki;
use crate::scenario::{CertKind, Holder};
pub use fault::Fault;

/// Why a world could not do what it was asked to. Ends the run with exit code 3.
#[derive(Debug)]
pub struct WorldError {
    /// What failed, as a fragment fit for "error: …".
    pub what: String,
    /// What the user can do about it; may be empty.
    pub help: String,
}

impl WorldError {
    /// An error with advice.
    pub fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }
}

impl fmt::Display for WorldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for WorldError {}

/// What a run needs to know of a cluster that is not its own.
#[derive(Clone)]
pub struct Guest {
    /// Where the manager listens.
    pub manager: Addr,
    /// The TLS of a client, if the cluster has TLS: nobody here can make certificates for it.
    pub tls: Option<tls::Client>,
    /// The label, and its value, by which the run tells its containers from others.
    pub mark: (String, String),
    /// Hosts whose engine answers nobody but the manager.
    pub out_of_reach: BTreeSet<String>,
}

/// A cluster that can be brought up, reached, and taken down.
pub trait World: Send {
    /// The name printed in reports: `simulator`, `docker` or `endpoint`.
    fn name(&self) -> &'static str;

    /// Starts every host with all that runs on it: stores, engines with their images, agents,
    /// managers. Returns when every process has been started and every engine and store answers;
    /// whether the manager sees them is for the scenario to wait for.
    fn up(&mut self) -> BoxFuture<'_, Result<(), WorldError>>;

    /// A context for a client outside the cluster that can reach every host by address and name.
    fn client(&self) -> Ctx;

    /// The certificates of a cluster with TLS, once it is up.
    fn pki(&self) -> Option<Arc<Pki>>;

    /// What is different because the run is only a guest in a cluster that stands already; once it
    /// is up.
    fn guest(&self) -> Option<Guest> {
        None
    }

    /// The manager of this host, where it is one of ours, runs, and can be asked past its API.
    fn manager(&self, _host: &str) -> Option<Arc<Manager>> {
        None
    }

    /// Gives a server another certificate and restarts it, so that it shows the new one from now
    /// on. Containers of an engine that restarts so end, unless they are to be restarted.
    fn certify<'a>(
        &'a mut self,
        host: &'a str,
        holder: Holder,
        kind: CertKind,
    ) -> BoxFuture<'a, Result<(), WorldError>>;

    /// Time since [`World::up`] began.
    fn now(&self) -> Duration;

    /// Makes something go wrong, or right again. Returns when it has happened; what follows from it
    /// is for the scenario to wait for.
    fn apply<'a>(&'a mut self, fault: &'a Fault) -> BoxFuture<'a, Result<(), WorldError>>;

    /// Removes everything. Idempotent; also right after a failed [`World::up`].
    fn down(&mut self) -> BoxFuture<'_, Result<(), WorldError>>;
}

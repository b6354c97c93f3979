//! A cluster that stands already: virtual machines, one made by hand, one that `lab up` left.
//!
//! The run is a guest there. What it makes carries a label, only what carries it counts, and it
//! alone is removed in the end. Power over hosts comes from the commands of an endpoint file
//! (`scenario::endpoint`); steps that lack theirs are refused before anything runs (`refusal`), and
//! so is a cluster that is not the one of the scenario (`facts`).

mod facts;
pub mod plan;
mod refusal;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hyper::Method;
use serde_json::Value;
use swarm::ctx::{self, Addr, BoxFuture, Ctx, Level};
use swarm::tls::Client;
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use super::docker::client;
use super::{Fault, Guest, World, WorldError};
use crate::pki::Pki;
use crate::runner::Access;
use crate::runner::api::Api;
use crate::runner::fault::InForce;
use crate::runner::view::Info;
use crate::scenario::cluster::{Cluster, consul_port, engine_port};
use crate::scenario::endpoint::Endpoint;
use crate::scenario::{CertKind, Holder, Scenario};

pub use refusal::refused;

/// The label of everything that a run makes in a cluster that is not its own; its value is the run.
pub const MARK: &str = "swarmlab.run";

/// How long an engine or a store may take to answer, before it counts as out of reach.
const ANSWER: Duration = Duration::from_secs(3);
/// How long a command may take that has power over a host: a virtual machine that starts is slow.
const COMMAND: Duration = Duration::from_secs(600);
/// How long removing the run's containers is tried.
const REMOVAL: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Which cluster is meant, and how to get at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where its manager listens.
    pub manager: Addr,
    /// The folder with a client's `ca.pem`, `cert.pem` and `key.pem`, for a cluster with TLS.
    pub certs: Option<PathBuf>,
    /// What the endpoint file says.
    pub file: Endpoint,
}

/// A guest's view of such a cluster.
pub struct EndpointWorld {
    scenario: Arc<Scenario>,
    target: Target,
    run: String,
    client: Ctx,
    begin: Instant,
    /// What the run has done to hosts and not undone.
    in_force: InForce,
    guest: Option<Guest>,
}

impl EndpointWorld {
    /// A guest that replays `scenario`, with nothing done yet.
    #[must_use]
    pub fn new(scenario: Arc<Scenario>, target: Target) -> Self {
        let mut run = ctx::real::ctx(Level::Error).random_id("run");
        run.truncate(8);
        let client = client::ctx(&scenario.cluster);
        let (begin, in_force) = (Instant::now(), InForce::default());
        Self { scenario, target, run, client, begin, in_force, guest: None }
    }

    /// Looks at the cluster and changes nothing.
    ///
    /// # Errors
    /// It does not answer, is not the cluster of the scenario, or lacks what the scenario needs.
    pub async fn look(&self) -> Result<Guest, WorldError> {
        let tls = self.tls()?;
        let api = Api::new(&self.client, self.target.manager.clone(), tls.clone());
        let info = api.get("/info").await.map_err(|why| {
            let help = "-H, or `endpoint` in the endpoint file, says where the manager listens";
            WorldError::new(format!("the manager does not answer: {why}"), help)
        })?;
        facts::check(self.cluster(), &self.target.manager, &Info::parse(&info))?;
        self.refuse_names(&api).await?;
        self.refuse_silent_store(tls.as_ref()).await?;
        Ok(Guest {
            manager: self.target.manager.clone(),
            out_of_reach: self.out_of_reach(tls.as_ref()).await,
            tls,
            mark: (MARK.to_owned(), self.run.clone()),
        })
    }

    fn cluster(&self) -> &Cluster {
        &self.scenario.cluster
    }

    fn tls(&self) -> Result<Option<Client>, WorldError> {
        if !self.cluster().tls {
            return Ok(None);
        }
        let help = "--cert-path names the folder with ca.pem, cert.pem and key.pem of a client";
        let folder = self.target.certs.as_ref().ok_or_else(|| {
            WorldError::new("a cluster with TLS wants a client's certificate", help)
        })?;
        let client = Access::of_folder(&self.client, folder);
        client.map(Some).map_err(|why| WorldError::new(why, help))
    }

    /// A container that has the name of one that the scenario makes is not the scenario's.
    async fn refuse_names(&self, api: &Api) -> Result<(), WorldError> {
        let rows = containers(api).await?;
        let steps = self.scenario.steps.iter();
        let wanted: BTreeSet<&String> = steps.flat_map(|step| step.verb.containers()).collect();
        for row in rows {
            let name = row["Names"][0].as_str().unwrap_or_default();
            let name = name.rsplit('/').next().unwrap_or_default().to_owned();
            if !wanted.contains(&name) {
                continue;
            }
            let help = match row["Labels"][MARK].as_str() {
                Some(run) => format!(
                    "run {run} was killed before it could remove it: `docker rm -f $(docker ps -aq \
                     --filter label={MARK}={run})`"
                ),
                None => "it is not the lab's: remove it, or rename it in the scenario".to_owned(),
            };
            return Err(WorldError::new(format!("there is a container {name} already"), help));
        }
        Ok(())
    }

    /// Where steps look into the store, it must answer.
    async fn refuse_silent_store(&self, tls: Option<&Client>) -> Result<(), WorldError> {
        let looks = |step: &crate::scenario::Step| {
            step.expect.as_ref().is_some_and(|expect| !expect.store.0.is_empty())
        };
        let step = self.scenario.steps.iter().position(looks);
        let (Some(step), Some((host, _))) = (step, self.cluster().store()) else { return Ok(()) };
        let addr = Addr::tcp(host.address.to_string(), consul_port(self.cluster().tls));
        let api = Api::new(&self.client, addr.clone(), tls.cloned());
        match timeout(ANSWER, api.get("/v1/status/leader")).await {
            Ok(Ok(_)) => Ok(()),
            refused => {
                let why = refused.map_or_else(|_| "no answer".to_owned(), |e| e.unwrap_err());
                let what = format!("the store at {addr} does not answer: {why}");
                let help = format!("step {} looks into it", step + 1);
                Err(WorldError::new(what, help))
            }
        }
    }

    /// Hosts whose engine does not answer us.
    async fn out_of_reach(&self, tls: Option<&Client>) -> BTreeSet<String> {
        let cluster = self.cluster();
        let probe = |host: &crate::scenario::cluster::Host| {
            let addr = Addr::tcp(host.address.to_string(), engine_port(cluster.tls));
            let api = Api::new(&self.client, addr, tls.cloned());
            let name = host.name.clone();
            async move {
                let answer = timeout(ANSWER, api.send(Method::GET, "/_ping", None)).await;
                (!matches!(answer, Ok(Ok(_)))).then_some(name)
            }
        };
        let probes = cluster.engines().map(|(host, _)| probe(host));
        join_all(probes).await.into_iter().flatten().collect()
    }

    async fn strike(&mut self, fault: &Fault) -> Result<(), WorldError> {
        let command = self.target.file.commands.command(fault, self.cluster());
        let command = command.map_err(|key| {
            WorldError::new(format!("nothing says how to {fault}"), format!("add `{key}`"))
        })?;
        // Noted first: a command that fails half way may have done something.
        self.in_force.note(fault);
        shell(&command).await
    }

    /// Undoes what was done to hosts, then removes the run's containers.
    async fn leave(&mut self) -> Result<(), WorldError> {
        let Some(guest) = self.guest.take() else { return Ok(()) };
        let mut failed = Vec::new();
        for cure in self.in_force.cures(&Vec::new()) {
            if let Err(error) = self.strike(&cure).await {
                failed.push(error.what);
            }
        }
        let api = Api::new(&self.client, guest.manager, guest.tls);
        if let Err(error) = self.remove_all(&api).await {
            failed.push(error.what);
        }
        if failed.is_empty() {
            return Ok(());
        }
        let run = &self.run;
        let help = format!("containers of this run have the label {MARK}={run}");
        Err(WorldError::new(failed.join("; "), help))
    }

    async fn remove_all(&self, api: &Api) -> Result<(), WorldError> {
        let began = Instant::now();
        loop {
            let done = self.remove_once(api).await;
            match done {
                Ok(true) => return Ok(()),
                Ok(false) | Err(_) if began.elapsed() < REMOVAL => {
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(false) => return Err(WorldError::new("containers of the run stay", "")),
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes what there is; whether there was nothing.
    async fn remove_once(&self, api: &Api) -> Result<bool, WorldError> {
        let rows = containers(api).await?;
        let own = rows.iter().filter(|row| row["Labels"][MARK] == self.run.as_str());
        let mut none = true;
        for row in own {
            none = false;
            let id = row["Id"].as_str().unwrap_or_default();
            let path = format!("/containers/{id}?force=1&v=1");
            let removed = api.send(Method::DELETE, &path, None).await;
            let removed = removed.and_then(crate::runner::api::Reply::ok);
            removed.map_err(|why| WorldError::new(format!("removing {id}: {why}"), ""))?;
        }
        Ok(none)
    }
}

async fn containers(api: &Api) -> Result<Vec<Value>, WorldError> {
    let rows = api.get("/containers/json?all=1").await;
    match rows.map_err(|why| WorldError::new(why, ""))? {
        Value::Array(rows) => Ok(rows),
        _ => Ok(Vec::new()),
    }
}

/// Runs a command of the endpoint file to its end.
async fn shell(command: &str) -> Result<(), WorldError> {
    let failed = |why: String| WorldError::new(format!("`{command}`: {why}"), "");
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(COMMAND, shell.output()).await;
    let output = output.map_err(|_| failed(format!("no end after {} s", COMMAND.as_secs())))?;
    let output = output.map_err(|e| failed(e.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(failed(format!("{} {last}", output.status).trim_end().to_owned()))
}

impl World for EndpointWorld {
    fn name(&self) -> &'static str {
        "endpoint"
    }

    fn up(&mut self) -> BoxFuture<'_, Result<(), WorldError>> {
        Box::pin(async {
            self.begin = Instant::now();
            self.guest = Some(self.look().await?);
            Ok(())
        })
    }

    fn client(&self) -> Ctx {
        self.client.clone()
    }

    fn pki(&self) -> Option<Arc<Pki>> {
        None
    }

    fn guest(&self) -> Option<Guest> {
        self.guest.clone()
    }

    fn certify<'a>(
        &'a mut self,
        host: &'a str,
        _: Holder,
        _: CertKind,
    ) -> BoxFuture<'a, Result<(), WorldError>> {
        let what = format!("the certificate of {host} was made elsewhere");
        Box::pin(std::future::ready(Err(WorldError::new(what, ""))))
    }

    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn apply<'a>(&'a mut self, fault: &'a Fault) -> BoxFuture<'a, Result<(), WorldError>> {
        Box::pin(self.strike(fault))
    }

    fn down(&mut self) -> BoxFuture<'_, Result<(), WorldError>> {
        Box::pin(self.leave())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_fails_says_why() {
        assert!(shell("true").await.is_ok());
        let error = shell("echo one >&2; echo 'no such host' >&2; exit 3").await.unwrap_err();
        assert!(error.what.ends_with("exit status: 3 no such host"), "{}", error.what);
    }
}

//! Removes what runs left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error;
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
};

use super::labels::{Owner, RUN, labelled};
use super::{certs, connect, engine_error};
use crate::world::WorldError;

/// How long removal is tried before what is left is a leak.
const REMOVE_WITHIN: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_millis(100);

/// What a run has on the engine.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Things {
    containers: BTreeSet<String>,
    networks: BTreeSet<String>,
    volumes: BTreeSet<String>,
}

impl Things {
    pub(super) fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.networks.is_empty() && self.volumes.is_empty()
    }

    /// All of them, in words.
    fn list(&self) -> String {
        let kinds = [
            ("container", &self.containers),
            ("network", &self.networks),
            ("volume", &self.volumes),
        ];
        let words = kinds
            .iter()
            .flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind} {name}")));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// A removed run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// Its identifier.
    pub run: String,
    /// How many containers, networks and volumes it had.
    pub things: usize,
}

/// Removes the runs whose process has ended, those that were asked to stay too; with `all` also
/// those that are under way, here or elsewhere.
///
/// # Errors
/// The engine does not answer, or refuses to remove something.
pub async fn collect(all: bool) -> Result<Vec<Collected>, WorldError> {
    let docker = connect().await?;
    collect_where(&docker, |owner| all || owner.is_dead()).await
}

/// Removes the runs that ended without cleaning up, before a new one begins.
pub(super) async fn sweep(docker: &Docker) -> Result<Vec<Collected>, WorldError> {
    collect_where(docker, |owner| owner.is_dead() && !owner.keep).await
}

async fn collect_where(
    docker: &Docker,
    unwanted: impl Fn(&Owner) -> bool,
) -> Result<Vec<Collected>, WorldError> {
    let found = runs(docker).await.map_err(|e| engine_error("looking for leftovers", e))?;
    let mut collected = Vec::new();
    for (run, (owner, things)) in found {
        if unwanted(&owner) {
            remove_run(docker, &run, Duration::ZERO).await?;
            collected.push(Collected { run, things });
        }
    }
    Ok(collected)
}

/// Every run on the engine, with the number of its things.
pub(super) async fn runs(docker: &Docker) -> Result<BTreeMap<String, (Owner, usize)>, Error> {
    let mut runs: BTreeMap<String, (Owner, usize)> = BTreeMap::new();
    let mut count = |owner: Option<Owner>| {
        if let Some(owner) = owner {
            runs.entry(owner.run.clone()).or_insert((owner, 0)).1 += 1;
        }
    };
    let any = labelled(RUN.to_owned());
    let containers = ListContainersOptionsBuilder::new().all(true).filters(&any).build();
    for container in docker.list_containers(Some(containers)).await? {
        let labels = container.labels.unwrap_or_default();
        count(Owner::from_labels(|key| labels.get(key)));
    }
    let networks = ListNetworksOptionsBuilder::new().filters(&any).build();
    for network in docker.list_networks(Some(networks)).await? {
        let labels = network.labels.unwrap_or_default();
        count(Owner::from_labels(|key| labels.get(key)));
    }
    let volumes = ListVolumesOptionsBuilder::new().filters(&any).build();
    for volume in docker.list_volumes(Some(volumes)).await?.volumes.unwrap_or_default() {
        count(Owner::from_labels(|key| volume.labels.get(key)));
    }
    Ok(runs)
}

/// What `run` has on the engine.
pub(super) async fn things(docker: &Docker, run: &str) -> Result<Things, Error> {
    let filter = labelled(format!("{RUN}={run}"));
    let containers = ListContainersOptionsBuilder::new().all(true).filters(&filter).build();
    let networks = ListNetworksOptionsBuilder::new().filters(&filter).build();
    let volumes = ListVolumesOptionsBuilder::new().filters(&filter).build();
    let (containers, networks, volumes) = tokio::try_join!(
        docker.list_containers(Some(containers)),
        docker.list_networks(Some(networks)),
        docker.list_volumes(Some(volumes)),
    )?;
    let name = |names: Option<Vec<String>>| names.and_then(|names| names.into_iter().next());
    let containers = containers.into_iter().filter_map(|c| name(c.names).or(c.id));
    let volumes = volumes.volumes.unwrap_or_default().into_iter().map(|volume| volume.name);
    Ok(Things {
        containers: containers.map(|name| name.trim_start_matches('/').to_owned()).collect(),
        networks: networks.into_iter().filter_map(|network| network.name).collect(),
        volumes: volumes.collect(),
    })
}

/// Removes everything of `run`, and returns when nothing has been there for `settled`: a creation
/// that was under way when its process died may still come to an end.
pub(super) async fn remove_run(
    docker: &Docker,
    run: &str,
    settled: Duration,
) -> Result<(), WorldError> {
    let begin = tokio::time::Instant::now();
    let mut empty_since = None;
    let mut refusal = None;
    loop {
        let left = things(docker, run).await.map_err(|e| engine_error("listing a run", e))?;
        let now = tokio::time::Instant::now();
        if left.is_empty() {
            if now - *empty_since.get_or_insert(now) >= settled {
                certs::remove_client(run);
                return Ok(());
            }
        } else {
            empty_since = None;
            if now - begin > REMOVE_WITHIN {
                let why = refusal.map(|error| format!(" ({error})")).unwrap_or_default();
                let what = format!("run {run} left behind: {}{why}", left.list());
                return Err(WorldError::new(what, "`lab gc --all` removes it once it can be"));
            }
            refusal = remove(docker, &left).await.or(refusal);
            if settled.is_zero() {
                continue;
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Tries to remove `things`; returns the last refusal.
async fn remove(docker: &Docker, things: &Things) -> Option<Error> {
    let options = || RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    let containers = things.containers.iter();
    let containers = containers.map(|name| docker.remove_container(name, Some(options())));
    let mut refusal = last_refusal(join_all(containers).await);
    let networks = things.networks.iter().map(|name| docker.remove_network(name));
    refusal = last_refusal(join_all(networks).await).or(refusal);
    let options = || RemoveVolumeOptionsBuilder::new().force(true).build();
    let volumes = things.volumes.iter();
    let volumes = volumes.map(|name| docker.remove_volume(name, Some(options())));
    last_refusal(join_all(volumes).await).or(refusal)
}

fn last_refusal(results: Vec<Result<(), Error>>) -> Option<Error> {
    results.into_iter().filter_map(Result::err).rfind(|error| !is_on_its_way(error))
}

/// Whether a removal failed only because the thing is gone, or about to be.
fn is_on_its_way(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
        || matches!(error, Error::DockerResponseServerError { status_code: 409, message }
            if message.contains("already in progress"))
}

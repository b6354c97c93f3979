//! Clusters that stay up. Any shell finds them at any time, by nothing but what the labels of their
//! network and their containers say.

use std::collections::BTreeMap;
use std::time::Duration;

use testcontainers::bollard::Docker;
use testcontainers::bollard::models::ContainerSummary;
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
};
use tokio::time::Instant;

use super::hosts::Running;
use super::labels::{
    CERTS, CLUSTER, ENDPOINT, FILE, HOST, KEEP, Owner, ROLES, RUN, STORE, labelled,
};
use super::logs::Board;
use super::{DockerWorld, Options, connect, engine_error, gc};
use crate::scenario::cluster::Cluster;
use crate::world::WorldError;

/// A cluster that stays up.
#[derive(Clone, Debug)]
pub struct Standing {
    owner: Owner,
    /// Containers, networks and volumes.
    things: usize,
    /// The labels of its network; none when that is gone.
    network: BTreeMap<String, String>,
}

impl Standing {
    /// The run's identifier.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.owner.run
    }

    /// The scenario's name; of a run without one, its identifier.
    #[must_use]
    pub fn name(&self) -> &str {
        self.owner.name.as_ref().unwrap_or(&self.owner.run)
    }

    /// Name and run: `vagrant4 (run 1a2b3c4d)`.
    #[must_use]
    pub fn title(&self) -> String {
        self.owner.title()
    }

    /// The path of the scenario's file.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.network.get(FILE).map(String::as_str)
    }

    /// Where the docker command reaches the manager: the value of `DOCKER_HOST`.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.network.get(ENDPOINT).map(String::as_str)
    }

    /// The directory with a client's certificate and key, if the manager asks for them: the value
    /// of `DOCKER_CERT_PATH`.
    #[must_use]
    pub fn certs(&self) -> Option<&str> {
        self.network.get(CERTS).map(String::as_str)
    }

    /// The process that still works on it: it comes up, or the scenario has not come to its end.
    #[must_use]
    pub fn at_work(&self) -> Option<u32> {
        self.owner.pid.filter(|_| self.owner.is_at_work())
    }

    /// What was brought up.
    ///
    /// # Errors
    /// The network is gone, or was made by another version of the lab.
    pub fn cluster(&self) -> Result<Cluster, WorldError> {
        let help = format!("`lab down {}` removes the rest", self.run());
        let Some(json) = self.network.get(CLUSTER) else {
            return Err(WorldError::new(format!("the network of {} is gone", self.title()), help));
        };
        serde_json::from_str(json).map_err(|e| {
            let what = format!("{} was brought up by another version: {e}", self.title());
            WorldError::new(what, help)
        })
    }
}

/// All of them, by name.
///
/// # Errors
/// No engine answers.
pub async fn list() -> Result<Vec<Standing>, WorldError> {
    list_on(&connect().await?).await
}

/// The one that is called `wanted`, by the scenario's name or the run's; without, the only one.
///
/// # Errors
/// There is none, or several; no engine answers.
pub async fn find(wanted: Option<&str>) -> Result<Standing, WorldError> {
    pick(list().await?, wanted)
}

/// Removes a cluster, and returns how many things it had. Nothing of it is left then.
///
/// # Errors
/// A process still works on it, or the engine refuses to remove something: what is named.
pub async fn remove(standing: &Standing) -> Result<usize, WorldError> {
    if let Some(pid) = standing.at_work() {
        let what = format!("process {pid} still works on {}", standing.title());
        return Err(WorldError::new(what, "wait for its end, or end it"));
    }
    gc::remove_run(&connect().await?, standing.run(), Duration::ZERO).await?;
    Ok(standing.things)
}

/// Refuses a second cluster of a scenario: the docker command would find one of the two only.
pub(super) async fn refuse_twice(docker: &Docker, name: &str) -> Result<(), WorldError> {
    let mut all = list_on(docker).await?.into_iter();
    let Some(other) = all.find(|standing| standing.name() == name) else { return Ok(()) };
    let what = format!("{} is already up", other.title());
    let help = match other.at_work() {
        Some(pid) => format!("process {pid} works on it: wait for its end, or end it"),
        None => format!("`lab ps {name}` shows it, `lab down {name}` removes it"),
    };
    Err(WorldError::new(what, help))
}

async fn list_on(docker: &Docker) -> Result<Vec<Standing>, WorldError> {
    let failed = |e| engine_error("looking for clusters", e);
    let filter = labelled(KEEP.to_owned());
    let networks = ListNetworksOptionsBuilder::new().filters(&filter).build();
    let networks = docker.list_networks(Some(networks)).await.map_err(failed)?;
    let labels = networks.into_iter().filter_map(|network| network.labels);
    let labels: Vec<BTreeMap<_, _>> = labels.map(|labels| labels.into_iter().collect()).collect();
    let runs = gc::runs(docker).await.map_err(failed)?;
    let kept = runs.into_values().filter(|(owner, _)| owner.keep);
    let mut all: Vec<_> = kept
        .map(|(owner, things)| {
            let network = labels.iter().find(|labels| labels.get(RUN) == Some(&owner.run));
            Standing { owner, things, network: network.cloned().unwrap_or_default() }
        })
        .collect();
    all.sort_by(|a, b| (a.name(), a.run()).cmp(&(b.name(), b.run())));
    Ok(all)
}

fn pick(all: Vec<Standing>, wanted: Option<&str>) -> Result<Standing, WorldError> {
    let titles: Vec<_> = all.iter().map(Standing::title).collect();
    let titles = titles.join(", ");
    let meant = |one: &Standing| wanted.is_none_or(|w| w == one.run() || w == one.name());
    let mut found: Vec<_> = all.into_iter().filter(meant).collect();
    match (found.pop(), wanted) {
        (Some(one), _) if found.is_empty() => Ok(one),
        (Some(_), _) => {
            Err(WorldError::new("several clusters are up", format!("name one of: {titles}")))
        }
        (None, Some(wanted)) if !titles.is_empty() => {
            let what = format!("no cluster `{wanted}` is up");
            Err(WorldError::new(what, format!("there is: {titles}")))
        }
        (None, _) => Err(WorldError::new("no cluster is up", "`lab up FILE` brings one up")),
    }
}

impl DockerWorld {
    /// A world for a cluster that was brought up before and stays up, also after this one ends.
    /// `run` is its identifier.
    ///
    /// # Errors
    /// There is no such cluster, or it is not whole; no engine answers.
    pub async fn attach(run: &str, options: Options) -> Result<Self, WorldError> {
        let docker = connect().await?;
        let standing = pick(list_on(&docker).await?, Some(run))?;
        let begin = Instant::now();
        let containers = containers(&docker, run).await?;
        Ok(Self {
            cluster: standing.cluster()?,
            begin: Some(begin),
            complete: true,
            guard: None,
            running: containers.iter().filter_map(running).collect(),
            followers: Vec::new(),
            board: Some(Board::new(options.sink.clone(), begin)),
            // The keys of the authority ended with the process that made them.
            pki: None,
            owner: standing.owner,
            options: Options { keep: true, ..options },
        })
    }
}

/// The containers of a run: nodes first, then the stores that are on their networks.
pub(super) async fn containers(
    docker: &Docker,
    run: &str,
) -> Result<Vec<ContainerSummary>, WorldError> {
    let filter = labelled(format!("{RUN}={run}"));
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filter).build();
    let listed = docker.list_containers(Some(options)).await;
    let mut containers = listed.map_err(|e| engine_error("listing a run", e))?;
    containers.sort_by_key(|container| label(container, ROLES) == Some(STORE));
    Ok(containers)
}

/// A label of a container.
pub(super) fn label<'a>(container: &'a ContainerSummary, key: &str) -> Option<&'a str> {
    container.labels.as_ref()?.get(key).map(String::as_str)
}

/// What is known of a container of a run by its labels.
pub(super) fn running(container: &ContainerSummary) -> Option<Running> {
    let component = (label(container, ROLES) == Some(STORE)).then_some(STORE);
    Some(Running { id: container.id.clone()?, host: label(container, HOST)?.to_owned(), component })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(run: &str, name: &str) -> Standing {
        let owner = Owner::this_process(run.into(), Some(name.into()), true);
        Standing { owner, things: 1, network: BTreeMap::new() }
    }

    #[test]
    fn a_cluster_is_found_by_its_name_or_its_run() {
        let all = || vec![standing("1a", "demo"), standing("2b", "other")];
        for wanted in ["demo", "1a"] {
            assert_eq!(pick(all(), Some(wanted)).unwrap().run(), "1a");
        }
        assert_eq!(pick(vec![standing("2b", "other")], None).unwrap().run(), "2b");
    }

    #[test]
    fn whoever_means_none_or_several_is_told_what_there_is() {
        let all = || vec![standing("1a", "demo"), standing("2b", "demo")];
        let several = pick(all(), None).unwrap_err();
        assert_eq!(several.what, "several clusters are up");
        assert_eq!(several.help, "name one of: demo (run 1a), demo (run 2b)");
        let unknown = pick(all(), Some("other")).unwrap_err();
        assert_eq!(unknown.what, "no cluster `other` is up");
        assert_eq!(unknown.help, "there is: demo (run 1a), demo (run 2b)");
        assert_eq!(pick(Vec::new(), Some("x")).unwrap_err().what, "no cluster is up");
    }

    #[test]
    fn a_cluster_without_its_network_says_how_to_remove_the_rest() {
        let error = standing("1a", "demo").cluster().unwrap_err();
        assert_eq!(error.what, "the network of demo (run 1a) is gone");
        assert_eq!(error.help, "`lab down 1a` removes the rest");
    }
}

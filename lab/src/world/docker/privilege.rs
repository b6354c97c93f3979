//! What a node may do, and how the engine is asked for it.

use std::sync::Mutex;

use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error;
use testcontainers::bollard::models::{ContainerCreateBody, HostConfig};
use testcontainers::bollard::query_parameters::{
    CreateContainerOptions, RemoveContainerOptionsBuilder, StartContainerOptions,
};

use super::engine_error;
use super::labels::Owner;
use crate::world::WorldError;

/// The way to a container in which a Docker engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Privilege {
    /// `--privileged`.
    Full,
    /// Everything of it that an engine without the SYS_RESOURCE capability can give. Inner engines
    /// lose `--privileged`, higher limits than their node's, and negative OOM scores.
    Substitute,
}

impl Privilege {
    /// Asks for it.
    pub(super) fn apply(self, config: &mut HostConfig) {
        match self {
            Self::Full => config.privileged = Some(true),
            Self::Substitute => {
                let words = |all: &[&str]| Some(all.iter().map(|&word| word.to_owned()).collect());
                config.privileged = Some(false);
                config.cap_add = words(&["ALL"]);
                config.cap_drop = words(&["SYS_RESOURCE"]);
                config.security_opt = words(&["seccomp=unconfined", "apparmor=unconfined"]);
                config.masked_paths = Some(Vec::new());
                config.readonly_paths = Some(Vec::new());
                config.device_cgroup_rules = words(&["a *:* rwm"]);
            }
        }
    }
}

/// What each engine this process has met grants, by the engine's identifier.
static KNOWN: Mutex<Vec<(String, Privilege)>> = Mutex::new(Vec::new());

/// Finds out what the engine grants, by a container that ends at once.
pub(super) async fn probe(
    docker: &Docker,
    engine: &str,
    image: &str,
    owner: &Owner,
) -> Result<Privilege, WorldError> {
    let known = || KNOWN.lock().expect("no holder of the lock panics");
    if let Some((_, privilege)) = known().iter().find(|(id, _)| id == engine) {
        return Ok(*privilege);
    }
    let privilege = if starts(docker, image, owner, Privilege::Full).await?.is_ok() {
        Privilege::Full
    } else {
        match starts(docker, image, owner, Privilege::Substitute).await? {
            Ok(()) => Privilege::Substitute,
            Err(refusal) => {
                let what = format!("the engine refuses the rights that a node needs: {refusal}");
                return Err(WorldError::new(
                    what,
                    "run the lab against an engine that runs as root",
                ));
            }
        }
    };
    known().push((engine.to_owned(), privilege));
    Ok(privilege)
}

/// Whether a container with `privilege` starts; the inner error is the engine's refusal.
async fn starts(
    docker: &Docker,
    image: &str,
    owner: &Owner,
    privilege: Privilege,
) -> Result<Result<(), Error>, WorldError> {
    let mut host_config = HostConfig { network_mode: Some("none".into()), ..Default::default() };
    privilege.apply(&mut host_config);
    let config = ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(vec!["true".into()]),
        labels: Some(owner.labels().into_iter().collect()),
        host_config: Some(host_config),
        ..Default::default()
    };
    let created = docker.create_container(None::<CreateContainerOptions>, config).await;
    let id = created.map_err(|e| engine_error("creating a container to test privileges", e))?.id;
    let started = docker.start_container(&id, None::<StartContainerOptions>).await;
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    let removed = docker.remove_container(&id, Some(options)).await;
    removed.map_err(|e| engine_error("removing a container that tested privileges", e))?;
    Ok(started)
}

//! A container for every host of the cluster.

use std::path::Path;

use testcontainers::bollard::Docker;
use testcontainers::bollard::models::{
    HostConfig, HostConfigLogConfig, Mount, MountType, MountVolumeOptions,
};
use testcontainers::core::Host as HostEntry;
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{
    ContainerAsync, ContainerRequest, CopyTargetOptions, GenericImage, ImageExt as _,
};

use super::certs;
use super::identity::Identities;
use super::images::{Images, with_tag};
use super::labels::{Owner, STORE};
use super::network;
use super::privilege::Privilege;
use super::store;
use crate::node::spec::{ENGINE, Gate, Process, Spec, Uncertified, image_file};
use crate::pki::{Files, Pki};
use crate::scenario::CertKind;
use crate::scenario::cluster::{
    Cluster, Engine, Host, Manager, PKI, consul_port, engine_pair, engine_port,
};
use crate::world::WorldError;

/// Where another manager is put.
const OTHER_MANAGER: &str = "/lab/manager";
/// A node's engine itself must never lack memory, however small the scenario makes the node.
const LEAST_MEMORY: u64 = 512 << 20;
/// The names under which engines look for a registry. On a network without a way out each look-up
/// takes ten seconds to fail; the node's own address refuses at once.
const REGISTRIES: [&str; 3] = ["registry-1.docker.io", "docker.io", "index.docker.io"];

/// A started container and what is needed to talk about it.
pub(super) struct Running {
    /// The container's identifier.
    pub(super) id: String,
    /// The host it stands for, or is part of.
    pub(super) host: String,
    /// The only thing that speaks in it; `None` for a node, which names what speaks.
    pub(super) component: Option<&'static str>,
}

/// All that the containers of a run have in common.
pub(super) struct Plan<'a> {
    pub(super) docker: &'a Docker,
    pub(super) cluster: &'a Cluster,
    pub(super) owner: &'a Owner,
    pub(super) images: &'a Images,
    pub(super) network: &'a str,
    pub(super) privilege: Privilege,
    /// CPUs of the machine that the engine runs on.
    pub(super) cpus: u32,
    /// Another manager's program, instead of this one's.
    pub(super) manager: Option<&'a Path>,
    /// The certificates of a cluster with TLS.
    pub(super) pki: Option<&'a Pki>,
    /// The IDs that engines are to have.
    pub(super) identities: Identities,
}

impl Plan<'_> {
    /// Starts the node of `host`, and its store.
    pub(super) async fn start(
        &self,
        index: usize,
        host: &Host,
    ) -> Result<Vec<Running>, WorldError> {
        let failed = |what: &str, error: testcontainers::TestcontainersError| {
            WorldError::new(format!("starting {what} of {}: {error}", host.name), "")
        };
        let node = self.request(index, host).start().await.map_err(|e| failed("the node", e))?;
        let id = left_to_the_run(node);
        network::attach(self.docker, self.network, &id, host.address).await?;
        let mut running =
            vec![Running { id: id.clone(), host: host.name.clone(), component: None }];
        if host.store.is_some() {
            let image = self.images.consul.as_deref().ok_or_else(|| {
                WorldError::new("there is no image of the store", "`lab images` builds it")
            })?;
            let request = store::request(image, self.owner, host, &id, self.pki);
            let store = request.start().await.map_err(|e| failed("the store", e))?;
            let (id, host) = (left_to_the_run(store), host.name.clone());
            running.push(Running { id, host, component: Some(STORE) });
        }
        Ok(running)
    }

    fn request(&self, index: usize, host: &Host) -> ContainerRequest<GenericImage> {
        let spec = self.spec(host);
        let roles: Vec<_> = spec.processes.iter().map(|process| process.name.as_str()).collect();
        let roles = roles.join(",");
        let spec = serde_json::to_string(&spec).expect("a spec is plain data");
        let mut request = image(&self.images.node)
            .with_cmd([spec])
            .with_container_name(format!("lab-{}-{}", self.owner.run, host.name))
            .with_hostname(&host.name)
            .with_labels(self.owner.labels_of(&host.name, &roles));
        for other in &self.cluster.hosts {
            request = request.with_host(&other.name, HostEntry::Addr(other.address.into()));
        }
        for registry in REGISTRIES {
            request = request.with_host(registry, HostEntry::Addr([127, 0, 0, 1].into()));
        }
        if let (Some(_), Some(program)) = (&host.manager, self.manager) {
            let target = CopyTargetOptions::new(OTHER_MANAGER);
            request = request.with_copy_to(target.with_mode(0o755), program.to_owned());
        }
        if let Some(pki) = self.pki {
            request = with_files(request, &certs::of_node(pki, host));
        }
        request = self.identities.give(request, host);
        let (privilege, cpuset) = (self.privilege, self.cpuset(index, host));
        let memory = host.engine.as_ref().map(|engine| engine.memory.max(LEAST_MEMORY));
        let memory = memory.and_then(|bytes| i64::try_from(bytes).ok());
        let volume = host.engine.as_ref().map(|_| vec![engine_volume(&self.owner.labels())]);
        request.with_host_config_modifier(move |config| {
            privilege.apply(config);
            common(config);
            config.network_mode = Some("none".into());
            config.init = Some(true);
            config.cpuset_cpus.clone_from(&cpuset);
            config.memory = memory;
            config.memory_swap = memory;
            config.mounts.clone_from(&volume);
        })
    }

    /// The CPUs of a node: as many as its engine is to report, or all when the machine has fewer.
    /// Nodes begin at different ones, so that small nodes share the machine evenly.
    fn cpuset(&self, index: usize, host: &Host) -> Option<String> {
        let wanted = host.engine.as_ref()?.cpus;
        if wanted >= self.cpus {
            return None;
        }
        let first = u32::try_from(index).unwrap_or(0);
        let cpus = (0..wanted).map(|n| ((first + n) % self.cpus).to_string());
        Some(cpus.collect::<Vec<_>>().join(","))
    }

    fn spec(&self, host: &Host) -> Spec {
        let mut processes = Vec::new();
        if host.engine.is_some() {
            processes.push(self.engine(host));
        }
        if let Some(agent) = &host.agent {
            let gates = [self.store_gates(), self.engine_gates(host)].concat();
            let argv = own(self.cluster.agent_args(host, agent));
            processes.push(Process { name: "agent".into(), argv, gates, uncertified: None });
        }
        if let Some(manager) = &host.manager {
            processes.push(self.manager(manager));
        }
        let images = self.cluster.images.iter().map(|image| image_file(&with_tag(image))).collect();
        let memory = host.engine.as_ref().map(|engine| engine.memory);
        Spec { address: host.address, memory, images, processes }
    }

    /// The host and name of every process of the cluster.
    pub(super) fn processes(&self) -> Vec<(String, String)> {
        let named = |host: &Host| {
            let processes = self.spec(host).processes.into_iter();
            processes.map(|process| (host.name.clone(), process.name)).collect::<Vec<_>>()
        };
        self.cluster.hosts.iter().flat_map(named).collect()
    }

    fn engine(&self, host: &Host) -> Process {
        let mut argv: Vec<String> = vec!["dockerd".into(), "-H".into()];
        argv.push("unix:///var/run/docker.sock".into());
        // Otherwise inner containers are sent to public resolvers that nothing here reaches.
        argv.extend(["--dns".into(), "127.0.0.1".into()]);
        let with = |tls| [argv.clone(), self.cluster.engine_args(host, tls)].concat();
        let plain = with(false);
        let (name, gates) = (ENGINE.to_owned(), Vec::new());
        if !self.cluster.tls {
            return Process { name, argv: plain, gates, uncertified: None };
        }
        let cert = format!("{PKI}/{}cert.pem", engine_pair(&host.name));
        let uncertified = Some(Uncertified { cert, argv: plain });
        Process { name, argv: with(true), gates, uncertified }
    }

    fn manager(&self, manager: &Manager) -> Process {
        let args = self.cluster.manager_args(manager);
        let argv = match self.manager {
            None => own(args),
            Some(_) => [vec![OTHER_MANAGER.to_owned()], args].concat(),
        };
        let gates = match self.cluster.store() {
            Some(_) => self.store_gates(),
            None => self.cluster.engines().flat_map(|(host, _)| self.engine_gates(host)).collect(),
        };
        Process { name: "manager".into(), argv, gates, uncertified: None }
    }

    /// What tells that the cluster's store can be used: agents that come too early would try again
    /// only after a heartbeat.
    pub(super) fn store_gates(&self) -> Vec<Gate> {
        let stores = self.cluster.hosts.iter().filter(|host| host.store.is_some());
        let leader = |host: &Host| Gate {
            address: host.address,
            port: consul_port(self.cluster.tls),
            path: "/v1/status/leader".into(),
            tls: self.cluster.tls,
        };
        stores.map(leader).collect()
    }

    /// What tells that an engine answers and has its images.
    pub(super) fn engine_gates(&self, host: &Host) -> Vec<Gate> {
        let plain = |engine: &Engine| engine.cert == CertKind::Plain;
        let tls = self.cluster.tls && !host.engine.as_ref().is_some_and(plain);
        let port = engine_port(self.cluster.tls);
        let gate = |path: String| Gate { address: host.address, port, path, tls };
        let images = self.cluster.images.iter().map(|image| format!("/images/{image}/json"));
        std::iter::once("/_ping".to_owned()).chain(images).map(gate).collect()
    }
}

/// The same with the files of certificates in it from the start.
pub(super) fn with_files(
    request: ContainerRequest<GenericImage>,
    files: &Files,
) -> ContainerRequest<GenericImage> {
    files.iter().fold(request, |request, (name, text, mode)| {
        let target = CopyTargetOptions::new(format!("{PKI}/{name}")).with_mode(mode);
        request.with_copy_to(target, text.as_bytes().to_vec())
    })
}

/// A container would remove itself when it is dropped, one after the other and only inside a
/// runtime: the run, or its guard, removes all at once by their label. Returns the identifier.
fn left_to_the_run(container: ContainerAsync<GenericImage>) -> String {
    let id = container.id().to_owned();
    std::mem::forget(container);
    id
}

/// A volume for an engine's data, which goes with its container: inner engines need a file system
/// that is no overlay itself.
fn engine_volume(labels: &[(String, String)]) -> Mount {
    let labels = Some(labels.iter().cloned().collect());
    Mount {
        target: Some("/var/lib/docker".into()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions { labels, ..Default::default() }),
        ..Default::default()
    }
}

/// What every container of a run has: nothing published, and output that can be followed.
pub(super) fn common(config: &mut HostConfig) {
    config.publish_all_ports = Some(false);
    config.log_config =
        Some(HostConfigLogConfig { typ: Some("json-file".into()), ..Default::default() });
}

/// An image as testcontainers wants it.
pub(super) fn image(name: &str) -> GenericImage {
    let (name, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    GenericImage::new(name, tag)
}

/// A command of the `swarm` that this program carries inside.
fn own(args: Vec<String>) -> Vec<String> {
    [vec!["/lab/lab".to_owned(), "swarm".to_owned()], args].concat()
}

//! Images made on this machine.

use std::io;

use futures_util::TryStreamExt as _;
use serde_json::json;
use testcontainers::bollard::body_full;
use testcontainers::bollard::errors::Error;
use testcontainers::bollard::models::{ContainerConfig, ContainerCreateBody};
use testcontainers::bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptions, CreateImageOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder, UploadToContainerOptionsBuilder,
};

use super::archive::Archive;
use super::debian::{Packages, RECIPE};
use super::machine::{Machine, PLACES};
use super::{BUILT, Images, Maker, hex_digest, packages_home, tag, with_tag, workload};
use crate::node::spec::{HOME, IMAGES, image_file};
use crate::world::WorldError;
use crate::world::docker::engine_error;

/// How many node images are kept. Each rebuild of this program makes one.
const KEPT: usize = 5;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Maker<'_> {
    /// Whether everything but the layer with this program was built here before.
    pub(super) fn is_built(&self) -> bool {
        self.unknown().is_none()
            && Machine::survey(&PLACES).is_ok_and(|machine| {
                let (_, workloads) = tags(&machine);
                self.has(&workloads) && self.has(&consul_tag())
            })
    }

    /// Builds what is missing.
    pub(super) async fn build(&self) -> Result<Images, WorldError> {
        if let Some(image) = self.unknown() {
            let what = format!("no registry answers, and the image {image} cannot be built here");
            let help = format!("without a registry there are {}", BUILT.join(" and "));
            return Err(WorldError::new(what, help));
        }
        let machine = Machine::survey(&PLACES)?;
        let (engine, workloads) = tags(&machine);
        let consul = consul_tag();
        if !self.has(&consul) || !self.has(&workloads) {
            (self.progress)("fetching packages for consul, nginx and busybox");
            self.be_guarded()?;
            let packages = Packages::fetch(packages_home(&self.owner.run)).await?;
            self.import_consul(&packages, &consul).await?;
            if !self.has(&engine) {
                (self.progress)("building the node image from this machine's programs");
                self.import(machine.archive()?, &engine).await?;
            }
            let layer = workload_layer(&packages).await;
            let layer = layer.map_err(|e| WorldError::new(format!("building images: {e}"), ""))?;
            self.add_layer(&engine, layer, &workloads).await?;
        }
        let node = self.node_image(&workloads).await?;
        Ok(Images { node, consul: self.wanted.store.then_some(consul) })
    }

    /// The image `base` with this program on top.
    pub(super) async fn node_image(&self, base: &str) -> Result<String, WorldError> {
        let lab = self.wanted.lab;
        let program = std::fs::read(lab)
            .map_err(|e| WorldError::new(format!("reading {}: {e}", lab.display()), ""))?;
        let node = tag("node", &[base.to_owned(), hex_digest([&program[..]])]);
        if !self.has(&node) {
            (self.progress)("adding this program to the node image");
            let mut archive = Archive::new();
            let layer = archive
                .file(&format!("{}/lab", HOME.trim_start_matches('/')), &program, 0o755)
                .and_then(|()| archive.finish());
            let layer = layer.map_err(|e| WorldError::new(format!("building images: {e}"), ""))?;
            self.add_layer(base, layer, &node).await?;
            self.remove_old_nodes().await;
        }
        Ok(node)
    }

    /// An image that is wanted and cannot be built.
    fn unknown(&self) -> Option<&String> {
        let unknown = |image: &&String| !BUILT.contains(&with_tag(image).as_str());
        self.wanted.workloads.iter().find(unknown)
    }

    pub(super) fn has(&self, tag: &str) -> bool {
        self.present.iter().any(|present| present == tag)
    }

    async fn import_consul(&self, packages: &Packages, tag: &str) -> Result<(), WorldError> {
        if self.has(tag) {
            return Ok(());
        }
        (self.progress)("building the consul image");
        let root = packages.consul().await;
        let root = root.map_err(|e| WorldError::new(format!("building consul: {e}"), ""))?;
        self.import(root, tag).await
    }

    async fn import(&self, root: Vec<u8>, image: &str) -> Result<(), WorldError> {
        let (repository, tag) = image.rsplit_once(':').expect("tags are made with a colon");
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .repo(repository)
            .tag(tag)
            .changes(vec![format!("ENV {PATH}")])
            .build();
        let steps = self.docker.create_image(Some(options), Some(body_full(root.into())), None);
        let done = steps.try_for_each(|_| async { Ok(()) }).await;
        done.map_err(|e| engine_error(&format!("importing {image}"), e))
    }

    /// Makes `image`: `base` with the files of a tar archive, as the start of a node.
    ///
    /// A container that never runs is committed: one that has run would give its engine's
    /// identity to every node.
    pub(super) async fn add_layer(
        &self,
        base: &str,
        layer: Vec<u8>,
        image: &str,
    ) -> Result<(), WorldError> {
        let failed = |e: Error| engine_error(&format!("making {image}"), e);
        self.be_guarded()?;
        let config = ContainerCreateBody {
            image: Some(base.to_owned()),
            labels: Some(self.owner.labels().into_iter().collect()),
            cmd: Some(vec!["never".into()]),
            entrypoint: Some(vec!["started".into()]),
            ..Default::default()
        };
        let created = self.docker.create_container(None::<CreateContainerOptions>, config).await;
        let container = created.map_err(failed)?.id;
        let done = self.fill_and_commit(&container, layer, image).await;
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removed = self.docker.remove_container(&container, Some(options)).await;
        done.and(removed).map_err(failed)
    }

    async fn fill_and_commit(
        &self,
        container: &str,
        layer: Vec<u8>,
        image: &str,
    ) -> Result<(), Error> {
        let to = UploadToContainerOptionsBuilder::new().path("/").build();
        self.docker.upload_to_container(container, Some(to), body_full(layer.into())).await?;
        let (repository, tag) = image.rsplit_once(':').expect("tags are made with a colon");
        let options = CommitContainerOptionsBuilder::new()
            .container(container)
            .repo(repository)
            .tag(tag)
            .build();
        let config = ContainerConfig {
            entrypoint: Some(vec![format!("{HOME}/lab"), "node".into()]),
            cmd: Some(Vec::new()),
            labels: Some(self.owner.no_labels().into_iter().collect()),
            ..Default::default()
        };
        self.docker.commit_container(options, config).await.map(|_| ())
    }

    /// Removes all but the newest node images: best effort, as a run may still use one.
    async fn remove_old_nodes(&self) {
        // The list has the newest image first.
        let nodes = self.present.iter().filter(|tag| tag.starts_with("swarmlab/node:"));
        for old in nodes.skip(KEPT - 1) {
            let options = RemoveImageOptionsBuilder::new().build();
            let _ = self.docker.remove_image(old, Some(options), None).await;
        }
    }
}

/// The tags of the engine image, and of that with workloads.
fn tags(machine: &Machine) -> (String, String) {
    let engine = tag("engine", &machine.inputs());
    let workloads = tag("workloads", &[engine.clone(), RECIPE.to_owned()]);
    (engine, workloads)
}

fn consul_tag() -> String {
    tag("consul", &[RECIPE.to_owned()])
}

/// A tar archive with the images that nodes may load.
async fn workload_layer(packages: &Packages) -> io::Result<Vec<u8>> {
    let busybox = json!({ "Cmd": ["sh"], "Env": [PATH] });
    let nginx = json!({
        "Cmd": ["nginx", "-g", "daemon off;"],
        "Env": [PATH],
        "ExposedPorts": { "80/tcp": {} },
        "StopSignal": "SIGQUIT",
    });
    let [busybox_tag, nginx_tag] = BUILT;
    let images = [
        (busybox_tag, packages.busybox().await?, busybox),
        (nginx_tag, packages.nginx().await?, nginx),
    ];
    let mut layer = Archive::new();
    for (tag, root, config) in images {
        let image = workload::save(tag, &root, &config)?;
        layer.file(&image_path(tag), &image, 0o644)?;
    }
    layer.finish()
}

/// Where an image's file is in a layer.
pub(super) fn image_path(image: &str) -> String {
    format!("{}/{}.tar", IMAGES.trim_start_matches('/'), image_file(image))
}

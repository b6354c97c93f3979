//! Images from a registry.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::CreateImageOptionsBuilder;

use super::archive::Archive;
use super::build::image_path;
use super::{BUILT, Images, Maker, tag, with_tag};
use crate::world::WorldError;
use crate::world::docker::engine_error;

/// The official image of an engine inside a container.
const ENGINE: &str = "docker:28-dind";
/// The official image of the store.
const CONSUL: &str = "hashicorp/consul:1.20";
/// How long a registry may take to be known at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the engine reaches a registry.
pub(super) async fn answers(docker: &Docker) -> bool {
    let asked = docker.inspect_registry_image(ENGINE, None);
    tokio::time::timeout(PATIENCE, asked).await.is_ok_and(|answer| answer.is_ok())
}

impl Maker<'_> {
    /// Pulls what is missing.
    pub(super) async fn pull(&self) -> Result<Images, WorldError> {
        if self.wanted.store {
            self.pull_image(CONSUL).await?;
        }
        let mut images: Vec<String> = BUILT.map(str::to_owned).to_vec();
        images.extend(self.wanted.workloads.iter().map(|image| with_tag(image)));
        images.sort();
        images.dedup();
        let workloads = tag("workloads", &[&[ENGINE.to_owned()][..], &images].concat());
        if !self.has(&workloads) {
            self.pull_image(ENGINE).await?;
            let mut layer = Archive::new();
            for image in &images {
                self.pull_image(image).await?;
                let saved = self.save(image).await?;
                let added = layer.file(&image_path(image), &saved, 0o644);
                added.map_err(|e| WorldError::new(format!("packing {image}: {e}"), ""))?;
            }
            let layer = layer.finish();
            let layer = layer.map_err(|e| WorldError::new(format!("packing images: {e}"), ""))?;
            self.add_layer(ENGINE, layer, &workloads).await?;
        }
        let node = self.node_image(&workloads).await?;
        Ok(Images { node, consul: self.wanted.store.then(|| CONSUL.to_owned()) })
    }

    async fn pull_image(&self, image: &str) -> Result<(), WorldError> {
        if self.docker.inspect_image(image).await.is_ok() {
            return Ok(());
        }
        (self.progress)(&format!("pulling {image}"));
        let options = CreateImageOptionsBuilder::new().from_image(image).build();
        let steps = self.docker.create_image(Some(options), None, None);
        let done = steps.try_for_each(|_| async { Ok(()) }).await;
        done.map_err(|e| WorldError {
            help: "LAB_IMAGES=build makes images from this machine's own programs".into(),
            ..engine_error(&format!("pulling {image}"), e)
        })
    }

    async fn save(&self, image: &str) -> Result<Vec<u8>, WorldError> {
        let chunks = self.docker.export_image(image);
        let saved = chunks.try_fold(Vec::new(), |mut all, chunk| async move {
            all.extend_from_slice(&chunk);
            Ok(all)
        });
        saved.await.map_err(|e| engine_error(&format!("saving {image}"), e))
    }
}

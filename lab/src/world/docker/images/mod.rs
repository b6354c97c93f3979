//! The images that a world starts from: pulled where a registry answers, else built here.
//!
//! Every image made here is tagged with a hash of what it was made from, so that a second run
//! makes none. A node's image has three layers, the one that changes most on top: the engine, the
//! images that nodes load, this program.

mod archive;
mod build;
mod debian;
mod machine;
mod pull;
mod workload;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::ListImagesOptionsBuilder;

pub(super) use archive::Archive;

use super::guard::Guard;
use super::labels::Owner;
use super::{Progress, engine_error, new_run};
use crate::world::WorldError;

/// Images of workloads that the lab can build itself; every node image holds them.
pub const BUILT: [&str; 2] = ["busybox:latest", "nginx:latest"];

/// The environment variable that says where images come from.
const VARIABLE: &str = "LAB_IMAGES";

/// Where images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A registry where one answers, else this machine. What is built already is used.
    Auto,
    /// A registry.
    Pull,
    /// This machine's own files, and packages of its distribution.
    Build,
}

impl Source {
    /// What the variable `LAB_IMAGES` says: `auto` (as without it), `pull` or `build`.
    ///
    /// # Errors
    /// It says something else.
    pub fn from_env() -> Result<Self, WorldError> {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("" | "auto") => Ok(Self::Auto),
            Ok("pull") => Ok(Self::Pull),
            Ok("build") => Ok(Self::Build),
            Ok(other) => Err(WorldError::new(
                format!("{VARIABLE} says `{other}`"),
                "it is one of auto, pull, build",
            )),
        }
    }
}

/// What a cluster needs images for.
pub struct Wanted<'a> {
    /// Images that its engines hold from the start.
    pub workloads: &'a [String],
    /// Whether it has a store.
    pub store: bool,
    /// The program of the `lab` command, which goes into every node.
    pub lab: &'a Path,
    /// Where images come from.
    pub source: Source,
}

/// Images to start containers from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// For nodes.
    pub node: String,
    /// For the store, if one was wanted.
    pub consul: Option<String>,
}

/// Makes sure that all images are there, and says on the way what it makes.
///
/// # Errors
/// A registry does not answer and a file or a package is missing: the help says how to get it.
pub async fn ensure(
    docker: &Docker,
    wanted: &Wanted<'_>,
    progress: &Progress,
) -> Result<Images, WorldError> {
    let present = present(docker).await?;
    let maker = Maker {
        docker,
        wanted,
        progress,
        present,
        owner: Owner::this_process(new_run(), None, false),
        guard: OnceLock::new(),
    };
    let images = maker.make().await;
    if let (Ok(_), Some(guard)) = (&images, maker.guard.into_inner()) {
        guard.dismiss();
    }
    images
}

/// Where the packages are unpacked that images are built from in `run`.
pub(super) fn packages_home(run: &str) -> PathBuf {
    std::env::temp_dir().join(format!("lab-packages-{run}"))
}

/// Makes images, or finds that they are there.
struct Maker<'a> {
    docker: &'a Docker,
    wanted: &'a Wanted<'a>,
    progress: &'a Progress,
    /// The tags of all images that were made here before.
    present: Vec<String>,
    /// Who is said to hold the containers in which images are made.
    owner: Owner,
    /// Removes these should the process be killed; there once something is made.
    guard: OnceLock<Guard>,
}

impl Maker<'_> {
    async fn make(&self) -> Result<Images, WorldError> {
        match self.wanted.source {
            Source::Pull => self.pull().await,
            Source::Build => self.build().await,
            Source::Auto if self.is_built() || !pull::answers(self.docker).await => {
                self.build().await
            }
            Source::Auto => self.pull().await,
        }
    }

    /// Has the guard in place before the first thing that it would have to remove.
    fn be_guarded(&self) -> Result<(), WorldError> {
        if self.guard.get().is_none() {
            let guard = Guard::start(self.wanted.lab, &self.owner.run)?;
            // Nobody can have been faster: a maker makes one thing after the other.
            let _ = self.guard.set(guard);
        }
        Ok(())
    }
}

/// The tags of all images made by this program.
async fn present(docker: &Docker) -> Result<Vec<String>, WorldError> {
    let filter = [("reference".to_owned(), vec!["swarmlab/*".to_owned()])].into_iter().collect();
    let options = ListImagesOptionsBuilder::new().filters(&filter).build();
    let images = docker.list_images(Some(options)).await;
    let images = images.map_err(|e| engine_error("listing images", e))?;
    Ok(images.into_iter().flat_map(|image| image.repo_tags).collect())
}

/// The tag of an image of `kind` made from `inputs`.
fn tag(kind: &str, inputs: &[String]) -> String {
    let digest = hex_digest(inputs.iter().flat_map(|input| [input.as_bytes(), b"\n"]));
    format!("swarmlab/{kind}:{}", &digest[..16])
}

/// SHA-256 of all parts one behind the other, in hexadecimal.
fn hex_digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An image's name with its tag.
pub(super) fn with_tag(image: &str) -> String {
    // A colon before a slash belongs to a registry's port.
    match image.rsplit('/').next() {
        Some(name) if name.contains([':', '@']) => image.to_owned(),
        _ => format!("{image}:latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_that_of_its_inputs() {
        let inputs = |words: &[&str]| words.iter().map(|&word| word.into()).collect::<Vec<_>>();
        let one = tag("node", &inputs(&["a", "b"]));
        assert_eq!(one, tag("node", &inputs(&["a", "b"])));
        assert_ne!(one, tag("node", &inputs(&["ab"])));
        assert!(one.starts_with("swarmlab/node:"), "{one}");
    }

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        assert_eq!(with_tag("nginx"), "nginx:latest");
        assert_eq!(with_tag("localhost:5000/nginx"), "localhost:5000/nginx:latest");
        assert_eq!(with_tag("nginx:1.27"), "nginx:1.27");
    }
}

//! Images: what a reference means and what an image holds.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::config;
use super::refusal::Refusal;

/// An image that is present.
#[derive(Clone, Debug)]
pub struct Image {
    /// `sha256:` and 64 digits: the same on every engine that has the image.
    pub id: String,
    /// Its names, `repository:tag` in familiar form.
    pub tags: Vec<String>,
    pub(in crate::engine) size: u64,
    pub(in crate::engine) config: Map<String, Value>,
    /// Whether it holds a web server that serves port 80.
    pub(in crate::engine) web: bool,
    pub(in crate::engine) pulled: Timestamp,
}

/// When every image of this world was built: a constant, so that engines agree about it.
const BUILT: i64 = 1_704_067_200;

impl Image {
    /// The image that `reference` (in familiar form, with its tag) stands for. A repository named
    /// `nginx` is the web server; everything else holds the few tools of [`super::program`].
    pub(in crate::engine) fn named(reference: &str, now: Timestamp) -> Self {
        let repository = reference.rsplit_once(':').map_or(reference, |(repository, _)| repository);
        let web = repository.rsplit('/').next() == Some("nginx");
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let given = if web {
            json!({
                "ExposedPorts": {"80/tcp": {}},
                "Env": [path],
                "Cmd": ["nginx", "-g", "daemon off;"],
                "Entrypoint": ["/docker-entrypoint.sh"],
                "StopSignal": "SIGQUIT",
            })
        } else {
            json!({"Env": [path], "Cmd": ["sh"]})
        };
        let given = given.as_object().cloned().unwrap_or_default();
        Self {
            id: format!("sha256:{}", digest(&format!("image {reference}"))),
            tags: vec![reference.to_owned()],
            size: if web { 187_694_648 } else { 4_261_550 },
            config: config::of_image(&given),
            web,
            pulled: now,
        }
    }

    /// When it was built.
    pub(in crate::engine) fn created(&self) -> Timestamp {
        Timestamp::from_second(BUILT).expect("a second of the year 2024")
    }

    /// The one layer it consists of.
    pub(in crate::engine) fn layer(&self) -> String {
        digest(&format!("layer {}", self.id))
    }
}

/// SHA-256 of a text, in hexadecimal.
pub(in crate::engine) fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Completes a reference: no registry of Docker's own, no `library/`, a tag or a digest.
///
/// # Errors
/// 400 with the engine's `invalid reference format` texts.
pub(in crate::engine) fn familiar(reference: &str) -> Result<String, Refusal> {
    let invalid = |why: &str| Refusal::bad(format!("invalid reference format{why}"));
    let mut name = reference;
    for prefix in ["docker.io/", "index.docker.io/", "library/"] {
        name = name.strip_prefix(prefix).unwrap_or(name);
    }
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let bare = repository.split('@').next().unwrap_or_default();
    if bare.is_empty() || !bare.chars().all(|c| plain(c) || "/:".contains(c)) {
        return Err(invalid(""));
    }
    if bare.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(invalid(": repository name must be lowercase"));
    }
    match tag {
        Some(tag) if tag.is_empty() || !tag.chars().all(plain) => Err(invalid("")),
        Some(tag) => Ok(format!("{repository}:{tag}")),
        None => Ok(format!("{repository}:latest")),
    }
}

/// The images of one engine.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Images(Vec<Image>);

impl Images {
    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = &Image> {
        self.0.iter()
    }

    pub(in crate::engine) fn len(&self) -> usize {
        self.0.len()
    }

    pub(in crate::engine) fn add(&mut self, image: Image) {
        if !self.0.iter().any(|known| known.id == image.id) {
            self.0.push(image);
        }
    }

    /// Finds an image by name, by ID or by the beginning of an ID.
    ///
    /// # Errors
    /// 404 `No such image: <name>:<tag>`, 400 for a name that cannot be one.
    pub(in crate::engine) fn find(&self, name: &str) -> Result<&Image, Refusal> {
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        if hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()) {
            let found = self.0.iter().find(|image| image.id[7..] == *hex);
            return found.ok_or_else(|| Refusal::not_found(format!("No such image: {name}")));
        }
        let wanted = familiar(name)?;
        if let Some(image) = self.0.iter().find(|image| image.tags.contains(&wanted)) {
            return Ok(image);
        }
        let prefixed = |image: &&Image| !hex.is_empty() && image.id[7..].starts_with(hex);
        let mut matching = self.0.iter().filter(prefixed);
        match (matching.next(), matching.next()) {
            (Some(image), None) => Ok(image),
            _ => Err(Refusal::not_found(format!("No such image: {wanted}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_completed_or_refused() {
        for (given, complete) in [
            ("nginx", "nginx:latest"),
            ("docker.io/library/nginx:1.25", "nginx:1.25"),
            ("host:5000/a/b", "host:5000/a/b:latest"),
            ("host:5000/a/b:c", "host:5000/a/b:c"),
        ] {
            assert_eq!(familiar(given).unwrap(), complete);
        }
        assert_eq!(familiar("").unwrap_err().message, "invalid reference format");
        assert_eq!(familiar("a b").unwrap_err().status, 400);
        assert_eq!(
            familiar("UPPER:x").unwrap_err().message,
            "invalid reference format: repository name must be lowercase"
        );
    }

    #[test]
    fn an_image_is_found_by_name_and_by_id() {
        let mut images = Images::default();
        images.add(Image::named("nginx:latest", Timestamp::UNIX_EPOCH));
        images.add(Image::named("busybox:latest", Timestamp::UNIX_EPOCH));
        let id = images.find("nginx").unwrap().id.clone();
        for name in [id.as_str(), &id[7..], &id[7..19], "docker.io/library/nginx:latest"] {
            assert_eq!(images.find(name).unwrap().id, id, "{name}");
        }
        let missing = images.find("nginx:2").unwrap_err();
        assert_eq!(missing, Refusal::not_found("No such image: nginx:2"));
    }
}

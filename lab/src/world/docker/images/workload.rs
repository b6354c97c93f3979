//! Images in the format of `docker save`, made without an engine.

use std::io;

use serde_json::{Value, json};

use super::archive::Archive;
use super::hex_digest;

/// An image of one layer, for `docker load`.
///
/// `config` is the image's configuration in the engine's own words (`Cmd`, `ExposedPorts`, …).
pub(super) fn save(tag: &str, root: &[u8], config: &Value) -> io::Result<Vec<u8>> {
    let layer = hex_digest([root]);
    let image = json!({
        "architecture": architecture(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": config,
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "lab" }],
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
    });
    let image = image.to_string().into_bytes();
    let name = format!("{}.json", hex_digest([&image[..]]));
    let file = format!("{layer}/layer.tar");
    let manifest = json!([{ "Config": name, "RepoTags": [tag], "Layers": [file] }]);
    let mut archive = Archive::new();
    archive.file(&name, &image, 0o644)?;
    archive.file(&file, root, 0o644)?;
    archive.file("manifest.json", manifest.to_string().as_bytes(), 0o644)?;
    archive.finish()
}

/// This machine's architecture in Docker's words.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

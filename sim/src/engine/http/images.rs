//! Images and their registry.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};

use super::Call;
use super::reply::{self, Reply, line};
use crate::engine::run::Engine;
use crate::engine::state::{Refusal, image};

pub(super) async fn list(call: &Call) -> Reply {
    tokio::time::sleep(call.engine.spec.timings.list).await;
    let filters = call.query.filters()?;
    let list = call.engine.read(|state| state.list_images(&filters))?;
    Ok(reply::json(200, &Value::Array(list)))
}

pub(super) async fn inspect(call: &Call, name: &str) -> Reply {
    tokio::time::sleep(call.engine.spec.timings.inspect).await;
    let found = call.engine.read(|state| state.images.find(name).map(image::Image::inspect));
    let prefix = format!("no such image: {name}: ");
    Ok(reply::json(200, &found.map_err(|refusal| refusal.prefixed(&prefix))?))
}

pub(super) async fn distribution(call: &Call, name: &str) -> Reply {
    tokio::time::sleep(call.engine.spec.timings.list).await;
    let reference = image::familiar(name)?;
    call.engine.in_registry(&reference)?;
    Ok(reply::json(
        200,
        &json!({
            "Descriptor": {
                "MediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "Digest": manifest(&reference),
                "Size": 528,
            },
            "Platforms": [{"Architecture": "amd64", "OS": "linux"}],
        }),
    ))
}

/// The digest of the manifest that the registry keeps under `reference`.
fn manifest(reference: &str) -> String {
    format!("sha256:{}", image::digest(&format!("manifest {reference}")))
}

/// Pulls an image.
pub(super) async fn create(call: Call) -> Reply {
    let query = &call.query;
    let (from, tag) = (query.get("fromImage"), query.get("tag"));
    if from.is_empty() {
        return Err(Refusal::new(501, "import: not served by this engine"));
    }
    let reference = match tag {
        "" => image::familiar(from)?,
        tag if tag.contains(':') => image::familiar(&format!("{from}@{tag}"))?,
        tag => image::familiar(&format!("{from}:{tag}"))?,
    };
    let engine = Arc::clone(&call.engine);
    tokio::time::sleep(engine.spec.timings.other).await;
    engine.in_registry(&reference)?;
    let present = engine.read(|state| state.images.find(&reference).is_ok());
    let steps = steps(&reference, present);
    let pause = match present {
        true => Duration::ZERO,
        false => engine.spec.timings.pull / u32::try_from(steps.len()).unwrap_or(u32::MAX),
    };
    let pull = Pull { engine, reference, steps: steps.into_iter(), pause };
    let parts = stream::unfold(pull, Pull::next);
    Ok(reply::typed(reply::stream_of(parts), "application/json"))
}

/// A pull under way. It goes no further than its reader lets it, as an engine's.
struct Pull {
    engine: Arc<Engine>,
    reference: String,
    steps: std::vec::IntoIter<Value>,
    /// The wait before each step.
    pause: Duration,
}

impl Pull {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let step = self.steps.next()?;
        tokio::time::sleep(self.pause).await;
        if self.steps.len() == 0 {
            let reference = &self.reference;
            self.engine.update(|state, moment| state.pulled(moment, reference));
        }
        Some((line(&step), self))
    }
}

/// What a pull says.
fn steps(reference: &str, present: bool) -> Vec<Value> {
    let (repository, tag) = reference.rsplit_once(':').unwrap_or((reference, "latest"));
    let path = match repository.contains('/') {
        true => repository.to_owned(),
        false => format!("library/{repository}"),
    };
    let layer = &image::digest(&format!("layer of {reference}"))[..12];
    let mut steps = vec![json!({"status": format!("Pulling from {path}"), "id": tag})];
    let progress = |status: &str| json!({"status": status, "progressDetail": {}, "id": layer});
    if !present {
        steps.push(progress("Pulling fs layer"));
        for (current, bar) in
            [(1_048_576, "============>"), (2_097_152, "=========================>")]
        {
            steps.push(json!({
                "status": "Downloading",
                "progressDetail": {"current": current, "total": 4_194_304},
                "progress": format!("[{bar:<50}]  {}MB/4.194MB", current / 1_000_000),
                "id": layer,
            }));
        }
        steps.push(progress("Verifying Checksum"));
        steps.push(progress("Download complete"));
        steps.push(progress("Pull complete"));
    }
    steps.push(json!({"status": format!("Digest: {}", manifest(reference))}));
    let outcome = match present {
        true => "Image is up to date",
        false => "Downloaded newer image",
    };
    steps.push(json!({"status": format!("Status: {outcome} for {reference}")}));
    steps
}

//! Images that go to every engine: pull, import, load.
//!
//! The reply is one stream of progress, an object per line, with the node's name as `id`.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::cluster::Cluster;
use crate::ctx::http::{self, Body, BodyError};
use crate::engine::{Engine, EngineError, JsonStream};

use super::error::ApiError;
use super::query::Query;
use super::{Api, Reply};

/// How many pieces of an upload, or lines of progress, wait for a slow reader.
const WAITING: usize = 16;

/// What is done on every engine, and how it is told.
#[derive(Clone, Debug)]
enum Work {
    /// The image, as people write it.
    Pull(String),
    Import,
    Load,
}

impl Work {
    /// What a line about the whole of it says, if there are such lines.
    fn label(&self) -> Option<String> {
        match self {
            Self::Pull(image) => Some(format!("Pulling {image}...")),
            Self::Load => Some("Loading Image...".to_owned()),
            Self::Import => None,
        }
    }

    fn started(&self, node: &str) -> Option<Value> {
        let Self::Pull(_) = self else { return None };
        Some(json!({ "status": self.label(), "id": node }))
    }

    /// An engine's line, told as the node's.
    fn progress(&self, mut line: Value, node: &str) -> Value {
        if let Some(fields) = line.as_object_mut() {
            if let (Some(label), Some(status)) = (self.label(), fields.get_mut("status")) {
                *status = format!("{label} : {}", status.as_str().unwrap_or_default()).into();
            }
            fields.insert("id".to_owned(), node.into());
        }
        line
    }

    fn done(&self, node: &str) -> Option<Value> {
        match self {
            Self::Pull(_) => self.started(node),
            Self::Import => Some(json!({ "id": node })),
            Self::Load => None,
        }
    }

    fn failed(&self, node: &str, error: &str) -> Value {
        let status = match self.label() {
            Some(label) => format!("{label} : {error}"),
            None => error.to_owned(),
        };
        json!({ "status": status, "id": node })
    }
}

/// Where lines of progress go; a client that has left takes none.
type Lines = mpsc::Sender<Bytes>;

async fn tell(lines: &Lines, line: &Value) {
    let _ = lines.send(Bytes::from(format!("{line}\n"))).await;
}

impl Api {
    /// `POST /images/create`: pulls an image on every engine, or imports one there.
    pub(super) fn create_image(
        self: &Arc<Self>,
        query: &Query,
        request: Request<Incoming>,
    ) -> Reply {
        let work = match query.text("fromImage") {
            "" => Work::Import,
            name => Work::Pull(match query.text("tag") {
                "" => name.to_owned(),
                digest if digest.contains(':') => format!("{name}@{digest}"),
                tag => format!("{name}:{tag}"),
            }),
        };
        self.on_every_engine(work, "/images/create", request)
    }

    /// `POST /images/load`: loads images on every engine.
    pub(super) fn load_images(self: &Arc<Self>, request: Request<Incoming>) -> Reply {
        self.on_every_engine(Work::Load, "/images/load", request)
    }

    fn on_every_engine(
        self: &Arc<Self>,
        work: Work,
        path: &str,
        request: Request<Incoming>,
    ) -> Reply {
        let uri = super::proxy::with_query(path, request.uri().query())?;
        let (mut parts, body) = request.into_parts();
        parts.uri = uri;
        // Pieces are passed on as they come, in chunks.
        parts.headers.remove(CONTENT_LENGTH);
        let nodes: Vec<(String, String)> = self.manager.with(|cluster| {
            let mut nodes: Vec<_> = cluster.registered().collect();
            nodes.sort_by(|a, b| Cluster::natural_order(a, b));
            nodes.iter().map(|node| (node.addr.clone(), node.name.clone())).collect()
        });
        if nodes.is_empty() {
            return Err(ApiError::internal("No healthy node available in the cluster"));
        }
        let (lines, told) = mpsc::channel(WAITING);
        let api = Arc::clone(self);
        self.manager.ctx.spawn("images-everywhere", async move {
            api.run_everywhere(&work, &parts, body, &nodes, &lines).await;
        });
        let lines = futures_util::stream::unfold(told, |mut told| async {
            Some((Ok::<_, BodyError>(Frame::data(told.recv().await?)), told))
        });
        let mut response = Response::new(StreamBody::new(lines).boxed_unsync());
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        Ok(response)
    }

    /// Ends when all engines have, or when the client has left: then nobody wants the image.
    async fn run_everywhere(
        &self,
        work: &Work,
        parts: &Parts,
        upload: Incoming,
        nodes: &[(String, String)],
        lines: &Lines,
    ) {
        let (bodies, feed) = copies(upload, nodes.len());
        let engines = nodes.iter().zip(bodies).map(|((addr, name), body)| async move {
            let result = self.run_on(work, parts, body, (addr, name), lines).await;
            match &result {
                Ok(()) => {
                    if let Some(line) = work.done(name) {
                        tell(lines, &line).await;
                    }
                }
                Err(error) => tell(lines, &work.failed(name, error)).await,
            }
            result
        });
        let everything = async {
            let (results, ()) = futures_util::future::join(join_all(engines), feed).await;
            let failures: Vec<String> = results.into_iter().filter_map(Result::err).collect();
            if let Some(error) = summary(&failures, nodes.len()) {
                let detail = json!({ "code": 1, "message": error });
                tell(lines, &json!({ "error": error, "errorDetail": detail })).await;
            }
        };
        tokio::select! {
            biased;
            () = everything => {}
            () = lines.closed() => {}
        }
    }

    async fn run_on(
        &self,
        work: &Work,
        parts: &Parts,
        body: Body,
        (addr, name): (&str, &str),
        lines: &Lines,
    ) -> Result<(), String> {
        if let Some(line) = work.started(name) {
            tell(lines, &line).await;
        }
        let engine = self.manager.engine(addr).ok_or("Engine no longer exists")?;
        let mut request = Request::new(body);
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.headers_mut() = parts.headers.clone();
        let result = follow(&engine, work, request, name, lines).await;
        self.manager.relist_images(&engine).await;
        result
    }
}

/// Makes the call and passes on what the engine tells, to its end.
async fn follow(
    engine: &Engine,
    work: &Work,
    request: Request<Body>,
    name: &str,
    lines: &Lines,
) -> Result<(), String> {
    let answer = engine.forward(request).await.map_err(|error| error.to_string())?;
    let status = answer.status();
    if status != StatusCode::OK {
        let body = http::collect(answer.into_body(), 1 << 20).await.unwrap_or_default();
        return Err(EngineError::api(status, &body).to_string());
    }
    let mut progress = JsonStream::new(answer.into_body());
    while let Some(line) = progress.next().await? {
        let error = line.pointer("/errorDetail/message").or_else(|| line.get("error"));
        if let Some(error) = error.and_then(Value::as_str) {
            return Err(error.to_owned());
        }
        tell(lines, &work.progress(line, name)).await;
    }
    Ok(())
}

/// What the client is told in the end. An image made for another operating system than some nodes
/// have is well where it is.
fn summary(failures: &[String], nodes: usize) -> Option<String> {
    let other_system = |error: &String| error.contains("image operating system");
    let fine = failures.len() < nodes && failures.iter().all(other_system);
    (!failures.is_empty() && !fine).then(|| failures.join("\n"))
}

/// As many copies of an upload as there are engines, and what feeds them all: a piece is read when
/// every engine has taken the one before. An engine that takes no more is left behind.
fn copies(mut upload: Incoming, count: usize) -> (Vec<Body>, impl Future<Output = ()>) {
    let (mut senders, bodies): (Vec<_>, Vec<_>) = (0..count).map(|_| copy()).unzip();
    let feed = async move {
        while let Some(piece) = upload.frame().await {
            let piece = match piece {
                Ok(frame) => frame.into_data().map_err(|_| ()).ok(),
                Err(error) => {
                    let broken = error.to_string();
                    for sender in &senders {
                        let _ = sender.send(Err(broken.clone().into())).await;
                    }
                    return;
                }
            };
            let Some(piece) = piece else { continue };
            let sent = join_all(senders.iter().map(|sender| sender.send(Ok(piece.clone())))).await;
            let mut sent = sent.into_iter();
            senders.retain(|_| sent.next().is_some_and(|result| result.is_ok()));
        }
    };
    (bodies, feed)
}

fn copy() -> (mpsc::Sender<Result<Bytes, BodyError>>, Body) {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, BodyError>>(1);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await?.map(Frame::data), receiver))
    });
    (sender, StreamBody::new(pieces).boxed_unsync())
}

//! A scripted engine on a loopback port: just enough of an engine for one manager to like it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::ctx::http::{self, Body, BodyError};
use crate::ctx::{Addr, Ctx, Level, real};

use super::holdings;

/// The one command that the engine knows.
pub(super) const EXEC: &str = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";

/// A container of the scripted engine.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub name: String,
    pub running: bool,
    pub labels: Value,
    /// The IDs of the networks it is on, besides `bridge`.
    pub networks: Vec<String>,
    /// The volumes it mounts.
    pub volumes: Vec<String>,
}

/// The engine's state and what it was asked.
pub(super) struct Engine {
    pub name: &'static str,
    pub addr: String,
    /// What is listed of its own networks and volumes.
    pub networks: Mutex<Vec<Value>>,
    pub volumes: Mutex<Vec<Value>>,
    /// The networks that span engines; one list for all of them.
    pub shared: Mutex<Arc<Mutex<Vec<Value>>>>,
    /// Every request as `METHOD /path?query`.
    pub asked: Mutex<Vec<String>>,
    pub containers: Mutex<BTreeMap<String, Container>>,
    /// Where the pieces of the streams under way come from; closing one ends its stream.
    pub streams: Mutex<Vec<mpsc::Sender<Bytes>>>,
    /// Whether a stream's reader has gone.
    pub reader_gone: Arc<AtomicBool>,
    events: Mutex<Vec<mpsc::Sender<Bytes>>>,
}

impl Engine {
    pub(super) async fn start(ctx: &Ctx, name: &'static str) -> Arc<Self> {
        let listener = ctx.net.listen(&Addr::tcp("127.0.0.1", 0)).await.unwrap();
        let engine = Arc::new(Self {
            name,
            addr: listener.local_addr().to_string(),
            networks: Mutex::new(holdings::own_networks(name)),
            volumes: Mutex::default(),
            shared: Mutex::default(),
            asked: Mutex::default(),
            containers: Mutex::default(),
            streams: Mutex::default(),
            reader_gone: Arc::default(),
            events: Mutex::default(),
        });
        let shared = Arc::clone(&engine);
        ctx.spawn(
            "engine",
            http::serve(ctx.clone(), listener, move |request| {
                let engine = Arc::clone(&shared);
                async move { engine.answer(request).await }
            }),
        );
        engine
    }

    pub(super) fn add(&self, id: &str, name: &str, running: bool, labels: Value) {
        let (networks, volumes) = (Vec::new(), Vec::new());
        let made = Container { name: name.to_owned(), running, labels, networks, volumes };
        self.containers.lock().unwrap().insert(id.to_owned(), made);
    }

    /// The requests whose text contains `part`.
    pub(super) fn asked(&self, part: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|request| request.contains(part)).cloned().collect()
    }

    pub(super) async fn emit(&self, event: Value) {
        let senders = self.events.lock().unwrap().clone();
        for sender in senders {
            let _ = sender.send(Bytes::from(event.to_string())).await;
        }
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        let method = request.method().to_string();
        let target = request.uri().to_string();
        self.asked.lock().unwrap().push(format!("{method} {target}"));
        let path = request.uri().path().to_owned();
        let path = match path.strip_prefix("/v") {
            Some(rest) if path != "/version" => rest.split_once('/').unwrap().1.to_owned(),
            _ => path.trim_start_matches('/').to_owned(),
        };
        let upgrade = request.headers().contains_key("upgrade");
        let upgrade = upgrade.then(|| hyper::upgrade::on(&mut request));
        let body = http::collect(request.into_body(), 1 << 20).await.unwrap();
        let parts: Vec<&str> = path.split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            (_, ["_ping"]) => {
                let mut response = Response::new(http::full("OK"));
                response.headers_mut().insert("api-version", "1.41".parse().unwrap());
                response
            }
            ("GET", ["info"]) => reply(200, &info(self.name)),
            ("GET", ["version"]) => {
                reply(200, &json!({ "Version": "20.10.24", "ApiVersion": "1.41" }))
            }
            ("GET", ["events"]) => {
                let (sender, receiver) = mpsc::channel(16);
                self.events.lock().unwrap().push(sender);
                self.stream(receiver)
            }
            ("GET", ["images", "json"]) => reply(200, &images()),
            (_, ["images", ..] | ["auth"] | ["distribution", ..] | ["commit"] | ["build"]) => {
                self.image(&method, &path, &target, &body)
            }
            (_, ["volumes", rest @ ..]) => self.volume(&method, rest, &body),
            (_, ["networks", rest @ ..]) => self.network(&method, rest, &body),
            ("GET", ["containers", "json"]) => reply(200, &self.list(&target)),
            ("POST", ["containers", "create"]) => {
                let id = "c".repeat(64);
                let body: Value = serde_json::from_slice(&body).unwrap();
                let name = target.split("name=").nth(1).unwrap_or("made").to_owned();
                self.add(&id, name.split('&').next().unwrap(), false, body["Labels"].clone());
                reply(201, &json!({ "Id": id, "Warnings": ["careful"] }))
            }
            ("GET", ["containers", _, "logs"]) | ("POST", ["containers", _, "wait"]) => {
                let (sender, receiver) = mpsc::channel(1);
                self.streams.lock().unwrap().push(sender);
                self.stream(receiver)
            }
            ("POST", ["containers", _, "exec"]) if body.is_empty() => {
                reply(400, &json!({ "message": "No exec command specified" }))
            }
            ("POST", ["containers", _, "exec"]) => reply(201, &json!({ "Id": EXEC })),
            (_, ["exec", id, ..]) if *id != EXEC => {
                reply(404, &json!({ "message": format!("No such exec instance: {id}") }))
            }
            ("GET", ["exec", _, "json"]) => reply(200, &json!({ "ID": EXEC, "ExitCode": 3 })),
            ("POST", ["exec", _, "resize"]) => reply(200, &Value::Null),
            ("POST", ["containers", _, "attach"] | ["exec", _, "start"]) => match upgrade {
                Some(upgrade) => shout(upgrade),
                None => Response::new(http::full("output")),
            },
            (_, ["containers", id, rest @ ..]) => self.container(&method, id, rest, &target),
            _ => reply(404, &json!({ "message": "page not found" })),
        }
    }

    fn container(&self, method: &str, id: &str, rest: &[&str], target: &str) -> Response<Body> {
        let mut containers = self.containers.lock().unwrap();
        let Some(container) = containers.get_mut(id) else {
            return reply(404, &json!({ "message": format!("No such container: {id}") }));
        };
        match (method, rest) {
            ("GET", ["json"]) => reply(200, &inspect(id, container)),
            ("GET", ["top"]) => reply(200, &json!({ "Titles": ["PID"], "Processes": [["1"]] })),
            ("POST", ["rename"]) => {
                container.name = target.rsplit('=').next().unwrap().to_owned();
                no_content()
            }
            ("POST", ["pause"]) => {
                reply(409, &json!({ "message": format!("Container {id} is not running") }))
            }
            ("POST", [verb]) => {
                container.running = matches!(*verb, "start" | "restart");
                no_content()
            }
            ("DELETE", []) => {
                containers.remove(id);
                no_content()
            }
            _ => reply(404, &json!({ "message": "page not found" })),
        }
    }

    fn image(&self, method: &str, path: &str, target: &str, body: &[u8]) -> Response<Body> {
        let upload = format!("{} took {} bytes", self.name, body.len());
        match (method, path) {
            ("POST", "images/create") if target.contains("nope") => {
                let error = "pull access denied";
                lines(&[json!({ "error": error, "errorDetail": { "message": error } })])
            }
            ("POST", "images/create" | "images/load") => lines(&[
                json!({ "status": upload, "id": "layer" }),
                json!({ "stream": "Loaded image\n" }),
            ]),
            ("POST", "build") => lines(&[json!({ "stream": upload })]),
            ("POST", "commit") => reply(201, &json!({ "Id": "sha256:3333" })),
            ("POST", path) if path.ends_with("/tag") => reply(201, &Value::Null),
            ("DELETE", _) if self.name == "node-2" && target.contains("force") => {
                reply(409, &json!({ "message": "image is in use" }))
            }
            ("DELETE", _) if self.name == "node-2" => {
                reply(404, &json!({ "message": "No such image" }))
            }
            ("DELETE", _) => reply(200, &json!([{ "Untagged": "nginx:latest" }])),
            _ => reply(200, &json!({ "from": self.name })),
        }
    }

    fn list(&self, target: &str) -> Value {
        let containers = self.containers.lock().unwrap();
        let wanted = containers
            .iter()
            .filter(|(id, _)| !target.contains("filters=") || target.contains(id.as_str()));
        wanted.map(|(id, container)| summary(id, container)).collect()
    }

    fn stream(&self, receiver: mpsc::Receiver<Bytes>) -> Response<Body> {
        let gone = Gone(Arc::clone(&self.reader_gone));
        let pieces = futures_util::stream::unfold((receiver, gone), |(mut receiver, gone)| async {
            let piece = receiver.recv().await?;
            Some((Ok::<_, BodyError>(Frame::data(piece)), (receiver, gone)))
        });
        Response::new(StreamBody::new(pieces).boxed_unsync())
    }
}

/// Takes the connection over, greets, and when its input has ended says it again, louder.
fn shout(upgrade: OnUpgrade) -> Response<Body> {
    real::ctx(Level::Fatal).spawn("shout", async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        stream.write_all(b"hello ").await.unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        stream.write_all(heard.to_uppercase().as_bytes()).await.unwrap();
    });
    let mut response = Response::new(http::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in [("connection", "Upgrade"), ("upgrade", "tcp"), ("api-version", "1.41")] {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// Notes that the stream it belongs to was dropped.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub(super) fn reply(status: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(http::full(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let headers = response.headers_mut();
    headers.insert("content-type", "application/json".parse().unwrap());
    headers.insert("api-version", "1.41".parse().unwrap());
    headers.insert("server", "Docker/20.10.24 (linux)".parse().unwrap());
    response
}

fn lines(lines: &[Value]) -> Response<Body> {
    let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    Response::new(http::full(text))
}

pub(super) fn no_content() -> Response<Body> {
    let mut response = Response::new(http::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn info(name: &str) -> Value {
    let id = if name == "node-1" { "AAAA:BBBB".to_owned() } else { format!("ID:{name}") };
    json!({
        "ID": id, "Name": name, "NCPU": 4, "MemTotal": 4_i64 << 30,
        "Driver": "overlay2", "KernelVersion": "6.1.0", "OperatingSystem": "Debian 12",
        "OSType": "linux", "Labels": ["zone=z1"], "SystemTime": "2026-01-02T03:05:05Z",
        "ServerVersion": "20.10.24",
    })
}

fn images() -> Value {
    json!([
        {
            "Id": "sha256:1111", "RepoTags": ["nginx:latest"], "RepoDigests": null,
            "Created": 100, "Labels": { "a": "b" },
        },
        { "Id": "sha256:2222", "RepoTags": ["<none>:<none>"], "RepoDigests": null, "Created": 200 },
    ])
}

fn summary(id: &str, container: &Container) -> Value {
    json!({
        "Id": id, "Names": [format!("/{}", container.name)], "Image": "nginx",
        "ImageID": "sha256:1111", "Command": "nginx", "Created": 1_767_323_045,
        "Ports": [
            { "IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp" },
            { "IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp" },
            { "PrivatePort": 443, "Type": "tcp" },
        ],
        "Labels": container.labels, "State": if container.running { "running" } else { "exited" },
        "Status": "the engine's words", "FieldOfTomorrow": 1,
    })
}

fn inspect(id: &str, container: &Container) -> Value {
    let mut networks = json!({ "bridge": { "NetworkID": "abcdef" } });
    for network in &container.networks {
        networks[network] = holdings::endpoint(network);
    }
    let mounts = container.volumes.iter();
    let mounts = mounts.map(|name| json!({ "Type": "volume", "Name": name, "Driver": "local" }));
    let status = if container.running { "running" } else { "exited" };
    json!({
        "Id": id, "Created": "2026-01-02T03:04:05.000000001Z",
        "Name": format!("/{}", container.name),
        "State": {
            "Status": status, "Running": container.running, "Paused": false, "Restarting": false,
            "Dead": false, "ExitCode": 0, "StartedAt": "2026-01-02T03:04:05Z",
            "FinishedAt": "2026-01-02T03:04:05Z",
        },
        "Image": "sha256:1111", "LogPath": "/log", "FieldOfTomorrow": { "deep": [1, 2] },
        "HostConfig": { "NetworkMode": "default", "CpuShares": 256, "Memory": 104_857_600 },
        "Config": { "Image": "nginx", "Labels": container.labels },
        "NetworkSettings": {
            "Ports": { "80/tcp": [{ "HostIp": "0.0.0.0", "HostPort": "8080" }] },
            "Networks": networks,
        },
        "Mounts": mounts.collect::<Vec<_>>(),
    })
}

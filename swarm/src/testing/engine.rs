//! A scripted engine: enough of the Docker API to be managed, and as rude as a test wants it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use super::{World, lock};
use crate::ctx::http::{self, Body, BodyError};
use crate::ctx::{Addr, Net as _, TaskGuard};

/// What to do with a request instead of just answering it as an engine would.
#[derive(Clone, Debug)]
pub(crate) enum Reaction {
    /// Answer with this status and message, and do nothing.
    Refuse(u16, &'static str),
    /// Do nothing and never answer.
    Hang,
    /// Do it and never answer.
    DoAndHang,
    /// Do it, wait for a nudge, then answer.
    DoAndWait(Arc<Notify>),
    /// Wait for a nudge, then do it and answer.
    WaitAndDo(Arc<Notify>),
}

/// A container on it.
#[derive(Clone, Debug)]
pub(crate) struct FakeContainer {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) state: &'static str,
    /// The create body.
    pub(crate) body: Value,
}

/// Decides what to do with `METHOD /path?query` (without version). It may change the engine.
type Script = Arc<dyn Fn(&FakeEngine, &str) -> Option<Reaction> + Send + Sync>;

pub(crate) struct State {
    pub(crate) info: Value,
    pub(crate) version: Value,
    /// The `Api-Version` header of its ping.
    pub(crate) api: Option<&'static str>,
    pub(crate) containers: Vec<FakeContainer>,
    pub(crate) images: Vec<&'static str>,
    /// The rows of its lists.
    pub(crate) networks: Vec<Value>,
    pub(crate) volumes: Vec<Value>,
    /// What a pull finds.
    pub(crate) pullable: Vec<&'static str>,
    /// `METHOD /path?query` with version, in order of arrival.
    pub(crate) requests: Vec<String>,
    history: Vec<Value>,
    streams: Vec<mpsc::UnboundedSender<Result<Frame<Bytes>, BodyError>>>,
    script: Option<Script>,
    /// Streams that stay open and tell nothing.
    muted: Vec<mpsc::UnboundedSender<Result<Frame<Bytes>, BodyError>>>,
    made: u32,
    connections: Vec<TaskGuard>,
    serving: Option<TaskGuard>,
}

/// A scripted engine at an address of a [`World`].
#[derive(Clone)]
pub(crate) struct FakeEngine {
    world: World,
    name: String,
    pub(crate) addr: String,
    state: Arc<Mutex<State>>,
}

impl FakeEngine {
    /// An engine called `name` at `<name>:2375`, running.
    pub(crate) async fn start(world: &World, name: &str) -> Self {
        let info = json!({
            "ID": format!("ID-{name}"), "Name": name, "NCPU": 4, "MemTotal": 4_u64 << 30,
            "Driver": "overlay2", "OSType": "linux", "Labels": [],
        });
        let state = State {
            info,
            version: json!({ "Version": "20.10.24", "MinAPIVersion": "1.12" }),
            api: Some("1.41"),
            containers: Vec::new(),
            images: vec!["nginx:latest"],
            networks: Vec::new(),
            volumes: Vec::new(),
            pullable: Vec::new(),
            requests: Vec::new(),
            history: Vec::new(),
            streams: Vec::new(),
            script: None,
            muted: Vec::new(),
            made: 0,
            connections: Vec::new(),
            serving: None,
        };
        let engine = Self {
            world: world.clone(),
            name: name.to_owned(),
            addr: format!("{name}:2375"),
            state: Arc::new(Mutex::new(state)),
        };
        engine.boot().await;
        engine
    }

    /// The world it lives in.
    pub(crate) fn world(&self) -> World {
        self.world.clone()
    }

    /// Listens again after [`Self::crash`].
    pub(crate) async fn boot(&self) {
        let at: Addr = self.addr.parse().unwrap();
        let mut listener = self.world.listen(&at).await.unwrap();
        let (ctx, engine) = (self.world.ctx(), self.clone());
        let serve = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let this = engine.clone();
                let handler = Arc::new(move |request| {
                    let engine = this.clone();
                    async move { engine.handle(request).await }
                });
                let task = engine.world.ctx().spawn("fake", http::serve_stream(stream, handler));
                engine.change(|state| state.connections.push(task.abort_on_drop()));
            }
        };
        let task = ctx.spawn("fake-engine", serve).abort_on_drop();
        self.change(|state| state.serving = Some(task));
    }

    /// Its process dies: connections break, new ones are refused. Containers and images stay, the
    /// history of events does not.
    pub(crate) fn crash(&self) {
        self.world.close(&self.addr);
        self.change(|state| {
            state.serving = None;
            state.history.clear();
        });
        self.cut();
    }

    /// Breaks every connection; new ones are welcome.
    pub(crate) fn cut(&self) {
        let broken = self.change(|state| {
            state.streams.clear();
            std::mem::take(&mut state.connections)
        });
        drop(broken);
    }

    /// Open event streams tell nothing more, as if the machine had lost power and come back.
    pub(crate) fn mute(&self) {
        self.change(|state| state.muted.append(&mut state.streams));
    }

    pub(crate) fn change<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut lock(&self.state))
    }

    /// From now on, `script` is asked first. It gets requests as `METHOD /path?query`.
    pub(crate) fn script(
        &self,
        script: impl Fn(&Self, &str) -> Option<Reaction> + Send + Sync + 'static,
    ) {
        self.change(|state| state.script = Some(Arc::new(script)));
    }

    /// Its requests so far, of which the list is emptied.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        self.change(|state| std::mem::take(&mut state.requests))
    }

    /// How many event streams are open.
    pub(crate) fn event_streams(&self) -> usize {
        self.change(|state| {
            state.streams.retain(|stream| !stream.is_closed());
            state.streams.len()
        })
    }

    /// Makes a container behind the manager's back, with the event if `told`.
    pub(crate) fn add(&self, name: &str, body: Value, told: bool) -> String {
        let id = self.change(|state| {
            state.made += 1;
            let id = format!("{:0>12}{:0>52}", hex(&self.name), state.made);
            let container =
                FakeContainer { id: id.clone(), name: name.to_owned(), state: "created", body };
            state.containers.push(container);
            id
        });
        if told {
            self.emit("container", "create", &id);
        }
        id
    }

    /// Tells of something that happened.
    pub(crate) fn emit(&self, kind: &str, action: &str, id: &str) {
        let now = self.world.now();
        self.change(|state| {
            let event = json!({
                "status": action, "id": id, "from": "nginx", "Type": kind, "Action": action,
                "Actor": { "ID": id, "Attributes": { "image": "nginx" } }, "scope": "local",
                "time": now.as_second(), "timeNano": now.as_nanosecond() as i64,
            });
            let text = Bytes::from(event.to_string());
            state.streams.retain(|stream| stream.send(Ok(Frame::data(text.clone()))).is_ok());
            state.history.push(event);
        });
    }

    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = http::collect(body, 1 << 20).await.unwrap_or_default();
        let path = parts.uri.path_and_query().unwrap().as_str();
        let bare = match path.strip_prefix("/v1.").and_then(|rest| rest.split_once('/')) {
            Some((_, rest)) => format!("/{rest}"),
            None => path.to_owned(),
        };
        self.change(|state| state.requests.push(format!("{} {path}", parts.method)));
        let script = self.change(|state| state.script.clone());
        let reaction = script.and_then(|script| script(self, &format!("{} {bare}", parts.method)));
        match reaction {
            Some(Reaction::Refuse(status, message)) => {
                return answer(status, &json!({ "message": message }));
            }
            Some(Reaction::Hang) => std::future::pending().await,
            Some(Reaction::WaitAndDo(ref nudge)) => nudge.notified().await,
            _ => {}
        }
        let done = self.act(&parts.method, &bare, &body);
        match reaction {
            Some(Reaction::DoAndHang) => std::future::pending().await,
            Some(Reaction::DoAndWait(nudge)) => nudge.notified().await,
            _ => {}
        }
        done
    }

    fn act(&self, method: &Method, path: &str, body: &[u8]) -> Response<Body> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match (method.as_str(), parts.as_slice()) {
            (_, ["_ping"]) => {
                let mut ping = Response::new(http::full("OK"));
                if let Some(api) = self.change(|state| state.api) {
                    ping.headers_mut().insert("api-version", api.parse().unwrap());
                }
                ping
            }
            ("GET", ["info"]) => {
                let mut info = self.change(|state| state.info.clone());
                info["SystemTime"] = json!(self.world.now().to_string());
                answer(200, &info)
            }
            ("GET", ["version"]) => answer(200, &self.change(|state| state.version.clone())),
            ("GET", ["events"]) => self.events(query),
            ("GET", ["containers", "json"]) => self.list(query),
            ("GET", ["images", "json"]) => {
                let rows = self.change(|state| {
                    let rows = state.images.iter().map(
                        |tag| json!({ "Id": format!("sha256:{}", hex(tag)), "RepoTags": [tag] }),
                    );
                    rows.collect::<Vec<_>>()
                });
                answer(200, &Value::Array(rows))
            }
            ("GET", ["volumes"]) => {
                let volumes = self.change(|state| state.volumes.clone());
                answer(200, &json!({ "Volumes": volumes, "Warnings": null }))
            }
            ("POST", ["volumes", "create"]) => {
                let volume: Value = serde_json::from_slice(body).unwrap();
                self.change(|state| state.volumes.push(volume.clone()));
                answer(201, &volume)
            }
            ("GET", ["networks"]) => answer(200, &self.change(|state| json!(state.networks))),
            ("DELETE", ["networks", id]) => {
                self.change(|state| state.networks.retain(|row| row["Id"] != *id));
                empty(204)
            }
            ("POST", ["networks", _, _]) => empty(200),
            ("POST", ["containers", "create"]) => self.create(query, body),
            ("POST", ["images", "create"]) => self.pull(query),
            (method, ["containers", id, rest @ ..]) => self.container(method, id, rest, query),
            _ => answer(404, &json!({ "message": "page not found" })),
        }
    }

    fn container(&self, method: &str, id: &str, rest: &[&str], query: &str) -> Response<Body> {
        let found = self.change(|state| state.containers.iter().position(|found| found.id == id));
        let Some(at) = found else {
            return answer(404, &json!({ "message": format!("No such container: {id}") }));
        };
        match (method, rest) {
            ("GET", ["json"]) => {
                answer(200, &inspect(&self.change(|state| state.containers[at].clone())))
            }
            ("POST", ["start"]) => {
                self.change(|state| state.containers[at].state = "running");
                self.emit("container", "start", id);
                empty(204)
            }
            ("POST", ["rename"]) => {
                let name = parameter(query, "name");
                self.change(|state| state.containers[at].name = name);
                self.emit("container", "rename", id);
                empty(204)
            }
            ("DELETE", []) => {
                self.change(|state| state.containers.remove(at));
                self.emit("container", "destroy", id);
                empty(204)
            }
            _ => answer(404, &json!({ "message": "page not found" })),
        }
    }

    fn create(&self, query: &str, body: &[u8]) -> Response<Body> {
        let body: Value = serde_json::from_slice(body).unwrap();
        let image = body["Image"].as_str().unwrap_or_default().to_owned();
        let tagged = if image.contains(':') { image } else { format!("{image}:latest") };
        if !self.change(|state| state.images.contains(&tagged.as_str())) {
            return answer(404, &json!({ "message": format!("No such image: {tagged}") }));
        }
        let id = self.add(&parameter(query, "name"), body, true);
        answer(201, &json!({ "Id": id, "Warnings": ["careful"] }))
    }

    fn pull(&self, query: &str) -> Response<Body> {
        let tagged = format!("{}:{}", parameter(query, "fromImage"), parameter(query, "tag"));
        let found = self.change(|state| {
            let found = state.pullable.iter().copied().find(|image| *image == tagged);
            state.images.extend(found);
            found
        });
        let mut progress = json!({ "status": "Pulling" }).to_string() + "\r\n";
        if found.is_none() {
            let why = "pull access denied, repository does not exist or may require login";
            progress += &json!({ "errorDetail": { "message": why }, "error": why }).to_string();
        }
        Response::new(http::full(progress))
    }

    fn list(&self, query: &str) -> Response<Body> {
        let filters: Value = serde_json::from_str(&parameter(query, "filters")).unwrap_or_default();
        let wanted = |found: &FakeContainer| {
            let one = |name: &str| filters[name].as_object().and_then(|set| set.keys().next());
            let label = |text: &String| {
                text.split_once('=').is_some_and(|(key, value)| found.body["Labels"][key] == value)
            };
            one("id").is_none_or(|id| found.id == *id) && one("label").is_none_or(label)
        };
        let rows = self.change(|state| {
            state.containers.iter().filter(|found| wanted(found)).map(summary).collect::<Vec<_>>()
        });
        answer(200, &Value::Array(rows))
    }

    fn events(&self, query: &str) -> Response<Body> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        self.change(|state| {
            let (seconds, nanos) = match parameter(query, "since").split_once('.') {
                Some((seconds, nanos)) => (seconds.parse().unwrap(), nanos.parse().unwrap()),
                None => (i64::MAX / 2_000_000_000, 0),
            };
            let since: i64 = seconds * 1_000_000_000 + nanos;
            let known = state.history.iter();
            for event in known.filter(|event| event["timeNano"].as_i64().unwrap() >= since) {
                let _ = sender.send(Ok(Frame::data(Bytes::from(event.to_string()))));
            }
            state.streams.push(sender);
        });
        let frames = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
        Response::new(StreamBody::new(frames).boxed_unsync())
    }
}

/// The value of a query parameter, decoded.
fn parameter(query: &str, name: &str) -> String {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.find(|(key, _)| *key == name).map_or("", |(_, value)| value);
    percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn answer(status: u16, body: &Value) -> Response<Body> {
    let mut answer = Response::new(http::full(body.to_string()));
    *answer.status_mut() = status.try_into().unwrap();
    answer
}

fn empty(status: u16) -> Response<Body> {
    let mut answer = Response::new(http::empty());
    *answer.status_mut() = status.try_into().unwrap();
    answer
}

fn summary(found: &FakeContainer) -> Value {
    json!({
        "Id": found.id, "Names": [format!("/{}", found.name)], "Image": found.body["Image"],
        "Labels": found.body["Labels"], "State": found.state, "Status": "Up 1 second",
    })
}

fn inspect(found: &FakeContainer) -> Value {
    let running = found.state == "running";
    json!({
        "Id": found.id, "Name": format!("/{}", found.name), "Created": "2027-01-01T00:00:00Z",
        "State": { "Status": found.state, "Running": running,
            "StartedAt": if running { "2027-01-01T00:00:01Z" } else { "0001-01-01T00:00:00Z" } },
        "Config": found.body, "HostConfig": found.body["HostConfig"],
        "NetworkSettings": { "Ports": {}, "Networks": {} },
    })
}

//! The API of a manager over one scripted engine, through real sockets.

mod engine;
mod errors;
mod holdings;
mod images;
mod interactive;
mod networks;
mod volumes;

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::json;

use crate::cli::VERSION;
use crate::cluster::Cluster;
use crate::ctx::{Addr, Clock, real};
use crate::manager::Options;

use super::*;
use engine::Engine;

/// 2026-01-02T03:05:05Z: a minute after everything on the engine happened.
const NOW: u64 = 1_767_323_105;

const WEB: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OLD: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const NEW: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

struct Stopped;

impl Clock for Stopped {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
    }
}

/// A manager with one engine that has two containers, and a client.
struct World {
    engine: Arc<Engine>,
    manager: Arc<Manager>,
    client: http::Client,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

impl World {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let mut ctx = real::ctx(Level::Fatal);
        ctx.clock = Arc::new(Stopped);
        let engine = Engine::start(&ctx, "node-1").await;
        engine.add(WEB, "web", true, json!({ "tier": "front" }));
        engine.add(OLD, "containers", false, json!({}));
        let manager = Manager::new(ctx.clone(), Options::default());
        manager.apply_membership(std::slice::from_ref(&engine.addr));
        let listener = ctx.net.listen(&Addr::tcp("127.0.0.1", 0)).await.unwrap();
        let client = http::connector(&ctx, listener.local_addr(), Duration::from_secs(5));
        let kernel = "6.1.0".to_owned();
        let settings = Settings { host_name: "manager".into(), kernel, ..settings };
        let api = Arc::new(Api::new(Arc::clone(&manager), settings));
        ctx.spawn(
            "api",
            http::serve(ctx.clone(), listener, move |request| {
                let api = Arc::clone(&api);
                async move { api.handle(request).await }
            }),
        );
        let world = Self { engine, manager, client: http::client(client) };
        let known = |cluster: &mut Cluster| {
            cluster.registered().any(|node| node.is_healthy() && node.images.len() == 2)
        };
        until("the node to be known", || world.manager.with(known)).await;
        world
    }

    /// A second engine, known to the manager.
    async fn add_engine(&self) -> Arc<Engine> {
        let engine = Engine::start(&self.manager.ctx, "node-2").await;
        self.manager.apply_membership(&[self.engine.addr.clone(), engine.addr.clone()]);
        let known = |cluster: &mut Cluster| {
            cluster.registered().filter(|node| node.images.len() == 2).count() == 2
        };
        until("both nodes to be known", || self.manager.with(known)).await;
        engine
    }

    async fn open(&self, method: &str, target: &str, body: &str) -> Response<Incoming> {
        let request = Request::builder().method(method).uri(format!("http://swarm{target}"));
        let request = request.body(http::full(body.to_owned())).unwrap();
        self.client.request(request).await.unwrap()
    }

    async fn send(&self, method: &str, target: &str, body: &str) -> Answer {
        let (parts, body) = self.open(method, target, body).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn get(&self, target: &str) -> Answer {
        self.send("GET", target, "").await
    }

    /// The answer's text with what differs from run to run replaced.
    fn stable(&self, answer: &Answer) -> String {
        let port = self.engine.addr.rsplit(':').next().unwrap();
        let text = serde_json::to_string_pretty(&answer.json()).unwrap();
        text.replace(&format!(":{port}"), ":2375").replace(VERSION, "X.Y.Z")
    }
}

/// Waits for something that is about to happen.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain for {what}");
}

#[tokio::test]
async fn a_ping_tells_what_clients_adapt_to() {
    let world = World::new().await;
    for (method, path) in [("GET", "/_ping"), ("HEAD", "/_ping"), ("GET", "/v1.24/_ping")] {
        let answer = world.send(method, path, "").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, if method == "HEAD" { "" } else { "OK" });
        for (name, value) in [
            ("api-version", "1.41"),
            ("ostype", "linux"),
            ("docker-experimental", "false"),
            ("builder-version", "1"),
            ("swarm", "inactive"),
            ("cache-control", "no-cache, no-store, must-revalidate"),
            ("pragma", "no-cache"),
            ("date", "Fri, 02 Jan 2026 03:05:05 GMT"),
        ] {
            let values: Vec<_> = answer.headers.get_all(name).iter().collect();
            assert_eq!(values, [value], "{name}");
        }
    }
}

#[tokio::test]
async fn version_and_info_have_the_classic_shape() {
    let world = World::new().await;
    let version = world.stable(&world.get("/version").await);
    let info = world.stable(&world.get("/info").await);
    let filters = [(r#""Arch(itecture)?": "[a-z0-9]+""#, r#""Arch$1": "<arch>""#)];
    insta::with_settings!({ filters => filters.to_vec() }, {
        insta::assert_snapshot!("version", version);
        insta::assert_snapshot!("info", info);
    });
}

#[tokio::test]
async fn a_list_names_the_node_and_its_address() {
    let world = World::new().await;
    insta::assert_snapshot!("ps", world.stable(&world.get("/containers/json").await));
    assert_eq!(world.get("/containers/ps?all=1").await.json().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn lists_are_filtered() {
    let world = World::new().await;
    let names = async |query: &str| {
        let list = world.get(&format!("/containers/json?{query}")).await.json();
        let names = list.as_array().unwrap().iter().map(|row| row["Names"][0].to_string());
        names.collect::<Vec<_>>().join(" ")
    };
    let filters = |text: &str| format!("filters={text}").replace('"', "%22").replace('{', "%7B");
    let (web, old) = ("\"/node-1/web\"", "\"/node-1/containers\"");
    for (filter, expected) in [
        (r#"{"name":["we"]}"#, web),
        (r#"{"name":{"^eb":true}}"#, ""),
        (r#"{"id":["aaa"]}"#, web),
        (r#"{"label":["tier=front"]}"#, web),
        (r#"{"label":["tier=back"]}"#, ""),
        (r#"{"status":["exited"]}"#, old),
        (r#"{"status":["created"]}"#, ""),
        (r#"{"node":["node"]}"#, web),
        (r#"{"node":["node-2"]}"#, ""),
        (r#"{"health":["none"]}"#, web),
        (r#"{"is-task":["true"]}"#, ""),
        (r#"{"network":["bridge"]}"#, web),
        (r#"{"network":["abc"]}"#, web),
        (r#"{"ancestor":["nginx:latest"]}"#, web),
        (r#"{"ancestor":["1111"]}"#, web),
        (r#"{"ancestor":["busybox"]}"#, ""),
        (r#"{"exited":["0"]}"#, ""),
        (r#"{"since":["web"]}"#, ""),
    ] {
        assert_eq!(names(&filters(filter)).await, expected, "{filter}");
    }
    assert_eq!(names(&format!("all=1&{}", filters(r#"{"exited":["0"]}"#))).await, old);
    assert_eq!(names("limit=1").await, web);
    assert_eq!(names("all=1").await, format!("{web} {old}"));
    assert_eq!(names("before=web").await, old);
}

#[tokio::test]
async fn images_are_listed_once_and_hidden_without_a_name() {
    let world = World::new().await;
    let ids = async |query: &str| {
        let list = world.get(&format!("/images/json?{query}")).await.json();
        let ids = list.as_array().unwrap().iter().map(|row| row["Id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids("").await, "sha256:1111");
    assert_eq!(ids("all=1").await, "sha256:2222 sha256:1111");
    assert_eq!(ids("filters=%7B%22dangling%22:[%22true%22]}").await, "sha256:2222");
    assert_eq!(ids("filters=%7B%22reference%22:[%22ngin?%22]}").await, "sha256:1111");
    assert_eq!(ids("filters=%7B%22label%22:[%22a=c%22]}").await, "");
    assert_eq!(ids("all=1&filters=%7B%22since%22:[%22nginx%22]}").await, "sha256:2222");
    assert_eq!(ids("filter=busybox").await, "");
}

#[tokio::test]
async fn a_container_of_an_unhealthy_node_is_shown_but_not_touched() {
    let world = World::new().await;
    let addr = world.engine.addr.clone();
    world.manager.with(|cluster| {
        for _ in 0..3 {
            cluster.failed(&addr, "no route to host", jiff::Timestamp::UNIX_EPOCH);
        }
    });
    let message = "Container web running on unhealthy node node-1";
    for (method, target) in [
        ("GET", "/containers/web/json"),
        ("POST", "/containers/web/stop"),
        ("GET", "/containers/web/logs"),
    ] {
        let answer = world.send(method, target, "").await;
        assert_eq!((answer.status, answer.message()), (500, message.into()));
    }
    assert_eq!(world.get("/containers/json").await.json(), json!([]));
    let list = world.get("/containers/json?all=1").await.json();
    assert_eq!(list[0]["Status"], "Host Down");
    let rows = world.get("/info").await.json()["SystemStatus"].to_string();
    assert!(rows.contains(r#"["  └ Status","Unhealthy"],["  └ Containers","2"]"#), "{rows}");
    assert!(rows.contains(r#"["  └ Error","no route to host"]"#), "{rows}");
}

#[tokio::test]
async fn inspect_passes_on_what_it_does_not_know() {
    let world = World::new().await;
    let answer = world.get("/v1.30/containers/node-1%2Fweb/json?size=1").await;
    assert_eq!(answer.headers.get_all("api-version").iter().count(), 1);
    let inspect = answer.json();
    assert_eq!(inspect["FieldOfTomorrow"], json!({ "deep": [1, 2] }));
    assert_eq!(inspect["Name"], "/web");
    assert_eq!(inspect["Node"]["Name"], "node-1");
    assert_eq!(inspect["NetworkSettings"]["Ports"]["80/tcp"][0]["HostIp"], "127.0.0.1");
    let asked = world.engine.asked("size=1");
    assert_eq!(asked, [format!("GET /v1.41/containers/{WEB}/json?size=1")]);
}

#[tokio::test]
async fn actions_reach_the_engine_in_its_own_version_and_show_at_once() {
    let world = World::new().await;
    // The name of a container never touches the path: `containers` is a valid one.
    let answer = world.send("POST", "/v1.50/containers/containers/restart?t=1", "").await;
    assert_eq!(answer.status, 204);
    let asked = world.engine.asked("/restart");
    assert_eq!(asked, [format!("POST /v1.41/containers/{OLD}/restart?t=1")]);
    assert_eq!(world.get("/containers/json").await.json().as_array().unwrap().len(), 2);
    assert_eq!(world.send("POST", "/containers/web/stop", "").await.status, 204);
    let list = world.get("/containers/json").await.json();
    assert_eq!(list.as_array().unwrap().len(), 1);
    // The engine's refusal is passed on as it is, under the manager's own headers.
    let answer = world.send("POST", "/containers/web/pause", "").await;
    assert_eq!(answer.status, 409);
    assert_eq!(answer.message(), format!("Container {WEB} is not running"));
    assert_eq!(answer.headers.get_all("api-version").iter().count(), 1);
    assert!(answer.headers["server"].to_str().unwrap().starts_with("Swarm/"));
}

#[tokio::test]
async fn a_container_lives_and_dies() {
    let world = World::new().await;
    let body = json!({ "Image": "nginx", "Env": ["constraint:zone==z1"] }).to_string();
    let answer = world.send("POST", "/v1.41/containers/create?name=new", &body).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.json(), json!({ "Id": NEW, "Warnings": ["careful"] }));
    let again = world.send("POST", "/containers/create?name=new", &body).await;
    assert_eq!(again.status, 409);
    assert!(again.message().starts_with("Conflict: The name new is already assigned."));
    assert_eq!(world.send("POST", "/containers/new/start", "null").await.status, 204);
    assert_eq!(world.send("POST", "/containers/new/rename?name=newer", "").await.status, 204);
    assert_eq!(world.get("/containers/new/json").await.status, 404);
    let list = world.get("/containers/json?limit=3").await.json();
    assert!(list.to_string().contains(r#""Names":["/node-1/newer"]"#), "{list}");
    let answer = world.send("DELETE", "/containers/newer?v=0&force=1", "").await;
    assert_eq!((answer.status, answer.body.as_ref()), (204, &b""[..]));
    assert_eq!(world.engine.asked("DELETE"), [format!("DELETE /v1.41/containers/{NEW}?force=1")]);
    assert_eq!(world.get("/containers/newer/json").await.status, 404);
    assert_eq!(world.send("DELETE", "/containers/web?v=true&force=false", "").await.status, 204);
    assert_eq!(
        world.engine.asked(WEB).last().unwrap(),
        &format!("DELETE /v1.41/containers/{WEB}?v=1")
    );
}

#[tokio::test]
async fn an_impossible_create_tells_why() {
    let world = World::new().await;
    let body = json!({ "Image": "nginx", "Env": ["constraint:zone==z2"] }).to_string();
    let answer = world.send("POST", "/containers/create", &body).await;
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.message(),
        "Unable to find a node that satisfies the following conditions \n\
         [available container slots]\n[zone==z2]"
    );
}

#[tokio::test]
async fn streams_flow_piece_by_piece_and_end_with_their_reader() {
    let world = World::new().await;
    let mut answer = world.open("GET", "/containers/web/logs?follow=1&stdout=1", "").await;
    let piece = async |answer: &mut Response<Incoming>| {
        answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap()
    };
    let sender = world.engine.streams.lock().unwrap().pop().unwrap();
    for text in ["one", "two"] {
        sender.send(Bytes::from(text)).await.unwrap();
        assert_eq!(piece(&mut answer).await, text);
    }
    assert!(!world.engine.reader_gone.load(Ordering::SeqCst));
    drop(answer);
    until("the engine to lose its reader", || {
        // A write is what tells the engine, and the engine writes when there is a piece.
        let _ = sender.try_send(Bytes::from("more"));
        world.engine.reader_gone.load(Ordering::SeqCst)
    })
    .await;
}

#[tokio::test]
async fn wait_answers_at_once_and_ends_with_a_fresh_look() {
    let world = World::new().await;
    let mut answer = world.open("POST", "/containers/web/wait", "").await;
    assert_eq!(answer.status(), 200);
    world.engine.add(WEB, "web", false, json!({}));
    let sender = world.engine.streams.lock().unwrap().pop().unwrap();
    sender.send(Bytes::from(r#"{"StatusCode":0}"#)).await.unwrap();
    drop(sender);
    let body = answer.body_mut().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"StatusCode":0}"#);
    assert_eq!(world.get("/containers/json").await.json(), json!([]));
}

#[tokio::test]
async fn events_of_the_engine_are_heard_one_per_line() {
    let world = World::new().await;
    let filter = "filters=%7B%22event%22:[%22die%22,%22start%22]}";
    let mut answer = world.open("GET", &format!("/events?{filter}"), "").await;
    assert_eq!(world.get("/info").await.json()["NEventsListener"], 1);
    let event = |action: &str| {
        json!({
            "status": action, "id": WEB, "from": "nginx", "Type": "container", "Action": action,
            "Actor": { "ID": WEB, "Attributes": { "name": "web" } }, "time": 1, "timeNano": 1,
        })
    };
    for action in ["die", "top", "start"] {
        world.engine.emit(event(action)).await;
    }
    let mut text = String::new();
    while text.matches('\n').count() < 2 {
        let frame = answer.body_mut().frame().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["status"], "die");
    assert_eq!(events[0]["from"], "nginx node:node-1");
    assert_eq!(events[1]["status"], "start");
    drop(answer);
    until("the reader to be forgotten", || world.manager.events.listeners() == 0).await;
}

#[tokio::test]
async fn events_end_when_the_time_has_come() {
    let world = World::new().await;
    for until in [(NOW - 1).to_string(), format!("{NOW}.000000001")] {
        let answer = world.get(&format!("/events?until={until}")).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0));
    }
}

#[tokio::test]
async fn browsers_are_let_in_when_asked_to() {
    let world = World::with(Settings { cors: true, ..Settings::default() }).await;
    for (method, target) in [("OPTIONS", "/v1.40/containers/create"), ("GET", "/_ping")] {
        let answer = world.send(method, target, "").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
    }
    assert_eq!(world.send("OPTIONS", "/nothing", "").await.status, 404);
}

#[tokio::test]
async fn unclean_paths_are_redirected() {
    let world = World::new().await;
    let answer = world.get("//info?x=1").await;
    assert_eq!(answer.status, 301);
    assert_eq!(answer.headers["location"], "/info?x=1");
}

#[tokio::test]
async fn a_panic_is_one_failed_request() {
    let ctx = real::ctx(Level::Fatal);
    let error = guarded(&ctx, async { panic!("as planned") }).await.unwrap_err();
    assert_eq!(error.status, StatusCode::INTERNAL_SERVER_ERROR);
}

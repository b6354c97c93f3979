//! The API over loopback, as a client sees it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::{Value, json};
use swarm::ctx::http::{Client, client, connector, empty, full};
use swarm::ctx::{Addr, Clock, Ctx, Level, real};

use crate::engine::state::tests::Counter;
use crate::engine::{Engine, Spec, State, Timings};

/// 2026-01-02T03:04:05.5Z, for ever.
struct Stopped;

impl Clock for Stopped {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_500)
    }
}

/// An engine on a free port of loopback, and a client of it.
struct Bench {
    engine: Arc<Engine>,
    ctx: Ctx,
    client: Client,
}

fn instant() -> Spec {
    Spec { timings: Timings::INSTANT, ..Spec::new("engine-1", "127.0.0.1") }
}

impl Bench {
    async fn new(spec: Spec) -> Self {
        let ctx = Ctx {
            clock: Arc::new(Stopped),
            rng: Arc::new(Counter::default()),
            ..real::ctx(Level::Error)
        };
        Self::serving(Engine::new(ctx.clone(), spec), ctx).await
    }

    async fn serving(engine: Arc<Engine>, ctx: Ctx) -> Self {
        let listener = ctx.net.listen(&Addr::tcp("127.0.0.1", 0)).await.unwrap();
        let at = listener.local_addr();
        ctx.spawn("engine", Arc::clone(&engine).serve_on(listener));
        let client = client(connector(&ctx, at, Duration::from_secs(5)));
        Self { engine, ctx, client }
    }

    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Response<Incoming> {
        let request = Request::builder().method(method).uri(format!("http://engine{path}"));
        let request = match body {
            Some(body) => {
                request.header("Content-Type", "application/json").body(full(body.to_string()))
            }
            None => request.body(empty()),
        };
        self.client.request(request.unwrap()).await.unwrap()
    }

    /// Status and JSON (or text) of an answer.
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let response = self.send(method, path, body).await;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
        (status, value)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, value) = self.call("GET", path, None).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    async fn run(&self, name: &str, body: Value) -> String {
        let path = format!("/v1.41/containers/create?name={name}");
        let (status, reply) = self.call("POST", &path, Some(body)).await;
        assert_eq!(status, 201, "{reply}");
        assert_eq!(reply["Warnings"], json!([]));
        let (status, reply) =
            self.call("POST", &format!("/v1.41/containers/{name}/start"), None).await;
        assert_eq!(status, 204, "{reply}");
        reply_id(&self.get(&format!("/containers/{name}/json")).await)
    }
}

fn reply_id(inspected: &Value) -> String {
    inspected["Id"].as_str().unwrap().to_owned()
}

async fn next(body: &mut Incoming) -> Option<Bytes> {
    let frame = tokio::time::timeout(Duration::from_secs(5), body.frame()).await;
    frame.expect("a part within five seconds")?.unwrap().into_data().ok()
}

/// Long values under their own names: what is snapshot is the shape.
fn snapshot(name: &str, value: &Value) {
    let text = serde_json::to_string_pretty(value).unwrap();
    insta::with_settings!({
        filters => vec![
            ("[0-9a-f]{64}", "[id]"),
            ("[0-9a-f]{12}", "[short]"),
            ("(?:[A-Z2-7]{4}:){11}[A-Z2-7]{4}", "[engine]"),
        ],
        snapshot_path => "snapshots",
    }, { insta::assert_snapshot!(name, text) });
}

#[tokio::test]
async fn the_engine_introduces_itself() {
    let mut spec = instant();
    spec.labels = vec!["zone=external".into()];
    let bench = Bench::new(spec).await;
    snapshot("version", &bench.get("/version").await);
    snapshot("info", &bench.get("/v1.41/info").await);
    snapshot("networks", &bench.get("/v1.30/networks").await);
    snapshot("images", &bench.get("/v1.41/images/json").await);
    assert_eq!(bench.get("/volumes").await, json!({"Volumes": [], "Warnings": null}));
}

#[tokio::test]
async fn ping_carries_the_headers_that_clients_negotiate_with() {
    let bench = Bench::new(instant()).await;
    for method in ["GET", "HEAD"] {
        let response = bench.send(method, "/_ping", None).await;
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("Api-Version"), "1.41");
        assert_eq!(header("Docker-Experimental"), "false");
        assert_eq!(header("Ostype"), "linux");
        assert_eq!(header("Server"), "Docker/20.10.24 (linux)");
        assert_eq!(header("Cache-Control"), "no-cache, no-store, must-revalidate");
        assert_eq!(header("Pragma"), "no-cache");
        assert_eq!(header("Date"), "Fri, 02 Jan 2026 03:04:05 GMT");
        assert!(!response.headers().contains_key("Builder-Version"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, if method == "GET" { "OK" } else { "" });
    }
    let newer = Spec { api: "1.51".into(), min_api: "1.24".into(), ..instant() };
    let bench = Bench::new(newer).await;
    let response = bench.send("HEAD", "/v1.51/_ping", None).await;
    assert_eq!(response.headers()["Builder-Version"], "2");
    assert_eq!(response.headers()["Swarm"], "inactive");
}

#[tokio::test]
async fn versions_out_of_range_are_refused() {
    let bench = Bench::new(instant()).await;
    let (status, body) = bench.call("GET", "/v1.99/info", None).await;
    assert_eq!(status, 400);
    assert_eq!(
        body["message"],
        "client version 1.99 is too new. Maximum supported API version is 1.41"
    );
    let response = bench.send("GET", "/v1.9/info", None).await;
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["Content-Type"], "text/plain; charset=utf-8");
    let (_, body) = bench.call("GET", "/v1.9/info", None).await;
    assert_eq!(
        body,
        "client version 1.9 is too old. Minimum supported API version is 1.12, please upgrade \
         your client to a newer version\n"
    );
    for (method, path) in [
        ("GET", "/foo"),
        ("GET", "/v1.99/foo"),
        ("DELETE", "/info"),
        ("HEAD", "/info"),
        ("GET", "/v1.41x/info"),
        ("POST", "/containers/x/exec"),
        ("GET", "/containers/x/stats"),
    ] {
        let response = bench.send(method, path, None).await;
        assert_eq!(response.status(), 404, "{method} {path}");
        assert!(!response.headers().contains_key("Api-Version"), "{method} {path}");
    }
    let (_, body) = bench.call("GET", "/foo", None).await;
    assert_eq!(body, json!({"message": "page not found"}));
    let response = bench.send("GET", "/v1.41/containers//json", None).await;
    assert_eq!(response.status(), 301);
    assert_eq!(response.headers()["Location"], "/v1.41/containers/json");
}

#[tokio::test]
async fn an_nginx_container_serves_its_published_port() {
    let bench = Bench::new(instant()).await;
    let body = json!({
        "Image": "nginx", "Env": ["A=B"], "Labels": {"zone": "x"},
        "HostConfig": {"PublishAllPorts": true},
    });
    let id = bench.run("web", body).await;
    let inspected = bench.get("/v1.41/containers/web/json?size=1").await;
    let port = &inspected["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"];
    let port: u16 = port.as_str().unwrap().parse().unwrap();
    let shown = |value: &Value| {
        serde_json::from_str(&value.to_string().replace(&port.to_string(), "32768")).unwrap()
    };
    snapshot("inspect", &shown(&inspected));
    snapshot("list", &shown(&bench.get("/v1.41/containers/json").await));
    let bridge = bench.get("/networks/bridge").await;
    assert_eq!(bridge["Containers"][&id]["IPv4Address"], "172.17.0.2/16");

    let web = client(connector(&bench.ctx, Addr::tcp("127.0.0.1", port), Duration::from_secs(5)));
    let get = |path: &str| {
        let request = Request::builder().uri(format!("http://web{path}")).body(empty()).unwrap();
        web.request(request)
    };
    let response = get("/").await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers()["Server"].to_str().unwrap().starts_with("nginx/"));
    let page = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&page).contains("Welcome to nginx!"));
    assert_eq!(get("/missing").await.unwrap().status(), 404);

    let (status, _) = bench.call("POST", "/containers/web/stop", None).await;
    assert_eq!(status, 204);
    assert_eq!(bench.call("POST", "/containers/web/stop", None).await.0, 304);
    let closed = bench.ctx.net.connect(&Addr::tcp("127.0.0.1", port)).await;
    assert!(closed.is_err(), "nobody listens any more");
    let logs = bench.send("GET", "/containers/web/logs?stdout=1", None).await;
    let logs = logs.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&logs).contains("\"GET /missing HTTP/1.1\" 404"));
}

#[tokio::test]
async fn a_port_that_something_else_has_is_told_as_the_kernel_tells_it() {
    let bench = Bench::new(instant()).await;
    let other = bench.ctx.net.listen(&Addr::tcp("127.0.0.1", 0)).await.unwrap();
    let port = other.local_addr().port().to_string();
    let bindings = json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]});
    let body = json!({"Image": "nginx", "HostConfig": {"PortBindings": bindings}});
    bench.call("POST", "/containers/create?name=web", Some(body)).await;
    let (status, reply) = bench.call("POST", "/containers/web/start", None).await;
    assert_eq!(status, 500);
    let end = format!("listen tcp4 127.0.0.1:{port}: bind: address already in use");
    assert!(reply["message"].as_str().unwrap().ends_with(&end), "{reply}");
    drop(other);
    assert_eq!(bench.call("POST", "/containers/web/start", None).await.0, 204);
}

#[tokio::test]
async fn create_refuses_in_the_engines_words() {
    let bench = Bench::new(instant()).await;
    let post = async |kind: &str, body: &'static str| {
        let request = Request::builder()
            .method("POST")
            .uri("http://engine/containers/create")
            .header("Content-Type", kind)
            .body(full(body));
        let response = bench.client.request(request.unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        (status, value["message"].as_str().unwrap().to_owned())
    };
    for (kind, body, status, message) in [
        ("application/json", "", 500, "EOF"),
        ("application/json", "{\"Image\":", 500, "unexpected EOF"),
        ("application/json", "xx", 500, "invalid character 'x' looking for beginning of value"),
        ("application/json", "{\"Image\":\"nope\"}", 404, "No such image: nope:latest"),
        ("text/plain", "{}", 400, "Content-Type specified (text/plain) must be 'application/json'"),
    ] {
        assert_eq!(post(kind, body).await, (status, message.to_owned()), "{body}");
    }
}

#[tokio::test]
async fn logs_are_framed_unless_there_is_a_terminal() {
    let bench = Bench::new(instant()).await;
    let script = "echo one; echo two >&2; echo three";
    let mut body = json!({"Image": "busybox", "Cmd": ["sh", "-c", script]});
    bench.run("plain", body.clone()).await;
    body["Tty"] = json!(true);
    bench.run("tty", body).await;
    for name in ["plain", "tty"] {
        bench.call("POST", &format!("/containers/{name}/wait"), None).await;
    }
    let logs = async |path: &str| {
        let response = bench.send("GET", path, None).await;
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap().to_bytes()
    };
    let both = "/containers/plain/logs?stdout=1&stderr=1";
    let one = b"\x01\0\0\0\0\0\0\x04one\n";
    let two = b"\x02\0\0\0\0\0\0\x04two\n";
    let three = b"\x01\0\0\0\0\0\0\x06three\n";
    assert_eq!(logs(both).await, [&one[..], two, three].concat());
    assert_eq!(logs("/containers/plain/logs?stderr=1").await, &two[..]);
    assert_eq!(logs(&format!("{both}&tail=2")).await, [&two[..], three].concat());
    assert_eq!(logs("/containers/plain/logs?stdout=1&tail=1").await, &three[..]);
    assert_eq!(logs(&format!("{both}&since=1767323046")).await, "");
    assert_eq!(logs(&format!("{both}&follow=1")).await.len(), 38, "it has ended: so does this");
    assert_eq!(logs("/containers/tty/logs?stdout=1").await, "one\r\nthree\r\n");
    let stamped = logs("/containers/tty/logs?stdout=1&timestamps=1&tail=1").await;
    assert_eq!(stamped, "2026-01-02T03:04:05.500000000Z three\r\n");
    let (status, reply) = bench.call("GET", "/containers/plain/logs", None).await;
    assert_eq!(status, 400);
    assert_eq!(reply["message"], "Bad parameters: you must choose at least one stream");
}

#[tokio::test]
async fn events_stream_as_they_happen_and_from_the_past() {
    let bench = Bench::new(instant()).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    bench.engine.observe(move |kind, fields| {
        sink.lock().unwrap().push(format!("{kind} {}", fields["name"].as_str().unwrap()));
    });
    let response = bench.send("GET", "/v1.41/events", None).await;
    assert_eq!(response.headers()["Content-Type"], "application/json");
    assert_eq!(bench.get("/info").await["NEventsListener"], 1);
    let mut events = response.into_body();
    let body = json!({"Image": "busybox", "Cmd": ["sleep", "1d"], "Labels": {"a": "b"}});
    let id = bench.run("web", body).await;
    let first = next(&mut events).await.unwrap();
    assert!(first.ends_with(b"\n"));
    let nanos = 1_767_323_045_500_000_000_i64;
    assert_eq!(
        serde_json::from_slice::<Value>(&first).unwrap(),
        json!({
            "status": "create", "id": id, "from": "busybox", "Type": "container",
            "Action": "create",
            "Actor": {"ID": id, "Attributes": {"a": "b", "image": "busybox", "name": "web"}},
            "scope": "local", "time": 1_767_323_045, "timeNano": nanos,
        })
    );
    let (status, _) = bench.call("DELETE", "/containers/web?force=1", None).await;
    assert_eq!(status, 204);
    let past = "/events?since=1&until=1767323046&filters=%7B%22type%22:%5B%22container%22%5D%7D";
    let response = bench.send("GET", past, None).await;
    let mut lines = Vec::new();
    // The clock of this test stands still: what is past is read, the end is not waited for.
    let mut body = response.into_body();
    let text = next(&mut body).await.unwrap();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event: Value = serde_json::from_slice(line).unwrap();
        lines.push(event["Action"].as_str().unwrap().to_owned());
    }
    assert_eq!(lines, ["create", "start", "kill", "die", "destroy"]);
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "container.create web",
            "network.connect bridge",
            "container.start web",
            "container.kill web",
            "container.die web",
            "network.disconnect bridge",
            "container.remove web",
        ]
    );
    let (status, reply) = bench.call("GET", "/events?until=x", None).await;
    assert_eq!(status, 500);
    assert_eq!(reply["message"], "strconv.ParseInt: parsing \"x\": invalid syntax");
}

#[tokio::test]
async fn wait_answers_at_once_and_ends_with_the_container() {
    let bench = Bench::new(instant()).await;
    let body = json!({
        "Image": "busybox", "Cmd": ["sleep", "1d"], "HostConfig": {"AutoRemove": true},
    });
    bench.run("web", body).await;
    let mut waits = Vec::new();
    for condition in ["", "not-running", "next-exit", "removed"] {
        let path = format!("/v1.41/containers/web/wait?condition={condition}");
        let response = bench.send("POST", &path, None).await;
        assert_eq!(response.status(), 200, "the head comes before the end");
        waits.push(response.into_body());
    }
    let (status, _) = bench.call("POST", "/containers/web/kill", None).await;
    assert_eq!(status, 204);
    for mut wait in waits {
        assert_eq!(next(&mut wait).await.unwrap(), "{\"Error\":null,\"StatusCode\":137}\n");
        assert_eq!(next(&mut wait).await, None);
    }
    assert_eq!(bench.call("POST", "/containers/web/wait", None).await.0, 404);
}

#[tokio::test]
async fn a_pull_brings_what_the_registry_has() {
    let spec = Spec { registry: vec!["redis:7".into()], ..instant() };
    let bench = Bench::new(spec).await;
    let pull = "/images/create?fromImage=redis&tag=7";
    let response = bench.send("POST", pull, None).await;
    assert_eq!(response.status(), 200);
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.starts_with("{\"status\":\"Pulling from library/redis\",\"id\":\"7\"}\n"));
    assert!(text.ends_with("{\"status\":\"Status: Downloaded newer image for redis:7\"}\n"));
    assert_eq!(bench.get("/images/redis:7/json").await["RepoTags"], json!(["redis:7"]));
    let (_, again) = bench.call("POST", pull, None).await;
    assert!(again.as_str().unwrap().contains("Image is up to date for redis:7"));
    let (status, reply) = bench.call("POST", "/images/create?fromImage=nope", None).await;
    assert_eq!(status, 404);
    let denied = "pull access denied for nope, repository does not exist or may require";
    assert!(reply["message"].as_str().unwrap().starts_with(denied));

    let offline = Bench::new(instant()).await;
    for (method, path) in [("POST", pull), ("GET", "/distribution/redis/json")] {
        let (status, reply) = offline.call(method, path, None).await;
        assert_eq!(status, 500);
        let text = reply["message"].as_str().unwrap();
        assert!(text.starts_with("Get \"https://registry-1.docker.io/v2/\": dial tcp"), "{text}");
    }
    let (status, reply) = offline.call("GET", "/images/redis:7/json", None).await;
    assert_eq!(status, 404);
    assert_eq!(reply["message"], "no such image: redis:7: No such image: redis:7");
}

#[tokio::test]
async fn the_state_moves_to_another_engine() {
    let bench = Bench::new(instant()).await;
    let policy = json!({"RestartPolicy": {"Name": "always"}, "PublishAllPorts": true});
    bench.run("web", json!({"Image": "nginx", "HostConfig": policy})).await;
    bench.run("job", json!({"Image": "busybox", "Cmd": ["sleep", "1d"]})).await;
    let state: State = bench.engine.state();
    let id = state.id.clone();
    let (status, _) = bench.call("DELETE", "/containers/web?force=1", None).await;
    assert_eq!(status, 204);

    let ctx = bench.ctx.clone();
    let second = Bench::serving(Engine::resume(ctx.clone(), instant(), state), ctx).await;
    assert_eq!(second.get("/info").await["ID"], json!(id));
    assert_eq!(second.get("/containers/job/json").await["State"]["ExitCode"], 255);
    let back = async {
        while second.get("/containers/web/json").await["State"]["Status"] != "running" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), back).await.expect("its policy brings it back");
    assert_eq!(second.get("/containers/web/json").await["RestartCount"], 0);
}

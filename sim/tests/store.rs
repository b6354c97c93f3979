//! The store's HTTP face, as a client of Consul meets it.

use std::net::Ipv4Addr;
use std::time::Duration;

use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use sim::World;
use sim::store::Store;
use swarm::ctx::{Addr, Ctx, http};
use tokio::time::{Instant, sleep};

struct Consul {
    client: http::Client,
}

struct Reply {
    status: StatusCode,
    index: Option<u64>,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

impl Consul {
    fn new(ctx: &Ctx) -> Self {
        let to = Addr::tcp("store", 8500);
        Self { client: http::client(http::connector(ctx, to, Duration::from_secs(5))) }
    }

    async fn call(&self, method: Method, path: &str, body: &str) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://store/v1/{path}"))
            .body(http::full(body.to_owned()))
            .expect("a valid request");
        let response = self.client.request(request).await.expect("the store answers");
        let index = response.headers().get("x-consul-index");
        let index = index.map(|index| index.to_str().unwrap().parse().unwrap());
        let status = response.status();
        let body = http::collect(response.into_body(), 1 << 22).await.expect("a whole body");
        Reply { status, index, text: String::from_utf8(body.to_vec()).expect("text") }
    }

    async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, "").await
    }

    async fn put(&self, path: &str, body: &str) -> Reply {
        self.call(Method::PUT, path, body).await
    }

    async fn session(&self, body: &str) -> String {
        let reply = self.put("session/create", body).await;
        reply.json()["ID"].as_str().expect("a session").to_owned()
    }
}

/// Runs `test` with a client of a store that is up.
fn with_store<F, T>(test: F)
where
    F: FnOnce(World, Consul, Store) -> T + Send,
    T: Future<Output = ()>,
{
    sim::run(7, |world| async move {
        let me = world.add_host("me", Ipv4Addr::new(10, 0, 0, 1));
        world.add_host("store", Ipv4Addr::new(10, 0, 0, 2));
        let store = start(&world, Store::new("node-0"));
        sleep(Duration::from_millis(1)).await;
        test(world, Consul::new(&me), store).await;
    });
}

fn start(world: &World, store: Store) -> Store {
    let served = store.clone();
    world.start("store", "store", async move |ctx| {
        served.serve(ctx, Addr::tcp("", 8500)).await.expect("the port is free");
    });
    store
}

#[test]
fn keys_are_written_read_listed_and_deleted() {
    with_store(|_, consul, _| async move {
        let missing = consul.get("kv/docker/swarm").await;
        assert_eq!((missing.status.as_u16(), missing.index), (404, Some(1)));
        assert_eq!(missing.text, "");

        assert_eq!(consul.put("kv/docker/swarm/nodes/a%3A1?flags=42", "x").await.text, "true");
        assert_eq!(consul.put("kv/docker/swarm/nodes/", "").await.text, "true");
        let one = consul.get("kv/docker/swarm/nodes/a:1?consistent=").await;
        let index = one.index.expect("an index");
        assert_eq!(
            one.text,
            format!(
                "[{{\"LockIndex\":0,\"Key\":\"docker/swarm/nodes/a:1\",\"Flags\":42,\
                 \"Value\":\"eA==\",\"CreateIndex\":{index},\"ModifyIndex\":{index}}}]"
            )
        );
        assert_eq!(consul.get("kv/docker/swarm/nodes/a:1?raw").await.text, "x");

        let list = consul.get("kv/docker/swarm/nodes?recurse=").await.json();
        assert_eq!(list[0]["Key"], "docker/swarm/nodes/");
        assert_eq!(list[0]["Value"], Value::Null);
        assert_eq!(list.as_array().map(Vec::len), Some(2));
        let keys = consul.get("kv/docker/?keys&separator=/").await;
        assert_eq!(keys.json(), json!(["docker/swarm/"]));
        assert_eq!(consul.get("kv/?keys").await.json().as_array().map(Vec::len), Some(2));
        assert!(consul.get("kv/docker?recurse&pretty").await.text.starts_with("[\n  {\n"));

        let gone = consul.call(Method::DELETE, "kv/docker?recurse", "").await;
        assert_eq!(gone.text, "true");
        assert_eq!(consul.get("kv/docker?recurse").await.status, StatusCode::NOT_FOUND);
        assert_eq!(consul.get("kv/?keys").await.text, "[]");
    });
}

#[test]
fn mistakes_are_answered_as_consul_answers_them() {
    with_store(|_, consul, _| async move {
        let large = "x".repeat(512 * 1024 + 1);
        for (method, path, body, status, text) in [
            (Method::GET, "kv/", "", 400, "Missing key name"),
            (Method::PUT, "kv/", "x", 400, "Missing key name"),
            (Method::POST, "kv/a", "", 405, "method POST not allowed"),
            (Method::PUT, "kv/a?cas=1&acquire=x", "", 400, "Conflicting flags: acquire=x&cas=1\n"),
            (Method::PUT, "kv/a?acquire=x", "", 500, "invalid session \"x\""),
            (Method::PUT, "kv/a?release=", "", 500, "missing session"),
            (Method::GET, "kv/a?wait=x", "", 400, "Invalid wait time"),
            (Method::GET, "kv/a?index=x", "", 400, "Invalid index"),
            (Method::PUT, "session/destroy/", "", 400, "Missing session"),
            (Method::GET, "session/create", "", 405, "method GET not allowed"),
            (Method::PUT, "session/renew/none", "", 404, "Session id 'none' not found"),
        ] {
            let reply = consul.call(method.clone(), path, body).await;
            let got = (reply.status.as_u16(), reply.text.as_str());
            assert_eq!(got, (status, text), "{method} {path}");
        }
        assert_eq!(consul.put("kv/a", &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(consul.get("catalog/nodes").await.status, StatusCode::NOT_FOUND);
        assert_eq!(consul.get("status/leader").await.json(), "127.0.0.1:8300");
        assert_eq!(consul.get("agent/self").await.json()["Config"]["NodeName"], "node-0");
    });
}

#[test]
fn a_blocking_query_wakes_on_its_change_only_and_times_out() {
    with_store(|world, consul, _| async move {
        consul.put("kv/p/a", "1").await;
        let index = consul.get("kv/p?recurse").await.index.expect("an index");
        let writer = Consul::new(&world.ctx("me"));
        world.ctx("me").spawn("writer", async move {
            sleep(Duration::from_secs(2)).await;
            writer.put("kv/other", "1").await;
            writer.put("kv/p/a", "1").await;
            sleep(Duration::from_secs(2)).await;
            writer.put("kv/p/b", "1").await;
        });
        let start = Instant::now();
        let changed = consul.get(&format!("kv/p?recurse&index={index}&wait=15000ms")).await;
        assert_eq!(start.elapsed().as_secs(), 4);
        assert_eq!(changed.json().as_array().map(Vec::len), Some(2));
        let index = changed.index.expect("an index");

        let start = Instant::now();
        let same = consul.get(&format!("kv/p?recurse&index={index}&wait=15s")).await;
        // Up to a sixteenth longer than it was asked to.
        let waited = start.elapsed();
        assert!((15_000..15_950).contains(&waited.as_millis()), "{waited:?}");
        assert_eq!((same.status, same.index), (StatusCode::OK, Some(index)));
    });
}

#[test]
fn a_session_that_is_not_renewed_takes_its_key_with_it() {
    with_store(|_, consul, _| async move {
        let body = r#"{"Name": "n", "TTL": "10s", "Behavior": "delete", "LockDelay": "1ms"}"#;
        let id = consul.session(body).await;
        let info = consul.get(&format!("session/info/{id}")).await.json();
        let index = info[0]["CreateIndex"].clone();
        assert_eq!(
            info,
            json!([{
                "ID": id, "Name": "n", "Node": "node-0", "LockDelay": 1_000_000,
                "Behavior": "delete", "TTL": "10s", "NodeChecks": ["serfHealth"],
                "ServiceChecks": null, "CreateIndex": index, "ModifyIndex": index,
            }])
        );
        let put = consul.put(&format!("kv/k?acquire={id}"), "v").await;
        assert_eq!(put.text, "true");
        assert_eq!(consul.get("kv/k").await.json()[0]["Session"], id.as_str());

        sleep(Duration::from_secs(19)).await;
        let renewed = consul.put(&format!("session/renew/{id}"), "").await;
        assert_eq!(renewed.json()[0]["ID"], id.as_str());
        let renewed = Instant::now();
        let index = consul.get("kv/k").await.index.expect("an index");
        let gone = consul.get(&format!("kv/k?index={index}")).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
        let lived = renewed.elapsed().as_millis();
        assert!((19_990..20_010).contains(&lived), "{lived} ms");
        assert_eq!(consul.get(&format!("session/info/{id}")).await.text, "[]");
        assert_eq!(consul.get("session/list").await.text, "[]");
    });
}

#[test]
fn a_store_that_restarts_keeps_what_it_held() {
    with_store(|world, consul, store| async move {
        let id = consul.session(r#"{"TTL": "10s", "Behavior": "delete"}"#).await;
        consul.put(&format!("kv/k?acquire={id}"), "v").await;
        world.kill_host("store");
        sleep(Duration::from_secs(60)).await;
        let store = start(&world, store);
        sleep(Duration::from_millis(1)).await;
        // The session has outlived the outage and gets its full time again.
        assert_eq!(consul.get("kv/k?raw").await.text, "v");
        sleep(Duration::from_secs(21)).await;
        assert_eq!(consul.get("kv/k").await.status, StatusCode::NOT_FOUND);
        assert_eq!(store.snapshot().get("k").1, None);
    });
}

//! Fake engines in a simulated world.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use sim::World;
use sim::engine::{Engine, Spec};
use swarm::ctx::{Addr, Ctx, http};

const API: u16 = 2375;

fn client(ctx: &Ctx, host: &str, port: u16) -> http::Client {
    http::client(http::connector(ctx, Addr::tcp(host, port), Duration::from_secs(10)))
}

async fn call(
    client: &http::Client,
    method: &str,
    path: &str,
    body: Value,
) -> Result<(StatusCode, Value), String> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://engine{path}"))
        .header("Content-Type", "application/json")
        .body(http::full(body.to_string()))
        .expect("a valid request");
    let response = client.request(request).await.map_err(|e| e.to_string())?;
    let status = response.status();
    let body = http::collect(response.into_body(), 1 << 20).await.map_err(|e| e.to_string())?;
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

/// Serves `engine` as a process of `host`.
fn serve(world: &World, host: &str, make: impl FnOnce(Ctx) -> Arc<Engine>) -> Arc<Engine> {
    let mut made = None;
    world.start(host, "dockerd", |ctx| {
        let engine = make(ctx);
        made = Some(Arc::clone(&engine));
        async move { engine.serve(Addr::tcp("", API)).await.expect("the port is free") }
    });
    made.expect("a process starts at once")
}

fn spec() -> Spec {
    Spec::new("engine-1", "10.0.0.2")
}

#[test]
fn a_published_port_is_reached_from_another_host_and_survives_a_power_cut_by_policy() {
    sim::run(1, |world: World| async move {
        let me = world.add_host("me", Ipv4Addr::new(10, 0, 0, 1));
        world.add_host("engine-1", Ipv4Addr::new(10, 0, 0, 2));
        let engine = serve(&world, "engine-1", |ctx| Engine::new(ctx, spec()));
        tokio::time::sleep(Duration::from_millis(5)).await;

        let began = world.now();
        let api = client(&me, "engine-1", API);
        let body = json!({"Image": "nginx", "HostConfig": {
            "PortBindings": {"80/tcp": [{"HostPort": "80"}]},
            "RestartPolicy": {"Name": "always"},
        }});
        let (status, _) = call(&api, "POST", "/containers/create?name=web", body).await.unwrap();
        assert_eq!(status, 201);
        let (status, _) = call(&api, "POST", "/containers/web/start", Value::Null).await.unwrap();
        assert_eq!(status, 204);
        let took = world.now() - began;
        assert!((310..320).contains(&took.as_millis()), "the timings of the spec: {took:?}");

        let web = client(&me, "10.0.0.2", 80);
        assert_eq!(call(&web, "GET", "/", Value::Null).await.unwrap().0, 200);

        let state = engine.state();
        world.power_off("engine-1");
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.boot("engine-1");
        serve(&world, "engine-1", |ctx| Engine::resume(ctx, spec(), state));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (_, inspected) =
            call(&client(&me, "engine-1", API), "GET", "/containers/web/json", Value::Null)
                .await
                .unwrap();
        assert_eq!(inspected["State"]["Status"], "running");
        let web = client(&me, "10.0.0.2", 80);
        assert_eq!(call(&web, "GET", "/", Value::Null).await.unwrap().0, 200);
    });
}

#[test]
fn the_same_seed_gives_the_same_containers() {
    let story = |seed: u64| {
        sim::run(seed, |world: World| async move {
            let me = world.add_host("me", Ipv4Addr::new(10, 0, 0, 1));
            world.add_host("engine-1", Ipv4Addr::new(10, 0, 0, 2));
            serve(&world, "engine-1", |ctx| Engine::new(ctx, spec()));
            tokio::time::sleep(Duration::from_millis(5)).await;
            let api = client(&me, "engine-1", API);
            for _ in 0..3 {
                let body = json!({"Image": "busybox", "Cmd": ["sleep", "1d"]});
                let (_, made) = call(&api, "POST", "/containers/create", body).await.unwrap();
                let start = format!("/containers/{}/start", made["Id"].as_str().unwrap());
                call(&api, "POST", &start, Value::Null).await.unwrap();
            }
            call(&api, "GET", "/containers/json", Value::Null).await.unwrap().1.to_string()
        })
    };
    assert_eq!(story(7), story(7));
    assert_ne!(story(7), story(8));
}

#[test]
fn an_engine_that_is_killed_takes_its_containers_sockets_with_it() {
    sim::run(3, |world: World| async move {
        let me = world.add_host("me", Ipv4Addr::new(10, 0, 0, 1));
        world.add_host("engine-1", Ipv4Addr::new(10, 0, 0, 2));
        serve(&world, "engine-1", |ctx| Engine::new(ctx, spec()));
        tokio::time::sleep(Duration::from_millis(5)).await;
        let api = client(&me, "engine-1", API);
        let body = json!({"Image": "nginx", "HostConfig": {"NetworkMode": "host"}});
        call(&api, "POST", "/containers/create?name=web", body).await.unwrap();
        call(&api, "POST", "/containers/web/start", Value::Null).await.unwrap();
        let web = Addr::tcp("10.0.0.2", 80);
        assert!(me.net.connect(&web).await.is_ok(), "the host's network is the container's");
        world.kill_host("engine-1");
        let refused = me.net.connect(&web).await.err().expect("nobody listens");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

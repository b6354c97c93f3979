//! Terminals, commands in containers, files of containers.

use hyper::header::{CONNECTION, UPGRADE};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::engine::EXEC;
use super::*;

/// Says something on a connection that the engine has taken over, then that this was all; returns
/// what came back.
async fn converse(world: &World, target: &str, body: &str) -> String {
    let request = Request::post(format!("http://swarm{target}"))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "tcp")
        .body(http::full(body.to_owned()))
        .unwrap();
    let answer = world.client.request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(answer.headers()[UPGRADE], "tcp");
    assert_eq!(answer.headers()[CONNECTION], "Upgrade");
    assert_eq!(answer.headers().get_all("api-version").iter().count(), 1);
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    let mut greeting = [0; 6];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"hello ");
    stream.write_all(b"is anybody ").await.unwrap();
    stream.write_all(b"there").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    heard
}

#[tokio::test]
async fn an_attached_client_and_the_container_talk_until_the_container_has_said_all() {
    let world = World::new().await;
    let target = "/v1.50/containers/node-1/web/attach?stream=1&stdin=1";
    assert_eq!(converse(&world, target, "").await, "IS ANYBODY THERE");
    let asked = world.engine.asked("/attach");
    assert_eq!(asked, [format!("POST /v1.41/containers/{WEB}/attach?stream=1&stdin=1")]);
    // Without an upgrade there is only output.
    let answer = world.send("POST", "/containers/web/attach?stream=1", "").await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"output"[..]));
    // An engine that refuses answers as always.
    world.engine.containers.lock().unwrap().remove(WEB);
    let request = Request::post("http://swarm/exec/0/start").header(UPGRADE, "tcp");
    let answer = world.client.request(request.body(http::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn a_command_is_found_where_it_was_made() {
    let world = World::new().await;
    let made = world.send("POST", "/containers/web/exec", r#"{"Cmd":["sh"]}"#).await;
    assert_eq!((made.status, made.json()), (201, json!({ "Id": EXEC })));
    let options = r#"{"Tty":true}"#;
    let heard = converse(&world, &format!("/v1.41/exec/{EXEC}/start"), options).await;
    assert_eq!(heard, "IS ANYBODY THERE");
    let answer = world.send("POST", &format!("/exec/{EXEC}/resize?h=1&w=2"), "").await;
    assert_eq!(answer.status, 200);
    let detached = world.send("POST", &format!("/exec/{EXEC}/start"), options).await;
    assert_eq!((detached.status, &detached.body[..]), (200, &b"output"[..]));
    let state = world.get(&format!("/exec/{EXEC}/json")).await.json();
    assert_eq!(state["ExitCode"], 3);
    assert_eq!(
        world.engine.asked("exec"),
        [
            format!("POST /v1.41/containers/{WEB}/exec"),
            format!("POST /v1.41/exec/{EXEC}/start"),
            format!("POST /v1.41/exec/{EXEC}/resize?h=1&w=2"),
            format!("POST /v1.41/exec/{EXEC}/start"),
            format!("GET /v1.41/exec/{EXEC}/json"),
        ]
    );
    let refused = world.send("POST", "/containers/web/exec", "").await;
    assert_eq!((refused.status, refused.message()), (400, "No exec command specified".into()));
}

#[tokio::test]
async fn a_command_made_elsewhere_is_looked_for_once() {
    let world = World::new().await;
    for _ in 0..2 {
        assert_eq!(world.get(&format!("/exec/{EXEC}/json")).await.status, 200);
    }
    assert_eq!(world.engine.asked("exec").len(), 3);
    for id in ["0123", "a%2Fb", "..%20"] {
        let answer = world.get(&format!("/exec/{id}/json")).await;
        let decoded = id.replace("%2F", "/").replace("%20", " ");
        assert_eq!((answer.status, answer.message()), (404, format!("Exec {decoded} not found")));
    }
    assert_eq!(world.engine.asked("exec").len(), 4);
}

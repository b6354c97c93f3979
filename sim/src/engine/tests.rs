//! The engine over time, without sockets: time is the runtime's, and jumps.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use swarm::ctx::{Level, real};

use super::{Engine, Spec, State, Timings};

fn paused(timings: Timings) -> Arc<Engine> {
    let spec = Spec { timings, ..Spec::new("engine-1", "127.0.0.1") };
    Engine::new(real::ctx(Level::Error), spec)
}

async fn start(engine: &Engine, name: &str, body: Value) {
    let body = body.as_object().unwrap().clone();
    engine.update(|state, moment| state.create(moment, name, &body)).unwrap();
    engine.start(name).await.unwrap();
}

fn status(engine: &Engine, name: &str) -> String {
    engine.read(|state| state.container(name).unwrap().status.as_str().to_owned())
}

#[tokio::test(start_paused = true)]
async fn stop_waits_ten_seconds_for_what_does_not_listen() {
    let engine = paused(Timings::INSTANT);
    let sleep = json!({"Image": "busybox", "Cmd": ["sleep", "1d"]});
    start(&engine, "deaf", sleep.clone()).await;
    let began = tokio::time::Instant::now();
    engine.stop("deaf", None).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    assert_eq!(engine.read(|state| state.container("deaf").unwrap().exit_code), 137);

    engine.start("deaf").await.unwrap();
    let began = tokio::time::Instant::now();
    engine.restart("deaf", Some(2)).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    assert_eq!(status(&engine, "deaf"), "running");

    let mut init = sleep;
    init["HostConfig"] = json!({"Init": true});
    start(&engine, "init", init).await;
    let began = tokio::time::Instant::now();
    engine.stop("init", None).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(engine.read(|state| state.container("init").unwrap().exit_code), 143);
}

#[tokio::test(start_paused = true)]
async fn a_program_takes_its_time_and_a_frozen_one_longer() {
    let engine = paused(Timings::default());
    let began = tokio::time::Instant::now();
    start(&engine, "job", json!({"Image": "busybox", "Cmd": ["sh", "-c", "sleep 5; exit 4"]}))
        .await;
    assert_eq!(began.elapsed(), Duration::from_millis(250));
    let id = engine.settled("job").await.unwrap();
    engine.ended(&id, 0).await;
    assert_eq!(began.elapsed(), Duration::from_millis(5_250));
    assert_eq!(engine.read(|state| state.container("job").unwrap().exit_code), 4);

    engine.start("job").await.unwrap();
    engine.update(|state, moment| state.pause(moment, &id)).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(status(&engine, "job"), "paused");
    engine.update(|state, moment| state.unpause(moment, &id)).unwrap();
    engine.ended(&id, 1).await;
    assert_eq!(status(&engine, "job"), "exited");
}

#[tokio::test(start_paused = true)]
async fn two_starts_at_once_are_one_start() {
    let engine = paused(Timings::default());
    let body = json!({"Image": "busybox", "Cmd": ["sleep", "1d"]});
    let body = body.as_object().unwrap().clone();
    engine.update(|state, moment| state.create(moment, "web", &body)).unwrap();
    let began = tokio::time::Instant::now();
    let (first, second) = tokio::join!(engine.start("web"), engine.start("web"));
    let mut codes = [first, second].map(|outcome| outcome.err().map(|refusal| refusal.status));
    codes.sort_unstable();
    assert_eq!(codes, [None, Some(304)]);
    assert_eq!(began.elapsed(), Duration::from_millis(250));
    assert_eq!(engine.read(|state| state.container("web").unwrap().run), 1);
}

#[tokio::test(start_paused = true)]
async fn a_crashing_container_is_restarted_until_its_policy_gives_up() {
    let engine = paused(Timings::INSTANT);
    let policy = json!({"Name": "on-failure", "MaximumRetryCount": 3});
    let host = json!({"RestartPolicy": policy});
    let began = tokio::time::Instant::now();
    start(&engine, "bad", json!({"Image": "busybox", "Cmd": ["false"], "HostConfig": host})).await;
    let over = |state: &State| {
        let container = state.container("bad").unwrap();
        (container.status.as_str() == "exited").then_some(container.restart_count)
    };
    assert_eq!(engine.until(over).await, 3);
    assert_eq!(began.elapsed(), Duration::from_millis(100 + 200 + 400));
}

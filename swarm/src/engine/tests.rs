//! Calls to a scripted engine.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::{ApiVersion, Engine, EngineError, Observer, Timeouts};
use crate::ctx::{Addr, http};
use crate::testing::{FakeEngine, Reaction, World};

/// Notes how calls went.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn observe(&self, engine: &Engine, result: Result<(), &EngineError>) {
        let note = match result {
            Ok(()) => format!("{} ok", engine.addr),
            Err(error) => error.to_string(),
        };
        self.0.lock().unwrap().push(note);
    }
}

impl Notes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn client(world: &World, addr: &str) -> (Engine, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    let weak: Weak<Notes> = Arc::downgrade(&notes);
    (Engine::new(&world.ctx(), addr, Timeouts::default(), weak).unwrap(), notes)
}

#[tokio::test(start_paused = true)]
async fn every_call_is_versioned_and_observed() {
    let world = World::new();
    let fake = FakeEngine::start(&world, "n1").await;
    let (engine, notes) = client(&world, &fake.addr);
    let rows = engine.json(Method::GET, "/containers/json?all=1", None).await.unwrap();
    assert_eq!(rows, json!([]));
    engine.speak(ApiVersion::new(1, 41));
    let error = engine.json(Method::GET, "/containers/x/json", None).await.unwrap_err();
    assert_eq!(error.to_string(), "Error response from daemon: No such container: x");
    let (status, _) = engine.call(Method::GET, "/containers/x/json", None).await.unwrap();
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(
        fake.take_requests(),
        [
            "GET /v1.24/containers/json?all=1",
            "GET /v1.41/containers/x/json",
            "GET /v1.41/containers/x/json"
        ]
    );
    // An answer of any status came from a living engine.
    assert_eq!(notes.take(), ["n1:2375 ok"; 3]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_not_there_fails_at_once_and_a_hung_one_in_time() {
    let world = World::new();
    let down =
        "Cannot connect to the Docker daemon at tcp://n1:2375. Is the docker daemon running?";
    let (engine, notes) = client(&world, "n1:2375");
    let error = engine.json(Method::GET, "/networks", None).await.unwrap_err();
    assert_eq!(error, EngineError::Connect(down.to_owned()));
    assert!(matches!(engine.take_over(hijack()).await, Err(EngineError::Connect(_))));
    let fake = FakeEngine::start(&world, "n1").await;
    fake.script(|_, _| Some(Reaction::Hang));
    for (method, seconds) in [(Method::GET, 30), (Method::POST, 120)] {
        let started = Instant::now();
        let failure = engine.attempt(method, "/networks", None).await.unwrap_err();
        assert_eq!(failure.error.to_string(), down);
        assert!(failure.unknown, "the engine may have acted");
        assert_eq!(started.elapsed().as_secs(), seconds);
    }
    let started = Instant::now();
    assert!(engine.ping().await.is_err());
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(notes.take(), [down; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_read_survives_one_broken_connection_and_a_write_is_not_repeated() {
    let world = World::new();
    let fake = FakeEngine::start(&world, "n1").await;
    let (engine, notes) = client(&world, &fake.addr);
    let breaks = Arc::new(Mutex::new(1));
    fake.script(move |engine, _| {
        let mut left = breaks.lock().unwrap();
        (*left > 0).then(|| {
            *left -= 1;
            let (engine, world) = (engine.clone(), engine.world());
            world.ctx().spawn("cut", async move { engine.cut() });
            Reaction::Hang
        })
    });
    assert_eq!(engine.json(Method::GET, "/networks", None).await.unwrap(), json!([]));
    assert_eq!(notes.take(), ["n1:2375 ok"]);
    fake.script(|engine, _| {
        let (engine, world) = (engine.clone(), engine.world());
        world.ctx().spawn("cut", async move { engine.cut() });
        Some(Reaction::Hang)
    });
    fake.take_requests();
    let failure = engine.attempt(Method::POST, "/containers/x/start", None).await.unwrap_err();
    assert!(failure.unknown);
    let broken = "error during connect: Post \"http://n1:2375/v1.24/containers/x/start\": EOF";
    assert_eq!(failure.error, EngineError::Other(broken.to_owned()));
    assert_eq!(fake.take_requests().len(), 1);
    assert_eq!(notes.take(), [broken]);
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_request_streams_and_has_no_deadline() {
    let world = World::new();
    let fake = FakeEngine::start(&world, "n1").await;
    let (engine, notes) = client(&world, &fake.addr);
    engine.speak(ApiVersion::new(1, 41));
    let nudge = Arc::new(tokio::sync::Notify::new());
    let held = Arc::clone(&nudge);
    fake.script(move |_, _| Some(Reaction::DoAndWait(Arc::clone(&held))));
    world.ctx().spawn("nudge", async move {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        nudge.notify_one();
    });
    let request = Request::builder()
        .uri("/networks?x=y")
        .header("host", "manager:4000")
        .header("connection", "keep-alive")
        .body(http::empty());
    let reply = engine.forward(request.unwrap()).await.unwrap();
    assert_eq!(reply.status(), StatusCode::OK);
    let body = http::collect(reply.into_body(), 100).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), json!([]));
    assert_eq!(fake.take_requests(), ["GET /v1.41/networks?x=y"]);
    assert_eq!(notes.take(), ["n1:2375 ok"]);
}

/// A request whose answer takes the connection over.
fn hijack() -> Request<http::Body> {
    Request::post("/containers/web/attach?stream=1")
        .header("host", "manager:4000")
        .header("connection", "Upgrade")
        .header("upgrade", "tcp")
        .body(http::empty())
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_connection_can_be_taken_over() {
    let world = World::new();
    let mut listener = world.ctx().net.listen(&Addr::tcp("n1", 2375)).await.unwrap();
    let (engine, notes) = client(&world, &listener.local_addr().to_string());
    let (heard, hears) = tokio::sync::oneshot::channel();
    world.ctx().spawn("engine", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let read = stream.read(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..read]).into_owned();
        heard.send(head).unwrap();
        let head = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello ";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        stream.write_all(all.to_uppercase().as_bytes()).await.unwrap();
    });
    let answer = engine.take_over(hijack()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    stream.write_all(b"world").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "hello WORLD");
    let head = hears.await.unwrap().to_ascii_lowercase();
    assert!(head.starts_with("post /v1.24/containers/web/attach?stream=1 http/1.1\r\n"), "{head}");
    for line in ["connection: upgrade", "upgrade: tcp", &format!("host: {}", engine.addr)] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
    assert_eq!(notes.take(), [format!("{} ok", engine.addr)]);
}

#[tokio::test(start_paused = true)]
async fn a_retired_engine_is_neither_called_nor_reported() {
    let world = World::new();
    let fake = FakeEngine::start(&world, "n1").await;
    let (engine, notes) = client(&world, &fake.addr);
    engine.retire();
    let failure = engine.attempt(Method::POST, "/networks", None).await.unwrap_err();
    assert_eq!(failure.error.to_string(), "Engine no longer exists");
    assert!(!failure.unknown);
    assert!(engine.take_over(hijack()).await.is_err());
    assert!(fake.take_requests().is_empty() && notes.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pull_ends_with_the_word_of_the_engine() {
    let world = World::new();
    let fake = FakeEngine::start(&world, "n1").await;
    fake.change(|state| state.pullable = vec!["redis:7"]);
    let (engine, _) = client(&world, &fake.addr);
    engine.pull("/images/create?fromImage=redis&tag=7", "e30=").await.unwrap();
    let error = engine.pull("/images/create?fromImage=x&tag=7", "e30=").await.unwrap_err();
    let why = "pull access denied, repository does not exist or may require login";
    assert_eq!(error, EngineError::Other(why.to_owned()));
    fake.script(|_, _| Some(Reaction::Hang));
    let started = Instant::now();
    assert!(engine.pull("/images/create?fromImage=x&tag=7", "e30=").await.is_err());
    assert_eq!(started.elapsed().as_secs(), 300);
}

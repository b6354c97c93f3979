//! Discovery services against the world of the unit tests.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Batch, open};
use crate::testing::{FakeConsul, World};

const HEARTBEAT: Duration = Duration::from_secs(60);
const TTL: Duration = Duration::from_secs(180);

fn service(world: &World, url: &str) -> std::sync::Arc<dyn super::Discovery> {
    open(&world.ctx(), url, HEARTBEAT, TTL, &BTreeMap::new()).unwrap()
}

fn refusal(world: &World, url: &str, options: &[(&str, &str)]) -> String {
    let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    open(&world.ctx(), url, HEARTBEAT, TTL, &options).err().unwrap()
}

fn printed(batch: Option<Batch>) -> Vec<String> {
    batch.unwrap().unwrap().iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn urls_that_cannot_be_served_say_why() {
    let world = World::new();
    assert_eq!(refusal(&world, "gopher://x", &[]), "discovery service not supported");
    assert_eq!(refusal(&world, "etcd://x", &[]), "discovery by etcd is not served yet");
    assert_eq!(
        refusal(&world, "a", &[]),
        "address a: missing port in address, please check you are using the correct discovery \
         (missing token:// ?)"
    );
    assert_eq!(
        refusal(&world, "consul://a:1,b:1/x", &[]),
        "consul does not support multiple endpoints"
    );
    let tls = [("kv.cacertfile", "a"), ("kv.certfile", "b"), ("kv.keyfile", "c")];
    assert_eq!(
        refusal(&world, "consul://a:1", &tls),
        "Couldn't load X509 key pair (b, c): open b: no such file or directory. Key encrypted?"
    );
    // A part of the three asks for nothing.
    let part = BTreeMap::from([("kv.cacertfile".to_owned(), "a".to_owned())]);
    open(&world.ctx(), "consul://a:1", HEARTBEAT, TTL, &part).unwrap();
    assert_eq!(
        world.log(),
        ["info Initializing discovery with TLS", "info Initializing discovery without TLS"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_written_list_is_told_once_and_cannot_be_joined() {
    let world = World::new();
    for url in ["nodes://a:[1:2],b:1", "a:[1:2],b:1"] {
        let nodes = service(&world, url);
        assert_eq!(
            nodes.register("a:1").await.unwrap_err(),
            "not implemented in this discovery service"
        );
        let mut watch = nodes.watch();
        assert_eq!(printed(watch.recv().await), ["a:1", "a:2", "b:1"]);
        assert_eq!(watch.recv().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_read_every_heartbeat_and_its_errors_keep_the_list() {
    let world = World::new();
    let mut watch = service(&world, "file:///etc/cluster").watch();
    assert_eq!(
        watch.recv().await.unwrap().unwrap_err(),
        "failed to read '/etc/cluster': open /etc/cluster: no such file or directory"
    );
    world.write("/etc/cluster", "a:1\nbroken\n");
    let started = Instant::now();
    assert_eq!(printed(watch.recv().await), ["a:1"]);
    assert_eq!(started.elapsed().as_secs(), HEARTBEAT.as_secs());
    let warning = "warning Discovery entry ignored: address broken: missing port in address";
    assert!(world.log().iter().any(|line| line == warning), "{:?}", world.log());
    // The same again is no news; another order is.
    tokio::time::sleep(3 * HEARTBEAT).await;
    world.write("/etc/cluster", "b:1\na:1\n");
    assert_eq!(printed(watch.recv().await), ["b:1", "a:1"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_registers_with_a_session_and_goes_on_with_it() {
    let world = World::new();
    let consul = FakeConsul::start(&world).await;
    let key = "pre/docker/swarm/nodes/10.0.0.1:2375";
    let agent = service(&world, "consul://consul:8500/pre");
    agent.register("10.0.0.1:2375").await.unwrap();
    let (value, session, flags) = consul.change(|store| store.keys[key].clone());
    assert_eq!((value.as_str(), flags), ("10.0.0.1:2375", 3_304_740_253_564_472_344));
    let session = session.unwrap();
    let body = consul.change(|store| store.sessions[&session].to_string());
    assert_eq!(body, r#"{"LockDelay":"1ms","TTL":"90s","Behavior":"delete"}"#);
    // A restarted agent finds the session through its key.
    consul.change(|store| store.requests.clear());
    service(&world, "consul://consul:8500/pre/").register("10.0.0.1:2375").await.unwrap();
    let requests = consul.change(|store| std::mem::take(&mut store.requests));
    assert!(requests.iter().any(|line| line.contains(&format!("/session/renew/{session}"))));
    assert!(!requests.iter().any(|line| line.contains("/session/create")), "{requests:?}");
    // One whose session is gone gets a new one.
    consul.expire(&session);
    agent.register("10.0.0.1:2375").await.unwrap();
    let (_, renewed, _) = consul.change(|store| store.keys[key].clone());
    assert!(renewed.is_some_and(|renewed| renewed != session));
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_stays_taken_is_an_error_not_a_plain_write() {
    let world = World::new();
    let consul = FakeConsul::start(&world).await;
    let key = "docker/swarm/nodes/a:1".to_owned();
    // Held by a session that can no longer be prolonged, and never let go.
    consul.change(|store| store.keys.insert(key.clone(), ("a:1".into(), Some("dead".into()), 0)));
    let agent = service(&world, "consul://consul:8500");
    assert_eq!(
        agent.register("a:1").await.unwrap_err(),
        "cannot set or renew session for ttl, unable to operate on sessions"
    );
    assert_eq!(consul.change(|store| store.keys[&key].1.clone()).unwrap(), "dead");
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_every_change_of_the_nodes_and_nothing_else() {
    let world = World::new();
    let consul = FakeConsul::start(&world).await;
    let mut watch = service(&world, "consul://consul:8500").watch();
    assert_eq!(printed(watch.recv().await), [""; 0]);
    assert!(consul.change(|store| store.keys.contains_key("docker/swarm/nodes")), "the marker");
    consul.put("docker/swarm/nodes/b:1", "b:1");
    assert_eq!(printed(watch.recv().await), ["b:1"]);
    // Neighbours and grandchildren are nobody's nodes; garbage hurts only itself.
    consul.put("docker/swarm/nodes-x/c:1", "c:1");
    consul.put("docker/swarm/nodes/deep/d:1", "d:1");
    consul.put("docker/swarm/nodes/garbage", "garbage");
    consul.put("docker/swarm/nodes/a:1", "a:1");
    assert_eq!(printed(watch.recv().await), ["a:1", "b:1"]);
    let ignored = world.log().iter().filter(|line| line.contains("address garbage")).count();
    assert_eq!(ignored, 1);
    // Quiet times cost one request per 15 s.
    consul.change(|store| store.requests.clear());
    tokio::time::sleep(Duration::from_secs(150)).await;
    let requests = consul.change(|store| store.requests.len());
    assert!((9..=12).contains(&requests), "{requests}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_removes_nobody_and_is_asked_again() {
    let world = World::new();
    let consul = FakeConsul::start(&world).await;
    consul.put("docker/swarm/nodes/a:1", "a:1");
    let mut watch = service(&world, "consul://consul:8500").watch();
    assert_eq!(printed(watch.recv().await), ["a:1"]);
    consul.change(|store| store.down = true);
    let started = Instant::now();
    for _ in 0..6 {
        let error = watch.recv().await.unwrap().unwrap_err();
        assert!(error.ends_with("Unexpected response code: 500 (No cluster leader)"), "{error}");
    }
    // 1 + 2 + 4 + 8 + 10 s between the six.
    assert_eq!(started.elapsed().as_secs(), 25);
    consul.change(|store| store.down = false);
    consul.put("docker/swarm/nodes/b:1", "b:1");
    assert_eq!(printed(watch.recv().await), ["a:1", "b:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_never_there_is_named_with_the_reason() {
    let world = World::new();
    let mut watch = service(&world, "consul://nowhere:8500").watch();
    assert_eq!(
        watch.recv().await.unwrap().unwrap_err(),
        "Get \"http://nowhere:8500/v1/kv/docker/swarm/nodes?consistent=\": dial tcp \
         nowhere:8500: connect: connection refused"
    );
}

//! Engines come, fail, recover, change and go.

use super::*;
use crate::testing::Reaction;

#[tokio::test(start_paused = true)]
async fn an_engine_is_asked_in_the_classic_order() {
    let world = World::new();
    let engine = FakeEngine::start(&world, "n1").await;
    let id = engine.add("old", nginx(), false);
    let manager = Manager::new(world.ctx(), Options::default());
    let mut heard = manager.events.subscribe();
    manager.apply_membership(std::slice::from_ref(&engine.addr));
    let event = heard.next().await.unwrap();
    assert_eq!(
        (&event["status"], &event["from"]),
        (&json!("engine_connect"), &json!("swarm node:n1"))
    );
    assert_eq!(event["node"]["Id"], "ID-n1|n1:2375");
    assert_eq!(
        engine.take_requests(),
        [
            "GET /info".to_owned(),
            "GET /version".to_owned(),
            "HEAD /_ping".to_owned(),
            "GET /v1.41/events".to_owned(),
            "GET /v1.41/containers/json?all=1&limit=0".to_owned(),
            format!("GET /v1.41/containers/{id}/json"),
            "GET /v1.41/images/json?all=1".to_owned(),
            "GET /v1.41/volumes".to_owned(),
            "GET /v1.41/networks".to_owned(),
        ]
    );
    assert!(world.log().contains(&"info Registered Engine n1 at n1:2375".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn each_engine_is_spoken_to_in_its_own_version() {
    let lab = Lab::new(3).await;
    let world = &lab.world;
    for (name, api, min, spoken) in [
        ("old", Some("1.24"), None, "1.24"),
        ("silent", None, Some("1.12"), "1.24"),
        ("new", Some("1.52"), Some("1.44"), "1.51"),
    ] {
        let engine = FakeEngine::start(world, name).await;
        engine.change(|state| {
            state.api = api;
            state.version = json!({ "Version": "x", "MinAPIVersion": min });
        });
        let mut addrs = lab.addrs();
        addrs.push(engine.addr.clone());
        lab.manager.apply_membership(&addrs);
        lab.until_state(&engine, State::Healthy).await;
        let version = lab.manager.engine(&engine.addr).unwrap().version();
        assert_eq!(version.to_string(), spoken, "{name}");
        let events = format!("GET /v{spoken}/events");
        assert!(engine.take_requests().contains(&events), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_engine_stays_pending_and_says_why() {
    let lab = Lab::new(0).await;
    let engine = FakeEngine::start(&lab.world, "n1").await;
    engine.change(|state| {
        state.api = Some("1.60");
        state.version = json!({ "Version": "99", "MinAPIVersion": "1.55" });
    });
    lab.manager.apply_membership(&[engine.addr.clone(), "gone.invalid:1".into(), "off:1".into()]);
    let row = |addr: &str| {
        lab.manager.with(|cluster| {
            let node = cluster.node(addr).unwrap();
            (node.state, node.error.clone())
        })
    };
    eventually(SOON, "reasons", || !row("off:1").1.is_empty() && !row(&engine.addr).1.is_empty())
        .await;
    assert_eq!(
        row(&engine.addr),
        (
            State::Pending,
            "Error response from daemon: client version 1.51 is too old. Minimum supported API \
             version is 1.55, please upgrade your client to a newer version"
                .to_owned()
        )
    );
    assert_eq!(row("gone.invalid:1").1, "lookup gone.invalid: no such host");
    assert_eq!(
        row("off:1").1,
        "Cannot connect to the Docker daemon at tcp://off:1. Is the docker daemon running?"
    );
    // However often it is tried, no event stream is left behind.
    tokio::time::sleep(Duration::from_secs(900)).await;
    assert_eq!(engine.event_streams(), 0);
    // Once it speaks a version of ours, it is welcome.
    engine.change(|state| state.version = json!({ "Version": "99", "MinAPIVersion": "1.44" }));
    lab.until_state(&engine, State::Healthy).await;
    assert_eq!(engine.event_streams(), 1);
    assert_eq!(row(&engine.addr).1, "");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_cannot_be_listed_gets_no_second_event_stream() {
    let lab = Lab::new(0).await;
    let engine = FakeEngine::start(&lab.world, "n1").await;
    engine.script(|_, request| {
        request.starts_with("GET /images").then_some(Reaction::Refuse(500, "broken"))
    });
    lab.manager.apply_membership(std::slice::from_ref(&engine.addr));
    tokio::time::sleep(Duration::from_secs(300)).await;
    let opened = engine.take_requests().iter().filter(|line| line.contains("/events")).count();
    assert!(opened > 3, "it was tried {opened} times");
    assert_eq!(engine.event_streams(), 0);
    engine.script(|_, _| None);
    lab.until_state(&engine, State::Healthy).await;
    assert_eq!(engine.event_streams(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_engine_is_found_within_ten_seconds() {
    let lab = Lab::new(0).await;
    lab.manager.apply_membership(&["late:2375".to_owned()]);
    tokio::time::sleep(Duration::from_secs(15)).await;
    let engine = FakeEngine::start(&lab.world, "late").await;
    eventually(Duration::from_secs(10), "registered", || {
        lab.state(&engine) == Some(State::Healthy)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_engines_of_one_id_and_name_are_two_nodes() {
    let lab = Lab::new(2).await;
    let twin = FakeEngine::start(&lab.world, "twin").await;
    twin.change(|state| state.info["ID"] = json!("ID-n1"));
    let mut addrs = lab.addrs();
    addrs.push(twin.addr.clone());
    lab.manager.apply_membership(&addrs);
    lab.until_state(&twin, State::Healthy).await;
    let ids: Vec<String> =
        lab.manager.with(|cluster| cluster.registered().map(|node| node.id.clone()).collect());
    assert_eq!(ids, ["ID-n1|n1:2375", "ID-n2|n2:2375", "ID-n1|twin:2375"]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_engine_is_flagged_and_comes_back_to_life() {
    let lab = Lab::new(1).await;
    let engine = &lab.engines[0];
    let mut heard = lab.manager.events.subscribe();
    engine.crash();
    lab.until_state(engine, State::Unhealthy).await;
    assert_eq!(lab.logged("error Flagging engine as unhealthy. Connect failed 3 times"), 1);
    assert_eq!(heard.next().await.unwrap()["status"], "engine_disconnect");
    let error = lab.manager.with(|cluster| cluster.node(&engine.addr).unwrap().error.clone());
    assert!(error.starts_with("Cannot connect to the Docker daemon at tcp://n1:2375."), "{error}");
    // Back-off: an hour of death costs no more than the event stream's tries every 10 s.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    engine.boot().await;
    engine.add("meanwhile", nginx(), false);
    eventually(Duration::from_secs(11), "alive", || lab.state(engine) == Some(State::Healthy))
        .await;
    assert_eq!(heard.next().await.unwrap()["status"], "engine_reconnect");
    let hooray = "info Engine came back to life after";
    assert!(lab.world.log().iter().any(|line| line.starts_with(hooray)), "{:?}", lab.world.log());
    eventually(Duration::from_secs(1), "seen", || lab.known(engine) == ["/meanwhile"]).await;
    assert_eq!(engine.event_streams(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_hangs_is_flagged_and_slows_nobody_else() {
    let lab = Lab::new(2).await;
    let (hung, well) = (&lab.engines[0], &lab.engines[1]);
    hung.script(|_, _| Some(Reaction::Hang));
    lab.until_state(hung, State::Unhealthy).await;
    assert_eq!(lab.state(well), Some(State::Healthy));
    let created = lab.create("web", nginx()).await.unwrap();
    assert_eq!(lab.known(well), ["/web"]);
    assert_eq!(created.warnings, ["careful"]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_becomes_another_one_is_validated_anew() {
    let lab = Lab::new(1).await;
    let engine = &lab.engines[0];
    lab.create("web", nginx()).await.unwrap();
    engine.crash();
    engine.change(|state| {
        state.info["ID"] = json!("ID-other");
        state.containers.clear();
    });
    engine.boot().await;
    let id = || lab.manager.with(|cluster| cluster.node(&engine.addr).unwrap().id.clone());
    eventually(Duration::from_secs(600), "the new one", || id() == "ID-other|n1:2375").await;
    lab.until_state(engine, State::Healthy).await;
    assert_eq!(lab.known(engine), [""; 0]);
    let text = "error Update engine specs failed: Engine (ID: ID-n1|n1:2375, Addr: n1:2375) shows \
                up with another ID:ID-other|n1:2375. Please remove it from cluster, it can be \
                added back.";
    assert_eq!(lab.logged(text), 1, "{:?}", lab.world.log());
    assert_eq!(engine.event_streams(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_leaves_is_left_alone() {
    let lab = Lab::new(2).await;
    let (gone, stays) = (&lab.engines[0], &lab.engines[1]);
    let held = lab.manager.engine(&gone.addr).unwrap();
    let mut heard = lab.manager.events.subscribe();
    lab.manager.apply_membership(std::slice::from_ref(&stays.addr));
    lab.manager.apply_membership(std::slice::from_ref(&stays.addr));
    assert_eq!(heard.next().await.unwrap()["node"]["Name"], "n1");
    assert_eq!(lab.logged("info Removed Engine n1"), 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(gone.event_streams(), 0);
    gone.take_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(gone.take_requests(), [""; 0]);
    let error = held.json(hyper::Method::GET, "/info", None).await.unwrap_err();
    assert_eq!(error.to_string(), "Engine no longer exists");
    // And it may come back.
    lab.manager.apply_membership(&lab.addrs());
    lab.until_state(gone, State::Healthy).await;
}

#[tokio::test(start_paused = true)]
async fn discovery_errors_keep_the_engines() {
    let lab = Lab::new(2).await;
    lab.world.write("/cluster", "n1:2375\nn2:2375\n");
    let url = "file:///cluster";
    let file = crate::discovery::open(
        &lab.world.ctx(),
        url,
        Duration::from_secs(5),
        Duration::ZERO,
        &std::collections::BTreeMap::new(),
    );
    lab.manager.start(file.unwrap());
    tokio::time::sleep(Duration::from_secs(6)).await;
    lab.world.write("/cluster", "nonsense\n");
    tokio::time::sleep(Duration::from_secs(6)).await;
    let error = "error Discovery error: address nonsense: missing port in address";
    assert!(lab.logged(error) > 0, "{:?}", lab.world.log());
    assert_eq!(lab.state(&lab.engines[0]), Some(State::Healthy));
    lab.world.write("/cluster", "n2:2375\n");
    eventually(SOON, "n1 removed", || lab.state(&lab.engines[0]).is_none()).await;
}

//! What engines tell, and what is known because of it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::manager::events::Subscription;
use crate::testing::Reaction;

/// The next event of an engine as `action id`, without the manager's own.
async fn next_event(heard: &mut Subscription) -> String {
    loop {
        let event = heard.next().await.unwrap();
        if event["Type"] != "swarm" {
            let id = event["Actor"]["ID"].as_str().unwrap();
            return format!("{} {}", event["Action"].as_str().unwrap(), &id[id.len().min(60)..]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_happens_between_stream_and_list_is_not_missed() {
    let lab = Lab::new(0).await;
    let engine = FakeEngine::start(&lab.world, "n1").await;
    // The answer to the list is on its way when the container is made: only the event tells.
    let made = AtomicBool::new(false);
    engine.script(move |engine, request| {
        if request.starts_with("GET /images") && !made.swap(true, Ordering::Relaxed) {
            engine.add("sudden", nginx(), true);
        }
        None
    });
    lab.manager.apply_membership(std::slice::from_ref(&engine.addr));
    lab.until_state(&engine, State::Healthy).await;
    eventually(Duration::from_secs(1), "seen", || lab.known(&engine) == ["/sudden"]).await;
}

#[tokio::test(start_paused = true)]
async fn who_hears_of_an_event_finds_what_it_speaks_of() {
    let lab = Lab::new(1).await;
    let engine = &lab.engines[0];
    let mut heard = lab.manager.events.subscribe();
    let id = engine.add("direct", nginx(), true);
    let event = heard.next().await.unwrap();
    assert_eq!(event["from"], "nginx node:n1");
    assert_eq!(event["Actor"]["Attributes"]["node.addr"], "n1:2375");
    assert_eq!(event["node"]["Ip"], "127.0.0.1");
    assert_eq!(lab.known(engine), ["/direct"]);
    // Gone without a trace but the event.
    engine.change(|state| state.containers.clear());
    engine.emit("container", "destroy", &id);
    assert_eq!(heard.next().await.unwrap()["Action"], "destroy");
    assert_eq!(lab.known(engine), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_loses_nothing_and_repeats_nothing() {
    let lab = Lab::new(1).await;
    let engine = &lab.engines[0];
    let mut heard = lab.manager.events.subscribe();
    engine.add("a", nginx(), true);
    engine.add("b", nginx(), true);
    assert_eq!(next_event(&mut heard).await, "create 0001");
    assert_eq!(next_event(&mut heard).await, "create 0002");
    engine.cut();
    // While nobody listens.
    engine.add("c", nginx(), true);
    tokio::time::sleep(Duration::from_secs(5)).await;
    engine.add("d", nginx(), true);
    assert_eq!(next_event(&mut heard).await, "create 0003");
    assert_eq!(next_event(&mut heard).await, "create 0004");
    assert_eq!(lab.known(engine), ["/a", "/b", "/c", "/d"]);
    assert_eq!(engine.event_streams(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_forgot_its_events_is_listed_again() {
    let lab = Lab::new(1).await;
    let engine = &lab.engines[0];
    engine.add("a", nginx(), true);
    eventually(SOON, "a", || lab.known(engine) == ["/a"]).await;
    engine.crash();
    engine.change(|state| state.containers.clear());
    engine.add("b", nginx(), false);
    engine.boot().await;
    eventually(Duration::from_secs(3), "b", || lab.known(engine) == ["/b"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_prune_without_ids_is_followed() {
    let lab = Lab::new(1).await;
    let engine = &lab.engines[0];
    engine.add("a", nginx(), true);
    eventually(SOON, "a", || lab.known(engine) == ["/a"]).await;
    engine.change(|state| state.containers.clear());
    engine.emit("container", "prune", "");
    eventually(Duration::from_secs(1), "pruned", || lab.known(engine).is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_missed_change_is_found_by_the_next_refresh() {
    let lab = Lab::new(1).await;
    let engine = &lab.engines[0];
    let id = engine.add("a", nginx(), true);
    eventually(SOON, "a", || lab.known(engine) == ["/a"]).await;
    engine.change(|state| {
        state.containers[0].state = "running";
        state.containers[0].name = "b".into();
    });
    eventually(SOON, "renamed", || lab.known(engine) == ["/b"]).await;
    let running = lab.manager.with(|cluster| {
        let found = &cluster.node(&engine.addr).unwrap().containers[&id];
        found.facts.state == crate::cluster::RunState::Running
    });
    assert!(running);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_older_than_an_event_changes_nothing() {
    let lab = Lab::new(1).await;
    let engine = &lab.engines[0];
    let turning = engine.add("turning", nginx(), true);
    let doomed = engine.add("doomed", nginx(), true);
    eventually(SOON, "doomed", || lab.known(engine) == ["/doomed", "/turning"]).await;
    // The complete list is made now, but travels slowly.
    let nudge = Arc::new(tokio::sync::Notify::new());
    let held = Arc::clone(&nudge);
    engine.script(move |_, request| {
        let full = request == "GET /containers/json?all=1&limit=0";
        full.then(|| Reaction::DoAndWait(Arc::clone(&held)))
    });
    let (manager, addr) = (Arc::clone(&lab.manager), engine.addr.clone());
    let list = lab.world.ctx().spawn("list", async move {
        manager.refresh_containers(&addr).await.unwrap();
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    engine.change(|state| {
        state.containers.retain(|found| found.id == turning);
        state.containers[0].state = "running";
    });
    engine.emit("container", "destroy", &doomed);
    engine.emit("container", "start", &turning);
    engine.add("new", nginx(), true);
    let seen = ["/new", "/turning"];
    eventually(Duration::from_secs(1), "events", || lab.known(engine) == seen).await;
    nudge.notify_one();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.known(engine), seen);
    let shown = lab.manager.with(|cluster| {
        cluster.node(&engine.addr).unwrap().containers[&turning].summary["State"].clone()
    });
    assert_eq!(shown, "running");
    drop(list);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_died_in_silence_is_replaced() {
    let lab = Lab::new(1).await;
    let engine = &lab.engines[0];
    engine.take_requests();
    tokio::time::sleep(Duration::from_secs(301)).await;
    eventually(Duration::from_secs(5), "opened again", || {
        engine.take_requests().iter().any(|line| line.contains("/events?since="))
    })
    .await;
    assert_eq!(engine.event_streams(), 1);
}

/// A manager that refreshes nothing by itself within the time of a test.
async fn drowsy_lab() -> Lab {
    let day = Duration::from_secs(24 * 3600);
    Lab::with(1, Options { refresh_min: day, refresh_max: day, ..Options::default() }).await
}

#[tokio::test(start_paused = true)]
async fn a_call_that_breaks_casts_doubt_on_the_event_stream() {
    let lab = drowsy_lab().await;
    let engine = &lab.engines[0];
    engine.mute();
    engine.add("unheard", nginx(), true);
    engine.script(|_, request| request.contains("%22x%22").then_some(Reaction::Hang));
    assert!(lab.manager.refresh_container(&engine.addr, "x").await.is_err());
    eventually(Duration::from_secs(5), "seen", || lab.known(engine) == ["/unheard"]).await;
    engine.add("heard", nginx(), true);
    engine.script(|_, _| None);
    eventually(Duration::from_secs(5), "heard", || lab.known(engine).len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_revived_by_a_call_is_refreshed_at_once() {
    let lab = drowsy_lab().await;
    let engine = &lab.engines[0];
    engine.crash();
    for _ in 0..3 {
        assert!(lab.manager.refresh_containers(&engine.addr).await.is_err());
    }
    assert_eq!(lab.state(engine), Some(State::Unhealthy));
    engine.add("meanwhile", nginx(), false);
    // Only the call may revive it, not the event stream.
    engine.script(|_, request| {
        request.starts_with("GET /events").then_some(Reaction::Refuse(500, "no events"))
    });
    engine.boot().await;
    lab.manager.refresh_container(&engine.addr, "x").await.unwrap();
    assert_eq!(lab.state(engine), Some(State::Healthy));
    eventually(Duration::from_secs(1), "seen", || lab.known(engine) == ["/meanwhile"]).await;
}

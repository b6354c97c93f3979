//! Networks and volumes when engines or clients go away.

use std::sync::Mutex;

use tokio::sync::Notify;

use super::*;
use crate::engine::EngineError;
use crate::manager::Network;
use crate::testing::Reaction;

/// Two engines with a network that spans both and a local one of the first, and a container on the
/// first.
async fn lab() -> (Lab, String) {
    let lab = Lab::new(2).await;
    let row = |id: &str, scope: &str| json!({ "Name": id, "Id": id, "Scope": scope });
    for engine in &lab.engines {
        engine.change(|state| state.networks.push(row("over", "swarm")));
    }
    lab.engines[0].change(|state| state.networks.push(row("back", "local")));
    let id = lab.engines[0].add("web", nginx(), true);
    for engine in &lab.engines {
        engine.emit("network", "create", "over");
    }
    let known = || {
        let holders = lab.manager.find_network("over").map(|network| network.holders.len());
        holders == Some(2) && lab.manager.find_network("back").is_some()
    };
    eventually(SOON, "the networks", known).await;
    eventually(SOON, "the container", || lab.known(&lab.engines[0]) == ["/web"]).await;
    (lab, id)
}

fn unreachable(addr: &str) -> EngineError {
    EngineError::unreachable(addr)
}

#[tokio::test(start_paused = true)]
async fn a_network_of_many_is_removed_on_any_of_them() {
    let (lab, _) = lab().await;
    let (over, back) = (lab.manager.find_network("over"), lab.manager.find_network("back"));
    lab.engines[0].crash();
    let removed = lab.manager.remove_network(back.unwrap()).await;
    assert_eq!(removed, Err(unreachable("n1:2375")));
    lab.manager.remove_network(over.clone().unwrap()).await.unwrap();
    assert!(lab.engines[1].change(|state| state.networks.is_empty()));
    let known = lab.manager.with(|cluster| cluster.node("n2:2375").unwrap().networks.len());
    assert_eq!(known, 0);
    lab.engines[1].crash();
    assert_eq!(lab.manager.remove_network(over.unwrap()).await, Err(unreachable("n2:2375")));
}

#[tokio::test(start_paused = true)]
async fn a_forced_disconnect_goes_through_another_engine() {
    let (lab, id) = lab().await;
    let (over, back) = (lab.manager.find_network("over"), lab.manager.find_network("back"));
    let (over, back) = (over.unwrap(), back.unwrap());
    let body = |force: bool| {
        let body = json!({ "Container": id, "Force": force });
        body.as_object().unwrap().clone()
    };
    let addr = lab.engines[0].addr.as_str();
    let leave = async |network: &Network, force: bool| {
        lab.manager.disconnect_network(network.clone(), addr, &id, body(force)).await
    };
    assert_eq!(leave(&over, true).await, Ok(false));
    lab.engines[0].crash();
    lab.engines[1].take_requests();
    let joined = lab.manager.connect_network(&over, addr, &id, body(false)).await;
    assert_eq!(joined, Err(unreachable(addr)));
    assert_eq!(leave(&over, false).await, Err(unreachable(addr)));
    assert_eq!(leave(&back, true).await, Err(unreachable(addr)));
    assert_eq!(lab.engines[1].take_requests(), [""; 0]);
    assert_eq!(leave(&over, true).await, Ok(true));
    assert_eq!(lab.engines[1].take_requests(), ["POST /v1.41/networks/over/disconnect"]);
    lab.engines[1].script(|_, _| Some(Reaction::Refuse(403, "not here")));
    assert_eq!(leave(&over, true).await, Err(unreachable(addr)));
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_one_engine_cannot_make_stays_on_the_others() {
    let lab = Lab::new(3).await;
    lab.engines[1].crash();
    lab.engines[2].script(|_, request| {
        request.contains("/volumes/create").then_some(Reaction::Refuse(500, "no space left"))
    });
    let body = json!({ "Name": "data" }).as_object().unwrap().clone();
    let error = lab.manager.create_volume(body).await.unwrap_err();
    let lines =
        format!("n2: {}\nn3: Error response from daemon: no space left", unreachable("n2:2375"));
    assert_eq!(error, lines);
    let holders = lab.manager.with(|cluster| {
        let found = cluster.find_volumes("data").into_iter();
        found.map(|(node, _)| node.name.clone()).collect::<Vec<_>>()
    });
    assert_eq!(holders, ["n1"]);
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_made_and_known_though_nobody_waits_for_it() {
    let lab = Lab::new(2).await;
    let nudge = Arc::new(Notify::new());
    let asked = Arc::new(Mutex::new(0));
    for engine in &lab.engines {
        let (nudge, asked) = (Arc::clone(&nudge), Arc::clone(&asked));
        engine.script(move |_, request| {
            let ours = request.contains("/volumes/create");
            *asked.lock().unwrap() += u32::from(ours);
            ours.then(|| Reaction::WaitAndDo(Arc::clone(&nudge)))
        });
    }
    let manager = Arc::clone(&lab.manager);
    let client = lab.world.ctx().spawn("client", async move {
        let body = json!({ "Name": "data" }).as_object().unwrap().clone();
        let _ = manager.create_volume(body).await;
    });
    // Both at the same time: the first has not answered.
    eventually(SOON, "the requests", || *asked.lock().unwrap() == 2).await;
    client.abort();
    nudge.notify_waiters();
    let known = || lab.manager.with(|cluster| cluster.find_volumes("data").len()) == 2;
    eventually(Duration::from_secs(1), "the volumes", known).await;
}

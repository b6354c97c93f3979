//! Creates, alone and against each other.

use hyper::StatusCode;

use super::*;
use crate::testing::Reaction;

fn conflict(name: &str) -> String {
    format!(
        "Conflict: The name {name} is already assigned. You have to delete (or rename) that \
         container to be able to assign {name} to a container again."
    )
}

#[tokio::test(start_paused = true)]
async fn a_created_container_is_known_at_once() {
    let lab = Lab::new(2).await;
    let body = json!({
        "Image": "nginx", "Env": ["constraint:node==n2", "A=1"],
        "Labels": { "com.docker.swarm.id": "somebody's" },
        "HostConfig": { "CpuShares": 2 }, "Tomorrow": { "kept": true },
        "NetworkingConfig": { "EndpointsConfig": { "n2/net": {}, "x/y": {} } },
    });
    let created =
        lab.manager.create("web", body, None, "name=web&platform=linux%2Famd64").await.unwrap();
    assert_eq!(lab.known(&lab.engines[1]), ["/web"]);
    let requests = lab.engines[1].take_requests();
    let create = "POST /v1.41/containers/create?name=web&platform=linux%2Famd64".to_owned();
    assert!(requests.contains(&create), "{requests:?}");
    let sent = lab.engines[1].change(|state| state.containers[0].body.clone());
    // Two of four CPUs are 512 shares.
    assert_eq!(sent["HostConfig"]["CpuShares"], 512);
    assert_eq!(sent["Env"], json!(["A=1"]));
    assert_eq!(sent["Tomorrow"]["kept"], true);
    assert_eq!(sent["NetworkingConfig"]["EndpointsConfig"], json!({ "net": {}, "x/y": {} }));
    let swarm_id = sent["Labels"]["com.docker.swarm.id"].as_str().unwrap();
    assert!(swarm_id.len() == 64 && swarm_id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let found = lab.manager.with(|cluster| cluster.find_container(swarm_id).unwrap().1.id.clone());
    assert_eq!(found, created.id);
    let line = lab.world.log().into_iter().find(|line| line.starts_with("info create web: "));
    assert!(line.unwrap().ends_with(" -> n2"));
}

#[tokio::test(start_paused = true)]
async fn of_two_creates_with_one_name_the_second_is_refused() {
    let lab = Lab::new(2).await;
    let (first, second) = tokio::join!(lab.create("web", nginx()), lab.create("/web", nginx()));
    assert!(first.is_ok());
    let error = second.unwrap_err();
    assert_eq!(error.status, StatusCode::CONFLICT);
    assert_eq!(error.message, conflict("web"));
    assert_eq!(lab.create("web", nginx()).await.unwrap_err().message, conflict("web"));
}

#[tokio::test(start_paused = true)]
async fn a_create_without_a_node_is_explained_in_the_log_and_told_as_ever() {
    let lab = Lab::new(3).await;
    lab.create("first", with_port("80")).await.unwrap();
    let mut body = with_port("80");
    body["Env"] = json!(["constraint:node!=n2", "constraint:node!=/n3/"]);
    let explanation = lab.manager.explain("web", &body).unwrap();
    assert_eq!(explanation.summary(), "port 80 1, constraint node!=n2 1, constraint node!=/n3/ 1");
    let error = lab.create("web", body.clone()).await.unwrap_err();
    assert_eq!(
        error.message,
        "Unable to find a node that satisfies the following conditions \n\
         [port 80 (Bridge mode)]\n[available container slots]\n[node!=n2 node!=/n3/]"
    );
    let line = format!("info no node for web: {}", explanation.summary());
    assert!(lab.world.log().contains(&line), "{:?}", lab.world.log());
    // What is refused before any node is looked at.
    assert_eq!(lab.manager.explain("first", &body).map(drop), Err(conflict("first")));
    let policy = json!({"Env": ["reschedule:maybe"]});
    let why = "invalid reschedule policy: maybe".to_owned();
    assert_eq!(lab.manager.explain("web", &policy).map(drop), Err(why));
    let fits = lab.manager.explain("web", &nginx()).unwrap();
    assert_eq!((fits.summary().as_str(), fits.nodes.len()), ("", 3));
}

#[tokio::test(start_paused = true)]
async fn creates_under_way_hold_their_ports() {
    let lab = Lab::new(2).await;
    let all = tokio::join!(
        lab.create("a", with_port("80")),
        lab.create("b", with_port("80")),
        lab.create("c", with_port("80"))
    );
    assert!(all.0.is_ok() && all.1.is_ok());
    assert_eq!(lab.known(&lab.engines[0]), ["/a"]);
    assert_eq!(lab.known(&lab.engines[1]), ["/b"]);
    let error = all.2.unwrap_err();
    assert_eq!(error.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(error.message.contains("[port 80 (Bridge mode)]"), "{}", error.message);
    // A refused create leaves no claim behind.
    assert!(lab.create("c", nginx()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_engines_refusal_is_passed_on_and_nothing_stays_claimed() {
    let lab = Lab::new(1).await;
    let engine = &lab.engines[0];
    engine.script(|_, request| {
        let create = request.starts_with("POST /containers/create");
        create.then_some(Reaction::Refuse(409, "Conflict. The container name is in use"))
    });
    let error = lab.create("web", nginx()).await.unwrap_err();
    assert_eq!(error.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(error.message, "Error response from daemon: Conflict. The container name is in use");
    engine.script(|_, _| None);
    assert!(lab.create("web", nginx()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_no_lost_container() {
    let lab = Lab::new(2).await;
    let engine = lab.engines[0].clone();
    engine.script(|_, request| {
        request.starts_with("POST /containers/create").then_some(Reaction::DoAndHang)
    });
    let cutter = engine.clone();
    lab.world.ctx().spawn("cut", async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cutter.cut();
    });
    let created = lab.create("web", with_port("80")).await.unwrap();
    assert_eq!(lab.known(&engine), ["/web"]);
    assert_eq!(engine.change(|state| state.containers[0].id.clone()), created.id);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_keeps_its_claims_until_it_is_known() {
    let lab = Lab::new(1).await;
    let engine = lab.engines[0].clone();
    // Never done, and nobody can say so: the engine dies with the request.
    engine.script(|_, request| {
        request.starts_with("POST /containers/create").then_some(Reaction::Hang)
    });
    let killer = engine.clone();
    lab.world.ctx().spawn("kill", async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        killer.crash();
    });
    let error = lab.create("web", nginx()).await.unwrap_err();
    assert!(error.message.starts_with("error during connect: Post \"http://n1:2375/v1.41/"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let claimed = || lab.manager.with(|cluster| cluster.check_name("web")).is_err();
    assert!(claimed(), "while the engine is silent");
    engine.script(|_, _| None);
    engine.boot().await;
    eventually(SOON, "released", || !claimed()).await;
    assert!(lab.create("web", nginx()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_container_that_appears_after_the_timeout_keeps_its_name() {
    let lab = Lab::new(2).await;
    let engine = lab.engines[0].clone();
    // The engine freezes with the create in its hands, and lists nothing of it at first.
    engine.script(|_, request| {
        request.starts_with("POST /containers/create").then_some(Reaction::Hang)
    });
    let error = lab.create("web", nginx()).await.unwrap_err();
    assert!(error.message.starts_with("Cannot connect to the Docker daemon"), "{error}");
    let swarm_id = lab.manager.with(|cluster| {
        let node = cluster.node(&engine.addr).unwrap();
        cluster.pending(node).next().unwrap().swarm_id.clone()
    });
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(lab.create("web", nginx()).await.unwrap_err().message, conflict("web"));
    let body = json!({ "Image": "nginx", "Labels": { "com.docker.swarm.id": swarm_id } });
    engine.add("web", body, false);
    eventually(SOON, "seen", || lab.known(&engine) == ["/web"]).await;
    assert_eq!(lab.create("web", nginx()).await.unwrap_err().message, conflict("web"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_leaves_nothing_half_done() {
    let lab = Lab::new(1).await;
    let engine = &lab.engines[0];
    let nudge = Arc::new(tokio::sync::Notify::new());
    let held = Arc::clone(&nudge);
    engine.script(move |_, request| {
        let create = request.starts_with("POST /containers/create");
        create.then(|| Reaction::WaitAndDo(Arc::clone(&held)))
    });
    let client = lab.create_aside("web", nginx());
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.abort();
    tokio::time::sleep(Duration::from_secs(1)).await;
    nudge.notify_one();
    eventually(Duration::from_secs(1), "known", || lab.known(engine) == ["/web"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let pending = lab.manager.with(|cluster| {
        let node = cluster.node(&engine.addr).unwrap().clone();
        cluster.release("nobody's");
        cluster.pending(&node).count()
    });
    assert_eq!(pending, 0);
    lab.engines[0].script(|_, _| None);
    let id = engine.change(|state| state.containers[0].id.clone());
    lab.manager.remove_container(&engine.addr, &id, true, true).await.unwrap();
    assert!(lab.create("web", nginx()).await.is_ok(), "nothing is claimed any more");
}

#[tokio::test(start_paused = true)]
async fn a_create_succeeds_even_if_it_cannot_be_looked_at() {
    let lab = Lab::new(1).await;
    let engine = &lab.engines[0];
    engine.script(|_, request| {
        request.contains("filters=").then_some(Reaction::Refuse(500, "not now"))
    });
    let created = lab.create("web", with_port("80")).await.unwrap();
    assert_eq!(lab.known(engine), ["/web"]);
    let error = lab.create("other", with_port("80")).await.unwrap_err();
    assert!(error.message.contains("[port 80 (Bridge mode)]"), "{}", error.message);
    engine.script(|_, _| None);
    let inspected = || {
        lab.manager.with(|cluster| {
            let found = &cluster.node(&engine.addr).unwrap().containers[&created.id];
            found.inspect["Created"] == "2027-01-01T00:00:00Z"
        })
    };
    assert!(!inspected());
    eventually(SOON, "inspected", inspected).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_image_is_pulled_and_a_missing_network_is_not() {
    let lab = Lab::new(1).await;
    let engine = &lab.engines[0];
    engine.change(|state| state.pullable = vec!["redis:7"]);
    lab.create("db", json!({ "Image": "redis:7" })).await.unwrap();
    let requests = engine.take_requests();
    assert!(requests.contains(&"POST /v1.41/images/create?fromImage=redis&tag=7".to_owned()));
    let error = lab.create("x", json!({ "Image": "nope" })).await.unwrap_err();
    assert_eq!(
        error.message,
        "Failed to load nope: pull access denied, repository does not exist or may require login"
    );
    engine.script(|_, request| {
        let create = request.starts_with("POST /containers/create");
        create.then_some(Reaction::Refuse(404, "network lan not found"))
    });
    engine.take_requests();
    let error = lab.create("x", nginx()).await.unwrap_err();
    assert_eq!(error.message, "Error response from daemon: network lan not found");
    let requests = engine.take_requests();
    assert!(!requests.iter().any(|line| line.contains("/images/create")), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_only_one_node_has_decides() {
    let lab = Lab::new(2).await;
    lab.engines[1].change(|state| state.images.push("priv:1"));
    lab.manager.create("seed", nginx(), None, "").await.unwrap();
    lab.engines[1].emit("image", "load", "priv:1");
    let private = || json!({ "Image": "priv:1" });
    tokio::time::sleep(Duration::from_secs(1)).await;
    // n1 holds a container, so n2 comes first; make it the fuller one.
    for name in ["a", "b", "c"] {
        let body = json!({ "Image": "nginx", "Env": ["constraint:node==n2"] });
        lab.create(name, body).await.unwrap();
    }
    lab.create("p", private()).await.unwrap();
    let labels = lab.engines[1].change(|state| {
        let found = state.containers.iter().find(|found| found.name == "p").unwrap();
        found.body["Labels"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    });
    assert_eq!(labels, ["com.docker.swarm.id"], "the affinity must not pin it for ever");
    // Who nails it to a node means that node.
    let nailed = json!({ "Image": "priv:1", "Env": ["constraint:node==n1"] });
    let error = lab.create("q", nailed).await.unwrap_err();
    assert!(error.message.starts_with("Failed to load priv:1: "), "{}", error.message);
}

#[tokio::test(start_paused = true)]
async fn failed_creates_are_tried_again_as_often_as_asked() {
    let options = Options { create_retry: 2, ..Options::default() };
    let lab = Lab::with(1, options).await;
    lab.engines[0].script(|_, request| {
        let create = request.starts_with("POST /containers/create");
        create.then_some(Reaction::Refuse(500, "no"))
    });
    assert!(lab.create("web", nginx()).await.is_err());
    let warning = "warning Failed to create container: Error response from daemon: no, retrying";
    assert_eq!(lab.logged(warning), 2);
    let requests = lab.engines[0].take_requests();
    assert_eq!(requests.iter().filter(|line| line.contains("/containers/create")).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn of_two_renames_to_one_name_the_second_is_refused() {
    let lab = Lab::new(2).await;
    let (a, b) = (lab.create("a", nginx()).await.unwrap(), lab.create("b", nginx()).await.unwrap());
    let (on_a, on_b) = (&lab.engines[0], &lab.engines[1]);
    let (first, second, third) = tokio::join!(
        lab.manager.rename_container(&on_a.addr, &a.id, "web"),
        lab.manager.rename_container(&on_b.addr, &b.id, "web"),
        lab.create("web", nginx()),
    );
    assert!(first.is_ok());
    assert_eq!(second.unwrap_err().to_string(), conflict("web"));
    assert_eq!(third.unwrap_err().message, conflict("web"));
    assert_eq!((lab.known(on_a), lab.known(on_b)), (vec!["/web".into()], vec!["/b".into()]));
    assert!(lab.create("a", nginx()).await.is_ok(), "the old name is free");
}

#[tokio::test(start_paused = true)]
async fn start_and_remove_are_seen_when_they_return() {
    let lab = Lab::new(1).await;
    let engine = &lab.engines[0];
    let id = lab.create("web", nginx()).await.unwrap().id;
    lab.manager.start_container(&engine.addr, &id).await.unwrap();
    let state = lab.manager.with(|cluster| cluster.find_container("web").unwrap().1.facts.state);
    assert_eq!(state, crate::cluster::RunState::Running);
    lab.manager.remove_container(&engine.addr, &id, true, false).await.unwrap();
    assert_eq!(lab.known(engine), [""; 0]);
    let requests = engine.take_requests();
    assert!(requests.contains(&format!("DELETE /v1.41/containers/{id}?force=1")), "{requests:?}");
    let error = lab.manager.remove_container(&engine.addr, &id, false, false).await.unwrap_err();
    assert_eq!(error.to_string(), format!("Error: No such container: {id}"));
}

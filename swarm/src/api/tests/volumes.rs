//! Volumes of two engines.

use super::holdings::filters;
use super::*;

async fn names(world: &World, query: &str) -> String {
    let list = world.get(&format!("/volumes?{query}")).await.json();
    let rows = list["Volumes"].as_array().cloned().unwrap_or_default();
    let names = rows.iter().map(|row| row["Name"].as_str().unwrap());
    names.collect::<Vec<_>>().join(" ")
}

async fn create(world: &World, body: Value) -> Answer {
    world.send("POST", "/v1.41/volumes/create", &body.to_string()).await
}

/// Two engines, each with a volume `data`; `logs` on the second only, mounted there; `nfs/x` on
/// both.
async fn world() -> (World, Arc<Engine>) {
    let world = World::new().await;
    let second = world.join().await;
    // Names like this one are made by plugins only, not by clients.
    for engine in [&world.engine, &second] {
        engine.volumes.lock().unwrap().push(json!({ "Name": "nfs/x", "Driver": "nfs" }));
    }
    create(&world, json!({ "Name": "data" })).await;
    create(&world, json!({ "Name": "node-2/logs", "Labels": { "tier": "b" } })).await;
    (world, second)
}

#[tokio::test]
async fn nothing_is_listed_as_null() {
    let world = World::new().await;
    let list = world.get("/volumes").await.json();
    assert_eq!(list, json!({ "Volumes": null, "Warnings": null }));
}

#[tokio::test]
async fn local_volumes_are_listed_after_their_node_and_others_once_for_each() {
    let (world, second) = world().await;
    let all = "node-1/data nfs/x node-2/data node-2/logs nfs/x";
    assert_eq!(names(&world, "").await, all);
    second.add(OLD, "db", true, json!({}));
    second.containers.lock().unwrap().get_mut(OLD).unwrap().volumes.push("data".into());
    world.manager.refresh_containers(&second.addr).await.unwrap();
    for (filter, expected) in [
        (r#"{"name":["dat","og"]}"#, "node-1/data node-2/data node-2/logs"),
        (r#"{"name":["node-2/data"]}"#, "node-2/data"),
        (r#"{"name":["node"]}"#, ""),
        (r#"{"label":["tier=b"]}"#, "node-2/logs"),
        (r#"{"label":["tier=c"]}"#, ""),
        (r#"{"driver":["nfs"]}"#, "nfs/x nfs/x"),
        (r#"{"node":["node-1"]}"#, "node-1/data nfs/x nfs/x"),
        (r#"{"node":["node-1","node-2"]}"#, all),
        (r#"{"dangling":["true"]}"#, "node-1/data nfs/x node-2/logs nfs/x"),
        (r#"{"dangling":["false"]}"#, "node-2/data"),
    ] {
        assert_eq!(names(&world, &filters(filter)).await, expected, "{filter}");
    }
    let query = |filter: &str| format!("GET /volumes?{}", filters(filter));
    let dangling = "Invalid filter: 'type'='dangling'";
    world.refuses(&query(r#"{"dangling":["x"]}"#), "", 400, dangling).await;
    world.refuses(&query(r#"{"x":["y"]}"#), "", 400, "invalid filter 'x'").await;
    let answer = world.get("/volumes?filters=%5B").await;
    assert!(answer.status == 500 && answer.message().starts_with("invalid filters: "));
}

#[tokio::test]
async fn an_inspect_is_the_engines() {
    let (world, second) = world().await;
    for (text, name, node) in [
        ("node-1/data", "data", "node-1"),
        ("node-2%2Fdata", "data", "node-2"),
        ("logs", "logs", "node-2"),
        ("nfs/x", "nfs/x", "node-1"),
        ("node-2/nfs/x", "nfs/x", "node-2"),
    ] {
        let volume = world.get(&format!("/volumes/{text}")).await.json();
        assert_eq!(volume["Name"], name);
        assert_eq!(volume["Status"], json!({ "asked": node }), "{text}");
    }
    assert_eq!(world.engine.asked("/volumes/nfs"), ["GET /v1.41/volumes/nfs%2Fx"]);
    // Two volumes have this name.
    for name in ["data", "node-1/logs", "nothing"] {
        let message = format!("No such volume: {name}");
        world.refuses(&format!("GET /volumes/{name}"), "", 404, &message).await;
    }
    second.volumes.lock().unwrap().retain(|row| row["Name"] != "logs");
    world.refuses("GET /volumes/logs", "", 404, "No such volume: logs").await;
    // Without an engine to ask, what was said last.
    world.lose(&second);
    let volume = world.get("/volumes/node-2/data").await.json();
    assert_eq!((volume["Name"].as_str(), volume.get("Status")), (Some("data"), None));
}

#[tokio::test]
async fn a_volume_is_made_on_every_engine_or_where_it_is_told() {
    let world = World::new().await;
    let second = world.join().await;
    let made = create(&world, json!({ "Name": "data", "Tomorrow": 1 })).await;
    let expected = json!({
        "Name": "data", "Tomorrow": 1, "Driver": "local", "Mountpoint": "/node-1/data",
    });
    assert_eq!((made.status, made.json()), (201, expected));
    assert_eq!(names(&world, "").await, "node-1/data node-2/data");
    let made = create(&world, json!({ "Name": "node-2/logs" })).await.json();
    assert_eq!((&made["Name"], &made["Mountpoint"]), (&json!("logs"), &json!("/node-2/logs")));
    let whitelist = |names: &str| {
        let label = json!([format!("node=={names}")]).to_string();
        json!({ "Name": "some", "Labels": { "com.docker.swarm.whitelists": label } })
    };
    let made = create(&world, whitelist("node-2|node-3")).await.json();
    assert_eq!(made["Mountpoint"], "/node-2/some");
    assert_eq!(names(&world, "").await, "node-1/data node-2/data node-2/logs node-2/some");
    let made = create(&world, json!({})).await.json();
    let name = made["Name"].as_str().unwrap();
    assert!(name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    for engine in [&world.engine, &second] {
        assert_eq!(engine.volumes.lock().unwrap().last().unwrap()["Name"], name);
    }
    let request = "POST /volumes/create";
    for node in ["node-1", "node-2"] {
        let body = json!({ "Name": format!("not-on-{node}") }).to_string();
        let message = format!("{node}: Error response from daemon: no space left");
        world.refuses(request, &body, 500, &message).await;
    }
    // The other engine keeps its volume, and that is known.
    assert_eq!(
        world.get("/volumes/not-on-node-2").await.json()["Mountpoint"],
        "/node-1/not-on-node-2"
    );
    let nowhere = "Unable to find a node that satisfies the following conditions \n\
                   [available container slots]\n[node==node-3]";
    world.refuses(request, r#"{"Name":"node-3/x"}"#, 500, nowhere).await;
    let nowhere = nowhere.replace("[node==node-3]", "[node==node-3 (soft=false)]");
    world.refuses(request, &whitelist("node-3").to_string(), 500, &nowhere).await;
    for garbage in ["", "[]", "garbage"] {
        assert_eq!(world.send("POST", "/volumes/create", garbage).await.status, 400);
    }
    world.manager.apply_membership(&[]);
    world.refuses(request, "{}", 500, "No healthy node available in the cluster").await;
}

#[tokio::test]
async fn a_volume_is_removed_wherever_it_is() {
    let (world, second) = world().await;
    for (request, status) in [
        ("/v1.41/volumes/data?force=1", 204),
        ("/volumes/data", 404),
        ("/volumes/node-1/nfs/x", 204),
        ("/volumes/node-1/logs", 404),
    ] {
        assert_eq!(world.send("DELETE", request, "").await.status, status, "{request}");
    }
    assert_eq!(names(&world, "").await, "node-2/logs nfs/x");
    let expected = ["DELETE /v1.41/volumes/data?force=1", "DELETE /v1.41/volumes/nfs%2Fx"];
    assert_eq!(world.engine.asked("DELETE"), expected);
    assert_eq!(second.asked("DELETE"), expected[..1]);
    world.refuses("DELETE /volumes/data", "", 404, "No such volume data").await;
    // What is gone behind the manager's back is told, and then known to be gone.
    create(&world, json!({ "Name": "old" })).await;
    world.engine.volumes.lock().unwrap().clear();
    second.volumes.lock().unwrap().last_mut().unwrap()["Busy"] = true.into();
    let both = "node-1: Error: No such volume: old\n\
                node-2: Error response from daemon: volume is in use";
    world.refuses("DELETE /volumes/old", "", 500, both).await;
    assert_eq!(names(&world, "").await, "node-2/logs nfs/x node-2/old");
}

//! Networks of two engines.

use super::holdings::{filters, network_id};
use super::*;

async fn names(world: &World, query: &str) -> String {
    let list = world.get(&format!("/networks?{query}")).await.json();
    let names = list.as_array().unwrap().iter().map(|row| row["Name"].as_str().unwrap().to_owned());
    names.collect::<Vec<_>>().join(" ")
}

async fn create(world: &World, body: Value) -> Answer {
    world.send("POST", "/v1.41/networks/create", &body.to_string()).await
}

/// Two engines with a network `back` on the first and `over` on both.
async fn world() -> (World, Arc<Engine>) {
    let world = World::new().await;
    let second = world.join().await;
    let back = json!({ "Name": "node-1/back", "Driver": "bridge", "Labels": { "tier": "b" } });
    assert_eq!(create(&world, back).await.status, 201);
    assert_eq!(create(&world, json!({ "Name": "over" })).await.status, 201);
    (world, second)
}

/// Puts `web` on a network.
async fn connect(world: &World, network: &str) -> Answer {
    let body = json!({ "Container": "node-1/web", "EndpointConfig": { "Tomorrow": 1 } });
    world.send("POST", &format!("/networks/{network}/connect"), &body.to_string()).await
}

#[tokio::test]
async fn a_network_of_one_node_is_listed_after_it_and_one_of_many_once() {
    let (world, _second) = world().await;
    let all = "node-1/back node-1/bridge node-1/host over node-2/bridge node-2/host";
    assert_eq!(names(&world, "").await, all);
    assert_eq!(connect(&world, "over").await.status, 200);
    let list = world.get(&format!("/networks?{}", filters(r#"{"name":["over"]}"#))).await.json();
    let id = network_id("over", "");
    let web = json!({
        "Name": "web", "EndpointID": format!("e{}", &id[..8]), "MacAddress": "02:42",
        "IPv4Address": "10.9.0.2/24", "IPv6Address": "",
    });
    assert_eq!(list[0]["Containers"], json!({ WEB: web }));
    let not_custom = "node-1/bridge node-1/host node-2/bridge node-2/host";
    let (back, over) = (network_id("back", "node-1"), &id[..9]);
    for (filter, expected) in [
        (r#"{"type":["custom"]}"#, "node-1/back over"),
        (r#"{"type":["builtin"]}"#, not_custom),
        (r#"{"type":["builtin","custom"]}"#, all),
        (r#"{"label":["tier=b"]}"#, "node-1/back"),
        (r#"{"label":["tier","x"]}"#, ""),
        (r#"{"driver":["overlay","host"]}"#, "node-1/host over node-2/host"),
        (r#"{"driver":["over"]}"#, ""),
        (r#"{"scope":["swarm"]}"#, "over"),
        (r#"{"node":["node-2"]}"#, "over node-2/bridge node-2/host"),
        (r#"{"node":["ID:node-2","node-1"]}"#, all),
        (r#"{"node":["node"]}"#, ""),
        (r#"{"name":["bri"]}"#, "node-1/bridge node-2/bridge"),
        (r#"{"name":["node-2/bridge","^ov"]}"#, "over node-2/bridge"),
        (&format!(r#"{{"id":["{over}"]}}"#), "over"),
        (&format!(r#"{{"id":{{"{back}":true}}}}"#), "node-1/back"),
        (r#"{"id":["node-1/back"]}"#, "node-1/back"),
        (r#"{"id":["fff"]}"#, ""),
        (r#"{"dangling":["true"]}"#, "node-1/back"),
        (r#"{"dangling":["0"],"type":["custom"]}"#, "over"),
    ] {
        assert_eq!(names(&world, &filters(filter)).await, expected, "{filter}");
    }
    for (filter, message) in [
        (r#"{"type":["x"]}"#, "Invalid filter: 'type'='x'"),
        (r#"{"dangling":["x"]}"#, "Invalid filter: 'type'='dangling'"),
        (r#"{"x":["y"]}"#, "invalid filter 'x'"),
    ] {
        world.refuses(&format!("GET /networks?{}", filters(filter)), "", 400, message).await;
    }
    let answer = world.get("/networks?filters=%5B").await;
    assert!(answer.status == 400 && answer.message().starts_with("invalid filters: "));
}

#[tokio::test]
async fn an_inspect_asks_every_engine_that_has_the_network() {
    let (world, second) = world().await;
    connect(&world, "over").await;
    second.add(OLD, "db", true, json!({}));
    let over = network_id("over", "");
    second.containers.lock().unwrap().get_mut(OLD).unwrap().networks.push(over.clone());
    let network = world.get("/networks/over?verbose=1").await.json();
    assert_eq!(network["Name"], "over");
    assert_eq!(network["FieldOfTomorrow"], json!(["node-1"]));
    // One entry for each container: that both have one endpoint ID is no reason to drop any.
    let names = [&network["Containers"][WEB]["Name"], &network["Containers"][OLD]["Name"]];
    assert_eq!(names, ["web", "db"]);
    for engine in [&world.engine, &second] {
        let path = format!("GET /v1.41/networks/{over}?verbose=1");
        assert_eq!(engine.asked("verbose=1"), [path]);
    }
    // A network of one node, by its names and IDs.
    let back = network_id("back", "node-1");
    for text in ["back", "node-1/back", "node-1%2Fback", &back, &back[..12], &back[..5]] {
        let network = world.get(&format!("/networks/{text}")).await.json();
        assert_eq!((&network["Name"], &network["Id"]), (&json!("back"), &json!(back)), "{text}");
    }
    assert_eq!(second.asked(&back), [""; 0]);
    // Without an engine to ask, what was said last.
    world.lose(&world.engine);
    let network = world.get("/networks/back").await.json();
    assert_eq!((network["Name"].as_str(), network.get("FieldOfTomorrow")), (Some("back"), None));
    assert_eq!(world.get("/networks/over").await.json()["FieldOfTomorrow"], json!(["node-2"]));
}

#[tokio::test]
async fn a_network_that_is_not_there_is_refused_in_each_routes_words() {
    let (world, _second) = world().await;
    for name in ["nothing", "bridge", "node-2/back"] {
        let colon = format!("No such network: {name}");
        let body = r#"{"Container":"web"}"#;
        world.refuses(&format!("GET /networks/{name}"), "", 404, &colon).await;
        world.refuses(&format!("POST /networks/{name}/connect"), body, 404, &colon).await;
        world.refuses(&format!("POST /networks/{name}/disconnect"), body, 404, &colon).await;
        let none = format!("No such network {name}");
        world.refuses(&format!("DELETE /networks/{name}"), "", 404, &none).await;
    }
    // Gone behind the manager's back.
    world.engine.networks.lock().unwrap().retain(|row| row["Name"] != "back");
    world.refuses("GET /networks/back", "", 404, "No such network: back").await;
    let gone = format!("Error: No such network: {}", network_id("back", "node-1"));
    world.refuses("DELETE /networks/back", "", 500, &gone).await;
    world.refuses("DELETE /networks/back", "", 404, "No such network back").await;
}

#[tokio::test]
async fn a_network_is_made_where_the_scheduler_says() {
    let world = World::new().await;
    let second = world.join().await;
    // The second node has no containers.
    let body = json!({
        "Name": "front", "Driver": "bridge", "CheckDuplicate": true, "Tomorrow": [1],
    });
    let made = create(&world, body).await;
    let id = network_id("front", "node-2");
    assert_eq!((made.status, made.json()), (201, json!({ "Id": id, "Warning": "careful" })));
    let row = second.networks.lock().unwrap().last().unwrap().clone();
    assert_eq!((&row["Tomorrow"], &row["CheckDuplicate"]), (&json!([1]), &json!(true)));
    assert_eq!(world.engine.asked("POST"), [""; 0]);
    // Known at once; the same name elsewhere is another network.
    assert_eq!(world.get("/networks/front").await.status, 200);
    let body = json!({ "Name": "node-1/front", "Driver": "bridge" });
    assert_eq!(create(&world, body).await.json()["Id"], network_id("front", "node-1"));
    for driver in [json!(""), Value::Null] {
        let name = format!("over{driver}").replace('"', "");
        let made = create(&world, json!({ "Name": name, "Driver": driver })).await;
        assert_eq!((made.status, made.json()["Id"].clone()), (201, network_id(&name, "").into()));
        // On both engines at once.
        let holders = world.manager.find_network(&name).unwrap().holders;
        assert_eq!(holders, [world.engine.addr.clone(), second.addr.clone()]);
    }
    let body = |name: &str| json!({ "Name": name, "Driver": "bridge" }).to_string();
    let request = "POST /networks/create";
    let twice = "Error response from daemon: network with name front already exists";
    world.refuses(request, &body("node-2/front"), 500, twice).await;
    let nowhere = "Unable to find a node that satisfies the following conditions \n\
                   [available container slots]\n[node==node-3]";
    world.refuses(request, &body("node-3/front"), 500, nowhere).await;
    for garbage in ["", "[]", "garbage"] {
        assert_eq!(world.send("POST", "/networks/create", garbage).await.status, 400);
    }
    world.lose(&world.engine);
    world.lose(&second);
    let none = "No healthy node available in the cluster";
    world.refuses(request, &body("front"), 500, none).await;
}

#[tokio::test]
async fn a_container_joins_and_leaves_a_network_before_the_answer() {
    let (world, second) = world().await;
    let listed = async |network: &str| {
        let filters = filters(&json!({ "network": [network] }).to_string());
        world.get(&format!("/containers/json?{filters}")).await.json().as_array().unwrap().len()
    };
    let back = network_id("back", "node-1");
    assert_eq!(listed(&back).await, 0);
    let answer = connect(&world, "node-1/back").await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(listed(&back).await, 1);
    let asked = world.engine.asked("connect");
    assert_eq!(asked, [format!("POST /v1.41/networks/{back}/connect")]);
    let again = connect(&world, "back").await;
    assert_eq!((again.status, again.message()), (403, "web is on it already".into()));
    // The engine is that of the container, also where the network is not there.
    let elsewhere = connect(&world, "node-2/bridge").await;
    let missing = format!("network {} not found", network_id("bridge", "node-2"));
    assert_eq!((elsewhere.status, elsewhere.message()), (404, missing));
    assert_eq!(second.asked("connect"), [""; 0]);
    let body = json!({ "Container": &WEB[..4], "Force": false }).to_string();
    let target = format!("/networks/{}/disconnect", &back[..12]);
    let answer = world.send("POST", &target, &body).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(listed(&back).await, 0);
    let not_on_it = "Error response from daemon: web is not on it";
    world.refuses(&format!("POST {target}"), &body, 404, not_on_it).await;
    for verb in ["connect", "disconnect"] {
        let request = format!("POST /networks/over/{verb}");
        world.refuses(&request, r#"{"Container":"x"}"#, 404, "No such container: x").await;
        world.refuses(&request, "{}", 404, "No such container: ").await;
        for garbage in ["", "[1]", "garbage"] {
            world.refuses(&request, garbage, 404, "Container is not specified").await;
        }
    }
}

#[tokio::test]
async fn a_removed_network_is_gone_from_the_list() {
    let (world, second) = world().await;
    let refused = "Error response from daemon: \"bridge\" is a pre-defined network";
    world.refuses("DELETE /networks/node-2/bridge", "", 500, refused).await;
    for name in ["node-1/back", "over"] {
        let answer = world.send("DELETE", &format!("/v1.41/networks/{name}"), "").await;
        assert_eq!((answer.status, answer.body.len()), (204, 0));
    }
    assert_eq!(names(&world, &filters(r#"{"type":["custom"]}"#)).await, "");
    let deleted = [network_id("back", "node-1"), network_id("over", "")];
    let deleted = deleted.map(|id| format!("DELETE /v1.41/networks/{id}"));
    assert_eq!(world.engine.asked("DELETE"), deleted);
    assert_eq!(second.asked("DELETE").len(), 1);
}

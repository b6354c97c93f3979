//! Images: where they are, and on every engine.

use super::*;

/// The objects of a stream.
fn lines(answer: &Answer) -> Vec<Value> {
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn questions_about_an_image_go_to_an_engine_that_has_it() {
    let world = World::new().await;
    for (method, target, asked) in [
        ("GET", "/images/nginx/json", "GET /v1.41/images/nginx/json"),
        ("GET", "/v1.50/images/nginx:latest/history", "GET /v1.41/images/nginx:latest/history"),
        ("GET", "/images/sha256:1111/get", "GET /v1.41/images/sha256:1111/get"),
        (
            "GET",
            "/images/get?names=nginx&names=1111",
            "GET /v1.41/images/get?names=nginx&names=1111",
        ),
        ("POST", "/images/nginx/push?tag=latest", "POST /v1.41/images/nginx/push?tag=latest"),
        ("GET", "/images/search?term=a%20b", "GET /v1.41/images/search?term=a%20b"),
        ("POST", "/auth", "POST /v1.41/auth"),
        ("GET", "/distribution/a/b/json", "GET /v1.41/distribution/a/b/json"),
    ] {
        let answer = world.send(method, target, "").await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "from": "node-1" })), "{target}");
        assert_eq!(world.engine.asked.lock().unwrap().pop().unwrap(), asked);
    }
}

#[tokio::test]
async fn a_container_is_committed_where_it_is() {
    let world = World::new().await;
    let target = "/commit?comment=c&container=node-1%2Fweb&repo=r%2Fs&containers=1";
    let answer = world.send("POST", target, "{}").await;
    assert_eq!((answer.status, answer.json()["Id"].as_str()), (201, Some("sha256:3333")));
    let query = format!("container={WEB}&comment=c&repo=r%2Fs&containers=1");
    assert_eq!(world.engine.asked("commit"), [format!("POST /v1.41/commit?{query}")]);
    let last = world.engine.asked.lock().unwrap().pop().unwrap();
    assert_eq!(last, "GET /v1.41/images/json?all=1", "the next list shows it");
}

#[tokio::test]
async fn a_tag_or_removal_reaches_every_holder() {
    let world = World::new().await;
    let second = world.add_engine().await;
    let answer = world.send("POST", "/images/nginx/tag?repo=web&tag=1", "").await;
    assert_eq!((answer.status, &answer.body[..]), (201, &b""[..]));
    for engine in [&world.engine, &second] {
        assert_eq!(engine.asked("/tag"), ["POST /v1.41/images/nginx/tag?repo=web&tag=1"]);
    }
    // An engine that no longer has it is no failure.
    let answer = world.send("DELETE", "/images/nginx?noprune=1", "").await;
    assert_eq!((answer.status, answer.json()), (200, json!([{ "Untagged": "nginx:latest" }])));
    assert_eq!(second.asked("DELETE"), ["DELETE /v1.41/images/nginx?noprune=1"]);
    let answer = world.send("DELETE", "/images/nginx?force=1", "").await;
    let message = "node-2: Error response from daemon: image is in use";
    assert_eq!((answer.status, answer.message()), (500, message.into()));
}

#[tokio::test]
async fn a_pull_is_told_node_by_node() {
    let world = World::new().await;
    let second = world.add_engine().await;
    let target = "/images/create?fromImage=redis&tag=7&platform=linux%2Famd64";
    let answer = world.send("POST", target, "").await;
    assert_eq!(
        (answer.status, &answer.headers["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    let told = lines(&answer);
    for node in ["node-1", "node-2"] {
        let of_node = told.iter().filter(|line| line["id"] == node);
        assert_eq!(
            of_node.collect::<Vec<_>>(),
            [
                &json!({ "status": "Pulling redis:7...", "id": node }),
                &json!({
                    "status": format!("Pulling redis:7... : {node} took 0 bytes"), "id": node,
                }),
                &json!({ "stream": "Loaded image\n", "id": node }),
                &json!({ "status": "Pulling redis:7...", "id": node }),
            ]
        );
    }
    assert_eq!(second.asked("create"), [format!("POST /v1.41{target}")]);
    let last = second.asked.lock().unwrap().pop().unwrap();
    assert_eq!(last, "GET /v1.41/images/json?all=1");
}

#[tokio::test]
async fn a_failed_pull_ends_with_an_error() {
    let world = World::new().await;
    let target = "/images/create?fromImage=nope&tag=sha256%3Aab";
    let told = lines(&world.send("POST", target, "").await);
    let error = "pull access denied";
    assert_eq!(
        told,
        [
            json!({ "status": "Pulling nope@sha256:ab...", "id": "node-1" }),
            json!({ "status": format!("Pulling nope@sha256:ab... : {error}"), "id": "node-1" }),
            json!({ "error": error, "errorDetail": { "code": 1, "message": error } }),
        ]
    );
}

#[tokio::test]
async fn an_upload_reaches_every_engine_whole() {
    let world = World::new().await;
    let _second = world.add_engine().await;
    let upload = "x".repeat(900_000);
    let mut told = lines(&world.send("POST", "/images/load?quiet=0", &upload).await);
    told.sort_by_key(|line| line["status"].as_str().map(str::to_owned));
    let took = |node: &str| json!({ "status": format!("Loading Image... : {node} took 900000 bytes"), "id": node });
    assert_eq!(told[2..], [took("node-1"), took("node-2")]);
    let told = lines(&world.send("POST", "/images/create?fromSrc=-&repo=r", "tar").await);
    assert!(told.contains(&json!({ "status": "node-2 took 3 bytes", "id": "node-2" })), "{told:?}");
    assert!(told.contains(&json!({ "id": "node-1" })), "{told:?}");
    assert_eq!(told.len(), 6, "no error at the end: {told:?}");
}

#[tokio::test]
async fn a_build_goes_where_its_expressions_lead() {
    let world = World::new().await;
    let second = world.add_engine().await;
    let arguments = "buildargs=%7B%22constraint:node%22:%22=node-2%22,%22a%22:%22b%22%7D";
    let target = format!("/build?t=x&{arguments}&cpushares=1&memory=1048576");
    let answer = world.send("POST", &target, "tar").await;
    assert_eq!(lines(&answer), [json!({ "stream": "node-2 took 3 bytes" })]);
    assert_eq!(second.asked("build").len(), 1);
    let last = second.asked.lock().unwrap().pop().unwrap();
    assert_eq!(last, "GET /v1.41/images/json?all=1");
    let nowhere = target.replace("node-2", "node-3");
    let answer = world.send("POST", &nowhere, "tar").await;
    assert_eq!(answer.status, 500);
    assert!(answer.message().ends_with("[node==node-3]"), "{}", answer.message());
}

//! What clients are told when something is wrong with their request.

use super::*;

#[tokio::test]
async fn refusals_have_their_texts() {
    let world = World::new().await;
    for (method, target, status, message) in [
        ("GET", "/nothing", 404, "page not found"),
        ("POST", "/info", 404, "page not found"),
        ("OPTIONS", "/info", 404, "page not found"),
        ("GET", "/containers/x/json", 404, "No such container x"),
        ("POST", "/containers/x/start", 404, "No such container x"),
        ("POST", "/containers/x/stop", 404, "No such container: x"),
        ("GET", "/containers/x/logs", 404, "No such container: x"),
        ("POST", "/containers/x/rename?name=y", 404, "No such container: x"),
        ("DELETE", "/containers/x", 404, "Container x not found"),
        ("GET", "/containers/json?before=x", 404, "No such container x"),
        (
            "GET",
            "/containers/json?filters=%7B%22exited%22:[%22x%22]}",
            500,
            "strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        ("GET", "/containers/json?filters=%7B%22x%22:[%22y%22]}", 400, "invalid filter 'x'"),
        (
            "GET",
            "/images/json?filters=%7B%22before%22:[%22x%22]}",
            400,
            "Invalid filter: 'type'='before': no such image found: 'x'",
        ),
        (
            "GET",
            "/images/json?filters=%7B%22dangling%22:[%22x%22]}",
            400,
            "Invalid filter: 'type'='dangling'",
        ),
        ("GET", "/events?until=x", 400, "strconv.ParseInt: parsing \"x\": invalid syntax"),
        (
            "POST",
            "/containers/web/rename?name=containers",
            409,
            "Conflict: The name containers is already assigned. You have to delete (or rename) \
             that container to be able to assign containers to a container again.",
        ),
        (
            "POST",
            "/v1.41/containers/prune",
            501,
            "POST /containers/prune is not supported yet by swarm",
        ),
        ("POST", "/volumes/prune", 501, "POST /volumes/prune is not supported yet by swarm"),
        ("GET", "/images/viz", 501, "Not supported in clustering mode."),
        ("GET", "/images/x/json", 404, "No such image: x"),
        ("GET", "/images/reg:5000%2Fx/history", 404, "No such image: reg:5000/x"),
        ("POST", "/images/nginx/push?tag=2", 404, "No such image: nginx:2"),
        ("POST", "/images/x/tag?repo=y", 404, "No such image: x"),
        ("DELETE", "/images/x", 404, "No such image x"),
        ("POST", "/commit?container=x", 404, "No such container: x"),
        (
            "GET",
            "/images/get?names=nginx&names=x",
            404,
            "Unable to find a healthy engine containing all images: [nginx x]",
        ),
        (
            "POST",
            "/build?version=2",
            501,
            "BuildKit is not supported by swarm: set DOCKER_BUILDKIT=0",
        ),
        ("POST", "/build?buildargs=x", 400, "expected value at line 1 column 1"),
        (
            "GET",
            "/v1.52/info",
            400,
            "client version 1.52 is too new. Maximum supported API version is 1.51",
        ),
        (
            "GET",
            "/v1.23/info",
            400,
            "client version 1.23 is too old. Minimum supported API version is 1.24, please \
             upgrade your client to a newer version",
        ),
    ] {
        let answer = world.send(method, target, "").await;
        assert_eq!((answer.status, answer.message()), (status, message.into()), "{target}");
        assert_eq!(answer.headers["content-type"], "application/json");
    }
    let answer = world.send("POST", "/containers/create", "garbage").await;
    assert_eq!(answer.status, 400);
    assert!(answer.message().starts_with("expected value"), "{}", answer.message());
}

//! Production HTTP code in a simulated world.

use std::net::Ipv4Addr;
use std::time::Duration;

use hyper::{Request, Response};
use sim::World;
use swarm::ctx::{Addr, Ctx, http};

async fn serve(ctx: Ctx) {
    let listener = ctx.net.listen(&Addr::tcp("", 80)).await.expect("the port is free");
    let host = ctx.random_id("server-id");
    http::serve(ctx, listener, move |request| {
        let text = format!("{host} {}", request.uri().path());
        async move { Response::new(http::full(text)) }
    })
    .await;
}

async fn get(client: &http::Client, path: &str) -> Result<String, String> {
    let uri = format!("http://peer{path}");
    let request = Request::get(uri).body(http::empty()).expect("a valid request");
    let response = client.request(request).await.map_err(|e| e.to_string())?;
    let body = http::collect(response.into_body(), 1 << 20).await.map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn client(ctx: &Ctx, host: &str) -> http::Client {
    http::client(http::connector(ctx, Addr::tcp(host, 80), Duration::from_secs(10)))
}

#[test]
fn requests_are_answered_by_name_by_address_and_over_loopback() {
    let answers = sim::run(1, |world: World| async move {
        let me = world.add_host("me", Ipv4Addr::new(10, 0, 0, 1));
        world.add_host("web", Ipv4Addr::new(10, 0, 0, 2));
        world.start("web", "server", serve);
        world.start("me", "server", serve);
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut answers = Vec::new();
        for host in ["web", "10.0.0.2", "me", "127.0.0.1", "localhost"] {
            answers.push(get(&client(&me, host), "/x").await.expect("an answer"));
        }
        answers
    });
    assert!(answers[0].ends_with(" /x"), "{answers:?}");
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[2], answers[3]);
    assert_eq!(answers[2], answers[4]);
    assert_ne!(answers[0], answers[2]);
}

#[test]
fn a_killed_process_refuses_a_dark_host_is_silent_and_a_booted_one_serves_again() {
    sim::run(2, |world: World| async move {
        let me = world.add_host("me", Ipv4Addr::new(10, 0, 0, 1));
        world.add_host("web", Ipv4Addr::new(10, 0, 0, 2));
        let server = world.start("web", "server", serve);
        tokio::time::sleep(Duration::from_millis(5)).await;
        let web = client(&me, "web");
        get(&web, "/").await.expect("an answer");

        server.kill();
        assert!(!server.is_running());
        server.wait().await;
        let to = Addr::tcp("web", 80);
        let refused = me.net.connect(&to).await.err().expect("nobody listens");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

        world.start("web", "server", serve);
        tokio::time::sleep(Duration::from_millis(5)).await;
        get(&web, "/").await.expect("an answer");

        world.power_off("web");
        let before = world.now();
        let dark = me.net.connect(&to).await.err().expect("nobody is there");
        assert_eq!(dark.kind(), std::io::ErrorKind::HostUnreachable);
        assert_eq!((world.now() - before).as_secs(), 3);

        world.boot("web");
        world.start("web", "server", serve);
        tokio::time::sleep(Duration::from_millis(5)).await;
        // The pooled connection does not know yet that its peer has forgotten it.
        get(&web, "/").await.expect_err("a reset");
        get(&web, "/").await.expect("an answer");
    });
}

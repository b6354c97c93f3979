//! Many hosts in one world.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::{Request, Response};
use sim::World;
use swarm::ctx::{Addr, Ctx, http};
use tokio::time::{Instant, interval, sleep_until};

const HOSTS: u16 = 200;

async fn serve(ctx: Ctx) {
    let listener = ctx.net.listen(&Addr::tcp("", 80)).await.expect("the port is free");
    let page = bytes::Bytes::from(vec![b'x'; 20_000]);
    http::serve(ctx, listener, move |_| {
        let page = page.clone();
        async move { Response::new(http::full(page)) }
    })
    .await;
}

async fn poll(ctx: Ctx, host: String, answers: Arc<AtomicU64>) {
    let to = Addr::tcp(host, 80);
    let client = http::client(http::connector(&ctx, to, Duration::from_secs(5)));
    let mut ticks = interval(Duration::from_secs(2));
    loop {
        ticks.tick().await;
        let request = Request::get("http://host/").body(http::empty()).expect("a valid request");
        let response = client.request(request).await.expect("an answer");
        let body = http::collect(response.into_body(), 1 << 20).await.expect("a whole body");
        assert_eq!(body.len(), 20_000);
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn two_hundred_hosts_answer_for_a_minute() {
    let answers = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&answers);
    sim::run(1, |world: World| async move {
        world.add_host("manager", Ipv4Addr::new(10, 1, 0, 0));
        let end = Instant::now() + Duration::from_secs(60) - Duration::from_millis(1);
        for number in 0..HOSTS {
            let [high, low] = number.to_be_bytes();
            let host = format!("host-{number}");
            world.add_host(&host, Ipv4Addr::new(10, 0, high, low));
            world.start(&host, "server", serve);
            let count = Arc::clone(&count);
            world.start("manager", "poller", |ctx| poll(ctx, host, count));
        }
        sleep_until(end).await;
    });
    assert_eq!(answers.load(Ordering::Relaxed), u64::from(HOSTS) * 30);
}

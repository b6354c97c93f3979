//! TLS between simulated hosts: the real thing, and byte for byte the same every time.

use std::net::Ipv4Addr;
use std::time::Duration;

use hyper::{Request, Response};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ED25519,
    date_time_ymd,
};
use sim::World;
use swarm::ctx::{Addr, Ctx, http};
use swarm::tls::Tls;

/// What the files of one side hold.
#[derive(Clone)]
struct Pem {
    ca: String,
    cert: String,
    key: String,
}

/// Certificates for both hosts; `until` is the year in which they end.
fn certificates(until: i32) -> [Pem; 2] {
    let key = || KeyPair::generate_for(&PKCS_ED25519).expect("ring makes such keys");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, key()).expect("a valid request");
    ["10.0.0.1", "10.0.0.2"].map(|name| {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a valid name");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = key();
        let cert = params.signed_by(&key, &ca).expect("a valid request");
        Pem { ca: ca.pem(), cert: cert.pem(), key: key.serialize_pem() }
    })
}

fn load(ctx: &Ctx) -> Tls {
    Tls::load(ctx, "/cert", "/key", Some("/ca")).expect("the files are there")
}

async fn serve(ctx: Ctx) {
    let listener = ctx.net.listen(&Addr::tcp("", 443)).await.expect("the port is free");
    let listener = load(&ctx).server.listener(&ctx, listener);
    http::serve(ctx, listener, |request| {
        let text = request.uri().path().repeat(1_000);
        async move { Response::new(http::full(text)) }
    })
    .await;
}

async fn get(client: &http::Client, path: &str) -> Result<usize, String> {
    let request = Request::get(format!("https://x{path}")).body(http::empty()).expect("valid");
    let response = client.request(request).await.map_err(|error| format!("{error:?}"))?;
    let body = http::collect(response.into_body(), 1 << 20).await.map_err(|e| e.to_string())?;
    Ok(body.len())
}

/// Forty connections both ways; the results, and the hash of all that happened on the wire.
fn run(seed: u64, pems: &[Pem; 2]) -> (Vec<Result<usize, String>>, String) {
    let pems = pems.clone();
    sim::run(seed, |world: World| async move {
        world.trace().record_segments(true);
        for (host, (number, pem)) in ["a", "b"].into_iter().zip((1..).zip(pems)) {
            world.add_host(host, Ipv4Addr::new(10, 0, 0, number));
            for (path, text) in [("/ca", pem.ca), ("/cert", pem.cert), ("/key", pem.key)] {
                world.write_file(host, path, text);
            }
            world.start(host, "server", serve);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut results = Vec::new();
        for (from, to) in [("a", "10.0.0.2"), ("b", "10.0.0.1")] {
            let ctx = world.ctx(from);
            let connector = http::connector(&ctx, Addr::tcp(to, 443), Duration::from_secs(5));
            let connector = connector.secured(Some(load(&ctx).client));
            let clients: Vec<_> = (0..20).map(|_| http::client(connector.clone())).collect();
            let requests = clients.iter().map(|client| get(client, "/path"));
            results.extend(futures_util::future::join_all(requests).await);
        }
        (results, world.trace().hash())
    })
}

#[test]
fn the_seed_decides_every_byte_on_the_wire() {
    let pems = certificates(2030);
    let (results, hash) = run(1, &pems);
    assert_eq!(results, vec![Ok(5_000); 40]);
    assert_eq!(run(1, &pems), (results, hash.clone()));
    assert_ne!(run(2, &pems).1, hash);
    assert_ne!(run(1, &certificates(2030)).1, hash, "other keys, other bytes");
}

#[test]
fn the_date_is_that_of_the_simulated_host() {
    // The world begins in 2026, whatever the machine's calendar says.
    let (results, _) = run(1, &certificates(2025));
    for result in results {
        let why = result.expect_err("expired in this world");
        assert!(why.contains("current time 2026-01-01T00:00:00Z is after 2025"), "{why}");
    }
}

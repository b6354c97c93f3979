//! One body of checks, two networks: what the virtual network claims about TCP is checked against
//! the kernel's loopback.

use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::time::Duration;

use swarm::ctx::{Addr, BoxStream, Ctx, Level, Listener, real};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

/// Long enough for anything to cross the loopback.
const SETTLE: Duration = Duration::from_millis(50);

/// Runs a check in the simulator.
fn simulated<T: Future<Output = ()>>(check: impl FnOnce(Ctx) -> T + Send) {
    sim::run(1, |world| async move {
        let ctx = world.add_host("me", Ipv4Addr::new(10, 0, 0, 1));
        limited(check(ctx)).await;
    });
}

/// Runs a check on this machine.
fn real<T: Future<Output = ()>>(check: impl FnOnce(Ctx) -> T) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { limited(check(real::ctx(Level::Fatal))).await });
}

async fn limited(check: impl Future<Output = ()>) {
    timeout(Duration::from_secs(30), check).await.expect("the check ends");
}

macro_rules! parity {
    ($($name:ident)*) => {
        $(mod $name {
            #[test]
            fn simulated() {
                super::simulated(super::checks::$name);
            }

            #[test]
            fn real() {
                super::real(super::checks::$name);
            }
        })*
    };
}

parity! {
    a_closed_port_refuses
    a_listener_knows_its_port
    ports_in_use_and_foreign_addresses_are_refused
    a_port_can_be_listened_on_again
    one_address_is_not_all_addresses
    both_ends_see_what_was_written_and_the_end
    a_half_closed_connection_still_answers
    closing_with_unread_data_resets
    writing_to_a_closed_peer_fails_the_second_time
    writing_after_shutting_down_fails
    a_reset_is_reported_once
    what_came_before_a_reset_can_be_read
    connections_wait_for_accept
    connections_nobody_accepted_are_reset
    a_writer_waits_for_its_reader
    much_travels_both_ways_at_once
    many_connect_at_once
    unix_sockets_work_alike
}

async fn listen(ctx: &Ctx) -> Box<dyn Listener> {
    ctx.net.listen(&Addr::tcp("127.0.0.1", 0)).await.expect("a free port")
}

async fn connect(ctx: &Ctx, to: &Addr) -> io::Result<BoxStream> {
    ctx.net.connect(to).await
}

/// The two ends of a new connection: the one that connected, the one that accepted.
async fn pair(ctx: &Ctx) -> (BoxStream, BoxStream) {
    let mut listener = listen(ctx).await;
    let to = listener.local_addr();
    let (client, server) = tokio::join!(connect(ctx, &to), listener.accept());
    (client.expect("somebody listens"), server.expect("somebody connects").0)
}

/// The kind of error of an attempt that must fail.
fn kind<T>(result: io::Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it should have failed"),
        Err(e) => e.kind(),
    }
}

async fn read_all(stream: &mut BoxStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("an end");
    bytes
}

mod checks {
    use super::*;

    pub async fn a_closed_port_refuses(ctx: Ctx) {
        let at = listen(&ctx).await.local_addr();
        assert_eq!(kind(connect(&ctx, &at).await), ErrorKind::ConnectionRefused);
    }

    pub async fn a_listener_knows_its_port(ctx: Ctx) {
        let mut listener = listen(&ctx).await;
        let at = listener.local_addr();
        assert_eq!(at.host(), "127.0.0.1");
        assert_ne!(at.port(), 0);
        assert_ne!(listen(&ctx).await.local_addr().port(), at.port());
        let (client, server) = tokio::join!(connect(&ctx, &at), listener.accept());
        client.expect("somebody listens");
        let peer = server.expect("somebody connects").1;
        let port = peer.strip_prefix("127.0.0.1:").expect("the peer's address");
        assert_ne!(port.parse::<u16>().expect("a port"), at.port());
    }

    pub async fn ports_in_use_and_foreign_addresses_are_refused(ctx: Ctx) {
        let listener = listen(&ctx).await;
        let port = listener.local_addr().port();
        for host in ["127.0.0.1", "0.0.0.0"] {
            let again = ctx.net.listen(&Addr::tcp(host, port)).await;
            assert_eq!(kind(again), ErrorKind::AddrInUse, "{host}");
        }
        let foreign = ctx.net.listen(&Addr::tcp("192.0.2.1", 0)).await;
        assert_eq!(kind(foreign), ErrorKind::AddrNotAvailable);
    }

    pub async fn a_port_can_be_listened_on_again(ctx: Ctx) {
        let mut listener = listen(&ctx).await;
        let at = listener.local_addr();
        let (client, server) = tokio::join!(connect(&ctx, &at), listener.accept());
        let (mut client, mut server) = (client.unwrap(), server.unwrap().0);
        drop(listener);
        // An accepted connection does not need its listener.
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
        let again = ctx.net.listen(&at).await.expect("the port is free again");
        drop((client, server, again));
        ctx.net.listen(&at).await.expect("old connections do not keep the port");
    }

    pub async fn one_address_is_not_all_addresses(ctx: Ctx) {
        let one = listen(&ctx).await;
        let other = Addr::tcp("127.0.0.2", one.local_addr().port());
        assert_eq!(kind(connect(&ctx, &other).await), ErrorKind::ConnectionRefused);
        // The same port at another address is free.
        ctx.net.listen(&other).await.expect("a free port");
        let all = ctx.net.listen(&Addr::tcp("0.0.0.0", 0)).await.expect("a free port");
        let other = Addr::tcp("127.0.0.2", all.local_addr().port());
        connect(&ctx, &other).await.expect("all addresses are listened on");
    }

    pub async fn both_ends_see_what_was_written_and_the_end(ctx: Ctx) {
        let (mut client, mut server) = pair(&ctx).await;
        client.write_all(b"ping").await.unwrap();
        server.write_all(b"pong").await.unwrap();
        let mut four = [0; 4];
        client.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"pong");
        client.write_all(b" and more").await.unwrap();
        drop(client);
        assert_eq!(read_all(&mut server).await, b"ping and more");
        assert_eq!(server.read(&mut four).await.unwrap(), 0, "the end stays the end");
    }

    pub async fn a_half_closed_connection_still_answers(ctx: Ctx) {
        let (mut client, mut server) = pair(&ctx).await;
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut server).await, b"question");
        sleep(SETTLE).await;
        server.write_all(b"answer").await.unwrap();
        sleep(SETTLE).await;
        server.write_all(b"s").await.unwrap();
        drop(server);
        assert_eq!(read_all(&mut client).await, b"answers");
    }

    pub async fn closing_with_unread_data_resets(ctx: Ctx) {
        let (mut client, mut server) = pair(&ctx).await;
        client.write_all(b"some more than is read").await.unwrap();
        server.read_u8().await.unwrap();
        drop(server);
        sleep(SETTLE).await;
        let mut byte = [0];
        assert_eq!(kind(client.read(&mut byte).await), ErrorKind::ConnectionReset);
    }

    pub async fn writing_to_a_closed_peer_fails_the_second_time(ctx: Ctx) {
        let (mut client, server) = pair(&ctx).await;
        drop(server);
        sleep(SETTLE).await;
        client.write_all(b"nobody is there to tell").await.expect("the kernel takes it");
        sleep(SETTLE).await;
        assert_eq!(kind(client.write(b"x").await), ErrorKind::BrokenPipe);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "the end had come before");
    }

    pub async fn writing_after_shutting_down_fails(ctx: Ctx) {
        let (mut client, _server) = pair(&ctx).await;
        client.shutdown().await.unwrap();
        assert_eq!(kind(client.write(b"x").await), ErrorKind::BrokenPipe);
    }

    pub async fn a_reset_is_reported_once(ctx: Ctx) {
        let (mut client, mut server) = pair(&ctx).await;
        client.write_all(b"unread").await.unwrap();
        server.write_all(b"unread").await.unwrap();
        sleep(SETTLE).await;
        drop(client);
        sleep(SETTLE).await;
        assert_eq!(kind(server.write(b"x").await), ErrorKind::ConnectionReset);
        assert_eq!(kind(server.write(b"x").await), ErrorKind::BrokenPipe);
    }

    pub async fn what_came_before_a_reset_can_be_read(ctx: Ctx) {
        let (mut client, mut server) = pair(&ctx).await;
        client.write_all(b"unread").await.unwrap();
        server.write_all(b"last words").await.unwrap();
        sleep(SETTLE).await;
        drop(server);
        sleep(SETTLE).await;
        let mut words = [0; 10];
        client.read_exact(&mut words).await.unwrap();
        assert_eq!(&words, b"last words");
        assert_eq!(kind(client.read(&mut words).await), ErrorKind::ConnectionReset);
        assert_eq!(client.read(&mut words).await.unwrap(), 0);
    }

    pub async fn connections_wait_for_accept(ctx: Ctx) {
        let mut listener = listen(&ctx).await;
        let mut client = connect(&ctx, &listener.local_addr()).await.expect("the kernel answers");
        client.write_all(b"early").await.unwrap();
        drop(client);
        sleep(SETTLE).await;
        let (mut server, _) = listener.accept().await.unwrap();
        assert_eq!(read_all(&mut server).await, b"early");
    }

    pub async fn connections_nobody_accepted_are_reset(ctx: Ctx) {
        let listener = listen(&ctx).await;
        let mut client = connect(&ctx, &listener.local_addr()).await.expect("the kernel answers");
        sleep(SETTLE).await;
        drop(listener);
        sleep(SETTLE).await;
        assert_eq!(kind(client.read(&mut [0]).await), ErrorKind::ConnectionReset);
    }

    pub async fn a_writer_waits_for_its_reader(ctx: Ctx) {
        let (mut client, mut server) = pair(&ctx).await;
        let block = vec![7; 64 * 1024];
        let mut written = 0;
        while let Ok(count) = timeout(SETTLE * 4, client.write(&block)).await {
            written += count.unwrap();
            assert!(written < 64 << 20, "nobody reads, somebody must wait");
        }
        assert!(written >= 64 << 10);
        let mut read = 0;
        let mut buffer = vec![0; 100_000];
        let more = 1 << 20;
        let (wrote, ()) = tokio::join!(
            async {
                let mut client = client;
                client.write_all(&vec![7; more]).await
            },
            async {
                while read < written + more {
                    let count = server.read(&mut buffer).await.unwrap();
                    assert!(count > 0 && buffer[..count].iter().all(|byte| *byte == 7));
                    read += count;
                }
            }
        );
        wrote.expect("room again");
        assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
    }

    pub async fn much_travels_both_ways_at_once(ctx: Ctx) {
        async fn exchange(stream: BoxStream, seed: u8, size: usize) {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let pattern =
                |seed: u8| (0..size).map(move |i| (i as u8).wrapping_mul(31).wrapping_add(seed));
            let sent: Vec<u8> = pattern(seed).collect();
            let ((), received) = tokio::join!(
                async {
                    writer.write_all(&sent).await.unwrap();
                    writer.shutdown().await.unwrap();
                },
                async {
                    let mut received = Vec::new();
                    reader.read_to_end(&mut received).await.unwrap();
                    received
                }
            );
            assert!(received.into_iter().eq(pattern(!seed)), "every byte in order");
        }
        let (client, server) = pair(&ctx).await;
        tokio::join!(exchange(client, 1, 4 << 20), exchange(server, !1, 4 << 20));
    }

    pub async fn many_connect_at_once(ctx: Ctx) {
        let mut listener = listen(&ctx).await;
        let to = listener.local_addr();
        let echo_ctx = ctx.clone();
        let server = ctx.spawn("server", async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                echo_ctx.spawn("echo", async move {
                    let bytes = read_all(&mut stream).await;
                    stream.write_all(&bytes).await.unwrap();
                });
            }
        });
        let clients = (0_u32..100).map(|number| {
            let (ctx, to) = (&ctx, &to);
            async move {
                let mut stream = connect(ctx, to).await.expect("room in the backlog");
                stream.write_all(&number.to_be_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                assert_eq!(read_all(&mut stream).await, number.to_be_bytes());
            }
        });
        futures_util::future::join_all(clients).await;
        server.abort();
    }

    pub async fn unix_sockets_work_alike(ctx: Ctx) {
        let path = std::env::temp_dir().join(format!("sim-parity-{}.sock", std::process::id()));
        let at = Addr::Unix(path.clone());
        assert_eq!(kind(connect(&ctx, &at).await), ErrorKind::NotFound);
        let mut listener = ctx.net.listen(&at).await.expect("a place for the socket");
        assert_eq!(listener.local_addr(), at);
        let (client, server) = tokio::join!(connect(&ctx, &at), listener.accept());
        let (mut client, (mut server, peer)) = (client.unwrap(), server.unwrap());
        assert_eq!(peer, "");
        client.write_all(b"x").await.unwrap();
        drop(client);
        assert_eq!(read_all(&mut server).await, b"x");
        // The simulator's socket leaves no file behind; the kernel's does.
        let _ = std::fs::remove_file(path);
    }
}

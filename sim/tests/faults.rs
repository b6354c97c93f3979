//! What each fault does to hosts, processes and connections.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sim::{EPOCH, Link, World};
use swarm::ctx::{Addr, BoxStream, Ctx, Level};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::{Instant, sleep, timeout};

const MS: Duration = Duration::from_millis(1);

/// Two hosts, `a` and `b`.
fn with_two<T>(test: impl FnOnce(World, Ctx, Ctx) -> T + Send)
where
    T: Future<Output = ()>,
{
    sim::run(1, |world| async move {
        let a = world.add_host("a", Ipv4Addr::new(10, 0, 0, 1));
        let b = world.add_host("b", Ipv4Addr::new(10, 0, 0, 2));
        test(world, a, b).await;
    });
}

/// A connection from `a` to port 80 of `b`: the ends of `a` and of `b`.
async fn pair(a: &Ctx, b: &Ctx) -> (BoxStream, BoxStream) {
    let mut listener = b.net.listen(&Addr::tcp("", 80)).await.expect("the port is free");
    let to = Addr::tcp("b", 80);
    let (client, server) = tokio::join!(a.net.connect(&to), listener.accept());
    (client.expect("somebody listens"), server.expect("somebody connects").0)
}

fn cut_both(world: &World, on: bool) {
    for (from, to) in [("a", "b"), ("b", "a")] {
        if on { world.cut(from, to) } else { world.heal(from, to) }
    }
}

/// Writes a line each 100 ms.
async fn write_lines(mut stream: BoxStream, count: u32) {
    for number in 0..count {
        stream.write_all(format!("{number}\n").as_bytes()).await.expect("the connection lives");
        sleep(100 * MS).await;
    }
}

/// Reads lines to the end; they must be counted up from 0. Returns when each came.
async fn read_lines(stream: BoxStream, start: Instant) -> Vec<Duration> {
    let mut lines = BufReader::new(stream).lines();
    let mut arrivals = Vec::new();
    while let Some(line) = lines.next_line().await.expect("the connection lives") {
        assert_eq!(line, arrivals.len().to_string());
        arrivals.push(start.elapsed());
    }
    arrivals
}

#[test]
fn an_established_connection_survives_a_partition() {
    with_two(|world, a, b| async move {
        let (client, server) = pair(&a, &b).await;
        let start = Instant::now();
        let partition = async {
            sleep(1_050 * MS).await;
            cut_both(&world, true);
            sleep(3_000 * MS).await;
            cut_both(&world, false);
        };
        let (arrivals, (), ()) =
            tokio::join!(read_lines(server, start), write_lines(client, 60), partition);
        assert_eq!(arrivals.len(), 60);
        assert!(arrivals[10] < 1_050 * MS);
        // Written at 1.1 s, tried again 0.2, 0.6, 1.4 and 3.0 s later: the fourth gets through.
        assert!(arrivals[11] >= 4_100 * MS && arrivals[11] < 4_110 * MS, "{:?}", arrivals[11]);
        assert!(arrivals[40] < 4_110 * MS, "all that waited comes with it");
    });
}

#[test]
fn data_crosses_a_one_way_cut_once_although_nobody_acknowledges_it() {
    with_two(|world, a, b| async move {
        let (mut client, mut server) = pair(&a, &b).await;
        world.cut("b", "a");
        client.write_all(b"hello").await.expect("the kernel takes it");
        let mut five = [0; 5];
        timeout(10 * MS, server.read_exact(&mut five)).await.expect("it gets through").unwrap();
        assert_eq!(&five, b"hello");
        server.write_all(b"reply").await.expect("the kernel takes it");
        timeout(5_000 * MS, client.read_exact(&mut five)).await.expect_err("the way back is cut");
        world.heal("b", "a");
        client.read_exact(&mut five).await.unwrap();
        assert_eq!(&five, b"reply");
        assert!(timeout(200_000 * MS, server.read_u8()).await.is_err(), "it came once only");
    });
}

#[test]
fn a_full_window_opens_again_after_a_one_way_cut() {
    with_two(|world, a, b| async move {
        let (mut client, mut server) = pair(&a, &b).await;
        client.write_all(&vec![1; 256 * 1024]).await.expect("a window");
        sleep(5 * MS).await;
        world.cut("b", "a");
        let mut window = vec![0; 256 * 1024];
        server.read_exact(&mut window).await.expect("it has arrived");
        let mut stuck = std::pin::pin!(client.write_all(b"more"));
        timeout(1_000 * MS, &mut stuck).await.expect_err("nobody told of the room");
        world.heal("b", "a");
        timeout(2_000 * MS, stuck).await.expect("a probe finds out").expect("it lives");
        let mut four = [0; 4];
        server.read_exact(&mut four).await.expect("it arrives");
    });
}

#[test]
fn a_connection_nobody_answers_on_is_given_up_after_a_quarter_of_an_hour() {
    with_two(|world, a, b| async move {
        let (mut client, mut server) = pair(&a, &b).await;
        cut_both(&world, true);
        client.write_all(b"x").await.expect("the kernel takes it");
        let start = Instant::now();
        let error = client.read_u8().await.expect_err("no answer ever");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 924);
        // The other end had nothing to send and knows nothing.
        cut_both(&world, false);
        timeout(3_600_000 * MS, server.read_u8()).await.expect_err("silence");
        server.write_all(b"x").await.expect("the kernel takes it");
        let error = server.read_u8().await.expect_err("the connection is unknown there");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn attempts_to_connect_are_repeated_and_given_up() {
    with_two(|world, a, b| async move {
        let to = Addr::tcp("b", 80);
        let _listener = b.net.listen(&to).await.expect("the port is free");
        let start = Instant::now();
        world.cut("b", "a");
        let mut attempt = std::pin::pin!(a.net.connect(&to));
        assert!(timeout(5_000 * MS, &mut attempt).await.is_err(), "the answer is lost");
        world.heal("b", "a");
        attempt.await.expect("the attempt after 7 s gets through");
        assert_eq!(start.elapsed().as_secs(), 7);

        world.cut("a", "b");
        let start = Instant::now();
        let error = a.net.connect(&to).await.err().expect("no answer");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 127);

        let start = Instant::now();
        let nobody = a.net.connect(&Addr::tcp("10.9.9.9", 80)).await.err().expect("nobody");
        assert_eq!(nobody.to_string(), "No route to host (os error 113)");
        assert_eq!(start.elapsed().as_secs(), 3);
        let unknown = a.net.connect(&Addr::tcp("nobody", 80)).await.err().expect("nobody");
        assert_eq!(unknown.to_string(), "lookup nobody: no such host");
    });
}

#[test]
fn a_full_backlog_keeps_attempts_waiting() {
    with_two(|_, a, b| async move {
        let to = Addr::tcp("b", 80);
        let mut listener = b.net.listen(&to).await.expect("the port is free");
        let mut waiting = Vec::new();
        for _ in 0..1024 {
            waiting.push(a.net.connect(&to).await.expect("room in the backlog"));
        }
        sleep(5 * MS).await;
        let mut late = std::pin::pin!(a.net.connect(&to));
        assert!(timeout(500 * MS, &mut late).await.is_err(), "the backlog is full");
        listener.accept().await.expect("one of many");
        let start = Instant::now();
        late.await.expect("room again");
        assert!(start.elapsed() < 1_000 * MS);
    });
}

#[test]
fn losses_cost_time_but_no_data() {
    with_two(|world, a, b| async move {
        let loss = Link { loss_ppm: 300_000, ..Link::LAN };
        world.set_link("a", "b", loss);
        let (client, server) = pair(&a, &b).await;
        let start = Instant::now();
        let (arrivals, ()) = tokio::join!(read_lines(server, start), write_lines(client, 100));
        assert_eq!(arrivals.len(), 100);
        let late = arrivals
            .iter()
            .enumerate()
            .filter(|(number, at)| **at > 100 * MS * u32::try_from(*number).unwrap() + 100 * MS)
            .count();
        assert!((15..80).contains(&late), "{late} of 100 lines were late");
    });
}

#[test]
fn a_slow_link_takes_its_time() {
    with_two(|world, a, b| async move {
        let (mut client, mut server) = pair(&a, &b).await;
        world.set_link("a", "b", Link { min_us: 80_000, max_us: 80_000, loss_ppm: 0 });
        let start = Instant::now();
        client.write_all(b"x").await.unwrap();
        server.read_u8().await.unwrap();
        assert_eq!(start.elapsed(), 80 * MS);
        // What was sent before the link got faster is not overtaken.
        client.write_all(b"1").await.unwrap();
        world.set_link("a", "b", Link::LAN);
        client.write_all(b"2").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'1');
        assert_eq!(start.elapsed(), 160 * MS);
        assert_eq!(server.read_u8().await.unwrap(), b'2');
    });
}

#[test]
fn a_killed_process_leaves_as_the_kernel_leaves() {
    with_two(|world, a, _| async move {
        // One connection is idle, the other has unread data when the process dies.
        let process = world.start("b", "server", |ctx| async move {
            let mut listener = ctx.net.listen(&Addr::tcp("", 80)).await.expect("a free port");
            let mut kept = Vec::new();
            loop {
                kept.push(listener.accept().await.expect("connections").0);
            }
        });
        sleep(MS).await;
        let to = Addr::tcp("b", 80);
        let mut idle = a.net.connect(&to).await.expect("somebody listens");
        let mut busy = a.net.connect(&to).await.expect("somebody listens");
        busy.write_all(b"unread").await.expect("room");
        sleep(5 * MS).await;
        process.kill();
        assert_eq!(idle.read(&mut [0]).await.expect("an orderly end"), 0);
        let error = busy.read_u8().await.expect_err("data was lost");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let refused = a.net.connect(&to).await.err().expect("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn power_off_tells_nobody_and_boot_resets() {
    with_two(|world, a, b| async move {
        let (mut client, server) = pair(&a, &b).await;
        world.power_off("b");
        assert!(!world.is_up("b"));
        timeout(60_000 * MS, client.read_u8()).await.expect_err("silence");
        client.write_all(b"x").await.expect("the kernel takes it");
        timeout(60_000 * MS, client.read_u8()).await.expect_err("still silence");
        world.boot("b");
        let error = client.read_u8().await.expect_err("b has forgotten the connection");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        drop(server);
        // The context of the host serves the new incarnation.
        pair(&a, &b).await;
    });
}

#[test]
fn a_dark_host_gives_errors_to_whoever_acts_for_it() {
    with_two(|world, _, b| async move {
        world.power_off("b");
        let error = b.net.listen(&Addr::tcp("", 80)).await.err().expect("no power");
        assert_eq!(error.to_string(), "host b is off");
        let ran = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&ran);
        b.spawn("ghost", async move {
            count.fetch_add(1, Ordering::Relaxed);
        });
        sleep(MS).await;
        assert_eq!(ran.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn a_reset_breaks_the_connections_of_two_hosts_only() {
    with_two(|world, a, b| async move {
        world.add_host("c", Ipv4Addr::new(10, 0, 0, 3));
        let (mut client, mut server) = pair(&a, &b).await;
        let mut listener = b.net.listen(&Addr::tcp("", 81)).await.expect("a free port");
        let c = world.ctx("c");
        let to = Addr::tcp("b", 81);
        let (other, accepted) = tokio::join!(c.net.connect(&to), listener.accept());
        let (mut other, mut accepted) = (other.unwrap(), accepted.unwrap().0);
        assert_eq!(world.reset("b", "a"), 1);
        for end in [&mut client, &mut server] {
            assert_eq!(end.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
        other.write_all(b"x").await.unwrap();
        assert_eq!(accepted.read_u8().await.unwrap(), b'x');
    });
}

/// Counts up each 10 ms.
async fn count_up(count: Arc<AtomicU32>) {
    loop {
        sleep(10 * MS).await;
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_paused_host_runs_nothing_but_its_kernel() {
    with_two(|world, a, b| async move {
        let ticks = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&ticks);
        world.start("b", "ticker", |_| count_up(count));
        let mut listener = b.net.listen(&Addr::tcp("", 80)).await.expect("a free port");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&heard);
        b.spawn("server", async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            while stream.read(&mut byte).await.unwrap() == 1 {
                sink.lock().unwrap().push(byte[0]);
            }
        });
        sleep(105 * MS).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 10);
        world.pause("b");
        let mut client = a.net.connect(&Addr::tcp("b", 80)).await.expect("the kernel answers");
        client.write_all(b"hi").await.expect("the kernel takes it");
        sleep(1_000 * MS).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 10);
        assert!(heard.lock().unwrap().is_empty());
        world.resume("b");
        sleep(105 * MS).await;
        assert!((20..22).contains(&ticks.load(Ordering::Relaxed)));
        assert_eq!(*heard.lock().unwrap(), b"hi");
    });
}

#[test]
fn each_wake_on_a_slow_host_takes_longer() {
    with_two(|world, _, _| async move {
        let ticks = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&ticks);
        world.slow("b", 40 * MS);
        world.start("b", "ticker", |_| count_up(count));
        sleep(1_000 * MS).await;
        // 40 ms before the first poll, then 10 + 40 ms for each tick.
        assert_eq!(ticks.load(Ordering::Relaxed), 19);
        world.slow("b", Duration::ZERO);
        sleep(1_000 * MS).await;
        assert!((115..=120).contains(&ticks.load(Ordering::Relaxed)));
    });
}

#[test]
fn wall_clocks_jump_and_monotonic_time_does_not() {
    with_two(|world, a, b| async move {
        sleep(1_500 * MS).await;
        let wall = |ctx: &Ctx| ctx.clock.wall().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(wall(&a), EPOCH + 1_500 * MS);
        assert_eq!(a.now().to_string(), "2026-01-01T00:00:01.5Z");
        world.wall_jump("b", -3_600_000);
        world.wall_jump("b", 600_000);
        assert_eq!(wall(&b), EPOCH + 1_500 * MS - 3_000_000 * MS);
        assert_eq!(wall(&a), EPOCH + 1_500 * MS);
        assert_eq!(world.now(), 1_500 * MS);
    });
}

#[test]
fn files_and_randomness_belong_to_a_host() {
    with_two(|world, a, b| async move {
        world.write_file("a", "/etc/list", "10.0.0.2:2375\n");
        let path = Path::new("/etc/list");
        assert_eq!(a.files.read(path).unwrap(), b"10.0.0.2:2375\n");
        let missing = b.files.read(path).unwrap_err();
        assert_eq!(missing.to_string(), "No such file or directory (os error 2)");
        let first = a.random_id("id");
        assert_ne!(first, b.random_id("id"));
        assert_ne!(first, a.random_id("id"), "the stream goes on");
    });
}

#[test]
fn a_stream_of_randomness_depends_on_nothing_else() {
    let draws = |noisy: bool| {
        sim::run(5, |world: World| async move {
            let a = world.add_host("a", Ipv4Addr::new(10, 0, 0, 1));
            if noisy {
                let b = world.add_host("b", Ipv4Addr::new(10, 0, 0, 2));
                let _ = b.random_id("id");
                let _ = a.random_id("another purpose");
            }
            (a.random_id("id"), a.random_u64("id"))
        })
    };
    assert_eq!(draws(false), draws(true));
}

#[test]
fn a_process_takes_what_it_spawned_with_it() {
    with_two(|world, _, _| async move {
        struct OnDrop(Arc<AtomicU32>);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let dropped = Arc::new(AtomicU32::new(0));
        let start = |lives: bool| {
            let guard = OnDrop(Arc::clone(&dropped));
            world.start("b", "parent", move |ctx| async move {
                let inner = ctx.clone();
                ctx.spawn("child", async move {
                    inner.spawn("grandchild", async move {
                        let _guard = guard;
                        std::future::pending::<()>().await;
                    });
                });
                sleep(5 * MS).await;
                if lives {
                    std::future::pending::<()>().await;
                }
            })
        };
        let killed = start(true);
        sleep(10 * MS).await;
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
        killed.kill();
        killed.wait().await;
        sleep(MS).await;
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        // A process whose main returns ends as well.
        let returned = start(false);
        returned.wait().await;
        assert!(!returned.is_running());
        sleep(MS).await;
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn the_log_and_the_faults_are_in_the_trace() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    with_two(|world, _, _| async move {
        world.trace().observe(Box::new(move |record| {
            sink.lock().unwrap().push(record.to_string());
        }));
        let process = world.start("a", "manager", |ctx| async move {
            sleep(2 * MS).await;
            ctx.log_with(Level::Info, "Listening", &[("addr", ":2375")]);
            std::future::pending::<()>().await;
        });
        sleep(5 * MS).await;
        process.kill();
        process.ctx().log(Level::Error, "heard by nobody");
        world.cut("a", "b");
    });
    assert_eq!(
        *lines.lock().unwrap(),
        [
            "    0.000000 a/manager process.started",
            "    0.002000 a/manager log.info message=\"Listening\" addr=\":2375\"",
            "    0.005000 a/manager process.killed",
            "    0.005000 a/world link.cut to=\"b\"",
        ]
    );
}

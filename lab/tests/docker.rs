//! The docker world against a real engine.
//!
//! `cargo test -p lab --features docker-tests --test docker`. All tests use one subnet, and no two
//! networks of an engine may overlap: they take turns.
#![expect(clippy::disallowed_methods, reason = "the real world's own calls")]

use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lab::event::Memory;
use lab::scenario::CertKind;
use lab::scenario::cluster::{Cluster, Engine, Host, StoreKind, Subnet};
use lab::world::docker::images::Source;
use lab::world::docker::{DockerWorld, Options, gc};
use lab::world::{World as _, WorldError};
use tokio::sync::Mutex;

/// Set in a process that holds a world: until it is killed, or to `keep` it behind.
const HOLD: &str = "LAB_TEST_HOLD";

/// A machine with other things to do may take so long to start an engine and a container.
const BACK: Duration = Duration::from_secs(90);

static TURN: Mutex<()> = Mutex::const_new(());

fn host(name: &str, last: u8) -> Host {
    Host {
        name: name.into(),
        address: Ipv4Addr::new(10, 100, 198, last),
        engine: None,
        store: None,
        manager: None,
        agent: None,
    }
}

/// One host with a store, one with an engine.
fn cluster() -> Cluster {
    let labels = [("zone".to_owned(), "external".to_owned())].into_iter().collect();
    let engine = Engine { cpus: 1, memory: 1 << 30, labels, id: None, cert: CertKind::Good };
    Cluster {
        name: "test".into(),
        network: Subnet { base: Ipv4Addr::new(10, 100, 198, 0), prefix: 24 },
        tls: false,
        hosts: vec![
            Host { store: Some(StoreKind::Consul), ..host("dockerswarm01", 200) },
            Host { engine: Some(engine), ..host("dockerhost01", 201) },
        ],
        images: vec!["busybox".into(), "nginx".into()],
    }
}

fn options(sink: Arc<Memory>) -> Options {
    let mut options =
        Options::new(sink, Arc::new(|step| eprintln!("  {step}"))).expect("LAB_IMAGES is valid");
    options.lab = PathBuf::from(env!("CARGO_BIN_EXE_lab"));
    options
}

fn world() -> DockerWorld {
    DockerWorld::new(cluster(), options(Arc::default())).expect("the cluster can be real")
}

fn docker(args: &[&str]) -> Output {
    Command::new("docker").args(args).output().expect("the docker command line is installed")
}

fn stdout(args: &[&str]) -> String {
    let output = docker(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("docker writes UTF-8").trim().to_owned()
}

/// Everything on the engine that belongs to `run`, and its guard.
fn traces(run: &str) -> String {
    let label = format!("label=lab.run={run}");
    let mut all = stdout(&["ps", "-aq", "--filter", &label]);
    all += &stdout(&["network", "ls", "-q", "--filter", &label]);
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(&format!("guard\0{run}")) {
            all += &format!("guard {}", entry.path().display());
        }
    }
    all
}

fn volumes() -> String {
    stdout(&["volume", "ls", "-q"])
}

async fn up(world: &mut DockerWorld) -> Result<(), WorldError> {
    let begin = Instant::now();
    let done = world.up().await;
    eprintln!("  up in {:.2} s", begin.elapsed().as_secs_f64());
    done
}

async fn down(world: &mut DockerWorld) {
    let begin = Instant::now();
    world.down().await.unwrap();
    eprintln!("  down in {:.2} s", begin.elapsed().as_secs_f64());
    assert_eq!(traces(world.run()), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_world_comes_up_as_described_and_goes_without_a_trace() {
    let _turn = TURN.lock().await;
    let before = volumes();
    let sink = Arc::new(Memory::default());
    let mut world = DockerWorld::new(cluster(), options(sink.clone())).unwrap();
    up(&mut world).await.unwrap();

    let node = "tcp://10.100.198.201:2375";
    let form = "{{.Name}} {{.NCPU}} {{.MemTotal}} {{.Labels}} {{.Driver}}";
    let info = stdout(&["-H", node, "info", "--format", form]);
    assert_eq!(info, "dockerhost01 1 1073741824 [zone=external] overlay2");
    let images = stdout(&["-H", node, "images", "--format", "{{.Repository}}:{{.Tag}}"]);
    let mut images: Vec<_> = images.lines().collect();
    images.sort_unstable();
    assert_eq!(images, ["busybox:latest", "nginx:latest"]);
    stdout(&["-H", node, "run", "-d", "-p", "80:80", "--name", "web", "nginx"]);
    let page = "wget -qO- http://10.100.198.201:80/";
    let page = stdout(&["-H", node, "run", "--rm", "busybox", "sh", "-c", page]);
    assert!(page.contains("Welcome to nginx"), "{page}");
    assert!(stdout(&["-H", node, "top", "web"]).contains("nginx: master"));

    // By name, through the context of a client outside.
    let client = world.client();
    let store = swarm::ctx::Addr::tcp("dockerswarm01", 8500);
    client.net.connect(&store).await.expect("the store listens");

    let kinds: Vec<_> = sink.events().into_iter().map(|e| (e.host, e.component, e.kind)).collect();
    for (host, component) in [("dockerhost01", "engine"), ("dockerswarm01", "store")] {
        let said = (host.to_owned(), component.to_owned(), "log.info".to_owned());
        assert!(kinds.contains(&said), "no {component} in {kinds:?}");
    }
    down(&mut world).await;
    assert_eq!(volumes(), before);
    world.down().await.expect("a second time does nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_engine_is_started_again_by_the_nodes_own_program() {
    let _turn = TURN.lock().await;
    let mut world = world();
    up(&mut world).await.unwrap();
    let node = format!("lab-{}-dockerhost01", world.run());
    let order = |verb: &str| docker(&["exec", &node, "/lab/lab", "node", "ctl", verb, "engine"]);
    let engine = "tcp://10.100.198.201:2375";
    stdout(&["-H", engine, "run", "-d", "--restart=always", "--name", "web", "nginx"]);

    assert!(order("kill").status.success());
    assert!(!docker(&["-H", engine, "version"]).status.success());
    assert!(order("start").status.success());
    let begin = Instant::now();
    while !docker(&["-H", engine, "exec", "web", "true"]).status.success() {
        assert!(begin.elapsed() < BACK, "the container did not come back");
        std::thread::sleep(Duration::from_millis(100));
    }
    let refused = order("dance");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no verb `dance`"));

    // A node that is cut off by SIGKILL comes back at its own address.
    stdout(&["kill", &node]);
    stdout(&["start", &node]);
    let begin = Instant::now();
    while !docker(&["-H", engine, "exec", "web", "true"]).status.success() {
        assert!(begin.elapsed() < BACK, "the node did not come back");
        std::thread::sleep(Duration::from_millis(100));
    }
    down(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_world_that_is_dropped_is_removed() {
    let _turn = TURN.lock().await;
    let mut world = world();
    up(&mut world).await.unwrap();
    let run = world.run().to_owned();
    assert_ne!(traces(&run), "");
    drop(world);
    assert_eq!(traces(&run), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_world_that_is_interrupted_while_it_comes_up_is_removed() {
    let _turn = TURN.lock().await;
    let before = volumes();
    // Wherever the interruption falls, between nothing and nearly everything.
    for millis in [300, 900, 1500, 2500] {
        let mut world = world();
        let _ = tokio::time::timeout(Duration::from_millis(millis), world.up()).await;
        down(&mut world).await;
    }
    assert_eq!(volumes(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_worlds_on_one_subnet_are_refused_with_the_holders_name() {
    let _turn = TURN.lock().await;
    let mut first = world();
    up(&mut first).await.unwrap();
    let mut second = world();
    let error = second.up().await.unwrap_err();
    assert_eq!(error.what, format!("10.100.198.0/24 is in use by test (run {})", first.run()));
    assert!(error.help.contains(&format!("process {}", std::process::id())), "{}", error.help);
    down(&mut second).await;
    down(&mut first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_world_that_is_kept_stays_until_it_is_collected() {
    let _turn = TURN.lock().await;
    let (mut holder, _output, run) = hold("keep");
    assert!(holder.wait().unwrap().success());
    let mut next = world();
    let error = next.up().await.unwrap_err();
    assert_eq!(error.what, format!("10.100.198.0/24 is in use by test (run {run})"));
    assert_eq!(error.help, format!("it was asked to stay: `lab down {run}` removes it"));
    down(&mut next).await;
    let collected = gc::collect(false).await.unwrap();
    let ours = collected.iter().find(|collected| collected.run == run);
    assert_eq!(ours.map(|collected| collected.things), Some(5), "3 containers, network, volume");
    assert_eq!(traces(&run), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_ends_at_once_is_reported_with_its_last_words() {
    let _turn = TURN.lock().await;
    let mut cluster = cluster();
    cluster.hosts[0].manager = Some(lab::scenario::cluster::Manager {
        strategy: "spread".into(),
        port: 3375,
        options: Vec::new(),
        cert: CertKind::Good,
    });
    let mut options = options(Arc::default());
    // Any static program that does not know `manage`.
    options.manager = Some(options.lab.clone());
    let mut world = DockerWorld::new(cluster, options).unwrap();
    let error = up(&mut world).await.unwrap_err();
    let expected = "the manager on dockerswarm01 has ended";
    assert!(error.what.starts_with(expected), "{error}");
    down(&mut world).await;
}

/// Starts another process that holds a world; returns the world's run once it is up.
///
/// Its output comes along: closed, it would fail the process.
fn hold(how: &str) -> (Child, impl Sized, String) {
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hold_a_world", "--ignored", "--nocapture"])
        .env(HOLD, how)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let held = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|l| Some(l.strip_prefix("held ")?.to_owned()));
    (holder, lines, held.expect("the world came up"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_built_is_refused_before_anything_starts() {
    let _turn = TURN.lock().await;
    let mut cluster = cluster();
    cluster.images.push("redis:7".into());
    let mut options = options(Arc::default());
    options.source = Source::Build;
    let mut world = DockerWorld::new(cluster, options).unwrap();
    let error = world.up().await.unwrap_err();
    let expected = "no registry answers, and the image redis:7 cannot be built here";
    assert_eq!(error.what, expected);
    assert_eq!(error.help, "without a registry there are busybox:latest and nginx:latest");
    assert_eq!(traces(world.run()), "");
    down(&mut world).await;
}

#[test]
fn nothing_is_left_of_a_process_that_was_killed() {
    let _turn = TURN.blocking_lock();
    let before = volumes();
    let (mut holder, _output, run) = hold("until killed");
    assert_ne!(traces(&run), "");
    holder.kill().unwrap();
    holder.wait().unwrap();
    let begin = Instant::now();
    while !traces(&run).is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(20), "left: {}", traces(&run));
        std::thread::sleep(Duration::from_millis(100));
    }
    eprintln!("  gone after {:.2} s", begin.elapsed().as_secs_f64());
    assert_eq!(volumes(), before);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "holds a world until it is killed: run by other tests"]
async fn hold_a_world() {
    let Ok(how) = std::env::var(HOLD) else { return };
    let mut options = options(Arc::default());
    options.keep = how == "keep";
    let mut world = DockerWorld::new(cluster(), options).unwrap();
    world.up().await.unwrap();
    println!("held {}", world.run());
    if how == "keep" {
        world.down().await.unwrap();
    } else {
        std::future::pending::<()>().await;
    }
}

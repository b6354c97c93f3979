//! The `lab` command on real engines.
//!
//! `cargo test -p lab --features docker-tests --test 'docker*'`. No two runs may have the same
//! subnet: the tests take turns.
#![expect(clippy::disallowed_methods, reason = "the real world's own calls")]

mod streams;
mod transcript;
mod up;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const VAGRANT4: &str = "scenarios/vagrant4.yaml";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate of the workspace").into()
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.args(args).current_dir(root());
    command
}

fn lab(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed has said so already.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything on the engine that any run has made, and every guard that is still alive.
fn left() -> String {
    let list = |args: &[&str]| {
        let output =
            Command::new("docker").args(args).args(["--filter", "label=lab.run"]).output().unwrap();
        assert!(output.status.success(), "docker {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let mut left = list(&["ps", "-a", "--format", "container {{.Names}}"]);
    left += &list(&["network", "ls", "--format", "network {{.Name}}"]);
    left += &list(&["volume", "ls", "--format", "volume {{.Name}}"]);
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).collect();
        if words.get(1) == Some(&&b"guard"[..]) && text(words[0]).contains("exe") {
            left += &format!("process {}\n", text(&line).replace('\0', " "));
        }
    }
    left
}

/// Removes a cluster that was kept, whatever the test says.
struct Kept;

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = lab(&["gc"]);
    }
}

/// Nothing is left, at the latest after `limit`.
fn assert_clean(limit: Duration) {
    let began = Instant::now();
    loop {
        let left = left();
        if left.is_empty() {
            return;
        }
        assert!(began.elapsed() < limit, "after {limit:?} there still is:\n{left}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn both_worlds_tell_the_same_story() {
    let _turn = turn();
    let output = lab(&["compare", VAGRANT4]);
    let words = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{words}{}", text(&output.stderr));
    assert!(words.contains("same story: "), "{words}");
    assert_clean(Duration::ZERO);
}

#[test]
fn a_failing_step_is_explained_and_nothing_is_left() {
    let _turn = turn();
    let folder = std::env::temp_dir().join(format!("lab-failing-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("failing.yaml");
    std::fs::write(
        &file,
        "name: failing\n\
         cluster:\n  hosts:\n    \
           boss: { address: 10.100.199.10, store: consul, manager: { strategy: spread } }\n    \
           red: { address: 10.100.199.11, engine: { labels: { disk: ssd } } }\n    \
           blue: { address: 10.100.199.12, engine: { labels: { disk: hdd } } }\n\
         steps:\n  - wait: { healthy: 2 }\n  \
           - run: { name: db, image: busybox, command: [sleep, 1d] }\n    \
             expect: { node: red }\n",
    )
    .unwrap();
    let output = lab(&["run", file.to_str().unwrap(), "--on", "docker"]);
    std::fs::remove_dir_all(&folder).unwrap();
    let words = text(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{words}{}", text(&output.stderr));
    for part in [
        "error: db is on blue, not on red",
        "failing.yaml:10:21",
        "red           fits, number 2 by spread",
        "last events",
        "create db: 2 nodes -> blue",
        "replay: cargo lab run",
        "failed: 1 of 2 steps passed",
    ] {
        assert!(words.contains(part), "no `{part}` in:\n{words}");
    }
    assert_clean(Duration::ZERO);
}

/// A run on docker, past the line of its report that contains `until`.
fn run_until(until: &str) -> Child {
    let mut child = command(&["run", VAGRANT4, "--on", "docker"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let mut lines = BufReader::new(stdout).lines();
    let seen = lines.any(|line| line.unwrap().contains(until));
    assert!(seen, "the run ended before `{until}`");
    child
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

#[test]
fn ctrl_c_removes_everything_before_it_returns() {
    let _turn = turn();
    for (until, name) in [("4 hosts on", "-INT"), ("proxy1", "-INT"), ("proxy2", "-TERM")] {
        let mut child = run_until(until);
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_clean(Duration::ZERO);
    }
}

/// Twenty moments of a run, one in each twentieth of its usual length, at random within that.
fn moments() -> Vec<Duration> {
    const EACH: u64 = 550;
    let mut random = [0; 8 * 20];
    File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
    let parts = random.chunks_exact(8).map(|b| u64::from_ne_bytes(b.try_into().unwrap()) % EACH);
    (0..).zip(parts).map(|(n, part)| Duration::from_millis(n * EACH + part)).collect()
}

#[test]
fn twenty_times_kill_9_at_random_moments_leave_nothing() {
    let _turn = turn();
    for moment in moments() {
        let mut child = command(&["run", VAGRANT4, "--on", "docker"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        let begin = Instant::now();
        assert_clean(Duration::from_secs(20));
        eprintln!("  killed after {moment:?}: clean after {:?}", begin.elapsed());
    }
}

#[test]
fn a_kept_cluster_stays_until_it_is_collected() {
    let _turn = turn();
    let _kept = Kept;
    let output = lab(&["run", VAGRANT4, "--on", "docker", "--until", "1", "--keep"]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let info = Command::new("docker")
        .args(["-H", "tcp://10.100.199.200:2375", "info", "--format", "{{.ServerVersion}}"])
        .output()
        .unwrap();
    let listed = lab(&["ps", "vagrant4"]);
    let collected = lab(&["gc"]);
    assert!(text(&info.stdout).starts_with("swarm/"), "{}", text(&info.stderr));
    assert!(text(&listed.stdout).contains("Healthy"), "{}", text(&listed.stdout));
    assert!(text(&collected.stdout).contains("removed run"), "{}", text(&collected.stdout));
    assert_clean(Duration::ZERO);
}

#[test]
fn a_kept_cluster_with_tls_serves_the_stock_command_and_keeps_its_keys() {
    let _turn = turn();
    let log = std::env::temp_dir().join(format!("lab-keys-{}.jsonl", std::process::id()));
    let path = log.to_str().unwrap();
    let how = ["--on", "docker", "--tls", "on", "--until", "1", "--keep", "--log", path];
    let output = lab(&[&["run", VAGRANT4][..], &how].concat());
    let report = text(&output.stdout);
    assert!(output.status.success(), "{report}{}", text(&output.stderr));
    let _kept = Kept;
    let variables = text(&lab(&["env", "vagrant4"]).stdout);
    let certs = variables.split("DOCKER_CERT_PATH=").nth(1).and_then(|rest| rest.split(';').next());
    let certs = certs.expect("the variables say where the certificates are").to_owned();
    let manager = |variables: &[(&str, &str)]| {
        let mut command = Command::new("docker");
        command.args(["-H", "tcp://10.100.199.200:2376", "info"]);
        command.envs(variables.iter().copied()).output().unwrap()
    };
    let known = manager(&[("DOCKER_CERT_PATH", &certs), ("DOCKER_TLS_VERIFY", "1")]);
    let stranger = manager(&[]);
    streams::work(&variables);
    let docker = |args: &[&str]| Command::new("docker").args(args).output().unwrap();
    let list = ["ps", "-q", "--filter", "label=lab.run", "--filter", "name=dockerhost"];
    let nodes = text(&docker(&list).stdout);
    let key = |node: &str| {
        let packed = docker(&["cp", &format!("{node}:/etc/pki/tls/key.pem"), "-"]).stdout;
        // A tar header: the mode is in bytes 100 to 106, octal; its last four digits matter.
        (text(&packed[103..107]), text(&packed))
    };
    let keys: Vec<_> = nodes.lines().map(key).collect();
    let mut said = report + &text(&output.stderr) + &std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    for container in text(&docker(&["ps", "-q", "--filter", "label=lab.run"]).stdout).lines() {
        let logs = docker(&["logs", container]);
        said += &(text(&logs.stdout) + &text(&logs.stderr));
    }
    let client = std::fs::read_to_string(Path::new(&certs).join("key.pem")).unwrap();
    let collected = lab(&["gc"]);
    assert!(!Path::new(&certs).exists(), "the client's key outlives its cluster");
    assert!(text(&known.stdout).contains("Nodes: 3"), "{}", text(&known.stderr));
    assert!(text(&stranger.stderr).contains("HTTP request to an HTTPS server"));
    assert_eq!(keys.iter().map(|(mode, _)| mode.as_str()).collect::<Vec<_>>(), ["0600"; 3]);
    assert!(said.contains("dockerhost03"), "these are no logs: {said}");
    for key in keys.iter().map(|(_, key)| key).chain([&client]) {
        let body = key.lines().skip_while(|line| !line.contains("BEGIN")).nth(1);
        assert!(!said.contains(body.expect("a key has a line")), "a private key was logged");
    }
    assert!(text(&collected.stdout).contains("removed run"), "{}", text(&collected.stdout));
    assert_clean(Duration::ZERO);
}

#[test]
fn bad_certificates_are_the_same_story_in_both_worlds() {
    let _turn = turn();
    for scenario in ["scenarios/tls-menu.yaml", "scenarios/tls-no-ip-san.yaml"] {
        let output = lab(&["compare", scenario]);
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }
    assert_clean(Duration::ZERO);
}

#[test]
fn containers_of_a_dead_node_move_on_real_engines_too() {
    let _turn = turn();
    // Its matrix runs it without TLS and with.
    let output = lab(&["run", "scenarios/reschedule.yaml", "--on", "docker"]);
    let words = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{words}{}", text(&output.stderr));
    assert_eq!(words.matches("  passed: ").count(), 2, "{words}");
    assert_clean(Duration::ZERO);
}

#[test]
fn another_manager_may_take_the_place_of_ours() {
    let _turn = turn();
    // Any static program with the classic command line will do: ours, as a stranger.
    let swarm = Path::new(env!("CARGO_BIN_EXE_lab")).with_file_name("swarm");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "swarm"])
        .current_dir(root())
        .status()
        .unwrap();
    assert!(built.success() && swarm.exists(), "{}", swarm.display());
    let swarm = swarm.to_str().unwrap();
    let output = lab(&["run", VAGRANT4, "--on", "docker", "--until", "3", "--manager", swarm]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_clean(Duration::ZERO);
}

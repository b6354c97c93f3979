//! A cluster that stays up: `lab up`, `env`, `ps`, `fault`, `down`, as a person uses them.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::{command, lab, signal, text, turn};

/// The cluster of these tests, alone on its subnet.
const FILE: &str = "
name: up-test
cluster:
  network: 10.100.196.0/24
  hosts:
    boss:
      address: 10.100.196.10
      store: consul
      manager:
        options: [--engine-refresh-min-interval, 1s, --engine-refresh-max-interval, 2s]
    red:   { address: 10.100.196.11, engine: {} }
    blue:  { address: 10.100.196.12, engine: {} }
    green: { address: 10.100.196.13, engine: {} }
steps: [{ wait: { healthy: 3 } }]
";

/// A silent engine is noticed by the refresh that waits for it in vain: two seconds until that
/// begins, and the 30 seconds that any request may take.
const NOTICED: Duration = Duration::from_secs(40);

struct File(PathBuf);

impl File {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("lab-up-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("up-test.yaml");
        std::fs::write(&file, FILE).unwrap();
        Self(file)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Whatever the test came to, its cluster goes.
        lab(&["down", "up-test"]);
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// Everything on the engine that clusters of this name have.
fn left() -> String {
    let list = |args: &[&str]| {
        let filter = ["--filter", "label=lab.name=up-test"];
        let output = Command::new("docker").args(args).args(filter).output().unwrap();
        assert!(output.status.success(), "docker {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    list(&["ps", "-aq"]) + &list(&["network", "ls", "-q"]) + &list(&["volume", "ls", "-q"])
}

/// A script in a shell that has evaluated `lab env`.
fn shell(script: &str) -> Output {
    let script = format!("eval \"$(lab env up-test)\"\n{script}");
    let lab = PathBuf::from(env!("CARGO_BIN_EXE_lab"));
    let path = format!("{}:{}", lab.parent().unwrap().display(), std::env::var("PATH").unwrap());
    Command::new("sh").args(["-euc", &script]).env("PATH", path).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The lines of `docker info` with a node's status.
fn statuses() -> Vec<String> {
    let info = said(&shell("docker info 2>/dev/null"));
    let rows = info.lines().filter_map(|line| line.trim().strip_prefix("└ Status: "));
    rows.map(str::to_owned).collect()
}

fn within(limit: Duration, what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(300));
    }
    eprintln!("  {what}: after {:.1} s", began.elapsed().as_secs_f64());
}

#[test]
fn a_cluster_stays_up_for_the_docker_command_until_it_is_taken_down() {
    let _turn = turn();
    let file = File::new("stays");
    let words = said(&lab(&["up", file.path()]));
    assert!(words.contains("✓ wait    3 nodes healthy"), "{words}");
    assert!(words.contains("eval \"$(cargo lab env up-test)\""), "{words}");
    assert_eq!(statuses(), ["Healthy"; 3]);

    let again = lab(&["up", file.path()]);
    assert_eq!(again.status.code(), Some(3), "{}", text(&again.stdout));
    assert!(text(&again.stderr).contains("is already up"), "{}", text(&again.stderr));

    // From a shell whose docker command talks to the manager, the lab still finds its own engine.
    let words = said(&shell("lab ps"));
    for part in ["tcp://10.100.196.10:2375", file.path(), "agent running", "Healthy", "blue "] {
        assert!(words.contains(part), "no `{part}` in:\n{words}");
    }
    assert_eq!(said(&shell("lab fault pause blue")), "  ✓ pause blue\n");
    within(NOTICED, "docker info says that a node is silent", || {
        statuses().iter().any(|status| status == "Unhealthy")
            || said(&shell("docker info 2>/dev/null")).contains("└ Error: ")
    });
    assert!(said(&lab(&["ps"])).contains("engine paused"));
    assert_eq!(said(&lab(&["fault", "heal"])), "  ✓ resume blue\n");
    within(Duration::from_secs(60), "all is well again", || statuses() == ["Healthy"; 3]);

    assert!(said(&shell("lab down")).contains("and nothing is left"));
    assert_eq!(left(), "");
    let env = lab(&["env", "up-test"]);
    assert_eq!((env.status.code(), text(&env.stdout).as_str()), (Some(3), ""));
}

#[test]
fn whatever_is_wrong_is_seen_and_healed_by_another_process() {
    let _turn = turn();
    let file = File::new("heals");
    said(&lab(&["up", file.path()]));
    for (fault, seen) in [
        ("cut red,blue from boss --one-way", "in force: cut red -> boss, cut blue -> boss"),
        ("slow blue --kbits 8000", "slow blue"),
        ("kill agent of red", "agent ended (signal: 9"),
        ("disconnect green", "disconnect green"),
        ("pause blue", "agent paused"),
    ] {
        let words: Vec<_> = ["fault"].into_iter().chain(fault.split(' ')).collect();
        said(&lab(&words));
        let ps = said(&lab(&["ps"]));
        assert!(ps.contains(seen), "no `{seen}` after `{fault}` in:\n{ps}");
    }
    // A host that is off comes back with all that ran on it.
    said(&lab(&["fault", "kill", "red"]));
    assert!(said(&lab(&["ps"])).contains("agent off"));
    let healed = said(&lab(&["fault", "heal", "everything"]));
    for part in ["start red", "mend red -> boss", "speed blue", "connect green", "resume blue"] {
        assert!(healed.contains(&format!("✓ {part}")), "no `{part}` in:\n{healed}");
    }
    assert_eq!(said(&lab(&["fault", "heal"])), "  nothing is wrong\n");
    within(Duration::from_secs(60), "all is well again", || statuses() == ["Healthy"; 3]);
    let unknown = lab(&["fault", "pause", "yellow"]);
    assert!(text(&unknown.stderr).contains("there is no host `yellow`"));
    said(&lab(&["down", "up-test"]));
    assert_eq!(left(), "");
}

#[test]
fn a_cluster_that_is_ended_while_it_comes_up_leaves_nothing() {
    let _turn = turn();
    let file = File::new("ended");
    for (name, code) in [("-INT", Some(130)), ("-KILL", None)] {
        let mut child = command(&["up", file.path()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("4 hosts on")));
        let made = || !left().is_empty();
        within(Duration::from_secs(20), "something is there", made);
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), code);
        within(Duration::from_secs(20), "nothing is left", || left().is_empty());
        // Nor does what the engine was still about to make.
        std::thread::sleep(Duration::from_secs(4));
        assert_eq!(left(), "");
    }
}

//! `--on endpoint` against a cluster that `lab up` left standing.
//!
//! `cargo test -p lab --features docker-tests --test 'docker*'`.

mod provision;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate of the workspace").into()
}

fn lab(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab")).args(args).current_dir(root()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A cluster on the subnet of vagrant4 that goes with the test, and a folder for its files.
struct Standing(PathBuf);

impl Standing {
    fn new(tls: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("lab-guest-{tls}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let standing = Self(folder);
        said(&lab(&["up", "scenarios/vagrant4.yaml", "--tls", tls]));
        standing
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// A command of the docker client, through the manager.
    fn docker(&self, words: &str) -> String {
        self.shell(&format!("docker {words}"))
    }

    /// A script in a shell that has evaluated `lab env`.
    fn shell(&self, script: &str) -> String {
        let lab = env!("CARGO_BIN_EXE_lab");
        let script = format!("eval \"$({lab} env vagrant4)\"\n{script}");
        let mut shell = Command::new("sh");
        said(&shell.args(["-euc", &script]).current_dir(root()).output().unwrap())
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        lab(&["down", "vagrant4"]);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How an endpoint file of this test strikes the hosts: by the lab's own hand.
fn power() -> String {
    let lab = env!("CARGO_BIN_EXE_lab");
    // The run's own shell points the docker command at the manager: the lab must find its engine.
    format!(
        "commands:\n  host:\n    pause: {lab} fault pause {{host}}\n    \
         unpause: {lab} fault unpause {{host}}\n"
    )
}

#[test]
fn a_guest_replays_the_story_counts_its_own_and_leaves_the_rest() {
    let _turn = turn();
    let cluster = Standing::new("off");
    cluster.docker("run -d --name stranger -e constraint:zone==internal busybox sleep 1d");
    let junit = cluster.0.join("junit.xml");
    let words = ["run", "scenarios/vagrant4.yaml", "--on", "endpoint", "--junit"];
    let report = said(&lab(&[&words[..], &[junit.to_str().unwrap()]].concat()));
    assert!(report.contains("vagrant4   endpoint") && report.contains("  passed: "), "{report}");
    assert!(std::fs::metadata(&junit).unwrap().len() > 1000);
    assert_eq!(cluster.docker("ps -a --format '{{.Names}}'"), "dockerhost01/stranger\n");

    // From a shell that has evaluated `lab env`, the endpoint is the one it names.
    let dry = format!(
        "{} run scenarios/vagrant4.yaml --on endpoint --dry-run",
        env!("CARGO_BIN_EXE_lab")
    );
    let dry = cluster.shell(&dry);
    assert!(dry.contains("endpoint tcp://10.100.199.200:2375"), "{dry}");
    assert!(dry.contains("the cluster is there, and nothing stands against it"), "{dry}");

    // A name that is taken, and a cluster that is another one: nothing is begun.
    cluster.docker("rename stranger proxy1");
    let taken = lab(&["run", "scenarios/vagrant4.yaml", "--on", "endpoint"]);
    assert_eq!(taken.status.code(), Some(3));
    assert!(text(&taken.stderr).contains("there is a container proxy1 already"));
    let other = std::fs::read_to_string(root().join("scenarios/vagrant4.yaml"));
    let other = other.unwrap().replace("disk: ssd, zone: internal", "disk: hdd, zone: internal");
    let other = cluster.write("other.yaml", &other);
    let refused = lab(&["run", &other, "--on", "endpoint"]);
    assert_eq!(refused.status.code(), Some(3));
    let why = text(&refused.stderr);
    assert!(why.contains("dockerhost01 has disk=ssd, not disk=hdd"), "{why}");
    assert_eq!(cluster.docker("ps -a --format '{{.Names}}'"), "dockerhost01/proxy1\n");
}

#[test]
fn a_guest_with_power_undoes_what_it_did_even_when_the_story_fails() {
    let _turn = turn();
    let cluster = Standing::new("on");
    let power = cluster.write("power.yaml", &power());
    let story = cluster.write(
        "story.yaml",
        &format!(
            "name: story\ncluster: {{ from: {}, tls: true }}\nsteps:\n  \
             - wait: {{ healthy: 3 }}\n  \
             - run: {{ name: web, image: busybox, command: [sleep, 1d], constraints: [disk==ssd] }}\n  \
             - dial: {{ host: dockerhost01, guise: http }}\n    \
               expect: {{ error: HTTPS }}\n  \
             - pause: {{ host: dockerhost03 }}\n  \
             - expect: {{ container: web, logs: never-said }}\n",
            root().join("scenarios/vagrant4.yaml").display()
        ),
    );
    let certs = cluster.shell("echo $DOCKER_CERT_PATH");
    let words = ["run", &story, "--on", "endpoint", "--endpoint", &power, "--cert-path"];
    let output = lab(&[&words[..], &[certs.trim()]].concat());
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{report}{}", text(&output.stderr));
    assert!(report.contains("the logs of web do not contain \"never-said\""), "{report}");
    assert!(report.contains("4 of 5 steps passed"), "{report}");
    assert!(!said(&lab(&["ps", "vagrant4"])).contains("paused"));
    assert_eq!(cluster.docker("ps -aq"), "");
    // Without a certificate nobody gets in.
    let stranger = lab(&["run", "scenarios/vagrant4.yaml", "--tls", "on", "--on", "endpoint"]);
    assert_eq!(stranger.status.code(), Some(3));
    assert!(text(&stranger.stderr).contains("wants a client's certificate"));
}

//! The scripts of `vagrant/` at work: plain Debian systems, each in a container with systemd as its
//! first process, become the cluster, and `--on endpoint` passes against it. Where the engine does
//! not let systemd run, `systemctl.sh` runs the units' own ExecStart lines; one host is always such
//! a host, so that this way is tested everywhere.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{lab, root, said, text, turn};

/// On everything that this test makes on the engine.
const LABEL: &str = "lab.test=provision";
const NETWORK: &str = "lab-test-provision";
/// What a box of Debian has, as far as the scripts may count on it. A change makes a new image.
const PACKAGES: &str =
    "systemd-sysv,dbus,ca-certificates,debian-archive-keyring,iproute2,procps,kmod";
const IMAGE: &str = "swarmlab/debian:bookworm-1";
/// Where the scripts find the files of their host.
const FILES: &str = "/tmp/swarmlab";
/// What a container lacks for systemd and an engine of its own.
const PREPARE: &str = "mount -o remount,rw /sys
    if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
        for group in /sys/fs/cgroup/*; do mount -o remount,bind,rw \"$group\" || true; done
    fi
    mount --make-rshared /";
/// The first process of any Debian.
const SYSTEMD: &str = "exec /sbin/init";
/// The one host that never has systemd.
const BARE: &str = "dockerhost03";
const SYSTEMCTL: &str = include_str!("systemctl.sh");
/// In systemd's place. What a package installs must not start by itself, says policy-rc.d; with
/// cgroup v2 an engine needs a root group without processes; the shell reaps whatever ends.
const NO_SYSTEMD: &str = "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    cd /sys/fs/cgroup
    if [ -e cgroup.controllers ]; then
        mkdir -p init
        xargs -rn1 <cgroup.procs >init/cgroup.procs || true
        sed 's/^/+/; s/ / +/g' cgroup.controllers >cgroup.subtree_control
    fi
    touch /run/started
    while :; do sleep 1d & wait $!; done";
const WITHOUT_PRIVILEGE: [&str; 13] = [
    "--cap-add",
    "ALL",
    "--cap-drop",
    "SYS_RESOURCE",
    "--security-opt",
    "seccomp=unconfined",
    "--security-opt",
    "apparmor=unconfined",
    "--security-opt",
    "systempaths=unconfined",
    "--device-cgroup-rule",
    "a *:* rwm",
    "--init=false",
];

fn docker(args: &[&str]) -> Output {
    Command::new("docker").args(args).output().expect("the docker command is installed")
}

fn shell(script: &str) -> String {
    said(&Command::new("bash").args(["-euo", "pipefail", "-c", script]).output().unwrap())
}

/// The four machines; they go with the test.
struct Machines {
    facts: Value,
    folder: std::path::PathBuf,
}

impl Drop for Machines {
    fn drop(&mut self) {
        remove();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Also what a test left that was killed.
fn remove() {
    let ids = text(&docker(&["ps", "-aq", "--filter", &format!("label={LABEL}")]).stdout);
    let ids: Vec<_> = ids.split_whitespace().collect();
    if !ids.is_empty() {
        docker(&[&["rm", "-fv"][..], &ids].concat());
    }
    docker(&["network", "rm", NETWORK]);
}

/// A fresh Debian, made once from the mirror that this machine uses.
fn image() {
    if docker(&["image", "inspect", IMAGE]).status.success() {
        return;
    }
    let mirror = "sed -nE 's,^(URIs:|deb( \\[[^]]*\\])?) +(https?://[^ ]+/debian)/?( .*)?$,\\3,p' \
                  /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1";
    shell(&format!(
        "mirror=$({mirror} || true)\n\
         mmdebstrap --quiet --variant=minbase --include={PACKAGES} bookworm - \
         \"${{mirror:-http://deb.debian.org/debian}}\" | docker import - {IMAGE} >&2"
    ));
}

impl Machines {
    fn new() -> Self {
        remove();
        image();
        let folder = std::env::temp_dir().join(format!("lab-provision-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let facts = std::fs::read_to_string(root().join("vagrant/cluster.json")).unwrap();
        let machines = Self { facts: serde_json::from_str(&facts).unwrap(), folder };
        let subnet = machines.facts["network"].as_str().unwrap();
        // Not internal: these hosts fetch packages, as any would. Smaller packets pass everywhere.
        let mtu = "com.docker.network.driver.mtu=1400";
        let words = ["network", "create", "--subnet", subnet, "-o", mtu, "--label", LABEL];
        said(&docker(&[&words[..], &[NETWORK]].concat()));
        let full = docker(&["run", "--rm", "--privileged", IMAGE, "true"]).status.success();
        let rights: &[&str] = if full { &["--privileged"] } else { &WITHOUT_PRIVILEGE };
        machines.each(|host| start(host, rights));
        machines
    }

    fn hosts(&self) -> &[Value] {
        self.facts["hosts"].as_array().unwrap()
    }

    /// Does something with all hosts at once.
    fn each(&self, work: impl Fn(&Value) + Sync) {
        std::thread::scope(|scope| {
            for host in self.hosts() {
                scope.spawn(|| work(host));
            }
        });
    }

    /// What `vagrant up` does on every host.
    fn provision(&self, variant: &str) {
        let certs = self.folder.join("certs");
        said(&lab(&["certs", certs.to_str().unwrap()]));
        let swarm = swarm();
        self.each(|host| {
            let name = container(host);
            exec(&name, &format!("rm -rf {FILES}; mkdir -p {FILES}/certs"));
            let copy = |from: &str, to: &str| {
                said(&docker(&["cp", from, &format!("{name}:{FILES}/{to}")]));
            };
            copy(&swarm, "swarm");
            copy(root().join("vagrant/units").to_str().unwrap(), "units");
            for file in host["certs"].as_array().unwrap() {
                let file = file.as_str().unwrap();
                copy(certs.join(file).to_str().unwrap(), &format!("certs/{file}"));
            }
            for role in host["roles"].as_array().unwrap() {
                let role = role.as_str().unwrap();
                let script = root().join(format!("vagrant/provision/{role}.sh"));
                run_script(&name, &script, &host["environment"][variant]);
            }
        });
    }
}

/// The `swarm` program of this checkout.
fn swarm() -> String {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "lab", "-p", "swarm", "--bin", "swarm"])
        .current_dir(root())
        .status();
    assert!(built.unwrap().success());
    let swarm = std::path::Path::new(env!("CARGO_BIN_EXE_lab")).with_file_name("swarm");
    swarm.to_str().unwrap().to_owned()
}

fn container(host: &Value) -> String {
    format!("{NETWORK}-{}", host["name"].as_str().unwrap())
}

/// Starts a machine: with systemd where it comes up, without where it does not.
fn start(host: &Value, rights: &[&str]) {
    let container = container(host);
    let runs = |script: &str| docker(&["exec", &container, "sh", "-c", script]);
    if host["name"] == BARE || !systemd_runs(host, rights) {
        eprintln!("  {container} has no systemd");
        boot(host, rights, NO_SYSTEMD);
        let started = || runs("test -e /run/started").status.success();
        wait_for(Duration::from_secs(20), started).expect("a shell starts");
        let path = "/usr/local/bin/systemctl";
        put(&container, &format!("cat >{path}; chmod 755 {path}"), SYSTEMCTL);
    }
    // Packages are fetched the way this machine fetches its own.
    let network = "apt-config dump | grep ^Acquire:: | grep -v ^Acquire::IndexTargets || true";
    let conf = shell(network);
    put(&container, "cat >/etc/apt/apt.conf.d/90machine", &conf);
}

fn boot(host: &Value, rights: &[&str], init: &str) {
    let (name, address) = (host["name"].as_str().unwrap(), host["address"].as_str().unwrap());
    let container = container(host);
    let mut words = vec!["run", "-d", "--label", LABEL, "--name", &container, "--hostname", name];
    words.extend(["--network", NETWORK, "--ip", address, "--stop-signal", "SIGRTMIN+3"]);
    words.extend(["--tmpfs", "/run", "-v", "/var/lib/docker", "-e", "container=docker"]);
    words.extend(rights);
    let script = format!("{PREPARE}\n{init}");
    words.extend([IMAGE, "/bin/sh", "-c", &script]);
    said(&docker(&words));
}

/// Starts a machine with systemd; takes it away again if systemd does not come up.
fn systemd_runs(host: &Value, rights: &[&str]) -> bool {
    boot(host, rights, SYSTEMD);
    let container = container(host);
    let state = || text(&docker(&["exec", &container, "systemctl", "is-system-running"]).stdout);
    let up = || matches!(state().trim(), "running" | "degraded");
    let runs = wait_for(Duration::from_secs(60), up).is_some();
    if !runs {
        eprintln!("  {container}: {}", text(&docker(&["logs", &container]).stderr));
        said(&docker(&["rm", "-fv", &container]));
    }
    runs
}

/// Asks again and again; nothing when the time is over.
fn wait_for(limit: Duration, ready: impl Fn() -> bool) -> Option<Duration> {
    let began = Instant::now();
    while !ready() {
        if began.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Some(began.elapsed())
}

/// Runs a script in a container with `content` as its input.
fn put(container: &str, script: &str, content: &str) {
    let words = ["exec", "-i", container, "sh", "-euc", script];
    let mut child = Command::new("docker").args(words).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{container}: {script}");
}

fn exec(container: &str, script: &str) -> String {
    said(&docker(&["exec", container, "sh", "-euc", script]))
}

/// Runs a script as it is in the repository, with its variables, on a host.
fn run_script(container: &str, script: &std::path::Path, environment: &Value) {
    let began = Instant::now();
    let mut words = vec!["exec".to_owned(), "-i".into(), "-e".into(), format!("FILES={FILES}")];
    for (key, value) in environment.as_object().unwrap() {
        words.extend(["-e".to_owned(), format!("{key}={}", value.as_str().unwrap())]);
    }
    for key in ["http_proxy", "https_proxy", "no_proxy"] {
        words.extend(
            std::env::var(key)
                .into_iter()
                .flat_map(|value| ["-e".to_owned(), format!("{key}={value}")]),
        );
    }
    words.extend([container.to_owned(), "sh".into(), "-s".into()]);
    let script_file = std::fs::File::open(script).unwrap();
    let output = Command::new("docker").args(words).stdin(script_file).output().unwrap();
    let told = text(&output.stderr);
    assert!(output.status.success(), "{container} {}: {told}", script.display());
    let took = began.elapsed().as_secs_f64();
    eprintln!("  {container} {}: {took:.1} s", script.file_stem().unwrap().to_string_lossy());
}

/// The images of the workload, which no registry gives here, from where the lab keeps them.
fn load_images(machines: &Machines, port: u16) {
    said(&lab(&["images"]));
    let list = ["images", "--format", "{{.Repository}}:{{.Tag}}", "swarmlab/node"];
    let node = text(&docker(&list).stdout);
    let node = node.lines().next().expect("`lab images` has made it");
    let id = text(&docker(&["create", "--label", LABEL, node, "true"]).stdout);
    for image in ["nginx", "busybox"] {
        let tar = machines.folder.join(format!("{image}.tar"));
        let from = format!("{}:/lab/images/{image}_latest.tar", id.trim());
        said(&docker(&["cp", &from, tar.to_str().unwrap()]));
        machines.each(|host| {
            if host["roles"].as_array().unwrap().contains(&"engine".into()) {
                let engine = format!("tcp://{}:{port}", host["address"].as_str().unwrap());
                said(&docker(&["-H", &engine, "load", "-i", tar.to_str().unwrap()]));
            }
        });
    }
}

/// Waits until the manager has found three healthy nodes.
fn healthy(endpoint: &[&str]) {
    let info = || {
        let output = docker(&[endpoint, &["info"]].concat());
        text(&output.stdout) + &text(&output.stderr)
    };
    let three = || info().matches("Status: Healthy").count() == 3;
    let took = wait_for(Duration::from_secs(90), three).unwrap_or_else(|| panic!("{}", info()));
    eprintln!("  three healthy nodes after {:.1} s", took.as_secs_f64());
}

#[test]
fn fresh_debian_systems_become_the_cluster_by_the_scripts_alone() {
    let _turn = turn();
    let machines = Machines::new();
    machines.provision("plain");
    machines.each(|host| {
        let units = "systemd-analyze verify /etc/systemd/system/swarm*.service";
        let verified = exec(&container(host), &format!("{units} 2>&1"));
        assert_eq!(verified, "", "{}", host["name"]);
    });
    load_images(&machines, 2375);
    healthy(&["-H", "tcp://10.100.199.200:2375"]);
    let run = ["run", "scenarios/vagrant4.yaml", "--on", "endpoint"];
    let report = said(&lab(&run));
    assert!(report.contains("  passed: "), "{report}");

    // The same scripts a second time, with TLS: nothing is installed again. The store forgets what
    // agents without TLS have announced.
    exec(
        &format!("{NETWORK}-dockerswarm01"),
        "systemctl stop swarmlab-consul; rm -rf /var/lib/consul",
    );
    machines.provision("tls");
    let certs = machines.folder.join("certs");
    let certs = certs.to_str().unwrap();
    let file = |name: &str| format!("{certs}/{name}");
    let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    let tls = ["--tlsverify", "--tlscacert", &ca, "--tlscert", &cert, "--tlskey", &key];
    healthy(&[&["-H", "tcp://10.100.199.200:2376"][..], &tls].concat());
    let report = said(&lab(&[&run[..], &["--tls", "on", "--cert-path", certs]].concat()));
    assert!(report.contains("tls on") && report.contains("  passed: "), "{report}");
}

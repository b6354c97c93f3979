//! `--on endpoint` as far as it goes without a cluster: refusals, dry runs, messages.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Nothing listens there.
const NOBODY: &str = "tcp://127.0.0.1:1";
const VAGRANT4: &str = "scenarios/vagrant4.yaml";

fn lab(args: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate of the workspace");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.args(args).current_dir(root).env_remove("DOCKER_HOST").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn file(name: &str, content: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("lab-endpoint-{name}-{}", std::process::id()));
    std::fs::write(&path, content).unwrap();
    path
}

#[test]
fn steps_that_need_power_over_hosts_are_refused_before_anything_runs() {
    let output = lab(&["run", "scenarios/node-killed.yaml", "--on", "endpoint", "-H", NOBODY]);
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.contains("`kill` needs power over hosts"), "{words}");
    assert!(words.contains("scenarios/node-killed.yaml:"), "{words}");
    assert!(!words.contains("127.0.0.1"), "nobody was asked: {words}");
    assert_eq!(text(&output.stdout), "", "nothing was begun");
}

#[test]
fn a_dry_run_says_what_would_be_done_and_that_nobody_answers() {
    let power = file(
        "power",
        "commands:\n  host: { kill: 'vagrant halt --force {host}', start: 'vagrant up {host}' }\n",
    );
    let power = power.to_str().unwrap();
    let at = ["--on", "endpoint", "-H", NOBODY, "--endpoint", power, "--dry-run"];
    let output = lab(&[&["run", "scenarios/node-killed.yaml"], &at[..]].concat());
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("the manager does not answer"));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn an_endpoint_that_does_not_answer_is_told_and_nothing_is_printed_of_steps() {
    let output = lab(&["run", VAGRANT4, "--on", "endpoint", "-H", NOBODY]);
    assert_eq!(output.status.code(), Some(3));
    let words = text(&output.stderr);
    assert!(words.contains("the manager does not answer: GET http://127.0.0.1:1/info"), "{words}");
    assert!(words.contains("-H, or `endpoint`"), "{words}");
}

#[test]
fn words_that_contradict_each_other_are_refused() {
    for (words, part) in [
        (&["--dry-run"][..], "are for `--on endpoint`"),
        (&["--on", "docker", "-H", NOBODY], "are for `--on endpoint`"),
        (&["--on", "endpoint", "--seeds", "1..2"], "--seeds is for the simulator"),
        (&["--on", "endpoint", "--keep"], "--keep is for `--on docker`"),
        (&["--on", "endpoint", "--manager", "x"], "--manager is for `--on docker`"),
    ] {
        let output = lab(&[&["run", VAGRANT4], words].concat());
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(text(&output.stderr).contains(part), "{words:?}: {}", text(&output.stderr));
    }
    let bad = file("bad", "comands: {}\n");
    let words = ["run", VAGRANT4, "--on", "endpoint", "--endpoint", bad.to_str().unwrap()];
    let output = lab(&words);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("did you mean `commands`?"), "{}", text(&output.stderr));
    let tls = ["run", VAGRANT4, "--on", "endpoint", "-H", NOBODY, "--tls", "on"];
    let output = lab(&[&tls[..], &["--cert-path", "/nowhere"]].concat());
    assert!(text(&output.stderr).contains("cannot read /nowhere/ca.pem"));
}

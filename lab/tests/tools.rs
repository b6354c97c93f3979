//! What other programs say of the project's files: xmllint, Vagrant, the linters of workflows.
//!
//! `cargo test -p lab --features tool-tests --test tools`; the gate installs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate of the workspace").into()
}

fn said(output: &Output) -> String {
    let words = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    let words = words.concat();
    assert!(output.status.success(), "{}: {words}", output.status);
    words
}

fn run(program: &str, words: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    command.args(words).current_dir(root()).envs(variables.iter().copied());
    command.output().unwrap_or_else(|e| panic!("{program}: {e}"))
}

/// A story that fails, with everything in it that XML has trouble with.
const HOSTILE: &str = "name: hostile\n\
    cluster: { hosts: { boss: { store: consul, manager: {} }, red: { engine: {} } } }\n\
    steps:\n  - wait: { healthy: 1 }\n  \
      - run: { name: db, image: busybox, command: [sleep, 1d], labels: { x: \"]]>&<\\e\\0é\" } }\n    \
        expect: { inspect: { Config.Labels.x: \"]]>&<'\\e[31m\\0\\uFFFF\" } }\n  \
      - rm: db\n";

#[test]
fn junit_is_valid_by_the_common_schema() {
    let folder = std::env::temp_dir().join(format!("lab-tools-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    let (junit, hostile, bad) = (path("junit.xml"), path("hostile.yaml"), path("bad.yaml"));
    std::fs::write(&hostile, HOSTILE).unwrap();
    std::fs::write(&bad, "steps: \"\\e\"\n").unwrap();
    let late = path("late.yaml");
    let (head, _) = HOSTILE.split_once("steps:").unwrap();
    let steps = "steps: [{ slow: { host: red, delay: 1s } }]\n";
    std::fs::write(&late, format!("{head}{steps}")).unwrap();
    let schema = root().join("lab/tests/junit-10.xsd");
    let vagrant4 = "scenarios/vagrant4.yaml";
    for (words, code) in [
        (&["run", vagrant4, "scenarios/reschedule.yaml"][..], 0),
        (&["run", vagrant4, "--seeds", "1..5", "--shard", "2/2"], 0),
        (&["run", &hostile, vagrant4], 4),
        (&["run", &hostile, "--seeds", "1..3"], 4),
        (&["run", &bad, &hostile], 2),
        (&["run", vagrant4, "--on", "endpoint", "-H", "tcp://127.0.0.1:1"], 3),
        (&["run", &late, "--on", "docker", "--skip-unsupported"], 0),
    ] {
        let lab = env!("CARGO_BIN_EXE_lab");
        let output = run(lab, &[words, &["--junit", &junit]].concat(), &[]);
        assert_eq!(output.status.code(), Some(code), "{words:?}");
        let schema = schema.to_str().unwrap();
        let valid = run("xmllint", &["--noout", "--schema", schema, &junit], &[]);
        assert!(said(&valid).contains("junit.xml validates"), "{words:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn vagrant_validates_the_machines() {
    let folder = std::env::temp_dir().join(format!("lab-vagrant-{}", std::process::id()));
    let copy = folder.join("vagrant");
    std::fs::create_dir_all(&folder).unwrap();
    said(&run("cp", &["-r", "vagrant", copy.to_str().unwrap()], &[]));
    let certs = copy.join("certs");
    said(&run(
        env!("CARGO_BIN_EXE_lab"),
        &["certs", certs.to_str().unwrap(), "--nodes", "16"],
        &[],
    ));
    // Any file does for the program that the machines are to get.
    let common = [("SWARM", "/bin/true"), ("VAGRANT_CWD", copy.to_str().unwrap())];
    let home = folder.join("home");
    let home = [("VAGRANT_HOME", home.to_str().unwrap())];
    let words = ["validate", "--ignore-provider"];
    for variables in
        [&[][..], &[("TLS", "on")], &[("NODES", "8")], &[("NODES", "16"), ("TLS", "on")]]
    {
        let all = [&common[..], &home, variables].concat();
        let words = said(&run("vagrant", &words, &all));
        assert!(words.contains("Vagrantfile validated successfully"), "{variables:?}: {words}");
    }
    let few = [&common[..], &home, &[("NODES", "3")]].concat();
    let few = run("vagrant", &words, &few);
    assert!(!few.status.success());
    assert!(String::from_utf8_lossy(&few.stderr).contains("NODES is from 4 to 16"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn workflows_are_valid_and_run_only_scripts_of_the_repository() {
    let words = said(&run(".ci/lint-workflows", &[], &[]));
    assert!(words.contains("all are scripts of this repository"), "{words}");
}

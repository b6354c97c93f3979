//! The `lab` command as a user meets it: words, exit codes, logs. Needs no Docker.
#![expect(clippy::disallowed_methods, reason = "a test reads the logs it had written")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate of the workspace").into()
}

fn lab(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(args)
        .current_dir(root())
        // No engine: a simulated run must not even look for one.
        .env("DOCKER_HOST", "unix:///nowhere")
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lab-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Two engines and what follows; steps are indented by two.
fn scenario(steps: &str) -> String {
    format!(
        "name: test\n\
         cluster:\n  \
           hosts:\n    \
             boss: {{ address: 10.100.199.10, store: consul, manager: {{ strategy: spread }} }}\n    \
             red: {{ address: 10.100.199.11, engine: {{ labels: {{ disk: ssd }} }} }}\n    \
             blue: {{ address: 10.100.199.12, engine: {{ labels: {{ disk: hdd }} }} }}\n\
         steps:\n  - wait: {{ healthy: 2 }}\n{steps}"
    )
}

/// The text with times and the folder's name taken out.
fn settled(text: &str, folder: &Folder) -> String {
    let text = text.replace(folder.0.to_str().unwrap(), "[folder]");
    let mut settings = String::new();
    for line in text.lines() {
        let line = match line.rfind("in ") {
            Some(at) if line.contains("of cluster time in ") => format!("{}in [time]", &line[..at]),
            _ => line.to_owned(),
        };
        settings.push_str(&line);
        settings.push('\n');
    }
    settings
}

#[test]
fn the_main_job_passes_and_says_where_everything_went() {
    let output = lab(&["run", "scenarios/vagrant4.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    assert!(!out(&output).contains('\x1b'), "a pipe gets no escape codes");
    let folder = Folder::new("main-job");
    insta::assert_snapshot!(settled(&out(&output), &folder));
}

#[test]
fn a_wrong_placement_is_explained() {
    let folder = Folder::new("placement");
    let file = folder.write(
        "wrong.yaml",
        &scenario(
            "  - run: { name: db, image: busybox, command: [sleep, \"1d\"], memory: 64MiB }\n    \
               expect: { node: red }\n",
        ),
    );
    let log = folder.path("log.jsonl");
    let output = lab(&["run", &file, "--seed", "3", "--log", &log]);
    assert_eq!(output.status.code(), Some(4), "{}{}", out(&output), err(&output));
    insta::assert_snapshot!(settled(&out(&output), &folder));
}

/// Where `explain` is asked of: a wish that holds, one that does not, ports, resources, a refusal.
fn placements() -> String {
    scenario(
        "  - run: { name: \"web[1:2]\", image: nginx, ports: [\"80:80\"] }\n  \
           - run: { name: db, image: nginx, memory: 64MiB, constraints: [\"disk==~ssd\"] }\n  \
           - create: { name: far, image: nginx, constraints: [\"disk==~tape\"] }\n  \
           - run: { name: web3, image: nginx, ports: [\"80:80\"], constraints: [\"disk==ssd\"] }\n    \
             expect: { error: port 80 }\n",
    )
}

#[test]
fn every_node_of_a_placement_is_explained() {
    let folder = Folder::new("explain");
    let file = folder.write("placements.yaml", &placements());
    let mut all = String::new();
    for step in ["2", "3", "4", "5"] {
        let output = lab(&["explain", &file, "--step", step]);
        assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
        assert_eq!(err(&output), "");
        all += &format!("--step {step}\n{}", out(&output));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn an_explanation_is_of_the_seed_and_the_strategy() {
    let folder = Folder::new("explain-random");
    let file = folder.write("random.yaml", &placements().replace("spread", "random"));
    let went = |seed| {
        let output = lab(&["explain", &file, "--step", "4", "--seed", seed]);
        assert!(out(&output).contains("red    any      -"), "{}{}", out(&output), err(&output));
        out(&output).lines().last().unwrap().to_owned()
    };
    assert!(["  → red", "  → blue"].contains(&went("1").as_str()));
    let seeds = ["1", "2", "3", "4", "5", "6", "7", "8"].map(went);
    assert!(seeds.iter().any(|place| *place != seeds[0]), "{seeds:?}");
}

#[test]
fn what_cannot_be_explained_says_so() {
    let folder = Folder::new("explain-bad");
    let file = folder.write("placements.yaml", &placements());
    let said = |step: &str, code: i32| {
        let output = lab(&["explain", &file, "--step", step]);
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(code), ""));
        err(&output)
    };
    for step in ["0", "6"] {
        let text = format!("error: there is no step {step}: test has steps 1 to 5\n");
        assert_eq!(said(step, 1), text);
    }
    assert_eq!(said("1", 1), "error: step 1 (wait) places no container: try 2, 3, 4, 5\n");
    let early = scenario("    expect: { info: { node: red, status: Unhealthy } }\n")
        + "  - run: { name: db, image: nginx }\n";
    let file = folder.write("early.yaml", &early);
    let output = lab(&["explain", &file, "--step", "2"]);
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    let text = "error: step 1 failed, before step 2: the status of red is Healthy, not Unhealthy\n";
    assert_eq!(err(&output), text);
}

#[test]
fn mistakes_in_a_file_are_all_told_and_nothing_starts() {
    let folder = Folder::new("mistakes");
    let file = folder.write(
        "bad.yaml",
        &scenario("  - run: { name: db, imag: busybox }\n  - wait: { healthy: three }\n"),
    );
    for args in [["run", &file], ["validate", &file], ["check", &file]] {
        let output = lab(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
        assert_eq!(out(&output), "", "{args:?}");
        let text = err(&output);
        assert!(text.contains("bad.yaml:9:") && text.contains("bad.yaml:10:"), "{text}");
    }
}

#[test]
fn usage_errors_end_with_one() {
    for args in [
        &["fly"][..],
        &["run"],
        &["run", "scenarios/vagrant4.yaml", "--seeds", "9..1"],
        &["run", "scenarios/vagrant4.yaml", "--keep"],
        &["run", "scenarios/vagrant4.yaml", "--on", "docker", "--seeds", "1..2"],
        &["run", "scenarios/vagrant4.yaml", "--seeds", "1..2", "--log", "x"],
    ] {
        let output = lab(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", err(&output));
        assert!(err(&output).starts_with("error: "), "{args:?}: {}", err(&output));
    }
    assert_eq!(lab(&["--help"]).status.code(), Some(0));
}

#[test]
fn without_an_engine_the_docker_world_says_so() {
    let output = lab(&["run", "scenarios/vagrant4.yaml", "--on", "docker"]);
    assert_eq!(output.status.code(), Some(3), "{}", err(&output));
    assert!(err(&output).contains("no Docker engine answers"), "{}", err(&output));
}

#[test]
fn one_seed_is_one_log_and_another_seed_another() {
    let folder = Folder::new("seeds");
    let log = |name: &str, seed: &str| {
        let path = folder.path(name);
        let output = lab(&["run", "scenarios/vagrant4.yaml", "--seed", seed, "--log", &path]);
        assert!(output.status.success());
        std::fs::read(path).unwrap()
    };
    let (a, b, other) = (log("a", "7"), log("b", "7"), log("c", "8"));
    assert!(a == b, "two runs of seed 7 differ");
    assert!(a != other, "the seed changes nothing");

    let same = lab(&["compare", &folder.path("a"), &folder.path("c")]);
    assert_eq!(same.status.code(), Some(0), "{}", out(&same));
    assert!(out(&same).starts_with("same story: "), "{}", out(&same));

    let checked = lab(&["check", "scenarios/vagrant4.yaml", "--seed", "7"]);
    assert_eq!(checked.status.code(), Some(0), "{}{}", out(&checked), err(&checked));
    assert!(out(&checked).contains("byte-identical"), "{}", out(&checked));
}

#[test]
fn two_different_stories_are_told_apart() {
    let folder = Folder::new("stories");
    let run = |name: &str, node: &str| {
        let step = format!("  - run: {{ name: db, image: nginx, constraints: [node=={node}] }}\n");
        let file = folder.write(&format!("{name}.yaml"), &scenario(&step));
        let log = folder.path(name);
        assert!(lab(&["run", &file, "--log", &log]).status.success());
        log
    };
    let (a, b) = (run("a", "red"), run("b", "blue"));
    let output = lab(&["compare", &a, &b]);
    assert_eq!(output.status.code(), Some(4), "{}", out(&output));
    assert!(out(&output).contains("not the same story: step 2, result"), "{}", out(&output));
}

#[test]
fn a_thousand_engines_are_one_number() {
    let folder = Folder::new("many");
    let file = folder.write(
        "many.yaml",
        "name: many\n\
         cluster:\n  \
           network: 10.8.0.0/16\n  \
           hosts:\n    \
             boss: { store: consul, manager: { strategy: spread } }\n    \
             \"engine-[001:100]\": { engine: { cpus: 4, memory: 8GiB, labels: { rack: \"r[1:20]\" } } }\n\
         steps:\n  - wait: { healthy: 100 }\n    within: 2m\n  \
           - run: { name: \"web[1:20]\", image: nginx, constraints: [rack==r7] }\n",
    );
    let output = lab(&["run", &file]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
}

#[test]
fn a_wait_also_checks_what_it_expects() {
    let folder = Folder::new("wait");
    let file = folder
        .write("wait.yaml", &scenario("    expect: { info: { node: red, status: Unhealthy } }\n"));
    let output = lab(&["run", &file]);
    assert_eq!(output.status.code(), Some(4), "{}{}", out(&output), err(&output));
    assert!(
        out(&output).contains("the status of red is Healthy, not Unhealthy"),
        "{}",
        out(&output)
    );
}

#[test]
fn a_renamed_container_may_be_removed() {
    let folder = Folder::new("rename");
    let file = folder.write(
        "rename.yaml",
        &scenario(
            "  - run: { name: db, image: nginx }\n  \
               - rename: { from: db, to: old }\n  \
               - rm: { name: old, force: true }\n",
        ),
    );
    let output = lab(&["run", &file]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_command_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["run", "scenarios/vagrant4.yaml", "--seeds", "1..2"])
        .current_dir(root())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.as_ref()), (Some(141), ""));
}

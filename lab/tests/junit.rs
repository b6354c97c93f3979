//! What `lab run` writes for machines: JUnit's XML, and logs of what failed.
#![expect(clippy::disallowed_methods, reason = "tests of a command read its files")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Two engines; the second step fails, the third is never run.
const FAILING: &str = "name: failing\n\
    cluster:\n  hosts:\n    \
      boss: { address: 10.100.199.10, store: consul, manager: { strategy: spread } }\n    \
      red: { address: 10.100.199.11, engine: {} }\n    \
      blue: { address: 10.100.199.12, engine: {} }\n\
    steps:\n  - wait: { healthy: 2 }\n  \
      - run: { name: db, image: busybox, environment: { A: \"<&]]>\" }, command: [sleep, \"1d\"] }\n    \
        expect: { inspect: { Config.Image: \"<busy & \\u001b box>\" } }\n  \
      - rm: { name: db, force: true }\n";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lab-junit-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("failing.yaml"), FAILING).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn lab(args: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate of the workspace");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.args(args).current_dir(root).env("DOCKER_HOST", "unix:///nowhere").output().unwrap()
}

/// The document without what is never the same.
fn settled(text: &str, folder: &Folder) -> String {
    let text = text.replace(folder.0.to_str().unwrap(), "[folder]");
    // Events are of the simulator's making, as are the times of the steps.
    let told = |line: &&str| !line.starts_with("          ");
    let lines: Vec<_> = text.lines().filter(told).map(without_times).collect();
    lines.join("\n")
}

fn without_times(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    for key in [" time=\"", " timestamp=\""] {
        if let Some((before, after)) = rest.split_once(key) {
            out = out + before + key + "[time]";
            rest = &after[after.find('"').unwrap()..];
        }
    }
    out + rest
}

#[test]
fn every_step_is_a_case_and_a_failure_has_its_place() {
    let folder = Folder::new("steps");
    let junit = folder.path("out/junit.xml");
    let file = folder.path("failing.yaml");
    let output = lab(&["run", &file, "--junit", &junit, "--logs", &folder.path("logs")]);
    assert_eq!(output.status.code(), Some(4));
    insta::assert_snapshot!(settled(&folder.read("out/junit.xml"), &folder));
    let log = folder.read("logs/failing-tls-off-seed-1.jsonl");
    assert!(log.contains("\"step.end\""), "{log}");
}

#[test]
fn a_sweep_has_a_case_per_seed_and_shards_share_the_seeds() {
    let folder = Folder::new("sweep");
    let file = folder.path("failing.yaml");
    let mut seen = Vec::new();
    for shard in ["1/2", "2/2"] {
        let (junit, logs) = (folder.path("junit.xml"), folder.path("logs"));
        let words = ["run", &file, "--seeds", "3..7", "--shard", shard, "--junit", &junit];
        let output = lab(&[&words[..], &["--logs", &logs]].concat());
        assert_eq!(output.status.code(), Some(4));
        let text = folder.read("junit.xml");
        assert!(text.contains(&format!("seed 3 to 7, part {}", shard.replace('/', " of "))));
        let names = text.split("<testcase name=\"seed ").skip(1);
        seen.extend(names.map(|rest| rest.split('"').next().unwrap().parse::<u64>().unwrap()));
    }
    assert_eq!(seen, [3, 5, 7, 4, 6]);
    let passing = lab(&["run", "scenarios/vagrant4.yaml", "--shard", "1/2"]);
    assert_eq!(passing.status.code(), Some(1), "a part of what?");
    for seed in 3..=7 {
        folder.read(&format!("logs/failing-tls-off-seed-{seed}.jsonl"));
    }
}

#[test]
fn what_comes_to_no_verdict_is_recorded_too() {
    let folder = Folder::new("ended");
    let bad = folder.path("bad.yaml");
    std::fs::write(&bad, "name: bad\nsteps: []\n").unwrap();
    let junit = folder.path("junit.xml");
    let output = lab(&["run", &bad, "--junit", &junit]);
    assert_eq!(output.status.code(), Some(2));
    let text = folder.read("junit.xml");
    assert!(text.contains("errors=\"1\"") && text.contains("bad.yaml:1:1"), "{text}");

    // Real networks cannot delay packets: the scenario is left out before an engine is looked for.
    let late = folder.path("late.yaml");
    let steps = "steps:\n  - slow: { host: red, delay: 1s }\n";
    let (head, _) = FAILING.split_once("steps:").unwrap();
    std::fs::write(&late, format!("{head}{steps}")).unwrap();
    let output = lab(&["run", &late, "--on", "docker", "--junit", &junit]);
    assert_eq!(output.status.code(), Some(2));
    assert!(folder.read("junit.xml").contains("<error type=\"environment\""));
    let words = ["run", &late, "--on", "docker", "--junit", &junit, "--skip-unsupported"];
    let output = lab(&words);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("left out: real networks"));
    let text = folder.read("junit.xml");
    assert!(text.contains("skipped=\"1\"") && text.contains("<skipped message="), "{text}");
}

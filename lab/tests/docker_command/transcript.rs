//! The stock docker CLI, old and new, works through the manager: its transcript is a snapshot.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::{lab, root, text};

const ENDPOINT: &str = "tcp://10.100.199.200:2375";

/// What a person types on the cluster of `vagrant4.yaml`.
const COMMANDS: &[&[&str]] = &[
    &["version", "--format", "{{.Server.Version}} {{.Server.Os}}/{{.Server.Arch}}"],
    &["version"],
    &["info"],
    &["ps", "--format", "table {{.Image}}\t{{.Ports}}\t{{.Names}}"],
    &[
        "run",
        "-d",
        "--name",
        "hello",
        "-e",
        "constraint:disk==ssd",
        "-e",
        "constraint:zone==internal",
        "busybox",
        "sh",
        "-c",
        "echo hello from the cluster; sleep 1d",
    ],
    &["ps", "--filter", "name=hello", "--format", "{{.Names}} {{.Image}} {{.State}}"],
    &["logs", "hello"],
    &["inspect", "--format", "{{.Name}} {{.State.Status}} {{.Config.Image}}", "hello"],
    &["top", "hello", "-o", "pid,args"],
    &["stop", "-t", "1", "hello"],
    &["wait", "hello"],
    &["ps", "-a", "--filter", "name=hello", "--format", "{{.Names}} {{.State}}"],
    &["start", "hello"],
    &["pause", "hello"],
    &["unpause", "hello"],
    &["rename", "hello", "goodbye"],
    &["restart", "-t", "1", "goodbye"],
    &["kill", "goodbye"],
    &["rm", "goodbye"],
    &["inspect", "goodbye"],
    &["run", "-d", "-e", "constraint:zone==moon", "busybox", "true"],
    &["images", "--format", "{{.Repository}}:{{.Tag}}"],
];

/// The CLI of a major version, by the repository's own script.
fn cli(major: &str) -> PathBuf {
    let output = Command::new(root().join(".ci/docker-cli")).arg(major).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "no docker CLI of version {major}: {error}");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// All commands with what they print and their exit codes.
fn transcript(major: &str) -> String {
    let cli = cli(major);
    let config = std::env::temp_dir().join(format!("lab-cli-{major}-{}", std::process::id()));
    std::fs::create_dir_all(&config).unwrap();
    let mut text = String::new();
    for args in COMMANDS {
        let output = Command::new(&cli)
            .args(["-H", ENDPOINT])
            .args(*args)
            .env_clear()
            .env("DOCKER_CONFIG", &config)
            .env("HOME", &config)
            .output()
            .unwrap();
        writeln!(text, "$ docker {}", args.join(" ")).unwrap();
        text.push_str(&String::from_utf8_lossy(&output.stdout));
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        match output.status.code() {
            Some(0) => {}
            code => writeln!(text, "[exit {}]", code.unwrap_or(-1)).unwrap(),
        }
        text.push('\n');
    }
    std::fs::remove_dir_all(&config).unwrap();
    text
}

#[test]
fn the_stock_cli_works_through_the_manager() {
    let _turn = super::turn();
    let _kept = super::Kept;
    let up = lab(&["run", "scenarios/vagrant4.yaml", "--on", "docker", "--keep"]);
    let report = String::from_utf8_lossy(&up.stdout).into_owned();
    assert!(up.status.success(), "{report}\n{}", String::from_utf8_lossy(&up.stderr));
    let variables = text(&lab(&["env", "vagrant4"]).stdout);
    assert!(variables.contains(&format!("DOCKER_HOST={ENDPOINT};")), "{variables}");
    let mut settings = insta::Settings::clone_current();
    // Identifiers, times and versions of the machine differ from run to run.
    for (pattern, replacement) in [
        // What a CLI says of itself, plugins included, is the machine's affair.
        (r"(?s)Client:\n.*?\nServer:", "Client: […]\n\nServer:"),
        (r"\b[0-9a-f]{64}\b", "[id]"),
        (r"\b[0-9a-f]{12}\b", "[short id]"),
        (r"(?:[A-Z2-7]{4}:){11}[A-Z2-7]{4}", "[engine id]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", "[time]"),
        (r":\d{5}->", ":[port]->"),
        (
            r"(?m)^(\s*(?:Version|Git commit|Go version|Built|OS/Arch|API version|Context):\s+).*$",
            "$1[…]",
        ),
        (r"(?m)^(\s*(?:Kernel Version|Name|Total Memory|CPUs):\s+).*$", "$1[…]"),
        (r"kernelversion=[^,]+", "kernelversion=[…]"),
        (r"operatingsystem=[^,]+", "operatingsystem=[…]"),
        (r"(└ ServerVersion: ).*", "$1[…]"),
        (r"(?m)^(\d+)\s+(sleep|sh)", "[pid] $2"),
    ] {
        settings.add_filter(pattern, replacement);
    }
    settings.bind(|| {
        insta::assert_snapshot!("cli_28", transcript("28"));
        insta::assert_snapshot!("cli_20", transcript("20"));
    });
    super::streams::work(&variables);
}

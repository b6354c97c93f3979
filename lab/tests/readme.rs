//! The README tells the truth: its commands run, its scenario passes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate of the workspace").into()
}

#[expect(clippy::disallowed_methods, reason = "a test reads a file of the repository")]
fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// The contents of all fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn lab(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab")).args(args).current_dir(root()).output().unwrap()
}

fn assert_passes(args: &[&str]) {
    let output = lab(args);
    assert!(
        output.status.success(),
        "lab {}: {}\n{}{}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

#[test]
fn its_commands_run() {
    let text = readme();
    let mut simulated = 0;
    for line in blocks(&text, "console").iter().flat_map(|block| block.lines()) {
        let command = line.strip_prefix("$ ").unwrap_or_else(|| panic!("not a command: {line}"));
        let Some(args) = command.strip_prefix("cargo lab ") else {
            // The other one is the command that runs this very test.
            assert_eq!(command, "cargo test --workspace");
            continue;
        };
        let args: Vec<_> = args.split(' ').collect();
        // Those that need an engine are run by the Docker tests.
        if args.contains(&"docker") || args[0] == "compare" {
            continue;
        }
        assert_passes(&args);
        simulated += 1;
    }
    assert!(simulated > 0, "the README has no command for the simulator");
}

#[test]
fn its_scenario_passes() {
    let text = readme();
    let scenario = &blocks(&text, "yaml")[0];
    let dir = std::env::temp_dir().join(format!("lab-readme-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("hello.yaml");
    std::fs::write(&file, scenario).unwrap();
    assert_passes(&["run", file.to_str().unwrap()]);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn it_names_every_verb() {
    let text = readme();
    let help = String::from_utf8(lab(&["--help"]).stdout).unwrap();
    let verbs = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let mut seen = 0;
    for verb in verbs.lines().filter_map(|line| line.split_whitespace().next()) {
        assert!(text.contains(&format!("`lab {verb}")), "the README does not name `lab {verb}`");
        seen += 1;
    }
    assert!(seen >= 7, "the help lists only {seen} verbs:\n{help}");
}

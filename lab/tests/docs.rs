//! The documents tell the truth: every key is described, every example works, every link leads
//! somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate of the workspace").into()
}

#[expect(clippy::disallowed_methods, reason = "a test reads a file of the repository")]
fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The documents with links: those on top, and all in `docs`.
fn documents() -> Vec<PathBuf> {
    let inside = std::fs::read_dir(root().join("docs")).expect("the folder is in the repository");
    let inside = inside.map(|entry| entry.expect("the folder can be read").path());
    let mut paths: Vec<_> =
        inside.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    assert!(!paths.is_empty(), "there are no documents");
    paths.extend(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    paths
}

/// Every name of a property anywhere in a schema.
fn keys(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                found.extend(properties.keys().cloned());
            }
            members.values().for_each(|inner| keys(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| keys(inner, found)),
        _ => {}
    }
}

#[test]
fn every_key_of_a_scenario_is_described() {
    let schema = serde_json::from_str(&text(&root().join("scenarios/schema.json")));
    let mut known = BTreeSet::new();
    keys(&schema.expect("the schema is JSON"), &mut known);
    assert!(known.contains("steps") && known.contains("volumes_from"), "{known:?}");
    let described = text(&root().join("docs/scenario.md"));
    known.retain(|key| !described.contains(&format!("`{key}`")));
    assert!(known.is_empty(), "docs/scenario.md does not describe {known:?}");
}

/// The examples of docs/scenario.md that are whole: those that begin with `steps:` have the cluster
/// of the first one, as the text says.
fn examples() -> Vec<String> {
    let text = text(&root().join("docs/scenario.md"));
    let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut examples: Vec<String> = Vec::new();
    for block in blocks {
        if block.starts_with("name:") {
            examples.push(block.to_owned());
        } else if block.starts_with("steps:") {
            let first = examples.first().expect("the first example has a cluster");
            let (cluster, _) = first.split_once("steps:").expect("a scenario has steps");
            examples.push(format!("{cluster}{block}"));
        }
    }
    examples
}

#[test]
fn every_example_is_valid_and_passes() {
    let examples = examples();
    assert!(examples.len() >= 4, "only {} examples", examples.len());
    let dir = std::env::temp_dir().join(format!("lab-docs-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for (n, example) in examples.iter().enumerate() {
        let file = dir.join(format!("example{}.yaml", n + 1));
        std::fs::write(&file, example).unwrap();
        for verb in ["validate", "run"] {
            let output =
                Command::new(env!("CARGO_BIN_EXE_lab")).arg(verb).arg(&file).output().unwrap();
            assert!(
                output.status.success(),
                "lab {verb}: {}\n{example}\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// The anchor that a heading has: its words in lower case with dashes between them.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut seen = 0;
    for document in documents() {
        let content = text(&document);
        let targets = content.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (path, part) = target.split_once('#').unwrap_or((target, ""));
            let folder = document.parent().expect("a document is in a folder");
            let path = if path.is_empty() { document.clone() } else { folder.join(path) };
            let place = document.display();
            assert!(path.exists(), "{place}: there is no {}", path.display());
            if !part.is_empty() {
                let there = text(&path);
                let mut headings = there.lines().filter_map(|line| line.strip_prefix('#'));
                let found = headings.any(|line| anchor(line.trim_start_matches('#')) == part);
                assert!(found, "{place}: there is no heading for {target}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 5, "only {seen} links were found");
}

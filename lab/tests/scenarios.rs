//! Every scenario that ships passes in the simulator, whatever the seed.

use std::path::PathBuf;
use std::sync::Arc;

use lab::event::Memory;
use lab::replay::{self, Options};
use lab::scenario::{Overrides, load};

/// Enough for a test; sweeps of thousands are for `lab run --seeds`.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=10;

/// The scenario files, in order.
fn files() -> Vec<PathBuf> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let entries = std::fs::read_dir(directory).expect("the directory is there");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the directory can be read").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "yaml"))
        .collect();
    files.sort();
    files
}

#[test]
fn all_of_them_pass() {
    let files = files();
    assert!(files.len() > 10, "{files:?}");
    let mut failures = Vec::new();
    for file in files {
        let scenario = load(&file, &Overrides::default());
        let scenario = Arc::new(scenario.unwrap_or_else(|report| panic!("{report}")));
        for seed in SEEDS {
            let options = Options { seed, ..Options::default() };
            let outcome = replay::replay(&scenario, &options, Arc::new(Memory::default()), |_| {});
            let outcome = outcome.unwrap_or_else(|ended| panic!("{}: {ended:?}", scenario.name));
            if let Some(failure) = outcome.failure {
                let (name, step) = (&scenario.name, failure.step);
                failures.push(format!("{name}, seed {seed}, step {step}: {}", failure.title));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

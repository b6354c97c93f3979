//! What was measured, beside what is required and what was measured before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::fleet::cases;

/// The size that the requirements are about.
const SIZE: usize = 10_000;

/// A table in the making.
pub struct Table {
    /// Where criterion keeps its results.
    output: PathBuf,
    start: SystemTime,
    /// Nanoseconds of the oracle, by case and size.
    reference: BTreeMap<(String, usize), f64>,
}

impl Table {
    #[expect(clippy::disallowed_methods, reason = "to tell results of this run from older ones")]
    pub fn new(output: &Path) -> Self {
        let start = SystemTime::now();
        Self { output: output.to_owned(), start, reference: BTreeMap::new() }
    }

    pub fn set_reference(&mut self, case: &str, nodes: usize, time: Duration) {
        self.reference.insert((case.to_owned(), nodes), time.as_nanos() as f64);
    }

    /// Medians in nanoseconds of everything measured in this run, by criterion's own names.
    fn medians(&self) -> BTreeMap<String, f64> {
        let mut medians = BTreeMap::new();
        let mut folders = vec![self.output.clone()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            if folder.ends_with("new") {
                medians.extend(self.median(&folder));
            }
            folders.extend(paths.into_iter().filter(|path| path.is_dir()));
        }
        medians
    }

    fn median(&self, folder: &Path) -> Option<(String, f64)> {
        let file = folder.join("estimates.json");
        let written = fs::metadata(&file).ok()?.modified().ok()?;
        if written < self.start {
            return None;
        }
        let name = json(&folder.join("benchmark.json"))?["full_id"].as_str()?.to_owned();
        name.starts_with("scheduler ")
            .then_some((name, json(&file)?["median"]["point_estimate"].as_f64()?))
    }

    /// Prints what was measured; replaces the baseline if the environment asks for it.
    pub fn print(&self) {
        let medians = self.medians();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json");
        let baseline = json(&file).unwrap_or_default();
        println!("\nall results, and what they were when benches/baseline.json was written");
        for (name, now) in &medians {
            let before = baseline[name].as_f64();
            let ratio = before.map_or(String::new(), |before| format!("{:.2}x", now / before));
            let before = before.map_or("-".to_owned(), text);
            println!("{name:<58} {:>10} {before:>10} {ratio:>7}", text(*now));
        }
        self.print_required(&medians);
        if std::env::var("BASELINE").is_ok_and(|word| word == "write") {
            let all: BTreeMap<&str, f64> =
                medians.iter().map(|(name, time)| (name.as_str(), time.round())).collect();
            let json = serde_json::to_string_pretty(&all).expect("names and numbers");
            fs::write(&file, json + "\n").expect("the folder of this crate can be written");
            println!("{} is written", file.display());
        }
    }

    fn print_required(&self, medians: &BTreeMap<String, f64>) {
        println!("\nat {SIZE} nodes with 30 containers each, strategy spread; classic: published");
        println!(
            "{:<28} {:>9} {:>9} {:>9} {:>12} {:>9}",
            "case", "classic", "required", "ours", "naive oracle", "ratio"
        );
        let lookups = [
            ("by ID", "51 ms"),
            ("by short ID", ""),
            ("by prefix", ""),
            ("by swarm ID", ""),
            ("by name", "340 ms"),
            ("by node/name", ""),
            ("absent", "459 ms"),
        ];
        let first =
            [("regex, first time", "101 ms", "100 us"), ("regex on names, first time", "", "")];
        let placed = cases().into_iter().map(|case| (case.name, case.classic[1], case.required));
        let rows = placed.chain(first).map(|(name, a, b)| ("spread", (name.to_owned(), a, b)));
        let lookups = lookups.into_iter().flat_map(|(name, classic)| {
            let warm = ("lookup", (name.to_owned(), classic, "1 us"));
            [warm, ("lookup", (format!("{name}, cold"), "", ""))]
        });
        for (group, (name, classic, required)) in rows.chain(lookups) {
            let ours = medians.get(&format!("scheduler {group}/{name}/{SIZE}"));
            let naive = self.reference.get(&(name.clone(), SIZE));
            let ratio = ours.zip(naive).map_or(String::new(), |(a, b)| format!("{:.0}", b / a));
            let [ours, naive] = [ours, naive].map(|time| time.map_or("-".to_owned(), |t| text(*t)));
            println!("{name:<28} {classic:>9} {required:>9} {ours:>9} {naive:>12} {ratio:>9}");
        }
        println!("the oracle is asked with spread only, and not beyond {SIZE} nodes");
        for ((name, nodes), time) in &self.reference {
            println!("naive oracle, {name}, {nodes} nodes: {}", text(*time));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads its own files")]
fn json(file: &Path) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(file).ok()?).ok()
}

/// Nanoseconds for people.
fn text(nanoseconds: f64) -> String {
    match nanoseconds {
        time if time < 1e3 => format!("{time:.0} ns"),
        time if time < 1e6 => format!("{:.2} us", time / 1e3),
        time if time < 1e9 => format!("{:.2} ms", time / 1e6),
        time => format!("{:.2} s", time / 1e9),
    }
}

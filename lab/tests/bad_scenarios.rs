//! Files that are no scenarios: what the user is told about each of them.
//!
//! Every `bad/NAME.yaml` has its report in `bad/NAME.snap`. After a change of a message, accept the
//! new ones with `INSTA_UPDATE=always cargo test -p lab --test bad_scenarios` and read the diff.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lab::scenario::{Overrides, load};

/// The files of a directory with an extension, sorted.
fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the directory is part of the repository");
    let paths = entries.map(|entry| entry.expect("the directory can be read").path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    paths.sort();
    paths
}

#[test]
fn every_bad_file_has_its_report() {
    let paths = files("tests/bad", "yaml");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("bad");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut names = BTreeSet::new();
    for path in &paths {
        let name = path.file_stem().expect("it has an extension").to_string_lossy().into_owned();
        let report = match load(path, &Overrides::default()) {
            Ok(_) => panic!("{} has no mistake", path.display()),
            Err(report) => report.render(false),
        };
        settings.bind(|| insta::assert_snapshot!(name.as_str(), report));
        names.insert(name);
    }
    let reports = files("tests/bad", "snap");
    let stale: Vec<_> = reports
        .iter()
        .filter(|path| {
            path.file_stem().is_none_or(|stem| !names.contains(&*stem.to_string_lossy()))
        })
        .collect();
    assert!(stale.is_empty(), "reports of files that are gone: {stale:?}");
}

#[test]
fn a_file_that_is_not_there_is_told_by_its_path() {
    let report = load(Path::new("tests/bad/nowhere.yaml"), &Overrides::default());
    let report = report.expect_err("there is no such file").render(false);
    insta::assert_snapshot!(report, @"
      error: cannot read `tests/bad/nowhere.yaml`
        = No such file or directory (os error 2)
    ");
}

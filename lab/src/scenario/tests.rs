//! Whole files, from text to scenario or report.

use std::path::Path;

use super::{Overrides, Scenario, Source, Verb, load, parse};

/// The scenario of the reference cluster, by its place in the repository.
fn vagrant4() -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/vagrant4.yaml");
    load(&path, &Overrides::default()).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn the_reference_cluster_is_read_as_written() {
    let scenario = vagrant4();
    assert_eq!(scenario.cluster.hosts.len(), 4);
    assert_eq!(scenario.cluster.engines().count(), 3);
    assert_eq!(scenario.cluster.discovery(), "consul://10.100.199.200:8500");
    let Verb::Run(spec) = &scenario.steps[4].verb else { panic!("{:?}", scenario.steps[4]) };
    assert_eq!(spec.name.all, ["webapp1", "webapp2", "webapp3"]);
    let node = scenario.steps[4].expect.as_ref().and_then(|expect| expect.node.as_ref());
    assert_eq!(node.map(|node| node.value.as_str()), Some("dockerhost01"));
}

/// The report of a text that is not a scenario.
fn report(text: &str) -> String {
    match parse(Source::new("bad.yaml", text), &Overrides::default()) {
        Ok(scenario) => panic!("no mistake found in {scenario:?}"),
        Err(report) => report.render(false),
    }
}

#[test]
fn every_mistake_is_told_in_one_go() {
    let text =
        "name: x\ncluster:\n  hosts:\n    a: { adress: 1, engine: { memory: 5 } }\nsteps: []\n";
    let report = report(text);
    assert!(report.contains("did you mean `address`?"), "{report}");
    assert!(report.contains("write `5MiB`"), "{report}");
}

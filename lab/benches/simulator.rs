//! How long a whole run in the simulator takes.

use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use lab::event::Memory;
use lab::replay::{Options, replay};
use lab::scenario::{self, Overrides};

fn runs(criterion: &mut Criterion) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let file = root.join("scenarios/vagrant4.yaml");
    let scenario = scenario::load(&file, &Overrides::default()).expect("the scenario is valid");
    let scenario = Arc::new(scenario);
    let mut group = criterion.benchmark_group("simulator");
    group.sample_size(20);
    let mut seed = 0;
    group.bench_function("vagrant4", |bencher| {
        bencher.iter(|| {
            seed += 1;
            let options = Options { seed, ..Options::default() };
            let outcome = replay(&scenario, &options, Arc::new(Memory::default()), |_| {});
            let outcome = outcome.expect("the simulator needs nothing from the machine");
            assert!(outcome.failure.is_none(), "seed {seed} failed");
        });
    });
    group.finish();
}

criterion_group!(simulator, runs);
criterion_main!(simulator);

//! How long one placement takes.

use std::hint::black_box;

use benches::{cluster, request};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use swarm::scheduler::{Filter, Scheduler, Strategy};

fn placements(criterion: &mut Criterion) {
    let scheduler = Scheduler::new(Filter::ALL.to_vec(), Strategy::Spread);
    let cases = [
        ("plain", request(&[], &[])),
        ("constraint", request(&["constraint:disk==ssd"], &[])),
        ("regex", request(&["constraint:disk==/s+d/"], &[])),
        ("port", request(&[], &["80"])),
        ("affinity", request(&["affinity:container==c5-3"], &[])),
    ];
    let mut group = criterion.benchmark_group("placement");
    group.sample_size(20);
    for nodes in [10, 100, 1_000] {
        let cluster = cluster(nodes);
        for (name, request) in &cases {
            group.bench_function(BenchmarkId::new(*name, nodes), |bencher| {
                bencher.iter(|| {
                    let placement = scheduler.place(&cluster, black_box(request), &mut |_| 0);
                    placement.expect("a node fits")
                });
            });
        }
    }
    group.finish();
}

criterion_group!(scheduler, placements);
criterion_main!(scheduler);

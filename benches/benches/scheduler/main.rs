//! How long the scheduler takes for one placement, beside a naive oracle, at any size; lookups,
//! churn, and what a container costs in memory.
//!
//! `cargo bench -p benches scheduler` measures everything and compares it with
//! `benches/baseline.json`, which `BASELINE=write` replaces. Under `cargo test` each benchmark
//! runs once, on small clusters.

mod counting;
mod fleet;
// The oracle of the scheduler's tests, and the clusters it reads.
#[path = "../../../swarm/tests/oracle/naive/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests ask it more")]
mod naive;
mod table;
#[path = "../../../swarm/tests/oracle/world.rs"]
#[allow(dead_code, reason = "the tests ask it more")]
mod world;

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use fleet::{CONTAINERS, Case, Fleet, cases, hex, request};
use serde_json::{Value, json};
use swarm::cluster::Cluster;
use swarm::scheduler::{Filter, Request, Scheduler, Strategy};
use table::Table;

/// The sizes measured, and those of a run that only looks whether everything works.
const SIZES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
const SMALL_SIZES: [usize; 2] = [10, 100];

/// The largest cluster that the oracle reads; beyond, it takes minutes for one answer.
const ORACLE_MAX: usize = 10_000;

/// The cluster of the churn: a million containers.
const CHURN: Fleet = Fleet { nodes: 10_000, containers: 100 };
const SMALL_CHURN: Fleet = Fleet { nodes: 10, containers: 100 };

const STRATEGIES: [Strategy; 3] = [Strategy::Spread, Strategy::Binpack, Strategy::Random];

fn scheduler(strategy: Strategy) -> Scheduler {
    Scheduler::new(Filter::ALL.to_vec(), strategy)
}

/// Numbers that are random enough for a strategy.
fn dice() -> impl FnMut(u64) -> u64 {
    let mut state = 1_u64;
    move |bound| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % bound
    }
}

fn group<'a>(
    criterion: &'a mut Criterion,
    name: &str,
) -> criterion::BenchmarkGroup<'a, criterion::measurement::WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(300));
    group
}

fn placements(criterion: &mut Criterion, cluster: &Cluster, nodes: usize) {
    for strategy in STRATEGIES {
        let scheduler = scheduler(strategy);
        let mut group = group(criterion, &format!("scheduler {}", strategy.as_str()));
        let mut dice = dice();
        for Case { name, body, .. } in cases() {
            let request = request(body);
            group.bench_function(BenchmarkId::new(name, nodes), |bencher| {
                bencher.iter(|| {
                    let choice = scheduler.choose(cluster, black_box(&request), &mut dice);
                    choice.expect("a node fits")
                });
            });
        }
        // Each time another expression: nothing is remembered of it.
        let mut count = 0_u64;
        let mut first_time = |name: &str, expression: fn(u64) -> String| {
            group.bench_function(BenchmarkId::new(name, nodes), |bencher| {
                let fresh = || {
                    count += 1;
                    request(json!({"Env": [expression(count)]}))
                };
                bencher.iter_batched(
                    fresh,
                    |request| scheduler.choose(cluster, &request, &mut dice).is_ok(),
                    BatchSize::SmallInput,
                );
            });
        };
        first_time("regex, first time", |n| format!("constraint:disk==/^s+d$|{n}/"));
        first_time("regex on names, first time", |n| format!("constraint:node==/-1.$|{n}x/"));
    }
}

/// The oracle, once or for so long.
fn reference(table: &mut Table, fleet: Fleet, filter: &str, budget: Duration) {
    if !"naive oracle of the scheduler".contains(filter) {
        return;
    }
    let world = fleet.world();
    let filters = Filter::ALL.map(|filter| filter.as_str().to_owned());
    for Case { name, body, .. } in cases() {
        let asked = naive::read_request(&body);
        let (start, mut runs) = (now(), 0);
        while runs == 0 || start.elapsed() < budget {
            black_box(naive::place(&world, &filters, "spread", black_box(&asked)));
            runs += 1;
        }
        table.set_reference(name, fleet.nodes, start.elapsed() / runs);
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark asks the machine's own clock")]
fn now() -> Instant {
    Instant::now()
}

/// How a text is made for a container by its node and number.
type Form<'a> = &'a dyn Fn((usize, usize)) -> String;

fn lookups(criterion: &mut Criterion, cluster: &Cluster, fleet: Fleet) {
    let mut group = group(criterion, "scheduler lookup");
    // As the classic manager was measured: the same again and again. And as it is: any of them, so
    // that nothing of it is in the processor's caches.
    let mut dice = dice();
    let mut pick = move || {
        let node = dice(fleet.nodes as u64) as usize;
        (node, dice(fleet.containers as u64) as usize)
    };
    let id = |(node, n)| fleet.container_id(node, n);
    let texts: [(&str, Form<'_>); 7] = [
        ("by ID", &id),
        ("by short ID", &|place| id(place)[..12].to_owned()),
        ("by prefix", &|place| id(place)[..15].to_owned()),
        ("by swarm ID", &|(node, n)| hex((node * fleet.containers + n) as u64, 3)),
        ("by name", &|(node, n)| format!("c{node}-{n}")),
        ("by node/name", &|(node, n)| format!("engine-{node}/c{node}-{n}")),
        ("absent", &|(node, n)| format!("d{node}-{n}")),
    ];
    for (name, text) in texts {
        let present = name != "absent";
        group.bench_function(BenchmarkId::new(name, fleet.nodes), |bencher| {
            let text = text(pick());
            bencher.iter(|| {
                let found = cluster.find_container(black_box(&text)).map(|found| &found.1.id);
                assert_eq!(found.is_some(), present, "{text}");
                found
            });
        });
        let name = format!("{name}, cold");
        group.bench_function(BenchmarkId::new(name, fleet.nodes), |bencher| {
            bencher.iter_batched(
                || text(pick()),
                |text| {
                    assert_eq!(cluster.find_container(&text).is_some(), present, "{text}");
                    text
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// Everything the cluster does for one container that comes while another goes.
fn churn(criterion: &mut Criterion, fleet: Fleet) {
    let mut cluster = fleet.cluster();
    let scheduler = scheduler(Strategy::Spread);
    let bodies = [
        ("plain", json!({})),
        ("resources", json!({"HostConfig": {"Memory": 64 << 20, "CpuShares": 1}})),
        ("constraint", json!({"Env": ["constraint:disk==/s+d/"]})),
    ];
    let mut there: VecDeque<(String, String)> = (0..fleet.containers)
        .flat_map(|n| (0..fleet.nodes).map(move |node| (node, n)))
        .map(|(node, n)| (Fleet::address(node), fleet.container_id(node, n)))
        .collect();
    let mut group = group(criterion, "scheduler churn");
    group.throughput(Throughput::Elements(1));
    let mut count = 0;
    for (name, body) in bodies {
        let size = fleet.nodes * fleet.containers;
        group.bench_function(BenchmarkId::new(name, size), |bencher| {
            let come = || {
                count += 1;
                Arrival::new(count, &body)
            };
            bencher.iter_batched(
                come,
                |arrival| {
                    let (addr, id) = arrival.come(&mut cluster, &scheduler);
                    there.push_back((addr, id));
                    let (addr, id) = there.pop_front().expect("as many as before");
                    cluster.remove_container(&addr, &id);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
    assert_eq!(there.len(), fleet.nodes * fleet.containers);
}

/// A container to be made, and what its engine will say of it.
struct Arrival {
    request: Request,
    swarm_id: String,
    id: String,
    row: Value,
    inspect: Value,
}

impl Arrival {
    fn new(count: u64, body: &Value) -> Self {
        let (id, swarm_id, name) = (hex(count, 4), hex(count, 5), format!("new-{count}"));
        let mut body = body.clone();
        let request = Request::from_create(&name, &mut body).expect("a fine body");
        let row = json!({"Id": id, "Names": [format!("/{name}")], "State": "created"});
        let labels = json!({"com.docker.swarm.id": swarm_id});
        let inspect = json!({"Config": {"Labels": labels}, "HostConfig": body["HostConfig"]});
        Self { request, swarm_id, id, row, inspect }
    }

    fn come(self, cluster: &mut Cluster, scheduler: &Scheduler) -> (String, String) {
        let claim = cluster.reserve(&self.request, &self.swarm_id, scheduler, &mut |_| 0);
        let addr = claim.expect("there is room").node;
        cluster.update_container(&addr, self.row, Some(self.inspect));
        cluster.release(&self.swarm_id);
        (addr, self.id)
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let measured = std::env::args().any(|argument| argument == "--bench");
    let filter = arguments.find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let sizes = if measured { &SIZES[..] } else { &SMALL_SIZES[..] };
    let output = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/criterion");
    let mut table = Table::new(&output);
    let mut criterion = Criterion::default().output_directory(&output).configure_from_args();
    for nodes in sizes {
        let fleet = Fleet { nodes: *nodes, containers: CONTAINERS };
        let before = counting::in_use();
        let cluster = fleet.cluster();
        let bytes = (counting::in_use() - before) / (fleet.nodes * fleet.containers);
        println!("{nodes} nodes: {bytes} bytes for each container, its JSON and texts included");
        placements(&mut criterion, &cluster, *nodes);
        lookups(&mut criterion, &cluster, fleet);
        drop(cluster);
        if *nodes <= ORACLE_MAX {
            let budget = Duration::from_millis(if measured { 300 } else { 0 });
            reference(&mut table, fleet, &filter, budget);
        }
    }
    churn(&mut criterion, if measured { CHURN } else { SMALL_CHURN });
    criterion.final_summary();
    if measured {
        table.print();
    }
}

//! The scheduler against an oracle: a naive second implementation, written from the rules of the
//! classic manager and from nothing of ours, that reads the raw JSON of engines and requests anew
//! for every question. Random clusters, containers and requests, small enough to collide often,
//! must get the same answer from both: the same nodes in the same order, or the same text.
//!
//! `PROPTEST_CASES` replaces the number of cases of every property.

mod expressions;
mod generate;
mod lookups;
mod machine;
mod naive;
mod placement;
mod planted;
mod reading;
mod steps;
mod stories;
mod world;

use proptest::test_runner::Config;

/// The suites spend a third of their time with small pieces of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 10,000 cases, unless the environment asks for another number.
fn config() -> Config {
    let config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return config;
    }
    Config { cases: 10_000, ..config }
}

//! Many seeds, on all the cores of the machine.

use std::num::NonZero;
use std::sync::Mutex;

/// Runs `one` with every seed, as many at a time as there are cores, and returns the results in the
/// order of the seeds. Each simulation has a thread and a runtime of its own, so what runs beside
/// it cannot change what it does.
pub fn sweep<T: Send>(
    seeds: impl Iterator<Item = u64> + Send,
    one: impl Fn(u64) -> T + Sync,
) -> Vec<(u64, T)> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let left = Mutex::new(seeds);
    let results = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = left.lock().expect("no holder of the lock panics").next();
            let Some(seed) = seed else { return };
            let result = one(seed);
            results.lock().expect("no holder of the lock panics").push((seed, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().expect("no holder of the lock panicked");
    results.sort_by_key(|(seed, _)| *seed);
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_runs_once_and_results_are_in_order() {
        let results = sweep(3..=40, |seed| seed * 2);
        let expected: Vec<_> = (3..=40).map(|seed| (seed, seed * 2)).collect();
        assert_eq!(results, expected);
    }
}

//! Ranking the nodes that pass all filters.

use super::view::View;
use super::{Request, Strategy};
use crate::cluster::index::{Load, RANKS};
use crate::cluster::{bytes_text, saturated};

/// The weight of an unspecified resource, and the most a node can be filled to.
const FULL: i64 = 100;

/// Lets health dominate: at most 1000, against 200 for both resources.
const HEALTH_FACTOR: i64 = 10;

/// The most that counts of a number of claims.
const COUNT_MAX: u32 = (1 << 24) - 1;

/// Sums below this can be multiplied by a hundred without overflow.
const SMALL: i128 = 1 << 56;

impl Strategy {
    /// The nodes that can take the request, best first. Equals are in the order of names, so that
    /// every run of a scenario tells the same story. (The classic manager takes any of them.)
    /// `random` leaves the order as it is.
    pub(super) fn rank<'v, 'a>(
        self,
        mut views: Vec<&'v View<'a>>,
        request: &Request,
    ) -> Vec<&'v View<'a>> {
        if self == Self::Random {
            return views;
        }
        let key = |view: &View<'_>| {
            let weight = self.weigh(view, request)?;
            Some(count_key(self, weight, view.load.count, view.load.rank))
        };
        views.retain(|view| key(view).is_some());
        views.sort_by_key(|view| key(view));
        views
    }

    /// What the node has too little of, and why that is so, for people; `None` if it can take the
    /// request.
    pub(super) fn reason(
        self,
        view: &View<'_>,
        request: &Request,
    ) -> Option<(&'static str, String)> {
        if self == Self::Random || self.weigh(view, request).is_some() {
            return None;
        }
        let load = view.load;
        Some(if score(request.facts.cpus, load.cpus_used, load.cpus).is_none() {
            let (used, total, asked) = (saturated(load.cpus_used), load.cpus, request.facts.cpus);
            ("CPUs", format!("{asked} CPUs asked, {used} of {total} reserved"))
        } else {
            let (used, asked) = (saturated(load.memory_used), request.facts.memory);
            let [asked, used, total] = [asked, used, load.memory].map(bytes_text);
            ("memory", format!("{asked} of memory asked, {used} of {total} reserved"))
        })
    }

    /// How well the node would fit: the less the better for spread, the more for binpack. `None`
    /// if it has not enough left.
    pub(super) fn weigh(self, view: &View<'_>, request: &Request) -> Option<i64> {
        weigh_load(self, view.load, request.facts.cpus, request.facts.memory)
    }
}

/// As [`Strategy::weigh`], for a request of this size.
pub(super) fn weigh_load(strategy: Strategy, load: &Load, cpus: i64, memory: i64) -> Option<i64> {
    let cpus = score(cpus, load.cpus_used, load.cpus)?;
    let memory = score(memory, load.memory_used, load.memory)?;
    let health = HEALTH_FACTOR * load.health;
    Some(cpus + memory + if strategy == Strategy::Spread { -health } else { health })
}

/// Weight, number of claims and place in the order of names as one number: the least is the best.
pub(super) fn count_key(strategy: Strategy, weight: i64, count: u32, rank: u32) -> u64 {
    // Weights lie between -1000 and 1200.
    let (least, most) = (-HEALTH_FACTOR * FULL, HEALTH_FACTOR * FULL + 2 * FULL);
    let count = count.min(COUNT_MAX);
    let (weight, count) = match strategy {
        Strategy::Spread | Strategy::Random => (weight - least, count),
        Strategy::Binpack => (most - weight, COUNT_MAX - count),
    };
    debug_assert!((0..1 << 12).contains(&weight) && rank < RANKS, "each has its own bits");
    (weight as u64) * (u64::from(COUNT_MAX) + 1) * u64::from(RANKS)
        + u64::from(count) * u64::from(RANKS)
        + u64::from(rank)
}

/// The percentage of one resource in use with the request; `None` if it is not enough.
fn score(asked: i64, used: i128, total: i64) -> Option<i64> {
    if asked <= 0 {
        return (total >= asked).then_some(FULL);
    }
    if total < asked {
        return None;
    }
    let sum = used + i128::from(asked);
    let score = match i64::try_from(sum).ok().filter(|_| sum < SMALL) {
        // The same, where a processor can do it at once.
        Some(sum) => sum * 100 / total,
        None => saturated(sum * 100 / i128::from(total)),
    };
    (score <= FULL).then_some(score)
}

/// Fisher–Yates.
pub(super) fn shuffle<T>(items: &mut [T], random: &mut dyn FnMut(u64) -> u64) {
    for last in (1..items.len()).rev() {
        let bound = u64::try_from(last).expect("a length fits 64 bits") + 1;
        let chosen = usize::try_from(random(bound)).expect("it is at most `last`");
        items.swap(last, chosen);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Strategy as Generator;

    use super::*;

    /// Amounts of every order of magnitude, those around the end of the short cut among them.
    fn amount() -> impl Generator<Value = i64> {
        let around = (1_i64 << 56) - 1000..(1 << 56) + 1000;
        prop_oneof![1..=100_i64, 1..=i64::MAX, around, (0..63_u32).prop_map(|bits| 1 << bits)]
    }

    proptest! {
        #[test]
        fn a_score_is_the_whole_percentage(
            asked in amount(),
            used in amount(),
            more in 0..3_i128,
            total in amount(),
        ) {
            let used = i128::from(used) * more;
            let percentage = (used + i128::from(asked)) * 100 / i128::from(total);
            let fits = asked <= total && percentage <= 100;
            let expected = fits.then(|| i64::try_from(percentage).expect("at most 100"));
            prop_assert_eq!(score(asked, used, total), expected);
        }

        #[test]
        fn keys_are_ordered_by_weight_then_count_then_name(
            weights in prop::array::uniform2(prop_oneof![-1000..=1200_i64, 5..8_i64]),
            counts in prop::array::uniform2(prop_oneof![0..3_u32, COUNT_MAX - 2..=u32::MAX]),
            ranks in prop::array::uniform2(prop_oneof![0..3_u32, RANKS - 3..RANKS]),
        ) {
            let key = |strategy, at: usize| {
                count_key(strategy, weights[at], counts[at], ranks[at])
            };
            let [first, second] = counts.map(|count| count.min(COUNT_MAX));
            let spread = (weights[0], first, ranks[0]) < (weights[1], second, ranks[1]);
            prop_assert_eq!(key(Strategy::Spread, 0) < key(Strategy::Spread, 1), spread);
            let binpack = (weights[1], second, ranks[0]) < (weights[0], first, ranks[1]);
            prop_assert_eq!(key(Strategy::Binpack, 0) < key(Strategy::Binpack, 1), binpack);
            prop_assert!(key(Strategy::Spread, 0) != u64::MAX, "that is no key");
        }
    }
}

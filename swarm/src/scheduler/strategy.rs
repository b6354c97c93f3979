//! Ranking the nodes that pass all filters.

use std::cmp::Reverse;

use super::view::View;
use super::{Request, Strategy};
use crate::cluster::{Options, bytes_text};

/// The weight of an unspecified resource, and the most a node can be filled to.
const FULL: i128 = 100;

/// Lets health dominate: at most 1000, against 200 for both resources.
const HEALTH_FACTOR: i128 = 10;

impl Strategy {
    /// The nodes that can take the request, best first. Equals are in the order of names, as
    /// `views` is, so that every run of a scenario tells the same story. (The classic manager
    /// takes any of them.)
    pub(super) fn rank<'v, 'a>(
        self,
        mut views: Vec<&'v View<'a>>,
        options: &Options,
        request: &Request,
        random: &mut dyn FnMut(u64) -> u64,
    ) -> Vec<&'v View<'a>> {
        if self == Self::Random {
            shuffle(&mut views, random);
            return views;
        }
        let mut weighed: Vec<(i128, usize, &View<'_>)> = views
            .into_iter()
            .filter_map(|view| Some((self.weigh(view, options, request)?, view.count(), view)))
            .collect();
        if self == Self::Spread {
            weighed.sort_by_key(|(weight, count, _)| (*weight, *count));
        } else {
            weighed.sort_by_key(|(weight, count, _)| Reverse((*weight, *count)));
        }
        weighed.into_iter().map(|(_, _, view)| view).collect()
    }

    /// What the node has too little of, and why that is so, for people; `None` if it can take the
    /// request.
    pub(super) fn reason(
        self,
        view: &View<'_>,
        options: &Options,
        request: &Request,
    ) -> Option<(&'static str, String)> {
        if self == Self::Random || self.weigh(view, options, request).is_some() {
            return None;
        }
        let load = Load::of(view, options);
        Some(if score(request.facts.cpus, load.cpus.0, load.cpus.1).is_none() {
            let ((used, total), asked) = (load.cpus, request.facts.cpus);
            ("CPUs", format!("{asked} CPUs asked, {used} of {total} reserved"))
        } else {
            let ((used, total), asked) = (load.memory, request.facts.memory);
            let [asked, used, total] = [asked, used, total].map(bytes_text);
            ("memory", format!("{asked} of memory asked, {used} of {total} reserved"))
        })
    }

    /// How well the node would fit: the less the better for spread, the more for binpack. `None`
    /// if it has not enough left.
    pub(super) fn weigh(
        self,
        view: &View<'_>,
        options: &Options,
        request: &Request,
    ) -> Option<i128> {
        let load = Load::of(view, options);
        let cpus = score(request.facts.cpus, load.cpus.0, load.cpus.1)?;
        let memory = score(request.facts.memory, load.memory.0, load.memory.1)?;
        let health = HEALTH_FACTOR * i128::from(view.node.health_indicator(options));
        Some(cpus + memory + if self == Self::Spread { -health } else { health })
    }
}

/// What is reserved and what there is.
struct Load {
    cpus: (i64, i64),
    memory: (i64, i64),
}

impl Load {
    fn of(view: &View<'_>, options: &Options) -> Self {
        let (cpus, memory) = view.claims().fold((0_i64, 0_i64), |(cpus, memory), facts| {
            (cpus.saturating_add(facts.cpus), memory.saturating_add(facts.memory))
        });
        Self {
            cpus: (cpus, view.node.total_cpus(options)),
            memory: (memory, view.node.total_memory(options)),
        }
    }
}

/// The percentage of one resource in use with the request; `None` if it is not enough.
fn score(asked: i64, used: i64, total: i64) -> Option<i128> {
    if asked <= 0 {
        return (total >= asked).then_some(FULL);
    }
    if total < asked {
        return None;
    }
    let score = (i128::from(used) + i128::from(asked)) * 100 / i128::from(total);
    (score <= FULL).then_some(score)
}

/// Fisher–Yates.
fn shuffle<T>(items: &mut [T], random: &mut dyn FnMut(u64) -> u64) {
    for last in (1..items.len()).rev() {
        let bound = u64::try_from(last).expect("a length fits 64 bits") + 1;
        let chosen = usize::try_from(random(bound)).expect("it is at most `last`");
        items.swap(last, chosen);
    }
}

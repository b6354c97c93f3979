//! Which of two answers about one container is the newer one.
//!
//! Answers overlap: while a complete list is on its way, an event makes the manager ask for one
//! container, and the list arrives later although it is older. An answer is as old as its request,
//! so every request takes a number before it is sent, and an answer with a lower number than what
//! is known is ignored. The same keeps a container that was removed meanwhile from coming back.

use std::collections::{BTreeMap, BTreeSet};

/// How many requests later a removal is forgotten: more than can be under way to one engine.
const REMOVAL_REQUESTS: u64 = 10_000;

/// For each container of one engine, the number of the request that told of it last.
#[derive(Debug, Default)]
pub(super) struct Freshness {
    last: u64,
    seen: BTreeMap<String, u64>,
}

impl Freshness {
    /// The number of a request that is about to be sent.
    pub(super) fn begin(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Whether the answer to request `number` tells something new of the container; if so, it is
    /// from now on what is known.
    pub(super) fn accept(&mut self, id: &str, number: u64) -> bool {
        match self.seen.get_mut(id) {
            Some(seen) if *seen > number => false,
            Some(seen) => {
                *seen = number;
                true
            }
            None => {
                self.seen.insert(id.to_owned(), number);
                true
            }
        }
    }

    /// The containers of which something newer than the answer to request `number` is known.
    pub(super) fn newer_than(&self, number: u64) -> BTreeSet<String> {
        let newer = self.seen.iter().filter(|(_, seen)| **seen > number);
        newer.map(|(id, _)| id.clone()).collect()
    }

    /// Forgets containers that went long ago. `present` are those that are known.
    pub(super) fn prune(&mut self, present: &BTreeSet<String>) {
        let last = self.last;
        self.seen.retain(|id, seen| *seen + REMOVAL_REQUESTS > last || present.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_answer_that_arrives_later_is_ignored() {
        let mut fresh = Freshness::default();
        let (list, event) = (fresh.begin(), fresh.begin());
        assert!(fresh.accept("a", event));
        assert!(!fresh.accept("a", list));
        assert!(fresh.accept("b", list));
        assert_eq!(fresh.newer_than(list), BTreeSet::from(["a".to_owned()]));
        assert!(fresh.accept("a", event), "the same request may tell of a container twice");
    }

    #[test]
    fn removals_are_forgotten_in_the_end_and_containers_are_not() {
        let mut fresh = Freshness::default();
        let first = fresh.begin();
        assert!(fresh.accept("gone", first) && fresh.accept("here", first));
        for _ in 0..REMOVAL_REQUESTS {
            fresh.begin();
        }
        fresh.prune(&BTreeSet::from(["here".to_owned()]));
        assert_eq!(fresh.newer_than(0), BTreeSet::from(["here".to_owned()]));
    }
}

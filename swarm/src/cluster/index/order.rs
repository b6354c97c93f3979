//! The natural order of nodes, as numbers that compare like it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::cluster::natural_cmp;

/// Ranks are below this, so that they fit beside weight and count in a sort key.
pub(crate) const RANKS: u32 = 1 << 28;

/// The room left after a node that comes last.
const STEP: u32 = 1 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    name: String,
    addr: String,
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        natural_cmp(&self.name, &other.name).then_with(|| self.addr.cmp(&other.addr))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Slots in the order of names, then of addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    by_key: BTreeMap<Key, (u32, u32)>,
    /// By slot; what is not in use is of no meaning.
    ranks: Vec<u32>,
}

impl Order {
    /// Adds a node. Whether all ranks changed, because there was no room between its neighbours.
    pub(super) fn insert(&mut self, name: &str, addr: &str, slot: u32) -> bool {
        let key = Key { name: name.to_owned(), addr: addr.to_owned() };
        let before = self.by_key.range(..&key).next_back().map(|(_, (_, rank))| *rank);
        let after = self.by_key.range(&key..).next().map(|(_, (_, rank))| *rank);
        let rank = between(before, after);
        if self.ranks.len() <= slot as usize {
            self.ranks.resize(slot as usize + 1, 0);
        }
        self.ranks[slot as usize] = rank.unwrap_or_default();
        self.by_key.insert(key, (slot, rank.unwrap_or_default()));
        if rank.is_none() {
            self.spread_out();
        }
        rank.is_none()
    }

    pub(super) fn remove(&mut self, name: &str, addr: &str) {
        self.by_key.remove(&Key { name: name.to_owned(), addr: addr.to_owned() });
    }

    pub(super) fn rank_of(&self, slot: u32) -> Option<u32> {
        self.ranks.get(slot as usize).copied()
    }

    /// Slots with their ranks, in their order.
    pub(super) fn ranks(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.by_key.values().copied()
    }

    fn spread_out(&mut self) {
        let count = u32::try_from(self.by_key.len()).expect("no more nodes than slots");
        let step = (RANKS / (count + 1)).min(STEP);
        let mut next = RANKS / 2 - (step * count) / 2;
        for (slot, rank) in self.by_key.values_mut() {
            *rank = next;
            self.ranks[*slot as usize] = next;
            next += step;
        }
    }
}

/// A rank between two neighbours, if there is one left.
fn between(before: Option<u32>, after: Option<u32>) -> Option<u32> {
    match (before, after) {
        (None, None) => Some(RANKS / 2),
        (Some(before), None) => Some(before + STEP).filter(|rank| *rank < RANKS),
        (None, Some(after)) => after.checked_sub(STEP),
        (Some(before), Some(after)) => {
            let middle = before + (after - before) / 2;
            (middle > before).then_some(middle)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Ranks compare like names, whatever came and went, also where the room runs out.
        #[test]
        fn ranks_are_in_order(
            steps in prop::collection::vec((0..3_u8, "[ab]{0,1}[0-9]{0,3}", 0..60_u32), 1..200),
        ) {
            let mut order = Order::default();
            let mut names: BTreeMap<u32, String> = BTreeMap::new();
            for (kind, name, slot) in steps {
                let addr = slot.to_string();
                if let Some(old) = names.remove(&slot) {
                    order.remove(&old, &addr);
                }
                if kind > 0 {
                    order.insert(&name, &addr, slot);
                    names.insert(slot, name);
                }
                let mut expected: Vec<(Key, u32)> = names
                    .iter()
                    .map(|(slot, name)| (Key { name: name.clone(), addr: slot.to_string() }, *slot))
                    .collect();
                expected.sort();
                let ranks: Vec<(u32, u32)> = order.ranks().collect();
                prop_assert!(ranks.iter().map(|r| r.0).eq(expected.iter().map(|e| e.1)));
                prop_assert!(ranks.windows(2).all(|pair| pair[0].1 < pair[1].1));
                for (slot, rank) in ranks {
                    prop_assert_eq!(order.rank_of(slot), Some(rank));
                }
            }
        }
    }

    #[test]
    fn room_that_runs_out_is_made_anew() {
        let mut order = Order::default();
        order.insert("a", "1", 0);
        order.insert("c", "2", 1);
        // Each goes right before the last: the room halves.
        let mut moved = 0;
        for slot in 2..60 {
            let name = format!("b{}", 100 - slot);
            moved += usize::from(order.insert(&name, "3", slot));
        }
        assert!(moved > 0);
        let ranks: Vec<u32> = order.ranks().map(|(_, rank)| rank).collect();
        assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]));
    }
}

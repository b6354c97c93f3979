//! How often something occurs on each node.

use super::bits::Bits;

/// A list of nodes takes eight bytes for each; counters for all nodes take four for every node
/// there is, but make the set of nodes ready to be intersected. They pay when at least one node in
/// so many has it.
const DENSE: usize = 16;

/// For each slot, how many there are.
#[derive(Clone, Debug)]
pub(crate) enum Tally {
    /// Slots that have any, in ascending order, each with how many.
    Few(Vec<(u32, u32)>),
    /// Counters of all slots, those that are not zero, and how many those are.
    Many { counts: Vec<u32>, bits: Bits, len: usize },
}

impl Default for Tally {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Tally {
    /// One more; `universe` is the number of slots there are.
    pub(crate) fn add(&mut self, slot: u32, universe: usize) {
        match self {
            Self::Few(list) => {
                match list.binary_search_by_key(&slot, |entry| entry.0) {
                    Ok(at) => list[at].1 += 1,
                    Err(at) => list.insert(at, (slot, 1)),
                }
                if list.len() > 64 && list.len() * DENSE > universe {
                    let mut counts = vec![0; universe.max(slot as usize + 1)];
                    list.iter().for_each(|(slot, count)| counts[*slot as usize] = *count);
                    let bits = list.iter().map(|entry| entry.0).collect();
                    *self = Self::Many { counts, bits, len: list.len() };
                }
            }
            Self::Many { counts, bits, len } => {
                if counts.len() <= slot as usize {
                    counts.resize(universe.max(slot as usize + 1), 0);
                }
                let count = &mut counts[slot as usize];
                *len += usize::from(*count == 0);
                *count += 1;
                bits.insert(slot);
            }
        }
    }

    /// One less. There must be one.
    pub(crate) fn sub(&mut self, slot: u32) {
        match self {
            Self::Few(list) => {
                if let Ok(at) = list.binary_search_by_key(&slot, |entry| entry.0) {
                    list[at].1 -= 1;
                    if list[at].1 == 0 {
                        list.remove(at);
                    }
                }
            }
            Self::Many { counts, bits, len } => {
                let count = &mut counts[slot as usize];
                *count -= 1;
                if *count == 0 {
                    bits.remove(slot);
                    *len -= 1;
                    // Far below the limit, so that it does not go back and forth.
                    if *len * DENSE * 4 < counts.len() {
                        let entries = bits.iter().map(|slot| (slot, counts[slot as usize]));
                        *self = Self::Few(entries.collect());
                    }
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Few(list) => list.is_empty(),
            Self::Many { len, .. } => *len == 0,
        }
    }

    pub(crate) fn add_to(&self, set: &mut Bits) {
        match self {
            Self::Few(list) => list.iter().for_each(|entry| set.insert(entry.0)),
            Self::Many { bits, .. } => set.add_all(bits),
        }
    }

    /// Keeps in `set` what is counted here; `scratch` may be overwritten.
    pub(crate) fn keep_in(&self, set: &mut Bits, scratch: &mut Bits) {
        match self {
            Self::Few(list) => {
                scratch.clear();
                list.iter().for_each(|entry| scratch.insert(entry.0));
                set.keep(scratch);
            }
            Self::Many { bits, .. } => set.keep(bits),
        }
    }

    pub(crate) fn drop_from(&self, set: &mut Bits) {
        match self {
            Self::Few(list) => list.iter().for_each(|entry| set.remove(entry.0)),
            Self::Many { bits, .. } => set.drop_all(bits),
        }
    }

    /// The slots that have any, each with how many, in ascending order.
    pub(crate) fn entries(&self) -> Vec<(u32, u32)> {
        match self {
            Self::Few(list) => list.clone(),
            Self::Many { counts, bits, .. } => {
                bits.iter().map(|slot| (slot, counts[slot as usize])).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Whatever form it has, it counts. Slots are few or many, so that the form changes.
        #[test]
        fn it_counts(
            steps in prop::collection::vec((any::<bool>(), 0..200_u32, 1..120_u32), 1..40),
        ) {
            let (mut tally, mut expected) = (Tally::default(), BTreeMap::new());
            for (add, first, length) in steps {
                for slot in first..(first + length).min(200) {
                    if add {
                        tally.add(slot, 200);
                        *expected.entry(slot).or_insert(0) += 1;
                    } else if let Some(count) = expected.get_mut(&slot) {
                        tally.sub(slot);
                        *count -= 1;
                        if *count == 0 {
                            expected.remove(&slot);
                        }
                    }
                }
                let entries: Vec<(u32, u32)> = expected.iter().map(|(s, n)| (*s, *n)).collect();
                prop_assert_eq!(tally.entries(), entries);
                prop_assert_eq!(tally.is_empty(), expected.is_empty());
                let mut set = Bits::default();
                tally.add_to(&mut set);
                prop_assert!(set.iter().eq(expected.keys().copied()));
                let (mut kept, mut scratch): (Bits, Bits) = ((50..100).collect(), (0..9).collect());
                tally.keep_in(&mut kept, &mut scratch);
                prop_assert!(kept.iter().eq((50..100).filter(|slot| expected.contains_key(slot))));
                let mut all: Bits = (0..200).collect();
                tally.drop_from(&mut all);
                prop_assert!(all.iter().eq((0..200).filter(|slot| !expected.contains_key(slot))));
            }
        }
    }
}

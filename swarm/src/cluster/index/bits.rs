//! Sets of nodes as bits.

/// A set of slots.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits {
    words: Vec<u64>,
}

const BITS: usize = u64::BITS as usize;

impl Bits {
    pub(crate) fn insert(&mut self, slot: u32) {
        let (word, bit) = place(slot);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        let (word, bit) = place(slot);
        if let Some(word) = self.words.get_mut(word) {
            *word &= !bit;
        }
    }

    pub(crate) fn set(&mut self, slot: u32, value: bool) {
        if value { self.insert(slot) } else { self.remove(slot) }
    }

    pub(crate) fn contains(&self, slot: u32) -> bool {
        let (word, bit) = place(slot);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
    }

    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Becomes equal to `other` without giving back its memory.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.words.clear();
        self.words.extend_from_slice(&other.words);
    }

    /// Keeps what is in `other`, too.
    pub(crate) fn keep(&mut self, other: &Self) {
        let common = self.words.len().min(other.words.len());
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
        self.words[common..].fill(0);
    }

    /// Drops what is in `other`.
    pub(crate) fn drop_all(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    /// Adds what is in `other`.
    pub(crate) fn add_all(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// The slots in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0_u32..).step_by(BITS).zip(&self.words).flat_map(|(first, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                // The lowest bit goes; nothing is left of nothing.
                left &= left.checked_sub(1)?;
                Some(first + bit)
            })
        })
    }

    /// The slot that has `index` slots before it.
    pub(crate) fn nth(&self, mut index: usize) -> Option<u32> {
        for (first, word) in (0_u32..).step_by(BITS).zip(&self.words) {
            let count = word.count_ones() as usize;
            if index < count {
                let mut left = *word;
                for _ in 0..index {
                    left &= left - 1;
                }
                return Some(first + left.trailing_zeros());
            }
            index -= count;
        }
        None
    }
}

impl FromIterator<u32> for Bits {
    fn from_iter<T: IntoIterator<Item = u32>>(slots: T) -> Self {
        let mut bits = Self::default();
        slots.into_iter().for_each(|slot| bits.insert(slot));
        bits
    }
}

fn place(slot: u32) -> (usize, u64) {
    (slot as usize / BITS, 1 << (slot as usize % BITS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn slots() -> impl Strategy<Value = BTreeSet<u32>> {
        prop::collection::btree_set(0..300_u32, 0..40)
    }

    fn bits(slots: &BTreeSet<u32>) -> Bits {
        slots.iter().copied().collect()
    }

    proptest! {
        #[test]
        fn bits_are_sets(a in slots(), b in slots(), gone in 0..300_u32) {
            type Change = fn(&mut Bits, &Bits);
            let cases: [(Change, BTreeSet<u32>); 4] = [
                (Bits::keep, &a & &b),
                (Bits::drop_all, &a - &b),
                (Bits::add_all, &a | &b),
                (Bits::copy_from, b.clone()),
            ];
            for (change, expected) in cases {
                let mut set = bits(&a);
                change(&mut set, &bits(&b));
                set.remove(gone);
                let expected: Vec<u32> = expected.into_iter().filter(|s| *s != gone).collect();
                prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected.clone());
                prop_assert_eq!(set.count(), expected.len());
                for (index, slot) in expected.iter().enumerate() {
                    prop_assert!(set.contains(*slot));
                    prop_assert_eq!(set.nth(index), Some(*slot));
                }
                prop_assert_eq!(set.nth(expected.len()), None);
            }
        }
    }
}

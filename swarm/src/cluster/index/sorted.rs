//! A set of small keys in order.

use super::texts::Handle;

/// A key and a container. Halves instead of eight bytes at once, so that it is not padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry(u32, u32, pub(super) Handle);

impl Entry {
    pub(super) fn new(key: u64, handle: Handle) -> Self {
        Self((key >> 32) as u32, key as u32, handle)
    }
}

/// The most entries of a block: few enough to be moved at once, many enough that the first entries
/// of all blocks stay in the processor's cache.
const BLOCK_MAX: usize = 256;

/// Entries in blocks. With a million of them a tree has twice as many places to look at, and each
/// is another trip to memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Sorted {
    /// The first entry of each block.
    firsts: Vec<Entry>,
    /// None is empty.
    blocks: Vec<Vec<Entry>>,
    len: usize,
}

impl Sorted {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds an entry, unless it is there.
    pub(super) fn insert(&mut self, entry: Entry) {
        let at = self.block_of(entry);
        let Some(block) = self.blocks.get_mut(at) else {
            self.firsts.push(entry);
            self.blocks.push(vec![entry]);
            self.len += 1;
            return;
        };
        let Err(place) = block.binary_search(&entry) else { return };
        if block.len() == block.capacity() {
            // Doubling would leave room for as many again.
            block.reserve_exact(block.len() / 4 + 4);
        }
        block.insert(place, entry);
        self.len += 1;
        self.firsts[at] = block[0];
        if block.len() > BLOCK_MAX {
            let upper = block.split_off(BLOCK_MAX / 2);
            block.shrink_to_fit();
            self.firsts.insert(at + 1, upper[0]);
            self.blocks.insert(at + 1, upper);
        }
    }

    pub(super) fn remove(&mut self, entry: Entry) {
        let at = self.block_of(entry);
        let Some(block) = self.blocks.get_mut(at) else { return };
        let Ok(place) = block.binary_search(&entry) else { return };
        block.remove(place);
        self.len -= 1;
        match block.first() {
            Some(first) => self.firsts[at] = *first,
            None => {
                self.firsts.remove(at);
                self.blocks.remove(at);
                return;
            }
        }
        // Few entries are kept with the next ones.
        let len = block.len();
        let fits = |next: &Vec<Entry>| len < BLOCK_MAX / 8 && next.len() + len <= BLOCK_MAX / 2;
        if self.blocks.get(at + 1).is_some_and(fits) {
            let next = self.blocks.remove(at + 1);
            self.firsts.remove(at + 1);
            self.blocks[at].extend(next);
        }
    }

    /// The entries from the first to the last of these, in order.
    pub(super) fn range(&self, first: Entry, last: Entry) -> impl Iterator<Item = Entry> + Clone {
        let at = self.block_of(first);
        let place = self.blocks.get(at).map_or(0, |block| block.partition_point(|e| *e < first));
        let start = self.blocks.get(at).map_or(&[][..], |block| &block[place..]);
        let rest = self.blocks.get(at + 1..).unwrap_or_default().iter().flatten();
        start.iter().chain(rest).copied().take_while(move |entry| *entry <= last)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.blocks.iter().flatten().copied()
    }

    /// The block where the entry is or belongs.
    fn block_of(&self, entry: Entry) -> usize {
        self.firsts.partition_point(|first| *first <= entry).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// It is a set in order, also where blocks are split and joined.
        #[test]
        fn it_is_an_ordered_set(
            steps in prop::collection::vec((any::<bool>(), 0..2_000_u64, 1..400_u64), 1..30),
            (first, last) in (0..2_000_u64, 0..2_000_u64),
        ) {
            let (mut sorted, mut expected) = (Sorted::default(), BTreeSet::new());
            for (add, from, length) in steps {
                for key in from..from + length {
                    let entry = Entry::new(key << 30, key as Handle % 3);
                    if add {
                        sorted.insert(entry);
                        expected.insert(entry);
                    } else {
                        sorted.remove(entry);
                        expected.remove(&entry);
                    }
                }
                prop_assert_eq!(sorted.len(), expected.len());
                prop_assert!(sorted.iter().eq(expected.iter().copied()));
                prop_assert!(sorted.blocks.iter().all(|block| !block.is_empty()));
                let firsts = sorted.blocks.iter().map(|block| block[0]);
                prop_assert!(firsts.eq(sorted.firsts.iter().copied()));
            }
            let (first, last) = (Entry::new(first << 30, 1), Entry::new(last << 30, 1));
            let range = expected.iter().copied().filter(|entry| first <= *entry && *entry <= last);
            prop_assert!(sorted.range(first, last).eq(range));
        }
    }
}

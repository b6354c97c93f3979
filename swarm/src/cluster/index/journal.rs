//! Which nodes changed since somebody last looked.

/// Slots of nodes in the order in which they changed. Whoever keeps something that depends on
/// nodes remembers how far it has read, and later renews what belongs to the slots since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    /// The number of the first entry that is kept.
    base: u64,
    slots: Vec<u32>,
}

/// Fewer entries than these are always kept.
const KEPT_MIN: usize = 1_024;

impl Journal {
    /// Notes a change; `universe` is the number of slots there are.
    pub(crate) fn note(&mut self, slot: u32, universe: usize) {
        if self.slots.len() >= universe.max(KEPT_MIN) {
            // Whoever has not read them is better off with starting anew.
            self.forget();
        }
        self.slots.push(slot);
    }

    /// Everything may have changed.
    pub(crate) fn forget(&mut self) {
        self.base = self.end() + 1;
        self.slots.clear();
    }

    /// The number of the next entry: what a reader has to remember.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.slots.len() as u64
    }

    /// The slots that changed since the reader remembered `seen`; `None` if that is no longer
    /// known.
    pub(crate) fn since(&self, seen: u64) -> Option<&[u32]> {
        let from = usize::try_from(seen.checked_sub(self.base)?).ok()?;
        self.slots.get(from..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gets_what_it_has_not_read_or_starts_anew() {
        let mut journal = Journal::default();
        let start = journal.end();
        assert_eq!(journal.since(start), Some(&[][..]));
        journal.note(3, 1);
        let later = journal.end();
        journal.note(5, 1);
        assert_eq!(journal.since(start), Some(&[3, 5][..]));
        assert_eq!(journal.since(later), Some(&[5][..]));
        for _ in 0..KEPT_MIN {
            journal.note(1, 1);
        }
        assert_eq!(journal.since(later), None);
        let now = journal.end();
        assert_eq!(journal.since(now), Some(&[][..]));
        journal.forget();
        assert_eq!(journal.since(now), None);
    }
}

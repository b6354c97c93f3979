//! Finding containers by text: by the beginning of an ID, or by a whole name.
//!
//! The texts themselves stay with the containers. A key is made of the text, so that few
//! containers have the same; which of them is meant, the caller finds out by looking at them.

use std::hash::{DefaultHasher, Hasher};

use super::sorted::{Entry, Sorted};

/// The number of a container in the index.
pub(crate) type Handle = u32;

/// Length of a key in bytes.
const KEY: usize = 8;

/// Texts in their order, by their first eight bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beginnings(Sorted);

impl Beginnings {
    pub(crate) fn insert(&mut self, text: &str, handle: Handle) {
        self.0.insert(Entry::new(first_bytes(text, 0), handle));
    }

    pub(crate) fn remove(&mut self, text: &str, handle: Handle) {
        self.0.remove(Entry::new(first_bytes(text, 0), handle));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Whatever may have this text.
    pub(crate) fn equal<'a>(&'a self, text: &str) -> impl Iterator<Item = Handle> + use<'a> {
        self.beginning(text).take_while(|(whole, _)| *whole).map(|(_, handle)| handle)
    }

    /// Whatever may begin with this text. Those for which it may be the whole come first, and are
    /// marked.
    pub(crate) fn beginning<'a>(
        &'a self,
        text: &str,
    ) -> impl Iterator<Item = (bool, Handle)> + Clone + use<'a> {
        let (first, last) = (first_bytes(text, 0), first_bytes(text, 0xff));
        let limit = Entry::new(first, Handle::MAX);
        let range = self.0.range(Entry::new(first, 0), Entry::new(last, Handle::MAX));
        range.map(move |entry| (entry <= limit, entry.2))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Handle> + '_ {
        self.0.iter().map(|entry| entry.2)
    }
}

/// The first bytes of a text as a number in the same order, filled up with `filler`.
fn first_bytes(text: &str, filler: u8) -> u64 {
    let mut bytes = [filler; KEY];
    let length = text.len().min(KEY);
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    u64::from_be_bytes(bytes)
}

/// Whole texts. Names like to begin alike, so the key is a hash: always the same one, for the
/// simulator, but one that nobody finds many collisions of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wholes(Sorted);

impl Wholes {
    pub(crate) fn insert(&mut self, text: &str, handle: Handle) {
        self.0.insert(Entry::new(hash(text), handle));
    }

    pub(crate) fn remove(&mut self, text: &str, handle: Handle) {
        self.0.remove(Entry::new(hash(text), handle));
    }

    /// Whatever may have this text.
    pub(crate) fn equal(&self, text: &str) -> impl Iterator<Item = Handle> + '_ {
        let key = hash(text);
        let (first, last) = (Entry::new(key, 0), Entry::new(key, Handle::MAX));
        self.0.range(first, last).map(|entry| entry.2)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Nothing that has the text or begins with it is left out, and the whole is found at once.
        #[test]
        fn nothing_is_missed(
            texts in prop::collection::vec("[ab\u{0}é]{0,12}", 1..30), asked in "[ab\u{0}é]{0,12}",
        ) {
            let (mut beginnings, mut wholes) = (Beginnings::default(), Wholes::default());
            for (handle, text) in (0..).zip(&texts) {
                beginnings.insert(text, handle);
                wholes.insert(text, handle);
            }
            let text = |handle: Handle| texts[handle as usize].as_str();
            let expected = |holds: &dyn Fn(&str) -> bool| -> Vec<Handle> {
                (0..).zip(&texts).filter(|(_, text)| holds(text)).map(|(handle, _)| handle).collect()
            };
            let sorted = |found: Vec<Handle>| {
                let mut found = found;
                found.sort_unstable();
                found
            };
            let equal = beginnings.equal(&asked).filter(|handle| text(*handle) == asked);
            prop_assert_eq!(sorted(equal.collect()), expected(&|text| text == asked));
            let begun = beginnings.beginning(&asked).map(|(_, handle)| handle);
            let begun = begun.filter(|handle| text(*handle).starts_with(&asked));
            prop_assert_eq!(sorted(begun.collect()), expected(&|text| text.starts_with(&asked)));
            let whole = sorted(wholes.equal(&asked).collect());
            prop_assert_eq!(whole, expected(&|text| text == asked));
            for (handle, text) in (0..).zip(&texts) {
                beginnings.remove(text, handle);
                wholes.remove(text, handle);
            }
            prop_assert!(beginnings.is_empty());
            prop_assert_eq!(wholes.len(), 0);
        }
    }
}

//! Many short texts in one piece of memory: a container has a dozen, a manager a million
//! containers.

use std::fmt::Write as _;

/// Texts one after the other, each with its length before it, such as `3:web`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Texts(Box<str>);

impl Texts {
    pub(super) fn iter(&self) -> Reader<'_> {
        Reader(&self.0)
    }
}

impl<'a> FromIterator<&'a str> for Texts {
    fn from_iter<T: IntoIterator<Item = &'a str>>(texts: T) -> Self {
        let mut all = String::new();
        for text in texts {
            write!(all, "{}:{text}", text.len()).expect("a String takes any text");
        }
        Self(all.into())
    }
}

/// Reads texts in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    /// The next text as a number of texts that follow.
    pub(super) fn next_count(&mut self) -> usize {
        self.next().and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// Leaves out as many texts.
    pub(super) fn skip_texts(&mut self, count: usize) {
        (0..count).for_each(|_| {
            self.next();
        });
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (mut length, mut digits) = (0_usize, 0);
        for byte in self.0.bytes() {
            digits += 1;
            match byte {
                b':' => break,
                digit => length = length * 10 + usize::from(digit - b'0'),
            }
        }
        let text = self.0.get(digits..digits + length).filter(|_| digits > 0)?;
        self.0 = &self.0[digits + length..];
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(texts in prop::collection::vec(".{0,12}", 0..8)) {
            let packed: Texts = texts.iter().map(String::as_str).collect();
            prop_assert!(packed.iter().eq(texts.iter().map(String::as_str)));
        }
    }
}

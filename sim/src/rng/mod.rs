//! Randomness without state: every draw is a keyed hash of its own coordinates.
//!
//! A draw is `hash(seed, labels…, numbers…)`, so what one part of the world draws does not depend
//! on how often any other part drew before. Taking one fault out of a run leaves every other
//! latency, identifier and jitter as it was, which is what makes shrinking a failure possible.

/// SipHash-2-4 (Aumasson and Bernstein, 2012), the reference parameters.
#[must_use]
pub fn siphash24(key: [u64; 2], bytes: &[u8]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("a chunk has eight bytes"));
        absorb(&mut v, word);
    }
    let mut last = (bytes.len() as u64) << 56;
    for (i, byte) in chunks.remainder().iter().enumerate() {
        last |= u64::from(*byte) << (8 * i);
    }
    absorb(&mut v, last);
    v[2] ^= 0xff;
    for _ in 0..4 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn absorb(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

/// A family of independent draws, named by its labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: [u64; 2],
}

impl Stream {
    /// The stream of `seed` named by `labels`, in order.
    #[must_use]
    pub fn new(seed: u64, labels: &[&str]) -> Self {
        let mut bytes = Vec::new();
        for label in labels {
            // The length in front keeps ["ab", "c"] and ["a", "bc"] apart.
            bytes.extend_from_slice(&(label.len() as u64).to_le_bytes());
            bytes.extend_from_slice(label.as_bytes());
        }
        Self { key: [seed, siphash24([seed, 0], &bytes)] }
    }

    /// The draw at `coordinates`: uniform over all 64-bit values, and always the same one.
    #[must_use]
    pub fn draw<const N: usize>(&self, coordinates: [u64; N]) -> u64 {
        siphash24(self.key, coordinates.map(u64::to_le_bytes).as_flattened())
    }

    /// Fills `bytes` with the draws from `first` on; returns the number of the next one.
    pub fn fill(&self, first: u64, bytes: &mut [u8]) -> u64 {
        let mut next = first;
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.draw([next]).to_le_bytes()[..chunk.len()]);
            next += 1;
        }
        next
    }

    /// The draw at `coordinates`, between `min` and `max` inclusive; `min` when `max` is smaller.
    #[must_use]
    pub fn between<const N: usize>(&self, coordinates: [u64; N], min: u64, max: u64) -> u64 {
        match max.saturating_sub(min).checked_add(1) {
            Some(span) => min + self.draw(coordinates) % span,
            None => self.draw(coordinates),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors 0, 1, 8 and 15 of the authors' `vectors_sip64`.
    #[test]
    fn siphash_agrees_with_its_authors() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let input: Vec<u8> = (0..16).collect();
        for (length, expected) in [
            (0, 0x726f_db47_dd0e_0e31),
            (1, 0x74f8_39c5_93dc_67fd),
            (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5_u64),
        ] {
            assert_eq!(siphash24(key, &input[..length]), expected, "{length} bytes");
        }
    }

    #[test]
    fn streams_depend_on_every_label_and_on_where_they_end() {
        let draw = |seed, labels: &[&str]| Stream::new(seed, labels).draw([0]);
        let base = draw(1, &["a", "bc"]);
        assert_eq!(base, draw(1, &["a", "bc"]));
        assert_ne!(base, draw(2, &["a", "bc"]));
        assert_ne!(base, draw(1, &["ab", "c"]));
        assert_ne!(base, draw(1, &["a", "bd"]));
    }

    #[test]
    fn bounded_draws_reach_both_ends_and_stay_inside() {
        let stream = Stream::new(3, &["x"]);
        let drawn: std::collections::BTreeSet<u64> =
            (0..1_000).map(|n| stream.between([n], 10, 14)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [10, 11, 12, 13, 14]);
        assert_eq!(stream.between([0], 9, 3), 9);
        assert_eq!(stream.between([5], 0, u64::MAX), stream.draw([5]));
    }
}

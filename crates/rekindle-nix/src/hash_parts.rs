//! A search for many hash parts at once, which scanning and rewriting share.
//!
//! A hash part is 32 base-32 digits. So the search looks for runs of digits, from the end of a window of 32 bytes to
//! its start: a byte that is none lets the whole window jump behind it, and of most data one byte in 32 is ever
//! looked at. In a long run of digits every byte is looked at once, and each window is first held against a small
//! bitmap of the windows' first 15 bits. Linear in the data, whatever the data and however many hash parts.

use std::collections::BTreeMap;

use crate::base32::{self, NOT_A_DIGIT};
use crate::store_path::HASH_PART_LEN;

/// A set of hash parts, numbered by the caller.
#[derive(Clone, Debug)]
pub(crate) struct HashParts {
    numbers: BTreeMap<[u8; HASH_PART_LEN], usize>,
    /// One bit for each possible beginning of three digits.
    beginnings: Box<[u64; BEGINNINGS / 64]>,
}

const BEGINNINGS: usize = 1 << 15;

impl HashParts {
    pub(crate) fn new(parts: impl IntoIterator<Item = ([u8; HASH_PART_LEN], usize)>) -> HashParts {
        let mut set = HashParts { numbers: BTreeMap::new(), beginnings: Box::new([0; BEGINNINGS / 64]) };
        for (part, number) in parts {
            let beginning = beginning(&part);
            set.beginnings[beginning / 64] |= 1 << (beginning % 64);
            set.numbers.insert(part, number);
        }
        set
    }

    /// Returns the place and the number of the first hash part in `data` that begins at `from` or later.
    pub(crate) fn find(&self, data: &[u8], from: usize) -> Option<(usize, usize)> {
        if self.numbers.is_empty() {
            return None;
        }
        let mut start = from;
        // Everything from `start` to here is known to be digits.
        let mut digits_to = from;
        'window: while let Some(window) = data.get(start..).and_then(<[u8]>::first_chunk::<HASH_PART_LEN>) {
            let known = digits_to.saturating_sub(start);
            digits_to = start + HASH_PART_LEN;
            for at in (known..HASH_PART_LEN).rev() {
                if !base32::is_digit(window[at]) {
                    start += at + 1;
                    continue 'window;
                }
            }
            // Here a run of digits goes on; the window slides along it.
            let mut beginning = beginning(window);
            loop {
                if self.beginnings[beginning / 64] & (1 << (beginning % 64)) != 0
                    && let Some(&number) = self.numbers.get(&data[start..digits_to])
                {
                    return Some((start, number));
                }
                let next = data.get(digits_to).map_or(NOT_A_DIGIT, |&byte| base32::digit(byte));
                if next == NOT_A_DIGIT {
                    start = digits_to + 1;
                    digits_to = start;
                    continue 'window;
                }
                digits_to += 1;
                start += 1;
                beginning = (beginning << 5 | usize::from(base32::digit(data[start + 2]))) % BEGINNINGS;
            }
        }
        None
    }
}

/// Returns the first 15 bits of a window of digits.
fn beginning(window: &[u8; HASH_PART_LEN]) -> usize {
    let digit = |at: usize| usize::from(base32::digit(window[at]));
    (digit(0) << 10 | digit(1) << 5 | digit(2)) % BEGINNINGS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: [u8; 32] = *b"abcdfghijklmnpqrsvwxyz0123456789";
    const B: [u8; 32] = *b"bcdfghijklmnpqrsvwxyz0123456789a";
    const ZEROS: [u8; 32] = [b'0'; 32];

    fn all(parts: &HashParts, data: &[u8]) -> Vec<(usize, usize)> {
        let next = |&(at, _): &(usize, usize)| parts.find(data, at + 1);
        std::iter::successors(parts.find(data, 0), next).collect()
    }

    #[test]
    fn every_place_is_found_overlapping_ones_too() {
        let parts = HashParts::new([(A, 0), (B, 1), (ZEROS, 2)]);
        let check = |data: &[u8], expect: &[(usize, usize)]| assert_eq!(all(&parts, data), expect);
        check(b"", &[]);
        check(&A, &[(0, 0)]);
        check(&A[..31], &[]);
        check(&[&b"x/"[..], &A, b"-"].concat(), &[(2, 0)]);
        check(&[&A[..], b"a"].concat(), &[(0, 0), (1, 1)]);
        check(&[&[b'0'; 33][..], b"e", &A].concat(), &[(0, 2), (1, 2), (34, 0)]);
        check(&[&A[..], &A].concat(), &[(0, 0), (1, 1), (32, 0)]);
    }

    #[test]
    fn an_empty_set_finds_nothing() {
        assert_eq!(HashParts::new([]).find(&A, 0), None);
    }

    proptest! {
        /// Data of few different bytes, so that runs of digits of every length around 32 occur.
        #[test]
        fn as_the_slow_way(
            pieces in prop::collection::vec(
                prop_oneof![
                    Just(A.to_vec()),
                    Just(B.to_vec()),
                    prop::collection::vec(prop_oneof![9 => Just(b'0'), 1 => Just(b'e')], 0..70),
                    prop::collection::vec(any::<u8>(), 0..40),
                ],
                0..12,
            )
        ) {
            let data = pieces.concat();
            let parts = HashParts::new([(A, 0), (B, 1), (ZEROS, 2)]);
            let slow: Vec<_> = data
                .windows(32)
                .enumerate()
                .filter_map(|(at, window)| {
                    Some((at, [A, B, ZEROS].iter().position(|part| part == window)?))
                })
                .collect();
            prop_assert_eq!(all(&parts, &data), slow);
        }
    }
}

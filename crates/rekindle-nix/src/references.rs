//! Which store objects a stream refers to.
//!
//! Nix finds the references of an output by looking for the hash parts of all that it could refer to, anywhere in
//! its archive. The store directory before and the name behind do not matter: a path may be stored in pieces.

use std::collections::BTreeSet;
use std::io;

use crate::hash_parts::HashParts;
use crate::store_path::{HASH_PART_LEN, StorePath};

/// Looks for store paths in what is written to it. Writing never fails.
///
/// Finds them across the boundaries of writes. Much faster than hashing the same stream; it gets out of the way
/// when all candidates are found.
#[derive(Clone, Debug)]
pub struct Scanner {
    candidates: Vec<StorePath>,
    parts: HashParts,
    /// By the number of a candidate with that hash part.
    found: Vec<bool>,
    missing: usize,
    /// The last bytes of the stream, shorter than a hash part.
    tail: Vec<u8>,
}

impl Scanner {
    /// Starts to look for the hash parts of `candidates`.
    pub fn new(candidates: impl IntoIterator<Item = StorePath>) -> Scanner {
        let candidates: Vec<StorePath> = candidates.into_iter().collect();
        let numbered = candidates.iter().enumerate();
        let parts = HashParts::new(numbered.map(|(number, path)| (*path.hash_part_bytes(), number)));
        let missing = candidates.iter().map(StorePath::hash_part_bytes).collect::<BTreeSet<_>>().len();
        let found = vec![false; candidates.len()];
        Scanner { candidates, parts, found, missing, tail: Vec::with_capacity(2 * HASH_PART_LEN) }
    }

    /// Looks through the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        if self.missing == 0 {
            return;
        }
        let mut tail = std::mem::take(&mut self.tail);
        let kept = tail.len();
        tail.extend_from_slice(&bytes[..bytes.len().min(HASH_PART_LEN - 1)]);
        self.scan(&tail);
        if bytes.len() < HASH_PART_LEN - 1 {
            tail.drain(..tail.len().saturating_sub(HASH_PART_LEN - 1));
        } else {
            self.scan(bytes);
            tail.clear();
            tail.extend_from_slice(&bytes[bytes.len() - (HASH_PART_LEN - 1)..]);
        }
        debug_assert!(kept < HASH_PART_LEN && tail.len() < HASH_PART_LEN);
        self.tail = tail;
    }

    /// Returns the candidates that were found so far.
    pub fn found(&self) -> BTreeSet<StorePath> {
        let parts: BTreeSet<_> = self
            .candidates
            .iter()
            .zip(&self.found)
            .filter_map(|(path, found)| found.then_some(path.hash_part()))
            .collect();
        self.candidates.iter().filter(|path| parts.contains(path.hash_part())).cloned().collect()
    }

    fn scan(&mut self, bytes: &[u8]) {
        let mut from = 0;
        while self.missing > 0
            && let Some((at, number)) = self.parts.find(bytes, from)
        {
            if !std::mem::replace(&mut self.found[number], true) {
                self.missing -= 1;
            }
            from = at + 1;
        }
    }
}

impl io::Write for Scanner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paths() -> [StorePath; 3] {
        ["4c6wsvi6cnq8h7ibg70pv68bi43y92xs-f", "n0zijngj1hx3b6kwfcsahzjmfdhb8y1j-tree", SAME_HASH_PART]
            .map(|path| path.parse().unwrap())
    }

    const SAME_HASH_PART: &str = "n0zijngj1hx3b6kwfcsahzjmfdhb8y1j-other";

    fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> BTreeSet<StorePath> {
        let mut scanner = Scanner::new(paths());
        for piece in pieces {
            io::Write::write_all(&mut scanner, piece).unwrap();
        }
        scanner.found()
    }

    #[test]
    fn only_the_hash_part_counts() {
        let [f, tree, other] = paths();
        assert_eq!(scan([&b"no path"[..]]), BTreeSet::new());
        assert_eq!(scan([&b"4c6wsvi6cnq8h7ibg70pv68bi43y92xs"[..]]), BTreeSet::from([f.clone()]));
        assert_eq!(scan([&b"4c6wsvi6cnq8h7ibg70pv68bi43y92xt"[..]]), BTreeSet::new());
        let both = b"n0zijngj1hx3b6kwfcsahzjmfdhb8y1j4c6wsvi6cnq8h7ibg70pv68bi43y92xs-f";
        assert_eq!(scan([&both[..]]), BTreeSet::from([f, tree, other]));
    }

    #[test]
    fn no_candidates() {
        let mut scanner = Scanner::new([]);
        scanner.update(b"4c6wsvi6cnq8h7ibg70pv68bi43y92xs");
        assert!(scanner.found().is_empty());
    }

    proptest! {
        #[test]
        fn boundaries_of_writes_do_not_matter(
            before in prop::collection::vec(prop_oneof![Just(b'0'), Just(b'e')], 0..70),
            behind in prop::collection::vec(any::<u8>(), 0..70),
            sizes in prop::collection::vec(1..40_usize, 1..200),
        ) {
            let [f, ..] = paths();
            let data = [&before[..], f.hash_part().as_bytes(), &behind].concat();
            let mut rest = data.as_slice();
            let mut pieces = Vec::new();
            for size in sizes {
                let (piece, after) = rest.split_at(size.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(scan(pieces), BTreeSet::from([f]));
        }
    }
}

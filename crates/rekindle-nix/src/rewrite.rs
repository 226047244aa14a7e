//! Replaces hash parts of store paths in a stream.
//!
//! All replacements are as long as what they replace, so nothing moves. This is how an output that was built at a
//! scratch path comes to its final one, and how a tree that refers to itself gets a hash at all.

use std::io::{self, Write};

use crate::hash::{Hash, HashAlgo, Hasher};
use crate::hash_parts::HashParts;
use crate::store_path::{HASH_PART_LEN, StorePath};

/// Writes a stream on with some hash parts replaced by others, also where they lie across the boundaries of writes.
///
/// Of occurrences that overlap, the first one is replaced. The last few bytes are held back until
/// [`Rewriter::finish`]; flushing does not write them.
#[derive(Debug)]
pub struct Rewriter<W> {
    inner: W,
    parts: HashParts,
    /// By number: what a hash part becomes.
    replacements: Vec<[u8; HASH_PART_LEN]>,
    hits: Vec<Hit>,
    /// What is read but not written on: at most a chunk, and between writes less than a hash part.
    buffer: Vec<u8>,
    /// The place of the buffer's first byte in the stream.
    offset: u64,
}

/// One replacement that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Where in the stream, in bytes.
    pub offset: u64,
    /// Which one, by its place among the replacements given.
    pub replacement: usize,
}

/// How much is rewritten at once, in bytes.
const CHUNK: usize = 64 * 1024;

impl<W: Write> Rewriter<W> {
    /// Starts to rewrite into `inner`. Each replacement is a hash part as in [`StorePath::hash_part_bytes`], and any
    /// 32 bytes to put in its place.
    ///
    /// A hash part that is given twice is replaced by what it was given with last. One that is not all base-32 digits
    /// is never found.
    pub fn new(
        inner: W,
        replacements: impl IntoIterator<Item = ([u8; HASH_PART_LEN], [u8; HASH_PART_LEN])>,
    ) -> Rewriter<W> {
        let (from, to): (Vec<_>, Vec<_>) = replacements.into_iter().unzip();
        Rewriter {
            inner,
            parts: HashParts::new(from.into_iter().enumerate().map(|(number, part)| (part, number))),
            replacements: to,
            hits: Vec::new(),
            buffer: Vec::new(),
            offset: 0,
        }
    }

    /// Returns the replacements made so far, in the order of the stream.
    pub fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// Writes what was held back, and returns the stream below and all replacements, in the order of the stream.
    ///
    /// # Errors
    /// Those of the stream below.
    pub fn finish(mut self) -> io::Result<(W, Vec<Hit>)> {
        self.inner.write_all(&self.buffer)?;
        Ok((self.inner, self.hits))
    }

    /// Rewrites the buffer and writes it on, but for the end where a hash part may have begun.
    fn pass_on(&mut self) -> io::Result<()> {
        let mut settled = 0;
        while let Some((at, replacement)) = self.parts.find(&self.buffer, settled) {
            settled = at + HASH_PART_LEN;
            self.buffer[at..settled].copy_from_slice(&self.replacements[replacement]);
            self.hits.push(Hit { offset: self.offset + at as u64, replacement });
        }
        let settled = settled.max(self.buffer.len().saturating_sub(HASH_PART_LEN - 1));
        self.inner.write_all(&self.buffer[..settled])?;
        self.buffer.drain(..settled);
        self.offset += settled as u64;
        Ok(())
    }
}

impl<W: Write> Write for Rewriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK);
        self.buffer.extend_from_slice(&bytes[..taken]);
        self.pass_on()?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Hashes an archive modulo a hash part: as if it did not refer to itself.
///
/// Each occurrence counts as 32 zero bytes, and the places of all are hashed behind the archive. The hash is what
/// [`crate::StoreDir::source_path`] takes for a tree with a reference to itself, and what stands in its content
/// address. Without an occurrence it is the plain hash.
#[derive(Debug)]
pub struct SelfHasher(Rewriter<Hasher>);

impl SelfHasher {
    /// Starts to hash modulo the hash part of `path`.
    pub fn new(path: &StorePath) -> SelfHasher {
        let hasher = Hasher::new(HashAlgo::Sha256);
        SelfHasher(Rewriter::new(hasher, [(*path.hash_part_bytes(), [0; HASH_PART_LEN])]))
    }

    /// Returns the hash and how many occurrences there were.
    pub fn finish(self) -> (Hash, usize) {
        let (mut hasher, hits) = self.0.finish().expect("writing to a hasher cannot fail");
        for hit in &hits {
            hasher.update(format!("|{}", hit.offset).as_bytes());
        }
        (hasher.finish(), hits.len())
    }
}

impl Write for SelfHasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: [u8; 32] = *b"abcdfghijklmnpqrsvwxyz0123456789";
    const B: [u8; 32] = *b"00000000000000000000000000000000";
    const X: [u8; 32] = [b'X'; 32];

    fn rewrite<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<(u64, usize)>) {
        let mut rewriter = Rewriter::new(Vec::new(), [(A, B), (B, X)]);
        for piece in pieces {
            rewriter.write_all(piece).unwrap();
        }
        let (bytes, hits) = rewriter.finish().unwrap();
        (bytes, hits.into_iter().map(|hit| (hit.offset, hit.replacement)).collect())
    }

    #[test]
    fn replacements() {
        let check = |data: &[&[u8]], expect: &[&[u8]], hits: &[(u64, usize)]| {
            assert_eq!(rewrite([data.concat().as_slice()]), (expect.concat(), hits.to_vec()));
        };
        check(&[], &[], &[]);
        check(&[b"plain"], &[b"plain"], &[]);
        check(&[b"x", &A, b"y"], &[b"x", &B, b"y"], &[(1, 0)]);
        // What was put in is not looked at again, and of two that overlap the first is replaced.
        check(&[&A, &B, &A], &[&B, &X, &B], &[(0, 0), (32, 1), (64, 0)]);
        check(&[&B, b"0", &A], &[&X, b"0", &B], &[(0, 1), (33, 0)]);
        check(&[&A[..31]], &[&A[..31]], &[]);
    }

    #[test]
    fn a_large_write_is_taken_in_pieces() {
        let mut data = vec![b'e'; 3 * CHUNK];
        data[CHUNK - 7..CHUNK + 25].copy_from_slice(&A);
        let (bytes, hits) = rewrite([data.as_slice()]);
        assert_eq!(hits, [((CHUNK - 7) as u64, 0)]);
        data[CHUNK - 7..CHUNK + 25].copy_from_slice(&B);
        assert!(bytes == data);
    }

    #[test]
    fn a_tree_without_a_reference_to_itself_has_its_plain_hash() {
        let path = "4c6wsvi6cnq8h7ibg70pv68bi43y92xs-f".parse().unwrap();
        let hash = |data: &[u8]| {
            let mut hasher = SelfHasher::new(&path);
            hasher.write_all(data).unwrap();
            hasher.finish()
        };
        assert_eq!(hash(b"data"), (Hash::sha256(b"data"), 0));
        let with = [&b"x"[..], path.hash_part_bytes(), path.hash_part_bytes()].concat();
        let stands_for = [&b"x"[..], &[0; 64], b"|1|33"].concat();
        assert_eq!(hash(&with), (Hash::sha256(&stands_for), 2));
    }

    proptest! {
        #[test]
        fn boundaries_of_writes_do_not_matter(
            parts in prop::collection::vec(
                prop_oneof![
                    Just(A.to_vec()),
                    Just(B.to_vec()),
                    prop::collection::vec(prop_oneof![Just(b'0'), Just(b'e')], 0..50),
                ],
                0..8,
            ),
            size in 1..70_usize,
        ) {
            let data = parts.concat();
            prop_assert_eq!(rewrite(data.chunks(size)), rewrite([data.as_slice()]));
        }
    }
}

//! Replacing byte strings by others of the same length, in memory and while copying.
//!
//! One pass of a vectorised search per string, which is faster than memory. Usually there are one or two strings.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use memchr::memmem::Finder;

use crate::error::Kind;
use crate::{Error, Substitution};

const BUFFER: usize = 256 * 1024;

/// Strings to replace. See [`crate::MaterialiseOptions::substitute`] for which of several matches wins.
#[derive(Debug)]
pub(crate) struct Rewriter<'a> {
    needles: Vec<Needle<'a>>,
    longest: usize,
}

#[derive(Debug)]
struct Needle<'a> {
    from: Finder<'a>,
    to: &'a [u8],
}

impl<'a> Rewriter<'a> {
    pub(crate) fn new(substitutions: &'a [Substitution]) -> Result<Rewriter<'a>, Error> {
        let mut needles = Vec::with_capacity(substitutions.len());
        for Substitution { from, to } in substitutions {
            if from.is_empty() || from.len() != to.len() {
                let reason = "must replace at least one byte, and by as many";
                return Err(Kind::Substitution { reason }.into());
            }
            needles.push(Needle { from: Finder::new(from), to });
        }
        let longest = needles.iter().map(|needle| needle.to.len()).max().unwrap_or(0);
        Ok(Rewriter { needles, longest })
    }

    /// Replaces in place; returns how often.
    pub(crate) fn rewrite_all(&self, bytes: &mut [u8]) -> u64 {
        let end = bytes.len();
        self.rewrite(bytes, end).1
    }

    /// Copies `source`, from its beginning, to the empty file `dest` with replacements, if there are any to make.
    /// Returns their number; if it is 0, nothing was written.
    pub(crate) fn copy(&self, source: &File, dest: &File) -> io::Result<u64> {
        if self.needles.is_empty() || !self.occurs(source)? {
            return Ok(0);
        }
        let (mut source, mut dest) = (source, dest);
        let mut buffer = vec![0; BUFFER + self.longest];
        let (mut filled, mut count) = (0, 0);
        loop {
            let read = read(&mut source, &mut buffer[filled..])?;
            filled += read;
            // A match that begins later may go on in what is not yet read.
            let limit = if read == 0 { filled } else { filled.saturating_sub(self.longest - 1) };
            let (settled, replaced) = self.rewrite(&mut buffer[..filled], limit);
            count += replaced;
            dest.write_all(&buffer[..settled])?;
            buffer.copy_within(settled..filled, 0);
            filled -= settled;
            if read == 0 {
                return Ok(count);
            }
        }
    }

    /// Whether any of the strings occurs in the file.
    fn occurs(&self, source: &File) -> io::Result<bool> {
        let mut buffer = vec![0; BUFFER + self.longest];
        let (mut filled, mut at) = (0, 0);
        loop {
            let read = match source.read_at(&mut buffer[filled..], at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                outcome => outcome?,
            };
            if read == 0 {
                return Ok(false);
            }
            at += read as u64;
            filled += read;
            if self.needles.iter().any(|needle| needle.from.find(&buffer[..filled]).is_some()) {
                return Ok(true);
            }
            let kept = filled.min(self.longest - 1);
            buffer.copy_within(filled - kept..filled, 0);
            filled = kept;
        }
    }

    /// Replaces every match that begins before `limit`. Returns how many bytes at the beginning are settled, at least
    /// `limit`, and the number of replacements.
    fn rewrite(&self, bytes: &mut [u8], limit: usize) -> (usize, u64) {
        // Each needle's next match from `at` on; found again only once it lies behind.
        let mut next: Vec<Option<usize>> =
            self.needles.iter().map(|needle| needle.from.find(bytes)).collect();
        let (mut at, mut count) = (0, 0);
        loop {
            let first =
                next.iter().enumerate().filter_map(|(which, place)| place.map(|place| (place, which))).min();
            let Some((place, which)) = first.filter(|&(place, _)| place < limit) else {
                return (at.max(limit), count);
            };
            at = place + self.needles[which].to.len();
            bytes[place..at].copy_from_slice(self.needles[which].to);
            count += 1;
            for (needle, next) in self.needles.iter().zip(&mut next) {
                if next.is_some_and(|place| place < at) {
                    *next = needle.from.find(&bytes[at..]).map(|place| at + place);
                }
            }
        }
    }
}

fn read(source: &mut &File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn substitutions(list: &[(&str, &str)]) -> Vec<Substitution> {
        list.iter().map(|&(from, to)| Substitution { from: from.into(), to: to.into() }).collect()
    }

    fn check(list: &[(&str, &str)], input: &str, expect: &str, count: u64) {
        let list = substitutions(list);
        let mut bytes = input.as_bytes().to_vec();
        let made = Rewriter::new(&list).unwrap().rewrite_all(&mut bytes);
        assert_eq!((std::str::from_utf8(&bytes).unwrap(), made), (expect, count), "{list:?} on {input:?}");
    }

    #[test]
    fn leftmost_then_first_listed() {
        check(&[("ab", "xy")], "abcab", "xycxy", 2);
        check(&[("aa", "ab")], "aaaaa", "ababa", 2);
        check(&[("ab", "xx"), ("bc", "yy")], "abc bc", "xxc yy", 2);
        check(&[("bc", "yy"), ("abc", "xxx")], "abc bc", "xxx yy", 2);
        check(&[("a", "1"), ("ab", "22")], "ab", "1b", 1);
        check(&[("ab", "ba"), ("ba", "ab")], "abba", "baab", 2);
        check(&[("abc", "xyz")], "ab", "ab", 0);
        check(&[], "ab", "ab", 0);
    }

    #[test]
    fn unequal_lengths_are_refused() {
        for (from, to) in [("", ""), ("a", ""), ("a", "bc")] {
            assert!(Rewriter::new(&substitutions(&[(from, to)])).is_err());
        }
    }

    #[test]
    fn matches_across_buffers_are_found() {
        let list = substitutions(&[("needle", "NEEDLE"), ("dle-hay", "DLE_HAY")]);
        let rewriter = Rewriter::new(&list).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        for shift in 0..20 {
            for around in [BUFFER, BUFFER + rewriter.longest, 2 * BUFFER] {
                let mut content = vec![b'-'; around - shift];
                content.extend(b"needle-hay dle-hay");
                content.resize(3 * BUFFER, b'.');
                std::fs::write(&source, &content).unwrap();
                let dest = dir.path().join("dest");
                let made =
                    rewriter.copy(&File::open(&source).unwrap(), &File::create(&dest).unwrap()).unwrap();
                assert_eq!(rewriter.rewrite_all(&mut content), made);
                assert_eq!(made, 2);
                assert!(std::fs::read(dest).unwrap() == content, "shift {shift} around {around}");
            }
        }
    }

    #[test]
    fn nothing_is_written_without_a_match() {
        let list = substitutions(&[("needle", "NEEDLE")]);
        let dir = tempfile::tempdir().unwrap();
        let (source, dest) = (dir.path().join("source"), dir.path().join("dest"));
        std::fs::write(&source, "needl").unwrap();
        let made =
            Rewriter::new(&list).unwrap().copy(&File::open(&source).unwrap(), &File::create(&dest).unwrap());
        assert_eq!((made.unwrap(), std::fs::metadata(dest).unwrap().len()), (0, 0));
    }
}

//! The hash parts of scratch paths: chosen so that a few characters of one are told from anything else.
//!
//! A compiler that copies a constant string may cut a path into pieces, and the pieces have to be found and replaced
//! (see `fragments`). As a scratch hash part is no digest of anything, it can be one whose pieces stand out:
//! - Digits and letters take turns, and the letters are none of those that hexadecimal digits have. No word of a text,
//!   no number and no digest in hexadecimal has four characters of it.
//! - Each pair of neighbouring characters occurs once in it, and in no other hash part of the same derivation, as far as
//!   there are pairs enough: so a piece tells of which path it is, and where in it. Outputs have other digits than
//!   the source has.
//! - The first characters of the outputs' differ, and so do the last, which are letters that few words end with: they
//!   may be all that a piece has of it, before `-` and the name.
//!
//! It is a function of the names alone, because what it decides is part of every tree that a later build goes on from.

use std::collections::HashSet;

use rekindle_nix::{Hash, base32};

/// The letters, without those of hexadecimal digits and those that base 32 does not have.
const LETTERS: &[u8] = b"ghijklmnpqrsvwxyz";
/// Those that few words end with.
const LAST_LETTERS: &[u8] = b"jqvxzkw";
const OUTPUT_DIGITS: &[u8] = b"2456789";
const SOURCE_DIGITS: &[u8] = b"013";
/// How often to try with another beginning.
const TRIES: u32 = 64;

/// Chooses the hash parts of one derivation's paths.
#[derive(Debug)]
pub(crate) struct ScratchHashes {
    digits: &'static [u8],
    pairs: HashSet<[u8; 2]>,
    first: HashSet<u8>,
    last: HashSet<u8>,
}

impl ScratchHashes {
    pub(crate) fn of_outputs() -> Self {
        ScratchHashes::with_digits(OUTPUT_DIGITS)
    }

    pub(crate) fn of_source() -> Self {
        ScratchHashes::with_digits(SOURCE_DIGITS)
    }

    fn with_digits(digits: &'static [u8]) -> Self {
        ScratchHashes { digits, pairs: HashSet::new(), first: HashSet::new(), last: HashSet::new() }
    }

    /// The digest of which the next hash part is the text: that of the path called `name`.
    pub(crate) fn next(&mut self, name: &str) -> [u8; 20] {
        let text = self.text(name);
        let bytes =
            base32::decode(&text).expect("the characters are of the alphabet, and 32 leave no bits over");
        bytes.try_into().expect("32 characters are 20 bytes")
    }

    fn text(&mut self, name: &str) -> [u8; 32] {
        // Some beginnings leave no end that is free; with many outputs nothing does.
        let chosen = (0..TRIES).find_map(|round| self.choose(name, round, true));
        let text = chosen.or_else(|| (0..TRIES).find_map(|round| self.choose(name, round, false)));
        let text = text.expect("the pairs of one hash part are a small part of all");
        self.first.insert(text[0]);
        self.last.insert(text[31]);
        self.pairs.extend(text.windows(2).map(|pair| [pair[0], pair[1]]));
        text
    }

    /// A text in which no pair is twice, and, if `is_apart`, none that another one has.
    fn choose(&self, name: &str, round: u32, is_apart: bool) -> Option<[u8; 32]> {
        let seed = Hash::sha256(format!("rekindle scratch path {round}:{name}").as_bytes());
        let mut own = HashSet::new();
        let mut text = [0; 32];
        for at in 0..text.len() {
            let (pool, taken) = match at {
                0 => (self.digits, Some(&self.first)),
                31 => (LAST_LETTERS, Some(&self.last)),
                _ if at % 2 == 0 => (self.digits, None),
                _ => (LETTERS, None),
            };
            let before = at.checked_sub(1).map(|before| text[before]);
            let is_free = |byte: u8| {
                let pair = before.map(|before| [before, byte]);
                let is_own = pair.is_some_and(|pair| own.contains(&pair));
                let is_taken = taken.is_some_and(|taken| taken.contains(&byte))
                    || pair.is_some_and(|pair| self.pairs.contains(&pair));
                !(is_own || is_apart && is_taken)
            };
            let (behind, ahead) = pool.split_at(usize::from(seed.digest()[at]) % pool.len());
            text[at] = ahead.iter().chain(behind).copied().find(|byte| is_free(*byte))?;
            own.extend(before.map(|before| [before, text[at]]));
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &[u8]) -> HashSet<&[u8]> {
        text.windows(2).collect()
    }

    #[test]
    fn pieces_tell_of_which_path_they_are() {
        for package in 0..200 {
            let (mut outputs, mut source) = (ScratchHashes::of_outputs(), ScratchHashes::of_source());
            let mut texts: Vec<_> =
                ["", "-bin", "-dev"].iter().map(|name| outputs.text(&format!("{package}{name}"))).collect();
            texts.push(source.text(&format!("{package}")));
            for (index, text) in texts.iter().enumerate() {
                assert_eq!(pairs(text).len(), 31, "{}", String::from_utf8_lossy(text));
                for other in &texts[..index] {
                    assert!(pairs(text).is_disjoint(&pairs(other)));
                    assert!(text[0] != other[0]);
                }
                assert!(text.iter().enumerate().all(|(at, byte)| byte.is_ascii_digit() == (at % 2 == 0)));
            }
            let last: HashSet<_> = texts[..3].iter().map(|text| text[31]).collect();
            assert_eq!(last.len(), 3);
        }
    }

    #[test]
    fn there_is_one_for_any_number_of_outputs() {
        let mut outputs = ScratchHashes::of_outputs();
        let texts: HashSet<_> = (0..40).map(|index| outputs.text(&format!("x-{index}"))).collect();
        assert_eq!(texts.len(), 40);
        assert!(texts.iter().all(|text| pairs(text).len() == 31));
    }

    #[test]
    fn it_depends_on_the_names_alone() {
        let chosen = |names: &[&str]| {
            let mut outputs = ScratchHashes::of_outputs();
            names.iter().map(|name| outputs.next(name)).collect::<Vec<_>>()
        };
        assert_eq!(chosen(&["a", "b"]), chosen(&["a", "b"]));
        assert_ne!(chosen(&["a"]), chosen(&["b"]));
    }
}

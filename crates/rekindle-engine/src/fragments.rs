//! Looks for pieces of a scratch path that a compiler has cut.
//!
//! A compiler copies a short string with moves of 4, 8 or 16 bytes: pieces of it stand as operands among the
//! instructions, or in a pool of constants, in any order. The last move may overlap the one before, so that the last
//! characters of a hash part stand a second time, followed by the rest of the path. None of these pieces is the whole
//! hash part, so none of them is replaced, and the program would put a path together that is half scratch and half
//! final. GNU hello does so with its library directory.
//!
//! A piece is one of these, where it is not part of a whole hash part:
//! - eight characters in a row: moves of eight bytes or more always leave such a one, as a hash part has 32;
//! - several rows of four, close together: moves of four bytes;
//! - the store directory with the first four characters behind it;
//! - the last character, before `-` and the whole name: the overlapping move.
//!
//! The last kind may also be chance. A hit costs a build at the final path, never a wrong output.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use memchr::memmem;

use crate::scratch::OutputPaths;

/// How much of a file is looked at in one go.
const BLOCK: usize = 1 << 20;
/// How much of a block is looked at again with the next: more than the longest path.
const OVERLAP: usize = 1024;
/// How close together rows of four have to be.
const NEAR: usize = 256;
/// The characters of a hash part.
const HASH_LEN: usize = 32;

/// Looks through all regular files at and below `root`, where the outputs lie at their final paths. Returns the first
/// file with a piece in it, relative to `root`.
///
/// # Errors
/// A file or directory that cannot be read.
pub(crate) fn find_piece(
    root: &Path,
    store_dir: &str,
    outputs: &[OutputPaths],
) -> io::Result<Option<PathBuf>> {
    let search = Search::new(store_dir, outputs);
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let kind = fs::symlink_metadata(&path)?.file_type();
        if kind.is_dir() {
            let entries: Result<Vec<_>, _> =
                fs::read_dir(&path)?.map(|entry| Ok::<_, io::Error>(entry?.path())).collect();
            let mut entries = entries?;
            entries.sort();
            pending.extend(entries.into_iter().rev());
        } else if kind.is_file() && search.is_in(&mut File::open(&path)?)? {
            return Ok(Some(path.strip_prefix(root).unwrap_or(&path).to_owned()));
        }
    }
    Ok(None)
}

/// A part of a file, with some bytes of the parts before and after it.
struct Block<'a> {
    bytes: &'a [u8],
    is_first: bool,
    is_last: bool,
}

struct Target {
    scratch: [u8; HASH_LEN],
    last: [u8; HASH_LEN],
    /// `-` and the name.
    tail: memmem::Finder<'static>,
}

struct Search {
    store_dir: Vec<u8>,
    targets: Vec<Target>,
    /// Each row of four characters: of which target, and where in its hash part.
    rows: HashMap<[u8; 4], Vec<(usize, usize)>>,
    /// A bit for each pair of bytes that begins a row, so that most of a file needs one look-up a byte.
    begins: Vec<bool>,
}

impl Search {
    fn new(store_dir: &str, outputs: &[OutputPaths]) -> Search {
        let mut search = Search {
            store_dir: format!("{store_dir}/").into_bytes(),
            targets: Vec::new(),
            rows: HashMap::new(),
            begins: vec![false; 1 << 16],
        };
        for (index, output) in outputs.iter().enumerate() {
            let scratch = *output.scratch.hash_part_bytes();
            for (at, row) in scratch.windows(4).enumerate() {
                let row = [row[0], row[1], row[2], row[3]];
                search.begins[usize::from(u16::from_le_bytes([row[0], row[1]]))] = true;
                search.rows.entry(row).or_default().push((index, at));
            }
            let tail = format!("-{}", output.scratch.name());
            search.targets.push(Target {
                scratch,
                last: *output.final_path.hash_part_bytes(),
                tail: memmem::Finder::new(tail.as_bytes()).into_owned(),
            });
        }
        search
    }

    fn is_in(&self, file: &mut dyn Read) -> io::Result<bool> {
        let mut bytes = Vec::with_capacity(BLOCK + OVERLAP);
        let mut is_first = true;
        loop {
            let kept = bytes.len();
            file.take(BLOCK as u64).read_to_end(&mut bytes)?;
            let is_last = bytes.len() == kept;
            let block = Block { bytes: &bytes, is_first, is_last };
            if self.targets.iter().any(|target| target.is_overlapped_in(&block)) || self.has_rows(&block) {
                return Ok(true);
            }
            if is_last {
                return Ok(false);
            }
            let over = bytes.len().saturating_sub(OVERLAP);
            is_first &= over == 0;
            bytes.drain(..over);
        }
    }

    fn has_rows(&self, block: &Block<'_>) -> bool {
        let bytes = block.bytes;
        // Where the last row was that is part of nothing longer, for each target.
        let mut lonely: Vec<Option<(usize, usize)>> = vec![None; self.targets.len()];
        for at in 0..bytes.len().saturating_sub(3) {
            if !self.begins[usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))] {
                continue;
            }
            let row = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            for &(index, within) in self.rows.get(&row).into_iter().flatten() {
                let target = &self.targets[index];
                if target.may_be_whole(block, at, within) {
                    continue;
                }
                let (begin, length) = target.row_around(bytes, at, within);
                let first = within - (at - begin);
                let is_head = first == 0 && bytes[..begin].ends_with(&self.store_dir);
                let is_near = lonely[index].is_some_and(|(place, of)| of != first && begin - place <= NEAR);
                if length >= 8 || is_head || is_near {
                    return true;
                }
                lonely[index] = Some((begin, first));
            }
        }
        false
    }
}

impl Target {
    /// Whether the byte at `at` is number `within` of a whole hash part, the scratch or the final one; or may be,
    /// because the rest of it lies in the block before or after.
    fn may_be_whole(&self, block: &Block<'_>, at: usize, within: usize) -> bool {
        let Some(start) = at.checked_sub(within) else { return !block.is_first };
        match block.bytes.get(start..start + HASH_LEN) {
            Some(text) => text == self.last || text == self.scratch,
            None => !block.is_last,
        }
    }

    /// How far the characters around `at` go on as in the hash part: where they begin in the block, and how many.
    fn row_around(&self, bytes: &[u8], at: usize, within: usize) -> (usize, usize) {
        let before =
            (1..=within.min(at)).take_while(|back| bytes[at - back] == self.scratch[within - back]).count();
        let room = (HASH_LEN - within).min(bytes.len() - at);
        let after = (0..room).take_while(|ahead| bytes[at + ahead] == self.scratch[within + ahead]).count();
        (at - before, before + after)
    }

    /// Whether the name stands behind the last character of the hash part, and not behind a whole one.
    fn is_overlapped_in(&self, block: &Block<'_>) -> bool {
        self.tail.find_iter(block.bytes).any(|tail| {
            let Some(before) = tail.checked_sub(1) else { return false };
            let ends = block.bytes[before] == self.scratch[HASH_LEN - 1];
            ends && !self.may_be_whole(block, before, HASH_LEN - 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use rekindle_nix::{OutputName, StorePath};

    use super::*;

    fn outputs() -> Vec<OutputPaths> {
        let last =
            StorePath::from_base_name(b"rrmg97f3zqkz1r246gkqv3585nwh2sav-hello-2.10").expect("a store path");
        vec![OutputPaths::new(OutputName::out(), last).expect("an output")]
    }

    fn found(text: &[u8]) -> bool {
        Search::new("/nix/store", &outputs()).is_in(&mut &text[..]).expect("memory can be read")
    }

    /// Some bytes that are nothing, and enough of them that no block begins or ends near the text.
    fn amid(text: &[u8]) -> Vec<u8> {
        [&[0x90; 2000][..], text, &[0x90; 2000][..]].concat()
    }

    #[test]
    fn whole_paths_are_no_pieces() {
        let outputs = outputs();
        for path in [&outputs[0].scratch, &outputs[0].final_path] {
            assert!(!found(&amid(format!("/nix/store/{}/lib", path.base_name()).as_bytes())));
        }
        assert!(!found(&amid(b"/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-hello-2.10")));
        assert!(!found(b""));
    }

    #[test]
    fn a_whole_path_may_lie_across_blocks() {
        let path = outputs()[0].scratch.base_name().to_owned();
        for shift in 0..path.len() + 2 {
            let text = [vec![b'x'; BLOCK - shift], path.clone().into_bytes(), vec![b'x'; BLOCK]].concat();
            assert!(!found(&text), "{shift}");
        }
    }

    #[test]
    fn what_a_compiler_cuts_is_found() {
        let path = format!("/nix/store/{}/lib", outputs()[0].scratch.base_name()).into_bytes();
        for size in [4, 8, 16] {
            let cut: Vec<u8> =
                path.chunks(size).flat_map(|piece| [&[0x48, 0xb8][..], piece].concat()).collect();
            assert!(found(&amid(&cut)), "moves of {size}");
        }
        // Each place at which an overlapping last move of 16 bytes can begin within the hash part, beside a whole path.
        let whole = format!("/nix/store/{}/l", outputs()[0].scratch.base_name()).into_bytes();
        let name_at = 11 + HASH_LEN;
        for from in 12..name_at {
            let text = [whole.clone(), b"\0\0".to_vec(), whole[from..].to_vec()].concat();
            assert!(found(&amid(&text)), "from {from}");
        }
    }

    #[test]
    fn a_head_alone_is_found() {
        let head = format!("/nix/store/{}", &outputs()[0].scratch.hash_part()[..5]);
        assert!(found(&amid(head.as_bytes())));
    }

    #[test]
    fn the_file_is_named() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("bin")).expect("our own directory");
        let piece = &outputs()[0].scratch.hash_part()[3..14].to_owned();
        fs::write(dir.path().join("bin/a"), amid(b"nothing")).expect("our own file");
        fs::write(dir.path().join("bin/b"), amid(piece.as_bytes())).expect("our own file");
        let found = find_piece(dir.path(), "/nix/store", &outputs()).expect("readable");
        assert_eq!(found, Some(PathBuf::from("bin/b")));
    }
}

//! Which files git tracks: the paths in a git index, versions 2 to 4.
//!
//! Only the paths are taken. A git library would do the same at a hundred dependencies.
//!
//! ```text
//! index     = "DIRC" version:u32 count:u32 entry* extension* checksum
//! entry     = stat:40 bytes, object id, flags:u16, [more flags:u16 from version 3 on], path
//! path      = bytes NUL, padded with NULs to a multiple of 8 from the entry's start    (versions 2 and 3)
//!           | how many bytes to cut off the path before:varint, bytes to append, NUL   (version 4)
//! extension = signature:4 bytes, length:u32, bytes
//! ```
//! The file does not say whether object ids are SHA-1 (20 bytes) or SHA-256 (32). Both are tried; since every
//! entry is checked and the extensions must end exactly where the checksum begins, only one can fit.

use std::ops::Range;

/// The tracked paths, sorted by their bytes. Submodules and directories outside a sparse checkout end in `/`.
#[derive(Debug, Default)]
pub(super) struct GitIndex {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl GitIndex {
    /// Reads an index; the error says what is wrong with it.
    pub(super) fn parse(file: &[u8]) -> Result<GitIndex, &'static str> {
        // Read with the wrong length it looks damaged, or like something else by chance.
        parse(file, 20)
            .or_else(|why| parse(file, 32).map_err(|other| if why == DAMAGED { other } else { why }))
    }

    pub(super) fn all(&self) -> Range<usize> {
        0..self.ends.len()
    }

    /// Narrows a range of paths to those that begin with `prefix`.
    pub(super) fn below(&self, within: &Range<usize>, prefix: &[u8]) -> Range<usize> {
        let start = self.partition(within, |path| path < prefix);
        let end = self.partition(&(start..within.end), |path| path.starts_with(prefix));
        start..end
    }

    pub(super) fn contains(&self, within: &Range<usize>, path: &[u8]) -> bool {
        let at = self.partition(within, |other| other < path);
        at < within.end && self.path(at) == path
    }

    fn path(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.bytes[start..self.ends[at] as usize]
    }

    fn partition(&self, within: &Range<usize>, before: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (within.start, within.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if before(self.path(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn push(&mut self, path: &[u8], directory: bool) {
        self.bytes.extend_from_slice(path);
        if directory && !path.ends_with(b"/") {
            self.bytes.push(b'/');
        }
        self.ends.push(self.bytes.len() as u32);
    }

    /// Sorts again: git sorts a submodule as if its path had no `/` at its end.
    fn sort(&mut self) {
        if (1..self.ends.len()).all(|at| self.path(at - 1) <= self.path(at)) {
            return;
        }
        let mut order: Vec<usize> = (0..self.ends.len()).collect();
        order.sort_by(|&a, &b| self.path(a).cmp(self.path(b)));
        let mut sorted = GitIndex::default();
        for at in order {
            sorted.push(self.path(at), false);
        }
        *self = sorted;
    }
}

const DAMAGED: &str = "is damaged";
const STAT_BYTES: usize = 40;
const MODE_AT: usize = 24;
const EXTENDED: u16 = 0x4000;
const KIND: u32 = 0o170000;
const SUBMODULE: u32 = 0o160000;
const SPARSE_DIRECTORY: u32 = 0o040000;

fn parse(file: &[u8], id_bytes: usize) -> Result<GitIndex, &'static str> {
    let body = file.len().checked_sub(id_bytes).map(|end| &file[..end]).ok_or(DAMAGED)?;
    let mut rest = body.strip_prefix(b"DIRC").ok_or("is not a git index")?;
    let version = take_u32(&mut rest)?;
    if !(2..=4).contains(&version) {
        return Err("has a version other than 2, 3 or 4");
    }
    let count = take_u32(&mut rest)?;
    let mut index = GitIndex::default();
    let mut path: Vec<u8> = Vec::new();
    for _ in 0..count {
        let entry = rest;
        let stat = take(&mut rest, STAT_BYTES)?;
        let kind = u32::from_be_bytes(stat[MODE_AT..MODE_AT + 4].try_into().expect("four bytes")) & KIND;
        take(&mut rest, id_bytes)?;
        let flags = take_u16(&mut rest)?;
        if flags & EXTENDED != 0 {
            if version < 3 {
                return Err(DAMAGED);
            }
            take(&mut rest, 2)?;
        }
        if version == 4 {
            let cut = take_varint(&mut rest)?;
            path.truncate(path.len().checked_sub(cut).ok_or(DAMAGED)?);
        } else {
            path.clear();
        }
        let length = rest.iter().position(|&byte| byte == 0).ok_or(DAMAGED)?;
        path.extend_from_slice(take(&mut rest, length)?);
        if version == 4 {
            take(&mut rest, 1)?;
        } else {
            let used = entry.len() - rest.len();
            let padding = take(&mut rest, 8 - used % 8)?;
            if padding.iter().any(|&byte| byte != 0) {
                return Err(DAMAGED);
            }
        }
        if path.is_empty() {
            // Such an entry replaces one of the shared index.
            return Err(SPLIT);
        }
        let known_kind = matches!(kind, 0o100000 | 0o120000 | SUBMODULE | SPARSE_DIRECTORY);
        if !known_kind || usize::from(flags & 0xfff) != path.len().min(0xfff) {
            return Err(DAMAGED);
        }
        if u32::try_from(index.bytes.len() + path.len() + 1).is_err() {
            return Err("is too large");
        }
        index.push(&path, matches!(kind, SUBMODULE | SPARSE_DIRECTORY));
    }
    while !rest.is_empty() {
        let signature = take(&mut rest, 4)?;
        let length = take_u32(&mut rest)?;
        let content = take(&mut rest, length as usize)?;
        if signature == b"link" && content.iter().take(id_bytes).any(|&byte| byte != 0) {
            return Err(SPLIT);
        }
    }
    index.sort();
    Ok(index)
}

const SPLIT: &str = "is split, which is not supported (`git update-index --no-split-index` joins it)";

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], &'static str> {
    let (taken, left) = rest.split_at_checked(count).ok_or(DAMAGED)?;
    *rest = left;
    Ok(taken)
}

fn take_u16(rest: &mut &[u8]) -> Result<u16, &'static str> {
    Ok(u16::from_be_bytes(take(rest, 2)?.try_into().expect("two bytes")))
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, &'static str> {
    Ok(u32::from_be_bytes(take(rest, 4)?.try_into().expect("four bytes")))
}

/// Seven bits per byte, highest first; each continuation also adds one, so that no number has two spellings.
fn take_varint(rest: &mut &[u8]) -> Result<usize, &'static str> {
    let mut byte = take(rest, 1)?[0];
    let mut value = usize::from(byte & 0x7f);
    while byte & 0x80 != 0 {
        if value >= usize::MAX >> 8 {
            return Err(DAMAGED);
        }
        byte = take(rest, 1)?[0];
        value = ((value + 1) << 7) + usize::from(byte & 0x7f);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index of version 2 with these paths, of a kind each.
    fn index(entries: &[(&str, u32)]) -> Vec<u8> {
        let mut file = b"DIRC\0\0\0\x02".to_vec();
        file.extend((entries.len() as u32).to_be_bytes());
        for (path, mode) in entries {
            let start = file.len();
            file.extend([0; MODE_AT]);
            file.extend(mode.to_be_bytes());
            file.extend([0; STAT_BYTES - MODE_AT - 4 + 20]);
            file.extend((path.len() as u16).to_be_bytes());
            file.extend(path.as_bytes());
            file.extend(vec![0; 8 - (file.len() - start) % 8]);
        }
        file.extend([0; 20]);
        file
    }

    #[test]
    fn lookups() {
        let file = index(&[("a", 0o100644), ("s", 0o160000), ("s.c", 0o100644), ("t/u", 0o120000)]);
        let index = GitIndex::parse(&file).unwrap();
        let all = index.all();
        assert!(index.contains(&all, b"a") && index.contains(&all, b"s.c") && index.contains(&all, b"t/u"));
        assert!(!index.contains(&all, b"s") && !index.contains(&all, b"t"));
        assert_eq!(index.below(&all, b"s/").len(), 1);
        assert_eq!(index.below(&all, b"t/").len(), 1);
        assert_eq!(index.below(&all, b"u/").len(), 0);
    }

    #[test]
    fn damage_is_noticed() {
        let file = index(&[("a", 0o100644), ("b", 0o100755)]);
        for end in 0..file.len() {
            assert!(GitIndex::parse(&file[..end]).is_err(), "cut at {end}");
        }
        for at in 0..file.len() {
            let mut other = file.clone();
            for bits in [0x01, 0x80, 0xff] {
                other[at] ^= bits;
                // Whatever comes of it, it is no panic, and the paths can be searched.
                if let Ok(index) = GitIndex::parse(&other) {
                    index.below(&index.all(), b"a");
                }
            }
        }
        let mut other = file.clone();
        other[7] = 5;
        assert!(GitIndex::parse(&other).unwrap_err().contains("version"));
    }
}

//! The dynamic loader's cache: which file it takes for the name of a library.
//!
//! The format is that of glibc 2.2 and newer (`sysdeps/generic/dl-cache.h`): after the magic and a header of 48 bytes come
//! entries of 24 bytes, which point to strings by their distance from the header. Older caches may stand before it. It
//! is the host's own, but a file may be cut short: what cannot be read says nothing.

use std::collections::{BTreeMap, BTreeSet};

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// The entries for these names, in the order of the cache; `None` if it is no such cache.
pub(super) fn entries<'a>(
    cache: &'a [u8],
    names: &BTreeSet<&[u8]>,
) -> Option<BTreeMap<&'a [u8], Vec<&'a [u8]>>> {
    let start = memchr::memmem::find(cache, MAGIC)?;
    let cache = &cache[start..];
    let word = |at: usize| Some(u32::from_le_bytes(cache.get(at..at + 4)?.try_into().ok()?));
    let text = |at: usize| {
        let rest = cache.get(at..)?;
        Some(&rest[..memchr::memchr(0, rest)?])
    };
    let count = word(MAGIC.len())? as usize;
    let mut found: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
    for entry in 0..count {
        let at = HEADER.checked_add(entry.checked_mul(ENTRY)?)?;
        let name = text(word(at + 4)? as usize)?;
        if names.contains(name) {
            // The same name may stand there for several kinds of machines: the flags tell them apart.
            let whole = found.entry(name).or_default();
            whole.push(cache.get(at..at + 4)?);
            whole.push(text(word(at + 8)? as usize)?);
            whole.push(cache.get(at + 12..at + ENTRY)?);
        }
    }
    Some(found)
}

//! Looks for hash parts that rewriting cannot reach: those inside compressed members of an output.
//!
//! Before `fixup` the scratch hash part becomes the final one wherever it stands in plain sight. Inside a gzip,
//! zip, xz, zstd, bzip2 or zlib stream it cannot be replaced in place, and where a checksum lies over the bytes (a
//! stored zip entry, a tar header) replacing it would break the file. Both are found here, at any offset of a file
//! (a kernel image, a self-extracting script), and through several levels (a `.tar.gz` in a `.jar`).
//!
//! Each file is read once. Wherever the first bytes of a known format appear, a decoder starts and is pushed the
//! same bytes as they come by; what it gives back is searched in the same way. So work is linear in what is
//! read and decoded, and memory is what the live decoders' windows need (32 KiB for zip, 64 MiB for the largest
//! xz). A decoder that meets an error ends; what it gave before counts. False beginnings die within a few bytes.
//!
//! This module does not know what the needles are.

mod member;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use member::{Format, Member, TAR_MAGIC};

/// Where a needle was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    /// The file, link or directory, relative to the root that was searched.
    pub(crate) file: PathBuf,
    /// Which of the needles.
    pub(crate) needle: usize,
    /// Whether it cannot be replaced in place: it is compressed, or under a checksum.
    pub(crate) hidden: bool,
}

/// Searches names, link targets and contents of everything at and below `root` for `needles`.
///
/// A hidden occurrence anywhere wins over a plain one, so this serves both before rewriting (is there anything that
/// rewriting would miss or break?) and after it (is anything left at all?).
///
/// # Errors
/// A file or directory that cannot be read, with its path in the message.
pub(crate) fn find_hidden(root: &Path, needles: &[Vec<u8>]) -> io::Result<Option<Hit>> {
    find_within(root, needles, LIMITS)
}

/// How far the search goes. Beyond it a member counts as searched.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Members within members.
    depth: usize,
    /// Bytes that one member gives.
    member: u64,
    /// Bytes that all members of one file give.
    file: u64,
    /// Members that are decoded at the same time in one stream.
    live: usize,
}

const LIMITS: Limits = Limits { depth: 3, member: 2 << 30, file: 8 << 30, live: 16 };

/// Bytes that are read, or taken from a decoder, at a time.
const CHUNK: usize = 64 << 10;

fn find_within(root: &Path, needles: &[Vec<u8>], limits: Limits) -> io::Result<Option<Hit>> {
    let mut plain = None;
    let mut linked = HashSet::new();
    let mut search = Search::new(needles, limits);
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        // Joining an empty path would add a slash, and a slash follows a link.
        let path = if relative.as_os_str().is_empty() { root.to_owned() } else { root.join(&relative) };
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let metadata = fs::symlink_metadata(&path).map_err(named)?;
        let mut found = relative.file_name().and_then(|name| search.matcher.find(name.as_bytes()));
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).map_err(named)?;
            let names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>();
            let mut names = names.map_err(named)?;
            names.sort_by(|a, b| b.cmp(a));
            pending.extend(names.into_iter().map(|name| relative.join(name)));
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path).map_err(named)?;
            found = found.or_else(|| search.matcher.find(target.as_os_str().as_bytes()));
        } else if metadata.is_file()
            && (metadata.nlink() == 1 || linked.insert((metadata.dev(), metadata.ino())))
        {
            search.plain = found;
            search.file(&path).map_err(named)?;
            if let Some(needle) = search.hidden {
                return Ok(Some(Hit { file: relative, needle, hidden: true }));
            }
            found = search.plain;
        }
        if let Some(needle) = found {
            plain.get_or_insert(Hit { file: relative, needle, hidden: false });
        }
    }
    Ok(plain)
}

/// The search of one file: what is looked for, what was found, what it has cost.
struct Search<'a> {
    matcher: Matcher<'a>,
    limits: Limits,
    /// The first needle in plain sight.
    plain: Option<usize>,
    /// The first hidden needle. Once there is one, nothing more is done.
    hidden: Option<usize>,
    /// Bytes that decoders gave.
    decoded: u64,
    /// One buffer for each depth, for what decoders give.
    buffers: Vec<Vec<u8>>,
}

impl<'a> Search<'a> {
    fn new(needles: &'a [Vec<u8>], limits: Limits) -> Self {
        let buffers = vec![Vec::new(); limits.depth + 1];
        Search { matcher: Matcher::new(needles), limits, plain: None, hidden: None, decoded: 0, buffers }
    }

    fn file(&mut self, path: &Path) -> io::Result<()> {
        self.hidden = None;
        self.decoded = 0;
        let mut file = File::open(path)?;
        let mut stream = Stream::new(0);
        let mut chunk = vec![0; CHUNK];
        while self.hidden.is_none() {
            match file.read(&mut chunk) {
                Ok(0) => {
                    stream.finish(self);
                    break;
                }
                Ok(read) => stream.push(&chunk[..read], self),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn note(&mut self, needle: usize, hidden: bool) {
        let place = if hidden { &mut self.hidden } else { &mut self.plain };
        place.get_or_insert(needle);
    }
}

/// A sequence of bytes that is searched as it comes by: a file, or what a member of it holds.
struct Stream {
    depth: usize,
    /// The last bytes, kept because a needle or the beginning of a member may lie across two pushes.
    window: Vec<u8>,
    /// Where in the stream the window begins.
    start: u64,
    /// Up to where beginnings of members were looked for.
    sniffed: u64,
    /// The members that are being decoded.
    members: Vec<Member>,
    /// Where a live member goes on with a further stream of its format, so no new one begins there.
    claims: Vec<u64>,
}

impl Stream {
    /// Bytes that must follow a position before it is looked at, unless the stream ends. Enough for a tar header,
    /// of which the magic number is in the middle.
    const AHEAD: usize = 255;
    /// Bytes before a position that are still needed then.
    const BEHIND: usize = 257;

    fn new(depth: usize) -> Self {
        Stream { depth, window: Vec::new(), start: 0, sniffed: 0, members: Vec::new(), claims: Vec::new() }
    }

    /// Takes the next bytes.
    fn push(&mut self, bytes: &[u8], search: &mut Search<'_>) {
        if bytes.is_empty() || search.hidden.is_some() {
            return;
        }
        for member in &mut self.members {
            member.push(bytes, search, &mut self.claims);
        }
        self.members.retain(Member::is_live);
        self.window.extend_from_slice(bytes);
        self.look(search, Self::AHEAD);
        let behind = Self::BEHIND.max(search.matcher.longest);
        let keep = (self.start + self.window.len() as u64 - self.sniffed) as usize + behind;
        let drop = self.window.len().saturating_sub(keep);
        self.window.drain(..drop);
        self.start += drop as u64;
        let sniffed = self.sniffed;
        self.claims.retain(|claim| *claim >= sniffed);
    }

    /// The stream ends here.
    fn finish(&mut self, search: &mut Search<'_>) {
        if search.hidden.is_none() {
            self.look(search, 0);
        }
        for member in &mut self.members {
            member.finish(search);
        }
        self.members.clear();
    }

    /// Searches the window, and starts members that begin at least `ahead` bytes before its end.
    fn look(&mut self, search: &mut Search<'_>, ahead: usize) {
        let hidden = self.depth > 0;
        if (hidden || search.plain.is_none())
            && let Some(needle) = search.matcher.find(&self.window)
        {
            search.note(needle, hidden);
        }
        let first = (self.sniffed - self.start) as usize;
        // No member is a single byte.
        let end = self.window.len().saturating_sub(ahead.max(1)).max(first);
        let mut next = first;
        while let Some(at) = member::beginning(&self.window, next).filter(|at| *at < end) {
            next = at + 1;
            if search.hidden.is_some() {
                return;
            }
            let offset = self.start + at as u64;
            if let Some(needle) =
                checksummed_header(&self.window, at).and_then(|header| search.matcher.find(header))
            {
                search.note(needle, true);
            }
            let Some(format) = Format::at(&self.window[at..]) else { continue };
            let room = self.depth < search.limits.depth && self.members.len() < search.limits.live;
            if room && !self.claims.contains(&offset) {
                let mut member = Member::new(format, offset, Stream::new(self.depth + 1));
                member.push(&self.window[at..], search, &mut self.claims);
                if member.is_live() {
                    self.members.push(member);
                }
            }
        }
        self.sniffed = self.start + end as u64;
    }
}

/// The tar header, if one has its magic number at `at`: replacing bytes in it would break its checksum.
fn checksummed_header(window: &[u8], at: usize) -> Option<&[u8]> {
    const MAGIC: usize = 257;
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    if !window[at..].starts_with(TAR_MAGIC) {
        return None;
    }
    let header = window.get(at.checked_sub(MAGIC)?..)?.get(..512)?;
    let digits = std::str::from_utf8(&header[CHECKSUM]).ok()?.trim_matches([' ', '\0']);
    let stated = u32::from_str_radix(digits, 8).ok()?;
    let byte = |(at, byte): (usize, &u8)| u32::from(if CHECKSUM.contains(&at) { b' ' } else { *byte });
    (header.iter().enumerate().map(byte).sum::<u32>() == stated).then_some(header)
}

/// Finds any of several needles, by the method of Wu and Manber: the two bytes at the end of a window as long as the
/// shortest needle say how far it may move on. There may be hundreds of needles, and much of a program is zeros, so
/// what decides which of them are looked at is those two bytes and the first.
struct Matcher<'a> {
    needles: &'a [Vec<u8>],
    shortest: usize,
    longest: usize,
    /// How far the window may move on, by its last two bytes; not at all if a needle may be there. Small, as it is
    /// looked at for all that is read.
    skip: Vec<u8>,
    /// Which of the lists of candidates belongs to a window that may not move on, by its last two bytes. The first is empty.
    lists: Vec<u32>,
    /// The needles that may be in a window, with their first bytes, by which they are in order. All numbers of eight bytes end
    /// alike, and there are some for each edit of a long chain.
    candidates: Vec<Vec<(u8, usize)>>,
}

impl<'a> Matcher<'a> {
    fn new(needles: &'a [Vec<u8>]) -> Self {
        let lengths = || needles.iter().map(Vec::len);
        let (shortest, longest) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
        let most = |skip: usize| u8::try_from(skip).unwrap_or(u8::MAX);
        let mut skip = vec![most(shortest.saturating_sub(1)); 1 << 16];
        let mut lists = vec![0; 1 << 16];
        let mut candidates: Vec<Vec<_>> = vec![Vec::new()];
        for (index, needle) in needles.iter().enumerate().filter(|_| shortest > 1) {
            for (at, pair) in needle[..shortest].windows(2).enumerate() {
                let skip = &mut skip[block(pair)];
                *skip = (*skip).min(most(shortest - 2 - at));
            }
            let list = &mut lists[block(&needle[shortest - 2..shortest])];
            if *list == 0 {
                *list = u32::try_from(candidates.len()).expect("there are no more lists than pairs of bytes");
                candidates.push(Vec::new());
            }
            candidates[*list as usize].push((needle[0], index));
        }
        // In a stable order: what comes first among the needles comes first here.
        candidates.iter_mut().for_each(|list| list.sort_by_key(|(first, _)| *first));
        Matcher { needles, shortest, longest, skip, lists, candidates }
    }

    /// The index of a needle that occurs in `bytes`: of those that begin first, the one that comes first.
    fn find(&self, bytes: &[u8]) -> Option<usize> {
        if self.shortest < 2 {
            let starts = |at: usize| self.needles.iter().position(|needle| bytes[at..].starts_with(needle));
            return (0..bytes.len()).filter(|_| self.shortest > 0).find_map(starts);
        }
        let mut at = 0;
        while let Some(window) = bytes.get(at..at + self.shortest) {
            let end = block(&window[self.shortest - 2..]);
            let skip = usize::from(self.skip[end]);
            if skip == 0 {
                let possible = &self.candidates[self.lists[end] as usize];
                let from = possible.partition_point(|(first, _)| *first < window[0]);
                let mut possible = possible[from..].iter().take_while(|(first, _)| *first == window[0]);
                let found = possible.find(|(_, index)| bytes[at..].starts_with(&self.needles[*index]));
                if let Some((_, found)) = found {
                    return Some(*found);
                }
            }
            at += skip.max(1);
        }
        None
    }
}

fn block(pair: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([pair[0], pair[1]]))
}

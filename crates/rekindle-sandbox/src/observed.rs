//! What a command was seen to do with files, and how that travels from init to the caller.
//!
//! It travels in pieces of any number of records, so that neither side needs it twice in memory. A name belongs to the
//! directory that came last, in whatever piece.
//!
//! ```text
//! record = touch:u8 length:u16le bytes
//! touch  = 1 opened | 2 written | 0x80 a directory (absolute path), otherwise a name in the last one
//! ```

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What a command, and every process that it started, was seen to do in the directories of a
/// [`Watch`](crate::Watch), by inotify.
///
/// Only what was there before the command started is told. A path is what a thing was called then, absolute and inside,
/// even if the directory that it lies in was moved meanwhile. Rather too much is told than too little: what the command
/// replaced by a rename may be told although it was its own work.
///
/// Each list is sorted, and no path is in it twice.
///
/// # What is not seen
///
/// - Looking without opening: `stat`, `access`, `readlink`, following a symbolic link, listing extended attributes, and
///   any of these for what does not exist. So the caller has to assume that every link, mode, size, time and absence
///   in these directories was observed, or to know of each step which of them matter.
/// - `link`: that a new name was made for a file, and what is then done to the file under that name. An overlay copies
///   the file up for it, so the file is in the upper layer, under its old name too. Hard links that were there before
///   are seen, by the name that was used.
/// - Changing the size of a file by its path (`truncate`), or only the time of its last modification (`utimensat`). An
///   overlay copies the file up for these, too.
/// - What is mounted below a watched directory.
/// - Files that are opened through an overlay which the command itself mounts, in a user namespace of its own.
///
/// Programs that are executed, files that are mapped, bind mounts, and descriptors that are passed on or left behind
/// are all covered, as each begins with an open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Files that were opened, for whatever purpose, or executed.
    pub opened: Vec<PathBuf>,
    /// Directories that were opened, which comes before listing them.
    pub listed: Vec<PathBuf>,
    /// What was opened for writing, given other attributes, removed, moved away or replaced. A directory here has other
    /// attributes, or it was removed or moved with all that was in it.
    pub written: Vec<PathBuf>,
    /// Whether nothing was missed. If not, the caller has to assume that everything was observed; the lists are empty.
    pub complete: bool,
    /// Why it is not complete, and what to do about it, in one line; empty if it is.
    pub reason: String,
}

/// Was opened.
pub(crate) const OPENED: u8 = 1;
/// Was changed.
pub(crate) const WRITTEN: u8 = 2;
/// This is a directory; the names that follow are in it.
const DIRECTORY: u8 = 0x80;

/// Pieces are sent when they have grown to this size.
const PIECE: usize = 1 << 16;

/// Longest path of a directory that is told.
pub(crate) const LONGEST_PATH: usize = 32 << 10;

/// Most bytes that the paths of one run may have in the caller's memory: as much as a million files of ordinary names.
const ROOM: usize = 256 << 20;

/// Init's end: makes pieces, and sends each.
pub(crate) struct Pieces<F: FnMut(Vec<u8>)> {
    bytes: Vec<u8>,
    send: F,
}

impl<F: FnMut(Vec<u8>)> Pieces<F> {
    pub(crate) fn new(send: F) -> Self {
        Pieces { bytes: Vec::new(), send }
    }

    /// Tells of a directory, of [`LONGEST_PATH`] at most, and of what the names that follow belong to.
    pub(crate) fn directory(&mut self, path: &[u8], touch: u8) {
        self.record(DIRECTORY | touch, path);
    }

    pub(crate) fn name(&mut self, name: &[u8], touch: u8) {
        self.record(touch, name);
    }

    pub(crate) fn finish(mut self) {
        (self.send)(std::mem::take(&mut self.bytes));
    }

    fn record(&mut self, touch: u8, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).expect("neither paths nor names are that long");
        self.bytes.push(touch);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= PIECE {
            (self.send)(std::mem::take(&mut self.bytes));
        }
    }
}

/// The caller's end: puts pieces together.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    observed: Observed,
    dir: PathBuf,
    used: usize,
    end: Option<Result<(), String>>,
}

impl Collector {
    pub(crate) fn take(&mut self, piece: &[u8]) {
        if let Err(reason) = self.parse(piece) {
            self.observed = Observed::default();
            self.end(Err(reason.to_owned()));
        }
    }

    /// The first reason to mistrust it all is kept.
    pub(crate) fn end(&mut self, end: Result<(), String>) {
        if !matches!(self.end, Some(Err(_))) {
            self.end = Some(end);
        }
    }

    pub(crate) fn into_observed(self) -> Observed {
        let unknown = |reason| Observed { reason, ..Observed::default() };
        match self.end {
            Some(Ok(())) => {}
            Some(Err(reason)) => return unknown(reason),
            None => return unknown("the command was killed together with its observer".to_owned()),
        }
        let mut observed = Observed { complete: true, ..self.observed };
        for list in [&mut observed.opened, &mut observed.listed, &mut observed.written] {
            list.sort_unstable();
            list.dedup();
        }
        observed
    }

    fn parse(&mut self, mut piece: &[u8]) -> Result<(), &'static str> {
        while let Some((&[touch, l0, l1], rest)) = piece.split_first_chunk() {
            let length = u16::from_le_bytes([l0, l1]).into();
            let (bytes, rest) = rest.split_at_checked(length).ok_or(GARBLED)?;
            piece = rest;
            let path = if touch & DIRECTORY != 0 {
                self.dir = PathBuf::from(OsStr::from_bytes(bytes).to_owned());
                self.keep(touch & OPENED, self.dir.clone(), |observed| &mut observed.listed)?;
                self.dir.clone()
            } else {
                let path = join(&self.dir, bytes);
                self.keep(touch & OPENED, path.clone(), |observed| &mut observed.opened)?;
                path
            };
            self.keep(touch & WRITTEN, path, |observed| &mut observed.written)?;
        }
        if piece.is_empty() { Ok(()) } else { Err(GARBLED) }
    }

    fn keep(
        &mut self,
        wanted: u8,
        path: PathBuf,
        list: impl FnOnce(&mut Observed) -> &mut Vec<PathBuf>,
    ) -> Result<(), &'static str> {
        if wanted != 0 {
            self.used += path.as_os_str().len() + size_of::<PathBuf>();
            if self.used > ROOM {
                return Err("the command touched more files than there is memory for their names");
            }
            list(&mut self.observed).push(path);
        }
        Ok(())
    }
}

const GARBLED: &str = "what was observed did not arrive in one piece";

/// A path of exactly its length: there may be very many.
fn join(dir: &Path, name: &[u8]) -> PathBuf {
    let dir = dir.as_os_str().as_bytes();
    let slash: &[u8] = if dir.ends_with(b"/") { b"" } else { b"/" };
    PathBuf::from(std::ffi::OsString::from_vec([dir, slash, name].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Record<'a> = (&'a str, u8);

    fn pieces(dirs: &[(Record<'_>, &[Record<'_>])]) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        let mut pieces = Pieces::new(|piece| sent.push(piece));
        for ((path, touch), names) in dirs {
            pieces.directory(path.as_bytes(), *touch);
            names.iter().for_each(|(name, touch)| pieces.name(name.as_bytes(), *touch));
        }
        pieces.finish();
        sent
    }

    fn collect(pieces: &[Vec<u8>]) -> Observed {
        let mut collector = Collector::default();
        pieces.iter().for_each(|piece| collector.take(piece));
        collector.end(Ok(()));
        collector.into_observed()
    }

    fn paths(paths: &[&str]) -> Vec<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn lists_come_out_sorted_and_without_doubles() {
        let sent = pieces(&[
            (("/b", OPENED), &[("y", OPENED | WRITTEN), ("x", WRITTEN)]),
            (("/", 0), &[("b", WRITTEN)]),
            (("/b", WRITTEN), &[("x", OPENED)]),
            (("/a", OPENED), &[]),
        ]);
        let expect = Observed {
            opened: paths(&["/b/x", "/b/y"]),
            listed: paths(&["/a", "/b"]),
            written: paths(&["/b", "/b/x", "/b/y"]),
            complete: true,
            reason: String::new(),
        };
        assert_eq!(collect(&sent), expect);
    }

    #[test]
    fn much_travels_in_pieces() {
        let names: Vec<String> = (0..100_000).map(|index| format!("name{index:06}")).collect();
        let names: Vec<_> = names.iter().map(|name| (name.as_str(), OPENED)).collect();
        let sent = pieces(&[(("/dir", 0), &names)]);
        assert!(sent.len() > 10 && sent.iter().all(|piece| piece.len() < PIECE + 300), "{}", sent.len());
        let observed = collect(&sent);
        assert_eq!((observed.opened.len(), observed.listed.len()), (100_000, 0));
        assert_eq!(observed.opened[99_999], Path::new("/dir/name099999"));
    }

    #[test]
    fn what_is_doubtful_is_not_complete() {
        let sent = pieces(&[(("/dir", OPENED), &[("name", OPENED)])]);
        for cut in 1..sent[0].len() {
            // Between two records nothing can be noticed, but pieces are sent whole.
            let observed = collect(&[sent[0][..cut].to_vec()]);
            assert!(!observed.complete || cut == 7, "{cut}");
        }
        let mut killed = Collector::default();
        killed.take(&sent[0]);
        assert!(!killed.into_observed().complete);

        let mut overflown = Collector::default();
        overflown.take(&sent[0]);
        overflown.end(Err("too many".into()));
        overflown.end(Ok(()));
        assert_eq!(overflown.into_observed(), Observed { reason: "too many".into(), ..Observed::default() });
    }

    #[test]
    fn room_is_limited() {
        let long = "x".repeat(LONGEST_PATH);
        let mut collector = Collector::default();
        let piece = pieces(&[((&long, 0), &[("y", OPENED); 2000])]).concat();
        for _ in 0..5 {
            collector.take(&piece);
        }
        collector.end(Ok(()));
        let observed = collector.into_observed();
        assert!(observed.reason.contains("memory") && observed.opened.is_empty());
    }
}

//! The stat index: what a scan saw of every file, so that the next scan reads only the files that differ.
//!
//! A file's digest is taken from the index when its size, mtime, ctime, inode and device are all as they were, and
//! its ctime lies before the moment that the scan began which read it. The second condition is git's "racily clean"
//! rule in a stricter form: times are kept in ticks, so a file that was written twice within one tick around its
//! reading would look the same; then its ctime is not older than the scan, and it is read again. The ctime decides,
//! because a program can set a mtime at will, but every change moves the ctime. A file with both times in whole
//! seconds may lie on a file system that keeps no more than that (or two-second steps), and must be two seconds
//! older. What no index can see is a write through a memory mapping that was dirtied before the file was read.
//!
//! The file is sealed (see `sealed_file`). Its body, integers little-endian:
//!
//! ```text
//! body      = began:time, directories:u32, directory*
//! directory = path length:u32, segment length:u32, path, segment
//! segment   = record*, sorted by name
//! record    = name length:u16, name, size:u64, mtime:time, ctime:time, inode:u64, device:u64, digest:32 bytes
//! time      = seconds:i64, nanoseconds:u32
//! ```
//! Segments stay encoded in memory: a scan reads each once, in step with the sorted names of its directory, so loading
//! costs one read and one hash.

use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::Stat;

use crate::sealed_file::{self, Magic, take};
use crate::{Digest, Error, Timestamp};

const MAGIC: &Magic = b"rekindle stat index v1\0\n";

/// What a scan saw of every file of a source tree; lets the next scan read only the files that differ.
///
/// It is a cache and nothing more: an empty one (`StatIndex::default()`) costs time, never a wrong answer.
#[derive(Clone, Debug, Default)]
pub struct StatIndex {
    began: Timestamp,
    /// Sorted by path.
    directories: Vec<Directory>,
    bytes: Vec<u8>,
}

/// Where a directory's path and segment are in `bytes`.
#[derive(Clone, Debug)]
struct Directory {
    path: Range<usize>,
    segment: Range<usize>,
}

impl StatIndex {
    /// Loads an index. One that is missing, damaged, unreadable or of another version is an empty one.
    pub fn load(path: &Path) -> StatIndex {
        std::fs::read(path).ok().and_then(StatIndex::parse).unwrap_or_default()
    }

    /// Writes the index, replacing the file at once or not at all.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        sealed_file::write(path, "write the stat index", MAGIC, |file| {
            let mut head = Vec::new();
            put_time(&mut head, self.began);
            head.extend(u32::try_from(self.directories.len()).map_err(too_large)?.to_le_bytes());
            file.put(&head)?;
            for Directory { path, segment } in &self.directories {
                file.put(&u32::try_from(path.len()).map_err(too_large)?.to_le_bytes())?;
                file.put(&u32::try_from(segment.len()).map_err(too_large)?.to_le_bytes())?;
                file.put(&self.bytes[path.start..segment.end])?;
            }
            Ok(())
        })
    }

    /// Puts an index together from the encoded segments of a scan that began at `began`.
    pub(crate) fn from_segments(began: Timestamp, mut segments: Vec<(Box<[u8]>, Vec<u8>)>) -> StatIndex {
        segments.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut index = StatIndex {
            began,
            directories: Vec::with_capacity(segments.len()),
            bytes: Vec::with_capacity(
                segments.iter().map(|(path, segment)| path.len() + segment.len()).sum(),
            ),
        };
        for (path, segment) in segments {
            let start = index.bytes.len();
            index.bytes.extend_from_slice(&path);
            let middle = index.bytes.len();
            index.bytes.extend_from_slice(&segment);
            index.directories.push(Directory { path: start..middle, segment: middle..index.bytes.len() });
        }
        index
    }

    /// How many directories it knows.
    pub(crate) fn directories(&self) -> usize {
        self.directories.len()
    }

    /// The encoded records of a directory; empty if it is not known.
    pub(crate) fn segment(&self, path: &Path) -> &[u8] {
        let path = path.as_os_str().as_bytes();
        match self.directories.binary_search_by(|directory| self.bytes[directory.path.clone()].cmp(path)) {
            Ok(at) => &self.bytes[self.directories[at].segment.clone()],
            Err(_) => &[],
        }
    }

    /// The records of a directory that can be relied on, sorted by name.
    pub(crate) fn records(&self, path: &Path) -> Vec<Record<'_>> {
        let mut rest = self.segment(path);
        let records = std::iter::from_fn(|| Record::decode(&mut rest));
        records.filter(|record| record.identity.settled_before(self.began)).collect()
    }

    fn parse(bytes: Vec<u8>) -> Option<StatIndex> {
        let mut rest = sealed_file::body(&bytes, MAGIC).ok()?;
        let body = MAGIC.len() + rest.len();
        let began = take_time(&mut rest)?;
        let count = u32::from_le_bytes(take(&mut rest)?);
        let mut directories = Vec::new();
        for _ in 0..count {
            let path_bytes = u32::from_le_bytes(take(&mut rest)?) as usize;
            let segment_bytes = u32::from_le_bytes(take(&mut rest)?) as usize;
            let start = body - rest.len();
            rest = rest.get(path_bytes.checked_add(segment_bytes)?..)?;
            let middle = start + path_bytes;
            directories.push(Directory { path: start..middle, segment: middle..middle + segment_bytes });
        }
        rest.is_empty().then_some(StatIndex { began, directories, bytes })
    }
}

/// What `stat` says that changes whenever a file's content may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) size: u64,
    mtime: Timestamp,
    ctime: Timestamp,
    inode: u64,
    device: u64,
}

impl Identity {
    pub(crate) fn of(stat: &Stat) -> Identity {
        Identity {
            size: stat.st_size as u64,
            mtime: Timestamp::modified(stat),
            ctime: Timestamp::changed(stat),
            inode: stat.st_ino,
            device: stat.st_dev,
        }
    }

    /// Whether any change made at `moment` or later would have to show in the identity.
    pub(crate) fn settled_before(&self, moment: Timestamp) -> bool {
        let coarse = self.ctime.nanos == 0 && self.mtime.nanos == 0;
        let step = if coarse { 2 } else { 0 };
        Timestamp { secs: self.ctime.secs.saturating_add(step), ..self.ctime } < moment
    }
}

/// One file of a segment.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) identity: Identity,
    pub(crate) digest: Digest,
}

impl<'a> Record<'a> {
    pub(crate) fn encode(&self, segment: &mut Vec<u8>) {
        // A name has at most 255 bytes on every file system of Linux.
        segment.extend((self.name.len() as u16).to_le_bytes());
        segment.extend(self.name);
        segment.extend(self.identity.size.to_le_bytes());
        put_time(segment, self.identity.mtime);
        put_time(segment, self.identity.ctime);
        segment.extend(self.identity.inode.to_le_bytes());
        segment.extend(self.identity.device.to_le_bytes());
        segment.extend(self.digest.as_bytes());
    }

    fn decode(rest: &mut &'a [u8]) -> Option<Record<'a>> {
        let length = u16::from_le_bytes(take(rest)?);
        let (name, after) = rest.split_at_checked(length.into())?;
        *rest = after;
        let identity = Identity {
            size: u64::from_le_bytes(take(rest)?),
            mtime: take_time(rest)?,
            ctime: take_time(rest)?,
            inode: u64::from_le_bytes(take(rest)?),
            device: u64::from_le_bytes(take(rest)?),
        };
        Some(Record { name, identity, digest: Digest::from_bytes(take(rest)?) })
    }
}

fn put_time(bytes: &mut Vec<u8>, time: Timestamp) {
    bytes.extend(time.secs.to_le_bytes());
    bytes.extend(time.nanos.to_le_bytes());
}

fn take_time(rest: &mut &[u8]) -> Option<Timestamp> {
    Some(Timestamp { secs: i64::from_le_bytes(take(rest)?), nanos: u32::from_le_bytes(take(rest)?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> StatIndex {
        let time = |secs, nanos| Timestamp { secs, nanos };
        let mut segment = Vec::new();
        for (name, ctime) in [(b"a" as &[u8], time(5, 1)), (b"b", time(9, 1)), (b"c", time(8, 0))] {
            let identity = Identity { size: 3, mtime: ctime, ctime, inode: 4, device: 2 };
            Record { name, identity, digest: Digest::of(name) }.encode(&mut segment);
        }
        let segments = vec![(Box::from(b"d" as &[u8]), segment), (Box::from(b"" as &[u8]), Vec::new())];
        StatIndex::from_segments(time(9, 1), segments)
    }

    #[test]
    fn racy_records_are_left_out() {
        let names = |began: Timestamp| {
            let index = StatIndex { began, ..sample() };
            index.records(Path::new("d")).iter().map(|record| record.name.to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(
            names(Timestamp { secs: 9, nanos: 1 }),
            [b"a"],
            "b has the very time, c has a coarse clock"
        );
        assert_eq!(names(Timestamp { secs: 9, nanos: 2 }), [b"a", b"b"]);
        assert_eq!(names(Timestamp { secs: 10, nanos: 1 }), [b"a", b"b", b"c"]);
        assert_eq!(names(Timestamp { secs: 5, nanos: 1 }), [[0u8; 1]; 0]);
    }

    #[test]
    fn round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        sample().save(&path).unwrap();
        let loaded = StatIndex::load(&path);
        assert_eq!(loaded.directories(), 2);
        assert_eq!(loaded.segment(Path::new("d")), sample().segment(Path::new("d")));
        assert_eq!(loaded.began, sample().began);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no scratch file stays");
        sample().save(&path).unwrap();
    }

    #[test]
    fn damage_makes_it_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        sample().save(&path).unwrap();
        let good = std::fs::read(&path).unwrap();
        let reload = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            StatIndex::load(&path).directories()
        };
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(reload(&bad), 0, "flipped at {at}");
            assert_eq!(reload(&good[..at]), 0, "cut at {at}");
        }
        assert_eq!(StatIndex::load(&dir.path().join("none")).directories(), 0);
    }
}

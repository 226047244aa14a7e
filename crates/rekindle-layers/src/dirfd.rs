//! Opening and listing directories by descriptor.
//!
//! All reading goes through directory descriptors and names, never through whole paths that are resolved again,
//! so nobody can put a symlink into the middle of a path between two steps. Where a whole relative path is
//! opened, `openat2` refuses symlinks and `..` on the way.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::{Errno, Result};

/// Flags for reading a directory's entries.
pub(crate) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Flags for reading a file. Not blocking, because a fifo may have taken the file's place.
pub(crate) const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// The kernel takes paths of up to 4,095 bytes; longer ones are opened in pieces of at most this.
const PIECE: usize = 4000;

/// Opens a directory that the caller names; a symlink in that name is followed.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Opens one name in a directory.
pub(crate) fn open_name(dir: impl AsFd, name: &OsStr, flags: OFlags) -> Result<OwnedFd> {
    rustix::fs::openat(dir, name, flags, Mode::empty())
}

/// Opens a relative path of any length below `root` (empty: `root` itself). Symlinks on the way or at its end, and
/// anything that leads out of `root`, are errors.
pub(crate) fn open_below(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    let mut rest = path.as_os_str().as_bytes();
    let mut held: Option<OwnedFd> = None;
    while rest.len() > PIECE {
        let cut = rest[..PIECE].iter().rposition(|&byte| byte == b'/').ok_or(Errno::NAMETOOLONG)?;
        let from = held.as_ref().map_or(root.as_fd(), AsFd::as_fd);
        held = Some(open_piece(from, &rest[..cut], OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)?);
        rest = &rest[cut + 1..];
    }
    open_piece(held.as_ref().map_or(root.as_fd(), AsFd::as_fd), rest, flags)
}

fn open_piece(from: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(from, path, flags, Mode::empty(), resolve)
}

/// Whether a path is relative and made of plain names only.
pub(crate) fn is_plain_relative(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Joins two relative paths, either of which may be empty. (`Path::join` ends the path in a slash then.)
pub(crate) fn join(base: &Path, path: &Path) -> PathBuf {
    base.components().chain(path.components()).collect()
}

/// The names in one directory, sorted by their bytes, in one allocation.
#[derive(Debug, Default)]
pub(crate) struct Names {
    bytes: Vec<u8>,
    entries: Vec<(u32, u32, FileType)>,
}

/// One name, and what the directory says about it (`Unknown` where the file system does not tell).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    with_nul: &'a [u8],
    pub(crate) file_type: FileType,
}

impl<'a> Name<'a> {
    pub(crate) fn bytes(self) -> &'a [u8] {
        &self.with_nul[..self.with_nul.len() - 1]
    }

    pub(crate) fn os(self) -> &'a OsStr {
        OsStr::from_bytes(self.bytes())
    }

    pub(crate) fn c_str(self) -> &'a CStr {
        CStr::from_bytes_with_nul(self.with_nul).expect("made from a C string")
    }
}

impl Names {
    /// Reads a directory from its beginning, without `.` and `..`.
    pub(crate) fn read(dir: impl AsFd) -> Result<Names> {
        Ok(Names::read_up_to(dir, usize::MAX)?.expect("no directory has more"))
    }

    /// Reads a directory in the same way, or gives up if it has more than `most` names.
    pub(crate) fn read_up_to(dir: impl AsFd, most: usize) -> Result<Option<Names>> {
        rustix::fs::seek(&dir, rustix::fs::SeekFrom::Start(0))?;
        let mut buffer = Vec::with_capacity(32 * 1024);
        let mut raw = RawDir::new(dir.as_fd(), buffer.spare_capacity_mut());
        let mut names = Names::default();
        while let Some(entry) = raw.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes_with_nul();
            if matches!(name, b".\0" | b"..\0") {
                continue;
            }
            if names.entries.len() == most {
                return Ok(None);
            }
            let start = u32::try_from(names.bytes.len()).map_err(|_| Errno::OVERFLOW)?;
            names.bytes.extend_from_slice(name);
            // A name has at most 255 bytes on every file system of Linux.
            names.entries.push((start, name.len() as u32, entry.file_type()));
        }
        let bytes = &names.bytes;
        names.entries.sort_unstable_by_key(|&(start, len, _)| &bytes[start as usize..(start + len) as usize]);
        Ok(Some(names))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, index: usize) -> Name<'_> {
        let (start, len, file_type) = self.entries[index];
        Name { with_nul: &self.bytes[start as usize..(start + len) as usize], file_type }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Name<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Looks a name up.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Name<'_>> {
        let with_nul = |&(start, len, _): &(u32, u32, FileType)| {
            let name = &self.bytes[start as usize..(start + len) as usize];
            &name[..name.len() - 1]
        };
        self.entries.binary_search_by(|entry| with_nul(entry).cmp(name)).ok().map(|index| self.get(index))
    }
}

/// Reads a symlink's target.
pub(crate) fn read_link(dir: impl AsFd, name: &OsStr) -> Result<Vec<u8>> {
    rustix::fs::readlinkat(dir, name, Vec::with_capacity(256)).map(std::ffi::CString::into_bytes)
}

/// The permission bits of a mode: the low 12.
pub(crate) fn permissions(raw_mode: u32) -> u32 {
    raw_mode & 0o7777
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_by_bytes_and_found() {
        let dir = tempfile::tempdir().unwrap();
        let names: [&[u8]; 5] = [b"a", b"a-", b"a.c", b"b\xff", b"Z"];
        for name in names {
            std::fs::write(dir.path().join(OsStr::from_bytes(name)), "").unwrap();
        }
        let read = Names::read(open_root(dir.path()).unwrap()).unwrap();
        let listed: Vec<&[u8]> = read.iter().map(Name::bytes).collect();
        assert_eq!(listed, [b"Z" as &[u8], b"a", b"a-", b"a.c", b"b\xff"]);
        for name in names {
            assert_eq!(read.find(name).unwrap().bytes(), name);
        }
        assert!(read.find(b"a.").is_none());
        let up_to = |most| Names::read_up_to(open_root(dir.path()).unwrap(), most).unwrap();
        assert_eq!(up_to(5).map(|names| names.len()), Some(5));
        assert!(up_to(4).is_none());
    }

    #[test]
    fn open_below_refuses_to_leave() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        std::os::unix::fs::symlink("in", dir.path().join("link")).unwrap();
        let root = open_root(dir.path()).unwrap();
        assert!(open_below(&root, Path::new("in"), DIRECTORY).is_ok());
        assert!(open_below(&root, Path::new(""), DIRECTORY).is_ok());
        for path in ["link", "link/x", "..", "in/../..", "/"] {
            assert!(open_below(&root, Path::new(path), DIRECTORY).is_err(), "{path}");
        }
    }
}

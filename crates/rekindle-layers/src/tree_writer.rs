//! Making files in a tree: modes, nanosecond mtimes (of directories and symlinks, too), hard links, overlayfs's marks.
//!
//! Everything is made by a name in an open directory below the tree's root, and nothing that exists is replaced, so
//! no symlink is ever written through. A file's bytes are shared with the original where the file system can
//! (reflink), else copied within the kernel; never by a hard link, or a write to the one would change the other.
//! Directories get their mode and mtime at the very end, innermost first, because filling them changes the one and
//! may need the other. Owners, ctimes, atimes and other attributes are not kept.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::AddAssign;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use crate::error::Kind;
use crate::{Error, FileType, Timestamp, Walked, dirfd};

/// What was written into a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Regular files, hard links to one file counted once.
    pub files: u64,
    /// Further names of files already counted.
    pub hard_links: u64,
    /// Directories, without the root.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Bytes of the regular files.
    pub bytes: u64,
    /// Of those, bytes that share their blocks with what they were copied from.
    pub shared_bytes: u64,
}

impl AddAssign for Written {
    fn add_assign(&mut self, more: Written) {
        self.files += more.files;
        self.hard_links += more.hard_links;
        self.directories += more.directories;
        self.symlinks += more.symlinks;
        self.bytes += more.bytes;
        self.shared_bytes += more.shared_bytes;
    }
}

/// A tree that is being written. All paths are relative to its root; the directory of a path must have been made.
pub(crate) struct TreeWriter {
    root: OwnedFd,
    /// For errors.
    root_path: PathBuf,
    /// The directory that is being filled.
    at: (PathBuf, OwnedFd),
    /// All directories made, with the mode and mtime to come.
    directories: BTreeMap<PathBuf, (u32, Timestamp)>,
    /// Where the first name of each hard linked file was written.
    first_names: HashMap<(u64, u64), PathBuf>,
    written: Written,
}

impl TreeWriter {
    /// Begins to write into an existing directory.
    pub(crate) fn new(root: &Path) -> Result<TreeWriter, Error> {
        let open = || dirfd::open_root(root).map_err(|errno| Error::os("open", root, errno));
        Ok(TreeWriter {
            root: open()?,
            root_path: root.to_owned(),
            at: (PathBuf::new(), open()?),
            directories: BTreeMap::new(),
            first_names: HashMap::new(),
            written: Written::default(),
        })
    }

    /// Gives the root its mode and mtime, in the end.
    pub(crate) fn set_root(&mut self, mode: u32, mtime: Timestamp) {
        self.directories.insert(PathBuf::new(), (mode, mtime));
    }

    /// Makes a directory.
    pub(crate) fn directory(&mut self, path: &Path, mode: u32, mtime: Timestamp) -> Result<(), Error> {
        let (dir, name) = self.place(path)?;
        rustix::fs::mkdirat(dir, name, Mode::RWXU)
            .map_err(|errno| self.fail("make the directory", path, errno))?;
        self.directories.insert(path.to_owned(), (mode, mtime));
        self.written.directories += 1;
        Ok(())
    }

    /// Takes over a directory that exists, as if it had been made here, and makes it writable until the end.
    pub(crate) fn adopt_directory(&mut self, path: &Path, mode: u32, mtime: Timestamp) -> Result<(), Error> {
        let (dir, name) = self.place(path)?;
        // The root is named by nothing.
        let name = if name.is_empty() { OsStr::new(".") } else { name };
        rustix::fs::chmodat(dir, name, Mode::RWXU, AtFlags::empty())
            .map_err(|errno| self.fail("change the mode of", path, errno))?;
        self.directories.insert(path.to_owned(), (mode, mtime));
        Ok(())
    }

    /// Whether a directory was made at this path.
    pub(crate) fn has_directory(&self, path: &Path) -> bool {
        self.directories.contains_key(path)
    }

    /// Changes the mtime that a directory made before will get; nothing if there is none.
    pub(crate) fn touch_directory(&mut self, path: &Path, mtime: Timestamp) {
        if let MapEntry::Occupied(mut directory) = self.directories.entry(path.to_owned()) {
            directory.get_mut().1 = mtime;
        }
    }

    /// Copies what a walk is at: whatever it is, to another path, with another mtime. A directory is copied without
    /// what it holds. Hard links to what was copied before are made hard links.
    pub(crate) fn copy(&mut self, from: &Walked<'_>, path: &Path, mtime: Timestamp) -> Result<(), Error> {
        if self.link_again(from, path)? {
            return Ok(());
        }
        let metadata = from.metadata();
        match metadata.file_type {
            FileType::Directory => self.directory(path, metadata.mode, mtime),
            FileType::File => {
                let source = from.open_file()?;
                let file = self.create(path)?;
                if fill(&file, &source).map_err(|error| self.fail("write", path, error))? {
                    self.written.shared_bytes += metadata.size;
                }
                // Writing takes setuid away and moves the mtime, so this comes last.
                set_mode_and_mtime(&file, metadata.mode, mtime)
                    .map_err(|errno| self.fail("set the mode and time of", path, errno))?;
                self.count_file(metadata.size);
                Ok(())
            }
            FileType::Symlink => self.symlink(path, from.read_link()?.as_os_str(), mtime),
            _ => self.special(from, path, mtime),
        }
    }

    /// Makes a hard link, if what the walk is at is one to something that was written before; else remembers it as
    /// written at this path.
    pub(crate) fn link_again(&mut self, from: &Walked<'_>, path: &Path) -> Result<bool, Error> {
        let Some(id) = from.metadata().hard_link_id() else { return Ok(false) };
        let Some(first) = self.first_names.get(&id).cloned() else {
            self.first_names.insert(id, path.to_owned());
            return Ok(false);
        };
        let first_dir = self.open_directory(first.parent().unwrap_or(Path::new("")))?;
        let (dir, name) = self.place(path)?;
        rustix::fs::linkat(&first_dir, first.file_name().unwrap_or_default(), dir, name, AtFlags::empty())
            .map_err(|errno| self.fail("link", path, errno))?;
        self.written.hard_links += 1;
        Ok(true)
    }

    /// Makes an empty file.
    pub(crate) fn create(&mut self, path: &Path) -> Result<File, Error> {
        let (dir, name) = self.place(path)?;
        create(dir, name).map_err(|errno| self.fail("create", path, errno))
    }

    /// Counts a file that was made and filled.
    pub(crate) fn count_file(&mut self, size: u64) {
        self.written.files += 1;
        self.written.bytes += size;
    }

    /// Makes a symlink.
    pub(crate) fn symlink(&mut self, path: &Path, target: &OsStr, mtime: Timestamp) -> Result<(), Error> {
        let (dir, name) = self.place(path)?;
        symlink(dir, name, target, mtime).map_err(|errno| self.fail("make the symlink", path, errno))?;
        self.written.symlinks += 1;
        Ok(())
    }

    /// Makes a pipe or a socket like the one that the walk is at.
    pub(crate) fn special(&mut self, from: &Walked<'_>, path: &Path, mtime: Timestamp) -> Result<(), Error> {
        let kind = match from.metadata().file_type {
            FileType::Fifo => rustix::fs::FileType::Fifo,
            FileType::Socket => rustix::fs::FileType::Socket,
            _ => {
                let reason = "a device, which cannot be written out";
                return Err(Kind::Layer { path: from.path().to_owned(), reason }.into());
            }
        };
        let mode = Mode::from_raw_mode(from.metadata().mode);
        let (dir, name) = self.place(path)?;
        rustix::fs::mknodat(dir, name, kind, Mode::RUSR | Mode::WUSR, 0)
            .and_then(|()| rustix::fs::chmodat(dir, name, mode, AtFlags::empty()))
            .and_then(|()| set_mtime(dir, name, mtime))
            .map_err(|errno| self.fail("make", path, errno))
    }

    /// Makes a whiteout: whatever the layers below have there is hidden. Must come after [`TreeWriter::opaque`].
    pub(crate) fn whiteout(&mut self, path: &Path) -> Result<(), Error> {
        let (dir, name) = self.place(path)?;
        if let Err(errno) = mark_copied_up(dir) {
            return Err(self.fail("set an attribute of the directory of", path, errno));
        }
        // This one device may be made without privilege, since Linux 5.8; but not on an overlay.
        match rustix::fs::mknodat(dir, name, rustix::fs::FileType::CharacterDevice, Mode::empty(), 0) {
            Err(Errno::PERM) => whiteout_by_attribute(dir, name),
            other => other,
        }
        .map_err(|errno| self.fail("make a whiteout at", path, errno))
    }

    /// Makes a directory opaque: nothing that the layers below have in it shows.
    pub(crate) fn opaque(&mut self, path: &Path) -> Result<(), Error> {
        let dir = self.open_directory(path)?;
        rustix::fs::fsetxattr(dir, "user.overlay.opaque", b"y", XattrFlags::empty())
            .map_err(|errno| self.fail("set an attribute of", path, errno))
    }

    /// Gives all directories their modes and mtimes; the tree is complete then.
    pub(crate) fn finish(self) -> Result<Written, Error> {
        // A directory comes before what it holds.
        for (path, &(mode, mtime)) in self.directories.iter().rev() {
            let dir = self.open_directory(path)?;
            set_mode_and_mtime(dir, mode, mtime)
                .map_err(|errno| self.fail("set the mode and time of", path, errno))?;
        }
        Ok(self.written)
    }

    /// Opens a directory that was made before.
    pub(crate) fn open_directory(&self, path: &Path) -> Result<OwnedFd, Error> {
        dirfd::open_below(&self.root, path, dirfd::DIRECTORY).map_err(|errno| self.fail("open", path, errno))
    }

    /// The directory that holds a path, and the name in it. Many names of one directory follow each other.
    fn place<'a>(&mut self, path: &'a Path) -> Result<(&OwnedFd, &'a OsStr), Error> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if parent != self.at.0 {
            self.at = (parent.to_owned(), self.open_directory(parent)?);
        }
        Ok((&self.at.1, path.file_name().unwrap_or_default()))
    }

    /// Where a path of the tree is, for errors.
    pub(crate) fn full_path(&self, path: &Path) -> PathBuf {
        self.root_path.join(path)
    }

    /// The error for a path of the tree.
    pub(crate) fn fail(&self, doing: &'static str, path: &Path, error: impl Into<io::Error>) -> Error {
        Error::os(doing, self.full_path(path), error)
    }
}

/// Has the kernel look for whiteouts in a directory also where no other layer has it. Otherwise it lists their names there,
/// which nobody can open.
fn mark_copied_up(dir: &OwnedFd) -> rustix::io::Result<()> {
    match rustix::fs::fsetxattr(dir, "user.overlay.origin", b"", XattrFlags::empty()) {
        // No overlay can be mounted on such a file system.
        Err(Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

/// Makes a whiteout of the kind that needs no device. Its directory has to say that there may be such.
fn whiteout_by_attribute(dir: &OwnedFd, name: &OsStr) -> rustix::io::Result<()> {
    let mut value = [0; 1];
    if rustix::fs::fgetxattr(dir, "user.overlay.opaque", &mut value[..]).is_ok() && value == *b"y" {
        return Ok(());
    }
    rustix::fs::fsetxattr(dir, "user.overlay.opaque", b"x", XattrFlags::empty())?;
    rustix::fs::fsetxattr(create(dir, name)?, "user.overlay.whiteout", b"y", XattrFlags::empty())
}

/// Makes an empty file in a directory.
pub(crate) fn create(dir: impl AsFd, name: &OsStr) -> rustix::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

/// Makes a symlink in a directory.
pub(crate) fn symlink(
    dir: impl AsFd,
    name: &OsStr,
    target: &OsStr,
    mtime: Timestamp,
) -> rustix::io::Result<()> {
    rustix::fs::symlinkat(target, &dir, name)?;
    set_mtime(dir, name, mtime)
}

/// Fills an empty file with the bytes of another. Returns whether they share their blocks.
pub(crate) fn fill(file: &File, source: &File) -> io::Result<bool> {
    if rustix::fs::ioctl_ficlone(file, source).is_ok() {
        return Ok(true);
    }
    copy(source, file).map(|()| false)
}

/// Sets the mode and the mtime of an open file or directory.
pub(crate) fn set_mode_and_mtime(file: impl AsFd, mode: u32, mtime: Timestamp) -> rustix::io::Result<()> {
    rustix::fs::futimens(&file, &mtime.as_mtime())?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode))
}

fn set_mtime(dir: impl AsFd, name: &OsStr, mtime: Timestamp) -> rustix::io::Result<()> {
    rustix::fs::utimensat(dir, name, &mtime.as_mtime(), AtFlags::SYMLINK_NOFOLLOW)
}

/// Copies all of `source`, within the kernel where it can.
fn copy(source: &File, dest: &File) -> io::Result<()> {
    const MOST: usize = 1 << 30;
    let mut copied = 0_u64;
    loop {
        match rustix::fs::copy_file_range(source, None, dest, None, MOST) {
            Ok(0) => return Ok(()),
            Ok(count) => copied += count as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM)
                if copied == 0 =>
            {
                break;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    let (mut source, mut dest) = (source, dest);
    io::copy(&mut source, &mut dest).map(|_| ())
}

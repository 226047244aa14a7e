//! Removing whatever a build may have left: read-only and unreadable directories, trees thousands of levels deep.
//!
//! Works downwards by descriptors, never follows a symlink and never enters a mount: `openat2` sees to both at the
//! moment of opening. A directory that cannot be read gets its owner's permissions first. Descriptors are held for
//! a bounded number of levels; a directory below that is moved up to the top of the tree and removed from there, so
//! neither the stack nor the number of descriptors limits the depth.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use crate::Error;
use crate::dirfd::{self, Names};
use crate::error::Kind;

/// How many levels below the top are held open at once.
const LEVELS: usize = 64;

/// Removes a file or a whole tree, whatever its modes and however deep. Nothing at `path` is success.
///
/// `path` itself may be a symlink, which is removed, not followed. On an error part of the tree may be gone.
pub fn remove_tree(path: &Path) -> Result<(), Error> {
    let name = path.file_name().ok_or_else(|| Error::os("remove", path, Errno::INVAL))?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let parent = match dirfd::open_root(parent) {
        Ok(parent) => parent,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(Error::os("open", parent, errno)),
    };
    Removal { path, levels: Vec::new(), moved: 0 }.run(&parent, name)
}

struct Removal<'a> {
    path: &'a Path,
    levels: Vec<Level>,
    /// How many directories were moved up, for their names.
    moved: u64,
}

/// A directory that is being emptied.
struct Level {
    fd: OwnedFd,
    /// Its name in the level above.
    name: OsString,
    /// Directories in it that are still there.
    directories: Vec<OsString>,
}

impl Removal<'_> {
    fn run(mut self, parent: &OwnedFd, name: &OsStr) -> Result<(), Error> {
        if self.unlink(parent, name)? {
            return Ok(());
        }
        self.levels.extend(self.enter(parent, name)?);
        while let Some(level) = self.levels.last_mut() {
            if let Some(name) = level.directories.pop() {
                if self.levels.len() < LEVELS || !self.move_up(&name)? {
                    let above = &self.levels.last().expect("just looked at").fd;
                    let inner = self.enter(above, &name)?;
                    self.levels.extend(inner);
                }
                continue;
            }
            let done = self.levels.pop().expect("just looked at");
            let above = self.levels.last().map_or(parent, |level| &level.fd);
            match rustix::fs::unlinkat(above, &done.name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::BUSY) => return Err(Kind::MountPoint { path: self.at(&done.name) }.into()),
                Err(errno) => return Err(Error::os("remove", self.at(&done.name), errno)),
            }
        }
        Ok(())
    }

    /// Unlinks what is not a directory; false if it is one.
    fn unlink(&self, dir: &OwnedFd, name: &OsStr) -> Result<bool, Error> {
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::ISDIR) => Ok(false),
            Err(Errno::BUSY) => Err(Kind::MountPoint { path: self.at(name) }.into()),
            Err(errno) => Err(Error::os("remove", self.at(name), errno)),
        }
    }

    /// Opens a directory and removes all in it but directories; `None` if it is gone.
    fn enter(&self, above: &OwnedFd, name: &OsStr) -> Result<Option<Level>, Error> {
        let fail = |errno| Error::os("remove", self.at(name), errno);
        let fd = match self.open(above, name)? {
            Some(fd) => fd,
            None => return Ok(None),
        };
        let names = Names::read(&fd).map_err(fail)?;
        let mut directories = Vec::new();
        let mut writable = false;
        for name in names.iter() {
            if name.file_type == FileType::Directory {
                directories.push(name.os().to_owned());
                continue;
            }
            // Most directories can be written to, so ask only when one cannot.
            let mut removed = self.unlink(&fd, name.os());
            if removed.is_err() && !writable {
                rustix::fs::fchmod(&fd, Mode::RWXU).map_err(fail)?;
                writable = true;
                removed = self.unlink(&fd, name.os());
            }
            if !removed? {
                directories.push(name.os().to_owned());
            }
        }
        if !directories.is_empty() && !writable {
            let stat = rustix::fs::fstat(&fd).map_err(fail)?;
            if stat.st_mode & 0o300 != 0o300 {
                rustix::fs::fchmod(&fd, Mode::RWXU).map_err(fail)?;
            }
        }
        Ok(Some(Level { fd, name: name.to_owned(), directories }))
    }

    /// Opens a directory for reading, with its owner's permissions if it must be; `None` if it is gone.
    fn open(&self, above: &OwnedFd, name: &OsStr) -> Result<Option<OwnedFd>, Error> {
        let open = |flags| {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
            match rustix::fs::openat2(above, name, flags, Mode::empty(), resolve) {
                Ok(fd) => Ok(Some(fd)),
                Err(Errno::NOENT) => Ok(None),
                Err(Errno::XDEV) => Err(Kind::MountPoint { path: self.at(name) }.into()),
                Err(errno) => Err(Error::os("remove", self.at(name), errno)),
            }
        };
        let readable = open(dirfd::DIRECTORY);
        if readable.as_ref().is_err_and(Error::is_denied) {
            let handle = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Some(handle) = open(handle)? else { return Ok(None) };
            // The descriptor's own name, because changing the mode by the directory's name could follow a symlink.
            let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
            rustix::fs::chmod(path, Mode::RWXU).map_err(|errno| Error::os("remove", self.at(name), errno))?;
            return open(dirfd::DIRECTORY);
        }
        readable
    }

    /// Moves a directory of the innermost level up to the top; false if that cannot be done.
    fn move_up(&mut self, name: &OsStr) -> Result<bool, Error> {
        let innermost = &self.levels.last().expect("called for a level").fd;
        // Moving a directory changes it, its `..`, so its own permissions count.
        if self.open(innermost, name)?.is_none_or(|fd| rustix::fs::fchmod(fd, Mode::RWXU).is_err()) {
            return Ok(false);
        }
        let innermost = &self.levels.last().expect("called for a level").fd;
        loop {
            let free = OsString::from(format!(".removed-{}", self.moved));
            self.moved += 1;
            match rustix::fs::renameat_with(
                innermost,
                name,
                &self.levels[0].fd,
                &free,
                RenameFlags::NOREPLACE,
            ) {
                Ok(()) => {
                    self.levels[0].directories.push(free);
                    return Ok(true);
                }
                Err(Errno::EXIST) => {}
                Err(_) => return Ok(false),
            }
        }
    }

    /// The path of a name in the innermost level, for errors.
    fn at(&self, name: &OsStr) -> PathBuf {
        let mut names = self.levels.iter().map(|level| &*level.name).chain([name]);
        names.next();
        names.fold(self.path.to_owned(), |path, name| path.join(name))
    }
}

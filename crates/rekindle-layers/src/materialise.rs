//! Writing a view out as a plain directory, exactly: modes, nanosecond mtimes (of directories and symlinks, too),
//! hard links; on request with byte strings replaced.
//!
//! A file's bytes are shared with the layer where the file system can (reflink), else copied within the kernel. A
//! file is read only if there is something to replace, and written anew only if it holds it. Directories get their
//! mode and mtime at the very end, innermost first, because filling them changes the one and may need the other.
//! Owners, ctimes, atimes and attributes are not kept.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::error::Kind;
use crate::rewrite::Rewriter;
use crate::{Error, FileType, Metadata, Timestamp, View, Walked, dirfd};

/// How to write a view out.
#[derive(Clone, Debug, Default)]
pub struct MaterialiseOptions {
    /// Byte strings to replace in contents, link targets and names. Where several match, the leftmost wins, then the
    /// first listed; what was replaced is not looked at again.
    pub substitute: Vec<Substitution>,
}

/// A byte string and its replacement, of the same length, not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substitution {
    /// What to look for.
    pub from: Vec<u8>,
    /// What to write instead.
    pub to: Vec<u8>,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Materialised {
    /// Regular files, each hard link group counted once.
    pub files: u64,
    /// Further names of files already written.
    pub hard_links: u64,
    /// Directories, the root included.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Bytes of the regular files.
    pub bytes: u64,
    /// Of those, bytes that share their blocks with the layer.
    pub shared_bytes: u64,
    /// Where a substitution applied, in the order of the walk.
    pub hits: Vec<Hit>,
}

/// A place where a substitution applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The path in the view, before substitution; the first one of hard links.
    pub path: PathBuf,
    /// In which part of it.
    pub place: HitPlace,
    /// How many replacements were made there.
    pub count: u64,
}

/// The part of a file that a substitution applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HitPlace {
    /// Its last name.
    Name,
    /// The bytes of a regular file.
    Content,
    /// The target of a symlink.
    Target,
}

/// Writes the view out at `dest`, which must not exist. The name of `dest` itself is never substituted.
///
/// On an error, what was written so far stays for the caller to remove.
pub fn materialise(view: &View, dest: &Path, options: &MaterialiseOptions) -> Result<Materialised, Error> {
    let rewriter = Rewriter::new(&options.substitute)?;
    let name = dest.file_name().ok_or_else(|| Error::os("write", dest, Errno::INVAL))?;
    let parent = dest.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent_fd = dirfd::open_root(parent).map_err(|errno| Error::os("open", parent, errno))?;
    let mut writer = Writer {
        rewriter,
        dest,
        root: None,
        at: Target { view_path: PathBuf::new(), path: PathBuf::new(), fd: parent_fd },
        directories: Vec::new(),
        written: HashMap::new(),
        done: Materialised::default(),
    };
    view.walk(|walked| {
        if walked.path().as_os_str().is_empty() {
            writer.write(walked, name)
        } else {
            writer.step_into_parent(walked.path())?;
            let name = writer.substituted_name(walked)?;
            writer.write(walked, &name)
        }
    })?;
    writer.finish_directories()?;
    Ok(writer.done)
}

struct Writer<'a> {
    rewriter: Rewriter<'a>,
    dest: &'a Path,
    /// The directory at `dest`.
    root: Option<OwnedFd>,
    /// The directory that is being filled; at first the one that holds `dest`.
    at: Target,
    /// All directories made: path below `dest`, mode and mtime to come.
    directories: Vec<(PathBuf, u32, Timestamp)>,
    /// Where the first name of each hard linked file was written.
    written: HashMap<(u64, u64), (PathBuf, OsString)>,
    done: Materialised,
}

struct Target {
    view_path: PathBuf,
    /// Relative to `dest`, substituted.
    path: PathBuf,
    fd: OwnedFd,
}

impl Writer<'_> {
    /// Makes the directory of a path the one that is filled. The walk stays in one directory for all its names.
    fn step_into_parent(&mut self, path: &Path) -> Result<(), Error> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if parent == self.at.view_path {
            return Ok(());
        }
        let mut substituted = PathBuf::new();
        for name in parent {
            substituted.push(self.rewritten(name).1);
        }
        let fd = self.open_directory(&substituted)?;
        self.at = Target { view_path: parent.to_owned(), path: substituted, fd };
        Ok(())
    }

    fn open_directory(&self, path: &Path) -> Result<OwnedFd, Error> {
        let root = self.root.as_ref().expect("the walk begins with the root");
        dirfd::open_below(root, path, dirfd::DIRECTORY)
            .map_err(|errno| Error::os("open", self.dest.join(path), errno))
    }

    fn rewritten(&self, name: &OsStr) -> (u64, OsString) {
        let mut bytes = name.as_bytes().to_vec();
        let count = self.rewriter.rewrite_all(&mut bytes);
        (count, OsString::from_vec(bytes))
    }

    fn substituted_name(&mut self, walked: &Walked<'_>) -> Result<OsString, Error> {
        let (count, name) = self.rewritten(walked.name());
        if count > 0 {
            if matches!(name.as_bytes(), b"." | b"..")
                || name.as_bytes().iter().any(|byte| b"/\0".contains(byte))
            {
                let reason = "what cannot be a name";
                return Err(Kind::Renamed { path: walked.path().to_owned(), reason }.into());
            }
            self.hit(walked, HitPlace::Name, count);
        }
        Ok(name)
    }

    fn write(&mut self, walked: &Walked<'_>, name: &OsStr) -> Result<(), Error> {
        let metadata = walked.metadata();
        if let Some(id) = metadata.hard_link_id() {
            if let Some((dir, first)) = self.written.get(&id) {
                let from = self.open_directory(dir)?;
                rustix::fs::linkat(&from, first, &self.at.fd, name, AtFlags::empty())
                    .map_err(|errno| self.fail("link", name, errno))?;
                self.done.hard_links += 1;
                return Ok(());
            }
            // A root that is no directory has no second name in the view.
            if self.root.is_some() {
                self.written.insert(id, (self.at.path.clone(), name.to_owned()));
            }
        }
        match metadata.file_type {
            FileType::Directory => self.make_directory(metadata, name),
            FileType::File => self.write_file(walked, name),
            FileType::Symlink => self.write_symlink(walked, name),
            FileType::Fifo => self.make_node(metadata, name, rustix::fs::FileType::Fifo),
            FileType::Socket => self.make_node(metadata, name, rustix::fs::FileType::Socket),
            FileType::Device => {
                let reason = "a device, which cannot be written out";
                Err(Kind::Layer { path: walked.path().to_owned(), reason }.into())
            }
        }
    }

    fn make_directory(&mut self, metadata: &Metadata, name: &OsStr) -> Result<(), Error> {
        rustix::fs::mkdirat(&self.at.fd, name, Mode::RWXU)
            .map_err(|errno| self.fail("make the directory", name, errno))?;
        let path = match self.root {
            Some(_) => self.at.path.join(name),
            None => {
                let fd = dirfd::open_name(&self.at.fd, name, dirfd::DIRECTORY);
                self.root = Some(fd.map_err(|errno| self.fail("open", name, errno))?);
                self.at.fd = self.open_directory(Path::new(""))?;
                PathBuf::new()
            }
        };
        self.directories.push((path, metadata.mode, metadata.mtime));
        self.done.directories += 1;
        Ok(())
    }

    fn write_symlink(&mut self, walked: &Walked<'_>, name: &OsStr) -> Result<(), Error> {
        let mut target = walked.read_link()?.into_os_string().into_vec();
        let count = self.rewriter.rewrite_all(&mut target);
        if count > 0 {
            self.hit(walked, HitPlace::Target, count);
        }
        rustix::fs::symlinkat(OsStr::from_bytes(&target), &self.at.fd, name)
            .map_err(|errno| self.fail("make the symlink", name, errno))?;
        self.done.symlinks += 1;
        self.set_mtime(walked.metadata(), name)
    }

    fn make_node(
        &mut self,
        metadata: &Metadata,
        name: &OsStr,
        kind: rustix::fs::FileType,
    ) -> Result<(), Error> {
        rustix::fs::mknodat(&self.at.fd, name, kind, Mode::RUSR | Mode::WUSR, 0)
            .and_then(|()| {
                let mode = Mode::from_raw_mode(metadata.mode);
                rustix::fs::chmodat(&self.at.fd, name, mode, AtFlags::empty())
            })
            .map_err(|errno| self.fail("make", name, errno))?;
        self.set_mtime(metadata, name)
    }

    fn set_mtime(&self, metadata: &Metadata, name: &OsStr) -> Result<(), Error> {
        rustix::fs::utimensat(&self.at.fd, name, &metadata.mtime.as_mtime(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| self.fail("set the time of", name, errno))
    }

    fn write_file(&mut self, walked: &Walked<'_>, name: &OsStr) -> Result<(), Error> {
        let metadata = walked.metadata();
        let source = walked.open_file()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.at.fd, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| self.fail("create", name, errno))?;
        let file = File::from(file);
        let count = self.rewriter.copy(&source, &file);
        let count = count.map_err(|error| self.fail("write", name, error))?;
        if count > 0 {
            self.hit(walked, HitPlace::Content, count);
        } else if rustix::fs::ioctl_ficlone(&file, &source).is_ok() {
            self.done.shared_bytes += metadata.size;
        } else {
            copy(&source, &file).map_err(|error| self.fail("write", name, error))?;
        }
        // Writing takes setuid away and moves the mtime, so these come last.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(metadata.mode))
            .and_then(|()| rustix::fs::futimens(&file, &metadata.mtime.as_mtime()))
            .map_err(|errno| self.fail("set the mode and time of", name, errno))?;
        self.done.files += 1;
        self.done.bytes += metadata.size;
        Ok(())
    }

    fn finish_directories(&mut self) -> Result<(), Error> {
        for (path, mode, mtime) in self.directories.iter().rev() {
            let fd = self.open_directory(path)?;
            rustix::fs::futimens(&fd, &mtime.as_mtime())
                .and_then(|()| rustix::fs::fchmod(&fd, Mode::from_raw_mode(*mode)))
                .map_err(|errno| Error::os("set the mode and time of", self.dest.join(path), errno))?;
        }
        Ok(())
    }

    fn hit(&mut self, walked: &Walked<'_>, place: HitPlace, count: u64) {
        self.done.hits.push(Hit { path: walked.path().to_owned(), place, count });
    }

    /// The error for a name in the directory that is being filled.
    fn fail(&self, doing: &'static str, name: &OsStr, error: impl Into<std::io::Error>) -> Error {
        let path = match self.root {
            Some(_) => self.dest.join(&self.at.path).join(name),
            None => self.dest.to_owned(),
        };
        Error::os(doing, path, error)
    }
}

/// Copies all of `source`, within the kernel where it can.
fn copy(source: &File, dest: &File) -> std::io::Result<()> {
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
    std::io::copy(&mut source, &mut dest).map(|_| ())
}

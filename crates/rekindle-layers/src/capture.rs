//! Source directories as layers: what a manifest lists, or only what differs from an earlier one.
//!
//! A build must see the same whoever's directory it is and wherever it lies: modes are canonical (0755, 0644 for files
//! that are not executable) and all times are one. What is written is exactly what the manifest says: each file's
//! digest is computed from the bytes on their way into the layer and compared. A file that was changed since the scan
//! is an error that says so; the caller scans again.
//!
//! Directories are made first and finished last, by one thread; the files between are spread over all.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use rustix::io::Errno;

use crate::error::Kind;
use crate::tree_writer::{self, TreeWriter};
use crate::{ChangeKind, Digest, Draft, Entry, EntryKind, Error, Manifest, Timestamp, Written, dirfd};

const DIRECTORY_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;
const PROGRAM_MODE: u32 = 0o755;

/// How many files a thread takes at a time. Each look for more costs little, and files differ much in size.
const SHARE: usize = 64;
const BUFFER: usize = 128 * 1024;

/// What a capture wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// What is now in the layer; its directories include those that only lead to something.
    pub written: Written,
    /// Names that are hidden now; a directory counts once.
    pub removed: u64,
}

/// Writes the sources of `root` that `manifest` lists into the empty `draft`, at the relative path `at`.
///
/// With `previous`, the manifest of the sources that the layers below have at `at`, only what differs from it: the
/// layer then has to lie on those. Every mtime in the layer is exactly `mtime`, and so is that of the directories that
/// lead to `at`, which have mode 0755 like all others.
///
/// Fails with [`Error::is_unsteady`] if a file is no longer what the manifest says; the layer is of no use then.
pub fn capture_source(
    root: &Path,
    manifest: &Manifest,
    previous: Option<&Manifest>,
    draft: &Draft,
    at: &Path,
    mtime: Timestamp,
) -> Result<Captured, Error> {
    if !dirfd::is_plain_relative(at) {
        return Err(Kind::NotInView { path: at.to_owned() }.into());
    }
    let plan = match previous {
        None => Plan::whole(manifest),
        Some(previous) => Plan::changes(previous, manifest),
    };
    let mut tree = TreeWriter::new(draft.upper())?;
    tree.set_root(DIRECTORY_MODE, mtime);
    let inside = |path: &Path| dirfd::join(at, path);
    for path in &plan.directories {
        make_directories(&mut tree, &inside(path), mtime)?;
    }
    for path in &plan.opaque {
        tree.opaque(&inside(path))?;
    }
    for path in plan.leaves.iter().map(|leaf| &leaf.path).chain(&plan.whiteouts) {
        make_directories(&mut tree, inside(path).parent().unwrap_or(at), mtime)?;
    }
    for path in &plan.whiteouts {
        tree.whiteout(&inside(path))?;
    }
    let root_fd = dirfd::open_root(root).map_err(|errno| Error::os("open", root, errno))?;
    let copier = Copier { root, root_fd, tree: &tree, at, mtime, reflink: AtomicBool::new(true) };
    let mut written = copier.copy_all(&plan.leaves)?;
    written += tree.finish()?;
    Ok(Captured { written, removed: plan.whiteouts.len() as u64 })
}

/// Makes a directory, and those that lead to it, where they were not made before.
fn make_directories(tree: &mut TreeWriter, path: &Path, mtime: Timestamp) -> Result<(), Error> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !tree.has_directory(path)).collect();
    missing.into_iter().rev().try_for_each(|path| tree.directory(path, DIRECTORY_MODE, mtime))
}

/// What has to be written; all paths relative to the sources' root.
#[derive(Default)]
struct Plan<'a> {
    /// Those that only lead to something may be missing.
    directories: Vec<PathBuf>,
    /// Of the directories, those that take the place of something else.
    opaque: Vec<PathBuf>,
    whiteouts: Vec<PathBuf>,
    /// Files and symlinks, those of a directory mostly together.
    leaves: Vec<Entry<'a>>,
}

impl<'a> Plan<'a> {
    fn whole(manifest: &'a Manifest) -> Plan<'a> {
        let mut plan = Plan { directories: vec![PathBuf::new()], ..Plan::default() };
        manifest.entries().for_each(|entry| plan.add(entry));
        plan
    }

    fn changes(previous: &Manifest, manifest: &'a Manifest) -> Plan<'a> {
        let mut plan = Plan::default();
        for change in previous.changes(manifest) {
            match manifest.get(&change.path) {
                Some(entry) => {
                    let replaces = change.kind == ChangeKind::Changed;
                    if replaces && matches!(entry.kind, EntryKind::Directory { .. }) {
                        plan.opaque.push(change.path);
                    }
                    plan.add(entry);
                }
                // What was in a directory that is gone is gone with it.
                None if is_directory(manifest, change.path.parent()) => plan.whiteouts.push(change.path),
                None => {}
            }
        }
        plan
    }

    fn add(&mut self, entry: Entry<'a>) {
        match entry.kind {
            EntryKind::Directory { .. } => self.directories.push(entry.path),
            EntryKind::File { .. } | EntryKind::Symlink { .. } => self.leaves.push(entry),
        }
    }
}

fn is_directory(manifest: &Manifest, path: Option<&Path>) -> bool {
    path.is_none_or(|path| {
        path.as_os_str().is_empty()
            || manifest.get(path).is_some_and(|entry| matches!(entry.kind, EntryKind::Directory { .. }))
    })
}

/// Copies files and symlinks into directories that are there.
struct Copier<'a> {
    root: &'a Path,
    root_fd: OwnedFd,
    tree: &'a TreeWriter,
    at: &'a Path,
    mtime: Timestamp,
    /// Until a file shows that it cannot be.
    reflink: AtomicBool,
}

/// A directory of the sources, and where it is written.
struct Place<'a> {
    path: &'a Path,
    source: OwnedFd,
    dest: OwnedFd,
}

impl Copier<'_> {
    fn copy_all(&self, leaves: &[Entry<'_>]) -> Result<Written, Error> {
        let shares: Vec<_> = leaves.par_chunks(SHARE).map(|share| self.copy_share(share)).collect();
        let mut written = Written::default();
        let mut failure: Option<Error> = None;
        for share in shares {
            match share {
                Ok(more) => written += more,
                // The error at the smallest path, so that the same tree gives the same error.
                Err(error) if failure.as_ref().is_none_or(|other| error.path() < other.path()) => {
                    failure = Some(error);
                }
                Err(_) => {}
            }
        }
        failure.map_or(Ok(written), Err)
    }

    fn copy_share(&self, leaves: &[Entry<'_>]) -> Result<Written, Error> {
        let mut written = Written::default();
        let mut buffer = vec![0; BUFFER];
        let mut place: Option<Place<'_>> = None;
        for leaf in leaves {
            let parent = leaf.path.parent().unwrap_or(Path::new(""));
            let place = match place.take() {
                Some(same) if same.path == parent => place.insert(same),
                _ => place.insert(self.place(parent)?),
            };
            match leaf.kind {
                EntryKind::File { size, executable, digest } => {
                    let shared = self.copy_file(place, leaf, (size, digest), executable, &mut buffer)?;
                    written.files += 1;
                    written.bytes += size;
                    written.shared_bytes += if shared { size } else { 0 };
                }
                EntryKind::Symlink { target } => {
                    self.copy_symlink(place, leaf, target.as_bytes())?;
                    written.symlinks += 1;
                }
                EntryKind::Directory { .. } => {}
            }
        }
        Ok(written)
    }

    fn place<'p>(&self, path: &'p Path) -> Result<Place<'p>, Error> {
        let source = dirfd::open_below(&self.root_fd, path, dirfd::DIRECTORY)
            .map_err(|errno| self.refused("open the directory", path, errno))?;
        Ok(Place { path, source, dest: self.tree.open_directory(&dirfd::join(self.at, path))? })
    }

    /// Copies a file; true if it shares its blocks with the original.
    fn copy_file(
        &self,
        place: &Place<'_>,
        leaf: &Entry<'_>,
        expected: (u64, Digest),
        executable: bool,
        buffer: &mut [u8],
    ) -> Result<bool, Error> {
        let name = leaf.path.file_name().unwrap_or_default();
        let source = dirfd::open_name(&place.source, name, dirfd::FILE)
            .map_err(|errno| self.refused("open", &leaf.path, errno))?;
        let source = File::from(source);
        let file =
            tree_writer::create(&place.dest, name).map_err(|errno| self.fail("create", leaf, errno))?;
        let shared = self.share_blocks(&file, &source);
        let got = if shared {
            // Nobody can write to this one any more.
            pass(&file, io::sink(), expected.0, buffer)
        } else {
            pass(&source, &file, expected.0, buffer)
        };
        let got = got.map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::ISDIR) => self.unsteady(&leaf.path),
            _ => self.fail("copy into", leaf, error),
        })?;
        if got != Some(expected) {
            return Err(self.unsteady(&leaf.path));
        }
        let mode = if executable { PROGRAM_MODE } else { FILE_MODE };
        tree_writer::set_mode_and_mtime(&file, mode, self.mtime)
            .map_err(|errno| self.fail("set the mode and time of", leaf, errno))?;
        Ok(shared)
    }

    fn share_blocks(&self, file: &File, source: &File) -> bool {
        if !self.reflink.load(Ordering::Relaxed) {
            return false;
        }
        match rustix::fs::ioctl_ficlone(file, source) {
            Ok(()) => true,
            Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::NOTTY | Errno::NOSYS) => {
                self.reflink.store(false, Ordering::Relaxed);
                false
            }
            Err(_) => false,
        }
    }

    fn copy_symlink(&self, place: &Place<'_>, leaf: &Entry<'_>, expected: &[u8]) -> Result<(), Error> {
        let name = leaf.path.file_name().unwrap_or_default();
        let target = dirfd::read_link(&place.source, name)
            .map_err(|errno| self.refused("read the symlink", &leaf.path, errno))?;
        if target != expected {
            return Err(self.unsteady(&leaf.path));
        }
        tree_writer::symlink(&place.dest, name, OsStr::from_bytes(&target), self.mtime)
            .map_err(|errno| self.fail("make the symlink", leaf, errno))
    }

    /// The error for something of the sources that could not be used.
    fn refused(&self, doing: &'static str, path: &Path, errno: Errno) -> Error {
        match errno {
            // Gone, or of another kind: no directory, a symlink, no symlink.
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::INVAL | Errno::NXIO => self.unsteady(path),
            errno => Error::os(doing, self.root.join(path), errno),
        }
    }

    fn unsteady(&self, path: &Path) -> Error {
        Kind::Unsteady { path: self.root.join(path) }.into()
    }

    /// The error for something that could not be written.
    fn fail(&self, doing: &'static str, leaf: &Entry<'_>, error: impl Into<io::Error>) -> Error {
        self.tree.fail(doing, &dirfd::join(self.at, &leaf.path), error)
    }
}

/// Reads a file, writes what was read, and returns its length and digest; `None` if it is longer than `size`.
fn pass(
    mut from: &File,
    mut to: impl Write,
    size: u64,
    buffer: &mut [u8],
) -> io::Result<Option<(u64, Digest)>> {
    let mut hasher = blake3::Hasher::new();
    let mut length = 0;
    loop {
        let count = match from.read(buffer) {
            Ok(0) => return Ok(Some((length, hasher.finalize().into()))),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        length += count as u64;
        // It may be growing faster than it is read.
        if length > size {
            return Ok(None);
        }
        hasher.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
    }
}

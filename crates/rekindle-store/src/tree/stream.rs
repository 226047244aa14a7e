//! Turns a tree into its archive, and does something to its files on the way: nothing, copies them, or seals them.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rekindle_nix::nar::Writer;
use rekindle_nix::{Hash, HashAlgo, Hasher};
use rustix::fs::{CWD, Mode, OFlags};

use super::pump::Pump;
use super::{EntryKind, Tree, below, kind_of};
use crate::error::{At, Error, Result};
use crate::seal::{file_mode, is_executable, seal_created, seal_directory, seal_file, seal_symlink};

/// What an archive is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NarDigest {
    /// Its SHA-256 hash.
    pub hash: Hash,
    /// Its size in bytes.
    pub size: u64,
}

/// What is done to the files while they are read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect<'a> {
    /// Nothing.
    Read,
    /// They are copied, sealed, to this path, where nothing is yet.
    Copy(&'a Path),
    /// They are sealed where they are, even if that needs permissions to be given first.
    Seal,
}

/// Writes the archive of `tree` to `sink`, and returns its digest.
///
/// Directories that are sealed are so from the bottom up and when all else is done, the root not at all: it has to be
/// writable to be moved. A file that is not what the tree says is an error that names it.
pub(crate) fn stream(tree: &Tree, effect: Effect<'_>, sink: &mut dyn Write) -> Result<NarDigest> {
    let work = Work::new(tree, effect)?;
    work.make_directories()?;
    let files: Vec<&Path> = tree
        .nodes()
        .iter()
        .filter(|node| node.kind == EntryKind::File)
        .map(|node| node.path.as_path())
        .collect();
    let digest = std::thread::scope(|scope| {
        let mut pump = Pump::start(scope, &files, &work);
        archive(&work, &mut pump, sink)
    })?;
    work.seal_directories()?;
    Ok(digest)
}

fn archive(work: &Work<'_>, pump: &mut Pump, sink: &mut dyn Write) -> Result<NarDigest> {
    let root = work.tree.root();
    let both = Both { hasher: Hasher::new(HashAlgo::Sha256), sink };
    let mut nar = Writer::new(BufWriter::with_capacity(64 << 10, both));
    for node in work.tree.nodes() {
        let failed =
            |error| Error::format(format!("cannot archive '{}'", work.shown(&node.path).display()), error);
        nar.at_path(node.path.as_os_str().as_bytes()).map_err(failed)?;
        match node.kind {
            EntryKind::Directory => nar.directory().map_err(failed)?,
            EntryKind::Symlink => nar.symlink(&work.symlink(&node.path)?).map_err(failed)?,
            EntryKind::File => {
                let start = pump.next_file()?;
                nar.begin_regular(start.executable, start.size).map_err(failed)?;
                let mut remaining = start.size;
                while remaining > 0 {
                    let piece = pump.piece(remaining)?;
                    nar.content(piece).map_err(failed)?;
                    remaining -= piece.len() as u64;
                }
            }
        }
    }
    let failed = |error| Error::format(format!("cannot archive '{}'", root.display()), error);
    let buffered = nar.finish().map_err(failed)?;
    let both = buffered.into_inner().map_err(|error| Error::io("archive", root, error.into_error()))?;
    Ok(NarDigest { size: both.hasher.written(), hash: both.hasher.finish() })
}

/// Hashes what goes to the sink.
struct Both<'a> {
    hasher: Hasher,
    sink: &'a mut dyn Write,
}

impl Write for Both<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write_all(bytes)?;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// What is to be done, for all threads that do it.
pub(super) struct Work<'a> {
    tree: &'a Tree,
    effect: Effect<'a>,
    source: Base,
    target: Option<Base>,
}

impl<'a> Work<'a> {
    fn new(tree: &'a Tree, effect: Effect<'a>) -> Result<Self> {
        let is_dir = tree.nodes()[0].kind == EntryKind::Directory;
        let target = match effect {
            Effect::Copy(target) => {
                if is_dir {
                    std::fs::create_dir(target).at("create the directory", target)?;
                }
                Some(Base::at(target, is_dir)?)
            }
            Effect::Read | Effect::Seal => None,
        };
        Ok(Self { tree, effect, source: Base::at(tree.root(), is_dir)?, target })
    }

    /// A path of the tree as a message names it.
    pub(super) fn shown(&self, path: &Path) -> PathBuf {
        self.tree.physical(path)
    }

    /// Opens a file, and its copy if it is to have one.
    pub(super) fn open(&self, path: &'a Path) -> Result<OpenFile<'_>> {
        // A pipe that took the file's place must not make this wait.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let source = match self.source.open(path, flags, Mode::empty()) {
            Err(rustix::io::Errno::ACCESS) if matches!(self.effect, Effect::Seal) => {
                let physical = self.shown(path);
                let mode = physical.symlink_metadata().at("look at", &physical)?.mode();
                std::fs::set_permissions(&physical, PermissionsExt::from_mode(mode & 0o777 | 0o400))
                    .at("make readable", &physical)?;
                self.source.open(path, flags, Mode::empty())
            }
            // No longer a file but a link, or gone.
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
                return Err(Error::changed(self.shown(path)));
            }
            other => other,
        };
        let source = File::from(source.map_err(|error| Error::io("open", self.shown(path), error))?);
        let meta = source.metadata().map_err(|error| Error::io("look at", self.shown(path), error))?;
        if kind_of(meta.file_type(), &self.shown(path))? != EntryKind::File {
            return Err(Error::changed(self.shown(path)));
        }
        let executable = is_executable(meta.mode());
        let copy = match &self.target {
            Some(target) => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                let copy = target
                    .open(path, flags, Mode::from_raw_mode(file_mode(executable)))
                    .map_err(|error| Error::io("create", target.shown(path), error))?;
                Some(File::from(copy))
            }
            None => None,
        };
        Ok(OpenFile { work: self, path, size: meta.len(), executable, source, meta, copy })
    }

    /// Reads where a symbolic link points, and does what is to be done to it.
    fn symlink(&self, path: &Path) -> Result<Vec<u8>> {
        let physical = self.shown(path);
        let target = match std::fs::read_link(&physical) {
            Ok(target) => target,
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => {
                return Err(Error::changed(physical));
            }
            Err(error) => return Err(Error::io("read the link", physical, error)),
        };
        match self.effect {
            Effect::Read => {}
            Effect::Copy(to) => {
                let copy = below(to, path);
                std::os::unix::fs::symlink(&target, &copy).at("create the link", &copy)?;
                seal_symlink(&copy)?;
            }
            Effect::Seal => seal_symlink(&physical)?,
        }
        Ok(target.into_os_string().into_encoded_bytes())
    }

    /// Makes the directories of the copy, so that the files can be made in any order.
    fn make_directories(&self) -> Result<()> {
        if let Some(target) = &self.target {
            for node in self.tree.nodes().iter().skip(1).filter(|node| node.kind == EntryKind::Directory) {
                let (dir, path) = target.locate(&node.path);
                rustix::fs::mkdirat(dir, path, Mode::RWXU)
                    .map_err(|error| Error::io("create the directory", target.shown(&node.path), error))?;
            }
        }
        Ok(())
    }

    fn seal_directories(&self) -> Result<()> {
        let root = match self.effect {
            Effect::Read => return Ok(()),
            Effect::Copy(target) => target,
            Effect::Seal => self.tree.root(),
        };
        let nodes = self.tree.nodes().iter().skip(1).rev();
        nodes
            .filter(|node| node.kind == EntryKind::Directory)
            .try_for_each(|node| seal_directory(&below(root, &node.path)))
    }
}

/// Where relative paths begin: an open directory, or a single file that has the empty path.
struct Base {
    dir: Option<OwnedFd>,
    root: PathBuf,
}

impl Base {
    fn at(root: &Path, is_dir: bool) -> Result<Self> {
        let dir = if is_dir {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Some(rustix::fs::open(root, flags, Mode::empty()).at("open the directory", root)?)
        } else {
            None
        };
        Ok(Self { dir, root: root.to_owned() })
    }

    fn locate<'a>(&'a self, path: &'a Path) -> (BorrowedFd<'a>, &'a Path) {
        match &self.dir {
            Some(dir) => (dir.as_fd(), path),
            None => (CWD, &self.root),
        }
    }

    fn open(&self, path: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let (dir, path) = self.locate(path);
        rustix::fs::openat(dir, path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, mode)
    }

    fn shown(&self, path: &Path) -> PathBuf {
        below(&self.root, path)
    }
}

/// A file that is being read, and perhaps copied or sealed.
pub(super) struct OpenFile<'a> {
    work: &'a Work<'a>,
    path: &'a Path,
    /// In bytes, when it was opened.
    pub(super) size: u64,
    pub(super) executable: bool,
    source: File,
    meta: std::fs::Metadata,
    copy: Option<File>,
}

impl OpenFile<'_> {
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.source.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(|error| Error::io("read", self.work.shown(self.path), error)),
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.copy {
            Some(copy) => copy.write_all(bytes).map_err(|error| Error::io("write", self.shown_copy(), error)),
            None => Ok(()),
        }
    }

    pub(super) fn finish(self) -> Result<()> {
        match (&self.copy, self.work.effect) {
            (Some(copy), _) => seal_created(copy, self.executable, &self.shown_copy()),
            (None, Effect::Seal) => seal_file(&self.source, &self.meta, &self.work.shown(self.path)),
            (None, _) => Ok(()),
        }
    }

    fn shown_copy(&self) -> PathBuf {
        self.work.target.as_ref().map_or_else(PathBuf::new, |target| target.shown(self.path))
    }
}

//! A stack of layers as the one tree that overlayfs would show, read without mounting it.
//!
//! The rules are those of the kernel. Per name, the topmost layer that has it decides. A *whiteout* hides the name
//! in all layers below. A directory is merged with the directories of the same path below it, down to the first
//! layer where it is *opaque*, or where the path is a whiteout or no directory. Its own metadata is that of the
//! topmost. The root is merged whatever its marks say. See [`marks`] for what a whiteout and an opaque directory
//! look like on disk. Renamed lower directories (`redirect_dir`) and data left below (`metacopy`) are not
//! understood: layers must be made with both off; a renamed directory is noticed and an error.
//!
//! Layers must not change while they are viewed. Nothing here can write to them. A file that its owner may not read
//! is an error when it is opened.

mod compare;
mod cursor;
mod marks;
mod merged;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Stat;
use rustix::io::Errno;

pub(crate) use compare::same_bytes;
pub use compare::{TreeChange, TreeChangeKind, difference};
pub use cursor::Cursor;
pub use merged::MergedDir;
use merged::Named;

use crate::error::Kind;
use crate::{Error, Timestamp, dirfd};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
}

/// A file's metadata in a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub file_type: FileType,
    /// The permission bits (the low 12 bits of the mode).
    pub mode: u32,
    /// Length in bytes; for directories whatever the file system says.
    pub size: u64,
    /// Time of last modification.
    pub mtime: Timestamp,
    /// Device and inode; the same for two names in a view exactly if they are hard links to one file.
    inode: (u64, u64),
    linked: bool,
    /// Time of the last change of whatever kind, as the file system keeps it.
    pub(crate) ctime: Timestamp,
    /// Bytes that the file system says it takes.
    pub(crate) allocated: u64,
}

impl Metadata {
    fn of(stat: &Stat) -> Metadata {
        use rustix::fs::FileType as Raw;
        Metadata {
            file_type: match Raw::from_raw_mode(stat.st_mode) {
                Raw::RegularFile => FileType::File,
                Raw::Directory => FileType::Directory,
                Raw::Symlink => FileType::Symlink,
                Raw::Fifo => FileType::Fifo,
                Raw::Socket => FileType::Socket,
                _ => FileType::Device,
            },
            mode: dirfd::permissions(stat.st_mode),
            size: stat.st_size as u64,
            mtime: Timestamp::modified(stat),
            inode: (stat.st_dev, stat.st_ino),
            linked: stat.st_nlink > 1,
            ctime: Timestamp::changed(stat),
            allocated: stat.st_blocks as u64 * 512,
        }
    }

    /// What two names share exactly if they are hard links to one file; `None` for a file with a single name.
    /// Other names may be hidden by layers above or lie outside the view.
    pub fn hard_link_id(&self) -> Option<(u64, u64)> {
        (self.linked && self.file_type != FileType::Directory).then_some(self.inode)
    }

    /// What no other file that exists has.
    pub(crate) fn inode(&self) -> (u64, u64) {
        self.inode
    }
}

/// A name in a directory of a view.
#[derive(Clone, Debug)]
pub struct ViewEntry {
    /// The name.
    pub name: OsString,
    /// Its metadata.
    pub metadata: Metadata,
    /// Which of the directory's parts has it.
    part: usize,
}

/// The merged, read-only view of a stack of layers, or of a plain directory, or of something in one of these.
#[derive(Debug)]
pub struct View {
    stack: Arc<Stack>,
    root: Root,
}

/// The directories that are stacked.
#[derive(Debug)]
struct Stack {
    /// Topmost first; the paths are for errors.
    layers: Vec<(OwnedFd, PathBuf)>,
    /// Whether overlayfs's marks are obeyed.
    marks: bool,
}

#[derive(Debug)]
enum Root {
    Directory(Location, Metadata),
    Other(MergedDir, ViewEntry),
}

/// A directory in a stack: its path, and which layers take part, topmost first.
#[derive(Clone, Debug)]
struct Location {
    path: PathBuf,
    layers: Vec<usize>,
    /// Whether something in the stack hides what any further layers below it might have there.
    closed: bool,
}

impl Location {
    /// The root of a stack.
    fn whole(stack: &Stack) -> Location {
        Location { path: PathBuf::new(), layers: (0..stack.layers.len()).collect(), closed: false }
    }
}

impl View {
    /// Opens a stack of layers, topmost first, at the relative path `sub` (empty for the whole tree), which need not
    /// be a directory. Symlinks in `sub` are not followed.
    pub fn of_layers<P: AsRef<Path>>(layers: &[P], sub: &Path) -> Result<View, Error> {
        View::open(layers.iter().map(AsRef::as_ref), sub, true)
    }

    /// Opens a plain directory, file or symlink as it stands: nothing in it is taken for a mark of overlayfs.
    pub fn of_path(path: &Path) -> Result<View, Error> {
        match dirfd::open_name(rustix::fs::CWD, path.as_os_str(), dirfd::DIRECTORY) {
            Ok(fd) => {
                View::of_stack(Stack { layers: vec![(fd, path.to_owned())], marks: false }, Path::new(""))
            }
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let name = path.file_name().ok_or_else(|| Kind::NotInView { path: path.to_owned() })?;
                View::open(std::iter::once(parent.unwrap_or(Path::new("."))), Path::new(name), false)
            }
            Err(errno) => Err(Error::os("open", path, errno)),
        }
    }

    /// Returns the metadata of the root.
    pub fn root_metadata(&self) -> &Metadata {
        match &self.root {
            Root::Directory(_, metadata) => metadata,
            Root::Other(_, entry) => &entry.metadata,
        }
    }

    /// Returns the metadata at a relative path (empty for the root), or `None` where there is nothing.
    pub fn metadata(&self, path: &Path) -> Result<Option<Metadata>, Error> {
        if path.as_os_str().is_empty() {
            return Ok(Some(*self.root_metadata()));
        }
        Ok(self.find(path)?.map(|(_, entry)| entry.metadata))
    }

    /// Opens the directory at a relative path (empty for the root).
    pub fn dir(&self, path: &Path) -> Result<MergedDir, Error> {
        let missing = || Error::from(Kind::NotInView { path: path.to_owned() });
        if path.as_os_str().is_empty() {
            match &self.root {
                Root::Directory(location, _) => MergedDir::open(&self.stack, location),
                Root::Other(..) => Err(Kind::NotADirectory { path: path.to_owned() }.into()),
            }
        } else {
            let (dir, entry) = self.find(path)?.ok_or_else(missing)?;
            dir.child_dir(&entry)
        }
    }

    /// Opens the regular file at a relative path (empty for the root) for reading. Symlinks are not followed.
    pub fn open_file(&self, path: &Path) -> Result<File, Error> {
        self.on_leaf(path, MergedDir::open_file)
    }

    /// Reads the target of the symlink at a relative path (empty for the root).
    pub fn read_link(&self, path: &Path) -> Result<PathBuf, Error> {
        self.on_leaf(path, MergedDir::read_link)
    }

    /// Visits the root and everything below it: a directory before what it holds; the names of one directory one
    /// after the other in order of their bytes, before anything below them.
    ///
    /// Needs memory and descriptors for one directory at a time, however deep the tree is.
    pub fn walk<E: From<Error>>(&self, mut visit: impl FnMut(&Walked<'_>) -> Result<(), E>) -> Result<(), E> {
        self.walk_with_marks(|marked| match marked {
            Marked::Entry(walked) => visit(walked),
            Marked::Whiteout(_) | Marked::Opaque(_) => Ok(()),
        })
    }

    /// Walks in the same way and order, and visits what concerns layers below this stack, too.
    pub(crate) fn walk_with_marks<E: From<Error>>(
        &self,
        mut visit: impl FnMut(Marked<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let location = match &self.root {
            Root::Other(dir, entry) => {
                let walked = Walked::at(Path::new(""), dir, entry);
                return visit(Marked::Entry(&walked));
            }
            Root::Directory(location, _) => location,
        };
        visit(Marked::Entry(&Walked { path: Path::new(""), metadata: self.root_metadata(), leaf: None }))?;
        // The walked path differs from the stack's path by the view's own place in the stack.
        let mut waiting = vec![(PathBuf::new(), location.clone(), false)];
        while let Some((path, location, within_closed)) = waiting.pop() {
            let dir = MergedDir::open(&self.stack, &location)?;
            if dir.closed() && !within_closed {
                visit(Marked::Opaque(&path))?;
            }
            let first = waiting.len();
            for named in dir.named()? {
                match named {
                    Named::Entry(entry) => {
                        let path = path.join(&entry.name);
                        visit(Marked::Entry(&Walked::at(&path, &dir, &entry)))?;
                        if entry.metadata.file_type == FileType::Directory {
                            waiting.push((path, dir.child_location(&entry)?, dir.closed()));
                        }
                    }
                    // Within an opaque directory there is nothing below to hide.
                    Named::Whiteout(name) if !dir.closed() => {
                        visit(Marked::Whiteout(&path.join(name)))?;
                    }
                    Named::Whiteout(_) => {}
                }
            }
            waiting[first..].reverse();
        }
        Ok(())
    }

    /// Opens the directory at a relative path, or `None` where there is none.
    pub(crate) fn find_dir(&self, path: &Path) -> Result<Option<MergedDir>, Error> {
        if path.as_os_str().is_empty() {
            return match &self.root {
                Root::Directory(location, _) => MergedDir::open(&self.stack, location).map(Some),
                Root::Other(..) => Ok(None),
            };
        }
        match self.find(path)? {
            Some((dir, entry)) if entry.metadata.file_type == FileType::Directory => {
                dir.child_dir(&entry).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn open<'a>(layers: impl Iterator<Item = &'a Path>, sub: &Path, marks: bool) -> Result<View, Error> {
        let layers = layers.map(|path| {
            let fd = dirfd::open_root(path).map_err(|errno| Error::os("open", path, errno))?;
            Ok((fd, path.to_owned()))
        });
        View::of_stack(Stack { layers: layers.collect::<Result<_, Error>>()?, marks }, sub)
    }

    fn of_stack(stack: Stack, sub: &Path) -> Result<View, Error> {
        let top = stack.layers.first().ok_or_else(|| Kind::NotInView { path: sub.to_owned() })?;
        let stat = rustix::fs::fstat(&top.0).map_err(|errno| Error::os("examine", &top.1, errno))?;
        let location = Location::whole(&stack);
        let whole = View { root: Root::Directory(location, Metadata::of(&stat)), stack: Arc::new(stack) };
        if sub.as_os_str().is_empty() {
            return Ok(whole);
        }
        let (dir, entry) = whole.find(sub)?.ok_or_else(|| Kind::NotInView { path: sub.to_owned() })?;
        let root = match entry.metadata.file_type {
            FileType::Directory => Root::Directory(dir.child_dir(&entry)?.location(), entry.metadata),
            _ => Root::Other(dir, entry),
        };
        Ok(View { root, ..whole })
    }

    /// Finds what is at a path that is not empty, and the directory that holds it.
    fn find(&self, path: &Path) -> Result<Option<(MergedDir, ViewEntry)>, Error> {
        if !dirfd::is_plain_relative(path) {
            return Err(Kind::NotInView { path: path.to_owned() }.into());
        }
        let Root::Directory(location, _) = &self.root else { return Ok(None) };
        let mut dir = MergedDir::open(&self.stack, location)?;
        let mut names = path.iter().peekable();
        while let Some(name) = names.next() {
            let Some(entry) = dir.entry(name)? else { return Ok(None) };
            if names.peek().is_none() {
                return Ok(Some((dir, entry)));
            }
            if entry.metadata.file_type != FileType::Directory {
                return Ok(None);
            }
            dir = dir.child_dir(&entry)?;
        }
        Ok(None)
    }

    fn on_leaf<T>(
        &self,
        path: &Path,
        act: impl FnOnce(&MergedDir, &ViewEntry) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match &self.root {
            Root::Other(dir, entry) if path.as_os_str().is_empty() => act(dir, entry),
            _ => {
                let found = self.find(path)?;
                let (dir, entry) = found.ok_or_else(|| Kind::NotInView { path: path.to_owned() })?;
                act(&dir, &entry)
            }
        }
    }
}

/// One step of a walk that sees overlayfs's marks.
pub(crate) enum Marked<'a> {
    /// Something in the tree.
    Entry(&'a Walked<'a>),
    /// A name that is not in the tree, and hides what layers further below have under it.
    Whiteout(&'a Path),
    /// A directory, already visited, in which nothing shows that layers further below have there.
    Opaque(&'a Path),
}

/// One step of a walk.
#[derive(Debug)]
pub struct Walked<'a> {
    path: &'a Path,
    metadata: &'a Metadata,
    /// `None` for a root that is a directory.
    leaf: Option<(&'a MergedDir, &'a ViewEntry)>,
}

impl<'a> Walked<'a> {
    /// Makes what a walk would show of an entry of a directory.
    pub(crate) fn at(path: &'a Path, dir: &'a MergedDir, entry: &'a ViewEntry) -> Walked<'a> {
        Walked { path, metadata: &entry.metadata, leaf: Some((dir, entry)) }
    }
}

impl Walked<'_> {
    /// Where, relative to the view's root; empty for the root itself.
    pub fn path(&self) -> &Path {
        self.path
    }

    /// The last component of the path; empty for the root.
    pub fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// Its metadata.
    pub fn metadata(&self) -> &Metadata {
        self.metadata
    }

    /// Opens it, a regular file, for reading.
    pub fn open_file(&self) -> Result<File, Error> {
        let (dir, entry) = self.leaf()?;
        dir.open_file(entry)
    }

    /// Reads its target, as it is a symlink.
    pub fn read_link(&self) -> Result<PathBuf, Error> {
        let (dir, entry) = self.leaf()?;
        dir.read_link(entry)
    }

    fn leaf(&self) -> Result<(&MergedDir, &ViewEntry), Error> {
        self.leaf.ok_or_else(|| Error::os("read", self.path, Errno::ISDIR))
    }
}

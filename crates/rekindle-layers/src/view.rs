//! skeleton
use crate::{Error, Timestamp};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
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
    /// Length in bytes.
    pub size: u64,
    /// Time of last modification.
    pub mtime: Timestamp,
}
/// A name in a directory of a view.
#[derive(Clone, Debug)]
pub struct ViewEntry {
    /// The name.
    pub name: OsString,
    /// Its metadata.
    pub metadata: Metadata,
}
/// The merged, read-only view of a stack of layers, or of a plain directory.
#[derive(Debug)]
pub struct View;
/// A directory of a view, held open.
#[derive(Debug)]
pub struct MergedDir;
/// One step of a walk.
#[derive(Debug)]
pub struct Walked<'a> {
    #[expect(dead_code)]
    dir: &'a MergedDir,
}
impl View {
    /// Opens a stack of layers, topmost first, at the relative path `sub` (empty for the whole tree).
    pub fn of_layers<P: AsRef<Path>>(layers: &[P], sub: &Path) -> Result<View, Error> {
        let _ = (layers.len(), sub);
        todo!()
    }
    /// Opens a plain directory (or file, or symlink) as it stands: nothing in it is taken for a mark of overlayfs.
    pub fn of_path(path: &Path) -> Result<View, Error> {
        let _ = path;
        todo!()
    }
    /// Returns the metadata at a relative path (empty for the root), or `None` where there is nothing.
    pub fn metadata(&self, path: &Path) -> Result<Option<Metadata>, Error> {
        let _ = path;
        todo!()
    }
    /// Opens the directory at a relative path (empty for the root).
    pub fn dir(&self, path: &Path) -> Result<MergedDir, Error> {
        let _ = path;
        todo!()
    }
    /// Opens the regular file at a relative path for reading.
    pub fn open_file(&self, path: &Path) -> Result<File, Error> {
        let _ = path;
        todo!()
    }
    /// Reads the target of the symlink at a relative path.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf, Error> {
        let _ = path;
        todo!()
    }
    /// Visits the root and everything below it: directories before what they hold, names in order of their bytes.
    pub fn walk<E: From<Error>>(&self, visit: impl FnMut(&Walked<'_>) -> Result<(), E>) -> Result<(), E> {
        let _ = visit;
        todo!()
    }
}
impl MergedDir {
    /// Returns its entries, names in order of their bytes.
    pub fn entries(&self) -> Result<Vec<ViewEntry>, Error> {
        todo!()
    }
    /// Opens a directory in it.
    pub fn child_dir(&self, entry: &ViewEntry) -> Result<MergedDir, Error> {
        let _ = entry;
        todo!()
    }
    /// Opens a regular file in it for reading.
    pub fn open_file(&self, entry: &ViewEntry) -> Result<File, Error> {
        let _ = entry;
        todo!()
    }
    /// Reads the target of a symlink in it.
    pub fn read_link(&self, entry: &ViewEntry) -> Result<PathBuf, Error> {
        let _ = entry;
        todo!()
    }
}
impl Walked<'_> {
    /// Where, relative to the view's root; empty for the root itself.
    pub fn path(&self) -> &Path {
        todo!()
    }
    /// The last component of the path; empty for the root.
    pub fn name(&self) -> &OsStr {
        todo!()
    }
    /// Its metadata.
    pub fn metadata(&self) -> &Metadata {
        todo!()
    }
    /// Opens it, a regular file, for reading.
    pub fn open_file(&self) -> Result<File, Error> {
        todo!()
    }
    /// Reads its target, as it is a symlink.
    pub fn read_link(&self) -> Result<PathBuf, Error> {
        todo!()
    }
}

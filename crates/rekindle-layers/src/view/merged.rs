//! One directory of a view: the directories of several layers, read as one.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType as RawType, Stat, statat};
use rustix::io::Errno;

use super::marks::{self, DirectoryMarks};
use super::{FileType, Location, Metadata, Root, Stack, View, ViewEntry};
use crate::Error;
use crate::dirfd::{self, Names};

/// Names that are read at one go, and more than an edit leaves in a directory.
const FEW: usize = 64;

/// A directory of a view, held open: one descriptor for each layer that has a part in it.
#[derive(Debug)]
pub struct MergedDir {
    stack: Arc<Stack>,
    /// Relative to the stack's root.
    path: PathBuf,
    /// Topmost first.
    parts: Vec<Part>,
    /// See [`Location`].
    closed: bool,
}

/// A layer's part in a directory.
#[derive(Debug)]
struct Part {
    layer: usize,
    fd: OwnedFd,
    marks: DirectoryMarks,
    /// All that is in it, if that is known.
    names: Option<Names>,
}

/// A name that some layer has in a directory, and what the topmost one of those has.
pub(super) enum Named {
    Whiteout(OsString),
    Entry(ViewEntry),
}

/// What a layer has under a name.
enum Found {
    Nothing,
    Whiteout,
    Entry(Stat),
}

impl MergedDir {
    /// Returns its entries, names in order of their bytes.
    pub fn entries(&self) -> Result<Vec<ViewEntry>, Error> {
        let named = self.named()?.into_iter();
        Ok(named
            .filter_map(|named| match named {
                Named::Entry(entry) => Some(entry),
                Named::Whiteout(_) => None,
            })
            .collect())
    }

    /// Returns the names that any layer has in it, in order of their bytes.
    pub(super) fn named(&self) -> Result<Vec<Named>, Error> {
        let mut lists = Vec::with_capacity(self.parts.len());
        for part in 0..self.parts.len() {
            lists.push(self.names(part)?);
        }
        let mut names: Vec<(&OsStr, usize)> = Vec::with_capacity(lists.iter().map(Names::len).sum());
        for (part, list) in lists.iter().enumerate() {
            names.extend(list.iter().map(|name| (name.os(), part)));
        }
        // Each name's topmost layer comes first.
        names.sort_unstable();
        names.dedup_by_key(|&mut (name, _)| name);
        let mut entries = Vec::with_capacity(names.len());
        for (name, part) in names {
            match self.look(&self.parts[part], name)? {
                Found::Entry(stat) => {
                    let metadata = Metadata::of(&stat);
                    entries.push(Named::Entry(ViewEntry { name: name.to_owned(), metadata, part }));
                }
                Found::Whiteout => entries.push(Named::Whiteout(name.to_owned())),
                Found::Nothing => {}
            }
        }
        Ok(entries)
    }

    /// Returns the names that one of its parts has.
    pub(super) fn names(&self, part: usize) -> Result<Names, Error> {
        let part = &self.parts[part];
        Names::read(&part.fd).map_err(|errno| Error::os("list", self.full_path(part), errno))
    }

    /// Whether nothing shows in it that any further layers below might have there.
    pub(super) fn closed(&self) -> bool {
        self.closed
    }

    /// Returns the entry of a name, or `None`.
    pub fn entry(&self, name: &OsStr) -> Result<Option<ViewEntry>, Error> {
        if matches!(name.as_bytes(), b"" | b"." | b"..") || name.as_bytes().contains(&b'/') {
            return Ok(None);
        }
        for (part, opened) in self.parts.iter().enumerate() {
            match self.look(opened, name)? {
                Found::Nothing => {}
                Found::Whiteout => return Ok(None),
                Found::Entry(stat) => {
                    return Ok(Some(ViewEntry {
                        name: name.to_owned(),
                        metadata: Metadata::of(&stat),
                        part,
                    }));
                }
            }
        }
        Ok(None)
    }

    /// Opens what it has by a name, if that is a directory.
    pub(super) fn directory(&self, name: &OsStr) -> Result<Option<MergedDir>, Error> {
        let entry = self.entry(name)?.filter(|entry| entry.metadata.file_type == FileType::Directory);
        entry.map(|entry| self.child_dir(&entry)).transpose()
    }

    /// Notes what is in those of its parts that have few names, so that they need not be asked for others.
    pub(super) fn learn_names(&mut self) -> Result<(), Error> {
        for part in 0..self.parts.len() {
            let names = Names::read_up_to(&self.parts[part].fd, FEW);
            let failed = |errno| Error::os("list", self.full_path(&self.parts[part]), errno);
            self.parts[part].names = names.map_err(failed)?;
        }
        Ok(())
    }

    /// How many descriptors it holds.
    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Opens a directory in it.
    pub fn child_dir(&self, entry: &ViewEntry) -> Result<MergedDir, Error> {
        let Location { path, layers, closed } = self.child_location(entry)?;
        let mut child = MergedDir { stack: self.stack.clone(), path, parts: Vec::new(), closed };
        for layer in layers {
            let part = self.parts.iter().find(|part| part.layer == layer).expect("it is one of these layers");
            let opened = dirfd::open_name(&part.fd, &entry.name, dirfd::DIRECTORY);
            if child.add(layer, opened)? {
                break;
            }
        }
        Ok(child)
    }

    /// Views a directory in it as a tree of its own.
    pub(super) fn subtree(&self, entry: &ViewEntry) -> Result<View, Error> {
        let root = Root::Directory(self.child_location(entry)?, entry.metadata);
        Ok(View { stack: self.stack.clone(), root })
    }

    /// Opens a regular file in it for reading.
    pub fn open_file(&self, entry: &ViewEntry) -> Result<File, Error> {
        let part = &self.parts[entry.part];
        let fail = |errno| Error::os("open", self.full_path(part).join(&entry.name), errno);
        if entry.metadata.file_type != FileType::File {
            return Err(fail(Errno::INVAL));
        }
        dirfd::open_name(&part.fd, &entry.name, dirfd::FILE).map(File::from).map_err(fail)
    }

    /// Reads the target of a symlink in it.
    pub fn read_link(&self, entry: &ViewEntry) -> Result<PathBuf, Error> {
        let part = &self.parts[entry.part];
        let target = dirfd::read_link(&part.fd, &entry.name);
        let target = target
            .map_err(|errno| Error::os("read the symlink", self.full_path(part).join(&entry.name), errno))?;
        Ok(OsString::from_vec(target).into())
    }

    /// Where an entry of it is, for errors.
    pub(super) fn path_of(&self, entry: &ViewEntry) -> PathBuf {
        self.full_path(&self.parts[entry.part]).join(&entry.name)
    }

    pub(super) fn open(stack: &Arc<Stack>, location: &Location) -> Result<MergedDir, Error> {
        let mut dir = MergedDir {
            stack: stack.clone(),
            path: location.path.clone(),
            parts: Vec::new(),
            closed: location.closed,
        };
        for &layer in &location.layers {
            let opened = dirfd::open_below(&stack.layers[layer].0, &location.path, dirfd::DIRECTORY);
            if dir.add(layer, opened)? {
                break;
            }
        }
        Ok(dir)
    }

    pub(super) fn location(&self) -> Location {
        let layers = self.parts.iter().map(|part| part.layer).collect();
        Location { path: self.path.clone(), layers, closed: self.closed }
    }

    /// Where a directory in it is. May name layers below one where it is opaque: that shows when it is opened.
    pub(super) fn child_location(&self, entry: &ViewEntry) -> Result<Location, Error> {
        let mut layers = vec![self.parts[entry.part].layer];
        let mut closed = self.closed;
        for part in &self.parts[entry.part + 1..] {
            match self.look(part, &entry.name)? {
                Found::Nothing => {}
                Found::Entry(stat) if RawType::from_raw_mode(stat.st_mode) == RawType::Directory => {
                    layers.push(part.layer);
                }
                Found::Whiteout | Found::Entry(_) => {
                    closed = true;
                    break;
                }
            }
        }
        Ok(Location { path: self.path.join(&entry.name), layers, closed })
    }

    /// Adds a layer's part; true if nothing below it takes part.
    fn add(&mut self, layer: usize, opened: rustix::io::Result<OwnedFd>) -> Result<bool, Error> {
        let full = || self.stack.layers[layer].1.join(&self.path);
        let fd = opened.map_err(|errno| Error::os("open the directory", full(), errno))?;
        let marks =
            if self.stack.marks { DirectoryMarks::read(&fd, &full)? } else { DirectoryMarks::default() };
        // The kernel merges the roots of all layers, whatever their marks.
        let last = marks.opaque && !self.path.as_os_str().is_empty();
        self.parts.push(Part { layer, fd, marks, names: None });
        self.closed |= last;
        Ok(last)
    }

    fn look(&self, part: &Part, name: &OsStr) -> Result<Found, Error> {
        if part.names.as_ref().is_some_and(|names| names.find(name.as_bytes()).is_none()) {
            return Ok(Found::Nothing);
        }
        match statat(&part.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if self.stack.marks && marks::is_whiteout(&part.fd, part.marks, name, &stat) => {
                Ok(Found::Whiteout)
            }
            Ok(stat) => Ok(Found::Entry(stat)),
            Err(Errno::NOENT) => Ok(Found::Nothing),
            Err(Errno::NAMETOOLONG) => Ok(Found::Nothing),
            Err(errno) => Err(Error::os("examine", self.full_path(part).join(name), errno)),
        }
    }

    fn full_path(&self, part: &Part) -> PathBuf {
        self.stack.layers[part.layer].1.join(&self.path)
    }
}

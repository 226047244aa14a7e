//! Looking up one path after the other, many of them in the same directory.
//!
//! To find a directory takes some calls for each of its layers and each part of its path: fifty for one three levels deep in
//! a stack of sixteen. So the one that was looked into last is held open. What a layer gets or loses meanwhile may
//! not show: it is for layers that nobody writes to.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{Kind, MergedDir, Metadata, View, ViewEntry};
use crate::Error;

/// A view in which one path after the other is looked up, many in the same directory.
#[derive(Debug)]
pub struct Cursor {
    view: View,
    /// The directory that was looked into last.
    at: Option<PathBuf>,
    /// `None` if it does not exist.
    dir: Option<MergedDir>,
}

impl Cursor {
    /// Looks into a view, of whose layers none changes from now on.
    pub fn new(view: View) -> Cursor {
        Cursor { view, at: None, dir: None }
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// The directory that was looked into last, if it exists.
    pub(crate) fn dir(&self) -> Option<&MergedDir> {
        self.dir.as_ref()
    }

    /// Returns the metadata at a relative path (empty for the root), or `None` where there is nothing.
    pub fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>, Error> {
        if path.as_os_str().is_empty() {
            return Ok(Some(*self.view.root_metadata()));
        }
        Ok(self.entry(path)?.map(|entry| entry.metadata))
    }

    /// Returns what is in the directory at a relative path, names in order of their bytes.
    pub fn entries(&mut self, path: &Path) -> Result<Vec<ViewEntry>, Error> {
        self.has_directory(path)?;
        self.dir.as_ref().ok_or_else(|| Kind::NotInView { path: path.to_owned() })?.entries()
    }

    /// Opens the regular file at a relative path for reading. Symlinks are not followed.
    pub fn open_file(&mut self, path: &Path) -> Result<File, Error> {
        self.on_entry(path, MergedDir::open_file)
    }

    /// Reads the target of the symlink at a relative path.
    pub fn read_link(&mut self, path: &Path) -> Result<PathBuf, Error> {
        self.on_entry(path, MergedDir::read_link)
    }

    fn on_entry<T>(
        &mut self,
        path: &Path,
        act: impl FnOnce(&MergedDir, &ViewEntry) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match (self.entry(path)?, &self.dir) {
            (Some(entry), Some(dir)) => act(dir, &entry),
            _ => Err(Kind::NotInView { path: path.to_owned() }.into()),
        }
    }

    /// Returns what is at a path, which is not empty. Its directory is `dir` then.
    pub(crate) fn entry(&mut self, path: &Path) -> Result<Option<ViewEntry>, Error> {
        if !self.has_directory(path.parent().unwrap_or(Path::new("")))? {
            return Ok(None);
        }
        self.dir.as_ref().map_or(Ok(None), |dir| dir.entry(path.file_name().unwrap_or_default()))
    }

    /// Whether there is a directory at a path. It is `dir` then.
    pub(crate) fn has_directory(&mut self, path: &Path) -> Result<bool, Error> {
        if self.at.as_deref() != Some(path) {
            self.dir = self.view.find_dir(path)?;
            self.at = Some(path.to_owned());
        }
        Ok(self.dir.is_some())
    }
}

//! Looking up one path after the other, many of them in the same directory.

use std::path::{Path, PathBuf};

use super::{MergedDir, View, ViewEntry};
use crate::Error;

/// A view in which one path after the other is looked up, many in the same directory.
pub(crate) struct Cursor {
    view: View,
    /// The directory that was looked into last.
    at: Option<PathBuf>,
    /// `None` if it does not exist.
    dir: Option<MergedDir>,
}

impl Cursor {
    pub(crate) fn new(view: View) -> Cursor {
        Cursor { view, at: None, dir: None }
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// The directory that was looked into last, if it exists.
    pub(crate) fn dir(&self) -> Option<&MergedDir> {
        self.dir.as_ref()
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

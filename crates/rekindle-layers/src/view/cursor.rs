//! Looking up one path after the other, many of them in the same directory.
//!
//! To find a directory takes some calls for each of its layers and each part of its path: two hundred for one three levels
//! deep in a stack of twenty. So those that were looked into are held open, up to some number of descriptors: who looks
//! goes to and fro between a few. What a layer gets or loses meanwhile may not show: it is for layers that nobody
//! writes to.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::{Kind, MergedDir, Metadata, View, ViewEntry};
use crate::Error;

/// So many descriptors are held open for directories, if no single one needs more. Several views are looked into at a
/// time, and a process may have 1,024 if it does not ask for more.
const HELD: usize = 128;

/// Whoever looks into a directory so often will look into it again: then it pays to read what its parts have.
const OFTEN: u32 = 8;

/// A view in which one path after the other is looked up, many in the same directories.
#[derive(Debug)]
pub struct Cursor {
    view: View,
    /// What was looked into.
    dirs: HashMap<PathBuf, Known>,
    /// How many descriptors those hold; something that is no directory counts as one.
    held: usize,
    /// The one of them that was looked into last.
    at: PathBuf,
}

#[derive(Debug)]
struct Known {
    /// `None` for what is no directory.
    dir: Option<MergedDir>,
    /// How many names were looked up in it.
    looks: u32,
}

impl Cursor {
    /// Looks into a view, of whose layers none changes from now on.
    pub fn new(view: View) -> Cursor {
        Cursor { view, dirs: HashMap::new(), held: 0, at: PathBuf::new() }
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// The directory that was looked into last, if it exists.
    pub(crate) fn dir(&self) -> Option<&MergedDir> {
        self.dirs.get(&self.at)?.dir.as_ref()
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
        self.dir().ok_or_else(|| Kind::NotInView { path: path.to_owned() })?.entries()
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
        match (self.entry(path)?, self.dir()) {
            (Some(entry), Some(dir)) => act(dir, &entry),
            _ => Err(Kind::NotInView { path: path.to_owned() }.into()),
        }
    }

    /// Returns what is at a path, which is not empty. Its directory is `dir` then.
    pub(crate) fn entry(&mut self, path: &Path) -> Result<Option<ViewEntry>, Error> {
        if !self.has_directory(path.parent().unwrap_or(Path::new("")))? {
            return Ok(None);
        }
        let Some(Known { dir: Some(dir), looks }) = self.dirs.get_mut(&self.at) else { return Ok(None) };
        *looks += 1;
        if *looks == OFTEN {
            dir.learn_names()?;
        }
        dir.entry(path.file_name().unwrap_or_default())
    }

    /// Whether there is a directory at a path. It is `dir` then.
    pub(crate) fn has_directory(&mut self, path: &Path) -> Result<bool, Error> {
        self.look_into(path)?;
        path.clone_into(&mut self.at);
        Ok(self.dir().is_some())
    }

    /// Finds a directory from the nearest one above it that is known.
    fn look_into(&mut self, path: &Path) -> Result<(), Error> {
        let unknown: Vec<&Path> =
            path.ancestors().take_while(|&above| !self.dirs.contains_key(above)).collect();
        for at in unknown.into_iter().rev() {
            let dir = match (at.parent(), at.file_name()) {
                (Some(above), Some(name)) => match self.dirs.get(above) {
                    Some(Known { dir: Some(above), .. }) => above.directory(name)?,
                    _ => None,
                },
                _ => self.view.find_dir(at)?,
            };
            self.keep(at, dir);
        }
        Ok(())
    }

    fn keep(&mut self, path: &Path, dir: Option<MergedDir>) {
        let parts = dir.as_ref().map_or(1, MergedDir::parts);
        if self.held + parts > HELD {
            self.dirs.clear();
            self.held = 0;
        }
        self.held += parts;
        self.dirs.insert(path.to_owned(), Known { dir, looks: 0 });
    }
}

//! A tree of layers in which one path after the other is looked up.
//!
//! It is for what can do with any answer: what cannot be looked at is not there, which is the answer that costs most.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rekindle_layers::{Cursor, FileType, Metadata, View};

use crate::error::Error;

/// What is read whole is not larger than this, unless it is said.
const LARGEST: u64 = 16 << 20;

/// A tree. Paths are relative to its root.
pub(crate) struct TreeReader(RefCell<Cursor>);

impl TreeReader {
    /// `stack` is topmost first.
    pub(crate) fn open(stack: &[PathBuf]) -> Result<TreeReader, Error> {
        Ok(TreeReader(RefCell::new(Cursor::new(View::of_layers(stack, Path::new(""))?))))
    }

    pub(crate) fn metadata(&self, path: &[u8]) -> Option<Metadata> {
        self.0.borrow_mut().metadata(as_path(path)).ok().flatten()
    }

    pub(crate) fn names(&self, path: &[u8]) -> Option<Vec<Vec<u8>>> {
        let entries = self.0.borrow_mut().entries(as_path(path)).ok()?;
        Some(entries.iter().map(|entry| entry.name.as_bytes().to_vec()).collect())
    }

    pub(crate) fn read_link(&self, path: &[u8]) -> Option<PathBuf> {
        self.0.borrow_mut().read_link(as_path(path)).ok()
    }

    fn open_file(&self, path: &[u8]) -> Option<File> {
        self.0.borrow_mut().open_file(as_path(path)).ok()
    }

    /// What is in a file that is not too large to be looked through.
    pub(crate) fn content(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.content_up_to(path, LARGEST)
    }

    /// What is in a file that people write; nothing if it is none, by the bytes that it begins with.
    pub(crate) fn text(&self, path: &[u8]) -> Option<Vec<u8>> {
        const BEGINNING: u64 = 4096;
        self.metadata(path).filter(|known| known.file_type == FileType::File)?;
        let mut beginning = Vec::new();
        self.open_file(path)?.take(BEGINNING).read_to_end(&mut beginning).ok()?;
        if beginning.contains(&0) { Some(Vec::new()) } else { self.content(path) }
    }

    /// What is in a file that is not larger than that.
    pub(crate) fn content_up_to(&self, path: &[u8], largest: u64) -> Option<Vec<u8>> {
        let known = self.metadata(path).filter(|known| known.file_type == FileType::File)?;
        if known.size > largest {
            return None;
        }
        let mut content = Vec::new();
        self.open_file(path)?.take(largest).read_to_end(&mut content).ok()?;
        Some(content)
    }
}

/// Whether a file is the same in both trees, byte by byte.
pub(crate) fn same_content(trees: [&TreeReader; 2], path: &[u8]) -> bool {
    let [Some(mut a), Some(mut b)] = trees.map(|tree| tree.open_file(path)) else { return false };
    let mut buffers = [vec![0; 1 << 16], vec![0; 1 << 16]];
    loop {
        let [first, second] = &mut buffers;
        let Ok(count) = a.read(first) else { return false };
        if count == 0 {
            return matches!(b.read(second), Ok(0));
        }
        if b.read_exact(&mut second[..count]).is_err() || first[..count] != second[..count] {
            return false;
        }
    }
}

fn as_path(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

//! skeleton
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use crate::Digest;

/// The content of a source tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest;

/// One file, directory or symlink of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Where it is, relative to the tree's root; never empty.
    pub path: PathBuf,
    /// The permission bits (the low 12 bits of the mode). Only the owner's execute bit counts as content.
    pub mode: u32,
    /// What it is.
    pub kind: EntryKind<'a>,
}

/// What an entry is, and its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind<'a> {
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// Whether its owner may execute it.
        executable: bool,
        /// Digest of its bytes.
        digest: Digest,
    },
    /// A directory; its entries follow it.
    Directory {
        /// Digest of all below it.
        digest: Digest,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as it is written in the link.
        target: &'a OsStr,
    },
}

/// One difference between two manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where, relative to the root.
    pub path: PathBuf,
    /// How the newer differs there.
    pub kind: ChangeKind,
}

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Only the newer manifest has it.
    Added,
    /// Only the older manifest has it.
    Removed,
    /// Both have it, with other content, kind, executable bit or link target.
    Changed,
}

/// Iterator over the entries of a manifest.
#[derive(Debug)]
pub struct Entries<'a>(std::marker::PhantomData<&'a ()>);

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;
    fn next(&mut self) -> Option<Entry<'a>> { todo!() }
}

impl Manifest {
    /// Returns the digest of the whole tree.
    pub fn root(&self) -> Digest { todo!() }
    /// Iterates over all entries: each directory before what it holds, names in order of their bytes.
    pub fn entries(&self) -> Entries<'_> { todo!() }
    /// Returns the entry at a relative path, or `None`.
    pub fn get(&self, path: &Path) -> Option<Entry<'_>> { let _ = path; todo!() }
    /// Returns what differs in `newer`.
    pub fn changes(&self, newer: &Manifest) -> Vec<Change> { let _ = newer; todo!() }
}

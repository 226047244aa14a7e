//! What is inside of a store path.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rekindle_nix::StorePath;

use crate::error::{At, Cause, Result};
use crate::seal::is_executable;
use crate::store::Store;
use crate::tree::{EntryKind, Tree, below};

/// A file inside of a store path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Relative to what was listed, which itself is the empty path.
    pub path: PathBuf,
    /// What it is.
    pub kind: ListedKind,
}

/// What a listed file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// In bytes.
        size: u64,
        /// Whether it can be executed.
        executable: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points: as it is, not resolved.
        target: PathBuf,
    },
}

impl Store {
    /// Lists the file or directory `inner` of a valid path, with all that is below it, in the order of an archive.
    /// An empty `inner` is the path itself. Symbolic links are not followed.
    pub fn ls(&self, path: &StorePath, inner: &Path) -> Result<Vec<Listed>> {
        self.require(path)?;
        if inner.components().any(|component| !matches!(component, Component::Normal(_) | Component::CurDir))
        {
            return Err(
                Cause::BadEntry { path: inner.to_owned(), why: "it leads out of the store path" }.into()
            );
        }
        let mut root = self.real_path(path);
        for component in inner.components() {
            // A link on the way could lead anywhere.
            if root.symlink_metadata().at("look at", &root)?.is_symlink() {
                return Err(Cause::BadEntry { path: root, why: "it is a symbolic link" }.into());
            }
            root.push(component);
        }
        let tree = Tree::scan(&root)?;
        tree.entries()
            .map(|(path, kind)| {
                let physical = below(&root, path);
                let kind = match kind {
                    EntryKind::Directory => ListedKind::Directory,
                    EntryKind::Symlink => ListedKind::Symlink {
                        target: std::fs::read_link(&physical).at("read the link", &physical)?,
                    },
                    EntryKind::File => {
                        let meta = physical.symlink_metadata().at("look at", &physical)?;
                        ListedKind::File { size: meta.len(), executable: is_executable(meta.mode()) }
                    }
                };
                Ok(Listed { path: path.to_owned(), kind })
            })
            .collect()
    }
}

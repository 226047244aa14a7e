//! skeleton
use crate::{Digest, Error, Timestamp, View};
use std::path::{Path, PathBuf};
/// The full metadata and content digests of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot;
/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is, and its content.
    pub kind: NodeKind,
    /// The permission bits (the low 12 bits of the mode).
    pub mode: u32,
    /// Time of last modification.
    pub mtime: Timestamp,
    /// The first path, in the snapshot's order, of the hard link group that it is in; `None` when it has no other name in the tree.
    pub link_group: Option<PathBuf>,
}
/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// Digest of its bytes.
        digest: Digest,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it points, as written.
        target: PathBuf,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A device.
    Device,
}
/// One difference between two snapshots; `Display` tells it in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where, relative to the root (empty for the root itself).
    pub path: PathBuf,
    /// What is there in the first snapshot.
    pub ours: Option<Node>,
    /// What is there in the second snapshot.
    pub theirs: Option<Node>,
}
impl Snapshot {
    /// Takes a snapshot of a plain directory.
    pub fn of_path(path: &Path) -> Result<Snapshot, Error> {
        let _ = path;
        todo!()
    }
    /// Takes a snapshot of a view.
    pub fn of_view(view: &View) -> Result<Snapshot, Error> {
        let _ = view;
        todo!()
    }
    /// Iterates over all nodes in order of path.
    pub fn nodes(&self) -> impl Iterator<Item = (&Path, &Node)> {
        std::iter::empty()
    }
    /// Returns the node at a relative path.
    pub fn get(&self, path: &Path) -> Option<&Node> {
        let _ = path;
        todo!()
    }
    /// Lists what differs between the two; empty when they are equal.
    pub fn differences(&self, other: &Snapshot) -> Vec<Difference> {
        let _ = other;
        todo!()
    }
}

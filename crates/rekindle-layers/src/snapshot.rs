//! A tree's full metadata and content digests, to compare trees with.
//!
//! Compared are kind, mode, mtime (of directories and symlinks, too), content, link target, and which names are hard
//! links to one file. Not compared are owners, ctimes, inode numbers, attributes, and links to files outside.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::scan::digest_steadily;
use crate::{Digest, Error, FileType, Timestamp, View};

/// The full metadata and content digests of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    nodes: BTreeMap<PathBuf, Node>,
}

/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is, and its content.
    pub kind: NodeKind,
    /// The permission bits (the low 12 bits of the mode).
    pub mode: u32,
    /// Time of last modification.
    pub mtime: Timestamp,
    /// The first path, in order, of the hard links to this file; `None` if it has no other name in the tree.
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
    /// A device; its number is not compared.
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
    /// Takes a snapshot of a plain directory, file or symlink.
    pub fn of_path(path: &Path) -> Result<Snapshot, Error> {
        Snapshot::of_view(&View::of_path(path)?)
    }

    /// Takes a snapshot of a view. Reads each file once, however many names it has.
    pub fn of_view(view: &View) -> Result<Snapshot, Error> {
        let mut nodes: BTreeMap<PathBuf, Node> = BTreeMap::new();
        let mut linked: BTreeMap<(u64, u64), Vec<PathBuf>> = BTreeMap::new();
        view.walk(|walked| {
            let metadata = walked.metadata();
            let mut known = None;
            if let Some(id) = metadata.hard_link_id() {
                match linked.entry(id) {
                    MapEntry::Vacant(group) => {
                        group.insert(vec![walked.path().to_owned()]);
                    }
                    MapEntry::Occupied(mut group) => {
                        known = nodes.get(&group.get()[0]).map(|node| node.kind.clone());
                        group.get_mut().push(walked.path().to_owned());
                    }
                }
            }
            let kind = match (known, metadata.file_type) {
                (Some(kind), _) => kind,
                (None, FileType::File) => {
                    let (stat, digest) = digest_steadily(walked.open_file()?.into(), walked.path())?;
                    NodeKind::File { size: stat.st_size as u64, digest }
                }
                (None, FileType::Directory) => NodeKind::Directory,
                (None, FileType::Symlink) => NodeKind::Symlink { target: walked.read_link()? },
                (None, FileType::Fifo) => NodeKind::Fifo,
                (None, FileType::Socket) => NodeKind::Socket,
                (None, FileType::Device) => NodeKind::Device,
            };
            let node = Node { kind, mode: metadata.mode, mtime: metadata.mtime, link_group: None };
            nodes.insert(walked.path().to_owned(), node);
            Ok::<(), Error>(())
        })?;
        for mut group in linked.into_values().filter(|group| group.len() > 1) {
            group.sort();
            for path in &group {
                nodes.get_mut(path).expect("every name was walked").link_group = Some(group[0].clone());
            }
        }
        Ok(Snapshot { nodes })
    }

    /// Iterates over all nodes in order of path; the root has the empty path.
    pub fn nodes(&self) -> impl Iterator<Item = (&Path, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_path(), node))
    }

    /// Returns the node at a relative path.
    pub fn get(&self, path: &Path) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Lists what differs between the two, in order of path; empty when they are equal.
    pub fn differences(&self, other: &Snapshot) -> Vec<Difference> {
        let ours = self.nodes.iter().filter(|&(path, node)| other.nodes.get(path) != Some(node));
        let mut paths: Vec<&PathBuf> = ours.map(|(path, _)| path).collect();
        paths.extend(other.nodes.keys().filter(|path| !self.nodes.contains_key(*path)));
        paths.sort();
        let differences = paths.into_iter().map(|path| Difference {
            path: path.clone(),
            ours: self.nodes.get(path).cloned(),
            theirs: other.nodes.get(path).cloned(),
        });
        differences.collect()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.as_os_str().is_empty() { Path::new(".") } else { &self.path };
        write!(f, "{}: ", path.display())?;
        match (&self.ours, &self.theirs) {
            (Some(ours), Some(theirs)) => write!(f, "{ours}, but {theirs}"),
            (Some(ours), None) => write!(f, "{ours}, but nothing"),
            (None, Some(theirs)) => write!(f, "nothing, but {theirs}"),
            (None, None) => write!(f, "nothing"),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            NodeKind::File { size, digest } => {
                write!(f, "file of {size} bytes {}", &digest.to_string()[..12])?;
            }
            NodeKind::Directory => write!(f, "directory")?,
            NodeKind::Symlink { target } => write!(f, "symlink to {target:?}")?,
            NodeKind::Fifo => write!(f, "pipe")?,
            NodeKind::Socket => write!(f, "socket")?,
            NodeKind::Device => write!(f, "device")?,
        }
        write!(f, " mode {:04o} mtime {}", self.mode, self.mtime)?;
        match &self.link_group {
            Some(first) => write!(f, " linked with {}", first.display()),
            None => Ok(()),
        }
    }
}

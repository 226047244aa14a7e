//! The manifest of a source tree: a Merkle tree over content.
//!
//! It holds what a build can see of its sources, in the sense of a Nix store path: which files there are, their
//! bytes, whether they are executable, where symlinks point. The other permission bits are kept for information but
//! do not count, or two users with different umasks would never share a build; whoever hands sources to a build
//! must therefore set modes by the executable bit alone. Times, owners and hard links do not count either.
//!
//! A directory's digest is BLAKE3, keyed by deriving from [`DIRECTORY`] (which holds the version), over its entries
//! in order of their names' bytes, each encoded so that no two lists have the same encoding:
//!
//! ```text
//! entry   = kind:u8, name length:u32, name, content     integers little-endian
//! kind    = 'f' file | 'x' executable file | 'l' symlink | 'd' directory
//! content = size:u64, BLAKE3 of the bytes:32            for a file
//!         | length:u32, target                          for a symlink
//!         | the directory's digest:32                   for a directory
//! ```
//! The manifest's digest is that of its root directory. Comparing two manifests skips directories with equal
//! digests, so it costs what differs.

mod delta;
mod disk;

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, LazyLock};

use crate::Digest;

const DIRECTORY: &str = "rekindle-layers source manifest directory v1";

/// The content of a source tree. Two are equal if their digests are.
#[derive(Clone, Debug)]
pub struct Manifest {
    root: Directory,
}

/// One file, directory or symlink of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Where it is, relative to the tree's root; never empty.
    pub path: PathBuf,
    /// The permission bits (the low 12 bits of the mode). Only the owner's execute bit of files counts as content.
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

impl Manifest {
    pub(crate) fn new(root: Directory) -> Manifest {
        Manifest { root }
    }

    /// Returns the digest of the whole tree.
    pub fn root(&self) -> Digest {
        self.root.digest
    }

    /// Iterates over all entries: each directory before what it holds, names in order of their bytes.
    pub fn entries(&self) -> Entries<'_> {
        Entries { path: PathBuf::new(), stack: vec![self.root.children.iter()] }
    }

    /// Returns the entry at a relative path, or `None`.
    pub fn get(&self, path: &Path) -> Option<Entry<'_>> {
        let mut directory = &self.root;
        let mut parts = path.components().peekable();
        while let Some(Component::Normal(name)) = parts.next() {
            let child = directory.child(name)?;
            if parts.peek().is_none() {
                return Some(child.entry(path.to_owned()));
            }
            let Node::Directory(inner) = &child.node else { return None };
            directory = inner;
        }
        None
    }

    /// Returns the manifest without the directories that lead to no file and no symlink.
    #[must_use]
    pub fn pruned(&self) -> Manifest {
        Manifest { root: prune(&self.root) }
    }

    /// Returns the manifest without those entries of the root directory itself that `leave_out` picks.
    #[must_use]
    pub fn without(self, mut leave_out: impl FnMut(&Entry<'_>) -> bool) -> Manifest {
        let mut picked = |child: &Child| leave_out(&child.entry(PathBuf::from(&*child.name)));
        let out: Vec<bool> = self.root.children.iter().map(&mut picked).collect();
        if !out.contains(&true) {
            return self;
        }
        let kept = self.root.children.iter().zip(out).filter(|(_, out)| !out);
        Manifest { root: Directory::new(kept.map(|(child, _)| child.clone()).collect()) }
    }

    /// Lists what differs in `newer`, in order of path.
    ///
    /// A directory that was added or removed is listed, and so is everything in it. Where a directory took the place
    /// of a file or the other way round, the path is listed as changed and what the directory holds as added or
    /// removed. A directory whose entries alone differ is not listed itself.
    pub fn changes(&self, newer: &Manifest) -> Vec<Change> {
        let mut changes = Vec::new();
        compare(&mut PathBuf::new(), &self.root, &newer.root, &mut changes);
        changes
    }
}

impl PartialEq for Manifest {
    fn eq(&self, other: &Manifest) -> bool {
        self.root() == other.root()
    }
}

impl Eq for Manifest {}

/// Iterator over the entries of a manifest; see [`Manifest::entries`].
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    /// The directory whose children the top of the stack iterates over.
    path: PathBuf,
    stack: Vec<std::slice::Iter<'a, Child>>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            match self.stack.last_mut()?.next() {
                Some(child) => {
                    let path = self.path.join(&*child.name);
                    if let Node::Directory(directory) = &child.node {
                        self.path.push(&*child.name);
                        self.stack.push(directory.children.iter());
                    }
                    return Some(child.entry(path));
                }
                None => {
                    self.stack.pop();
                    self.path.pop();
                }
            }
        }
    }
}

/// A directory, with its children in order of their names' bytes.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    digest: Digest,
    /// Shared, so that a manifest costs only what it does not have in common with the one it was loaded beside.
    children: Arc<[Child]>,
}

#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) name: Box<OsStr>,
    /// The low 12 bits of the mode.
    pub(crate) mode: u16,
    pub(crate) node: Node,
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    File { size: u64, digest: Digest },
    Symlink { target: Box<OsStr> },
    Directory(Directory),
}

impl Directory {
    /// Makes a directory of children that are sorted by name.
    pub(crate) fn new(children: Vec<Child>) -> Directory {
        static HASHER: LazyLock<blake3::Hasher> = LazyLock::new(|| blake3::Hasher::new_derive_key(DIRECTORY));
        let mut encoded = Vec::with_capacity(children.len() * 64);
        children.iter().for_each(|child| child.encode(&mut encoded));
        let digest = HASHER.clone().update(&encoded).finalize().into();
        Directory { digest, children: children.into() }
    }

    fn child(&self, name: &OsStr) -> Option<&Child> {
        let at = self.children.binary_search_by(|child| (*child.name).cmp(name)).ok()?;
        Some(&self.children[at])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }
}

impl Child {
    fn executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    fn entry(&self, path: PathBuf) -> Entry<'_> {
        let kind = match &self.node {
            &Node::File { size, digest } => EntryKind::File { size, executable: self.executable(), digest },
            Node::Symlink { target } => EntryKind::Symlink { target },
            Node::Directory(directory) => EntryKind::Directory { digest: directory.digest },
        };
        Entry { path, mode: self.mode.into(), kind }
    }

    fn same_content(&self, other: &Child) -> bool {
        match (&self.node, &other.node) {
            (Node::File { digest: a, .. }, Node::File { digest: b, .. }) => {
                a == b && self.executable() == other.executable()
            }
            (Node::Symlink { target: a }, Node::Symlink { target: b }) => a == b,
            (Node::Directory(a), Node::Directory(b)) => a.digest == b.digest,
            _ => false,
        }
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(match &self.node {
            Node::File { .. } if self.executable() => b'x',
            Node::File { .. } => b'f',
            Node::Symlink { .. } => b'l',
            Node::Directory(_) => b'd',
        });
        put_counted(bytes, &self.name);
        match &self.node {
            Node::File { size, digest } => {
                bytes.extend(size.to_le_bytes());
                bytes.extend(digest.as_bytes());
            }
            Node::Symlink { target } => put_counted(bytes, target),
            Node::Directory(directory) => bytes.extend(directory.digest.as_bytes()),
        }
    }
}

/// Names have at most 255 bytes and targets at most 4,095, so the length always fits.
fn put_counted(bytes: &mut Vec<u8>, text: &OsStr) {
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// A path has at most 4,095 bytes, which bounds the recursion.
fn compare(path: &mut PathBuf, older: &Directory, newer: &Directory, changes: &mut Vec<Change>) {
    if older.digest == newer.digest {
        return;
    }
    let (mut a, mut b) = (&*older.children, &*newer.children);
    loop {
        let order = match (a.first(), b.first()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.name.cmp(&new.name),
        };
        if order.is_lt() {
            list(path, &a[0], ChangeKind::Removed, ChangeKind::Removed, changes);
        } else if order.is_gt() {
            list(path, &b[0], ChangeKind::Added, ChangeKind::Added, changes);
        } else if !a[0].same_content(&b[0]) {
            match (&a[0].node, &b[0].node) {
                (Node::Directory(old), Node::Directory(new)) => {
                    path.push(&*a[0].name);
                    compare(path, old, new, changes);
                    path.pop();
                }
                (Node::Directory(_), _) => {
                    list(path, &a[0], ChangeKind::Changed, ChangeKind::Removed, changes);
                }
                _ => list(path, &b[0], ChangeKind::Changed, ChangeKind::Added, changes),
            }
        }
        a = &a[usize::from(order.is_le())..];
        b = &b[usize::from(order.is_ge())..];
    }
}

fn prune(directory: &Directory) -> Directory {
    let kept = directory.children.iter().filter_map(|child| {
        let node = match &child.node {
            Node::Directory(inner) => match prune(inner) {
                empty if empty.children.is_empty() => return None,
                inner => Node::Directory(inner),
            },
            leaf => leaf.clone(),
        };
        Some(Child { name: child.name.clone(), mode: child.mode, node })
    });
    Directory::new(kept.collect())
}

/// Lists a child as `kind`, and all below it as `below`.
fn list(path: &mut PathBuf, child: &Child, kind: ChangeKind, below: ChangeKind, changes: &mut Vec<Change>) {
    path.push(&*child.name);
    changes.push(Change { path: path.clone(), kind });
    if let Node::Directory(directory) = &child.node {
        for inner in &*directory.children {
            list(path, inner, below, below, changes);
        }
    }
    path.pop();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(name: &str, mode: u16, node: Node) -> Child {
        Child { name: OsStr::new(name).into(), mode, node }
    }

    fn file(name: &str, content: &str) -> Child {
        let node = Node::File { size: content.len() as u64, digest: Digest::of(content.as_bytes()) };
        child(name, 0o644, node)
    }

    fn dir(name: &str, children: Vec<Child>) -> Child {
        child(name, 0o755, Node::Directory(Directory::new(children)))
    }

    fn tree(children: Vec<Child>) -> Manifest {
        Manifest::new(Directory::new(children))
    }

    #[test]
    fn only_content_decides_the_digest() {
        let base = tree(vec![file("a", "1")]);
        let with_mode = |mode| tree(vec![Child { mode, ..file("a", "1") }]);
        assert_eq!(base, with_mode(0o600), "the umask does not count");
        let link = |target: &str| child("a", 0o777, Node::Symlink { target: OsStr::new(target).into() });
        let different = [
            tree(vec![]),
            with_mode(0o755),
            tree(vec![file("a", "2")]),
            tree(vec![file("b", "1")]),
            tree(vec![link("1")]),
            tree(vec![link("2")]),
            tree(vec![dir("a", vec![])]),
            tree(vec![dir("a", vec![file("a", "1")])]),
            tree(vec![file("a", "1"), dir("b", vec![])]),
        ];
        for (at, one) in different.iter().enumerate() {
            assert_ne!(&base, one);
            assert!(different[..at].iter().all(|other| other != one));
        }
    }

    #[test]
    fn the_encoding_stays_as_it_is() {
        let manifest = tree(vec![file("a", "1"), dir("b", vec![file("c", "")])]);
        assert_eq!(
            manifest.root().to_string(),
            "b1a9c5208274fc654612ad2132341a966947d0af6a264c4ccb5818cbbf0a93f7"
        );
    }

    #[test]
    fn entries_and_lookups_agree() {
        let manifest =
            tree(vec![file("a", "1"), dir("b", vec![file("c", ""), dir("d", vec![])]), file("b.c", "")]);
        let paths: Vec<_> = manifest.entries().map(|entry| entry.path).collect();
        assert_eq!(paths, ["a", "b", "b/c", "b/d", "b.c"].map(PathBuf::from));
        for entry in manifest.entries() {
            assert_eq!(manifest.get(&entry.path), Some(entry));
        }
        for none in ["", "x", "a/b", "b/x", "../a", "/a"] {
            assert_eq!(manifest.get(Path::new(none)), None, "{none}");
        }
    }

    #[test]
    fn directories_that_lead_to_nothing_are_pruned() {
        let all = tree(vec![
            dir("a", vec![dir("b", vec![]), dir("c", vec![dir("d", vec![])])]),
            dir("e", vec![dir("f", vec![]), file("g", "")]),
        ]);
        assert_eq!(all.pruned(), tree(vec![dir("e", vec![file("g", "")])]));
        assert_eq!(all.pruned().pruned(), all.pruned());
    }

    #[test]
    fn only_the_root_is_picked_from() {
        let all = || tree(vec![file("a", "1"), dir("b", vec![file("a", "1")]), file("c", "")]);
        let without = |names: &[&str]| {
            let picked = |entry: &Entry<'_>| names.iter().any(|name| entry.path == Path::new(name));
            all().without(picked)
        };
        assert_eq!(without(&[]), all());
        assert_eq!(without(&["a", "x"]), tree(vec![dir("b", vec![file("a", "1")]), file("c", "")]));
        assert_eq!(without(&["b/a"]), all());
        assert_eq!(without(&["a", "b", "c"]), tree(vec![]));
    }

    #[test]
    fn changes_are_listed() {
        use ChangeKind::{Added, Changed, Removed};
        let older = tree(vec![
            file("a", "1"),
            dir("b", vec![file("c", "")]),
            dir("d", vec![file("e", "")]),
            file("f", ""),
        ]);
        let newer = tree(vec![
            file("a", "2"),
            dir("b", vec![dir("c", vec![file("x", "")])]),
            file("d", ""),
            file("g", ""),
        ]);
        let changes = |a: &Manifest, b: &Manifest| {
            let list = a.changes(b).into_iter();
            list.map(|change| (change.path.to_str().unwrap().to_owned(), change.kind)).collect::<Vec<_>>()
        };
        let expect = |list: &[(&str, ChangeKind)]| {
            list.iter().map(|(path, kind)| (path.to_string(), *kind)).collect::<Vec<_>>()
        };
        assert_eq!(
            changes(&older, &newer),
            expect(&[
                ("a", Changed),
                ("b/c", Changed),
                ("b/c/x", Added),
                ("d", Changed),
                ("d/e", Removed),
                ("f", Removed),
                ("g", Added)
            ])
        );
        assert_eq!(changes(&older, &older), []);
    }
}

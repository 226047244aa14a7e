//! A tree of files to be hashed or copied: which paths there are, in the order of an archive.
//!
//! A [`Tree`] is made from a directory as it is ([`Tree::scan`]) or from a list of what of it counts
//! ([`Tree::from_entries`]), so that a filter of sources needs no copy. It holds names and kinds only; content, sizes,
//! executable bits and link targets are read when the tree is hashed or copied, and a tree that is not what its list
//! says is then an error that names the path.

mod pump;
mod stream;

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fs::FileType;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use crate::error::{At, Cause, Error, Result};

pub use stream::NarDigest;
pub(crate) use stream::{Effect, stream};

/// What a path of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file. Whether it is executable is read from its mode: the owner's bit decides.
    File,
    /// A symbolic link.
    Symlink,
}

/// A path of a tree, relative to its root; the root itself is the empty path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) path: PathBuf,
    pub(crate) kind: EntryKind,
}

/// The paths below a root, complete (each but the root has its directory) and in the order of an archive:
/// a directory before its entries, entries by the bytes of their names.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
    nodes: Vec<Node>,
}

impl Tree {
    /// Lists what is at `root`: a directory with all that is in it, or a single file or symbolic link.
    ///
    /// A socket, pipe or device is an error that names it.
    pub fn scan(root: &Path) -> Result<Self> {
        Self::scan_with(root, &mut |_| Ok(()))
    }

    /// Lists what is at `root` and makes each directory accessible first, whatever its mode was.
    pub(crate) fn scan_unlocking(root: &Path) -> Result<Self> {
        Self::scan_with(root, &mut |path| {
            let mode = path.symlink_metadata().at("look at", path)?.mode();
            if mode & 0o700 == 0o700 {
                return Ok(());
            }
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode & 0o777 | 0o700))
                .at("make accessible the directory", path)
        })
    }

    fn scan_with(root: &Path, enter: &mut dyn FnMut(&Path) -> Result<()>) -> Result<Self> {
        let meta = root.symlink_metadata().at("look at", root)?;
        let mut tree = Self { root: root.to_owned(), nodes: Vec::new() };
        tree.scan_node(Path::new(""), meta.file_type(), enter)?;
        Ok(tree)
    }

    fn scan_node(
        &mut self,
        path: &Path,
        file_type: FileType,
        enter: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<()> {
        let physical = self.physical(path);
        let kind = kind_of(file_type, &physical)?;
        self.nodes.push(Node { path: path.to_owned(), kind });
        if kind == EntryKind::Directory {
            enter(&physical)?;
            let mut entries = Vec::new();
            for entry in std::fs::read_dir(&physical).at("list", &physical)? {
                let entry = entry.at("list", &physical)?;
                let file_type = entry.file_type().at("look at", &entry.path())?;
                entries.push((entry.file_name(), file_type));
            }
            entries.sort_unstable_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
            for (name, file_type) in entries {
                self.scan_node(&path.join(name), file_type, enter)?;
            }
        }
        Ok(())
    }

    /// The tree of just these paths below the directory `root`, in any order.
    ///
    /// The paths are relative and plain (`a/b`, not `./a` or `a/../b`). The directories that lead to them need not be
    /// listed. A path that is listed twice, or that lies below one that is not a directory, is an error.
    pub fn from_entries(
        root: &Path,
        entries: impl IntoIterator<Item = (PathBuf, EntryKind)>,
    ) -> Result<Self> {
        let mut listed: Vec<Node> = entries.into_iter().map(|(path, kind)| Node { path, kind }).collect();
        for node in &listed {
            check_plain(&node.path)?;
        }
        listed.sort_by(|a, b| archive_order(&a.path, &b.path));
        if listed
            .first()
            .is_some_and(|node| node.path.as_os_str().is_empty() && node.kind == EntryKind::Directory)
        {
            listed.remove(0);
        }

        let mut nodes = vec![Node { path: PathBuf::new(), kind: EntryKind::Directory }];
        // Where we are: indices of the directories from the root to the last node, which may be no directory.
        let mut open = vec![0_usize];
        for node in listed {
            while !node.path.starts_with(&nodes[open[open.len() - 1]].path) {
                open.pop();
            }
            let top = &nodes[open[open.len() - 1]];
            if top.path == node.path {
                return Err(bad_entry(&node.path, "it is listed twice"));
            }
            if top.kind != EntryKind::Directory {
                return Err(bad_entry(&node.path, "a path above it is not a directory"));
            }
            let above = top.path.components().count();
            let depth = node.path.components().count();
            let missing: Vec<PathBuf> =
                (above + 1..depth).map(|length| node.path.components().take(length).collect()).collect();
            for path in missing {
                open.push(nodes.len());
                nodes.push(Node { path, kind: EntryKind::Directory });
            }
            open.push(nodes.len());
            nodes.push(node);
        }
        Ok(Self { root: root.to_owned(), nodes })
    }

    /// Where the tree lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The paths of the tree, relative to its root (which is the empty path), in the order of an archive.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&Path, EntryKind)> + DoubleEndedIterator {
        self.nodes.iter().map(|node| (node.path.as_path(), node.kind))
    }

    /// The hash and size of the tree's archive.
    pub fn nar_digest(&self) -> Result<NarDigest> {
        stream(self, Effect::Read, &mut std::io::sink())
    }

    /// Writes the tree's archive to `sink`.
    pub fn write_nar(&self, sink: &mut dyn std::io::Write) -> Result<()> {
        stream(self, Effect::Read, sink).map(drop)
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn physical(&self, path: &Path) -> PathBuf {
        below(&self.root, path)
    }
}

/// `root/path`, or `root` itself for the empty path ([`Path::join`] would add a slash).
pub(crate) fn below(root: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { root.to_owned() } else { root.join(path) }
}

/// The kind of a file, or an error that says what else it is.
pub(crate) fn kind_of(file_type: FileType, path: &Path) -> Result<EntryKind> {
    if file_type.is_file() {
        Ok(EntryKind::File)
    } else if file_type.is_dir() {
        Ok(EntryKind::Directory)
    } else if file_type.is_symlink() {
        Ok(EntryKind::Symlink)
    } else {
        let kind = if file_type.is_fifo() {
            "named pipe"
        } else if file_type.is_socket() {
            "socket"
        } else if file_type.is_block_device() || file_type.is_char_device() {
            "device"
        } else {
            "file of unknown type"
        };
        Err(Cause::UnsupportedFile { path: path.to_owned(), kind }.into())
    }
}

fn check_plain(path: &Path) -> Result<()> {
    // `components` swallows `.` (but at the start) and doubled slashes, so what it yields is compared.
    let plain: PathBuf = path.components().filter(|component| *component != Component::CurDir).collect();
    if plain.as_os_str() != path.as_os_str() {
        return Err(bad_entry(path, "its path is not in its plain form"));
    }
    if path.components().any(|component| !matches!(component, Component::Normal(_))) {
        return Err(bad_entry(path, "its path is not below the root"));
    }
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(bad_entry(path, "its path holds a NUL"));
    }
    Ok(())
}

fn bad_entry(path: &Path, why: &'static str) -> Error {
    Cause::BadEntry { path: path.to_owned(), why }.into()
}

/// Compares paths name by name: `a/z` comes before `a.b`, though `/` is the greater byte.
fn archive_order(a: &Path, b: &Path) -> Ordering {
    a.iter().map(OsStr::as_bytes).cmp(b.iter().map(OsStr::as_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use EntryKind::{Directory, File, Symlink};

    fn listing(tree: &Tree) -> Vec<(String, EntryKind)> {
        tree.entries().map(|(path, kind)| (path.to_str().unwrap().to_owned(), kind)).collect()
    }

    fn made(entries: &[(&str, EntryKind)]) -> Result<Vec<(String, EntryKind)>> {
        Tree::from_entries(Path::new("/r"), entries.iter().map(|(path, kind)| (path.into(), *kind)))
            .map(|tree| listing(&tree))
    }

    #[test]
    fn lists_are_completed_and_sorted() {
        let check = |entries: &[(&str, EntryKind)], expect: &[(&str, EntryKind)]| {
            let expect: Vec<_> = expect.iter().map(|(path, kind)| ((*path).to_owned(), *kind)).collect();
            assert_eq!(made(entries).unwrap(), expect);
        };
        check(&[], &[("", Directory)]);
        check(&[("", Directory), ("a", File)], &[("", Directory), ("a", File)]);
        check(
            &[("a.b", File), ("a/z/q", File), ("a/b", Symlink), ("a-", Directory)],
            &[
                ("", Directory),
                ("a", Directory),
                ("a/b", Symlink),
                ("a/z", Directory),
                ("a/z/q", File),
                ("a-", Directory),
                ("a.b", File),
            ],
        );
    }

    #[test]
    fn bad_lists_are_refused() {
        let check = |entries: &[(&str, EntryKind)], expect: &str| {
            let error = made(entries).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(&[("a", File), ("a", File)], "'a' cannot be an entry of a tree: it is listed twice");
        check(&[("a", File), ("a/b/c", File)], "'a/b/c' cannot be an entry of a tree: a path above it");
        check(&[("../a", File)], "not below the root");
        check(&[("/a", File)], "not below the root");
        check(&[("a//b", File)], "plain form");
        check(&[("./b", File)], "plain form");
        check(&[("b/", Directory)], "plain form");
    }

    #[test]
    fn a_scan_lists_the_same_as_its_list() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/z")).unwrap();
        std::fs::create_dir_all(dir.path().join("a-")).unwrap();
        std::fs::write(dir.path().join("a/z/q"), b"").unwrap();
        std::fs::write(dir.path().join("a.b"), b"").unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("a/b")).unwrap();
        let scanned = Tree::scan(dir.path()).unwrap();
        let listed =
            Tree::from_entries(dir.path(), scanned.entries().map(|(path, kind)| (path.to_owned(), kind)))
                .unwrap();
        assert_eq!(listing(&scanned), listing(&listed));
        assert_eq!(scanned.entries().len(), 7);
    }
}

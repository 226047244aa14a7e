//! Applying what changed in the sources to the tree that an earlier build left.
//!
//! Three trees meet: *before then*, from which the earlier build began; *after then*, what it left; *before now*, from
//! which the next one would begin if it were a clean one. What differs between the two befores is applied to *after
//! then*, path by path: a path that is the same in both keeps whatever the earlier build made of it, to the
//! nanosecond; any other becomes what it is in *before now*, whatever the earlier build made of it, with the new time.
//! That makes a tree, but for three cases, which are decided so:
//!
//! - What is left in a directory that is no longer there, or no longer a directory, is gone with it.
//! - What changed in a directory that the earlier build removed or replaced brings the directory back, and nothing
//!   else in it.
//! - A directory in which a name came or went gets the new time as its mtime; of one that only leads to a change the
//!   earlier build's mode and mtime stay.
//!
//! All is written into a new layer on top of *after then*; that alone says what the cost is.

use std::path::{Path, PathBuf};

use crate::error::Kind;
use crate::tree_writer::TreeWriter;
use crate::view::Cursor;
use crate::{Error, FileType, Timestamp, TreeChange, TreeChangeKind, View, Walked, Written, dirfd};

/// What a merge wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// What is now in the upper directory; its directories include those that only lead to a change.
    pub written: Written,
    /// Names that are hidden now; a directory counts once.
    pub removed: u64,
}

/// Writes into the empty directory `upper` what has to lie on top of the stack `onto` (*after then*) so that `changes`
/// are applied: those that [`crate::difference`] lists, at the same `sub`, from *before then* to the stack `now`
/// (*before now*). Stacks are topmost first.
///
/// What is new gets exactly `mtime`; its hard links among each other are kept. The root of `upper` gets mode and mtime
/// of the root of `onto`. The cost is that of `changes`, and does not depend on how large the trees are.
pub fn merge<P: AsRef<Path>>(
    changes: &[TreeChange],
    now: &[P],
    onto: &[P],
    upper: &Path,
    sub: &Path,
    mtime: Timestamp,
) -> Result<Merged, Error> {
    let now = View::of_layers(now, Path::new(""))?;
    let onto = View::of_layers(onto, Path::new(""))?;
    let mut tree = TreeWriter::new(upper)?;
    tree.set_root(onto.root_metadata().mode, onto.root_metadata().mtime);
    let mut merge =
        Merge { now: Cursor::new(now), onto: Cursor::new(onto), tree, mtime, settled: None, removed: 0 };
    // A directory before what it holds.
    let mut sorted: Vec<&TreeChange> = changes.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    for change in sorted {
        let path = dirfd::join(sub, &change.path);
        if !dirfd::is_plain_relative(&path) {
            return Err(Kind::NotInView { path }.into());
        }
        merge.apply(&path, change.kind)?;
    }
    Ok(Merged { removed: merge.removed, written: merge.tree.finish()? })
}

struct Merge {
    now: Cursor,
    onto: Cursor,
    tree: TreeWriter,
    mtime: Timestamp,
    /// The latest path that is no directory now: there is nothing more to do below it.
    settled: Option<PathBuf>,
    removed: u64,
}

impl Merge {
    fn apply(&mut self, path: &Path, kind: TreeChangeKind) -> Result<(), Error> {
        if self.settled.as_ref().is_some_and(|settled| path.starts_with(settled)) {
            return Ok(());
        }
        let Some(parent) = path.parent() else {
            self.tree.set_root(self.now.view().root_metadata().mode, self.mtime);
            return Ok(());
        };
        if kind == TreeChangeKind::Removed {
            self.settled = Some(path.to_owned());
            if self.onto.entry(path)?.is_some() {
                self.make_directories(parent)?;
                self.tree.whiteout(path)?;
                self.removed += 1;
            } else if self.onto.has_directory(parent)? {
                self.make_directories(parent)?;
            }
        } else {
            self.make_directories(parent)?;
            self.write(path)?;
        }
        if matches!(kind, TreeChangeKind::Added | TreeChangeKind::Removed | TreeChangeKind::Kind) {
            self.tree.touch_directory(parent, self.mtime);
        }
        Ok(())
    }

    /// Writes what is at a path now.
    fn write(&mut self, path: &Path) -> Result<(), Error> {
        let replaced = self.onto.entry(path)?;
        let entry = self.now.entry(path)?.ok_or_else(|| Kind::NotInView { path: path.to_owned() })?;
        let dir = self.now.dir().expect("it holds the entry");
        self.tree.copy(&Walked::at(path, dir, &entry), path, self.mtime)?;
        if entry.metadata.file_type != FileType::Directory {
            self.settled = Some(path.to_owned());
        } else if replaced.is_some_and(|replaced| replaced.metadata.file_type != FileType::Directory) {
            self.tree.opaque(path)?;
        }
        Ok(())
    }

    /// Makes a directory, and those that lead to it, where they were not made before.
    fn make_directories(&mut self, path: &Path) -> Result<(), Error> {
        let missing: Vec<&Path> =
            path.ancestors().take_while(|path| !self.tree.has_directory(path)).collect();
        for path in missing.into_iter().rev() {
            let replaced = match self.onto.entry(path)? {
                Some(entry) if entry.metadata.file_type == FileType::Directory => {
                    self.tree.directory(path, entry.metadata.mode, entry.metadata.mtime)?;
                    continue;
                }
                other => other.is_some(),
            };
            let entry = self.now.entry(path)?.ok_or_else(|| Kind::NotInView { path: path.to_owned() })?;
            self.tree.directory(path, entry.metadata.mode, self.mtime)?;
            if replaced {
                self.tree.opaque(path)?;
            }
            self.tree.touch_directory(path.parent().unwrap_or(Path::new("")), self.mtime);
        }
        Ok(())
    }
}

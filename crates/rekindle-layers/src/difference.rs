//! What differs between two stacks of layers.

use std::path::{Path, PathBuf};

use crate::Error;

/// One difference between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeChange {
    /// Where, relative to the place below which the trees were compared; empty for that place itself.
    pub path: PathBuf,
    /// How the later tree differs there.
    pub kind: TreeChangeKind,
}

/// How a path differs between two trees. Where several hold, it is the first of `Kind`, `Content` or `Target`, `Mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TreeChangeKind {
    /// Only the later tree has it.
    Added,
    /// Only the earlier tree has it.
    Removed,
    /// A regular file with other bytes.
    Content,
    /// Other permission bits.
    Mode,
    /// A file of another kind: a directory where a file was, say.
    Kind,
    /// A symlink that points elsewhere.
    Target,
}

/// Lists what differs between two stacks of layers (topmost first) at `sub` and below, in order of path.
///
/// Kind, bytes, permission bits and link targets count; times, owners and hard links do not. Everything below a
/// directory that was added or removed is listed, too. Where a directory took the place of something else or the
/// other way round, what it holds is listed as added or removed. `sub` may be missing on either side.
///
/// The cost is that of the layers that the two stacks do not have in common at their lower ends.
pub fn difference<P: AsRef<Path>>(before: &[P], after: &[P], sub: &Path) -> Result<Vec<TreeChange>, Error> {
    let _ = (before, after, sub);
    todo!()
}

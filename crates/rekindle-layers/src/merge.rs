//! Applying changes of the sources to the tree that a build left.

use std::path::Path;

use crate::{Error, Timestamp, TreeChange, Written};

/// What a merge wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// What is now in the upper directory; its directories include those that only lead to a change.
    pub written: Written,
    /// Names that are hidden now; a directory counts once.
    pub removed: u64,
}

/// Writes into the empty directory `upper` what has to lie on top of the stack `onto` so that `changes` are applied.
pub fn merge<P: AsRef<Path>>(
    changes: &[TreeChange],
    now: &[P],
    onto: &[P],
    upper: &Path,
    sub: &Path,
    mtime: Timestamp,
) -> Result<Merged, Error> {
    let _ = (changes, now, onto, upper, sub, mtime);
    todo!()
}

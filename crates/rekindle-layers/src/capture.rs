//! Source directories as layers.

use std::path::Path;

use crate::{Draft, Error, Manifest, Timestamp, Written};

/// What a capture wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// What is now in the layer; its directories include those that only lead to something.
    pub written: Written,
    /// Names that are hidden now; a directory counts once.
    pub removed: u64,
}

/// Writes the sources of `root` that `manifest` lists into the empty `draft`, at the relative path `at`.
///
/// With `previous`, the manifest of the sources that the layers below hold at `at`, only what differs from it.
pub fn capture_source(
    root: &Path,
    manifest: &Manifest,
    previous: Option<&Manifest>,
    draft: &Draft,
    at: &Path,
    mtime: Timestamp,
) -> Result<Captured, Error> {
    let _ = (root, manifest, previous, draft, at, mtime);
    todo!()
}

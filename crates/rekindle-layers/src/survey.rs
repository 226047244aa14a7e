//! What a layer amounts to as a whole.

use std::path::Path;

use crate::{Error, Timestamp};

/// What a layer takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Bytes that are allocated, directories and marks included, hard links once. Bytes that a file system shares with
    /// another file count in full.
    pub bytes: u64,
    /// Everything but directories and whiteouts, hard links once.
    pub files: u64,
}

/// Measures what a layer takes on disk.
pub fn disk_usage(layer: &Path) -> Result<DiskUsage, Error> {
    let _ = layer;
    todo!()
}

/// Returns the newest mtime in a layer: of files, symlinks, directories and the root. Whiteouts do not count.
pub fn newest_mtime(layer: &Path) -> Result<Timestamp, Error> {
    let _ = layer;
    todo!()
}

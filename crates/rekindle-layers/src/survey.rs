//! What a layer amounts to as a whole: the newest time in it, and what it takes on disk.

use std::collections::HashSet;
use std::path::Path;

use crate::{Error, FileType, Timestamp, View};

/// What a layer takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Bytes that are allocated, directories and whiteouts included, hard links once. Bytes that a file system shares
    /// with another file count in full.
    pub bytes: u64,
    /// Everything but directories and whiteouts, hard links once.
    pub files: u64,
}

/// Measures what a layer takes on disk.
pub fn disk_usage(layer: &Path) -> Result<DiskUsage, Error> {
    let mut usage = DiskUsage::default();
    let mut seen = HashSet::new();
    // As it stands on disk: a whiteout takes an inode, too.
    View::of_path(layer)?.walk(|walked| {
        let metadata = walked.metadata();
        if metadata.hard_link_id().is_none_or(|id| seen.insert(id)) {
            usage.bytes += metadata.allocated;
            let counts = !matches!(metadata.file_type, FileType::Directory | FileType::Device);
            usage.files += u64::from(counts);
        }
        Ok::<(), Error>(())
    })?;
    Ok(usage)
}

/// Returns the newest mtime in a layer: of files, symlinks, directories and the root. Whiteouts do not count, because
/// their times show nowhere.
pub fn newest_mtime(layer: &Path) -> Result<Timestamp, Error> {
    let view = View::of_layers(&[layer], Path::new(""))?;
    let mut newest = view.root_metadata().mtime;
    view.walk(|walked| {
        newest = newest.max(walked.metadata().mtime);
        Ok::<(), Error>(())
    })?;
    Ok(newest)
}

//! What a layer amounts to as a whole: the newest time in it, what it takes on disk, and how it looks.
//!
//! How it looks is what tells that somebody wrote into a layer that nothing may write to any more. Contents are not read for
//! that, as a build would take longer to begin than to compile; whoever writes to a file changes its time.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::view::Walked;
use crate::{Digest, Error, FileType, Timestamp, View};

/// What a layer amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Bytes that are allocated, directories and whiteouts included, hard links once. Bytes that a file system shares
    /// with another file count in full. It may become another number as the file system writes them.
    pub bytes: u64,
    /// Everything but directories and whiteouts, hard links once.
    pub files: u64,
    /// A digest of all paths with their kinds, modes, times and sizes. Two surveys of a layer that nobody wrote to have
    /// the same.
    pub look: Digest,
}

/// Surveys a layer. Nothing may write to it meanwhile.
///
/// # Errors
/// Something in it cannot be listed or examined.
pub fn survey(layer: &Path) -> Result<Survey, Error> {
    let (mut bytes, mut files) = (0, 0);
    let mut look = blake3::Hasher::new_derive_key("rekindle 2026 how a layer looks");
    let mut seen = HashSet::new();
    // As it stands on disk: a whiteout takes an inode, too.
    View::of_path(layer)?.walk(|walked| {
        let metadata = walked.metadata();
        look_at(walked, &mut look);
        if metadata.hard_link_id().is_none_or(|id| seen.insert(id)) {
            bytes += metadata.allocated;
            files += u64::from(!matches!(metadata.file_type, FileType::Directory | FileType::Device));
        }
        Ok::<(), Error>(())
    })?;
    Ok(Survey { bytes, files, look: look.finalize().into() })
}

fn look_at(walked: &Walked<'_>, look: &mut blake3::Hasher) {
    let (path, metadata) = (walked.path().as_os_str().as_bytes(), walked.metadata());
    // Of a directory it is whatever the file system says.
    let size = if metadata.file_type == FileType::Directory { 0 } else { metadata.size };
    let mut fixed = [0; 33];
    fixed[..8].copy_from_slice(&(path.len() as u64).to_le_bytes());
    fixed[8..16].copy_from_slice(&size.to_le_bytes());
    fixed[16..24].copy_from_slice(&metadata.mtime.secs.to_le_bytes());
    fixed[24..28].copy_from_slice(&metadata.mtime.nanos.to_le_bytes());
    fixed[28..32].copy_from_slice(&metadata.mode.to_le_bytes());
    fixed[32] = metadata.file_type as u8;
    look.update(&fixed).update(path);
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

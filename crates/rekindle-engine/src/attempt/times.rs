//! The times of changed sources once a step that went on has seen them.
//!
//! For a build tool to see that a source changed, it gets a time that is newer than all else (the mark). In a clean build the
//! sources are older than all that is made of them. So they are given their time back when the audit is content: or what was
//! rightly left alone ("move if changed") looks out of date to the `make install` that follows, which makes it again without what
//! the build phase was told.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rekindle_layers::{Cursor, Timestamp, View, retime};

use super::Attempt;
use crate::copied::Copied;
use crate::error::Error;

impl Attempt<'_> {
    /// Gives what was changed before the rounds of a step, or only renewed, at these paths, its time back where it still has the
    /// `mark`: that which it had in the tree that the step left `then`, as products that were kept are newer; or what it has in the
    /// tree `before` the step.
    pub(super) fn give_times_back(
        &self,
        (changed, renewed): (&[BTreeSet<Vec<u8>>], &BTreeSet<Vec<u8>>),
        mark: Timestamp,
        (then, before): (&[PathBuf], &[PathBuf]),
    ) -> Result<(), Error> {
        let cursor = |stack| Ok::<_, Error>(Cursor::new(View::of_layers(stack, Path::new(""))?));
        let (mut then, mut before) = (cursor(then)?, cursor(before)?);
        // Only what the rounds of the step left can have it.
        let drafts = self.tree.iter().take(changed.len());
        let drafts: Vec<PathBuf> = drafts.filter_map(|layer| layer.draft_path()).collect();
        let copy = self.copied.as_ref().map(Copied::root);
        let marked = changed.iter().flatten().chain(renewed);
        let marked = marked.map(|path| Path::new(OsStr::from_bytes(path)));
        // A directory in which a name came or went got the mark, too.
        let places: BTreeSet<&Path> = marked.flat_map(|path| [Some(path), path.parent()]).flatten().collect();
        for path in places {
            let Some(now) = before.metadata(path)? else { continue };
            let same_kind = then.metadata(path)?.filter(|then| then.file_type == now.file_type);
            let time = same_kind.map_or(now.mtime, |then| then.mtime);
            for root in drafts.iter().map(PathBuf::as_path).chain(copy) {
                retime(root, path, mark, time)?;
            }
        }
        Ok(())
    }
}

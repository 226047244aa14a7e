//! One layer in place of several.
//!
//! Squashing is merging without forgetting: the marks of the layers may also hide what lies further below, so those
//! that can are kept. A whiteout stays, unless it is in an opaque directory. A directory is opaque if it was so in
//! any of the layers that have a part in it, or if one of them has a whiteout or no directory at its path, because
//! there the kernel stops to merge.

mod policy;

use std::path::Path;

pub use policy::runs_to_squash;

use crate::tree_writer::TreeWriter;
use crate::view::Marked;
use crate::{Draft, Error, View, Written};

/// Writes into the empty `draft` one layer that means the same as several adjacent ones (topmost first), whatever lies
/// below or above them: bytes, modes, mtimes and hard links within these layers are the same.
///
/// Nothing is shared with the layers but blocks. The cost is that of what is visible of them.
pub fn squash<P: AsRef<Path>>(layers: &[P], draft: &Draft) -> Result<Written, Error> {
    let view = View::of_layers(layers, Path::new(""))?;
    let mut tree = TreeWriter::new(draft.upper())?;
    tree.set_root(view.root_metadata().mode, view.root_metadata().mtime);
    view.walk_with_marks(|marked| match marked {
        Marked::Entry(walked) if walked.path().as_os_str().is_empty() => Ok(()),
        Marked::Entry(walked) => tree.copy(walked, walked.path(), walked.metadata().mtime),
        Marked::Whiteout(path) => tree.whiteout(path),
        Marked::Opaque(path) => tree.opaque(path),
    })?;
    tree.finish()
}

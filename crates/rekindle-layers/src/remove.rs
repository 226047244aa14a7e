//! skeleton
use crate::Error;
use std::path::Path;
/// Removes a file or a whole tree, whatever its modes and however deep. Nothing at `path` is success.
pub fn remove_tree(path: &Path) -> Result<(), Error> {
    let _ = path;
    todo!()
}

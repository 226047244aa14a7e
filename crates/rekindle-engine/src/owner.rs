//! Whose Rekindle's own directory in a store is, and whether this user can build with it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Access;

use crate::engine::OWN_DIR;
use crate::error::Error;

/// Looks whether builds could write to what is Rekindle's own in the store with this root. Nothing is changed.
///
/// # Errors
/// It belongs to another user, or may not be written.
pub fn check_own_dir(store_root: &Path) -> Result<(), Error> {
    let own_dir = store_root.join(OWN_DIR);
    check_owner(&own_dir)?;
    match rustix::fs::access(&own_dir, Access::WRITE_OK | Access::EXEC_OK) {
        Err(errno) if errno != rustix::io::Errno::NOENT => {
            Err(Error::io("write to the directory", &own_dir, errno.into()))
        }
        _ => Ok(()),
    }
}

/// Refuses a store of another user. In a sandbox even root cannot read the layers of others, and what it would leave
/// among them would lock out their owner.
pub(crate) fn check_owner(own_dir: &Path) -> Result<(), Error> {
    let owner = match fs::metadata(own_dir) {
        Ok(metadata) => metadata.uid(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("look at", own_dir, error)),
    };
    if owner == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let message = format!(
        "{} belongs to the user with the number {owner}; use it as that user, or another one with --store",
        own_dir.display()
    );
    Err(Error::environment(message))
}

/// The reason behind an error that has to do with the directory: that it is another user's. Root may look at those.
pub(crate) fn explained(own_dir: &Path, error: Error) -> Error {
    check_owner(own_dir).err().unwrap_or(error)
}

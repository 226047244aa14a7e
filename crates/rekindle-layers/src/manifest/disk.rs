//! Manifests as files.

use std::path::Path;

use super::Manifest;
use crate::Error;

impl Manifest {
    /// Writes the manifest, replacing the file at once or not at all.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let _ = path;
        todo!()
    }

    /// Loads a manifest. One that is damaged or of another version is an error ([`Error::is_damaged`]).
    pub fn load(path: &Path) -> Result<Manifest, Error> {
        let _ = path;
        todo!()
    }
}

//! Who makes a store path: locks beside the paths, by Nix's protocol.
//!
//! Two processes that are about to make the same path, be they of ours or of real Nix, wait for each other: the second
//! one finds the path valid when it gets the lock. The lock of `<path>` is the file `<path>.lock` in the physical store.

use std::collections::{BTreeMap, BTreeSet};

use rekindle_nix::StorePath;

use crate::error::Result;
use crate::flock::LockFile;
use crate::store::Store;

/// The right to make some store paths. Given up when dropped.
#[derive(Debug)]
pub struct OutputLocks {
    locks: BTreeMap<StorePath, LockFile>,
}

impl OutputLocks {
    /// Whether the right to make this path is among them.
    pub fn hold(&self, path: &StorePath) -> bool {
        self.locks.contains_key(path)
    }
}

impl Store {
    /// Waits for the right to make the paths, and protects them from the collection of garbage.
    ///
    /// `waiting` is called once for each path that somebody else is making. When this returns, look again whether the
    /// paths are valid: whoever was waited for has probably made them.
    ///
    /// Blocks as long as the other one takes. Who must stay able to stop asks [`Store::try_lock_outputs`] now and then.
    pub fn lock_outputs<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
        waiting: &mut dyn FnMut(&StorePath),
    ) -> Result<OutputLocks> {
        self.acquire(paths.into_iter().collect(), true, waiting)
            .map(|locks| locks.expect("waiting ends with the locks or an error"))
    }

    /// Takes the right to make the paths if nobody else has that to one of them, else none at all.
    pub fn try_lock_outputs<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<Option<OutputLocks>> {
        self.acquire(paths.into_iter().collect(), false, &mut |_| {})
    }

    /// One order for everyone, by the bytes of the paths, so that nobody waits in a circle.
    fn acquire(
        &self,
        paths: BTreeSet<&StorePath>,
        wait: bool,
        waiting: &mut dyn FnMut(&StorePath),
    ) -> Result<Option<OutputLocks>> {
        self.require_writable()?;
        let mut locks = BTreeMap::new();
        for path in paths {
            // The root first: a collection of garbage deletes the lock files of paths that nobody needs.
            self.add_temp_root(path)?;
            let file = self.layout.store().join(format!("{}.lock", path.base_name()));
            let Some(lock) = LockFile::acquire(&file, wait, &mut || waiting(path))? else { return Ok(None) };
            locks.insert(path.clone(), lock);
        }
        Ok(Some(OutputLocks { locks }))
    }
}

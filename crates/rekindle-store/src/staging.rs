//! Room for trees on their way into the store.
//!
//! Each open store that writes has an area of its own and holds a lock on it, so that what a killed process left can be
//! told from what is in use, and swept away. Areas lie on the file system of the store, so that a finished tree gets
//! its place by a rename.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{At, Error, Result};
use crate::flock::{self, Shared};
use crate::remove::{disk_usage, remove_all};

const PREFIX: &str = "tmp-rekindle-";

/// A place that nobody else uses. What lies there is removed when this is dropped.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
    _area: Arc<Area>,
}

impl Staging {
    /// Where it is: a physical path, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays behind is swept by a later collection of garbage.
        let _ = remove_all(&self.path);
    }
}

/// A directory of places, locked as long as this exists.
#[derive(Debug)]
pub(crate) struct Area {
    path: PathBuf,
    next: AtomicU64,
    _lock: File,
}

impl Area {
    /// Makes a new one in `parent`, which is created if absent.
    pub(crate) fn create(parent: &Path) -> Result<Arc<Self>> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        std::fs::create_dir_all(parent).at("create the directory", parent)?;
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => {}
                // Left by a process that had our number, or used by one in another namespace that has it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(Error::io("create the directory", path, error)),
            }
            // A sweep may remove the directory between its creation and the lock. Then another one is made.
            let Ok(lock) = File::open(&path) else { continue };
            if flock::try_lock(&lock, Shared::No, &path)? && path.exists() {
                // What is made here must not get an access list that somebody set on the store's directories.
                let _ = rustix::fs::removexattr(&path, "system.posix_acl_default");
                return Ok(Arc::new(Self { path, next: AtomicU64::new(0), _lock: lock }));
            }
        }
    }

    /// A place where nothing is yet.
    pub(crate) fn place(self: &Arc<Self>) -> Staging {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Staging { path: self.path.join(number.to_string()), _area: Arc::clone(self) }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        let _ = remove_all(&self.path);
    }
}

/// Removes the areas in `parent` whose process is gone, or with `dry_run` only looks. Returns the bytes of disk freed.
pub(crate) fn sweep(parent: &Path, dry_run: bool) -> Result<u64> {
    let entries = match std::fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Error::io("list", parent, error)),
    };
    let mut freed = 0;
    for entry in entries {
        let path = entry.at("list", parent)?.path();
        // Not there any more: its owner was faster.
        let Ok(lock) = File::open(&path) else { continue };
        if flock::try_lock(&lock, Shared::No, &path)? {
            freed += if dry_run { disk_usage(&path) } else { remove_all(&path)? };
        }
    }
    Ok(freed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeping_spares_what_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let parent = dir.path().join("staging");
        let used = Area::create(&parent).unwrap();
        let place = used.place();
        assert_ne!(place.path(), used.place().path());
        std::fs::create_dir(place.path()).unwrap();
        std::fs::create_dir(parent.join("tmp-rekindle-1-0")).unwrap();
        std::fs::write(parent.join("tmp-rekindle-1-0/file"), b"x").unwrap();
        assert!(sweep(&parent, true).unwrap() > 0);
        assert!(parent.join("tmp-rekindle-1-0").exists());
        sweep(&parent, false).unwrap();
        assert!(!parent.join("tmp-rekindle-1-0").exists());
        assert!(place.path().exists());
        drop(used);
        assert!(place.path().exists());
        drop(place);
        assert_eq!(std::fs::read_dir(&parent).unwrap().count(), 0);
    }
}

//! Advisory locks on files, by Nix's conventions.
//!
//! All locks are `flock`s: they belong to the open file, end with the process however it ends, and exclude two
//! threads of one process as well. A lock file that is deleted when it is no longer needed is a trap: who waited for
//! it holds a lock on a file that has no name any more. Nix's answer, and so ours: the one who deletes it writes a
//! byte into it, and who gets the lock on a file that has bytes (or no name) starts again.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::error::{At, Result};

/// How a lock is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shared {
    Yes,
    No,
}

/// Opens `path` for locking and creates it, for the owner alone, if it is absent.
pub(crate) fn open(path: &Path) -> Result<File> {
    open_options().create(true).open(path).at("open the lock file", path)
}

/// Like [`open`], but an absent file is `None`.
pub(crate) fn open_existing(path: &Path) -> Result<Option<File>> {
    match open_options().open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at("open the lock file", path),
    }
}

fn open_options() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).truncate(false).mode(0o600);
    options
}

/// Takes the lock if nobody holds it.
pub(crate) fn try_lock(file: &File, shared: Shared, path: &Path) -> Result<bool> {
    let operation = match shared {
        Shared::Yes => FlockOperation::NonBlockingLockShared,
        Shared::No => FlockOperation::NonBlockingLockExclusive,
    };
    match retry(|| rustix::fs::flock(file, operation)) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error).at("lock", path),
    }
}

/// Takes the lock, and calls `waiting` once if that takes time.
pub(crate) fn lock(file: &File, shared: Shared, path: &Path, waiting: &mut dyn FnMut()) -> Result<()> {
    if try_lock(file, shared, path)? {
        return Ok(());
    }
    waiting();
    let operation = match shared {
        Shared::Yes => FlockOperation::LockShared,
        Shared::No => FlockOperation::LockExclusive,
    };
    retry(|| rustix::fs::flock(file, operation)).at("lock", path)
}

/// Gives the lock up at once, even if a forked child still has the file open.
pub(crate) fn unlock(file: &File) {
    // Closing the file does it too, and nothing could be done about a failure.
    let _ = rustix::fs::flock(file, FlockOperation::Unlock);
}

fn retry(mut call: impl FnMut() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return other,
        }
    }
}

/// A lock file that exists as long as the lock is held.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Takes the lock at `path`; `None` if another process has it and `wait` is false.
    pub(crate) fn acquire(path: &Path, wait: bool, waiting: &mut dyn FnMut()) -> Result<Option<Self>> {
        loop {
            let mut file = open(path)?;
            if !try_lock(&file, Shared::No, path)? {
                if !wait {
                    return Ok(None);
                }
                lock(&file, Shared::No, path, waiting)?;
            }
            if !is_stale(&file, path)? {
                return Ok(Some(Self { file, path: path.to_owned() }));
            }
            // One that has bytes and a name is nobody's: its owner died in the middle of deleting it.
            if file.metadata().at("look at", path)?.nlink() != 0 {
                discard(&mut file, path);
            }
        }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        discard(&mut self.file, &self.path);
        unlock(&self.file);
    }
}

/// Whether the lock that was just taken is on a file that its last owner deleted.
pub(crate) fn is_stale(file: &File, path: &Path) -> Result<bool> {
    let meta = file.metadata().at("read the state of", path)?;
    Ok(meta.size() != 0 || meta.nlink() == 0)
}

/// Deletes a lock file that is held, and tells those who wait for it.
pub(crate) fn discard(file: &mut File, path: &Path) {
    // A lock file that stays behind is harmless, so failures are not reported.
    let _ = std::fs::remove_file(path);
    let _ = file.write_all(b"d");
}

//! A directory of our own for a while.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// An empty directory that only this user can enter. It goes, with all that is in it, when this value does.
#[derive(Debug)]
pub(crate) struct ScratchDir(PathBuf);

impl ScratchDir {
    /// Makes one below `parent`, which is made too if it is not there.
    pub(crate) fn below(parent: &Path) -> io::Result<ScratchDir> {
        fs::create_dir_all(parent)?;
        for attempt in 0..1000 {
            let path = parent.join(format!("scratch-{}-{attempt}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| ScratchDir(path)),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} is full of leftovers", parent.display()),
        ))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // What stays behind is empty space in a cache.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_private_new_and_goes() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let below = parent.path().join("a/b");
        let (first, second) =
            (ScratchDir::below(&below).expect("made"), ScratchDir::below(&below).expect("made"));
        assert_ne!(first.path(), second.path());
        fs::write(first.path().join("file"), "").expect("written");
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists() && second.path().exists());
    }
}

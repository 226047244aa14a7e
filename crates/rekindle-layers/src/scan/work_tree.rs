//! Finding the git work tree that a directory belongs to.
//!
//! Neither git's environment variables nor its configuration count: the answer must be the same for every build
//! of the same files. As in git, the search upwards stops where another file system begins.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::git_index::GitIndex;
use crate::Error;
use crate::error::Kind;

/// Returns the nearest directory, `start` or one above it, that is the root of a work tree, and its git directory.
/// `start` must be absolute and without symlinks.
pub(super) fn find_above(start: &Path) -> Option<(&Path, PathBuf)> {
    let device = |path: &Path| fs::symlink_metadata(path).map(|metadata| metadata.dev()).ok();
    let home = device(start)?;
    start
        .ancestors()
        .take_while(|dir| device(dir) == Some(home))
        .find_map(|dir| git_directory(dir).map(|git| (dir, git)))
}

/// Returns the git directory of a work tree with its root at `dir`: `.git` itself, or where a `.git` file points
/// (submodules and linked work trees have such a file). `None` if there is no git directory.
pub(super) fn git_directory(dir: &Path) -> Option<PathBuf> {
    let dot_git = dir.join(".git");
    let metadata = fs::metadata(&dot_git).ok()?;
    let git = if metadata.is_dir() {
        dot_git
    } else if metadata.is_file() && metadata.len() < 64 * 1024 {
        let text = fs::read(&dot_git).ok()?;
        let target = text.strip_prefix(b"gitdir: ")?.trim_ascii_end();
        dir.join(OsStr::from_bytes(target))
    } else {
        return None;
    };
    // git, too, takes a directory without HEAD for something else.
    fs::symlink_metadata(git.join("HEAD")).ok().map(|_| git)
}

/// Reads which files are tracked. No index means none.
pub(super) fn read_index(git: &Path) -> Result<GitIndex, Error> {
    let path = git.join("index");
    match fs::read(&path) {
        Ok(file) => GitIndex::parse(&file).map_err(|reason| Kind::GitIndex { path, reason }.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(GitIndex::default()),
        Err(error) => Err(Error::os("read", path, error)),
    }
}

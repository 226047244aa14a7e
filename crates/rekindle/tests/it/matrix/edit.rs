//! Edits of a project, as data: a project is the edits that make it, and a failing list of edits can be printed.
//!
//! An edit that finds nothing to do does nothing, so that a list stays one when some of it is left out.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// One edit. Paths are relative to the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// A file with these bytes; an old one keeps its mode. Whatever else was there goes.
    Write(String, Vec<u8>),
    /// Replaces the first text by the second in a file.
    Replace(String, String, String),
    /// Removes a file, a link, or a directory with all below it.
    Remove(String),
    Rename(String, String),
    Mode(String, u32),
    /// A link at the first path to the target that follows.
    Link(String, String),
    Dir(String),
    /// Sets the mtime, in seconds since 1970.
    Age(String, u64),
    /// Other bytes, of which nothing can be told from size and mtime.
    Sneak(String, Vec<u8>),
}

pub(super) fn write(path: &str, bytes: impl AsRef<[u8]>) -> Edit {
    Edit::Write(path.to_owned(), bytes.as_ref().to_vec())
}

pub(super) fn replace(path: &str, from: &str, to: &str) -> Edit {
    Edit::Replace(path.to_owned(), from.to_owned(), to.to_owned())
}

pub(super) fn remove(path: &str) -> Edit {
    Edit::Remove(path.to_owned())
}

pub(super) fn rename(from: &str, to: &str) -> Edit {
    Edit::Rename(from.to_owned(), to.to_owned())
}

pub(super) fn mode(path: &str, mode: u32) -> Edit {
    Edit::Mode(path.to_owned(), mode)
}

pub(super) fn link(path: &str, target: &str) -> Edit {
    Edit::Link(path.to_owned(), target.to_owned())
}

pub(super) fn dir(path: &str) -> Edit {
    Edit::Dir(path.to_owned())
}

pub(super) fn age(path: &str, seconds: u64) -> Edit {
    Edit::Age(path.to_owned(), seconds)
}

/// Makes a project in an empty directory.
pub(super) fn make(root: &Path, project: &[Edit]) {
    fs::create_dir_all(root).expect("our own directory");
    project.iter().for_each(|edit| edit.apply(root));
}

impl Edit {
    pub(super) fn apply(&self, root: &Path) {
        match self {
            Edit::Write(path, bytes) => {
                let path = root.join(path);
                if !is_file(&path) {
                    clear(&path);
                }
                room(root, &path);
                fs::write(path, bytes).expect("our own file");
            }
            Edit::Replace(path, from, to) => {
                let path = root.join(path);
                let Ok(text) = fs::read_to_string(&path) else { return };
                if text.contains(from) {
                    fs::write(path, text.replace(from, to)).expect("our own file");
                }
            }
            Edit::Remove(path) => clear(&root.join(path)),
            Edit::Rename(from, to) => {
                let (from, to) = (root.join(from), root.join(to));
                if from.symlink_metadata().is_ok() && from != to && !to.starts_with(&from) {
                    clear(&to);
                    room(root, &to);
                    if from.symlink_metadata().is_ok() {
                        fs::rename(from, to).expect("our own file");
                    }
                }
            }
            Edit::Mode(path, mode) => {
                let path = root.join(path);
                if is_file(&path) {
                    fs::set_permissions(path, fs::Permissions::from_mode(*mode)).expect("our own file");
                }
            }
            Edit::Link(path, target) => {
                let path = root.join(path);
                clear(&path);
                room(root, &path);
                symlink(target, path).expect("our own directory");
            }
            Edit::Dir(path) => {
                let path = root.join(path);
                if !path.is_dir() {
                    clear(&path);
                    room(root, &path);
                    fs::create_dir(path).expect("our own directory");
                }
            }
            Edit::Age(path, seconds) => {
                let path = root.join(path);
                if is_file(&path) {
                    set_time(&path, SystemTime::UNIX_EPOCH + Duration::from_secs(*seconds));
                }
            }
            Edit::Sneak(path, bytes) => {
                let path = root.join(path);
                if is_file(&path) {
                    let before = path.metadata().and_then(|metadata| metadata.modified()).expect("a time");
                    fs::write(&path, bytes).expect("our own file");
                    set_time(&path, before);
                }
            }
        }
    }
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
}

fn set_time(path: &Path, time: SystemTime) {
    let file = fs::File::options().write(true).open(path).expect("our own file");
    file.set_modified(time).expect("our own file");
}

/// Removes what is there.
fn clear(path: &Path) {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path).expect("our own directory"),
        Ok(_) => fs::remove_file(path).expect("our own file"),
        Err(_) => {}
    }
}

/// Makes the directories that lead to a path. A file or a link in the way goes.
fn room(root: &Path, path: &Path) {
    let parents: Vec<&Path> =
        path.ancestors().skip(1).take_while(|parent| parent.starts_with(root) && *parent != root).collect();
    for parent in parents.iter().rev() {
        if !parent.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            clear(parent);
            fs::create_dir(parent).expect("our own directory");
        }
    }
}

//! What two outputs have that differs: names, kinds, modes, bytes and link targets.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Mode and content of each path.
pub(crate) type Listing = BTreeMap<PathBuf, (u32, Vec<u8>)>;

/// The paths that are not the same in both lists of directories.
pub(crate) fn differences(one: &[PathBuf], other: &[PathBuf]) -> Vec<PathBuf> {
    let all = |roots: &[PathBuf]| {
        let mut all = Listing::new();
        for root in roots {
            add(root, Path::new(root.file_name().expect("an output has a name")), &mut all);
        }
        all
    };
    different(&all(one), &all(other))
}

/// The paths that are not the same in both.
pub(crate) fn different(one: &Listing, other: &Listing) -> Vec<PathBuf> {
    let paths = one.keys().chain(other.keys().filter(|path| !one.contains_key(*path)));
    paths.filter(|path| one.get(*path) != other.get(*path)).cloned().collect()
}

/// What there is at and below a path, as if that had another name.
pub(crate) fn listing_as(root: &Path, name: &str) -> Listing {
    let mut all = Listing::new();
    add(root, Path::new(name), &mut all);
    all
}

fn add(at: &Path, name: &Path, all: &mut Listing) {
    let metadata = at.symlink_metadata().expect("it is there");
    let mut content = Vec::new();
    if metadata.is_symlink() {
        content = fs::read_link(at).expect("a link").as_os_str().as_bytes().to_vec();
    } else if metadata.is_dir() {
        for entry in fs::read_dir(at).expect("a directory") {
            let entry = entry.expect("an entry");
            add(&entry.path(), &name.join(entry.file_name()), all);
        }
    } else {
        content = fs::read(at).expect("a file");
    }
    all.insert(name.to_owned(), (metadata.permissions().mode(), content));
}

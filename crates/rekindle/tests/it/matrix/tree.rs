//! What two outputs have that differs: names, kinds, modes, bytes and link targets.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Mode and content of each path.
type Listing = BTreeMap<PathBuf, (u32, Vec<u8>)>;

/// The paths that are not the same in both lists of directories.
pub(super) fn differences(one: &[PathBuf], other: &[PathBuf]) -> Vec<PathBuf> {
    let (one, other) = (listing(one), listing(other));
    let paths = one.keys().chain(other.keys().filter(|path| !one.contains_key(*path)));
    paths.filter(|path| one.get(*path) != other.get(*path)).cloned().collect()
}

fn listing(roots: &[PathBuf]) -> Listing {
    let mut all = Listing::new();
    for root in roots {
        let name = Path::new(root.file_name().expect("an output has a name"));
        add(root, name, &mut all);
    }
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

//! Removing: anything a build may leave, as an ordinary user; nothing outside.

use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rekindle_layers::remove_tree;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::namespace;
use crate::seed::{Rng, seeds};
use crate::tree::edit;

#[test]
fn an_ordinary_user_removes_what_modes_forbid() {
    namespace::as_ordinary_user("remove::inner_forbidding_modes");
}

#[test]
fn mounts_are_not_entered() {
    namespace::with_mounts("remove::inner_mounts");
}

#[test]
fn links_are_not_followed() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join("outside")).unwrap();
    fs::write(temp.path().join("outside/file"), "").unwrap();
    let tree = temp.path().join("tree");
    fs::create_dir(&tree).unwrap();
    symlink("../outside", tree.join("link")).unwrap();
    symlink("outside", temp.path().join("link")).unwrap();
    remove_tree(&tree).unwrap();
    remove_tree(&temp.path().join("link")).unwrap();
    assert!(!tree.exists() && fs::symlink_metadata(temp.path().join("link")).is_err());
    assert!(temp.path().join("outside/file").exists());
}

#[test]
fn what_is_not_there_is_removed() {
    let temp = tempfile::tempdir().unwrap();
    remove_tree(&temp.path().join("none")).unwrap();
    remove_tree(&temp.path().join("none/at/all")).unwrap();
    assert!(remove_tree(Path::new("..")).is_err());
    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(remove_tree(&file.join("below")).is_err());
    remove_tree(&file).unwrap();
    assert!(!file.exists());
}

/// Makes a chain of directories, by descriptors: no path is that long.
fn deep(at: &Path, depth: usize, mode: u32) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut chain: Vec<OwnedFd> = vec![openat(CWD, at, flags, Mode::empty()).unwrap()];
    for level in 0..depth {
        let name = OsString::from(if level % 7 == 0 { "a long name, to make it worse" } else { "d" });
        let above = chain.last().unwrap();
        mkdirat(above, &name, Mode::RWXU).unwrap();
        mkdirat(above, "side", Mode::RWXU).unwrap();
        let inner = openat(above, &name, flags, Mode::empty()).unwrap();
        chain.push(inner);
        if chain.len() > 2 {
            rustix::fs::fchmod(chain.remove(0), Mode::from_raw_mode(mode)).unwrap();
        }
    }
}

#[test]
fn depth_is_no_limit() {
    let temp = tempfile::tempdir().unwrap();
    let tree = temp.path().join("tree");
    fs::create_dir(&tree).unwrap();
    deep(&tree, 12_000, 0o700);
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
}

#[test]
fn inner_forbidding_modes() {
    if !namespace::is_part() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let tree = temp.path().join("tree");
    for mode in [0o000, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600] {
        fs::create_dir_all(tree.join("d/e")).unwrap();
        fs::write(tree.join("d/e/file"), "").unwrap();
        fs::write(tree.join("d/file"), "").unwrap();
        for dir in ["d/e", "d", ""] {
            fs::set_permissions(tree.join(dir), PermissionsExt::from_mode(mode)).unwrap();
        }
        assert!(fs::remove_dir_all(&tree).is_err(), "the modes do forbid it");
        remove_tree(&tree).unwrap();
        assert!(!tree.exists(), "mode {mode:o}");
    }
    fs::create_dir(&tree).unwrap();
    deep(&tree, 300, 0o000);
    remove_tree(&tree).unwrap();
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        fs::create_dir(&tree).unwrap();
        for _ in 0..60 {
            edit(&mut rng, &tree);
        }
        remove_tree(&tree).unwrap_or_else(|error| panic!("REKINDLE_SEED={seed}: {error}"));
        assert!(!tree.exists());
    }
}

#[test]
fn inner_mounts() {
    if !namespace::is_part() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let [tree, outside] = ["tree", "outside"].map(|name| temp.path().join(name));
    fs::create_dir_all(tree.join("d/mounted")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "").unwrap();
    mount(&outside, tree.join("d/mounted"), "", MountFlags::BIND, None).unwrap();
    let error = remove_tree(&tree).unwrap_err();
    assert_eq!(error.path(), Some(&*tree.join("d/mounted")));
    assert!(error.to_string().contains("is a mount point"), "{error}");
    assert!(outside.join("file").exists());
    unmount(tree.join("d/mounted"), UnmountFlags::empty()).unwrap();
    remove_tree(&tree).unwrap();
    assert!(!tree.exists() && outside.join("file").exists());
}

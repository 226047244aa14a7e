//! Opening stores: new ones, unknown ones, ones that cannot be written.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rekindle_nix::Hash;
use rekindle_store::{ErrorKind, Mode, Store};

use crate::sample::{name, open, sample, scratch};

fn everything(root: &Path) -> BTreeSet<(PathBuf, u64, i64, Hash)> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            found.append(&mut everything(&path));
        }
        let content = if meta.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        found.insert((path, meta.ino(), meta.mtime_nsec(), Hash::sha256(&content)));
    }
    found
}

#[test]
fn a_new_store_is_made_on_demand_only() {
    let dir = scratch();
    let root = dir.path().join("deep/down");
    let error = Store::open(&root, Mode::ReadOnly).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoStore);
    assert!(error.to_string().contains("deep/down"), "{error}");
    assert!(!dir.path().join("deep").exists());

    let store = open(&root);
    assert_eq!(store.all_valid().unwrap(), BTreeSet::new());
    assert_eq!(std::fs::read(root.join("nix/var/nix/db/schema")).unwrap(), b"10");
    assert_eq!(root.join("nix/var/nix/db/big-lock").metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(root.join("nix/var/nix/db/reserved").metadata().unwrap().len(), 8 << 20);
    Store::open(&root, Mode::ReadOnly).unwrap();
}

#[test]
fn an_unknown_schema_is_refused_and_nothing_is_touched() {
    for version in ["11", "9", "", "ten"] {
        let dir = scratch();
        let store = sample(dir.path()).store;
        let root = store.root().to_owned();
        drop(store);
        std::fs::write(root.join("nix/var/nix/db/schema"), version).unwrap();
        let before = everything(&root);
        for mode in [Mode::ReadOnly, Mode::ReadWrite] {
            let error = Store::open(&root, mode).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownSchema);
            assert!(error.to_string().contains(&format!("schema {version:?}")), "{error}");
        }
        assert_eq!(everything(&root), before);
    }
}

#[test]
fn a_lost_database_is_not_replaced_by_an_empty_one() {
    let dir = scratch();
    drop(open(dir.path()));
    let database = dir.path().join("nix/var/nix/db/db.sqlite");
    std::fs::remove_file(&database).unwrap();
    let error = Store::open(dir.path(), Mode::ReadWrite).unwrap_err();
    assert!(error.to_string().contains("db.sqlite"), "{error}");
    assert!(!database.exists());
}

#[test]
fn a_damaged_database_is_an_error() {
    let dir = scratch();
    drop(open(dir.path()));
    let database = dir.path().join("nix/var/nix/db/db.sqlite");
    std::fs::write(&database, vec![b'x'; 8192]).unwrap();
    for mode in [Mode::ReadOnly, Mode::ReadWrite] {
        let error = Store::open(dir.path(), mode).and_then(|store| store.all_valid()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.to_string().contains("db.sqlite"), "{error}");
    }
}

#[test]
fn reading_changes_nothing_and_writing_is_refused() {
    let dir = scratch();
    let sample = sample(dir.path());
    let root = sample.store.root().to_owned();
    let out = sample.out.clone();
    drop(sample);
    let before = everything(&root);
    let store = Store::open(&root, Mode::ReadOnly).unwrap();
    assert!(store.is_valid(&out).unwrap());
    assert_eq!(store.verify(true).unwrap(), []);
    for error in [
        store.add_text(&name("x"), b"", &BTreeSet::new()).unwrap_err(),
        store.lock_outputs([&out], &mut |_| {}).unwrap_err(),
        store.register(Vec::new()).unwrap_err(),
        store.add_root(&dir.path().join("link"), &out).unwrap_err(),
        store.staging().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::ReadOnly);
    }
    drop(store);
    let kept = |found: BTreeSet<(PathBuf, u64, i64, Hash)>| -> Vec<_> {
        // Even reading needs the files beside the log, and makes them.
        found
            .into_iter()
            .filter(|(path, ..)| !path.ends_with("db") && !path.to_string_lossy().contains("sqlite-"))
            .collect()
    };
    assert_eq!(kept(everything(&root)), kept(before));
}

/// As an ordinary user sees a store of somebody else's. Root may write anywhere, so it only sees that it works.
#[test]
fn a_store_without_write_permission_can_be_read() {
    let dir = scratch();
    let sample = sample(dir.path());
    let (root, out) = (sample.store.root().to_owned(), sample.out.clone());
    drop(sample);
    let database = root.join("nix/var/nix/db");
    for name in ["db.sqlite-wal", "db.sqlite-shm"] {
        let _ = std::fs::remove_file(database.join(name));
    }
    std::fs::set_permissions(&database, PermissionsExt::from_mode(0o555)).unwrap();
    let store = Store::open(&root, Mode::ReadOnly).unwrap();
    assert!(store.is_valid(&out).unwrap());
    std::fs::set_permissions(&database, PermissionsExt::from_mode(0o755)).unwrap();
}

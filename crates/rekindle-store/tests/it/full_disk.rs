//! A disk that is full, and one that is read-only: clear errors, and a store that is as before.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use rekindle_store::{ErrorKind, GcOptions, Problem, Store, Tree};

use crate::sample::{derivation, name, open, output_path, scratch};

const ROOT: &str = "REKINDLE_TEST_ROOT";

/// Runs the body of `test` on a small file system, which an ordinary user can mount in a namespace of its own: the test
/// starts itself again in there.
fn on_small_disk(test: &str, body: fn(&Path)) {
    if let Some(root) = std::env::var_os(ROOT) {
        return body(Path::new(&root));
    }
    let dir = scratch();
    let script = r#"mount -t tmpfs -o size=14m,mode=755 small "$1" && exec "$2" --exact "$3" --nocapture"#;
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "/bin/sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(ROOT, dir.path())
        .status()
        .unwrap_or_else(|error| panic!("this test needs `unshare` (Debian: util-linux): {error}"));
    assert!(status.success(), "see above; unshare needs a kernel that allows user namespaces");
}

#[test]
fn a_full_disk_changes_nothing() {
    on_small_disk("full_disk::a_full_disk_changes_nothing", full);
}

#[test]
fn a_read_only_disk_changes_nothing() {
    on_small_disk("full_disk::a_read_only_disk_changes_nothing", read_only);
}

fn check_sound(store: &Store) {
    let problems = store.verify(true).unwrap();
    assert!(problems.iter().all(Problem::is_harmless), "{problems:?}");
}

fn full(root: &Path) {
    let sources = tempfile::tempdir_in("/dev/shm").unwrap();
    let tree_dir = sources.path().join("tree");
    std::fs::create_dir(&tree_dir).unwrap();
    for number in 0..40 {
        std::fs::write(tree_dir.join(number.to_string()), vec![number; 200_000]).unwrap();
    }
    let store = open(root);
    let small = store.add_text(&name("small"), b"small", &BTreeSet::new()).unwrap();

    // More than there is: the reserve leaves about five of the needed eight megabytes.
    let error = store.add_tree(&name("tree"), &Tree::scan(&tree_dir).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert!(error.to_string().contains(root.to_str().unwrap()), "{error}");
    assert_eq!(store.all_valid().unwrap(), [small.clone()].into());
    assert_eq!(store.verify(true).unwrap(), []);

    // Until even the database cannot grow.
    let mut valid = BTreeSet::from([small.clone()]);
    let error = (0_u32..)
        .find_map(|number| {
            let text = number.to_string().repeat(1000);
            match store.add_text(&name("filler"), text.as_bytes(), &BTreeSet::new()) {
                Ok(path) => {
                    valid.insert(path);
                    None
                }
                Err(error) => Some(error),
            }
        })
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error:?}");
    assert_eq!(store.all_valid().unwrap(), valid);
    check_sound(&store);

    let derivation = derivation(&store, "built", &[]);
    let error = store.add_derivation(&derivation).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error:?}");
    let out = output_path(&derivation, "out");
    // A lock file needs no block of its own, but whatever fails does so clearly.
    if let Err(error) = store.lock_outputs([&out], &mut |_| {}) {
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error:?}");
    }
    drop(store);

    // What is given up is enough to collect.
    let store = open(root);
    let report = store.gc(GcOptions { dry_run: false, max_freed: None }, &mut || {}).unwrap();
    assert_eq!(report.deleted.len(), valid.len());
    store.add_text(&name("again"), b"again", &BTreeSet::new()).unwrap();
    assert_eq!(store.verify(true).unwrap(), []);
}

fn read_only(root: &Path) {
    let store = open(root);
    let small = store.add_text(&name("small"), b"small", &BTreeSet::new()).unwrap();
    drop(store);
    let remount = |how: &str| {
        let status =
            Command::new("mount").args(["-o", &format!("remount,bind,{how}")]).arg(root).status().unwrap();
        assert!(status.success());
    };
    remount("ro");
    let denied = Store::open(root, rekindle_store::Mode::ReadWrite)
        .and_then(|store| store.add_text(&name("more"), b"more", &BTreeSet::new()))
        .unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied, "{denied:?}");
    assert!(denied.to_string().contains(root.to_str().unwrap()), "{denied}");
    let store = Store::open(root, rekindle_store::Mode::ReadOnly).unwrap();
    assert_eq!(store.all_valid().unwrap(), [small].into());
    assert_eq!(store.verify(true).unwrap(), []);
    drop(store);
    remount("rw");
    assert_eq!(open(root).verify(true).unwrap(), []);
}

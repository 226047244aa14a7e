//! Layers survive commits and go with removals; leftovers of killed processes are swept, others are not.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use rekindle_layers::{LayerId, LayerStore, Snapshot};

use crate::namespace;

fn leftovers(dir: &Path) -> usize {
    fs::read_dir(dir.join("tmp")).unwrap().count()
}

#[test]
fn a_commit_keeps_everything() {
    let temp = tempfile::tempdir().unwrap();
    let store = LayerStore::open(temp.path()).unwrap();
    let draft = store.begin().unwrap();
    fs::write(draft.upper().join("file"), "content").unwrap();
    fs::create_dir(draft.work().join("work")).unwrap();
    fs::set_permissions(draft.upper(), PermissionsExt::from_mode(0o555)).unwrap();
    let before = Snapshot::of_path(draft.upper()).unwrap();
    assert!(!store.contains(draft.id()));
    let id = draft.commit().unwrap();
    assert!(store.contains(id));
    assert_eq!(store.layers().unwrap(), [id]);
    assert_eq!(Snapshot::of_path(&store.path(id)).unwrap().differences(&before), []);
    assert_eq!(leftovers(temp.path()), 0);
    assert_eq!(id.to_string().parse::<LayerId>(), Ok(id));

    // Another opening of the same store sees it, and can remove it.
    let again = LayerStore::open(temp.path()).unwrap();
    again.remove(id).unwrap();
    assert!(!store.contains(id) && store.layers().unwrap().is_empty());
    assert_eq!(leftovers(temp.path()), 0);
    assert!(store.remove(id).unwrap_err().is_not_found());
}

#[test]
fn a_dropped_draft_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let store = LayerStore::open(temp.path()).unwrap();
    let draft = store.begin().unwrap();
    fs::create_dir(draft.upper().join("d")).unwrap();
    fs::set_permissions(draft.upper().join("d"), PermissionsExt::from_mode(0o000)).unwrap();
    drop(draft);
    assert_eq!(leftovers(temp.path()), 0);
}

#[test]
fn a_sweep_takes_only_what_the_dead_left() {
    let temp = tempfile::tempdir().unwrap();
    let store = LayerStore::open(temp.path()).unwrap();
    let ours = store.begin().unwrap();
    fs::write(ours.upper().join("ours"), "").unwrap();
    let mut other = namespace::part(&[], "layer_store::inner_hold_a_draft")
        .env("REKINDLE_TEST_STORE", temp.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("these tests need unshare (util-linux)");
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("holding")), "the other process says when it is ready");
    assert_eq!(store.sweep().unwrap(), 0, "both are alive");
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(store.sweep().unwrap(), 1);
    assert_eq!(store.sweep().unwrap(), 0);
    assert!(ours.upper().join("ours").exists());
    ours.commit().unwrap();
    assert_eq!(leftovers(temp.path()), 0);
}

#[test]
fn a_sweep_takes_trees_and_locks_that_are_alone() {
    let temp = tempfile::tempdir().unwrap();
    let store = LayerStore::open(temp.path()).unwrap();
    fs::create_dir_all(temp.path().join(format!("tmp/{}/upper", "0".repeat(32)))).unwrap();
    fs::write(temp.path().join(format!("tmp/{}.lock", "1".repeat(32))), "").unwrap();
    fs::write(temp.path().join("tmp/README"), "").unwrap();
    assert_eq!(store.sweep().unwrap(), 1);
    assert_eq!(leftovers(temp.path()), 1, "what has another name is not touched");
}

#[test]
fn sweeps_and_drafts_do_not_disturb_each_other() {
    let temp = tempfile::tempdir().unwrap();
    let store = LayerStore::open(temp.path()).unwrap();
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                for round in 0..60 {
                    let draft = store.begin().unwrap();
                    fs::write(draft.upper().join("file"), "").unwrap();
                    if round % 3 > 0 {
                        let id = draft.commit().unwrap();
                        assert!(store.path(id).join("file").exists());
                        if round % 3 == 1 {
                            store.remove(id).unwrap();
                        }
                    }
                }
            });
        }
        threads.spawn(|| (0..200).for_each(|_| assert!(store.sweep().unwrap() <= 3)));
    });
    assert_eq!(store.layers().unwrap().len(), 3 * 20);
    assert_eq!(leftovers(temp.path()), 0);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "there is no other way to tell a test where the store is")]
#[expect(clippy::print_stdout, reason = "the other side waits for it")]
fn inner_hold_a_draft() {
    if !namespace::is_part() {
        return;
    }
    let store = LayerStore::open(Path::new(&std::env::var_os("REKINDLE_TEST_STORE").unwrap())).unwrap();
    let draft = store.begin().unwrap();
    fs::write(draft.upper().join("theirs"), "").unwrap();
    println!("holding");
    std::thread::sleep(std::time::Duration::from_secs(60));
    drop(draft);
}

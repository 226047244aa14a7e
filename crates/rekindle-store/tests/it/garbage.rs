//! The collection of garbage: what goes, what stays.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rekindle_nix::StorePath;
use rekindle_store::{GcOptions, GcReport, Store};

use crate::sample::{derivation, install, name, open, output_path, sample, scratch};

const ALL: GcOptions = GcOptions { dry_run: false, max_freed: None };
const DRY: GcOptions = GcOptions { dry_run: true, max_freed: None };

fn collect(store: &Store, options: GcOptions) -> GcReport {
    store.gc(options, &mut || panic!("nobody else collects")).unwrap()
}

fn text(store: &Store, content: &str, references: &[&StorePath]) -> StorePath {
    let references = references.iter().map(|path| (*path).clone()).collect();
    store.add_text(&name("text"), content.as_bytes(), &references).unwrap()
}

#[test]
fn what_roots_need_stays_with_the_derivations_that_made_it() {
    let dir = scratch();
    let sample = sample(dir.path());
    let root = sample.store.root().to_owned();
    let low = text(&sample.store, "low", &[&sample.out]);
    let high = text(&sample.store, "high", &[&low]);
    let (out, drv, link) = (sample.out.clone(), sample.drv.clone(), sample.link.clone());
    // While it is open, whoever added something keeps it.
    assert_eq!(collect(&sample.store, ALL), GcReport::default());
    drop(sample);

    let store = open(&root);
    let expected = store.gc(DRY, &mut || {}).unwrap();
    assert_eq!(expected.deleted, [high, low.clone()]);
    assert!(expected.bytes > 0);
    assert!(store.is_valid(&low).unwrap());
    let report = collect(&store, ALL);
    assert_eq!(report.deleted, expected.deleted);
    assert_eq!(report.bytes, expected.bytes);
    assert_eq!(store.verify(true).unwrap(), []);
    assert!(store.is_valid(&out).unwrap() && store.is_valid(&drv).unwrap());
    assert!(store.valid_derivers(&out).unwrap().contains(&drv));

    std::fs::remove_file(link).unwrap();
    collect(&store, ALL);
    assert_eq!(store.all_valid().unwrap(), BTreeSet::new());
    assert_eq!(std::fs::read_dir(store.physical_store_dir()).unwrap().count(), 0);
    assert_eq!(std::fs::metadata(root.join("nix/var/nix/db/reserved")).unwrap().len(), 8 << 20);
}

#[test]
fn a_limit_stops_it() {
    let dir = scratch();
    let paths = {
        let store = open(dir.path());
        (0..5).map(|number| text(&store, &number.to_string(), &[])).collect::<Vec<_>>()
    };
    let store = open(dir.path());
    let report = collect(&store, GcOptions { dry_run: false, max_freed: Some(1) });
    assert_eq!(report.deleted.len(), 1);
    assert_eq!(store.all_valid().unwrap().len(), paths.len() - 1);
    assert_eq!(store.verify(true).unwrap(), []);
}

#[test]
fn temporary_roots_of_anyone_count() {
    let dir = scratch();
    let (low, high, other) = {
        let store = open(dir.path());
        let low = text(&store, "low", &[]);
        let high = text(&store, "high", &[&low]);
        (low, high, text(&store, "other", &[]))
    };
    let user = open(dir.path());
    user.add_temp_root(&high).unwrap();
    let report = collect(&open(dir.path()), ALL);
    assert_eq!(report.deleted, [other]);
    drop(user);

    // As another program writes them; what follows the last NUL is not complete.
    let file = dir.path().join("nix/var/nix/temproots/12345");
    std::fs::write(&file, format!("/nix/store/{low}\0/nix/store/{high}")).unwrap();
    let locked = std::fs::File::open(&file).unwrap();
    rustix::fs::flock(&locked, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(collect(&open(dir.path()), ALL).deleted, [high]);
    assert!(file.exists());
    drop(locked);
    assert_eq!(collect(&open(dir.path()), ALL).deleted, [low]);
    assert!(!file.exists());
}

#[test]
fn leftovers_go_unless_somebody_locks_them() {
    let dir = scratch();
    let store = open(dir.path());
    let physical = store.physical_store_dir().to_owned();
    let leftover = |digit: &str, suffix: &str| {
        let path = physical.join(format!("{}-x{suffix}", digit.repeat(32)));
        std::fs::create_dir_all(path.join("inner")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o555)).unwrap();
        path
    };
    let (garbage, chroot) = (leftover("1", ""), leftover("2", ".drv.chroot"));
    let stale_lock = physical.join(format!("{}-x.lock", "3".repeat(32)));
    std::fs::write(&stale_lock, b"").unwrap();
    let abandoned = dir.path().join("nix/var/nix/rekindle/staging/tmp-rekindle-1-0");
    std::fs::create_dir_all(&abandoned).unwrap();

    let other = open(dir.path());
    let used = leftover("4", "");
    let used_path = StorePath::from_base_name(used.file_name().unwrap().as_encoded_bytes()).unwrap();
    let locks = other.lock_outputs([&used_path], &mut |_| {}).unwrap();
    let staging = other.staging().unwrap();
    let (links, foreign) = (physical.join(".links"), physical.join("lost+found"));
    std::fs::create_dir(&links).unwrap();
    std::fs::create_dir(&foreign).unwrap();

    let kept: [&Path; 5] =
        [&used, staging.path(), &links, &foreign, &physical.join(format!("{used_path}.lock"))];
    let gone = [&garbage, &chroot, &stale_lock];
    let report = collect(&store, DRY);
    assert_eq!(report.leftovers.iter().collect::<BTreeSet<_>>(), gone.into());
    assert!(gone.iter().all(|path| path.exists()) && abandoned.exists());
    let report = collect(&store, ALL);
    assert_eq!(report.leftovers.iter().collect::<BTreeSet<_>>(), gone.into());
    assert!(!gone.iter().any(|path| path.exists()) && !abandoned.exists());
    assert!(kept.iter().all(|path| path.exists()), "{kept:?}");
    drop((locks, other));
    assert_eq!(collect(&store, ALL).leftovers, [used]);
}

#[test]
fn a_running_program_is_kept() {
    let dir = scratch();
    let out = {
        let store = open(dir.path());
        let derivation = derivation(&store, "program", &[]);
        let drv = store.add_derivation(&derivation).unwrap();
        let out = output_path(&derivation, "out");
        let registration = install(&store, &out, &drv, &BTreeSet::new(), |built| {
            std::fs::copy("/bin/sleep", built).unwrap();
        });
        store.register(vec![registration]).unwrap();
        out
    };
    let store = open(dir.path());
    let mut program = Command::new(store.real_path(&out)).arg("600").spawn().unwrap();
    let report = collect(&store, ALL);
    program.kill().unwrap();
    program.wait().unwrap();
    assert!(!report.deleted.contains(&out), "{report:?}");
    assert!(collect(&store, ALL).deleted.contains(&out));
}

#[test]
fn two_collections_take_turns() {
    let dir = scratch();
    for number in 0..50 {
        text(&open(dir.path()), &number.to_string(), &[]);
    }
    let deleted: usize = std::thread::scope(|scope| {
        let collections: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| open(dir.path()).gc(ALL, &mut || {}).unwrap().deleted.len()))
            .collect();
        collections.into_iter().map(|collection| collection.join().unwrap()).sum()
    });
    assert_eq!(deleted, 50);
    assert_eq!(open(dir.path()).verify(true).unwrap(), []);
}

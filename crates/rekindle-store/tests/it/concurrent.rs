//! Several at once: threads, processes, and real Nix.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rekindle_nix::StorePath;
use rekindle_store::{GcOptions, Store, Tree};

use crate::nix::Nix;
use crate::sample::{derivation, name, open, output_path, scratch, write_tree};

/// Set in the processes that a test starts of itself.
const ROOT: &str = "REKINDLE_TEST_ROOT";
const WHO: &str = "REKINDLE_TEST_WHO";

/// Adds the same things as everybody else, and some of its own.
fn work(root: &Path, tree: &Path, who: usize) {
    let store = open(root);
    let tree = Tree::scan(tree).unwrap();
    for number in 0..25 {
        let shared =
            store.add_text(&name("shared"), format!("{number}").as_bytes(), &BTreeSet::new()).unwrap();
        let own = format!("{who} {number}");
        let own = store.add_text(&name("own"), own.as_bytes(), &[shared].into()).unwrap();
        assert!(store.is_valid(&own).unwrap());
        store.add_tree(&name(&format!("tree-{}", number % 5)), &tree).unwrap();
    }
}

#[test]
fn threads_make_one_store_together() {
    let dir = scratch();
    let (root, tree) = (dir.path().join("root"), dir.path().join("tree"));
    write_tree(&tree);
    std::thread::scope(|scope| {
        for who in 0..4 {
            let (root, tree) = (&root, &tree);
            scope.spawn(move || work(root, tree, who));
        }
    });
    check_result(&root, dir.path());
}

#[test]
fn processes_make_one_store_together() {
    if let Some(root) = std::env::var_os(ROOT) {
        let root = Path::new(&root);
        let who = std::env::var(WHO).unwrap().parse().unwrap();
        return work(root, &root.with_file_name("tree"), who);
    }
    let dir = scratch();
    let (root, tree) = (dir.path().join("root"), dir.path().join("tree"));
    write_tree(&tree);
    let children: Vec<_> = (0..4)
        .map(|who| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "concurrent::processes_make_one_store_together", "--nocapture"])
                .env(ROOT, &root)
                .env(WHO, who.to_string())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    check_result(&root, dir.path());
}

fn check_result(root: &Path, dir: &Path) {
    let store = open(root);
    assert_eq!(store.all_valid().unwrap().len(), 25 + 4 * 25 + 5);
    assert_eq!(store.verify(true).unwrap(), []);
    let leftover = std::fs::read_dir(store.physical_store_dir()).unwrap().count();
    assert_eq!(leftover, 25 + 4 * 25 + 5, "a lock or garbage was left");
    Nix::on(root, &dir.join("home")).verify();
}

#[test]
fn nothing_is_collected_under_who_adds_it() {
    let dir = scratch();
    let root = dir.path();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let store = open(root);
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) {
                store.gc(GcOptions { dry_run: false, max_freed: None }, &mut || {}).unwrap();
                rounds += 1;
            }
            rounds
        });
        let adders: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for round in 0..20 {
                        // Its temporary roots end with it.
                        let store = open(root);
                        let mut last: Option<StorePath> = None;
                        for number in 0..5 {
                            let text = format!("{} {number}", round % 3);
                            let references = last.iter().cloned().collect();
                            let path = store.add_text(&name("text"), text.as_bytes(), &references).unwrap();
                            assert!(store.is_valid(&path).unwrap());
                            assert_eq!(std::fs::read(store.real_path(&path)).unwrap(), text.as_bytes());
                            last = Some(path);
                        }
                        let closure = store.closure(last.iter()).unwrap();
                        assert_eq!(closure.len(), 5);
                    }
                })
            })
            .collect();
        let results: Vec<_> = adders.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(collector.join().unwrap() > 0);
        assert!(results.iter().all(Result::is_ok));
    });
    assert_eq!(open(root).verify(true).unwrap(), []);
}

#[test]
fn the_second_one_waits_and_is_told() {
    let dir = scratch();
    let store = open(dir.path());
    let path = store.store_dir().text_path(&name("x"), &rekindle_nix::Hash::sha256(b""), []).unwrap();
    let first = store.lock_outputs([&path], &mut |_| panic!("nobody else is there")).unwrap();
    assert!(first.hold(&path));
    let (send, told) = mpsc::channel();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let store = open(dir.path());
            assert!(store.try_lock_outputs([&path]).unwrap().is_none());
            let locks = store.lock_outputs([&path], &mut |path| send.send(path.clone()).unwrap()).unwrap();
            assert!(locks.hold(&path));
            store.is_valid(&path).unwrap()
        });
        assert_eq!(told.recv().unwrap(), path);
        std::thread::sleep(Duration::from_millis(50));
        assert!(!second.is_finished());
        store.add_text(&name("other"), b"", &BTreeSet::new()).unwrap();
        drop(first);
        assert!(!second.join().unwrap());
    });
    let lock = store.physical_store_dir().join(format!("{path}.lock"));
    assert!(!lock.exists());
    // One that a crash left behind, with the mark of one that was deleted, hinders nobody.
    std::fs::write(&lock, b"d").unwrap();
    assert!(store.try_lock_outputs([&path]).unwrap().is_some());
}

#[test]
fn locks_on_several_paths_are_all_or_none() {
    let dir = scratch();
    let store = open(dir.path());
    let paths: Vec<_> = ["a", "b", "c"]
        .map(|text| {
            store.store_dir().text_path(&name("x"), &rekindle_nix::Hash::sha256(text.as_bytes()), []).unwrap()
        })
        .into();
    let one = store.lock_outputs([&paths[1]], &mut |_| {}).unwrap();
    assert!(store.try_lock_outputs(&paths).unwrap().is_none());
    let rest = store.try_lock_outputs([&paths[0], &paths[2]]).unwrap();
    assert!(rest.is_some());
    drop((one, rest));
    assert!(store.try_lock_outputs(paths.iter().rev()).unwrap().is_some());
}

#[test]
fn real_nix_waits_for_us_and_takes_what_we_built() {
    let dir = scratch();
    let store: Store = open(&dir.path().join("root"));
    let derivation = derivation(&store, "shared-build", &[]);
    let drv = store.add_derivation(&derivation).unwrap();
    let outputs = ["out", "dev"].map(|output| output_path(&derivation, output));
    let locks = store.lock_outputs(&outputs, &mut |_| {}).unwrap();
    let nix = Nix::on(store.root(), &dir.path().join("home"));
    std::thread::scope(|scope| {
        let theirs =
            scope.spawn(|| nix.try_run("nix-store", &["--realise", &store.store_dir().display(&drv)]));
        std::thread::sleep(Duration::from_millis(500));
        assert!(!theirs.is_finished(), "{:?}", theirs.join());
        let registrations = outputs.each_ref().map(|path| {
            let staging = store.staging().unwrap();
            let built = staging.path().join("built");
            std::fs::write(&built, b"built by us").unwrap();
            store.install_output(&locks, &built, path, &BTreeSet::new()).unwrap()
        });
        store.register(registrations.into()).unwrap();
        drop(locks);
        let theirs = theirs.join().unwrap();
        assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stderr));
    });
    assert_eq!(std::fs::read(store.real_path(&outputs[0])).unwrap(), b"built by us");
    nix.verify();
}

#[test]
fn installing_twice_at_once_registers_one() {
    let dir = scratch();
    let store = open(dir.path());
    let derivation = derivation(&store, "raced", &[]);
    let drv = store.add_derivation(&derivation).unwrap();
    let out = output_path(&derivation, "out");
    let built: usize = std::thread::scope(|scope| {
        let builds: Vec<_> = (0..4)
            .map(|who| {
                let (store, out, drv) = (&store, &out, &drv);
                scope.spawn(move || {
                    // One lock after the other: whoever comes later finds it valid.
                    let guard = store.lock_outputs([out], &mut |_| {}).unwrap();
                    if store.is_valid(out).unwrap() {
                        return 0;
                    }
                    drop(guard);
                    let staging = store.staging().unwrap();
                    let built = staging.path().join("built");
                    std::fs::write(&built, who.to_string()).unwrap();
                    let locks = store.lock_outputs([out], &mut |_| {}).unwrap();
                    if store.is_valid(out).unwrap() {
                        return 0;
                    }
                    let mut registration =
                        store.install_output(&locks, &built, out, &BTreeSet::new()).unwrap();
                    registration.deriver = Some(drv.clone());
                    store.register(vec![registration]).unwrap();
                    1
                })
            })
            .collect();
        builds.into_iter().map(|build| build.join().unwrap()).sum()
    });
    assert_eq!(built, 1);
    assert_eq!(store.verify(true).unwrap(), []);
}

#[test]
fn nothing_is_collected_under_a_build_of_real_nix() {
    let dir = scratch();
    let root = dir.path().join("root");
    let expression = r#"
        let
          step = name: input: derivation {
            inherit name input; system = builtins.currentSystem; builder = "/bin/sh";
            text = builtins.toFile "text-of-${name}" name;
            args = ["-c" "/bin/sleep 0.2; read x < $text; echo $x $input > $out"];
          };
        in step "three" (step "two" (step "one" ./input))"#;
    std::fs::write(dir.path().join("x.nix"), expression).unwrap();
    std::fs::write(dir.path().join("input"), "input").unwrap();
    let store = open(&root);
    let nix = Nix::on(&root, &dir.path().join("home"));
    let collections = std::thread::scope(|scope| {
        let file = dir.path().join("x.nix");
        let build = scope.spawn(move || nix.try_run("nix-build", &["--no-out-link", file.to_str().unwrap()]));
        let mut collections = 0;
        while !build.is_finished() {
            store.gc(GcOptions { dry_run: false, max_freed: None }, &mut || {}).unwrap();
            collections += 1;
        }
        let build = build.join().unwrap();
        assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
        collections
    });
    assert!(collections > 1);
    assert_eq!(store.verify(true).unwrap(), []);
    store.gc(GcOptions { dry_run: false, max_freed: None }, &mut || {}).unwrap();
    assert_eq!(store.all_valid().unwrap(), BTreeSet::new());
}

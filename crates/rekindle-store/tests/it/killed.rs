//! SIGKILL at any moment leaves a store that verifies.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rekindle_store::{GcOptions, Problem, Tree};

use crate::nix::Nix;
use crate::sample::{derivation, install, name, open, output_path, scratch};

const ROOT: &str = "REKINDLE_TEST_ROOT";
const SEED: &str = "REKINDLE_TEST_SEED";
const MOMENTS: u64 = 30;

#[test]
fn the_store_verifies_whenever_its_user_is_killed() {
    if let Some(root) = std::env::var_os(ROOT) {
        return victim(Path::new(&root));
    }
    let dir = scratch();
    let root = dir.path().join("root");
    let tree = dir.path().join("tree");
    for number in 0..300 {
        let file = tree.join(format!("{}/{number}", number % 7));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, number.to_string().repeat(2000)).unwrap();
    }
    let nix = Nix::on(&root, &dir.path().join("home"));
    let mut finished = 0;
    for moment in 0..MOMENTS {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::the_store_verifies_whenever_its_user_is_killed", "--nocapture"])
            .env(ROOT, &root)
            .env(SEED, moment.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Evenly over what it does in a few hundred milliseconds, and at odd moments.
        std::thread::sleep(Duration::from_micros(500 + moment * moment * 311 % 300_000));
        let _ = victim.kill();
        finished += u64::from(victim.wait().unwrap().success());

        if root.join("nix/var/nix/db/schema").exists() {
            nix.verify();
        }
        let store = open(&root);
        let problems = store.verify(true).unwrap();
        assert!(problems.iter().all(Problem::is_harmless), "at moment {moment}: {problems:?}");
    }
    assert!(finished < MOMENTS / 2, "it was mostly too late to kill it");
    let store = open(&root);
    store.gc(GcOptions { dry_run: false, max_freed: None }, &mut || {}).unwrap();
    assert_eq!(store.verify(true).unwrap(), []);
    // The staging areas of the dead are gone, and so are their locks.
    assert_eq!(std::fs::read_dir(root.join("nix/var/nix/rekindle/staging")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(root.join("nix/var/nix/temproots")).unwrap().count(), 0);
    nix.verify();
}

/// What the test does in a process of its own: all that writes to a store, over and over.
fn victim(root: &Path) {
    let seed = std::env::var(SEED).unwrap();
    let tree = Tree::scan(&root.with_file_name("tree")).unwrap();
    for round in 0..40 {
        let store = open(root);
        let text = format!("{seed} {round}");
        let text = store.add_text(&name("text"), text.as_bytes(), &BTreeSet::new()).unwrap();
        let source = store.add_tree(&name(&format!("tree-{seed}-{round}")), &tree).unwrap();
        let derivation = derivation(&store, &format!("drv-{seed}-{round}"), &[&text, &source]);
        let drv = store.add_derivation(&derivation).unwrap();
        let (out, dev) = (output_path(&derivation, "out"), output_path(&derivation, "dev"));
        let candidates = [text.clone(), out.clone()].into();
        let of_out = install(&store, &out, &drv, &candidates, |built| {
            std::fs::create_dir(built).unwrap();
            std::fs::write(built.join("file"), text.base_name()).unwrap();
        });
        let of_dev = install(&store, &dev, &drv, &candidates, |built| {
            std::fs::write(built, out.base_name()).unwrap();
        });
        store.register(vec![of_out, of_dev]).unwrap();
        let mut log = store.log_writer(&drv).unwrap();
        log.write_all(b"a log").unwrap();
        log.finish().unwrap();
        let link = root.with_file_name(format!("result-{}", round % 3));
        store.add_root(&link, &out).unwrap();
        if round % 4 == 3 {
            drop(store);
            open(root).gc(GcOptions { dry_run: false, max_freed: None }, &mut || {}).unwrap();
        }
    }
}

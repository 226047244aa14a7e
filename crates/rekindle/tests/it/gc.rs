//! `gc`: old checkpoints go as the user says, pinned ones stay, and what is kept is whole.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::checkpoints::{json, list, program};
use crate::project::Place;

/// Three checkpoints of one package, oldest first.
fn three(place: &Place, root: &Path) -> Vec<String> {
    (0..3)
        .map(|round| {
            place.write("probe", "f.c", format!("int f(void) {{ return {round}; }}\n"));
            place.rekindle(&["prepare", "-q"]).arg(root).run().line()
        })
        .collect()
}

fn gc(place: &Place, args: &[&str]) -> Value {
    let finished = place.rekindle(&["gc", "--json"]).args(args).run();
    assert!(finished.success(), "{}", finished.stderr());
    json(&finished)
}

fn removed(report: &Value) -> Vec<&str> {
    let removed = report["checkpoints"]["removed"].as_array().expect("a list");
    removed.iter().map(|id| id.as_str().expect("an identity")).collect()
}

fn left(place: &Place) -> Vec<String> {
    let mut left: Vec<_> =
        list(place).iter().map(|one| one["id"].as_str().expect("a text").to_owned()).collect();
    left.sort();
    left
}

fn sorted(ids: &[&String]) -> Vec<String> {
    let mut ids: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
    ids.sort();
    ids
}

fn layers(place: &Place) -> usize {
    fs::read_dir(place.store().join("rekindle-1/layers/layers")).expect("layers").count()
}

#[test]
fn the_newest_stay() {
    let place = Place::new();
    let root = program(&place, "probe");
    let ids = three(&place, &root);
    let before = layers(&place);
    let dry = gc(&place, &["--keep-last", "1", "--dry-run"]);
    assert_eq!((&dry["dryRun"], removed(&dry).len()), (&true.into(), 2));
    assert_eq!((left(&place).len(), layers(&place)), (3, before), "a dry run does nothing");
    let done = gc(&place, &["--keep-last", "1"]);
    assert_eq!(removed(&done), removed(&dry));
    assert_eq!(done["checkpoints"]["bytes"], dry["checkpoints"]["bytes"]);
    assert!(done["checkpoints"]["bytes"].as_u64().expect("a number") > 0);
    assert_eq!(done["checkpoints"]["inUse"], false);
    assert_eq!(left(&place).len(), 1);
    assert_eq!(before - layers(&place), done["checkpoints"]["layers"].as_u64().expect("a number") as usize);
    // What is left is whole, even where what it went on from is gone.
    place.write("probe", "main.c", "int f(void);\nint main(void) { return f() - 2; }\n");
    let args = ["build", "--no-link", "--json", "--from", &left(&place)[0]];
    let report = json(&place.rekindle(&args).arg(&root).run());
    assert_eq!(report["builds"][0]["taken"]["steps"]["seeded"], 1);
    assert!(ids.contains(&left(&place)[0]) || left(&place).len() == 2);
}

#[test]
fn pinned_ones_stay_whatever_is_said() {
    let place = Place::new();
    let root = program(&place, "probe");
    let ids = three(&place, &root);
    assert!(place.rekindle(&["checkpoint", "pin", &ids[0]]).run().success());
    let report = gc(&place, &["--max-size", "0"]);
    assert_eq!(removed(&report).len(), 2);
    assert_eq!(left(&place), [ids[0].clone()]);
    assert_eq!(removed(&gc(&place, &["--keep-last", "0", "--older-than", "0s"])), Vec::<&str>::new());
    assert_eq!(left(&place), [ids[0].clone()]);
}

#[test]
fn age_and_size_decide() {
    let place = Place::new();
    let root = program(&place, "probe");
    let ids = three(&place, &root);
    assert_eq!(removed(&gc(&place, &["--older-than", "1h"])), Vec::<&str>::new());
    assert_eq!(removed(&gc(&place, &["--max-size", "1G"])), Vec::<&str>::new());
    let listed = list(&place);
    let total: u64 = listed.iter().map(|one| one["ownBytes"].as_u64().expect("a number")).sum();
    let size = (total / 2).to_string();
    let report = gc(&place, &["--max-size", &size]);
    assert!(!removed(&report).is_empty() && removed(&report).len() < 4);
    // Nothing younger than no time at all.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    gc(&place, &["--older-than", "0s"]);
    assert_eq!(left(&place), Vec::<String>::new());
    assert_eq!(layers(&place), 0);
    assert_eq!(sorted(&ids.iter().collect::<Vec<_>>()).len(), 3);
    // The next build is clean, and right.
    let report = json(&place.rekindle(&["build", "--no-link", "--json"]).arg(&root).run());
    assert_eq!(report["goals"][0]["outputs"]["out"]["provenance"]["kind"], "clean");
}

#[test]
fn the_older_name_does_the_same() {
    let place = Place::new();
    // What processes have open is not collected, and other tests build the other package to the same path.
    let root = program(&place, "collected");
    let output = place.build(&root, &[]);
    let provenance =
        place.store().join("rekindle-1/provenance").join(&output[0]["/nix/store/".len()..][..32]);
    assert!(provenance.exists());
    let said = place.rekindle(&["store", "gc", "--dry-run"]).run().stdout();
    assert!(said.contains("would be deleted") && said.contains(&output[0]), "{said}");
    let done = place.rekindle(&["store", "gc", "--keep-last", "0"]).run();
    assert!(
        done.success() && done.stdout().contains("1 checkpoint with"),
        "{}{}",
        done.stdout(),
        done.stderr()
    );
    assert!(!provenance.exists(), "what is gone has no provenance");
    assert_eq!(left(&place), Vec::<String>::new());
    // Nor is what every package uses, as long as any test builds with it.
    let again = || place.rekindle(&["gc"]).run().stdout();
    let is_over = || {
        let said = again();
        assert!(!said.contains(" layer"), "{said}");
        let over = said.starts_with("0 paths deleted");
        if !over {
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        over
    };
    assert!((0..240).any(|_| is_over()), "{}", again());
}

#[test]
fn what_a_killed_build_left_goes() {
    let place = Place::new();
    let root = program(&place, "probe");
    place.build(&root, &[]);
    let half = fs::read_dir(place.store().join("rekindle-1/checkpoints")).expect("checkpoints").flatten();
    let package = half.map(|entry| entry.path()).find(|path| path.is_dir()).expect("a package");
    fs::create_dir(package.join("new-half")).expect("our own directory");
    fs::write(package.join("new-half/record"), "half").expect("our own file");
    let orphan = place.store().join("rekindle-1/layers/layers/00000000000000000000000000000001/upper");
    fs::create_dir_all(&orphan).expect("our own directory");
    fs::write(orphan.join("file"), vec![1; 50_000]).expect("our own file");
    let report = gc(&place, &[]);
    assert_eq!(report["checkpoints"]["layers"], 1);
    assert!(report["checkpoints"]["bytes"].as_u64().expect("a number") >= 50_000);
    assert!(!orphan.exists() && !package.join("new-half").exists());
    assert_eq!(left(&place).len(), 1);
}

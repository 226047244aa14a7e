//! Builds that go on from one another: a long chain of them, and the branches of a repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::edit::{self, Edit, remove, rename, replace, write};
use super::make::{MANIFEST, project};
use super::{Built, checkpoints, equal, verify};
use crate::project::Place;

/// More directories than this are never stacked, however long the chain: small layers are squashed.
const HIGHEST: usize = 32;

/// What the first edits left is one layer in the end: there the directory came, and lost a file.
#[test]
fn what_went_from_a_directory_that_came_is_not_listed() {
    let (place, clean) = (Place::new(), Place::new());
    let root = place.path().join("project");
    let manifest = format!(
        "{MANIFEST}build-system = \"custom\"\n[package.phases]\n\
         build = 'find share -printf \"%P %y\\n\" | LC_ALL=C sort > listing'\n\
         install = 'mkdir $out; cp -rP listing share $out'\n"
    );
    let files = [("rekindle.toml", &*manifest), ("share/sub/c", "c\n"), ("share/sub/d", "d\n"), ("a", "a\n")];
    edit::make(&root, &files.map(|(path, text)| write(path, text)));
    place.build(&root, &[]);
    let edits = [rename("share/sub", "share/other"), remove("share/other/c")];
    let more = (0..6).map(|round| write("a", format!("{round}\n")));
    for edit in edits.into_iter().chain(more) {
        edit.apply(&root);
        equal(&place, &clean, &root);
    }
}

#[test]
fn a_chain_of_fifty_builds_stays_right() {
    let (place, clean) = (Place::new(), Place::new());
    let root = place.path().join("project");
    edit::make(&root, &project());
    // Of how many directories the tree of the build consists.
    let count =
        "grep ' /build /build ' /proc/self/mountinfo | grep -o lowerdir | wc -l | sed 's/^/stacked /'";
    write("rekindle.toml", format!("{MANIFEST}[package.phases]\npost-build = \"{count}\"\n")).apply(&root);
    place.build(&root, &[]);
    let known = || -> BTreeSet<PathBuf> { checkpoints(&place).into_iter().collect() };
    let mut depths: BTreeMap<String, usize> = known().iter().map(|dir| (id(dir), 0)).collect();
    for round in 0..50 {
        let edit = match round % 7 {
            3 => write("a.h", format!("#define A {}\n", 100 + round)),
            5 => write(&format!("share/new{round}"), "new\n"),
            _ => write("b.c", format!("int b(void) {{ return {}; }}\n", 100 + round)),
        };
        edit.apply(&root);
        let before = known();
        let built =
            if round % 10 == 9 { equal(&place, &clean, &root) } else { Built::of(&place, &root, &[]).good() };
        let output = built.outputs(&place).expect("built").remove(0);
        let run = Command::new(output.join("bin/prog")).output().expect("it runs");
        let number = |path: &str, before: &str, after: &str| -> u32 {
            let text = std::fs::read_to_string(root.join(path)).expect("our own file");
            let text = text.trim().trim_start_matches(before).trim_end_matches(after);
            text.parse().expect("a number")
        };
        let (a, b) = (number("a.h", "#define A ", ""), number("b.c", "int b(void) { return ", "; }"));
        assert_eq!(String::from_utf8_lossy(&run.stdout), format!("{a} {} {b}\n", a + 1), "round {round}");
        let depth = match built.verdict("buildPhase") {
            "seed" => depths[built.base().expect("it went on from one")] + 1,
            _ => 0,
        };
        // From the one before, or from another that differs as little.
        assert!(depth > round / 2, "round {round}: {depth}");
        let new: Vec<String> = known().difference(&before).map(|dir| id(dir)).collect();
        let [new] = &new[..] else { panic!("one new checkpoint: {new:?}") };
        depths.insert(new.clone(), depth);
        let stacked: usize = built
            .told
            .lines()
            .find_map(|line| line.strip_prefix("probe-1> stacked "))
            .map(|number| number.parse().expect("a number"))
            .unwrap_or_else(|| panic!("round {round}: the build phase did not run: {}", built.told));
        assert!((2..=HIGHEST).contains(&stacked), "round {round}: {stacked}");
    }
    assert!(checkpoints(&place).len() <= 8, "{:?}", checkpoints(&place));
    let layers = std::fs::read_dir(place.store().join("rekindle-1/layers/layers")).expect("layers").count();
    assert!(layers <= 8 * HIGHEST, "{layers}");
    assert_eq!(place.leftovers(), Vec::<String>::new());
    verify(&place);
}

fn id(checkpoint: &Path) -> String {
    checkpoint.file_name().expect("a name").to_string_lossy().into_owned()
}

fn git(root: &Path, args: &[&str]) {
    let run = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"])
        .args(args)
        .current_dir(root)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", root)
        .output()
        .expect("git");
    assert!(run.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn branches_are_told_apart_by_their_content() {
    let (place, clean) = (Place::new(), Place::new());
    let root = place.path().join("project");
    edit::make(&root, &project());
    let known = || -> Vec<String> { checkpoints(&place).iter().map(|dir| id(dir)).collect() };
    // Builds, and returns the base and the new checkpoint.
    let build = |edits: &[Edit]| -> (Option<String>, String) {
        edits.iter().for_each(|edit| edit.apply(&root));
        let before = known();
        let built = equal(&place, &clean, &root);
        let new: Vec<String> = known().into_iter().filter(|id| !before.contains(id)).collect();
        assert_eq!(new.len(), 1, "one new checkpoint");
        (built.base().map(str::to_owned), new[0].clone())
    };
    git(&root, &["init", "-q"]);
    git(&root, &["add", "."]);
    git(&root, &["commit", "-qm", "one"]);
    let (base, main) = build(&[]);
    assert_eq!(base, None);
    git(&root, &["checkout", "-q", "-b", "topic"]);
    let many: Vec<Edit> = (0..20).map(|number| write(&format!("share/topic{number}"), "topic\n")).collect();
    let (base, topic) = build(&[&many[..], &[write("a.h", "#define A 50\n")]].concat());
    assert_eq!(base.as_ref(), Some(&main));
    git(&root, &["add", "."]);
    git(&root, &["commit", "-qm", "topic"]);
    // There and back: the newest checkpoint is that of the other branch.
    git(&root, &["checkout", "-q", "main"]);
    let (base, main_two) = build(&[replace("b.c", "2", "3")]);
    assert_eq!(base, Some(main));
    git(&root, &["commit", "-qam", "two"]);
    git(&root, &["checkout", "-q", "topic"]);
    let (base, topic_two) = build(&[replace("main.c", "return 0", "return 1")]);
    assert_eq!(base, Some(topic));
    git(&root, &["commit", "-qam", "topic two"]);
    // The rebased branch is nearer to itself than to what it now stands on.
    git(&root, &["rebase", "-q", "main"]);
    let (base, _) = build(&[]);
    assert_eq!(base, Some(topic_two));
    git(&root, &["checkout", "-q", "main"]);
    let (base, _) = build(&[replace("a.c", "1", "2")]);
    assert_eq!(base, Some(main_two));
    verify(&place);
}

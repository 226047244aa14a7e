//! What the layer of a step holds when a build tool makes its hard links again: what the tool wrote, once.
//!
//! Git has 140 names for one program, cargo two for each. The kernel's overlayfs is what builds work in; a working copy
//! has to do as well, and what is made of the layers later may not lose a link or write a file for each name.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rekindle_layers::{
    MaterialiseOptions, Snapshot, TreeChangeKind, View, difference, materialise, squash, survey,
};

use crate::kernel::{Overlay, Workshop, assert_same};
use crate::namespace;

const BIG: usize = 1 << 20;
const NAMES: usize = 140;

#[test]
fn overlays_hold_what_was_written() {
    namespace::with_mounts("hard_links::inner_overlays");
}

#[test]
fn inner_overlays() {
    if !namespace::is_part() {
        return;
    }
    let workshop = Workshop::new();
    let draft = workshop.store.begin().unwrap();
    fs::create_dir(draft.upper().join("deps")).unwrap();
    for program in ["git", "other", "cargo"] {
        fs::write(draft.upper().join("deps").join(program), vec![0; BIG]).unwrap();
        link(draft.upper(), program);
    }
    let base = vec![workshop.store.path(draft.commit().unwrap())];
    assert!(survey(&base[0]).unwrap().bytes < 4 * BIG as u64);

    // A program that is linked anew, as make and cargo do it: a new file, and each link made again.
    let anew = step(&workshop, &base, |root| {
        fs::remove_file(root.join("deps/git")).unwrap();
        fs::write(root.join("deps/git"), vec![1; BIG]).unwrap();
        link(root, "git");
    });
    check(&workshop, &anew, 1, 1);

    // Cargo looks whether its two names are one file, and leaves them alone then.
    let looked_at = step(&workshop, &base, |root| {
        let [one, other] = ["deps/cargo", "cargo0"].map(|name| fs::metadata(root.join(name)).unwrap());
        assert_eq!((one.dev(), one.ino()), (other.dev(), other.ino()));
        assert_eq!(one.nlink(), NAMES as u64 + 1);
    });
    check(&workshop, &looked_at, 0, 0);

    // Links made again to a file that did not change: it is in the layer, once.
    let linked = step(&workshop, &anew, |root| link(root, "other"));
    check(&workshop, &linked, 1, 1);

    // One name written to in place: of it alone there is a copy.
    let written = step(&workshop, &base, |root| {
        let mut bytes = fs::read(root.join("cargo7")).unwrap();
        bytes[0] = 9;
        fs::write(root.join("cargo7"), bytes).unwrap();
    });
    check(&workshop, &written, 1, 1);

    // What differs is told for each name, and costs no copy.
    let changes = difference(&base, &anew, Path::new("")).unwrap();
    assert_eq!(changes.len(), NAMES + 1);
    assert!(changes.iter().all(|change| change.kind == TreeChangeKind::Content));
}

/// Puts the layer of what a tool does on a stack.
fn step(workshop: &Workshop, stack: &[PathBuf], act: impl FnOnce(&Path)) -> Vec<PathBuf> {
    let draft = workshop.store.begin().unwrap();
    {
        let _overlay = Overlay::new(&workshop.at, stack, Some((draft.upper(), draft.work())));
        act(&workshop.at);
    }
    [&[workshop.store.path(draft.commit().unwrap())], stack].concat()
}

/// Gives a program its further names, whatever has them now.
fn link(root: &Path, program: &str) {
    for name in 0..NAMES {
        let name = root.join(format!("{program}{name}"));
        let _ = fs::remove_file(&name);
        fs::hard_link(root.join("deps").join(program), name).unwrap();
    }
}

/// The top layer holds so many files, of so many times [`BIG`] bytes; and whatever is made of the stack has the same
/// links and not more than the three programs, and one that lost a link.
fn check(workshop: &Workshop, stack: &[PathBuf], files: u64, bigs: u64) {
    let big = BIG as u64;
    let usage = survey(&stack[0]).unwrap();
    assert_eq!(usage.files, files);
    assert!((bigs * big..(bigs + 1) * big).contains(&usage.bytes), "{usage:?}");

    let shown = workshop.show(stack);
    let draft = workshop.store.begin().unwrap();
    let squashed = squash(stack, &draft).unwrap();
    assert!(squashed.bytes <= 4 * big, "{squashed:?}");
    assert_same(&shown, &Snapshot::of_path(draft.upper()).unwrap(), "squashed");

    let dest = workshop.temp.path().join("dest");
    let view = View::of_layers(stack, Path::new("")).unwrap();
    let written = materialise(&view, &dest, &MaterialiseOptions::default()).unwrap();
    assert_eq!((written.files, written.bytes), (squashed.files, squashed.bytes));
    assert_same(&shown, &Snapshot::of_path(&dest).unwrap(), "written out");
    fs::remove_dir_all(&dest).unwrap();
}

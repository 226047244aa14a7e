//! Builds that are still installed stale: what the audit does not see yet (docs/checkpoints.md, "What the audit cannot see").
//!
//! A test here fails when what it awaits holds: then it belongs to [`super::doubts`].

use super::doubts::differences;
use super::edit::{Edit, write};

const OTHER: &str = "other\n";

/// What is installed after the last edit is still wrong.
#[track_caller]
fn check(build: &str, files: &[(&str, &str)], edits: &[Edit]) {
    let all = differences(build, files, edits);
    let (last, built) = all.last().expect("at least one edit");
    assert!(!last.is_empty(), "it is right now, and belongs to `doubts`\n{}", built.told);
}

#[track_caller]
fn make(makefile: &str, files: &[(&str, &str)], edits: &[Edit]) {
    let files: Vec<_> = [("Makefile", makefile)].iter().chain(files).copied().collect();
    check("mkdir -p out; make", &files, edits);
}

/// In a clean build both are of the same age.
#[test]
fn which_source_is_newer() {
    let makefile =
        "out/x: a b\n\tcat a b > /dev/null; if [ b -nt a ]; then echo newer; else echo not; fi > out/x\n";
    make(makefile, &[], &[write("b", OTHER)]);
}

/// Make counts how often it has read its makefiles again.
#[test]
fn what_make_did_before_it_began() {
    let makefile = "-include x.mk\nout/x: b\n\tcat b > out/x; echo $(MAKE_RESTARTS) >> out/x\nx.mk:\n\techo 'V = 1' > x.mk\n";
    make(makefile, &[], &[write("b", OTHER)]);
}

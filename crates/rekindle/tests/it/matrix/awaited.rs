//! Builds that are still installed stale: what the audit does not see yet (docs/checkpoints.md, "What the audit cannot see").
//!
//! A test here fails when what it awaits holds: then it belongs to [`super::doubts`].

use super::doubts::differences;
use super::edit::{Edit, mode, write};

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

/// A command that tells make something and leaves a file is no informer.
#[test]
fn who_tells_and_leaves() {
    let makefile = "V := $(shell cat a | tee told.txt)\nout/x: b\n\techo $(V) > out/x\n";
    make(makefile, &[], &[write("a", OTHER)]);
}

/// What another make in a recipe reads from a pipe is not told to what that starts.
#[test]
fn a_pipe_to_another_make() {
    let files = [("sub.mk", "out/x: a\n\tcat > out/x\n"), ("opt", "1\n")];
    make("all:\n\tcat opt | $(MAKE) -f sub.mk\n", &files, &[write("opt", "2\n")]);
}

/// What a make prints is what it had to do now.
#[test]
fn what_make_prints_is_kept() {
    let makefile = "all: x y\nx: a\n\tcp a x\ny: b\n\tcp b y\n";
    let build = "mkdir -p out; make -j1 2>&1 | grep cp | tee out/log";
    check(build, &[("Makefile", makefile)], &[write("a", OTHER)]);
}

/// Where a link leads is not heard of if it is only read.
#[test]
fn where_a_link_leads() {
    let edits = [Edit::Link("l".into(), "a".into()), Edit::Link("l".into(), "b".into())];
    make("out/x:\n\treadlink l > out/x || echo none > out/x\n", &[], &edits);
}

/// In a clean build both are of the same age.
#[test]
fn which_source_is_newer() {
    let makefile =
        "out/x: a b\n\tcat a b > /dev/null; if [ b -nt a ]; then echo newer; else echo not; fi > out/x\n";
    make(makefile, &[], &[write("b", OTHER)]);
}

/// Who removes what another made has left nothing.
#[test]
fn what_is_not_removed_any_more() {
    let makefile = "out/x: a\n\tcp a out/side; cp a out/x\n";
    let files = [("Makefile", makefile), ("rm.sh", "rm -f out/side\n")];
    check("mkdir -p out; make; sh rm.sh", &files, &[write("rm.sh", ":\n")]);
}

/// To have compared is taken for equal.
#[test]
fn what_is_compared_but_for_a_comment() {
    let script = "{ echo \"// $(cat a)\"; cat b; } > out/x.tmp\n\
        if [ -e out/x ] && diff -I '^//' out/x.tmp out/x > /dev/null; then rm out/x.tmp; else mv out/x.tmp out/x; fi\n";
    let ninja = "rule g\n  command = mkdir -p out; sh gen.sh\n  restat = 1\nbuild out/x: g | a b gen.sh\n";
    check("ninja", &[("build.ninja", ninja), ("gen.sh", script)], &[write("a", OTHER)]);
}

/// A file that a makefile reads is taken for kbuild's by its name.
#[test]
fn what_is_no_kbuild() {
    let text =
        |word: &str| format!("include scripts/Kbuild.include\nout/x: a\n\t(cat a; echo {word}) > out/x\n");
    let files = [("Makefile", &*text("one")), ("scripts/Kbuild.include", "X := 1\n")];
    check("mkdir -p out; make", &files, &[write("Makefile", text("two"))]);
}

/// Compared are bytes, not modes.
#[test]
fn what_is_compared_but_for_its_mode() {
    let ninja = "rule g\n  command = mkdir -p out; cp -p a $out.t; cmp -s $out.t $out && rm $out.t || mv $out.t $out\n  \
        restat = 1\nbuild out/x: g a\n";
    check("ninja", &[("build.ninja", ninja)], &[mode("a", 0o755)]);
}

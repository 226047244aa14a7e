//! What comes after a step that went on: it finds the tree as after a clean build, times included.

use super::Built;
use super::edit::{self, Edit, write};
use super::make::MANIFEST;
use crate::project::Place;

/// A project whose phases are these, and what it installs after each edit is what it installs when it is built clean. Its build
/// phase goes on.
#[track_caller]
fn check(more: &str, phases: &str, files: &[(&str, &str)], edits: &[&[Edit]]) {
    let (place, clean) = (Place::new(), Place::new());
    let root = place.path().join("project");
    let manifest = format!("{MANIFEST}build-system = \"custom\"\n{more}[package.phases]\n{phases}");
    let files = files.iter().map(|(path, text)| write(path, text));
    edit::make(&root, &std::iter::once(write("rekindle.toml", manifest)).chain(files).collect::<Vec<_>>());
    Built::of(&place, &root, &[]).good();
    for edits in edits {
        edits.iter().for_each(|edit| edit.apply(&root));
        let ours = Built::of(&place, &root, &[]).good();
        let differences = ours.differences_to_clean(&place, &clean, &root);
        assert!(differences.is_empty(), "{differences:?}\n{}", ours.told);
        let audits = ours.build()["audits"].as_array();
        assert!(audits.is_some_and(|audits| !audits.is_empty()), "nothing was audited\n{}", ours.told);
    }
}

const MOVED_IF_CHANGED: &str = "OPT = off\nall: feat.h prog\nfeat.h: feat.in\n\
    \tsed -e 's/@OPT@/$(OPT)/' -e '/^#/d' feat.in > f.tmp; \
    if cmp -s f.tmp feat.h; then rm f.tmp; else mv f.tmp feat.h; fi\n\
    prog: feat.h prog.in\n\tcat feat.h prog.in > prog\n\
    install: all\n\tmkdir -p $(DESTDIR); cp prog $(DESTDIR)/\n";

/// What was compared and left alone is not older than its source to who installs, and is not made again without what the
/// build phase was told.
#[test]
fn what_was_left_alone_is_not_made_again() {
    let phases = "build = 'make OPT=on'\ninstall = 'make install DESTDIR=$out'\n";
    let files = [("Makefile", MOVED_IF_CHANGED), ("feat.in", "opt @OPT@\n"), ("prog.in", "one\n")];
    let comment = |word: &str| write("feat.in", format!("# {word}\nopt @OPT@\n"));
    let edits: [&[Edit]; 3] = [
        &[comment("one"), write("prog.in", "two\n")],
        &[write("prog.in", "three\n")],
        &[comment("another"), write("prog.in", "four\n")],
    ];
    for tree in ["", "copy-tree = true\n"] {
        check(tree, phases, &files, &edits);
    }
}

#[test]
fn what_was_left_alone_is_not_made_again_to_be_checked() {
    let phases = "build = 'make OPT=on'\ncheck = 'make && grep -q on prog'\ninstall = 'mkdir -p $out; cp prog $out/'\n";
    let files = [("Makefile", MOVED_IF_CHANGED), ("feat.in", "opt @OPT@\n"), ("prog.in", "one\n")];
    check("", phases, &files, &[&[write("feat.in", "# a word\nopt @OPT@\n"), write("prog.in", "two\n")]]);
}

/// CMake writes the same list of globs once more, and ninja compares its age with that of its rules in the next build, too.
#[test]
fn what_was_configured_again_is_not_configured_once_more() {
    let lists = "cmake_minimum_required(VERSION 3.12)\nproject(x C)\nfile(GLOB S CONFIGURE_DEPENDS src/*.c)\n\
                 add_executable(p ${S})\ninstall(TARGETS p)\n";
    let place = Place::new();
    let root = place.path().join("project");
    let manifest = format!("{MANIFEST}build-system = \"cmake\"\n");
    let main = |code: u8| write("src/m.c", format!("int main(void) {{ return {code}; }}\n"));
    edit::make(&root, &[write("rekindle.toml", manifest), write("CMakeLists.txt", lists), main(0)]);
    Built::of(&place, &root, &[]).good();
    for edit in [write("src/n.c", "int n;\n"), main(1)] {
        edit.apply(&root);
        let built = Built::of(&place, &root, &[]).good();
        assert_eq!(built.build()["audits"][0]["clean"], false, "{}", built.told);
    }
}

//! What ordinary builds do and that has nothing stale in it: after an edit the build tool runs once, and that is all.

use super::Built;
use super::doubts::differences;
use super::edit::{self, Edit, rename, write};
use super::make::with_makefile;
use crate::project::Place;

const MAKEFILE: &str = "\
prog: stamp
\tcp made prog
stamp: a.h
\tcp a.h made
\ttouch $@
other.stamp: a.h; cat a.h > other; touch $@
prog: other.stamp
install: prog
\tinstall -D prog $(PREFIX)/bin/prog
\tinstall -D other $(PREFIX)/bin/other
";

/// After each edit the project goes on from its checkpoint, its step runs once, and it is as it is built clean.
#[track_caller]
fn check(build: &str, files: &[(&str, &str)], edits: &[Edit]) {
    for (differences, built) in differences(build, files, edits) {
        assert!(differences.is_empty(), "{differences:?}\n{}", built.told);
        let audits = &built.build()["audits"];
        assert_eq!(audits[0]["rounds"], 1, "{build}\n{}", built.told);
        assert_eq!(audits[0]["clean"], false, "{build}\n{}", built.told);
    }
}

/// Two products, of which one has to be made again.
const TWO: &str = "all: out/x out/y\nout/x: a\n\tcat a > out/x; cat a\nout/y: b\n\tcat b > out/y; cat b\n";

#[test]
fn messages_go_through_a_pipe() {
    let edits = [write("a", "other\n"), write("b", "other\n")];
    for build in [
        "make 2>&1 | cat",
        "make | grep -v nothing",
        "make | while read line; do echo \"told $line\"; done",
        "make > /dev/null",
        "echo first > out/first; log=$(make) || exit 1; echo \"$log\"",
        "python3 -c \"import subprocess; print(subprocess.run([\\\"make\\\"], capture_output=True).stdout)\"",
    ] {
        check(&format!("mkdir -p out; {build}"), &[("Makefile", TWO)], &edits);
    }
    let top = "all:\n\t$(MAKE) -f sub.mk 2>&1 | grep -v nothing\n";
    check("mkdir -p out; make", &[("Makefile", top), ("sub.mk", TWO)], &edits);
}

#[test]
fn an_environment_is_new_each_time() {
    let build = "export HOME=$(mktemp -d) MADE=$(date +%N); mkdir -p out; make";
    check(build, &[("Makefile", TWO)], &[write("a", "other\n")]);
}

#[test]
fn makes_run_beside_each_other() {
    let build = "mkdir -p out; for i in 1 2 3; do make out/x & make out/y & wait; done";
    check(build, &[("Makefile", TWO)], &[write("a", "other\n"), write("b", "other\n")]);
}

#[test]
fn what_is_there_already_is_no_reason() {
    check("mkdir out || true; make", &[("Makefile", TWO)], &[write("a", "other\n")]);
    let build = "mkdir -p out; V=$(make -s version); make V=$V";
    let makefile = format!("{TWO}version:\n\t@cat v\n");
    check(build, &[("Makefile", &makefile), ("v", "1\n")], &[write("a", "other\n")]);
}

/// What make reads of that is as it was, and was made anew.
#[test]
fn dependencies_are_made_by_make() {
    let makefile = "all: out/x out/y\n-include dep.mk\nout/x: x.c\n\tcc -E -P x.c > out/x\nout/y: a\n\tcp a out/y\n\
        dep.mk: x.c\n\tcc -MM -MT out/x x.c > dep.mk\n";
    let files = [("Makefile", makefile), ("x.c", "#include \"x.h\"\nX\n"), ("x.h", "#define X 1\n")];
    let edit = |value: u32| write("x.c", format!("#include \"x.h\"\nX {value}\n"));
    check("mkdir -p out; make", &files, &[edit(1), edit(2), edit(3)]);
}

/// In a clean build there is nothing to compare with.
#[test]
fn flags_are_written_down_if_they_are_others() {
    let makefile = "all: out/x out/y\nout/x: a flags\n\tcp a out/x\nout/y: b flags\n\tcp b out/y\nFLAGS = -O2\n\
        flags: FORCE\n\t@if test x\"$(FLAGS)\" != x\"`cat flags 2>/dev/null`\"; then echo new >&2; echo \"$(FLAGS)\" > flags; fi\n\
        FORCE:\n";
    check("mkdir -p out; make", &[("Makefile", makefile)], &[write("a", "other\n"), write("b", "other\n")]);
}

/// What was in a directory that was made for a while went with that.
#[test]
fn a_directory_is_made_for_a_while() {
    let conf = "d=$(mktemp -d $PWD/tXXXXXX); make -C $d -f $PWD/i.mk; cat $d/x text > config.h; rm -rf $d\n";
    let makefile = "out/x: config.h a\n\tcat config.h a > out/x\n";
    let files =
        [("Makefile", makefile), ("conf.sh", conf), ("i.mk", "x:\n\techo hi > x\n"), ("text", "text\n")];
    check("mkdir -p out; sh conf.sh && make", &files, &[write("text", "other\n"), write("a", "other\n")]);
}

/// What is only compared, and then replaced or left alone, comes out as in a clean build.
#[test]
fn what_is_moved_if_it_changed() {
    let makefile = "all: out/x out/y\nout/x: g.h\n\tcp g.h out/x\nout/y: b\n\tcp b out/y\n\
        g.h: a gen.sh\n\tsh gen.sh > g.tmp; if cmp -s g.tmp g.h; then rm -f g.tmp; else mv -f g.tmp g.h; fi\n";
    let files = [("Makefile", makefile), ("gen.sh", "sed /^#/d a\n")];
    let edits = [write("a", "# a comment\na\n"), write("a", "other\n"), write("b", "other\n")];
    check("mkdir -p out; make", &files, &edits);
}

/// It is called each time, and looks at what it left itself: that costs a second run, but not all.
#[test]
fn cmake_is_called_by_hand() {
    let project = "cmake_minimum_required(VERSION 3.16)\nproject(p C)\nadd_executable(x x.c)\n";
    let files = [("CMakeLists.txt", project), ("x.c", "int main(void) { return 0; }\n")];
    let edits =
        [write("x.c", "int main(void) { return 1; }\n"), write("x.c", "int main(void) { return 2; }\n")];
    for generator in ["Ninja", "\"Unix Makefiles\""] {
        let build =
            format!("cmake -G {generator} -B bld . && cmake --build bld; mkdir -p out; cp bld/x out/");
        for (differences, built) in differences(&build, &files, &edits) {
            assert!(differences.is_empty(), "{differences:?}\n{}", built.told);
            assert_eq!(built.build()["audits"][0]["clean"], false, "{build}\n{}", built.told);
        }
    }
}

/// What is linked to is what was made anew.
#[test]
fn a_program_has_other_names() {
    let makefile = "all: out/x out/other out/y\nout/x: a\n\trm -f out/x; cp a out/x\nout/other: out/x\n\trm -f $@ && ln $< $@\n\
        out/y: b\n\tcp b out/y\n";
    check("mkdir -p out; make", &[("Makefile", makefile)], &[write("a", "other\n"), write("b", "other\n")]);
}

/// Who does not find it where it was had looked at what is there now.
#[test]
fn a_header_has_moved_before() {
    let makefile =
        "all: out/x out/y\nout/x: x.c\n\tcc -Ione -Itwo -E -P x.c > out/x\nout/y: a\n\tcp a out/y\n";
    let files = [
        ("Makefile", makefile),
        ("x.c", "#include <h.h>\nX\n"),
        ("one/h.h", "#define X 1\n"),
        ("two/i.h", ""),
    ];
    let edits = [rename("one/h.h", "two/h.h"), write("x.c", "#include <h.h>\nX X\n")];
    let all = differences("mkdir -p out; make", &files, &edits);
    for (differences, built) in &all {
        assert!(differences.is_empty(), "{differences:?}\n{}", built.told);
    }
    let (_, last) = &all[1];
    assert_eq!(last.build()["audits"][0]["clean"], false, "{}", last.told);
}

/// `touch` leaves what is in a file. If that is nothing, the file is as new as one that was just made, and the build tool need not
/// run a second time.
#[test]
fn what_is_touched_again_is_made_again() {
    let (place, clean) = (Place::new(), Place::new());
    let root = place.path().join("project");
    edit::make(&root, &with_makefile(MAKEFILE));
    Built::of(&place, &root, &[]).good();
    write("a.h", "#define A 77\n").apply(&root);
    let ours = Built::of(&place, &root, &[]).good();
    let differences = ours.differences_to_clean(&place, &clean, &root);
    assert!(differences.is_empty(), "{differences:?}\n{}", ours.told);
    let audits = &ours.build()["audits"];
    assert_eq!(audits[0]["phase"], "buildPhase", "{}", ours.told);
    assert_eq!(audits[0]["rounds"], 1, "{}", ours.told);
}

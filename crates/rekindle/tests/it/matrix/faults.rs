//! Each rule of the audit is needed: with one of them switched off, there is a project that comes out wrong.
//!
//! The variable that switches it off is heeded by builds for tests only.

use std::fs;

use super::edit::{self, Edit, link, mode, remove, replace, write};
use super::make::{MANIFEST, with_makefile};
use super::{Built, checkpoints};
use crate::project::Place;

const VARIABLE: &str = "REKINDLE_AUDIT_WITHOUT";

const PROGRAM: &str = "\
OBJECTS = main.o a.o b.o
CFLAGS = -O1
prog: $(OBJECTS)
\t$(CC) $(CFLAGS) -o $@ $^
install: prog
\tinstall -D prog $(PREFIX)/bin/prog
";

/// Whatever a script makes in `out`.
fn custom(build: &str, files: &[(&str, &str)]) -> Vec<Edit> {
    let manifest = format!(
        "{MANIFEST}build-system = \"custom\"\n[package.phases]\nbuild = '{build}'\n\
         install = 'mkdir -p $out; cp -r out $out/'\n"
    );
    let mut project = vec![write("rekindle.toml", manifest)];
    project.extend(files.iter().map(|(path, text)| write(path, text)));
    project
}

/// One output that a makefile makes from one input, and more that it does not say.
fn from_input(rule: &str) -> Vec<Edit> {
    let makefile = format!("{rule}install: out\n\tinstall -D -m 644 out $(PREFIX)/out\n");
    vec![write("rekindle.toml", MANIFEST), write("Makefile", makefile), write("in", "in\n")]
}

/// After some edits the project is built without one of the rules, and from the same checkpoint with all of them. Only with all
/// of them it is as in a clean build, and then the audit has told why.
#[track_caller]
fn check(rule: &str, project: &[Edit], edits: &[Edit]) {
    check_after(true, rule, project, edits);
}

/// The same where the first build ends well, or does not.
#[track_caller]
fn check_after(ends_well: bool, rule: &str, project: &[Edit], edits: &[Edit]) {
    let (place, clean) = (Place::new(), Place::new());
    let root = place.path().join("project");
    edit::make(&root, project);
    let begin = place.rekindle(&["build", "--no-link"]).arg(&root).run();
    assert_eq!(begin.success(), ends_well, "{}", begin.stderr());
    let first = checkpoints(&place);
    edits.iter().for_each(|edit| edit.apply(&root));
    let build = |without: &str| {
        // Nobody reads it, but what was made without the rule is not there already.
        write("with", format!("all but {without}\n")).apply(&root);
        let invocation = place.rekindle(&["build", "--no-link", "--json", "-L"]).arg(&root);
        let ours = Built::from(&invocation.env(VARIABLE, without).run()).good();
        for other in checkpoints(&place).iter().filter(|dir| !first.contains(dir)) {
            fs::remove_dir_all(other).expect("our own directory");
        }
        (ours.differences_to_clean(&place, &clean, &root), ours)
    };
    let (differs, ours) = build(rule);
    assert!(!differs.is_empty(), "{rule}: is right without it\n{}", ours.told);
    assert_eq!(ours.verdict("buildPhase"), "seed", "{rule}: wrong for another reason\n{}", ours.told);
    let (differs, ours) = build("");
    assert!(differs.is_empty(), "{rule}: {differs:?} not as in a clean build\n{}", ours.told);
    assert!(ours.is_found(), "{rule}: nothing was found\n{}", ours.told);
}

#[test]
fn without_producers() {
    check("producer", &with_makefile(PROGRAM), &[write("a.h", "#define A 9\n")]);
}

#[test]
fn without_absence() {
    let mut project = with_makefile(&PROGRAM.replace("-O1", "-O1 -Ifirst -Isecond"));
    project.extend([
        remove("a.h"),
        replace("main.c", "\"a.h\"", "<a.h>"),
        replace("a.c", "\"a.h\"", "<a.h>"),
        write("first/other.h", ""),
        write("second/a.h", "#define A 1\n"),
    ]);
    check("absence", &project, &[write("first/a.h", "#define A 9\n")]);
}

#[test]
fn without_listings() {
    let project = custom(
        "[ -e out ] || { mkdir out; ls share > out/list; }",
        &[("share/one", "1\n"), ("share/two", "2\n")],
    );
    check("listing", &project, &[write("share/three", "3\n")]);
    check("listing", &project, &[remove("share/two")]);
}

#[test]
fn without_orchestrators() {
    let mut project = with_makefile(&PROGRAM.replace("-O1", "-O1 -DB=2"));
    project.push(replace("b.c", "2", "B"));
    check("orchestrator", &project, &[replace("Makefile", "-DB=2", "-DB=7")]);
}

#[test]
fn without_old_products() {
    let project = from_input("out: in\n\tcat in out > new 2> /dev/null || true\n\tmv new out\n");
    check("old-product", &project, &[write("in", "other\n")]);
}

#[test]
fn without_informers() {
    let build = "mkdir -p out; [ -e out/told ] || if grep -q 1 version; then echo 1 > out/told; else echo 2 > out/told; fi";
    check("informer", &custom(build, &[("version", "1\n")]), &[write("version", "2\n")]);
}

/// What tells make something leaves something else as well.
#[test]
fn without_what_is_heard() {
    let mut project =
        from_input("V := $(shell touch seen; cat version)\nout: in\n\techo $(V) | cat - in > out\n");
    project.push(write("version", "1\n"));
    check("heard", &project, &[write("version", "2\n")]);
}

/// A make prints what it has to do.
#[test]
fn without_what_is_printed() {
    let build = "mkdir -p out; make | tee out/log";
    let makefile = "all: one two\none: in\n\tcp in one\ntwo: other\n\tcp other two\n";
    let project = custom(build, &[("Makefile", makefile), ("in", "in\n"), ("other", "other\n")]);
    check("printed", &project, &[write("in", "new\n")]);
}

/// Make tells a recipe what is newer than what it makes.
#[test]
fn without_what_is_newer() {
    let makefile = "out/both: in other\n\tcat $? > out/both\n";
    let project =
        custom("mkdir -p out; make", &[("Makefile", makefile), ("in", "in\n"), ("other", "other\n")]);
    check("newer", &project, &[write("in", "new\n")]);
}

/// The shell hears by an exit code what it is to ask for.
#[test]
fn without_the_same_question() {
    let build = "mkdir -p out; if grep 1 in > found; then make V=1; else make V=2; fi";
    let project = custom(build, &[("Makefile", "out/told:\n\techo $(V) > out/told\n"), ("in", "1\n")]);
    check("asked-otherwise", &project, &[write("in", "2\n")]);
}

/// A source that another command changes after that.
#[test]
fn without_moments() {
    let makefile = "all: out/one two\nout/one: in\n\tcat in text > out/one\ntwo: out/one\n\techo more > text; touch two\n";
    let build = "mkdir -p out; make";
    let project = custom(build, &[("Makefile", makefile), ("in", "in\n"), ("text", "text\n")]);
    check("moment", &project, &[write("in", "new\n")]);
}

/// Another command makes it after the one that would read it, then and in each clean build.
#[test]
fn without_order() {
    let makefile = "\
all: out late
out: in
\tcat late in > out 2> /dev/null || true
late: late.txt
\tcp late.txt late
.NOTPARALLEL:
install:
\tinstall -D -m 644 out $(PREFIX)/out
";
    let project = [
        write("rekindle.toml", MANIFEST),
        write("Makefile", makefile),
        write("in", "in\n"),
        write("late.txt", "late\n"),
    ];
    check("order", &project, &[write("in", "other\n")]);
}

/// The file through which one command tells the next is gone when the build is over.
#[test]
fn without_what_is_handed_on() {
    let mut project = from_input("out: in\n\tcat in list > new\n\ttr a-z A-Z < new > out\n\trm new\n");
    project.push(write("list", "one\n"));
    check("handed-on", &project, &[write("list", "two\n")]);
}

/// Ninja keeps book of its commands, and leaves alone what none of them makes any more.
#[test]
fn without_what_is_forgotten() {
    let rules = "rule copy\n  command = cp $in $out\nbuild out/one: copy in\n";
    let mut project = custom("ninja", &[("in", "in\n")]);
    project.push(write("build.ninja", format!("{rules}build out/two: copy in\n")));
    check("forgotten", &project, &[write("build.ninja", rules)]);
}

/// Of two that write the same file, only the first has something to do.
#[test]
fn without_the_last_word() {
    let ninja = "\
rule copy
  command = mkdir -p out; cp $in out/both; touch $out
build one: copy in
build two: copy other || one
";
    let project = custom("ninja", &[("in", "in\n"), ("other", "other\n"), ("build.ninja", ninja)]);
    check("overwritten", &project, &[write("in", "new\n")]);
}

/// A directory that is copied once more goes into its first copy; so it is with what leads to a directory, and what is moved.
#[test]
fn without_what_is_nested() {
    for command in
        ["cp -r tree out/copy", "mkdir -p out/tree; ln -s tree out/copy", "cp -r tree t; mv t out/copy"]
    {
        let makefile = format!("stamp: in\n\tmkdir -p out; {command}; touch stamp\n");
        let files = [("Makefile", &makefile[..]), ("in", "in\n"), ("tree/x", "x\n")];
        check("nested", &custom("make", &files), &[write("in", "other\n")]);
    }
}

/// What the list is made from was removed by the audit, but the script asks for a stamp only.
#[test]
fn without_what_is_not_made_again() {
    let build = "mkdir -p out; [ -e stamp ] || cat in > out/list; touch stamp";
    check("not-made-again", &custom(build, &[("in", "in\n")]), &[write("in", "other\n")]);
    // What another one removed, and would not remove now.
    let files = [
        ("Makefile", "out/x: in\n\tcp in out/side; cp in out/x\n"),
        ("in", "in\n"),
        ("rm.sh", "rm -f out/side\n"),
    ];
    check("not-made-again", &custom("mkdir -p out; make; sh rm.sh", &files), &[write("rm.sh", ":\n")]);
}

/// What failed had been told to leave a note before, and the makefile asks in a way that nobody sees.
#[test]
fn without_what_is_not_run_again() {
    let rules = "DONE := $(shell [ -e done ] && echo yes)\n\
        out: $(if $(DONE),,extra)\n\tcat in extra.txt > out || cp in out\n\
        extra:\n\ttouch done\n\ttest -s flag\n\tcp in extra.txt\n.PHONY: extra\n";
    let mut project = from_input(rules);
    project.push(write("flag", ""));
    check_after(false, "not-run-again", &project, &[write("flag", "now\n")]);
}

/// Nobody hears who only asks where a link leads.
#[test]
fn without_links() {
    let mut project = custom("mkdir -p out; make", &[("Makefile", "out/x:\n\treadlink l > out/x\n")]);
    project.push(link("l", "one"));
    check("link", &project, &[link("l", "other")]);
}

/// In a clean build all sources are of the same age, and what is shipped is up to date.
#[test]
fn without_made_sources() {
    let mut project = from_input("out: made\n\tcp made out\nmade: in\n\ttr a-z A-Z < in > made\n");
    project.push(write("made", "shipped\n"));
    check("source-made", &project, &[write("in", "other\n")]);
}

/// What is there already keeps its own mode when it is copied to.
#[test]
fn without_old_modes() {
    let build = "mkdir -p out; [ out/copy -nt in ] || cp in out/copy";
    check("old-mode", &custom(build, &[("in", "in\n")]), &[mode("in", 0o755)]);
}

/// A line of a recipe that did nothing, and would do something now, to what another line has made.
#[test]
fn without_silent_lines() {
    let project = from_input("out: in\n\tcp in $@\n\tsh post.sh $@\n");
    let project = [project, vec![write("post.sh", ":\n")]].concat();
    check("silent", &project, &[write("post.sh", "echo more >> $1\n")]);
}

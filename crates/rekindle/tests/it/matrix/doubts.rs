//! Builds in which something passes on what no build tool and no single look tells: an environment, an exit code, the order of two
//! writers, a second name. Each was once installed stale.

use std::path::PathBuf;

use super::edit::{self, Edit, mode, remove, write};
use super::make::MANIFEST;
use super::{Built, Case, Suite};
use crate::project::Place;

/// A project that is built by a script, and installs all that is in `out`.
fn project(build: &str, files: &[(&str, &str)]) -> Vec<Edit> {
    let manifest = format!(
        "{MANIFEST}build-system = \"custom\"\n[package.phases]\nbuild = '''{build}'''\n\
         install = 'mkdir -p $out; cp -a out $out/'\n"
    );
    let sources = [("a", "a\n"), ("b", "b\n")].iter().chain(files);
    std::iter::once(write("rekindle.toml", manifest))
        .chain(sources.map(|(path, text)| write(path, text)))
        .collect()
}

/// After each edit the project goes on from its checkpoint, and is as it is built clean.
#[track_caller]
pub(super) fn check(build: &str, files: &[(&str, &str)], edits: &[Edit]) {
    for (differences, built) in differences(build, files, edits) {
        assert!(differences.is_empty(), "{build}: {differences:?}\n{}", built.told);
        let audits = built.build()["audits"].as_array();
        assert!(audits.is_some_and(|audits| !audits.is_empty()), "nothing was audited\n{}", built.told);
    }
}

/// What is built from a checkpoint after each edit, and how it differs from what is built clean.
pub(super) fn differences(build: &str, files: &[(&str, &str)], edits: &[Edit]) -> Vec<(Vec<PathBuf>, Built)> {
    let (place, clean) = (Place::new(), Place::new());
    let root = place.path().join("project");
    edit::make(&root, &project(build, files));
    Built::of(&place, &root, &[]).good();
    let after = |edit: &Edit| {
        edit.apply(&root);
        let ours = Built::of(&place, &root, &[]).good();
        (ours.differences_to_clean(&place, &clean, &root), ours)
    };
    edits.iter().map(after).collect()
}

const COPY: &str = "rule c\n  command = cp $in $out\n";

#[test]
fn who_keeps_book_is_started_in_another_environment() {
    let ninja = "rule c\n  command = echo $$V > $out\nbuild out/x: c\n";
    check("export V=$(cat a); ninja", &[("build.ninja", ninja)], &[write("a", "other\n")]);
    let makefile = "export V = 1\nall:\n\tninja\n";
    let files = [("build.ninja", ninja), ("Makefile", makefile)];
    check("make", &files, &[write("Makefile", makefile.replace('1', "2"))]);
}

#[test]
fn who_keeps_no_book_is_called_like_one_who_does() {
    let text =
        |word: &str| format!("include scripts/Kbuild.include\nout/x: a\n\t(cat a; echo {word}) > out/x\n");
    let files = [("Makefile", &*text("one")), ("scripts/Kbuild.include", "X := 1\n")];
    check("mkdir -p out; make", &files, &[write("Makefile", text("two"))]);
}

#[test]
fn who_keeps_book_is_asked_for_less() {
    let ninja = format!("{COPY}build out/x: c a\nbuild out/y: c b\n");
    let files = [("build.ninja", &*ninja), ("targets", "out/x out/y\n")];
    check("ninja $(cat targets)", &files, &[write("targets", "out/x\n")]);
}

#[test]
fn who_keeps_book_runs_in_another_order() {
    let ninja = |name: &str| {
        format!(
            "builddir = .{name}\nrule c\n  command = mkdir -p out; cp {name} out/x; cp {name} $out\n\
             build out/{name}: c {name}\n"
        )
    };
    let (a, b) = (ninja("a"), ninja("b"));
    let files = [("a.ninja", &*a), ("b.ninja", &*b), ("order.sh", "ninja -f a.ninja; ninja -f b.ninja\n")];
    check("sh order.sh", &files, &[write("order.sh", "ninja -f b.ninja; ninja -f a.ninja\n")]);
}

#[test]
fn a_build_script_that_only_prints_did_not_run_again() {
    let build = "fn main() { println!(\"cargo:rerun-if-changed=build.rs\");\n\
        println!(\"cargo:rustc-env=V={}\", std::fs::read_to_string(\"a\").unwrap().trim()); }\n";
    let files = [
        ("Cargo.toml", "[package]\nname = \"p\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
        ("Cargo.lock", "version = 3\n\n[[package]]\nname = \"p\"\nversion = \"1.0.0\"\n"),
        ("build.rs", build),
        ("src/main.rs", "fn main() { println!(\"{}\", env!(\"V\")); }\n"),
    ];
    let cargo =
        "export CARGO_HOME=$PWD/.home; cargo build -q --offline; mkdir -p out; target/debug/p > out/told";
    check(cargo, &files, &[write("a", "other\n")]);
}

/// The first makes it and the others add to it. What is left of it goes with all of them.
#[test]
fn who_is_left_adds_to_nothing() {
    let makefile = "all: one two\none: a\n\tmkdir -p out; cp a out/x; touch one\n\
        two: b | one\n\tcat b >> out/x; touch two\n";
    let edits = [write("b", "other\n"), write("a", "other\n")];
    check("make", &[("Makefile", makefile)], &edits);
    let quiet = makefile.replace("cat b >> out/x", "perl -e 'open F, q(>>out/x); print F 1'");
    check("make", &[("Makefile", &quiet)], &edits[1..]);
}

#[test]
fn what_two_rules_make_has_nothing_beside_it() {
    let makefile = "all: out/x\nout/x:: a\n\tmkdir -p out; cp a out/x\nout/x:: b\n\tcp b out/x\n";
    check("make", &[("Makefile", makefile)], &[write("a", "other\n")]);
}

#[test]
fn what_is_written_by_the_same_command_in_another_environment() {
    let makefile = "all: one two\nexport W T\none: W=a\none: T=one\none: a\n\tsh mk.sh\n\
        two: W=b\ntwo: T=two\ntwo: b | one\n\tsh mk.sh\n";
    let files = [("Makefile", makefile), ("mk.sh", "mkdir -p out; cp $W out/x; touch $T\n")];
    check("make", &files, &[write("a", "other\n")]);
}

#[test]
fn what_the_shell_hears_through_a_pipe() {
    check("mkdir -p out; [ -e out/x ] || cat a | tr a-z A-Z > out/x", &[], &[write("a", "other\n")]);
    let makefile = "all: out/x\nout/x: b\n\tmkdir -p out; echo $(V) > out/x\n";
    check("make V=\"$(cat a | tr a-z A-Z)\"", &[("Makefile", makefile)], &[write("a", "other\n")]);
}

#[test]
fn a_mode_that_nobody_gives_any_more() {
    let makefile = "all: out/x\nout/x: a g.sh\n\tmkdir -p out; sh g.sh $@\n";
    let files = [("Makefile", makefile), ("g.sh", "cp a $1; chmod 755 $1\n")];
    check("make", &files, &[write("g.sh", "cp a $1\n")]);
}

#[test]
fn a_source_is_written_to_by_another_name() {
    let makefile = "all: one two\none: a\n\tmkdir -p out; cp a out/x; touch one\n\
        two: b | one\n\tln -f b out/x; touch two\n";
    check("make", &[("Makefile", makefile)], &[write("a", "other\n")]);
}

/// Python finds packages by asking, not by opening.
#[test]
fn a_directory_becomes_a_package() {
    let makefile = "all: out/x\nout/x: gen.py\n\tmkdir -p out; python3 gen.py > out/x\n";
    let gen_py = "import one\nprint(getattr(one, 'V', 'none'))\n";
    let files = [("Makefile", makefile), ("gen.py", gen_py), ("one/other.py", "")];
    check("make", &files, &[write("one/__init__.py", "V = 1\n")]);
}

#[test]
fn a_backup_of_what_was_there() {
    let makefile = "out/x: a\n\t-mv -f out/x out/x.bak\n\tcp a out/x\n";
    check("mkdir -p out; make", &[("Makefile", makefile)], &[write("a", "other\n")]);
}

#[test]
fn two_that_give_a_mode() {
    let makefile = "all: one two\nout/x:\n\techo > out/x\none: a | out/x\n\tchmod `cat a` out/x; touch one\n\
        two: b | one\n\tchmod `cat b` out/x; touch two\n";
    check(
        "mkdir -p out; make",
        &[("Makefile", makefile)],
        &[write("a", "755\n"), write("b", "644\n"), write("a", "711\n")],
    );
}

#[test]
fn what_ninja_only_calls_something() {
    let rules = format!("{COPY}build out/a: c a\nbuild out/b: ");
    let files = [("build.ninja", &*format!("{rules}c b\n"))];
    check("ninja", &files, &[write("build.ninja", format!("{rules}phony a\n"))]);
}

#[test]
fn what_was_made_beside_a_stamp() {
    let text = |name: &str| {
        format!("rule c\n  command = mkdir -p out; cp a out/{name} && touch out/stamp\nbuild out/stamp: c\n")
    };
    check("ninja", &[("build.ninja", &text("two"))], &[write("build.ninja", text("one"))]);
}

/// A project that ninja builds, before and after an edit of what it is told.
#[track_caller]
fn ninja(call: &str, before: &str, after: &str) {
    let text = |edges: &str| format!("{COPY}{edges}");
    check(call, &[("build.ninja", &text(before))], &[write("build.ninja", text(after))]);
}

#[test]
fn what_ninja_is_asked_for_no_more() {
    let edges = "build out/a: c a\nbuild out/b: c b\n";
    ninja("ninja", &format!("{edges}default out/a out/b\n"), &format!("{edges}default out/a\n"));
    let all = |names: &str| format!("{edges}build all: phony {names}\n");
    ninja("ninja -j 2 all", &all("out/a out/b"), &all("out/a"));
    // What something waited for.
    ninja("ninja out/a", &edges.replace("c a", "c a || out/b"), edges);
}

#[test]
fn what_ninja_is_asked_for_elsewhere() {
    let sub = |names: &str| {
        names.split(' ').map(|name| format!("build out/{name}/x: c ../a\n")).collect::<String>()
    };
    let files = [
        ("w/build.ninja", &*format!("{COPY}subninja one.ninja\nsubninja two.ninja\n")),
        ("w/one.ninja", &*sub("one")),
        ("w/two.ninja", &*sub("two three")),
    ];
    check("mkdir -p out; ninja -C w; cp -r w/out .", &files, &[write("w/two.ninja", sub("three"))]);
}

/// Ninja does not run these for another command.
#[test]
fn what_generates_for_ninja_is_told_otherwise() {
    let text = |word: &str| {
        format!("rule g\n  command = mkdir -p out; echo {word} > $out\n  generator = 1\nbuild out/x: g\n")
    };
    check("ninja", &[("build.ninja", &text("one"))], &[write("build.ninja", text("two"))]);
}

#[test]
fn rules_that_are_made_in_the_step() {
    let script = "echo 'rule c'; echo ' command = cp $in $out'\nfor f in $(cat list); do echo \"build out/$f: c $f\"; done\n";
    let files = [("gen.sh", script), ("list", "a b\n")];
    check("sh gen.sh > build.ninja; ninja", &files, &[write("list", "a\n")]);
}

/// What makes the rules leaves more than those.
#[test]
fn rules_that_ninja_has_made() {
    let script = "[ -e out/first ] || { mkdir -p out; cp a out/first; }\n{ cat rules; cat list; } > build.ninja; touch stamp\n";
    let rules = format!(
        "{COPY}rule g\n  command = sh gen.sh\n  generator = 1\nbuild build.ninja | stamp: g list gen.sh\n"
    );
    let list = |names: &str| {
        names.split(' ').map(|name| format!("build out/{name}: c {name}\n")).collect::<String>()
    };
    let files = [("gen.sh", script), ("rules", &*rules), ("list", &*list("a b"))];
    let build = "[ -e build.ninja ] || cp rules build.ninja; ninja";
    check(build, &files, &[write("list", list("b"))]);
    // Told otherwise by another file, ninja does not make them again.
    let rules = format!("{COPY}include g.ninja\nbuild build.ninja | stamp: g gen.sh\nbuild out/b: c b\n");
    let script = "{ cat rules; echo \"build out/$1: c a\"; } > build.ninja; touch stamp\n";
    let rule = |word: &str| format!("rule g\n  command = sh gen.sh {word}\n  generator = 1\n");
    let files = [("gen.sh", script), ("rules", &*rules), ("g.ninja", &*rule("one"))];
    check(build, &files, &[write("g.ninja", rule("two"))]);
}

/// What is told to the shell by an exit code is seen by what it asks for then.
#[test]
fn who_tells_the_shell_and_leaves() {
    let build = "mkdir -p out; if grep a a > found; then make V=1; else make V=2; fi";
    check(build, &[("Makefile", "out/x: b\n\techo $(V) > out/x\n")], &[write("a", "b\n")]);
}

/// Make tells a recipe what is newer.
#[test]
fn what_is_newer() {
    check("mkdir -p out; make", &[("Makefile", "out/x: a b\n\tcat $? > out/x\n")], &[write("a", "other\n")]);
}

/// A source that the build has changed stays so, for who had read it before that.
#[test]
fn a_source_that_was_patched() {
    let makefile = "all: one out/x\none: a\n\tcat a tmpl > one; cp one out/one\nout/x: b\n\tsed -i s/x/y/ tmpl; cp b out/x\n";
    check("mkdir -p out; make", &[("Makefile", makefile), ("tmpl", "x\n")], &[write("a", "other\n")]);
}

/// A source that the build has removed is missed.
#[test]
fn a_source_that_was_consumed() {
    let makefile = "out/x:\n\t{ cat used || echo none; } > out/x; rm -f used\n";
    check("mkdir -p out; make", &[("Makefile", makefile), ("used", "1\n")], &[remove("used")]);
    let makefile = "out/x: b\n\tmv s.in s.out; cp b out/x\n";
    check("mkdir -p out; make", &[("Makefile", makefile), ("s.in", "1\n")], &[write("b", "other\n")]);
}

/// What comes and goes during a run is missed by who looks for it in the next.
#[test]
fn what_is_there_for_a_while() {
    let makefile = "all: out/two\none: a\n\tcp a tmp; touch one\nout/two: b one\n\t\
        cat b > out/two; cat tmp >> out/two 2> /dev/null; rm -f tmp; true\n";
    check("mkdir -p out; make", &[("Makefile", makefile)], &[write("b", "other\n")]);
}

/// A command that tells make something tells it whatever it leaves besides.
#[test]
fn who_tells_and_leaves() {
    let makefile = "V := $(shell cat a | tee told.txt)\nout/x: b\n\techo $(V) > out/x\n";
    check("mkdir -p out; make", &[("Makefile", makefile)], &[write("a", "other\n")]);
    let makefile = "V := $(shell mkdir -p out; touch out/made; cat a)\nout/x: b\n\techo $(V) > out/x\n";
    check("make", &[("Makefile", makefile)], &[write("a", "other\n")]);
}

/// What another make reads from a pipe is told to all that it starts.
#[test]
fn a_pipe_to_another_make() {
    let files = [
        ("Makefile", "all:\n\tcat opt | $(MAKE) -f sub.mk\n"),
        ("sub.mk", "out/x: a\n\tcat > out/x\n"),
        ("opt", "1\n"),
    ];
    check("mkdir -p out; make", &files, &[write("opt", "2\n")]);
}

/// What a make prints is what it had to do now.
#[test]
fn what_make_prints_is_kept() {
    let makefile = "all: x y\nx: a\n\tcp a x\ny: b\n\tcp b y\n";
    for build in [
        "make -j1 2>&1 | grep cp | tee out/log",
        "make > out/log",
        "make -n > out/plan; make",
        "make | while read line; do echo \"$line\"; done > out/log",
    ] {
        check(&format!("mkdir -p out; {build}"), &[("Makefile", makefile)], &[write("a", "other\n")]);
    }
    let sub = "all:\n\t$(MAKE) -f sub.mk 2>&1 | tee out/log\n";
    let files = [("Makefile", sub), ("sub.mk", makefile)];
    check("mkdir -p out; make", &files, &[write("a", "other\n")]);
}

/// What is edited to what the build had made of it is another one for who saw it before that.
#[test]
fn a_source_that_becomes_what_the_build_made_of_it() {
    let makefile = "out/x:\n\techo more >> a; cp a out/x\n";
    check("mkdir -p out; make", &[("Makefile", makefile)], &[write("a", "a\nmore\n")]);
}

#[test]
fn who_was_asked_in_another_order() {
    let files = [("Makefile", "x y:\n\techo $@ >> out/log; touch $@\n"), ("order", "make x; make y\n")];
    check("mkdir -p out; sh order", &files, &[write("order", "make y; make x\n")]);
}

/// Who removes what another made leaves nothing by which it would be made again.
#[test]
fn what_is_not_removed_any_more() {
    let makefile = "out/x: a\n\tcp a out/side; cp a out/x\n";
    let files = [("Makefile", makefile), ("rm.sh", "rm -f out/side\n")];
    check("mkdir -p out; make; sh rm.sh", &files, &[write("rm.sh", ":\n")]);
}

/// To compare all but something is not to compare.
#[test]
fn what_is_compared_but_for_a_comment() {
    let script = "{ echo \"// $(cat a)\"; cat b; } > out/x.tmp\n\
        if [ -e out/x ] && diff -I '^//' out/x.tmp out/x > /dev/null; then rm out/x.tmp; else mv out/x.tmp out/x; fi\n";
    let ninja = "rule g\n  command = mkdir -p out; sh gen.sh\n  restat = 1\nbuild out/x: g | a b gen.sh\n";
    check("ninja", &[("build.ninja", ninja), ("gen.sh", script)], &[write("a", "other\n")]);
}

/// To look at what is there is not to compare.
#[test]
fn what_is_looked_at_for_another_reason() {
    let makefile = "out/x: a\n\tcat a > new; grep -q keep out/x 2> /dev/null || mv new out/x; rm -f new\n";
    let files = [("Makefile", makefile), ("a", "keep\n")];
    check("mkdir -p out; make", &files, &[write("a", "keep this\n")]);
}

/// The first of two that write a file gives it its mode.
#[test]
fn a_mode_that_the_first_of_two_gives() {
    let ninja =
        "rule c\n  command = mkdir -p out; cp $in out/x; touch $out\nbuild one: c a\nbuild two: c b || one\n";
    check("ninja", &[("build.ninja", ninja)], &[mode("b", 0o755), mode("a", 0o755)]);
}

/// Compared are bytes, not modes.
#[test]
fn what_is_compared_but_for_its_mode() {
    let ninja = "rule g\n  command = mkdir -p out; cp -p a $out.t; cmp -s $out.t $out && rm $out.t || mv $out.t $out\n  \
        restat = 1\nbuild out/x: g a\n";
    check("ninja", &[("build.ninja", ninja)], &[mode("a", 0o755)]);
}

#[test]
fn what_is_compared_in_part() {
    for parts in ["--bytes=4 $@.t $@", "-n4 $@.t $@", "$@.t $@ 4 4"] {
        let makefile =
            format!("out/x: in\n\tcat in > $@.t; if cmp -s {parts}; then rm -f $@.t; else mv $@.t $@; fi\n");
        let files = [("Makefile", &*makefile), ("in", "1.0\nx\n")];
        let edit = if parts.ends_with('4') { "2.0\nx\n" } else { "1.0\ny\n" };
        check("mkdir -p out; make", &files, &[write("in", edit)]);
    }
}

/// In a clean build the directory is made after the command that would need it.
#[test]
fn a_directory_that_is_there_too_early() {
    let makefile = "all: one out/sub/two\none: a\n\tcat a > one; cp a out/sub/x 2> /dev/null; true\n\
        out/sub/two: b one\n\tmkdir -p out/sub; cat b > out/sub/two\n";
    check("mkdir -p out; make", &[("Makefile", makefile)], &[write("a", "other\n")]);
}

/// The name is only known when the variable is.
#[test]
fn a_name_that_a_variable_is_part_of() {
    let makefile = "N := one\nout/x: b\n\techo $(wildcard d/$(N).txt d/*.other) > out/x\n";
    check(
        "mkdir -p out; make",
        &[("Makefile", makefile), ("d/two.txt", "2\n")],
        &[write("d/one.txt", "1\n")],
    );
}

/// Who only asks for the mode of a file does not open it.
#[test]
fn a_file_has_other_content_and_another_mode() {
    let manifest = format!(
        "{MANIFEST}build-system = \"custom\"\n[package.phases]\nskip = [\"fixup\"]\n\
         build = \"find d -printf '%P %m\\\\n' > list\"\ninstall = 'mkdir -p $out; cp list $out/'\n"
    );
    let project = vec![write("rekindle.toml", manifest), write("d/a", "a\n")];
    let both = vec![write("d/a", "other\n"), mode("d/a", 0o755)];
    super::check([Suite { project, cases: vec![Case::equal("content and mode", both)] }]);
}

/// Ninja knows nothing of the file that both write, and does not miss it.
#[test]
fn who_has_the_last_word_fails_to_speak() {
    let ninja = "rule one\n  command = rm -f out/x; cp a out/x; touch $out\nbuild d/one: one a\n\
        rule two\n  command = cp b new; mv -f new out/x; touch $out\nbuild d/two: two b || d/one\n";
    let edits = [write("a", "other\n"), write("b/inside", "b\n")];
    check("mkdir -p out; ninja -j1", &[("build.ninja", ninja)], &edits);
}

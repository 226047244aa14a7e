//! What make finds by listing directories: a name that came or went there is told by nobody but what its makefiles say. Each was
//! once installed stale.

use super::doubts::check;
use super::edit::{Edit, remove, write};

#[track_caller]
fn make(makefile: &str, files: &[(&str, &str)], edits: &[Edit]) {
    let files: Vec<(&str, &str)> =
        std::iter::once(("Makefile", makefile)).chain(files.iter().copied()).collect();
    check("mkdir -p out; make", &files, edits);
}

#[test]
fn a_directory_that_a_glob_goes_through() {
    let makefile = "SUB := $(dir $(wildcard mods/*/Makefile))\nout/list:\n\techo $(SUB) > $@\n";
    let edits = [write("mods/b/Makefile", "x\n"), remove("mods/a")];
    make(makefile, &[("mods/a/Makefile", "x\n")], &edits);
    make(&makefile.replace("*/Makefile", "*/"), &[("mods/a/Makefile", "x\n")], &edits);
    let makefile = "include $(wildcard mods/*/module.mk)\nout/list:\n\techo $(MODS) > $@\n";
    make(makefile, &[("mods/a/module.mk", "MODS += a\n")], &[write("mods/b/module.mk", "MODS += b\n")]);
}

/// A name without a glob is asked for, and no directory is listed for it.
#[test]
fn a_name_that_is_only_asked_for() {
    let makefile = "FLAGS := $(if $(wildcard conf/fast.txt),-O2,-O0)\nout/x:\n\techo $(FLAGS) > $@\n";
    make(makefile, &[("conf/README", "")], &[write("conf/other.txt", ""), write("conf/fast.txt", "")]);
    make(makefile, &[("conf/README", ""), ("conf/fast.txt", "")], &[remove("conf/fast.txt")]);
    let makefile = "CONF = conf/a.txt conf/b.txt\nout/x:\n\techo $(notdir $(wildcard $(CONF))) > $@\n";
    make(makefile, &[("conf/a.txt", "")], &[write("conf/b.txt", ""), remove("conf/a.txt")]);
    let makefile = "out/x:\n\techo $(wildcard mods/*/extra) > $@\n";
    make(makefile, &[("mods/a/x", ""), ("mods/b/extra", "")], &[write("mods/a/extra", "")]);
    let makefile = "out/x:\n\techo $(notdir $(realpath conf/now)) > $@\n";
    make(makefile, &[("conf/README", "")], &[write("conf/now", "")]);
}

#[test]
fn a_glob_behind_a_tab() {
    let files = [("data/a.txt", "a\n"), ("data/b.txt", "b\n")];
    let makefile = "FILES = \\\n\tdata/*.txt \\\n\tMakefile\nout/list: $(FILES)\n\techo $^ > $@\n";
    make(makefile, &files, &[remove("data/b.txt")]);
    make("out/list: \\\n\tdata/*.txt\n\techo $^ > $@\n", &files, &[remove("data/b.txt")]);
    make("\tFILES = data/*.txt\nout/list: $(FILES)\n\techo $^ > $@\n", &files, &[remove("data/b.txt")]);
}

#[test]
fn a_makefile_that_comes_first() {
    let rule = |word: &str| format!("out/x: a\n\techo {word} > out/x\n");
    make(&rule("one"), &[], &[write("GNUmakefile", rule("two"))]);
    make(&rule("one"), &[("GNUmakefile", &rule("two"))], &[remove("GNUmakefile")]);
    let rule = |word: &str| format!("../out/x: ../a\n\techo {word} > ../out/x\n");
    make(
        "all:\n\t$(MAKE) -C sub\n",
        &[("sub/Makefile", &rule("one"))],
        &[write("sub/makefile", rule("two"))],
    );
}

#[test]
fn a_directory_that_is_searched_first() {
    let files = [("Makefile", "include v.mk\nout/x: a\n\techo $(V) > out/x\n"), ("two/v.mk", "V = 2\n")];
    check("mkdir -p out; make -Ione -Itwo", &files, &[write("one/v.mk", "V = 1\n")]);
}

#[test]
fn a_library_that_make_finds() {
    let makefile = "VPATH = one two\n.LIBPATTERNS = %.q\nout/x: a -lv\n\techo $^ > out/x\n";
    make(makefile, &[("one/v.q", ""), ("two/v.q", "")], &[remove("one/v.q")]);
}

/// Neither beginning nor end of the name are those of what is made of it.
#[test]
fn a_source_of_an_implicit_rule() {
    let rule = |kind: &str| format!("out/%.o: src/{kind}_%.v\n\techo {kind} > $@\n");
    let makefile = format!("all: out/m.o\n{}{}", rule("y"), rule("x"));
    make(&makefile, &[("src/x_m.v", ""), ("src/y_m.v", "")], &[remove("src/y_m.v")]);
}

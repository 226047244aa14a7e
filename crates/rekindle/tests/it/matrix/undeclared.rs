//! What builds read and do not say: everything that a build tool cannot know, under each of them.

use super::edit::{self, Edit, link, mode, remove, rename, replace, write};
use super::make::{MANIFEST, c_files, with_makefile};
use super::{Case, Suite, cargo, check, equal};
use crate::project::Place;

pub(super) fn with(mut project: Vec<Edit>, more: Vec<Edit>) -> Vec<Edit> {
    project.extend(more);
    project
}

/// Files, and a makefile that makes `out` of them.
pub(super) fn text(makefile: &str, files: &[(&str, &str)]) -> Vec<Edit> {
    let makefile =
        format!("all: out\n{makefile}install: all\n\tmkdir -p $(PREFIX)\n\tcp -r out $(PREFIX)/out\n");
    let mut project = vec![write("rekindle.toml", MANIFEST), write("Makefile", makefile)];
    project.extend(files.iter().map(|(path, text)| write(path, text)));
    project
}

pub(super) fn custom(build: &str, files: &[(&str, &str)]) -> Vec<Edit> {
    let manifest = format!(
        "{MANIFEST}build-system = \"custom\"\n[package.phases]\nbuild = '''\n{build}\n'''\n\
         install = 'mkdir -p $out; cp -r out $out/out'\n"
    );
    let mut project = vec![write("rekindle.toml", manifest)];
    project.extend(files.iter().map(|(path, text)| write(path, text)));
    project
}

/// Compiles and links without dependency files.
pub(super) fn program(more: &str) -> Vec<Edit> {
    with_makefile(&format!(
        "OBJECTS = main.o a.o b.o\nCFLAGS = -O1 -Ifirst -Isecond\nall: prog\n{more}prog: $(OBJECTS)\n\t$(CC) -o $@ $^\n\
         install: all\n\tinstall -D prog $(PREFIX)/bin/prog\n"
    ))
}

#[test]
fn headers() {
    let header = |value| format!("#define A {value}\n");
    let generated = with(
        program("$(OBJECTS): | a.h\na.h: a.txt\n\tsed 's/^/#define A /' a.txt > a.h\n"),
        vec![remove("a.h"), write("a.txt", "1\n")],
    );
    let system = with(
        program(""),
        vec![
            remove("a.h"),
            replace("main.c", "\"a.h\"", "<a.h>"),
            replace("a.c", "\"a.h\"", "<a.h>"),
            write("second/a.h", header(1)),
        ],
    );
    check([
        Suite {
            project: generated,
            cases: vec![
                Case::equal("generated header", vec![write("a.txt", "5\n")]).seeds(),
                Case::equal("beside a generated header", vec![replace("b.c", "2", "3")]).seeds(),
            ],
        },
        Suite {
            project: system,
            cases: vec![
                Case::equal("header in a directory that was not there", vec![write("first/a.h", header(2))]),
                Case::equal("header at last", vec![write("second/a.h", header(3))]).seeds(),
                Case::equal("header moved", vec![rename("second/a.h", "first/a.h")]),
            ],
        },
    ]);
}

#[test]
fn lists_of_sources() {
    let listed = "\
SOURCES := $(wildcard *.c)
CFLAGS = -O1 -MMD
prog: $(SOURCES:.c=.o)
\t$(CC) -o $@ $^
install: prog
\tinstall -D prog $(PREFIX)/bin/prog
-include *.d
";
    let constructor = |value: u32| {
        format!(
            "#include <stdio.h>\n__attribute__((constructor)) static void c(void) {{ puts(\"{value}\"); }}\n"
        )
    };
    let cases = || {
        vec![
            Case::equal("source changed", vec![write("part.c", constructor(2))]).seeds(),
            Case::equal("source added", vec![write("more.c", constructor(3))]),
            Case::equal("source removed", vec![remove("part.c")]),
            Case::equal("source renamed", vec![rename("part.c", "other.c")]),
            Case::equal("one added, one removed", vec![remove("part.c"), write("more.c", constructor(3))]),
        ]
    };
    let lists = "\
cmake_minimum_required(VERSION 3.16)
project(probe C)
file(GLOB sources *.c)
add_executable(prog ${sources})
install(TARGETS prog DESTINATION bin)
";
    let globbed = |system: &str| {
        let manifest = format!("{MANIFEST}build-system = \"{system}\"\n");
        with(
            c_files(),
            vec![
                write("rekindle.toml", manifest),
                write("CMakeLists.txt", lists),
                write("part.c", constructor(1)),
            ],
        )
    };
    // A script that reads a list, and a list that comes from a directory.
    let read = text(
        "out: gen.sh\n\tsh gen.sh list > out\n",
        &[
            ("gen.sh", "while read name; do cat parts/$name; done < $1\nls parts\n"),
            ("list", "a\nb\n"),
            ("parts/a", "a\n"),
            ("parts/b", "b\n"),
        ],
    );
    check([
        Suite { project: with(with_makefile(listed), vec![write("part.c", constructor(1))]), cases: cases() },
        Suite { project: globbed("cmake"), cases: cases() },
        Suite { project: globbed("cmake-make"), cases: cases() },
        Suite {
            project: read,
            cases: vec![
                Case::equal("list", vec![write("list", "b\n")]),
                Case::equal("what is listed", vec![write("parts/b", "other\n")]),
                Case::equal("what is in the directory", vec![write("parts/c", "c\n")]),
                Case::equal("what is not any more", vec![write("list", "a\n"), remove("parts/b")]),
            ],
        },
    ]);
}

#[test]
fn what_is_updated_in_place() {
    let archive = "\
out: $(patsubst %.txt,%.o,$(wildcard *.txt))
\tar rcD $@ $^
%.o: %.txt
\tcp $< $@
";
    let grows = "out: in\n\tcat in >> out\n";
    let edited = "out: in\n\tsed -i '1r in' notes\n\tcp notes out\n";
    let two = "out: one two\none: in\n\tcat in > out; touch one\ntwo: more\n\tcat more >> out; touch two\n.PHONY: out\n.NOTPARALLEL:\n";
    let rules = "out: in\n\tcat in title > out\n";
    let copied = "out: data/one\n\tmkdir -p out\n\tcp -r data/. out\n\ttouch out\n";
    check([
        Suite {
            project: text(archive, &[("a.txt", "a\n"), ("b.txt", "b\n"), ("c.txt", "c\n")]),
            cases: vec![
                Case::equal("archive updated", vec![write("a.txt", "other\n")]),
                Case::equal("one removed from an archive", vec![remove("b.txt")]),
                Case::equal("one removed, another changed", vec![remove("b.txt"), write("a.txt", "other\n")]),
                Case::equal("one renamed in an archive", vec![rename("b.txt", "d.txt")]),
            ],
        },
        Suite {
            project: text(grows, &[("in", "in\n")]),
            cases: vec![Case::equal("what is appended to", vec![write("in", "other\n")])],
        },
        Suite {
            project: text(edited, &[("in", "in\n"), ("notes", "one\ntwo\n")]),
            cases: vec![
                Case::equal("inserted into a source", vec![write("in", "other\n")]),
                Case::equal("the source that is edited", vec![write("notes", "three\n")]),
            ],
        },
        Suite {
            project: text(two, &[("in", "in\n"), ("more", "more\n")]),
            cases: vec![
                Case::equal("the first of two that write", vec![write("in", "other\n")]),
                Case::equal("the second of two that write", vec![write("more", "other\n")]),
            ],
        },
        Suite {
            // The data could be a dependency file.
            project: text(rules, &[("in", "author: nobody\n"), ("title", "title: one\n")]),
            cases: vec![
                Case::equal("data that looks like rules", vec![write("title", "title: two\n")]),
                Case::equal("other data that looks like rules", vec![write("in", "author: somebody\n")]),
            ],
        },
        Suite {
            project: with(
                custom("ninja", &[("data/one", "1\n"), ("data/sub/three", "3\n"), ("out/keep", "")]),
                vec![write(
                    "build.ninja",
                    "rule copy\n  command = mkdir -p out/made; cp -r data/. out/made; touch stamp\n\
                                           build stamp: copy data/one\n",
                )],
            ),
            cases: vec![
                Case::equal("a directory became a file", vec![write("data/sub", "file\n")]),
                Case::equal(
                    "a directory became a file, and all is copied again",
                    vec![write("data/sub", "file\n"), write("data/one", "other\n")],
                ),
                Case::equal("nobody copies any more", vec![write("build.ninja", "")]),
            ],
        },
        Suite {
            project: text(copied, &[("data/one", "1\n"), ("data/two", "2\n"), ("data/sub/three", "3\n")]),
            cases: vec![
                Case::equal("removed from what is copied", vec![remove("data/two")]),
                Case::equal(
                    "removed, and another changed",
                    vec![remove("data/sub"), write("data/one", "other\n")],
                ),
                // What is there already keeps its own mode when it is copied to.
                Case::equal("executable, and copied again", vec![mode("data/one", 0o755)]),
                Case::equal(
                    "another executable, and copied again",
                    vec![mode("data/two", 0o755), write("data/one", "other\n")],
                ),
            ],
        },
    ]);
}

#[test]
fn what_a_makefile_is_made_of() {
    let parts =
        "include flags.mk\nV := $(shell cat version)\nout: in\n\techo $(V) | cat - in | tr a-z $(F) > out\n";
    let recursive = "out: FORCE\n\t$(MAKE) -C sub\n\tcp sub/out out\nFORCE:\n";
    let files = [
        ("sub/Makefile", "F = 1\nout: x.m4\n\tm4 -I .. -DF=$(F) x.m4 > out\n"),
        ("sub/x.m4", "F include(`common.m4')\n"),
        ("common.m4", "common\n"),
    ];
    // `out` is made from the first only, then.
    let dropped = "all: extra\nextra: in\n\tmkdir -p out\n\tcp in out/extra\n\ttouch extra\nout: in\n\tmkdir -p out\n\tcp in out/in\n";
    check([
        Suite {
            project: text(parts, &[("flags.mk", "F = A-Z\n"), ("version", "one\n"), ("in", "in\n")]),
            cases: vec![
                Case::equal("a fragment", vec![write("flags.mk", "F = b-za\n")]),
                Case::equal("what a command says", vec![write("version", "two\n")]),
                Case::equal("beside both", vec![write("in", "other\n")]).seeds(),
            ],
        },
        Suite {
            project: text(recursive, &files),
            cases: vec![
                Case::equal("what an inner make does not know", vec![write("common.m4", "other\n")]),
                Case::equal("an inner makefile", vec![replace("sub/Makefile", "F = 1", "F = 2")]),
                Case::equal("what an inner make knows", vec![write("sub/x.m4", "x F\n")]).seeds(),
            ],
        },
        Suite {
            project: text(dropped, &[("in", "in\n")]),
            cases: vec![Case::equal("a rule that is gone", vec![replace("Makefile", "all: extra\n", "")])],
        },
    ]);
}

#[test]
fn tools_of_its_own() {
    let tool = "\
tool: tool.c
\t$(CC) -o tool tool.c
out: in | tool
\t./tool < in > out
";
    let source = "#include <stdio.h>\nint main(void) { int c; while ((c = getchar()) != EOF) putchar(c ^ 1); return 0; }\n";
    let script = "out: run.sh\n\tsh ./run.sh > out\n";
    let levels = "\
y.m4: y.txt
\tm4 common.m4 y.txt > y.m4
x.m4: x.txt | y.m4
\tm4 common.m4 x.txt > x.m4
out: x.m4
\ttr a-z A-Z < x.m4 > out
";
    let stamped = "stamp: in\n\tm4 in > side\n\ttouch stamp\nout: stamp more\n\tcat side more > out\n";
    check([
        Suite {
            project: text(tool, &[("tool.c", source), ("in", "in\n")]),
            cases: vec![
                Case::equal("a tool that was run", vec![replace("tool.c", "^ 1", "^ 2")]),
                Case::equal("a tool that gives the same", vec![replace("tool.c", "int c", "int unused, c")]),
            ],
        },
        Suite {
            project: text(
                script,
                &[
                    ("run.sh", ". ./lib.sh\nshow data\n"),
                    ("lib.sh", "show() { while read line; do echo \"line $line\"; done < $1; }\n"),
                    ("data", "data\n"),
                ],
            ),
            cases: vec![
                Case::equal("a sibling of a script", vec![replace("lib.sh", "line $", "other $")]),
                Case::equal("data of a script", vec![write("data", "other\n")]),
            ],
        },
        Suite {
            project: text(
                levels,
                &[
                    ("common.m4", "define(`COMMON', `common')dnl\n"),
                    ("x.txt", "include(`y.m4') x COMMON\n"),
                    ("y.txt", "y COMMON\n"),
                ],
            ),
            cases: vec![
                Case::equal("the first of two levels", vec![write("y.txt", "other COMMON\n")]),
                Case::equal("common to two levels", vec![replace("common.m4", "`common'", "`other'")]),
            ],
        },
        Suite {
            project: text(stamped, &[("in", "include(`inner')\n"), ("inner", "inner\n"), ("more", "more\n")]),
            cases: vec![
                Case::equal("beside a stamp", vec![write("inner", "other\n")]),
                Case::equal("after a stamp", vec![write("more", "other\n")]).seeds(),
            ],
        },
    ]);
}

#[test]
fn scripts_and_what_they_import() {
    let python = custom(
        "[ -e out ] || PYTHONPATH=lib python3 generate.py > out",
        &[
            ("generate.py", "import one, sys\nfrom package import two\nprint(one.V, two.V)\n"),
            ("lib/one.py", "V = 1\n"),
            ("lib/package/__init__.py", ""),
            ("lib/package/two.py", "V = 2\n"),
        ],
    );
    let shell = custom(
        "for name in $(cat names); do [ out/$name -nt $name ] || { mkdir -p out; m4 $name > out/$name; }; done",
        &[("names", "a\nb\n"), ("a", "a include(`inner')\n"), ("b", "b\n"), ("inner", "1\n")],
    );
    check([
        Suite {
            project: python,
            cases: vec![
                Case::equal("an imported module", vec![write("lib/package/two.py", "V = 5\n")]),
                Case::equal("what imports", vec![replace("generate.py", "one.V,", "one.V, 3,")]),
                Case::equal("a module that is found first", vec![write("one.py", "V = 7\n")]),
                Case::equal("a package that is found first", vec![write("lib/one/__init__.py", "V = 8\n")]),
            ],
        },
        Suite {
            project: shell,
            cases: vec![
                Case::equal("what is included", vec![write("inner", "2\n")]),
                Case::equal("a name more", vec![write("names", "a\nb\nc\n"), write("c", "c\n")]),
                Case::equal("a name less", vec![write("names", "a\n")]),
                Case::equal("one of the names", vec![write("b", "other\n")]).seeds(),
            ],
        },
    ]);
}

/// Tools that keep book of their commands do not remove what no command makes any more.
#[test]
fn what_nobody_makes_any_more() {
    let ninja = "\
rule copy
  command = cp $in $out
build out/one: copy in
build out/two: copy in
rule make
  command = make -s out/three
build out/three: make in
";
    let makefile = "out/three: in\n\tcp in out/three\n";
    check([Suite {
        project: with(
            custom("ninja", &[("in", "in\n"), ("Makefile", makefile)]),
            vec![write("build.ninja", ninja)],
        ),
        cases: vec![
            Case::equal(
                "a rule less for ninja",
                vec![replace("build.ninja", "build out/two: copy in\n", "")],
            ),
            Case::equal(
                "a rule less for ninja, which had another make it",
                vec![replace("build.ninja", "build out/three: make in\n", "")],
            ),
        ],
    }]);
}

/// Without a log, ninja makes what is shipped as well. With one, it takes what is newer than what it is made from.
#[test]
fn what_is_made_and_shipped() {
    let rules = "rule upper\n  command = tr a-z A-Z < $in > $out\nbuild made: upper in\n\
                 rule copy\n  command = cat $in > $out\nbuild out: copy made\n";
    let project = with(
        custom("ninja", &[("in", "in\n"), ("made", "SHIPPED\n"), ("other", "other\n")]),
        vec![write("build.ninja", rules)],
    );
    check([Suite {
        project,
        cases: vec![
            Case::equal("what it is made from", vec![write("in", "other\n")]),
            Case::equal("what is shipped", vec![write("made", "OTHER\n")]),
            Case::equal("a link to what it is made from", vec![link("in", "other")]),
            Case::equal("both", vec![write("in", "new\n"), write("made", "NEWER\n")]),
        ],
    }]);
}

/// A command that ninja starts again finds what it made itself, and leaves it alone. In a clean build there is nothing, or the
/// source.
#[test]
fn what_is_left_alone_by_its_maker() {
    let rules = "rule once\n  command = grep -q in $out 2> /dev/null || cat $in > $out\nbuild out/once: once in\n\
                 rule edit\n  command = sed -i '1r more' notes; cp notes $out\nbuild out/notes: edit more\n";
    let files = [("in", "in\n"), ("more", "more\n"), ("notes", "notes\n"), ("out/keep", "")];
    check([Suite {
        project: with(custom("ninja", &files), vec![write("build.ninja", rules)]),
        cases: vec![
            Case::equal("what it is made from", vec![write("in", "other in\n")]),
            Case::equal("what cannot be read", vec![write("more/inside", "more\n")]),
        ],
    }]);
}

/// What is updated in place is left as it is when it is told of less, and nothing shows that by its content.
#[test]
fn what_is_told_of_less() {
    let rules = "rule archive\n  command = ar rcD $out $in\n";
    let both = format!("{rules}build out/all: archive one two\n");
    let project = with(
        custom("ninja", &[("one", "1\n"), ("two", "2\n"), ("out/keep", "")]),
        vec![write("build.ninja", both)],
    );
    check([Suite {
        project,
        cases: vec![Case::equal("a member less", vec![replace("build.ninja", " one two", " one")])],
    }]);
}

/// By then ninja has a log of its own that names it.
#[test]
fn what_nobody_makes_any_more_after_another_build() {
    let rules = "rule copy\n  command = cat $in > $out\nrule wrong\n  command = cat header $in > $out\n";
    let one = "build out/one: copy in\n";
    let other = "build out/other: wrong in\n";
    let (place, clean) = (Place::new(), Place::new());
    let root = place.path().join("project");
    edit::make(&root, &custom("ninja", &[("in", "in\n"), ("header", "1\n")]));
    write("build.ninja", format!("{rules}{one}{other}")).apply(&root);
    equal(&place, &clean, &root);
    write("header", "2\n").apply(&root);
    equal(&place, &clean, &root);
    write("build.ninja", format!("{rules}{one}")).apply(&root);
    equal(&place, &clean, &root);
}

#[test]
fn a_build_script_that_does_not_say() {
    let script = "\
fn main() {
    println!(\"cargo:rerun-if-changed=build.rs\");
    let mut names: Vec<String> = std::fs::read_dir(\"../share\")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names.push(std::fs::read_to_string(\"../share/other\").unwrap_or_default());
    std::fs::write(std::path::Path::new(&std::env::var(\"OUT_DIR\").unwrap()).join(\"listed\"), names.join(\" \"))
        .unwrap();
}
";
    let project = with(cargo::project(), vec![write("library/build.rs", script)]);
    check([Suite {
        project,
        cases: vec![
            Case::equal("what a build script read", vec![write("share/other", "changed\n")]),
            Case::equal("what a build script listed", vec![write("share/new", "new\n")]),
            Case::equal("what a build script looked for", vec![remove("share/other")]),
            Case::equal(
                "what it has nothing to do with",
                vec![replace("prog/src/main.rs", "{} {} {}", "{}, {}, {}")],
            )
            .seeds(),
        ],
    }]);
}

/// Nobody watches who asks for a name, a size or a time only, so a check that does no more is not run again.
#[test]
fn checks_that_only_ask() {
    let project = with(
        text("out: in\n\tcp in out\n", &[("in", "in\n"), ("data/long", "long\n")]),
        vec![
            write(
                "rekindle.toml",
                format!(
                    "{MANIFEST}[package.phases]\ncheck = 'stat -c %s data/long > sizes'\n\
                     post-install = 'cp sizes $out/'\n"
                ),
            ),
            mode("data/long", 0o644),
        ],
    );
    check([Suite {
        project,
        cases: vec![
            Case::unseen(
                "the size of what a check asks for",
                vec![write("data/long", "longer than before\n")],
            ),
            Case::equal(
                "whether what a check asks for is there",
                vec![write("data/more", ""), write("in", "2\n")],
            ),
        ],
    }]);
}

//! Dependencies that a makefile knows, and those that it does not: headers, generated files, sources that a build edits.

use super::edit::{Edit, remove, replace, write};
use super::make::{project, with_makefile};
use super::{Case, Suite, check};

/// Links what `CFLAGS` and `RULES` say.
fn program(flags: &str, rules: &str) -> Vec<Edit> {
    with_makefile(&format!(
        "OBJECTS = main.o a.o b.o\nCFLAGS = -O1 {flags}\nprog: $(OBJECTS)\n\t$(CC) -o $@ $^\n\
         install: prog\n\tinstall -D prog $(PREFIX)/bin/prog\n{rules}-include *.d\n"
    ))
}

fn with(mut project: Vec<Edit>, more: Vec<Edit>) -> Vec<Edit> {
    project.extend(more);
    project
}

pub(super) fn suites() -> Vec<Suite> {
    let header = |value: u32| format!("#define A {value}\n");
    let shadow = || {
        with(
            program("-MMD -Ifirst -Isecond", ""),
            vec![
                remove("a.h"),
                replace("main.c", "\"a.h\"", "<a.h>"),
                replace("a.c", "\"a.h\"", "<a.h>"),
                write("second/a.h", header(1)),
                write("first/other.h", ""),
            ],
        )
    };
    let generated = with(
        program("-MMD", "a.h: a.txt\n\tsed 's/^/#define A /' a.txt > a.h\nmain.o a.o: a.h\n"),
        vec![remove("a.h"), write("a.txt", "1\n")],
    );
    let shipped = with(
        program("-MMD", "b.c: b.y\n\tsed 's/value/7/' b.y > b.c\n"),
        vec![write("b.y", "int b(void) { return value; }\n")],
    );
    let configured = with(
        program("-MMD", "-include config.mk\n"),
        vec![
            remove("a.h"),
            write(
                "configure",
                "#!/bin/sh\necho \"PREFIX = ${1#--prefix=}\" > config.mk\nsed 's/@A@/1/' a.h.in > a.h\n",
            ),
            super::edit::mode("configure", 0o755),
            write("a.h.in", "#define A @A@\n"),
        ],
    );
    let edited_by_build = with(
        program("-MMD", "stamp: prog\n\techo built >> notes; touch stamp\n"),
        vec![
            write("notes", "notes\n"),
            replace(
                "Makefile",
                "install: prog\n",
                "all: stamp\ninstall: stamp\n\tinstall -D notes $(PREFIX)/notes\n",
            ),
            replace("Makefile", "prog: $(OBJECTS)", ".DEFAULT_GOAL = all\nprog: $(OBJECTS)"),
        ],
    );
    let out_of_tree = with(
        with_makefile(
            "all:\n\tmkdir -p ../objects\n\t$(MAKE) -C ../objects -f $(CURDIR)/rules.mk SOURCE=$(CURDIR)\n\
             install:\n\tinstall -D ../objects/prog $(PREFIX)/bin/prog\n\tcp -rP share $(PREFIX)/share\n",
        ),
        vec![write(
            "rules.mk",
            "VPATH = $(SOURCE)\nCFLAGS = -O1 -MMD\nprog: main.o a.o b.o\n\t$(CC) -o $@ $^\n-include *.d\n",
        )],
    );
    vec![
        Suite {
            project: program("", ""),
            cases: vec![Case::equal("header_changed_no_depfiles", vec![write("a.h", header(9))])],
        },
        Suite {
            project: shadow(),
            cases: vec![Case::equal("new_header_shadows_old", vec![write("first/a.h", header(9))])],
        },
        Suite {
            project: with(shadow(), vec![write("first/a.h", header(3))]),
            // make cannot remake what a dependency file names. It is built clean then.
            cases: vec![Case::equal("deleted_header", vec![remove("first/a.h")])],
        },
        Suite {
            project: project(),
            cases: vec![
                Case::both_fail("undeclared_read_deleted_source_still_builds", vec![remove("b.c")]),
                Case::equal("makefile_with_other_flags", vec![replace("Makefile", "-MMD", "-MMD -Os")]),
                Case::both_fail("does not compile", vec![write("b.c", "int b(void) { return }\n")]),
            ],
        },
        Suite {
            project: generated,
            cases: vec![
                Case::equal("generated_by_make_from_source", vec![write("a.txt", "5\n")]).seeds(),
                Case::equal("beside a generated file", vec![replace("b.c", "2", "3")]).seeds(),
            ],
        },
        Suite {
            project: shipped,
            cases: vec![
                Case::equal(
                    "generated_shipped_older_than_source",
                    vec![replace("b.y", "value", "1 + value"), replace("b.c", "2", "1 + 7")],
                )
                .seeds(),
                // In a clean build both are as old, and the one that was shipped is used. Nobody reads the other.
                Case::equal("generated_shipped_only_y_edited", vec![replace("b.y", "value", "2 + value")])
                    .keeps(),
                Case::equal(
                    "generated_shipped_y_and_another_edited",
                    vec![replace("b.y", "value", "3 + value"), write("a.h", header(4))],
                ),
            ],
        },
        Suite {
            project: configured,
            cases: vec![
                Case::equal("configure_generates_header", vec![write("a.h.in", "#define A (@A@ + 8)\n")])
                    .seeds(),
                Case::equal("configure leaves the same", vec![replace("configure", "sed", "true; sed")])
                    .keeps(),
                Case::equal("beside what configure made", vec![replace("b.c", "2", "3")]).seeds(),
            ],
        },
        Suite {
            project: edited_by_build,
            cases: vec![
                // What the build did to it once is done twice, or not at all.
                Case::equal("source_modified_by_build", vec![replace("b.c", "2", "3")]),
                Case::equal("edited what the build edits", vec![write("notes", "other\n")]),
            ],
        },
        Suite {
            project: out_of_tree,
            cases: [
                Case::equal("out_of_tree_make_edit_c", vec![replace("b.c", "2", "3")]).seeds(),
                Case::equal("out_of_tree_make_edit_header", vec![write("a.h", header(9))]).seeds(),
            ]
            .into_iter()
            .chain(super::edits::of_data())
            .collect(),
        },
    ]
}

#[test]
fn dependencies_of_makefiles() {
    check(suites());
}

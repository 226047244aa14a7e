//! Outputs that gather: libraries that keep what was put into them, tar files that keep times, links that are one file.

use super::edit::{Edit, remove, replace, write};
use super::make::{MANIFEST, with_makefile};
use super::{Case, Suite, check};

const INSTALL_LIBRARY: &str = "\ninstall: libx.a\n\tinstall -D -m 644 libx.a $(PREFIX)/lib/libx.a\n";

fn library(objects: &str) -> Vec<Edit> {
    with_makefile(&format!(
        "OBJECTS = {objects}\nCFLAGS = -O1 -MMD\nlibx.a: $(OBJECTS)\n\tar rcD $@ $^\n{INSTALL_LIBRARY}-include *.d\n"
    ))
}

fn data(makefile: &str) -> Vec<Edit> {
    vec![
        write("rekindle.toml", MANIFEST),
        write("Makefile", makefile),
        write("share/a", "a\n"),
        write("share/b", "b\n"),
    ]
}

pub(super) fn suites() -> Vec<Suite> {
    // The object of a source that is gone stays in the library, and nothing is newer than that.
    let wildcard = "$(patsubst %.c,%.o,$(wildcard *.c))";
    let tar = "\
out.tar: share/a share/b
\ttar -cf out.tar share/a share/b
install: out.tar
\tinstall -D -m 644 out.tar $(PREFIX)/out.tar
";
    // What is gone is newer than nothing.
    let listed = "\
list: $(wildcard share/*)
\tls share > list
install: list
\tinstall -D -m 644 list $(PREFIX)/list
";
    let linked = "\
all: one two
one: share/a
\tcat share/a > one
two: one
\tln -f one two
install: all
\tmkdir -p $(PREFIX)
\tcp one $(PREFIX)/one
\tcp two share/b $(PREFIX)
";
    let locked = "\
out: share/a
\tmkdir -p sealed
\tchmod u+w sealed
\tcat share/a > sealed/made
\tchmod 555 sealed
\tcat sealed/made share/b > out
install: out
\tinstall -D -m 644 out $(PREFIX)/out
";
    let needed = "\
out: current/made share/b
\tcat current/made share/b > out
current/made: share/a
\tmkdir -p v1
\tln -sfn v1 current
\tcat share/a > current/made
install: out
\tinstall -D -m 644 out $(PREFIX)/out
";
    let edit_a = || vec![write("share/a", "other\n")];
    let edit_b = || vec![write("share/b", "other\n")];
    vec![
        Suite {
            project: library(wildcard),
            cases: vec![
                Case::equal("library", vec![replace("b.c", "2", "3")]).seeds(),
                Case::equal("deleted_c_wildcard_lib", vec![remove("b.c")]),
            ],
        },
        Suite {
            project: library("main.o a.o b.o"),
            cases: vec![Case::equal(
                "deleted_c_listed_lib",
                vec![remove("b.c"), replace("Makefile", " b.o", "")],
            )],
        },
        Suite { project: data(tar), cases: vec![Case::equal("archive_with_mtimes", edit_a())] },
        Suite { project: data(listed), cases: vec![Case::equal("deleted_only", vec![remove("share/b")])] },
        Suite {
            project: data(linked),
            cases: vec![
                Case::equal("hardlinked_files", edit_a()).seeds(),
                Case::equal("hard links of what did not change", edit_b()),
            ],
        },
        Suite {
            project: data(locked),
            cases: vec![
                Case::equal("readonly_dir_in_build", edit_a()).seeds(),
                Case::equal(
                    "below a directory that is locked",
                    vec![write("share/b", "other"), edit_a().remove(0)],
                ),
            ],
        },
        Suite {
            project: data(needed),
            cases: vec![
                Case::equal("build_makes_symlink_needed_later", edit_b()).seeds(),
                Case::equal("through a link that the build made", edit_a()).seeds(),
            ],
        },
    ]
}

#[test]
fn archives_and_links() {
    check(suites());
}

//! A plain makefile, in the tree of the sources: the general edits, and those of C files.

use super::edit::{Edit, age, dir, link, mode, remove, rename, replace, write};
use super::{Case, Suite, check, edits};

pub(super) const MANIFEST: &str = "[package]\nname = \"probe\"\nversion = \"1\"\n";

const MAKEFILE: &str = "\
OBJECTS = main.o a.o b.o
CFLAGS = -O1 -MMD
prog: $(OBJECTS)
\t$(CC) -o $@ $^
install: prog
\tinstall -D prog $(PREFIX)/bin/prog
\tcp -rP share $(PREFIX)/share
-include *.d
";

/// Three C files with a header, their makefile, and data.
pub(super) fn project() -> Vec<Edit> {
    with_makefile(MAKEFILE)
}

pub(super) fn with_makefile(makefile: &str) -> Vec<Edit> {
    let mut project = vec![write("rekindle.toml", MANIFEST), write("Makefile", makefile)];
    project.extend(c_files());
    project.extend(edits::data());
    project
}

pub(super) fn c_files() -> Vec<Edit> {
    vec![
        write(
            "main.c",
            "#include <stdio.h>\n#include \"a.h\"\nint a(void);\nint b(void);\n\
             int main(void) { printf(\"%d %d %d\\n\", A, a(), b()); return 0; }\n",
        ),
        write("a.c", "#include \"a.h\"\nint a(void) { return A + 1; }\n"),
        write("b.c", "int b(void) { return 2; }\n"),
        write("a.h", "#define A 1\n"),
    ]
}

pub(super) fn suites() -> Vec<Suite> {
    let share = |case: &'static str, edits| Case::equal(case, edits).keeps();
    let cases = vec![
        Case::equal("no_change", vec![]),
        Case::equal("control_edit_one_c", vec![replace("b.c", "2", "3")]).seeds(),
        Case::equal("header_changed_depfiles", vec![write("a.h", "#define A 9\n")]).seeds(),
        Case::equal(
            "the same size",
            vec![Edit::Sneak("b.c".into(), b"int b(void) { return 7; }\n".to_vec())],
        )
        .seeds(),
        Case::equal("older than the build", vec![replace("b.c", "2", "4"), age("b.c", 1000)]).seeds(),
        Case::equal("touched only", vec![age("b.c", 2_000_000_000)]),
        Case::equal(
            "new_c_file_used",
            vec![
                write("c.c", "int c(void) { return 5; }\n"),
                replace("Makefile", "b.o", "b.o c.o"),
                replace("main.c", "a(), b()", "a(), b() + c()"),
                replace("main.c", "int a(void);", "int a(void);\nint c(void);"),
            ],
        )
        // A makefile decides about everything that make would not make again.
        .runs(),
        share("binary_changed", vec![write("share/plain", b"\0\xff\x01"), replace("b.c", "2", "3")]),
        share("binary_only_changed", vec![write("share/plain", b"\0\xff\x01")]),
        share("new_file", vec![write("share/new", "new"), replace("b.c", "2", "3")]),
        share("new_file_only", vec![write("share/new", "new")]),
        share("new_empty_file", vec![write("share/new", "")]),
        share("new_empty_dir", vec![dir("share/d")]),
        share("deleted_installed_file", vec![remove("share/gone")]),
        share("renamed_file", vec![rename("share/text", "share/other")]),
        share("exec_bit_changed", vec![mode("share/plain", 0o755)]),
        share("exec_bit_unchanged_kept", vec![replace("b.c", "2", "8")]),
        share("symlink_unchanged", vec![replace("a.c", "1", "3")]),
        share("file_to_symlink", vec![link("share/plain", "text")]),
        share("dangling_symlink_unchanged", vec![write("share/text", "other")]),
        share("dotfile_subdir_changed", vec![write("share/.dot", "other")]),
        share("dir_becomes_file", vec![write("share/sub", "file")]),
        share("file_becomes_dir", vec![write("share/gone/in", "file")]),
        share("file_emptied", vec![write("share/text", "")]),
        share(
            "text_has_diff_inside",
            vec![write("share/text", "--- a\n+++ b\n@@ -1 +1 @@\n-text\n+other\n")],
        ),
        share(
            "orig_file_leftovers",
            vec![write("share/text.orig", "text\n"), write("share/text", "other\n")],
        ),
    ];
    vec![Suite { project: project(), cases: cases.into_iter().chain(edits::of_data()).collect() }]
}

#[test]
fn make_in_tree() {
    check(suites());
}

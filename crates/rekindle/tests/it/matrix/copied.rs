//! What builds read and do not say, where the tree is a copy and no stack of layers: what an audit goes by is the same.

use super::edit::{Edit, mode, remove, rename, replace, write};
use super::undeclared::{custom, program, text, with};
use super::{Case, Suite, check};

/// The project, with a tree that is copied.
fn copied(project: Vec<Edit>) -> Vec<Edit> {
    with(project, vec![replace("rekindle.toml", "version = \"1\"\n", "version = \"1\"\ncopy-tree = true\n")])
}

#[test]
fn headers_and_flags() {
    check([Suite {
        project: copied(program("")),
        cases: vec![
            Case::equal("a header that nobody declared", vec![write("a.h", "#define A 9\n")]).seeds(),
            Case::equal(
                "a header that stands before another",
                vec![write("first/a.h", "#define A 7\n"), replace("a.c", "\"a.h\"", "<a.h>")],
            ),
            Case::equal("a source", vec![replace("b.c", "2", "3")]).seeds(),
            Case::equal("other flags", vec![replace("Makefile", "-O1", "-O1 -DUNUSED")]),
        ],
    }]);
}

#[test]
fn lists_and_what_is_updated_in_place() {
    let archive = "\
out: $(patsubst %.txt,%.o,$(wildcard *.txt))
\tar rcD $@ $^
%.o: %.txt
\tcp $< $@
";
    let listed = "out: data/a\n\tls data > out\n";
    let edited = "out: in\n\tsed -i '1r in' notes\n\tcp notes out\n";
    let copies = "\
rule copy
  command = mkdir -p out/made; cp -r data/. out/made; touch stamp
build stamp: copy data/one
";
    check([
        Suite {
            project: copied(text(archive, &[("a.txt", "a\n"), ("b.txt", "b\n")])),
            cases: vec![
                Case::equal("one in an archive", vec![write("a.txt", "other\n")]),
                Case::equal("one less in an archive", vec![remove("b.txt")]),
                Case::equal("one renamed in an archive", vec![rename("b.txt", "c.txt")]),
            ],
        },
        Suite {
            project: copied(text(listed, &[("data/a", "a\n"), ("data/b", "b\n")])),
            cases: vec![
                Case::equal("a name more", vec![write("data/c", "c\n")]),
                Case::equal("a name less", vec![remove("data/b")]),
            ],
        },
        Suite {
            project: copied(text(edited, &[("in", "in\n"), ("notes", "one\ntwo\n")])),
            cases: vec![
                Case::equal("inserted into a source", vec![write("in", "other\n")]),
                Case::equal("the source that is edited", vec![write("notes", "three\n")]),
            ],
        },
        Suite {
            project: copied(with(
                custom("ninja", &[("data/one", "1\n"), ("data/sub/two", "2\n"), ("out/keep", "")]),
                vec![write("build.ninja", copies)],
            )),
            cases: vec![
                Case::equal("executable, and copied again", vec![mode("data/one", 0o755)]),
                Case::equal("a directory became a file", vec![write("data/sub", "file\n")]),
                Case::equal("nobody copies any more", vec![write("build.ninja", "")]),
            ],
        },
    ]);
}

//! Names, line ends and places of files, under a makefile that reads all of them.

use super::edit::{Edit, link, write};
use super::make::MANIFEST;
use super::{Case, Suite, check};

/// Joins all data, in the order of the names, and installs both.
const MAKEFILE: &str = "\
-include .config
.PHONY: out
out:
\tfind share -type f -print0 | sort -z | xargs -0 cat > out
\techo '$(OPTION)' >> out
install: out
\tinstall -D -m 644 out $(PREFIX)/out
\tcp -rP share $(PREFIX)/share
";

fn project(more: Vec<Edit>) -> Vec<Edit> {
    let mut project = vec![write("rekindle.toml", MANIFEST), write("Makefile", MAKEFILE)];
    project.push(write("share/text", "one\ntwo\nthree\n"));
    project.extend(more);
    project
}

pub(super) fn suites() -> Vec<Suite> {
    // GNU make reads these only if they are asked for.
    let config = |text: &str| write(".config", text);
    let names = vec![
        write("share/with space", "x\n"),
        write("share/\u{e4}\"quo'te\\back", "x\n"),
        write("share/with\ttab", "x\n"),
        write("share/new\nline", "x\n"),
        write("share/crlf", "one\r\ntwo\r\n"),
        write("share/no end", "one\ntwo"),
    ];
    let shapes = vec![
        Case::equal("filename_spaces", vec![write("share/with space", "y\n")]),
        Case::equal("filename_utf8_quote_backslash", vec![write("share/\u{e4}\"quo'te\\back", "y\n")]),
        Case::equal("filename_tab", vec![write("share/with\ttab", "y\n")]),
        Case::equal("filename_newline", vec![write("share/new\nline", "y\n")]),
        Case::equal("crlf_file", vec![write("share/crlf", "one\r\nthree\r\n")]),
        Case::equal("lf_to_crlf", vec![write("share/text", "one\r\ntwo\r\nthree\r\n")]),
        Case::equal("no_newline_eof", vec![write("share/no end", "one\nthree")]),
        Case::equal("newline_eof_added", vec![write("share/no end", "one\ntwo\n")]),
        Case::equal("dotfile_root_optional", vec![config("OPTION = new\n")]),
    ];
    let shapes = shapes.into_iter().map(Case::keeps).collect();
    let required = "\
out: .config share/text
\tcat .config share/text > out
install: out
\tinstall -D -m 644 out $(PREFIX)/out
";
    let dotted = vec![
        Case::equal("dotfile_root_unchanged", vec![write("share/text", "other\n")]),
        Case::equal("dotfile_root_changed", vec![config("other\n")]),
    ];
    let dotted = dotted.into_iter().map(Case::seeds).collect();
    let linked = "\
out: share/link
\tcat share/link > out
install: out
\tinstall -D -m 644 out $(PREFIX)/out
";
    // The link is newer then, and make asks where it leads.
    let retargeted = vec![Case::equal("symlink_retargeted", vec![link("share/link", "other")])];
    // Nobody watches who asks for the size of a file, only who opens it.
    let asked = "\
[package.phases]
build = 'stat -c %s share/text > out; [ ! -x share/text ] || echo runs >> out; ls share >> out; readlink share/link >> out'
install = 'install -D -m 644 out $out/out'
";
    let asking = vec![
        Case::unseen(
            "the size of a file that is not opened",
            vec![write("share/text", "much longer than before\n")],
        ),
        Case::equal("the mode of a file", vec![super::edit::mode("share/text", 0o755)]),
        Case::equal("the target of a link", vec![link("share/link", "elsewhere")]),
        Case::equal("whether a file is empty", vec![write("share/text", "")]),
        Case::equal("which files there are", vec![write("share/new", "new\n")]),
    ];
    vec![
        Suite {
            project: project(vec![
                write("rekindle.toml", format!("{MANIFEST}build-system = \"custom\"\n{asked}")),
                link("share/link", "text"),
            ]),
            cases: asking,
        },
        Suite { project: project(names), cases: shapes },
        Suite { project: project(vec![write("Makefile", required), config("some\n")]), cases: dotted },
        Suite {
            project: project(vec![
                write("Makefile", linked),
                write("share/other", "other\n"),
                link("share/link", "text"),
            ]),
            cases: retargeted,
        },
    ]
}

#[test]
fn shapes_of_files() {
    check(suites());
}

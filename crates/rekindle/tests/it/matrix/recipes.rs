//! What is not a source: flags, environment, inputs, compilers, tarballs. Objects made with others are never used.

use super::edit::{Edit, replace, write};
use super::make::{MANIFEST, c_files, project};
use super::{Case, Suite, check};

const PROGRAM: &str = "\
OBJECTS = main.o a.o b.o
prog: $(OBJECTS)
\t$(CC) -o $@ $^
install: prog
\tinstall -D prog $(PREFIX)/bin/prog
";

fn with(mut project: Vec<Edit>, more: Vec<Edit>) -> Vec<Edit> {
    project.extend(more);
    project
}

fn program(manifest: &str, makefile: &str) -> Vec<Edit> {
    with(c_files(), vec![write("rekindle.toml", manifest), write("Makefile", makefile)])
}

pub(super) fn suites() -> Vec<Suite> {
    let flagged =
        format!("{MANIFEST}[package.env]\nCFLAGS = \"-O1\"\n[package.flags]\nmake = [\"CPPFLAGS=-DX=1\"]\n");
    let prefixed = with(
        program(MANIFEST, &format!("CPPFLAGS = -DPREFIX='\"$(PREFIX)\"'\n{PROGRAM}")),
        vec![replace("main.c", "{ printf(", "{ puts(PREFIX \"/share/of/the/program\"); printf(")],
    );
    // The header is that of another package, at another path after each edit.
    let depends = "\
[packages.lib]
version = \"1\"
source = \"lib\"
build-system = \"custom\"
[packages.lib.phases]
install = \"install -D -m 644 lib.h $out/include/lib.h\"
[packages.probe]
version = \"1\"
source = \"probe\"
build-system = \"make\"
inputs = [\"lib\"]
";
    let in_probe = |edits: Vec<Edit>| -> Vec<Edit> {
        let below = |edit| match edit {
            Edit::Write(path, bytes) => Edit::Write(format!("probe/{path}"), bytes),
            other => other,
        };
        edits.into_iter().map(below).collect()
    };
    let depending = with(
        in_probe(with(c_files(), vec![write("Makefile", format!("CPPFLAGS = -include lib.h\n{PROGRAM}"))])),
        vec![
            write("rekindle.toml", depends),
            write("lib/lib.h", "#define LIB 1\n"),
            replace("probe/b.c", "2", "LIB"),
        ],
    );
    let compiled = depends
        .replace("install -D -m 644 lib.h $out/include/lib.h", "install -D wcc $out/bin/wcc")
        + "[packages.probe.flags]\nmake = [\"CC=wcc\"]\n";
    let compiling = with(
        in_probe(with(c_files(), vec![write("Makefile", PROGRAM)])),
        vec![
            write("rekindle.toml", compiled),
            write("lib/wcc", "#!/bin/sh\nexec gcc -DLIB=1 \"$@\"\n"),
            replace("probe/b.c", "2", "LIB"),
        ],
    );
    let late =
        |what: &str| format!("{MANIFEST}[package.phases]\npost-install = \"echo {what} > $out/{what}\"\n");
    vec![
        Suite {
            project: program(&flagged, PROGRAM),
            cases: vec![
                Case::equal("cflags_env_changed", vec![replace("rekindle.toml", "-O1", "-O2")]).runs(),
                Case::equal("makeflags_define_changed", vec![replace("rekindle.toml", "-DX=1", "-DA=5")])
                    .runs(),
            ],
        },
        Suite {
            project: prefixed,
            cases: vec![Case::equal("prefix_embedded_in_object", vec![replace("b.c", "2", "3")])],
        },
        Suite {
            project: depending,
            cases: vec![
                Case::equal("dependency_header_changed", vec![replace("lib/lib.h", "1", "5")]).runs(),
                Case::equal("beside a dependency", vec![replace("probe/b.c", "LIB", "2 * LIB")]).seeds(),
            ],
        },
        Suite {
            project: compiling,
            cases: vec![Case::equal("compiler_changed", vec![replace("lib/wcc", "LIB=1", "LIB=5")]).runs()],
        },
        Suite {
            project: with(project(), vec![write("rekindle.toml", late("one"))]),
            cases: vec![Case::equal("bound late", vec![write("rekindle.toml", late("two"))]).takes()],
        },
        tarball("revert_to_older_mtime_tarball", "make", &c_files(), ("Makefile", PROGRAM)),
    ]
}

/// A project whose source is a tarball with real times, and an edit of it.
pub(super) fn tarball(name: &'static str, system: &str, files: &[Edit], build: (&str, &str)) -> Suite {
    let manifest = format!("{MANIFEST}source = \"source.tar\"\nbuild-system = \"{system}\"\n");
    let packed = |time: &str, value: u32| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path().join("source");
        super::edit::make(&root, files);
        write(build.0, build.1).apply(&root);
        write("b.c", format!("int b(void) {{ return {value}; }}\n")).apply(&root);
        let tar = std::process::Command::new("tar")
            .args(["--sort=name", &format!("--mtime={time}"), "-C"])
            .arg(dir.path())
            .args(["-cf", "-", "source"])
            .output()
            .expect("tar");
        assert!(tar.status.success());
        tar.stdout
    };
    Suite {
        project: vec![write("rekindle.toml", manifest), write("source.tar", packed("2020-01-02", 2))],
        cases: vec![Case::equal(name, vec![write("source.tar", packed("2019-01-02", 3))]).runs()],
    }
}

#[test]
fn recipes() {
    check(suites());
}

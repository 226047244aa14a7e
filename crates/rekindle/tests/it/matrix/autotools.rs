//! Autotools: a `configure` that was made elsewhere, one made by hand, and GNU hello.

use std::fs;

use super::edit::{Edit, mode, replace, write};
use super::make::{MANIFEST, c_files};
use super::{Case, Suite, check, edits, equal};
use crate::project::{Place, corpus, full_run};

/// What automake's makefiles do: objects with dependency files, unless that was turned off.
const CONFIGURE: &str = "\
#!/bin/sh
depends='-MMD'
for argument; do
    case $argument in
        --prefix=*) prefix=${argument#--prefix=} ;;
        --disable-dependency-tracking) depends= ;;
    esac
done
sed -e \"s|@prefix@|$prefix|\" -e \"s|@depends@|$depends|\" Makefile.in > Makefile
sed 's/@value@/1/' config.h.in > config.h
";

const MAKEFILE: &str = "\
prefix = @prefix@
CFLAGS = -O1 @depends@ -DDATA='\"$(prefix)/share\"'
prog: main.o a.o b.o
\t$(CC) -o $@ $^
install: prog
\tinstall -D prog $(prefix)/bin/prog
\tcp -rP share $(prefix)/share
-include *.d
";

fn project(flags: &str) -> Vec<Edit> {
    let manifest = format!("{MANIFEST}[package.flags]\nconfigure = [{flags}]\n");
    let mut project = vec![
        write("rekindle.toml", manifest),
        write("configure", CONFIGURE),
        mode("configure", 0o755),
        write("Makefile.in", MAKEFILE),
        write("config.h.in", "#define CONFIG @value@\n"),
    ];
    project.extend(c_files());
    project.push(replace("a.c", "\"a.h\"", "\"a.h\"\n#include \"config.h\""));
    project.push(replace("a.c", "A + 1", "A + CONFIG"));
    project.extend(edits::data());
    project
}

pub(super) fn suites() -> Vec<Suite> {
    let header = || vec![write("a.h", "#define A 9\n")];
    let cases = vec![
        Case::equal("source", vec![replace("b.c", "2", "3")]).seeds(),
        Case::equal("header", header()).seeds(),
        Case::equal("what configures", vec![write("config.h.in", "#define CONFIG (4 + @value@)\n")]).seeds(),
        Case::equal("other flags in a makefile", vec![replace("Makefile.in", "-O1", "-O2")]),
    ];
    let untracked = vec![
        Case::equal("header_autotools_like_no_deptrack", header()),
        Case::equal("untracked source", vec![replace("b.c", "2", "3")]).seeds(),
    ];
    vec![
        Suite { project: project(""), cases: cases.into_iter().chain(edits::of_data()).collect() },
        Suite { project: project("\"--disable-dependency-tracking\""), cases: untracked },
    ]
}

#[test]
fn autotools() {
    check(suites());
}

#[test]
fn gnu_hello() {
    if !full_run() {
        return;
    }
    let (place, clean) = (Place::new(), Place::new());
    let root = place.path().join("hello");
    let copied = std::process::Command::new("cp").arg("-r").arg(corpus("hello")).arg(&root).status();
    assert!(copied.expect("cp").success());
    place.build(&root, &[]);
    let source = fs::read_to_string(root.join("src/hello.c")).expect("a source");
    fs::write(root.join("src/hello.c"), source.replace("Hello, world!", "Hello, rekindled!")).expect("ours");
    equal(&place, &clean, &root);
    let header = fs::read_to_string(root.join("src/system.h")).expect("a header");
    fs::write(root.join("src/system.h"), format!("{header}\n#define UNUSED_MACRO 1\n")).expect("ours");
    equal(&place, &clean, &root);
}

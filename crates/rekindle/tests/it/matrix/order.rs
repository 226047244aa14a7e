//! In which order names are found by who does not sort them: as in a clean build, wherever the names that came lie.

use super::doubts::check;
use super::edit::{remove, rename, write};

const NAMES: [&str; 8] = ["zeta", "alpha", "mid", "beta", "omega", "kappa", "deep/one", "deep/two"];

/// Four names come: one of them may be in its place by chance.
#[test]
fn names_that_came_are_listed_in_their_place() {
    let makefile = "all: out/list out/pack\n\
                    out/list: $(wildcard src/* src/*/*)\n\tfind src > $@\n\
                    out/pack: $(wildcard src/* src/*/*)\n\ttar cf $@ --mtime=@1 src\n";
    let paths: Vec<String> = NAMES.iter().map(|name| format!("src/{name}")).collect();
    let mut files: Vec<(&str, &str)> = paths.iter().map(|path| (&path[..], "x\n")).collect();
    files.push(("Makefile", makefile));
    let edits = [
        write("src/extra", "y\n"),
        write("src/deep/three", "y\n"),
        rename("src/mid", "src/deep/mid"),
        write("src/another", "y\n"),
        remove("src/beta"),
        write("src/alpha", "other\n"),
    ];
    check("mkdir -p out; make", &files, &edits);
}

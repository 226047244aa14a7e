//! In which order names are found by who does not sort them: as in a clean build, wherever the names that came lie.

use super::Built;
use super::doubts::check;
use super::edit::{self, remove, rename, write};
use super::make::MANIFEST;
use crate::project::Place;

const NAMES: [&str; 8] = ["zeta", "alpha", "mid", "beta", "omega", "kappa", "deep/one", "deep/two"];

/// Where it is unpacked, nothing of it lies there before. A package that hides its path is built at the final one, in one step.
#[test]
fn names_that_came_are_unpacked_like_others() {
    let place = Place::new();
    let root = place.path().join("project");
    let manifest = format!(
        "{MANIFEST}build-system = \"custom\"\n[package.phases]\nbuild = 'true'\n\
         install = 'cp -r . $out; echo $out | gzip -n > $out/path'\n"
    );
    edit::make(&root, &[write("rekindle.toml", manifest), write("lib/x", "x\n")]);
    let base = place.rekindle(&["prepare", "-q"]).arg(&root).run().line();
    write("new", "1\n").apply(&root);
    let built = Built::of(&place, &root, &["--from", &base]).good();
    assert_eq!(built.build()["restarts"].as_array().map(Vec::len), Some(1), "{}", built.told);
    let differences = built.differences_to_clean(&place, &Place::new(), &root);
    assert!(differences.is_empty(), "{differences:?}\n{}", built.told);
}

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

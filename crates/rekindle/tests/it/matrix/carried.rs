//! What is carried along from build to build: a record of each build of which something is left, and no others.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use super::edit::{self, Edit, write};
use super::make::MANIFEST;
use super::{Built, cargo, checkpoints, cmake, equal};
use crate::project::{Place, full_run};

/// How many builds the newest checkpoint has records of.
fn records(place: &Place) -> usize {
    let made = |dir: &PathBuf| {
        fs::metadata(dir.join("record"))
            .and_then(|record| record.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let newest = checkpoints(place).into_iter().max_by_key(made).expect("a checkpoint");
    let names = fs::read_dir(newest).expect("a directory").flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().starts_with("trace-")).count()
}

#[test]
fn the_same_edit_again_and_again_adds_nothing() {
    let check = |project: Vec<Edit>, edited: &str, text: fn(u32) -> String| {
        let (place, clean) = (Place::new(), Place::new());
        let root = place.path().join("project");
        edit::make(&root, &project);
        place.build(&root, &[]);
        let counts: Vec<usize> = (10..15)
            .map(|number| {
                write(edited, text(number)).apply(&root);
                assert_eq!(Built::of(&place, &root, &[]).good().verdict("buildPhase"), "seed");
                records(&place)
            })
            .collect();
        // What differs between the first two is which of the clean build's records something is left of.
        assert!(counts[1..].iter().all(|count| *count == counts[1]), "{edited}: {counts:?}");
        write(edited, text(20)).apply(&root);
        equal(&place, &clean, &root);
    };
    let c = |number| format!("int b(void) {{ return {number}; }}\n");
    check(super::make::project(), "b.c", c);
    // Ninja only adds to its log, and cargo only locks what it locks.
    check(cmake::project("cmake"), "b.c", c);
    let rust = |number| format!("pub fn value() -> u32 {{\n    {number}\n}}\n");
    check(cargo::project(), "library/src/one.rs", rust);
}

/// Takes a build for each of many files.
#[test]
fn what_was_made_long_ago_is_made_again() {
    const FILES: usize = 150;
    if !full_run() {
        return;
    }
    let (place, clean) = (Place::new(), Place::new());
    let root = place.path().join("project");
    let products: Vec<String> = (0..FILES).map(|file| format!("o{file}")).collect();
    let makefile = format!(
        "out/all: {}\n\tcat $^ > $@\no%: f%\n\tcp $< $@\ninstall:\n\tcp out/all $(PREFIX)\n",
        products.join(" ")
    );
    let manifest = format!(
        "{MANIFEST}[phases]\nbuild = \"mkdir -p out; make\"\ninstall = \"make install PREFIX=$out\"\n"
    );
    let mut project = vec![write("rekindle.toml", manifest), write("Makefile", makefile)];
    project.extend((0..FILES).map(|file| write(&format!("f{file}"), "old\n")));
    edit::make(&root, &project);
    place.build(&root, &[]);
    let mut most = 0;
    let mut renewed = 0;
    for file in 0..FILES {
        write(&format!("f{file}"), format!("new {file}\n")).apply(&root);
        let built =
            if file % 25 == 24 { equal(&place, &clean, &root) } else { Built::of(&place, &root, &[]).good() };
        assert_eq!(built.verdict("buildPhase"), "seed", "{}", built.told);
        most = most.max(records(&place));
        renewed += usize::from(built.told.contains("builds ago"));
    }
    assert!(renewed > 0);
    assert!(most < 80, "{most}");
}

//! A Cargo workspace whose build script says that nothing but itself matters, and reads much else.

use super::super::cargo;
use super::super::edit::{Edit, link, remove, rename, write};
use super::super::random::{Numbers, Project};

const MANIFEST: &str = "\
[package]
name = \"probe\"
version = \"1\"
[package.phases]
skip = [\"fixup\"]
pre-build = \"unset LD_RUN_PATH\"
";

const WORKSPACE: &str = "\
[workspace]
members = [\"library\", \"prog\"]
resolver = \"2\"
[profile.release]
opt-level = 0
";

const BUILD_SCRIPT: &str = "\
use std::process::Command;

fn main() {
    println!(\"cargo:rerun-if-changed=build.rs\");
    let mut names: Vec<String> = std::fs::read_dir(\"../share\")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let list = std::fs::read_to_string(\"../list\").unwrap();
    let parts: Vec<String> =
        list.lines().map(|name| std::fs::read_to_string(format!(\"../parts/{name}\")).unwrap_or_default()).collect();
    let run = Command::new(\"m4\").args([\"-I\", \"../first\", \"-I\", \"../second\", \"../x.m4\"]).output().unwrap();
    assert!(run.status.success());
    let text = format!(\"{names:?} {parts:?} {}\", String::from_utf8(run.stdout).unwrap());
    std::fs::write(std::path::Path::new(&std::env::var(\"OUT_DIR\").unwrap()).join(\"listed\"), text).unwrap();
}
";

/// The workspace.
#[derive(Clone, Debug)]
pub(super) struct Crates;

const SOURCES: [(&str, &str); 11] = [
    ("share/a", "a {n}\n"),
    ("share/b", "b {n}\n"),
    ("list", "one\n"),
    ("list", "one\ntwo\n"),
    ("parts/one", "one {n}\n"),
    ("parts/two", "two {n}\n"),
    ("x.m4", "x {n} include(`h.m4')\n"),
    ("first/h.m4", "first {n}\n"),
    ("second/h.m4", "second {n}\n"),
    ("library/src/one.rs", "pub fn value() -> u32 {\n    {n}\n}\n"),
    ("library/src/two.rs", "pub fn value() -> u32 {\n    1 + {n}\n}\n"),
];

fn source(at: usize, value: u64) -> Edit {
    let (path, text) = SOURCES[at];
    write(path, text.replace("{n}", &value.to_string()))
}

impl Project for Crates {
    fn files(&self) -> Vec<Edit> {
        let mut files = cargo::project();
        files.extend([
            write("rekindle.toml", MANIFEST),
            write("Cargo.toml", WORKSPACE),
            write("library/build.rs", BUILD_SCRIPT),
        ]);
        files.extend((0..SOURCES.len()).filter(|at| SOURCES[*at].0 != "first/h.m4").map(|at| source(at, 1)));
        files
    }

    fn edit(&self, numbers: &mut Numbers) -> Edit {
        let at = numbers.below(SOURCES.len() as u64) as usize;
        match numbers.below(12) {
            0 => remove("first"),
            1 => remove(numbers.one(&["share/a", "share/b", "parts/one", "parts/two", "library/src/one.rs"])),
            2 => rename("share/a", "share/c"),
            3 => link("share/b", "a"),
            _ => source(at, numbers.below(4)),
        }
    }

    fn slip(&self, numbers: &mut Numbers) -> (Edit, Edit) {
        let at = numbers.one(&[4, 6, 8, 9, 10]);
        let broken =
            if numbers.below(2) == 0 { write(SOURCES[at].0, "pub fn (\n") } else { remove(SOURCES[at].0) };
        (broken, source(at, numbers.below(4)))
    }

    fn script(&self) -> &'static str {
        "cargo build --release --offline -q\ninstall -D target/release/prog $out/bin/prog"
    }
}

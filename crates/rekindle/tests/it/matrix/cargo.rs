//! A Cargo workspace: a library with modules and data, a build script, a program.

use super::edit::{Edit, dir, link, mode, remove, rename, replace, write};
use super::make::MANIFEST;
use super::{Case, Suite, check};

const LIB: &str = "\
mod one;
mod two;
pub const DATA: &str = include_str!(\"../../share/text\");
pub const LISTED: &str = include_str!(concat!(env!(\"OUT_DIR\"), \"/listed\"));
pub fn sum() -> u32 {
    one::value() + two::value()
}
";

/// Lists the data, and is to run again whenever anything there changes.
const BUILD_SCRIPT: &str = "\
fn main() {
    println!(\"cargo:rerun-if-changed=../share\");
    let mut names: Vec<String> = std::fs::read_dir(\"../share\")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    std::fs::write(std::path::Path::new(&std::env::var(\"OUT_DIR\").unwrap()).join(\"listed\"), names.join(\" \"))
        .unwrap();
}
";

pub(super) fn project() -> Vec<Edit> {
    let package = |name: &str, more: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{more}")
    };
    let lock = "\
version = 3

[[package]]
name = \"library\"
version = \"0.1.0\"

[[package]]
name = \"prog\"
version = \"0.1.0\"
dependencies = [
 \"library\",
]
";
    vec![
        write("rekindle.toml", MANIFEST),
        write("Cargo.toml", "[workspace]\nmembers = [\"library\", \"prog\"]\nresolver = \"2\"\n"),
        write("Cargo.lock", lock),
        write("library/Cargo.toml", package("library", "build = \"build.rs\"\n")),
        write("library/build.rs", BUILD_SCRIPT),
        write("library/src/lib.rs", LIB),
        write("library/src/one.rs", "pub fn value() -> u32 {\n    1\n}\n"),
        write("library/src/two.rs", "pub fn value() -> u32 {\n    2\n}\n"),
        write("prog/Cargo.toml", package("prog", "[dependencies]\nlibrary = { path = \"../library\" }\n")),
        write(
            "prog/src/main.rs",
            "fn main() {\n    println!(\"{} {} {}\", library::sum(), library::DATA, library::LISTED);\n}\n",
        ),
        write("share/text", "text\n"),
        write("share/other", "other\n"),
    ]
}

#[test]
fn cargo_workspace() {
    let apart = vec![
        Case::equal("data", vec![write("share/text", "changed\n")]).seeds(),
        Case::equal("source", vec![replace("library/src/two.rs", "    2", "    3")]).seeds(),
        Case::equal("program only", vec![replace("prog/src/main.rs", "{} {} {}", "{}, {}, {}")]).seeds(),
        Case::equal(
            "new module",
            vec![
                write("library/src/three.rs", "pub fn value() -> u32 {\n    5\n}\n"),
                replace("library/src/lib.rs", "mod two;", "mod three;\nmod two;"),
                replace("library/src/lib.rs", "two::value()", "two::value() + three::value()"),
            ],
        ),
        Case::equal(
            "renamed module, in a directory of its own",
            vec![rename("library/src/two.rs", "library/src/two/mod.rs")],
        ),
        Case::equal("removed data", vec![remove("share/other")]),
        Case::equal(
            "kinds of data",
            vec![
                write("share/new", "new"),
                dir("share/empty"),
                write("share/.dot", ""),
                link("share/link", "text"),
                mode("share/text", 0o755),
                write("share/other/in", "in"),
            ],
        ),
        Case::equal(
            "other profile",
            vec![write(
                "Cargo.toml",
                "[workspace]\nmembers = [\"library\", \"prog\"]\nresolver = \"2\"\n[profile.release]\nopt-level = 1\n",
            )],
        ),
        Case::both_fail("module gone", vec![remove("library/src/two.rs")]),
    ];
    check([Suite { project: project(), cases: apart }]);
}

/// Cargo leaves programs that the workspace has no more.
#[test]
fn cargo_programs_that_are_gone() {
    let mut project = project();
    project.push(write("prog/src/bin/second.rs", "fn main() {\n    println!(\"{}\", library::sum());\n}\n"));
    let cases = vec![
        Case::equal("program gone", vec![remove("prog/src/bin/second.rs")]).seeds(),
        Case::equal(
            "program of another name",
            vec![rename("prog/src/bin/second.rs", "prog/src/bin/third.rs")],
        )
        .seeds(),
        Case::equal("beside two programs", vec![replace("library/src/two.rs", "    2", "    3")]).seeds(),
    ];
    check([Suite { project, cases }]);
}

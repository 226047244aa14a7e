use proptest::prelude::*;

use super::*;

const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn parse(text: &str) -> Result<Lock, Error> {
    Lock::parse(Path::new("Cargo.lock"), text)
}

/// Format, crates, local packages.
fn told(text: &str) -> String {
    let lock = parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let crates: Vec<_> =
        lock.crates().iter().map(|one| format!("{} {}", one.name(), one.version())).collect();
    format!("v{}: {} | {}", lock.version(), crates.join(", "), lock.local().join(", "))
}

#[test]
fn all_formats() {
    let v1 = format!(
        "[[package]]\nname = \"demo\"\nversion = \"0.1.0\"\ndependencies = [\n \"a 1.0.0 ({CRATES_IO})\",\n]\n\
         [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"{CRATES_IO}\"\n\
         [metadata]\n\"checksum a 1.0.0 ({CRATES_IO})\" = \"{SUM}\"\n"
    );
    let oldest = format!(
        "[root]\nname = \"demo\"\nversion = \"0.1.0\"\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
         source = \"{CRATES_IO}\"\n[metadata]\n\"checksum a 1.0.0 ({CRATES_IO})\" = \"{SUM}\"\n"
    );
    let new = |version: &str| {
        format!(
            "{version}[[package]]\nname = \"demo\"\nversion = \"0.1.0\"\ndependencies = [\"a\"]\n\
             [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"{CRATES_IO}\"\nchecksum = \"{SUM}\"\n\
             [[patch.unused]]\nname = \"z\"\nversion = \"1.0.0\"\n"
        )
    };
    for (text, version) in
        [(oldest, 1), (v1, 1), (new(""), 2), (new("version = 3\n"), 3), (new("version = 4\n"), 4)]
    {
        assert_eq!(told(&text), format!("v{version}: a 1.0.0 | demo"));
    }
    assert_eq!(told(""), "v2:  | ");
}

#[test]
fn what_cannot_be_is_named() {
    let package = |rest: &str| format!("[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n{rest}");
    for (text, expect) in [
        ("version = 5\n".to_owned(), "Cargo.lock: its format 5 is newer than 4, the newest known"),
        ("[[package]\n".to_owned(), "Cargo.lock:1:11: unclosed array table, expected `]`"),
        (
            "[[package]]\nname = 1\n".to_owned(),
            "Cargo.lock:2:8: invalid type: integer `1`, expected a string",
        ),
        (
            package("source = \"git+https://example.org/a?rev=1#1\"\n"),
            "Cargo.lock: the package a 1.0.0 comes from git, which is not supported yet (git+https://example.org/a?rev=1#1)",
        ),
        (
            package("source = \"directory+file:///a\"\n"),
            "Cargo.lock: the package a 1.0.0 comes from \"directory+file:///a\", which is neither a registry nor git",
        ),
        (package(&format!("source = \"{CRATES_IO}\"\n")), "Cargo.lock: the package a 1.0.0 has no checksum"),
        (
            package(&format!("source = \"{CRATES_IO}\"\nchecksum = \"12\"\n")),
            "Cargo.lock: the checksum of a 1.0.0 is not SHA-256: \"12\"",
        ),
        (
            format!(
                "[[package]]\nname = \"../a\"\nversion = \"1\"\nsource = \"{CRATES_IO}\"\nchecksum = \"{SUM}\"\n"
            ),
            "Cargo.lock: \"../a 1\" is not a crate's name and version",
        ),
    ] {
        let error = parse(&text).map(|_| ()).expect_err(&text);
        assert_eq!(error.to_string(), expect);
        assert_eq!(error.kind(), crate::ErrorKind::Lock);
    }
}

#[test]
fn scratch_project_needs_exactly_the_crates() {
    let lock = parse(&format!(
        "version = 4\n[[package]]\nname = \"demo\"\nversion = \"0.1.0\"\ndependencies = [\"a\"]\n\
         [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"{CRATES_IO}\"\nchecksum = \"{SUM}\"\n\
         dependencies = [\"b 2.0.0\", \"demo\"]\n\
         [[package]]\nname = \"b\"\nversion = \"2.0.0\"\nsource = \"sparse+https://r.example.org/\"\nchecksum = \"{SUM}\"\n"
    ))
    .expect("a good lock");
    let scratch = scratch_project(&lock);
    assert_eq!(
        scratch.manifest,
        "[package]\nname = \"rekindle-fetch\"\nversion = \"0.0.0\"\nedition = \"2018\"\n\n\
         [lib]\npath = \"lib.rs\"\n\n[workspace]\n\n\
         [dependencies.crate-0]\npackage = \"a\"\nversion = \"=1.0.0\"\ndefault-features = false\n\n\
         [dependencies.crate-1]\npackage = \"b\"\nversion = \"=2.0.0\"\ndefault-features = false\n\
         registry-index = \"sparse+https://r.example.org/\"\n"
    );
    let again = parse(&scratch.lock).expect("the scratch lock is a lock");
    assert_eq!(again.local(), ["rekindle-fetch"]);
    let names: Vec<_> = again.crates().iter().map(|one| (one.name(), one.checksum().to_hex())).collect();
    assert_eq!(names, [("a", SUM.to_owned()), ("b", SUM.to_owned())]);
    // What is not fetched is no dependency any more.
    assert!(!scratch.lock.contains("demo"), "{}", scratch.lock);
    assert!(scratch.lock.contains("\"b 2.0.0\""), "{}", scratch.lock);
}

#[test]
fn own_lock_file() {
    let lock = parse(include_str!("../../../../Cargo.lock")).expect("our own lock is good");
    assert!(lock.crates().len() > 50 && lock.crates().iter().all(|one| one.registry().is_crates_io()));
    assert!(lock.local().iter().any(|name| name == "rekindle-units"));
    let again = parse(&scratch_project(&lock).lock).expect("the scratch lock is a lock");
    assert_eq!(
        again.crates(),
        lock.crates()
            .iter()
            .map(|one| {
                let mut one = one.clone();
                one.dependencies.retain(|used| lock.crates().iter().any(|other| other.name == used.name));
                one
            })
            .collect::<Vec<_>>()
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(name in "\\PC{0,8}", version in "\\PC{0,8}", source in "(registry\\+|git\\+)?\\PC{0,12}", rest in "\\PC{0,20}") {
        let quote = |text: &str| toml::Value::from(text).to_string();
        let text = format!("[[package]]\nname = {}\nversion = {}\nsource = {}\nchecksum = \"{SUM}\"\n{rest}", quote(&name), quote(&version), quote(&source));
        if let Ok(lock) = parse(&text) {
            let _ = scratch_project(&lock);
        }
        let _ = parse(&rest);
    }
}

//! Real Nix builds the same derivations, to the same paths and the same bytes: the examples, and real projects, unmodified, which
//! also run. Of each there are three builds: at a scratch path, at the final one, and Nix's.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::corpus::{copy, runs};
use crate::nix::Nix;
use crate::project::{Place, corpus, example, full_run};

/// Has real Nix build `source`, and compares: with what we build at the final path, and with what was built at a scratch path in
/// `moved`.
fn check(source: &Path, moved: &Place, built: &[String]) {
    let place = Place::new();
    let exact = place.build(source, &["--exact-path"]);
    let drv = place.rekindle(&["drv", "show", "--drv"]).arg(source).run().line();
    let nix = Nix::new();
    let theirs = tempfile::tempdir().expect("a temporary directory");
    nix.build_copy(place.store(), theirs.path(), &drv);
    nix.verify(place.store());
    let _: serde_json::Value =
        serde_json::from_str(&nix.run(place.store(), "nix", &["path-info", "-r", "--json", &exact[0]]))
            .expect("JSON from nix");
    for path in &exact {
        let (ours, nixs) = (nix.nar_hash(place.store(), path), nix.nar_hash(theirs.path(), path));
        assert_eq!(ours, nixs, "{path}: {}", first_difference(place.store(), theirs.path(), path));
        let references = |store: &Path| nix.run(store, "nix-store", &["-q", "--references", path]);
        assert_eq!(references(place.store()), references(theirs.path()), "{path}");
    }
    assert_eq!(built, exact, "the output paths do not depend on how they are built");
    for path in &exact {
        let difference = first_difference(moved.store(), theirs.path(), path);
        assert_eq!(difference, "", "{path}, built at a scratch path, differs in more than build ids");
        assert_no_trace(&physical(moved.store(), path));
    }
    nix.verify(moved.store());
    let dead = nix.run(moved.store(), "nix-store", &["--gc", "--print-dead"]);
    assert!(dead.lines().all(|line| line.starts_with("/nix/store/")), "{dead}");
}

fn check_example(name: &str) {
    let moved = Place::new();
    let built = moved.build(&example(name), &[]);
    check(&example(name), &moved, &built);
}

/// Builds a real project as an ordinary user, checks what that gives, and returns where it is.
fn check_real(name: &str) -> (Place, PathBuf) {
    let moved = Place::new();
    let source = moved.path().join(name);
    copy(&corpus(name), &source);
    let finished = moved.rekindle_as_user(&["build", "--no-link", "--print-out-paths"]).arg(&source).run();
    assert!(finished.success(), "{name}: {}{}", finished.stdout(), finished.stderr());
    let built: Vec<String> = finished.stdout().lines().map(str::to_owned).collect();
    check(&source, &moved, &built);
    let output = moved.physical(&built[0]);
    (moved, output)
}

/// Where a path of a store lies.
fn physical(store: &Path, path: &str) -> PathBuf {
    store.join(path.trim_start_matches('/'))
}

/// Looks for what only a scratch path has: digits and letters in turns, as many as no chance gives.
fn assert_no_trace(path: &Path) {
    let is_trace = |part: &[u8]| {
        let is_turn = |(at, byte): (usize, &u8)| {
            if at % 2 == 0 { byte.is_ascii_digit() } else { (b'g'..=b'z').contains(byte) }
        };
        part.iter().enumerate().all(is_turn)
    };
    let found = |bytes: &[u8]| bytes.windows(10).any(is_trace);
    for file in files(path) {
        assert!(!found(file.as_os_str().as_bytes()), "{} has the scratch path in its name", file.display());
        let bytes = match file.symlink_metadata().expect("a file that is there") {
            kind if kind.is_symlink() => {
                fs::read_link(&file).expect("a link").as_os_str().as_bytes().to_vec()
            }
            kind if kind.is_file() => fs::read(&file).expect("a file"),
            _ => continue,
        };
        assert!(!found(&bytes), "{} has the scratch path in it", file.display());
    }
}

/// What differs between the outputs at `path` of two stores, ELF build ids left aside; empty if nothing does.
pub(crate) fn first_difference(one: &Path, other: &Path, path: &str) -> String {
    let (one, other) = (physical(one, path), physical(other, path));
    let relative = |root: &Path| -> Vec<PathBuf> {
        files(root)
            .into_iter()
            .map(|file| file.strip_prefix(root).expect("below the root").to_owned())
            .collect()
    };
    let (names, other_names) = (relative(&one), relative(&other));
    if names != other_names {
        return format!("the names differ: {names:?} and {other_names:?}");
    }
    for name in names {
        let read = |root: &Path| {
            let file = root.join(&name);
            let metadata = file.symlink_metadata().expect("a file that is there");
            let mode = std::os::unix::fs::MetadataExt::mode(&metadata);
            match metadata.file_type() {
                kind if kind.is_symlink() => {
                    (mode, fs::read_link(&file).expect("a link").as_os_str().as_bytes().to_vec())
                }
                kind if kind.is_file() => (mode, without_build_ids(fs::read(&file).expect("a file"))),
                _ => (mode, Vec::new()),
            }
        };
        if read(&one) != read(&other) {
            return format!("{} differs", name.display());
        }
    }
    String::new()
}

/// The bytes with each GNU build id (a note of 20 bytes, type 3) set to zero.
fn without_build_ids(mut bytes: Vec<u8>) -> Vec<u8> {
    const NOTE: &[u8] = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";
    let mut start = 0;
    while let Some(found) = bytes[start..].windows(NOTE.len()).position(|window| window == NOTE) {
        let id = start + found + NOTE.len();
        let end = (id + 20).min(bytes.len());
        bytes[id..end].fill(0);
        start = end;
    }
    bytes
}

/// Everything at and below a path, sorted.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    if root.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
        let mut entries: Vec<_> =
            fs::read_dir(root).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
        entries.sort();
        found.extend(entries.iter().flat_map(|entry| files(entry)));
    }
    found
}

#[test]
fn the_make_example_is_what_nix_builds() {
    check_example("hello-make");
}

#[test]
fn the_cmake_example_is_what_nix_builds() {
    check_example("hello-cmake");
}

#[test]
fn the_meson_example_is_what_nix_builds() {
    check_example("hello-meson");
}

#[test]
fn the_autotools_example_is_what_nix_builds() {
    check_example("hello-autotools");
}

/// In a full run: what is in it that the examples and lua have not is more of the same.
#[test]
fn zlib_is_what_nix_builds() {
    if !full_run() {
        return;
    }
    let (place, output) = check_real("zlib");
    let program =
        "#include <zlib.h>\n#include <stdio.h>\nint main(void) { puts(zlibVersion()); return 0; }\n";
    let root = place.write("use", "use.c", program);
    let status = Command::new("cc")
        .arg(format!("-I{}", output.join("include").display()))
        .args(["-o", "use", "use.c"])
        .arg(output.join("lib/libz.a"))
        .current_dir(&root)
        .status();
    assert!(status.expect("cc").success());
    assert!(runs(&root.join("use"), &[]).starts_with("1.2."));
}

/// In a full run, as zlib.
#[test]
fn a_cmake_project_is_what_nix_builds() {
    if full_run() {
        let (_place, output) = check_real("cmark");
        runs(&output.join("bin/cmark"), &["--version"]);
    }
}

/// Built, edited, and built again from the checkpoint: even so it is what Nix builds of the edited sources, clean.
fn check_after_an_edit(name: &str, file: &str, from: &str, to: &str) -> (Place, PathBuf) {
    let place = Place::new();
    let source = place.path().join(name);
    copy(&corpus(name), &source);
    let build = || {
        let finished = place.rekindle_as_user(&["build", "--no-link", "--json"]).arg(&source).run();
        assert!(finished.success(), "{}{}", finished.stdout(), finished.stderr());
        let report: serde_json::Value = serde_json::from_str(&finished.stdout()).expect("JSON");
        assert_eq!(report["builds"][0]["restarts"].as_array().map(Vec::len), Some(0), "{report}");
        report
    };
    build();
    let file = source.join(file);
    let text = fs::read_to_string(&file).expect("a source");
    let edited = text.replace(from, to);
    assert_ne!(text, edited);
    fs::write(&file, edited).expect("our own copy");
    let second = build();
    let verdicts = second["builds"][0]["verdicts"].as_array().expect("verdicts");
    let judged = verdicts.iter().find(|judged| judged["phase"] == "buildPhase");
    assert_eq!(judged.and_then(|judged| judged["verdict"].as_str()), Some("seed"), "{second}");
    let path = second["goals"][0]["outputs"]["out"]["path"].as_str().expect("an output").to_owned();
    check(&source, &place, std::slice::from_ref(&path));
    let output = place.physical(&path);
    (place, output)
}

#[test]
fn lua_is_what_nix_builds_after_an_edit() {
    let said = "LUA_COPYRIGHT, strlen(LUA_COPYRIGHT)";
    let (_place, output) =
        check_after_an_edit("lua", "src/lua.c", said, &said.replace("COPYRIGHT", "COPYRIGHT \" and ours\""));
    assert!(runs(&output.join("bin/lua"), &["-v"]).trim_end().ends_with("and ours"));
}

/// With all that autoconf and gnulib bring along.
#[test]
fn hello_is_what_nix_builds_after_an_edit() {
    if full_run() {
        let (_place, output) = check_after_an_edit("hello", "src/hello.c", "Hello, world!", "Hullo, world!");
        assert_eq!(runs(&output.join("bin/hello"), &[]), "Hullo, world!\n");
    }
}

//! Bad input: one clear error that names the place, the right exit code, and a store that is as it was.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rekindle_nix::Hash;

use crate::project::{Place, example};

/// What the store has, by name.
fn contents(place: &Place) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut pending = vec![place.store().join("nix/store")];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().expect("a kind").is_dir() {
                pending.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found
}

/// A build of `dir` ends with `code`, says one error with all of `parts` in it, and leaves the store as it was.
fn check(place: &Place, dir: &Path, code: i32, parts: &[&str]) {
    let before = contents(place);
    let finished = place.rekindle(&["build", "--no-link"]).arg(dir).run();
    let stderr = finished.stderr();
    assert_eq!(finished.code(), Some(code), "{stderr}");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("error:")).count(), 1, "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "no {part:?} in: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
    if code == 1 {
        assert_eq!(contents(place), before);
    }
}

/// A place that has something in its store.
fn place() -> Place {
    let place = Place::new();
    place.build(&example("hello-make"), &[]);
    place
}

const COMMAND: &str = "source = false\nbuild-system = \"custom\"\nphases.command = \"touch $out\"\n";

#[test]
fn mistakes_in_a_manifest_name_line_and_column() {
    let place = place();
    let written = |text: &str| place.write("x", "rekindle.toml", text);
    check(
        &place,
        &written("[package]\nname = \"x\"\nvresion = \"1\"\n"),
        1,
        &["rekindle.toml:3:1:", "did you mean `version`"],
    );
    check(&place, &written("[package]\nname = \"x\"\nversion = 1\n"), 1, &["rekindle.toml:3:11:", "string"]);
    check(&place, &written("[package\n"), 1, &["rekindle.toml:1:"]);
    check(&place, &written("[package]\nname = \"a/b\"\n"), 1, &["rekindle.toml:2:"]);
    check(
        &place,
        &written("[package]\nname = \"x\"\nbuild-system = \"mesno\"\n"),
        1,
        &["rekindle.toml:3:", "`meson`"],
    );
    check(&place, &written("\u{0}"), 1, &["rekindle.toml:1:"]);
}

#[test]
fn what_is_not_there_is_named() {
    let place = place();
    check(&place, Path::new("/nonexistent/dir"), 1, &["/nonexistent/dir"]);
    check(&place, &place.write("empty", "README", ""), 1, &["no build system", "Makefile", "rekindle.toml"]);
    let source = place.write("source", "rekindle.toml", "[package]\nname = \"x\"\nsource = \"nowhere\"\n");
    check(&place, &source, 1, &["source/nowhere", " x:"]);
    let patch = "[package]\nname = \"x\"\npatches = [\"fix.patch\"]\n";
    place.write("patch", "Makefile", "all:\n");
    check(&place, &place.write("patch", "rekindle.toml", patch), 1, &["patch/fix.patch"]);
    let input = format!("[package]\nname = \"x\"\n{COMMAND}inputs = [{{ path = \"../nowhere\" }}]\n");
    check(&place, &place.write("input", "rekindle.toml", input), 1, &["input/../nowhere"]);
    check(
        &place,
        &place.write("cargo", "Cargo.toml", "[package]\nname = \"x\"\n"),
        1,
        &["Cargo.lock", "generate-lockfile"],
    );
    check(
        &place,
        Path::new("/nix/store/0c3z9kq4wvj5h8ya1xlrmnb7dfgps2i6-x.drv"),
        1,
        &["-x.drv is not in the store"],
    );
    check(&place, Path::new("/etc/hostname"), 1, &["/etc/hostname is neither"]);
}

#[test]
fn a_circle_of_inputs_is_shown() {
    let place = place();
    for (name, other) in [("a", "b"), ("b", "c"), ("c", "a")] {
        let manifest =
            format!("[package]\nname = \"{name}\"\n{COMMAND}inputs = [{{ path = \"../{other}\" }}]\n");
        place.write(name, "rekindle.toml", manifest);
    }
    check(&place, &place.path().join("b"), 1, &["in a circle", "a (", "b (", "c (", " -> "]);
}

#[test]
fn a_wrong_hash_shows_what_was_expected_and_what_came() {
    let place = place();
    place.write("files", "data", "what is there\n");
    let url = format!("file://{}/files/data", place.path().display());
    let (wrong, right) = (Hash::sha256(b"other").to_sri(), Hash::sha256(b"what is there\n").to_sri());
    let manifest = |hash: &str| {
        format!(
            "[package]\nname = \"x\"\nsource = {{ url = \"{url}\", hash = \"{hash}\" }}\nbuild-system = \"custom\"\n\
             phases.command = \"cp $src $out\"\n"
        )
    };
    let dir = place.write("x", "rekindle.toml", manifest(&wrong));
    check(&place, &dir, 102, &["data failed", &wrong, &right]);
    place.write("x", "rekindle.toml", manifest(&right));
    let out = place.build(&dir, &[]);
    assert_eq!(fs::read(place.physical(&out[0])).expect("a file"), b"what is there\n");
    // What is in the store is not fetched again.
    fs::remove_file(place.path().join("files/data")).expect("removed");
    place.write("x", "rekindle.toml", manifest(&right).replace("cp $src $out", "cat $src $src >$out"));
    place.build(&dir, &[]);
}

#[test]
fn a_fetch_that_fails_is_a_failed_build() {
    let place = place();
    let manifest = format!(
        "[package]\nname = \"x\"\nsource = {{ url = \"file:///nonexistent/data\", hash = \"{}\" }}\n\
         build-system = \"custom\"\nphases.command = \"cp $src $out\"\n",
        Hash::sha256(b"").to_sri()
    );
    check(
        &place,
        &place.write("x", "rekindle.toml", manifest),
        100,
        &["file:///nonexistent/data", "data failed"],
    );
}

#[test]
fn a_source_that_may_not_be_read_is_named() {
    let place = Place::new();
    let dir = place.write("x", "Makefile", "all:\n");
    place.write("x", "secret", "");
    fs::set_permissions(dir.join("secret"), fs::Permissions::from_mode(0o000)).expect("ours");
    let finished = place.rekindle_as_user(&["build", "--no-link"]).arg(&dir).run();
    assert_eq!(finished.code(), Some(1), "{}", finished.stderr());
    assert!(finished.stderr().contains("secret"), "{}", finished.stderr());
}

#[test]
fn what_no_store_can_hold_is_named() {
    let place = place();
    let dir = place.write("x", "Makefile", "all:\n");
    let socket = UnixListener::bind(dir.join("socket")).expect("a socket");
    check(&place, &dir, 1, &["socket"]);
    drop(socket);
}

#[test]
fn a_link_out_of_the_source_is_a_warning() {
    let place = place();
    let dir = place.write("x", "Makefile", "all:\ninstall:\n\tinstall -D Makefile $(PREFIX)/a\n");
    symlink("/etc/hostname", dir.join("link")).expect("linked");
    let finished = place.rekindle(&["build", "--no-link"]).arg(&dir).run();
    assert!(finished.success(), "{}", finished.stderr());
    assert!(finished.stderr().starts_with("warning: x: the link link leads out"), "{}", finished.stderr());
}

#[test]
fn a_store_of_an_unknown_version_is_left_alone() {
    let place = place();
    let schema = place.store().join("nix/var/nix/db/schema");
    fs::write(&schema, "4711").expect("written");
    check(&place, &example("hello-make"), 1, &["4711", place.store().to_str().expect("UTF-8")]);
    assert_eq!(fs::read(&schema).expect("a file"), b"4711");
    let doctor = place.rekindle(&["doctor"]).run();
    assert_eq!(doctor.code(), Some(1));
    assert!(doctor.stdout().contains("4711") && doctor.stdout().contains("--store"), "{}", doctor.stdout());
}

#[test]
fn a_store_of_another_user_is_said_to_be_one() {
    // Only root can make one and then be somebody else.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = place();
    let listed = place.rekindle(&["checkpoint", "list", "--json"]).run().stdout();
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let id = listed["checkpoints"][0]["id"].as_str().expect("an identity").to_owned();
    let dir = example("hello-make").display().to_string();
    for args in [
        &["checkpoint", "list"][..],
        &["checkpoint", "show", &id],
        &["checkpoint", "pin", &id],
        &["checkpoint", "rm", &id],
        &["why", "hello-make"],
        &["graph", "hello-make"],
        &["gc", "--dry-run"],
        &["build", "--no-link", &dir],
    ] {
        let finished = place.rekindle_as_user(args).run();
        let stderr = finished.stderr();
        assert_eq!((finished.code(), finished.stdout()), (Some(1), String::new()), "{args:?}: {stderr}");
        assert!(
            stderr.contains("belongs to the user with the number 0; use it as that user"),
            "{args:?}: {stderr}"
        );
    }
}

#[test]
fn a_derivation_that_is_malformed_is_an_error() {
    let place = place();
    let drv = place.rekindle(&["drv", "show", "--drv"]).arg(example("hello-make")).run().line();
    let file = place.physical(&drv);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("ours");
    fs::write(&file, "Derive([").expect("written");
    check(&place, Path::new(&drv), 1, &["-hello-make.drv"]);
    let verified = place.rekindle(&["store", "verify"]).run();
    assert_eq!(verified.code(), Some(1));
    assert!(
        verified.stdout().contains("-hello-make.drv") && verified.stdout().contains("damaged"),
        "{}",
        verified.stdout()
    );
}

/// Nobody waits for who would write into a pipe, and nobody reads what has no end.
#[test]
fn what_is_no_text_of_a_sane_size_is_not_read() {
    let place = place();
    let root = place.write("odd", "Makefile", "all:\n");
    let manifest = root.join("rekindle.toml");
    let no_file = ["rekindle.toml", "no regular file", "hint: remove it"];
    rustix::fs::mkfifoat(rustix::fs::CWD, &manifest, rustix::fs::Mode::RUSR).expect("made");
    check(&place, &root, 1, &no_file);
    fs::remove_file(&manifest).expect("ours");
    symlink("/dev/zero", &manifest).expect("linked");
    check(&place, &root, 1, &no_file);
    fs::remove_file(&manifest).expect("ours");
    let large = fs::File::create(&manifest).expect("ours");
    large.set_len(17 << 20).expect("sparse");
    check(&place, &root, 1, &["rekindle.toml", "larger than 16 MiB", "hint:"]);
    place.write("odd", "rekindle.toml", "[package]\nname = \"odd\"\nbuild-system = \"cargo\"\n");
    symlink("/dev/zero", root.join("Cargo.lock")).expect("linked");
    check(&place, &root, 1, &["Cargo.lock", "no regular file"]);
}

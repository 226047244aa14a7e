//! Real projects, unmodified, as their authors released them: each builds, as root and as an ordinary user, and runs. Those that
//! take long are built as an ordinary user only, unless `REKINDLE_FULL` asks for both.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::project::{Place, corpus, full_run};

/// Builds `name` and runs `program` of its output. Returns what it printed.
fn build_and_run(name: &str, args: &[&str], program: &str, program_args: &[&str]) {
    let takes_long = ["redis", "hexyl"].contains(&name);
    for as_user in [false, true] {
        if takes_long && !as_user && !full_run() {
            continue;
        }
        let place = Place::new();
        let base = ["build", "--print-out-paths"];
        let source = place.path().join(name);
        copy(&corpus(name), &source);
        let build = if as_user {
            place.rekindle_as_user(&base).env("CARGO_HOME", cargo_home_with_crates_of(&place, &source))
        } else {
            place.rekindle(&base)
        };
        let finished = build.args(args).arg(&source).run();
        assert!(finished.success(), "{name}, as_user {as_user}: {}{}", finished.stdout(), finished.stderr());
        let ran = Command::new(place.path().join("result").join(program))
            .args(program_args)
            .output()
            .unwrap_or_else(|error| panic!("{name}: {program} does not start: {error}"));
        assert!(ran.status.success(), "{name}: {program}: {}", String::from_utf8_lossy(&ran.stderr));
        assert!(!ran.stdout.is_empty(), "{name}: {program} prints nothing");
    }
}

/// A home of cargo's that an ordinary user may read, with the crates of a project's lock file in its cache.
fn cargo_home_with_crates_of(place: &Place, source: &Path) -> std::path::PathBuf {
    let home = place.path().join("cargo-home");
    let cache = home.join("registry/cache/copied");
    fs::create_dir_all(&cache).expect("our own directory");
    let Ok(lock) = fs::read_to_string(source.join("Cargo.lock")) else { return home };
    let theirs = place.cargo_home().join("registry/cache");
    let registries: Vec<_> =
        fs::read_dir(theirs).expect("cargo's cache").map(|entry| entry.expect("one").path()).collect();
    let values = |key: &str| -> Vec<String> {
        let key = format!("{key} = \"");
        lock.lines()
            .filter_map(|line| line.strip_prefix(&key)?.strip_suffix('"'))
            .map(str::to_owned)
            .collect()
    };
    // In a lock file each package has a name and a version, in this order; a format's version is a number.
    for (name, version) in values("name").into_iter().zip(values("version")) {
        let file = format!("{name}-{version}.crate");
        if let Some(found) = registries.iter().map(|dir| dir.join(&file)).find(|path| path.exists()) {
            fs::copy(found, cache.join(&file)).expect("a copy");
        }
    }
    let status = Command::new("chmod").args(["-R", "a+rwX"]).arg(&home).status().expect("chmod");
    assert!(status.success());
    home
}

/// A copy that an ordinary user may read, whoever fetched the corpus.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-rT"]).arg(from).arg(to).status().expect("cp");
    assert!(status.success());
    let status = Command::new("chmod").args(["-R", "a+rX"]).arg(to).status().expect("chmod");
    assert!(status.success());
}

#[test]
fn lua_builds_and_runs() {
    build_and_run("lua", &[], "bin/lua", &["-e", "print(6 * 7)"]);
}

#[test]
fn hello_builds_and_runs() {
    build_and_run("hello", &[], "bin/hello", &[]);
}

#[test]
fn redis_builds_and_runs() {
    build_and_run("redis", &["--cores", "0"], "bin/redis-server", &["--version"]);
}

#[test]
fn a_cmake_and_ninja_project_builds_and_runs() {
    build_and_run("cmark", &[], "bin/cmark", &["--version"]);
}

#[test]
fn a_meson_project_builds_and_runs() {
    build_and_run("serd", &[], "bin/serdi", &["-v"]);
}

#[test]
fn a_cargo_project_builds_and_runs() {
    build_and_run("hexyl", &["--cores", "0"], "bin/hexyl", &["--version"]);
}

#[test]
fn zlib_builds_and_its_library_works() {
    for as_user in [false, true] {
        let place = Place::new();
        let source = place.path().join("zlib");
        copy(&corpus("zlib"), &source);
        let base = ["build", "--print-out-paths"];
        let build = if as_user { place.rekindle_as_user(&base) } else { place.rekindle(&base) };
        let finished = build.arg(&source).run();
        assert!(finished.success(), "{}{}", finished.stdout(), finished.stderr());
        let program =
            "#include <zlib.h>\n#include <stdio.h>\nint main(void) { puts(zlibVersion()); return 0; }\n";
        place.write("use", "use.c", program);
        let result = place.path().join("result");
        let status = Command::new("cc")
            .arg(format!("-I{}", result.join("include").display()))
            .args(["-o", "use", "use.c"])
            .arg(result.join("lib/libz.a"))
            .current_dir(place.path().join("use"))
            .status()
            .expect("cc");
        assert!(status.success());
        let ran = Command::new(place.path().join("use/use")).output().expect("it starts");
        assert!(String::from_utf8_lossy(&ran.stdout).starts_with("1.2."), "{ran:?}");
    }
}

//! Real projects, unmodified, as their authors released them: each builds, as root and as an ordinary user, and runs.

use std::path::Path;
use std::process::Command;

use crate::project::{Place, corpus};

/// Builds `name` and runs `program` of its output. Returns what it printed.
fn build_and_run(name: &str, args: &[&str], program: &str, program_args: &[&str]) {
    for as_user in [false, true] {
        let place = Place::new();
        let base = ["build", "--print-out-paths"];
        let source = place.path().join(name);
        copy(&corpus(name), &source);
        let build = if as_user { place.rekindle_as_user(&base) } else { place.rekindle(&base) };
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

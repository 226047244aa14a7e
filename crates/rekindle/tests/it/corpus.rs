//! Real projects, unmodified, as their authors released them: each builds, as root and as an ordinary user, and runs. Those that
//! are compared with what Nix builds are in [`crate::oracle`]. What is here is built as an ordinary user only, and the large
//! ones without optimisation, unless `REKINDLE_FULL` asks for both and for all of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::project::{Place, corpus, full_run};

/// Builds `name` and runs `program` of its output. `quick` is a manifest by which that takes less time.
fn build_and_run(name: &str, args: &[&str], quick: Option<&str>, program: &str, program_args: &[&str]) {
    for as_user in [false, true] {
        if !as_user && !full_run() {
            continue;
        }
        let place = Place::new();
        let base = ["build", "--print-out-paths"];
        let source = place.path().join(name);
        copy(&corpus(name), &source);
        if let Some(manifest) = quick.filter(|_| !full_run()) {
            fs::write(source.join("rekindle.toml"), manifest).expect("our own copy");
        }
        let build = if as_user {
            place.rekindle_as_user(&base).env("CARGO_HOME", cargo_home_with_crates_of(&place, &source))
        } else {
            place.rekindle(&base)
        };
        let finished = build.args(args).arg(&source).run();
        assert!(finished.success(), "{name}, as_user {as_user}: {}{}", finished.stdout(), finished.stderr());
        runs(&place.path().join("result").join(program), program_args);
    }
}

/// Runs a program, which ends well. Returns what it prints, which is something.
pub(crate) fn runs(program: &Path, args: &[&str]) -> String {
    let ran = Command::new(program).args(args).output();
    let ran = ran.unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
    assert!(ran.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&ran.stderr));
    assert!(!ran.stdout.is_empty(), "{} prints nothing", program.display());
    String::from_utf8_lossy(&ran.stdout).into_owned()
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
pub(crate) fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-rT"]).arg(from).arg(to).status().expect("cp");
    assert!(status.success());
    let status = Command::new("chmod").args(["-R", "a+rX"]).arg(to).status().expect("chmod");
    assert!(status.success());
}

#[test]
fn redis_builds_and_runs() {
    let quick = "[package]\nname = \"redis\"\nversion = \"7\"\n[package.flags]\nmake = [\"OPTIMIZATION=-O0\", \"MALLOC=libc\"]\n";
    build_and_run("redis", &["--cores", "0"], Some(quick), "bin/redis-server", &["--version"]);
}

#[test]
fn a_meson_project_builds_and_runs() {
    build_and_run("serd", &[], None, "bin/serdi", &["-v"]);
}

#[test]
fn a_cargo_project_builds_and_runs() {
    let quick = "[package]\nname = \"hexyl\"\nversion = \"0\"\n[package.env]\nCARGO_PROFILE_RELEASE_OPT_LEVEL = \"0\"\n\
                 CARGO_PROFILE_RELEASE_LTO = \"false\"\n";
    build_and_run("hexyl", &["--cores", "0"], Some(quick), "bin/hexyl", &["--version"]);
}

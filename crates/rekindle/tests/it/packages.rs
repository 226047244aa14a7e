//! The example packages build and run, and so do manifests that say more.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rekindle_nix::Hash;
use serde_json::Value;

use crate::project::{Place, example};

/// What a program prints, which must end well.
fn printed(program: &Path) -> String {
    let ran = Command::new(program).output().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert!(ran.status.success(), "{}: {ran:?}", program.display());
    String::from_utf8(ran.stdout).expect("text")
}

fn builds_and_runs(name: &str, program: &str, expected: &str) {
    // Root builds them where they are compared with what Nix builds.
    let place = Place::new();
    let link = place.path().join("link");
    let finished = place.rekindle_as_user(&["build", "-q", "-o"]).arg(&link).arg(example(name)).run();
    assert!(finished.success(), "{name}: {}", finished.stderr());
    assert_eq!((finished.stdout(), finished.stderr()), (String::new(), String::new()), "quiet");
    assert_eq!(printed(&link.join("bin").join(program)), expected, "{name}");
}

#[test]
fn the_make_example_builds_and_runs() {
    builds_and_runs("hello-make", "hello-make", "Hello, world, from make.\n");
}

#[test]
fn the_cmake_example_builds_and_runs() {
    builds_and_runs("hello-cmake", "hello-cmake", "Hello, world, from cmake 1.0.\n");
}

#[test]
fn the_meson_example_builds_and_runs() {
    builds_and_runs("hello-meson", "hello-meson", "Hello, world, from meson 1.0.\n");
}

#[test]
fn the_autotools_example_builds_and_runs() {
    builds_and_runs("hello-autotools", "hello-autotools", "Hello, world, from hello-autotools 1.0.\n");
}

#[test]
fn the_cargo_example_builds_and_runs() {
    let place = Place::new();
    let finished = place.rekindle(&["build"]).arg(example("hello-cargo")).run();
    assert!(finished.success(), "{}", finished.stderr());
    assert_eq!(printed(&place.path().join("result/bin/hello-cargo")), "Hello, world, from cargo.\n");
}

#[test]
fn packages_that_use_each_other_are_built_in_order() {
    let place = Place::new();
    let finished = place.rekindle(&["build", "--json"]).arg(example("two-packages")).run();
    assert!(finished.success(), "{}", finished.stderr());
    let report: Value = serde_json::from_str(&finished.stdout()).expect("JSON");
    let names: Vec<_> =
        report["builds"].as_array().expect("builds").iter().map(|build| &build["name"]).collect();
    assert_eq!(names, ["greeting-1.0", "hello-two-1.0"]);
    // The store is not at /nix/store here, so the program is shown its library.
    let library = place.path().join("result-greeting/lib");
    let ran = Command::new(place.path().join("result-hello-two/bin/hello-two"))
        .env("LD_LIBRARY_PATH", library)
        .output()
        .expect("it starts");
    assert!(ran.status.success(), "{ran:?}");
}

#[test]
fn one_of_several_packages_is_built_by_its_name() {
    let place = Place::new();
    let finished = place.rekindle(&["build", "-p", "greeting"]).arg(example("two-packages")).run();
    assert!(finished.success(), "{}", finished.stderr());
    assert!(place.path().join("result/lib/libgreeting.so").exists());
    assert!(!finished.stderr().contains("hello-two"), "{}", finished.stderr());
}

#[test]
fn each_output_has_a_link() {
    let place = Place::new();
    let manifest = "[package]\nname = \"x\"\nsource = false\nbuild-system = \"custom\"\noutputs = [\"lib\", \"dev\"]\n\
                    [phases]\ncommand = \"mkdir $lib $dev; echo 1 >$lib/a; echo 2 >$dev/b\"\n";
    let dir = place.write("x", "rekindle.toml", manifest);
    let finished = place.rekindle(&["build", "--print-out-paths"]).arg(&dir).run();
    assert!(finished.success(), "{}", finished.stderr());
    let paths: Vec<_> = finished.stdout().lines().map(str::to_owned).collect();
    assert_eq!(paths.len(), 2);
    for (link, path) in [("result", &paths[0]), ("result-dev", &paths[1])] {
        assert_eq!(fs::read_link(place.path().join(link)).expect("a link"), place.physical(path));
    }
    assert_eq!(fs::read_to_string(place.path().join("result/a")).expect("a file"), "1\n");
    assert_eq!(fs::read_to_string(place.path().join("result-dev/b")).expect("a file"), "2\n");
}

#[test]
fn file_names_may_have_any_byte() {
    let place = Place::new();
    let dir = place.write("x", "Makefile", "all:\ninstall:\n\tmkdir -p $(PREFIX)\n\tcp -a odd $(PREFIX)/\n");
    let odd = [b"\xff\xfe".as_slice(), b"a\nb", b"-rf *", b" \"'$(x)`", "ü".as_bytes()];
    fs::create_dir(dir.join("odd")).expect("made");
    for name in odd {
        fs::write(dir.join("odd").join(std::ffi::OsStr::from_bytes(name)), name).expect("written");
    }
    let finished = place.rekindle(&["build"]).arg(&dir).run();
    assert!(finished.success(), "{}", finished.stderr());
    for name in odd {
        let file = place.path().join("result/odd").join(std::ffi::OsStr::from_bytes(name));
        assert_eq!(fs::read(&file).expect("a file"), name);
    }
    let listed = place.rekindle(&["store", "ls", "-R", "result"]).run();
    assert!(listed.success(), "{}", listed.stderr());
}

#[test]
fn a_derivation_in_the_store_is_built_by_its_path() {
    let place = Place::new();
    let drv = place.rekindle(&["drv", "show", "--drv"]).arg(example("hello-make")).run().line();
    assert!(drv.starts_with("/nix/store/") && drv.ends_with("-hello-make.drv"), "{drv}");
    let finished = place.rekindle(&["build", &drv]).run();
    assert!(finished.success(), "{}", finished.stderr());
    assert!(place.path().join("result/bin/hello-make").exists());
    assert_eq!(place.build(&example("hello-make"), &[]).len(), 1);
}

#[test]
fn editing_the_manifest_keeps_the_source_path() {
    let place = Place::new();
    let manifest = |phase: &str| format!("[package]\nname = \"x\"\n[phases]\npost-install = \"{phase}\"\n");
    let dir = place.write("x", "Makefile", "all:\ninstall:\n\tinstall -D Makefile $(PREFIX)/a\n");
    let source = |phase: &str| {
        place.write("x", "rekindle.toml", manifest(phase));
        let shown = place.rekindle(&["drv", "show", "--json"]).arg(&dir).run();
        let shown: Value = serde_json::from_str(&shown.stdout()).expect("JSON");
        let (_, drv) = shown.as_object().expect("an object").iter().next().expect("a derivation");
        drv["env"]["src"].as_str().expect("a source").to_owned()
    };
    assert_eq!(source("true"), source("echo edited"));
}

/// A registry crate as cargo keeps it after a download, and a project that needs it.
fn cargo_project(place: &Place) -> (PathBuf, PathBuf) {
    let krate =
        place.write("tiny-dep-0.1.0", "Cargo.toml", "[package]\nname = \"tiny-dep\"\nversion = \"0.1.0\"\n");
    place.write("tiny-dep-0.1.0", "src/lib.rs", "pub fn answer() -> u32 { 42 }\n");
    let home = place.path().join("cargo-home");
    let cache = home.join("registry/cache/some-registry");
    fs::create_dir_all(&cache).expect("made");
    let file = cache.join("tiny-dep-0.1.0.crate");
    let status = Command::new("tar")
        .args(["-C", place.path().to_str().expect("UTF-8"), "-czf"])
        .arg(&file)
        .arg(krate.file_name().expect("a name"))
        .status()
        .expect("tar");
    assert!(status.success());
    let checksum = Hash::sha256(&fs::read(&file).expect("a file")).to_hex();
    let lock = format!(
        "version = 3\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"tiny-dep\",\n]\n\n\
         [[package]]\nname = \"tiny-dep\"\nversion = \"0.1.0\"\n\
         source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{checksum}\"\n"
    );
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
                    [dependencies]\ntiny-dep = \"0.1.0\"\n";
    place.write("app", "Cargo.toml", manifest);
    place.write("app", "Cargo.lock", lock);
    place.write("app", "src/main.rs", "fn main() { println!(\"{}\", tiny_dep::answer()); }\n");
    // What a hostile project would like cargo to run.
    place.write("app", ".cargo/config.toml", "[registry]\nglobal-credential-providers = [\"/bin/false\"]\n");
    (place.path().join("app"), home)
}

#[test]
fn crates_come_from_what_cargo_has_downloaded() {
    let place = Place::new();
    let (app, home) = cargo_project(&place);
    let finished = place.rekindle(&["build"]).arg(&app).env("CARGO_HOME", &home).run();
    assert!(finished.success(), "{}", finished.stderr());
    assert_eq!(printed(&place.path().join("result/bin/app")), "42\n");
    // The second time the store has the crates, and cargo is not asked.
    fs::remove_dir_all(&home).expect("removed");
    place.write("app", "src/main.rs", "fn main() { println!(\"{}\", tiny_dep::answer() + 1); }\n");
    let finished = place.rekindle(&["build"]).arg(&app).env("CARGO_HOME", &home).run();
    assert!(finished.success(), "{}", finished.stderr());
    assert_eq!(printed(&place.path().join("result/bin/app")), "43\n");
}

#[test]
fn what_else_is_built_does_not_change_a_package() {
    let place = Place::new();
    let alone = place.build(&example("hello-make"), &[]);
    let cargo = example("hello-cargo");
    let together = place.build(&example("hello-make"), &[cargo.to_str().expect("a plain path")]);
    assert!(together.contains(&alone[0]), "{together:?} has {alone:?}");
}

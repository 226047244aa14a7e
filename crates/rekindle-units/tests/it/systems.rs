//! Whole projects of each build system, lowered as the crate lowers them.

use std::path::Path;
use std::process::Command;

use rekindle_nix::{Derivation, Hash, OutputName, StoreDir, StorePath};
use rekindle_units::cargo::Lock;
use rekindle_units::fetch;
use rekindle_units::lower::{Place, Resolved, Stdenv, ToolchainFacts, lower};
use rekindle_units::manifest::{BuildSystem, Package, PackageName, Phase};

use crate::harness::Sandbox;

fn store_path(name: &str) -> StorePath {
    let base = format!("{}-{name}", crate::harness::HASH);
    StorePath::from_base_name(base.as_bytes()).expect("a store path")
}

fn facts() -> ToolchainFacts {
    ToolchainFacts {
        identity: "test".to_owned(),
        path: "/usr/local/bin:/usr/bin:/bin".to_owned(),
        host_paths: Vec::new(),
    }
}

/// Gives a sandbox the environment of the derivation that the package becomes.
fn lowered(sandbox: Sandbox, package: &Package) -> Sandbox {
    let (setup, source, toolchain) = (store_path("stdenv"), store_path("source"), facts());
    let dir = StoreDir::default();
    let stdenv = Stdenv { store_dir: &dir, system: "x86_64-linux", setup: &setup, toolchain: &toolchain };
    let facts = Resolved { source: Some(Place::Stored(&source)), ..Resolved::default() };
    let recipe = lower(&stdenv, package, &facts).expect("the package can be lowered");
    let outputs: Vec<_> = package.outputs.iter().map(OutputName::as_str).collect();
    with_env(sandbox, &recipe.derivation, &outputs)
}

/// Gives a sandbox a derivation's environment, but for the paths, which are not those of a store here.
fn with_env(mut sandbox: Sandbox, derivation: &Derivation, outputs: &[&str]) -> Sandbox {
    sandbox = sandbox.outputs(outputs);
    for (name, value) in &derivation.env {
        let [name, value] =
            [name, value].map(|bytes| str::from_utf8(bytes).expect("our derivations are UTF-8"));
        if !outputs.contains(&name) && name != "stdenv" && name != "src" {
            sandbox = sandbox.var(name, value);
        }
    }
    sandbox
}

fn package(system: BuildSystem) -> Package {
    Package::new(PackageName::new("demo").expect("a name"), system)
}

fn run(sandbox: &Sandbox, program: &str) -> String {
    let output = Command::new(sandbox.output("out").join(program)).env_clear().output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const HELLO: &str = "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n";

#[test]
fn make() {
    let makefile = "PREFIX = /usr/local\nhello: hello.c\n\t$(CC) -o hello hello.c\n\
                    install: hello\n\tinstall -D hello $(DESTDIR)$(PREFIX)/bin/hello\n\
                    test:\n\t./hello | grep hello; touch tested\n";
    let mut package = package(BuildSystem::Make);
    package.phases.enable.insert(Phase::Check, true);
    package.phases.custom.entry(Phase::Check).or_default().post = Some("test -e tested".to_owned());
    let sandbox =
        Sandbox::with_source(&[("hello.c", HELLO), ("Makefile", makefile), ("configure", "#!/bin/false\n")]);
    let sandbox = lowered(sandbox, &package).var("DESTDIR", "/elsewhere");
    sandbox.build();
    assert_eq!(run(&sandbox, "bin/hello"), "hello\n");
}

#[test]
fn autotools_from_configure_ac() {
    let configure = "AC_INIT([demo], [1.0])\nAM_INIT_AUTOMAKE([foreign])\nAC_PROG_CC\n\
                     AC_CONFIG_FILES([Makefile])\nAC_OUTPUT\n";
    let makefile = "bin_PROGRAMS = hello\nhello_SOURCES = hello.c\n";
    let mut package = package(BuildSystem::Autotools);
    package.phases.autoreconf = true;
    let files = [("hello.c", HELLO), ("configure.ac", configure), ("Makefile.am", makefile)];
    let sandbox = lowered(Sandbox::with_source(&files), &package);
    sandbox.build();
    assert_eq!(run(&sandbox, "bin/hello"), "hello\n");
}

const CMAKE: &str = "cmake_minimum_required(VERSION 3.10)\nproject(demo C)\ninclude(CTest)\ninclude(GNUInstallDirs)\n\
    add_executable(hello hello.c)\nadd_test(NAME t COMMAND hello)\n\
    install(TARGETS hello RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})\n\
    install(FILES hello.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})\n\
    file(WRITE ${CMAKE_BINARY_DIR}/libdir ${CMAKE_INSTALL_LIBDIR}:${BUILD_TESTING}:${MINE})\n";

#[test]
fn cmake_with_both_generators() {
    for (system, file) in [(BuildSystem::Cmake, "build.ninja"), (BuildSystem::CmakeMake, "Makefile")] {
        let mut package = package(system);
        package.flags.cmake = vec!["-DMINE=a b".to_owned()];
        package.phases.custom.entry(Phase::Configure).or_default().post =
            Some(format!("test -e {file}; cp libdir ..; basename $PWD >> ../libdir"));
        package.phases.custom.entry(Phase::Install).or_default().post = Some("cp ../libdir $out/".to_owned());
        let files = [("hello.c", HELLO), ("hello.h", ""), ("CMakeLists.txt", CMAKE)];
        let sandbox = lowered(Sandbox::with_source(&files), &package);
        sandbox.build();
        assert_eq!(run(&sandbox, "bin/hello"), "hello\n");
        assert_eq!(sandbox.read("libdir"), "lib:OFF:a bbuild\n");
        assert_eq!(sandbox.files("out"), ["bin/hello", "include/hello.h", "libdir"]);

        package.phases.enable.insert(Phase::Check, true);
        package.outputs.push(OutputName::new("dev").expect("a name"));
        let sandbox = lowered(Sandbox::with_source(&files), &package);
        let log = sandbox.build();
        assert!(log.contains("100% tests passed"), "{log}");
        assert_eq!(sandbox.files("dev"), ["include/hello.h", "nix-support/propagated-build-inputs"]);
    }
}

#[test]
fn meson() {
    let build = "project('demo', 'c', version: '1.0')\nexe = executable('hello', 'hello.c', install: true)\n\
                 test('t', exe)\ninstall_headers('hello.h')\nmessage(get_option('libdir'))\n";
    let mut package = package(BuildSystem::Meson);
    package.phases.enable.insert(Phase::Check, true);
    package.flags.meson = vec!["-Dc_args=-DA=1 -DB=2".to_owned()];
    let files = [("hello.c", HELLO), ("hello.h", ""), ("meson.build", build)];
    let sandbox = lowered(Sandbox::with_source(&files), &package);
    let log = sandbox.build();
    assert_eq!(run(&sandbox, "bin/hello"), "hello\n");
    assert!(log.contains("Message: lib\n"), "{log}");
    assert_eq!(sandbox.files("out"), ["bin/hello", "include/hello.h"]);

    package.outputs.push(OutputName::new("dev").expect("a name"));
    let sandbox = lowered(Sandbox::with_source(&files), &package);
    sandbox.build();
    assert_eq!(sandbox.files("dev"), ["include/hello.h", "nix-support/propagated-build-inputs"]);
}

/// A program of the workspace, a C library, a procedural macro that it uses, and a test.
#[test]
fn cargo_without_registry() {
    let Some(cargo) = toolchain("cargo") else { panic!("the tests need cargo, which runs them") };
    let root = "[package]\nname = \"demo\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies]\n\
                mac = { path = \"mac\" }\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n[workspace]\nmembers = [\"mac\"]\n";
    let mac =
        "[package]\nname = \"mac\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[lib]\nproc-macro = true\n";
    let lock = "version = 3\n\n[[package]]\nname = \"demo\"\nversion = \"1.0.0\"\ndependencies = [\n \"mac\",\n]\n\n\
                [[package]]\nname = \"mac\"\nversion = \"1.0.0\"\n";
    let files = [
        ("Cargo.toml", root),
        ("Cargo.lock", lock),
        (
            "src/main.rs",
            "fn main() { println!(\"{}\", mac::word!()) }\n#[test]\nfn t() { assert_eq!(mac::word!(), \"hi\") }\n",
        ),
        ("src/lib.rs", "#[no_mangle]\npub extern \"C\" fn demo() -> i32 { 1 }\n"),
        ("mac/Cargo.toml", mac),
        (
            "mac/src/lib.rs",
            "#[proc_macro]\npub fn word(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \"\\\"hi\\\"\".parse().unwrap()\n}\n",
        ),
        // What a project brings along does not count against ours.
        (".cargo/config.toml", "[net]\noffline = false\n[build]\ntarget-dir = \"elsewhere\"\n"),
    ];
    let mut package = package(BuildSystem::Cargo);
    package.phases.enable.insert(Phase::Check, true);
    package.flags.cargo = vec!["--workspace".to_owned()];
    let sandbox = lowered(Sandbox::with_source(&files), &package);
    let sandbox = sandbox.var("toolchainPath", &format!("{cargo}:/usr/bin:/bin"));
    let log = sandbox.build();
    assert!(log.contains("1 passed"), "{log}");
    assert_eq!(run(&sandbox, "bin/demo"), "hi\n");
    assert_eq!(sandbox.files("out"), ["bin/demo", "lib/libdemo.so"]);
}

/// A crate of a registry, vendored by the derivation that does it, and a project that insists on another place.
#[test]
fn cargo_with_a_vendored_crate() {
    let cargo = toolchain("cargo").expect("the tests need cargo, which runs them");
    let sandbox = Sandbox::new();
    sandbox.file(
        "work/dep-0.1.0+x/Cargo.toml",
        b"[package]\nname = \"dep\"\nversion = \"0.1.0+x\"\nedition = \"2021\"\n",
    );
    sandbox.file("work/dep-0.1.0+x/src/lib.rs", b"pub fn word(ok: bool) -> u8 { assert!(ok, \"no\"); 42 }\n");
    // What does not belong to the crate is left out.
    sandbox.file("work/other/evil", b"");
    let archive = sandbox.path("work/dep.crate");
    let tar = Command::new("tar")
        .current_dir(sandbox.path("work"))
        .arg("-czf")
        .arg(&archive)
        .args(["other", "dep-0.1.0+x"])
        .status();
    assert!(tar.expect("tar runs").success());
    let archive = std::fs::read(&archive).expect("the archive");
    let lock = format!(
        "version = 4\n[[package]]\nname = \"demo\"\nversion = \"1.0.0\"\ndependencies = [\"dep\"]\n\n\
         [[package]]\nname = \"dep\"\nversion = \"0.1.0+x\"\n\
         source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{}\"\n",
        Hash::sha256(&archive).to_hex()
    );
    let parsed = Lock::parse(Path::new("Cargo.lock"), &lock).expect("a good lock");
    let one = &parsed.crates()[0];
    let dir = StoreDir::default();
    let fetched = fetch::krate(&dir, one).expect("a good crate");
    let (setup, toolchain) = (store_path("stdenv"), facts());
    let stdenv = Stdenv { store_dir: &dir, system: "x86_64-linux", setup: &setup, toolchain: &toolchain };
    let vendor = fetch::cargo_vendor(&stdenv, &[(one, &fetched)]).expect("a good crate");
    let crate_path = fetched.output(&OutputName::out()).expect("an output").base_name();
    sandbox.file(&format!("store/{crate_path}"), &archive);
    let here = sandbox.text("store");
    let mut sandbox = with_env(sandbox, &vendor.derivation, &["out"]);
    sandbox = sandbox.var("crates_0_0", &format!("{here}/{crate_path}"));
    sandbox.build();
    let names = [
        "0/dep-0.1.0+x/.cargo-checksum.json",
        "0/dep-0.1.0+x/Cargo.toml",
        "0/dep-0.1.0+x/src/lib.rs",
        "config.toml",
    ];
    assert_eq!(sandbox.files("out"), names);

    let project = Sandbox::with_source(&[
        (
            "Cargo.toml",
            "[package]\nname = \"demo\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies]\ndep = \"0.1\"\n",
        ),
        ("Cargo.lock", &lock),
        ("src/main.rs", "fn main() { println!(\"{}\", dep::word(std::env::args().len() < 9)) }\n"),
        (
            ".cargo/config.toml",
            "[source.crates-io]\nreplace-with = \"evil\"\n[source.evil]\ndirectory = \"evil\"\n",
        ),
    ]);
    let vendored = sandbox.output("out").display().to_string();
    let project = lowered(project, &package(BuildSystem::Cargo)).var("cargoVendor", &vendored);
    let project = project.var("toolchainPath", &format!("{cargo}:/usr/bin:/bin"));
    project.build();
    assert_eq!(run(&project, "bin/demo"), "42\n");
    let program = std::fs::read(project.output("out").join("bin/demo")).expect("the program");
    let vendored = vendored.as_bytes();
    assert!(
        !program.windows(vendored.len()).any(|window| window == vendored),
        "the program refers to its sources"
    );
}

/// The directory of a program that is no shim: a rustup shim needs a home.
fn toolchain(program: &str) -> Option<String> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let bin = Path::new(String::from_utf8(sysroot.stdout).ok()?.trim()).join("bin");
    bin.join(program).exists().then(|| bin.display().to_string())
}

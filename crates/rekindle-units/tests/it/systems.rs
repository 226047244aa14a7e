//! Whole projects of each build system, lowered as the crate lowers them.

use std::collections::BTreeMap;
use std::process::Command;

use rekindle_nix::{OutputName, StoreDir, StorePath};
use rekindle_units::lower::{Place, Resolved, Stdenv, ToolchainFacts, lower};
use rekindle_units::manifest::{BuildSystem, Package, PackageName, Phase};

use crate::harness::Sandbox;

/// Gives a sandbox the environment of the derivation that the package becomes.
fn lowered(mut sandbox: Sandbox, package: &Package) -> Sandbox {
    let path = |name: &str| {
        let base = format!("{}-{name}", crate::harness::HASH);
        StorePath::from_base_name(base.as_bytes()).expect("a store path")
    };
    let (setup, source) = (path("stdenv"), path("source"));
    let toolchain = ToolchainFacts {
        identity: "test".to_owned(),
        path: "/usr/local/bin:/usr/bin:/bin".to_owned(),
        host_paths: Vec::new(),
    };
    let dir = StoreDir::default();
    let stdenv = Stdenv { store_dir: &dir, system: "x86_64-linux", setup: &setup, toolchain: &toolchain };
    let facts = Resolved { source: Some(Place::Stored(&source)), ..Resolved::default() };
    let recipe = lower(&stdenv, package, &facts).expect("the package can be lowered");
    let outputs: Vec<_> = package.outputs.iter().map(OutputName::as_str).collect();
    sandbox = sandbox.outputs(&outputs);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("our derivations are UTF-8");
    let env: BTreeMap<_, _> = recipe.derivation.env.into_iter().map(|(k, v)| (text(k), text(v))).collect();
    // The paths of this test are not those of a store.
    for (name, value) in env {
        if !outputs.contains(&name.as_str()) && name != "stdenv" && name != "src" {
            sandbox = sandbox.var(&name, &value);
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

/// The directory of a program that is no shim: a rustup shim needs a home.
fn toolchain(program: &str) -> Option<String> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let bin = std::path::Path::new(String::from_utf8(sysroot.stdout).ok()?.trim()).join("bin");
    bin.join(program).exists().then(|| bin.display().to_string())
}

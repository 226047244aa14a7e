//! What a package sees of its inputs.

use std::process::Command;

use crate::harness::Sandbox;

/// Builds a small shared library with a header and a `.pc` file below `store/dep`.
fn with_library(sandbox: Sandbox) -> Sandbox {
    let dep = sandbox.path("store/dep");
    sandbox.file("store/dep/include/dep.h", b"int dep(void);\n");
    sandbox.file("store/dep/lib/dep.c", b"int dep(void) { return 42; }\n");
    let pc = format!("Name: dep\nDescription: d\nVersion: 1\nLibs: -L{0}/lib -ldep\n", dep.display());
    sandbox.file("store/dep/lib/pkgconfig/dep.pc", pc.as_bytes());
    let status = Command::new("gcc")
        .current_dir(dep.join("lib"))
        .args(["-shared", "-fPIC", "-o", "libdep.so", "dep.c"])
        .status();
    assert!(status.expect("gcc runs").success());
    let dep = sandbox.text("store/dep");
    sandbox.var("buildInputs", &dep)
}

const MAIN: &str =
    "#include <dep.h>\n#include <stdio.h>\nint main(void) { printf(\"%d\\n\", dep()); return 0; }\n";

/// A program that was linked with an input runs with nothing in its environment.
fn check_runs(sandbox: &Sandbox) {
    let output = Command::new(sandbox.output("out").join("bin/main")).env_clear().output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n", "{error}");
}

#[test]
fn a_makefile_that_knows_nothing_links_and_runs() {
    let install =
        "main: main.c\n\tgcc -o main main.c -ldep\ninstall:\n\tinstall -D main $(PREFIX)/bin/main\n";
    let sandbox = Sandbox::with_source(&[("main.c", MAIN), ("Makefile", install)]);
    let sandbox = with_library(sandbox).var("makeFlags", "PREFIX=${out}");
    sandbox.build();
    check_runs(&sandbox);
}

#[test]
fn a_makefile_with_a_run_path_of_its_own_takes_it_from_ldflags() {
    let install = "main: main.c\n\tgcc $(LDFLAGS) -Wl,-rpath,/else -o main main.c -ldep\n\
                   install:\n\tinstall -D main $(PREFIX)/bin/main\n";
    let sandbox = Sandbox::with_source(&[("main.c", MAIN), ("Makefile", install)]);
    let sandbox = with_library(sandbox).var("makeFlags", "PREFIX=${out}");
    sandbox.build();
    check_runs(&sandbox);
}

#[test]
fn cmake_finds_it() {
    let lists = "cmake_minimum_required(VERSION 3.10)\nproject(main C)\nfind_library(DEP dep REQUIRED)\n\
                 add_library(own SHARED own.c)\ntarget_link_libraries(own ${DEP})\n\
                 add_executable(main main.c)\ntarget_link_libraries(main own)\n\
                 install(TARGETS main own)\n";
    let sandbox = Sandbox::with_source(&[
        ("main.c", &MAIN.replace("dep()", "own()").replace("#include <dep.h>", "int own(void);")),
        ("own.c", "#include <dep.h>\nint own(void) { return dep(); }\n"),
        ("CMakeLists.txt", lists),
    ]);
    let sandbox = with_library(sandbox)
        .var("configurePhase", "cmakeConfigurePhase")
        .var("buildPhase", "ninjaBuildPhase")
        .var("installPhase", "ninjaInstallPhase");
    sandbox.build();
    check_runs(&sandbox);
}

#[test]
fn meson_finds_it() {
    let meson = "project('main', 'c')\ndep = dependency('dep')\nown = shared_library('own', 'own.c', \
                 dependencies: dep, install: true)\nexecutable('main', 'main.c', link_with: own, install: true)\n";
    let sandbox = Sandbox::with_source(&[
        ("main.c", &MAIN.replace("dep()", "own()").replace("#include <dep.h>", "int own(void);")),
        ("own.c", "#include <dep.h>\nint own(void) { return dep(); }\n"),
        ("meson.build", meson),
    ]);
    let sandbox = with_library(sandbox)
        .var("configurePhase", "mesonConfigurePhase")
        .var("buildPhase", "ninjaBuildPhase")
        .var("installPhase", "mesonInstallPhase");
    sandbox.build();
    check_runs(&sandbox);
}

#[test]
fn propagated_inputs_come_once_and_hooks_run() {
    let sandbox = Sandbox::with_source(&[]);
    let place = |name: &str| sandbox.text(&format!("store/{name}"));
    // a propagates b and c, c propagates a again.
    sandbox.file("store/a/bin/tool-a", b"#!/bin/sh\necho a\n");
    sandbox.file(
        "store/a/nix-support/propagated-build-inputs",
        format!("{} {}", place("b"), place("c")).as_bytes(),
    );
    sandbox.file("store/b/bin/tool-b", b"#!/bin/sh\necho b\n");
    sandbox.file("store/b/nix-support/setup-hook", b"addToSearchPath MY_PATH /tmp; echo '<hook b>'\n");
    sandbox.file("store/c/nix-support/propagated-native-build-inputs", place("a").as_bytes());
    sandbox.file("store/c/include/c.h", b"");
    let inputs = place("a");
    let plain = sandbox.file("store/plain-file", b"exit 9").display().to_string();
    let sandbox = sandbox.var("buildInputs", &format!("{inputs} {plain}")).var("nativeBuildInputs", &inputs);
    let show = "mkdir $out; tool-a; tool-b; printf '%s\\n' \"${allInputs[@]##*/}\" $MY_PATH \
                ${C_INCLUDE_PATH##*/store/} ${LDFLAGS-unset} > $out/seen";
    let sandbox = sandbox.var("installPhase", show);
    let log = sandbox.build();
    assert_eq!(log.matches("<hook b>").count(), 1, "{log}");
    assert_eq!(sandbox.read("seen"), "a\nb\nc\nplain-file\n/tmp\nc/include\nunset\n");
}

#[test]
fn a_missing_input_is_named() {
    let outcome = Sandbox::with_source(&[]).var("buildInputs", "/nix/store/gone").run();
    assert!(!outcome.success && outcome.log.contains("/nix/store/gone does not exist"), "{}", outcome.log);
}

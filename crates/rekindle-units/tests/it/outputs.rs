//! The fixup phase and several outputs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use crate::harness::Sandbox;

/// Prints the text of a command that makes files with these paths below `$out`.
fn touch(paths: &[&str]) -> String {
    paths.iter().map(|path| format!("mkdir -p $out/$(dirname {path}); echo {path} > $out/{path}\n")).collect()
}

#[test]
fn documentation_moves_to_share() {
    let install = touch(&["man/man1/a.1", "doc/x", "info/i", "share/man/man1/b.1", "share/doc/old"]);
    let sandbox = Sandbox::with_source(&[]).var("installPhase", &install);
    sandbox.build();
    assert_eq!(
        sandbox.files("out"),
        ["share/doc/old", "share/doc/x", "share/info/i", "share/man/man1/a.1", "share/man/man1/b.1"]
    );
}

#[test]
fn files_move_to_the_outputs_that_want_them() {
    let pc = "printf 'prefix=%s\\nincludedir=${prefix}/include\\n' $out > $out/lib/pkgconfig/x.pc\n";
    let install = touch(&[
        "include/x.h",
        "lib/pkgconfig/x.pc",
        "lib/cmake/X/X.cmake",
        "lib/libx.a",
        "share/man/man1/x.1",
        "share/doc/x/readme",
        "share/aclocal/x.m4",
        "bin/x",
    ]) + pc
        + "moveToOutput bin \"${!outputBin}\"\n";
    let sandbox = Sandbox::with_source(&[]).outputs(&["out", "dev", "bin", "man", "doc"]);
    let sandbox = sandbox.var("installPhase", &install);
    sandbox.build();
    assert_eq!(sandbox.files("out"), ["lib/libx.a"]);
    assert_eq!(
        sandbox.files("dev"),
        [
            "include/x.h",
            "lib/cmake/X/X.cmake",
            "lib/pkgconfig/x.pc",
            "nix-support/propagated-build-inputs",
            "share/aclocal/x.m4"
        ]
    );
    assert_eq!(sandbox.files("bin"), ["bin/x"]);
    assert_eq!(sandbox.files("man"), ["share/man/man1/x.1"]);
    assert_eq!(sandbox.files("doc"), ["share/doc/x/readme"]);
    let read = |path| fs::read_to_string(sandbox.output("dev").join(path)).expect("a file of dev");
    let (bin, out) = (sandbox.output("bin"), sandbox.output("out"));
    assert_eq!(read("nix-support/propagated-build-inputs"), format!("{} {}\n", bin.display(), out.display()));
    let include = format!("includedir={}/include", sandbox.output("dev").display());
    assert!(read("lib/pkgconfig/x.pc").contains(&include), "{}", read("lib/pkgconfig/x.pc"));
}

#[test]
fn configure_learns_of_the_outputs() {
    let configure = "#!/bin/bash\nprintf '<%s>\\n' \"$@\"\n";
    let sandbox = Sandbox::with_source(&[("configure", configure)]).outputs(&["out", "dev", "man"]);
    let sandbox = sandbox.var("pname", "demo").var("installPhase", "mkdir $out $dev $man");
    let log = sandbox.build();
    let place = |output: &str| sandbox.output(output).display().to_string();
    for flag in [
        format!("<--prefix={}>", place("out")),
        format!("<--bindir={}/bin>", place("out")),
        format!("<--includedir={}/include>", place("dev")),
        format!("<--libdir={}/lib>", place("out")),
        format!("<--mandir={}/share/man>", place("man")),
        format!("<--docdir={}/share/doc/demo>", place("out")),
    ] {
        assert!(log.contains(&flag), "{flag} in {log}");
    }
}

#[test]
fn first_output_is_the_prefix() {
    let sandbox = Sandbox::with_source(&[]).outputs(&["lib", "dev"]);
    let sandbox = sandbox.var("installPhase", "mkdir -p $prefix/include $dev; echo > $prefix/include/h");
    sandbox.build();
    assert_eq!(sandbox.files("lib"), [""; 0]);
    assert_eq!(sandbox.files("dev"), ["include/h", "nix-support/propagated-build-inputs"]);
}

#[test]
fn moved_directories_are_merged_and_empty_ones_go() {
    let install = touch(&["a/b/one"]) + "mkdir -p $dev/a/b; echo > $dev/a/b/two; moveToOutput a/b $dev\n";
    let sandbox = Sandbox::with_source(&[]).outputs(&["out", "dev"]);
    let sandbox = sandbox.var("installPhase", &(install + "echo > $out/c; moveToOutput 'c*' REMOVE"));
    sandbox.build();
    assert_eq!(sandbox.files("out"), [""; 0]);
    assert!(sandbox.output("out").is_dir() && !sandbox.output("out").join("a").exists());
    assert_eq!(sandbox.files("dev"), ["a/b/one", "a/b/two", "nix-support/propagated-build-inputs"]);
}

/// A program with debug symbols, an archive, a text, and what fixup makes of them.
#[test]
fn strips_symbols_and_archives() {
    let install = "gcc -g -c a.c; gcc -g -o prog a.c\n\
        mkdir -p $out/bin $out/lib $out/share; cp prog $out/bin/; cp prog $out/share/kept\n\
        ln $out/bin/prog $out/bin/prog2; ar rcU $out/lib/liba.a a.o; echo text > $out/bin/text\n\
        printf '\\177ELF nonsense' > $out/lib/firmware; chmod 555 $out/bin/prog";
    let sandbox = Sandbox::with_source(&[("a.c", "int main(void) { return 0; }\n")]);
    let sandbox = sandbox.var("installPhase", install);
    let log = sandbox.build();
    assert!(log.contains("not stripped:"), "{log}");
    let out = sandbox.output("out");
    let has_debug = |path: &str| {
        let output =
            Command::new("readelf").args(["-SW"]).arg(out.join(path)).output().expect("readelf runs");
        String::from_utf8_lossy(&output.stdout).contains(".debug_info")
    };
    assert!(!has_debug("bin/prog") && has_debug("share/kept"));
    let [one, two] = ["bin/prog", "bin/prog2"].map(|path| fs::metadata(out.join(path)).expect("installed"));
    assert_eq!(one.ino(), two.ino());
    assert!(Command::new(out.join("bin/prog2")).status().expect("it runs").success());
    let archive = fs::read(out.join("lib/liba.a")).expect("the archive");
    // The first member's header: after the magic, name 16, time 12, owner 6, group 6.
    assert_eq!(&archive[8 + 16..8 + 16 + 24], b"0           0     0     ");

    let sandbox = sandbox.var("dontStrip", "1");
    sandbox.build();
    assert!(has_debug("bin/prog"));
}

#[test]
fn manual_pages_are_compressed_on_demand() {
    let install =
        touch(&["share/man/man1/a.1", "share/man/man1/c.1.gz"]) + "ln -s a.1 $out/share/man/man1/b.1";
    let sandbox = Sandbox::with_source(&[]).var("installPhase", &install);
    sandbox.build();
    assert!(sandbox.output("out").join("share/man/man1/a.1").exists());
    let sandbox = sandbox.var("compressMan", "1");
    sandbox.build();
    let names = ["share/man/man1/a.1.gz", "share/man/man1/b.1.gz", "share/man/man1/c.1.gz"];
    assert_eq!(sandbox.files("out"), names);
    // No name and no time in the header.
    let page = fs::read(sandbox.output("out").join(names[0])).expect("the page");
    assert_eq!(&page[3..8], [0; 5]);
    assert_eq!(fs::read(sandbox.output("out").join(names[1])).expect("the link leads somewhere"), page);
}

#[test]
fn run_paths_into_the_build_directory_are_refused() {
    let install = "mkdir -p $out/bin; gcc -o $out/bin/p a.c -Wl,-rpath,$NIX_BUILD_TOP/source/lib";
    let sandbox = Sandbox::with_source(&[("a.c", "int main(void) { return 0; }\n")]);
    let sandbox = sandbox.var("installPhase", install);
    let outcome = sandbox.run();
    assert!(!outcome.success && outcome.log.contains("leads into the build directory"), "{}", outcome.log);
    sandbox.var("dontAuditTmpdir", "1").build();
}

#[test]
fn read_only_outputs_are_fixed_up_and_set_id_bits_go() {
    let install = touch(&["man/man1/a.1", "bin/x"]) + "chmod -R a-w $out; chmod 4555 $out/bin/x";
    let sandbox = Sandbox::with_source(&[]).var("installPhase", &install);
    sandbox.build();
    let out = sandbox.output("out");
    assert!(out.join("share/man/man1/a.1").exists());
    let mode = fs::metadata(out.join("bin/x")).expect("bin/x").permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn what_users_get_is_recorded() {
    let sandbox = Sandbox::with_source(&[]);
    fs::create_dir_all(sandbox.path("store/dep")).expect("a dependency");
    let hook = sandbox.file("hook.sh", b"export FROM_HOOK=1\n").display().to_string();
    let dep = sandbox.text("store/dep");
    let sandbox = sandbox.var("propagatedBuildInputs", &dep).var("setupHook", &hook);
    let sandbox = sandbox.var("propagatedUserEnvPkgs", "a b").var("installPhase", "mkdir $out");
    sandbox.build();
    assert_eq!(sandbox.read("nix-support/propagated-build-inputs"), format!("{dep}\n"));
    assert_eq!(sandbox.read("nix-support/propagated-user-env-packages"), "a b\n");
    assert_eq!(sandbox.read("nix-support/setup-hook"), "export FROM_HOOK=1\n");
}

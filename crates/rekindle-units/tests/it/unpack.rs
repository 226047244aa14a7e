//! Sources and patches.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::harness::{HASH, Sandbox};

/// Installs the whole source tree.
const INSTALL: &str = "mkdir -p $out; cp -r --preserve=timestamps . $out/";

#[test]
fn directory_is_copied_writable_with_its_times() {
    let sandbox =
        Sandbox::with_source(&[("a", "1\n"), ("bin/run", "#!/bin/sh\n"), ("dir with space/b", "2\n")]);
    let source = sandbox.path(&format!("store/{HASH}-source"));
    symlink("a", source.join("link")).expect("a link");
    for name in ["a", "bin/run"] {
        let file = fs::File::options().write(true).open(source.join(name)).expect("a file");
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1)).expect("a time");
        let mode = if name == "a" { 0o444 } else { 0o555 };
        fs::set_permissions(source.join(name), fs::Permissions::from_mode(mode)).expect("a mode");
    }
    let probe = "stat -c %a a bin/run > modes; test -w a; basename $PWD > root";
    let sandbox = sandbox.var("installPhase", &format!("{probe}; {INSTALL}")).var("dontFixup", "1");
    sandbox.build();
    assert_eq!(sandbox.read("modes"), "644\n755\n");
    assert_eq!(sandbox.read("root"), "source\n");
    assert_eq!(sandbox.read("dir with space/b"), "2\n");
    let out = sandbox.output("out");
    assert_eq!(fs::read_link(out.join("link")).expect("still a link"), Path::new("a"));
    assert_eq!(fs::metadata(out.join("a")).expect("a").mtime(), 1);
}

#[test]
fn every_archive_format_unpacks() {
    for (suffix, flag) in [
        ("tar", ""),
        ("tar.gz", "-z"),
        ("tgz", "-z"),
        ("tar.bz2", "-j"),
        ("tar.xz", "-J"),
        ("tar.zst", "--zstd"),
        ("tar.lzma", "--lzma"),
        ("crate", "-z"),
        ("zip", "zip"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.file("work/demo-1.0/file", b"content\n");
        let archive = sandbox.path(&format!("store/{HASH}-demo-1.0.{suffix}"));
        fs::create_dir_all(sandbox.path("store")).expect("a store");
        let mut command = match flag {
            "zip" => Command::new("zip"),
            _ => Command::new("tar"),
        };
        command.current_dir(sandbox.path("work"));
        match flag {
            "zip" => command.args(["-q", "-r"]),
            "" => command.arg("-cf"),
            flag => command.args([flag, "-cf"]),
        };
        assert!(command.arg(&archive).arg("demo-1.0").status().expect("the archiver runs").success());
        let sandbox = sandbox.var("src", archive.to_str().expect("plain")).var("installPhase", INSTALL);
        let log = sandbox.build();
        assert_eq!(sandbox.read("file"), "content\n", "{suffix}");
        assert!(log.contains("source root is demo-1.0"), "{log}");
    }
}

#[test]
fn several_sources_need_a_root() {
    let sandbox = Sandbox::new();
    for name in ["one", "two"] {
        sandbox.file(&format!("store/{HASH}-{name}/{name}"), b"");
    }
    let sources = ["one", "two"].map(|name| sandbox.text(&format!("store/{HASH}-{name}"))).join(" ");
    let sandbox = sandbox.var("srcs", &sources).var("installPhase", "mkdir $out; ls .. . > $out/seen");
    let outcome = sandbox.run();
    assert!(!outcome.success && outcome.log.contains("several directories"), "{}", outcome.log);
    let sandbox = sandbox.var("sourceRoot", "two");
    sandbox.build();
    assert_eq!(sandbox.read("seen"), ".:\ntwo\n\n..:\none\ntwo\n");
    let sandbox = sandbox.var("sourceRoot", "").var("setSourceRoot", "sourceRoot=one");
    sandbox.build();
    assert_eq!(sandbox.read("seen"), ".:\none\n\n..:\none\ntwo\n");
}

#[test]
fn what_cannot_be_unpacked_is_said() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("store/notes.txt", b"");
    let sandbox = sandbox.var("src", file.to_str().expect("plain")).var("installPhase", "mkdir $out");
    let outcome = sandbox.run();
    assert!(!outcome.success && outcome.log.contains("do not know how to unpack"), "{}", outcome.log);
    sandbox.var("unpackCmd", "mkdir got; cp $curSrc got/").build();
    let outcome = Sandbox::new().run();
    assert!(!outcome.success && outcome.log.contains("neither src nor srcs"), "{}", outcome.log);
    Sandbox::new().var("dontUnpack", "1").var("installPhase", "mkdir $out").build();
}

#[test]
fn patches_apply_in_order_compressed_or_not() {
    let sandbox = Sandbox::with_source(&[("f", "one\n")]);
    let diff = |from: &str, to: &str| format!("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-{from}\n+{to}\n");
    sandbox.file("p/1.patch", diff("one", "two").as_bytes());
    sandbox.file("p/2.patch", diff("two", "three").as_bytes());
    assert!(Command::new("gzip").arg(sandbox.path("p/2.patch")).status().expect("gzip runs").success());
    let patches = format!("{}\n  {}\n", sandbox.text("p/1.patch"), sandbox.text("p/2.patch.gz"));
    let sandbox = sandbox.var("patches", &patches).var("installPhase", INSTALL);
    sandbox.build();
    assert_eq!(sandbox.read("f"), "three\n");

    let outcome = sandbox.var("patchFlags", "-p0").run();
    assert!(!outcome.success, "a/f is not there with -p0: {}", outcome.log);
}

//! The edit matrix: after an edit, a build that goes on from the one before gives what a clean build gives.
//!
//! Each case is a small project, an edit, and the outputs compared: names, bytes, modes and link targets. Where a build
//! tool itself is wrong after the edit (a header that nobody declared, an object that stays in an archive), the case is
//! not here: only the audit of what steps read can tell, and it is not there yet.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::project::Place;

/// A file of a project: path, bytes.
type File<'a> = (&'a str, &'a str);

const MANIFEST: File<'_> = ("rekindle.toml", "[package]\nname = \"probe\"\nversion = \"1\"\n");

const MAKE: &[File<'_>] = &[
    MANIFEST,
    (
        "Makefile",
        "OBJECTS = main.o f.o\n\
         CFLAGS = -O1 -MMD\n\
         prog: $(OBJECTS)\n\tgcc -o $@ $^\n\
         install: prog\n\tinstall -D prog $(PREFIX)/bin/prog\n\tcp -rP share $(PREFIX)/share\n\
         -include *.d\n",
    ),
    (
        "main.c",
        "#include <stdio.h>\n#include \"a.h\"\nint f(void);\nint main(void) { printf(\"%d %d\\n\", A, f()); }\n",
    ),
    ("f.c", "int f(void) { return 2; }\n"),
    ("a.h", "#define A 1\n"),
    ("share/text", "text\n"),
    ("share/.dot", "dot\n"),
    ("share/with space", "space\n"),
];

const CMAKE: &[File<'_>] = &[
    MANIFEST,
    (
        "CMakeLists.txt",
        "cmake_minimum_required(VERSION 3.16)\nproject(probe C)\nfile(GLOB parts CONFIGURE_DEPENDS part*.c)\n\
         add_executable(prog main.c ${parts})\ninstall(TARGETS prog DESTINATION bin)\n\
         install(DIRECTORY share DESTINATION .)\n",
    ),
    (
        "main.c",
        "#include <stdio.h>\n#include \"a.h\"\nint f(void);\nint main(void) { printf(\"%d %d\\n\", A, f()); }\n",
    ),
    ("part1.c", "int f(void) { return 2; }\n"),
    ("a.h", "#define A 1\n"),
    ("share/text", "text\n"),
];

/// Builds a project, edits it, builds it again from there and, in another store, clean. Returns how the second build
/// went about it: phase and verdict.
fn check(files: &[File<'_>], edit: impl Fn(&Path)) -> Vec<(String, String)> {
    let place = Place::new();
    let mut root = place.path().to_owned();
    for (file, text) in files {
        root = place.write("project", file, text);
    }
    place.build(&root, &[]);
    edit(&root);
    let finished = place.rekindle(&["build", "--no-link", "--json"]).arg(&root).run();
    assert!(finished.success(), "{}{}", finished.stdout(), finished.stderr());
    let report: serde_json::Value = serde_json::from_str(&finished.stdout()).expect("JSON");
    let ours = report["goals"][0]["outputs"]["out"]["path"].as_str().expect("an output").to_owned();
    let clean = Place::new();
    assert_eq!(clean.build(&root, &["--clean"]), [ours.as_str()]);
    let (mut one, mut other) = (Vec::new(), Vec::new());
    list(&place.physical(&ours), Path::new(""), &mut one);
    list(&clean.physical(&ours), Path::new(""), &mut other);
    let differs: Vec<_> = one.iter().filter(|line| !other.contains(line)).map(|line| &line.0).collect();
    assert!(one == other, "not as a clean build: {differs:?}, {}", finished.stderr());
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let builds = report["builds"].as_array().expect("builds");
    let verdicts = builds.iter().flat_map(|build| build["verdicts"].as_array().cloned().unwrap_or_default());
    verdicts.map(|judged| (text(&judged["phase"]), text(&judged["verdict"]))).collect()
}

/// All that is there, with mode and content.
fn list(root: &Path, path: &Path, lines: &mut Vec<(String, u32, Vec<u8>)>) {
    let at = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(path) };
    let metadata = at.symlink_metadata().expect("it is there");
    let content = if metadata.is_symlink() {
        fs::read_link(&at).expect("a link").as_os_str().as_bytes().to_vec()
    } else if metadata.is_dir() {
        Vec::new()
    } else {
        fs::read(&at).expect("a file")
    };
    lines.push((path.display().to_string(), metadata.permissions().mode(), content));
    if metadata.is_dir() {
        let mut names: Vec<_> =
            fs::read_dir(&at).expect("a directory").flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        names.iter().for_each(|name| list(root, &path.join(name), lines));
    }
}

fn verdict<'v>(verdicts: &'v [(String, String)], phase: &str) -> &'v str {
    verdicts.iter().find(|(name, _)| name == phase).map_or("none", |(_, verdict)| verdict)
}

fn write(path: &str, text: &'static [u8]) -> impl Fn(&Path) {
    let path = path.to_owned();
    move |root| {
        let path = root.join(&path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("our own directory");
        fs::write(path, text).expect("our own file");
    }
}

/// One edit, applied to a project.
type Edit = Box<dyn Fn(&Path)>;

#[test]
fn make_in_tree() {
    let edits: Vec<(&str, Edit)> = vec![
        ("nothing that counts", Box::new(|root| fs::write(root.join("f.c"), MAKE[3].1).expect("written"))),
        ("source", Box::new(write("f.c", b"int f(void) { return 3; }\n"))),
        ("header with depfiles", Box::new(write("a.h", b"#define A 9\n"))),
        ("text that is installed", Box::new(write("share/text", b"other\n"))),
        ("binary", Box::new(write("share/text", b"\0\xff\r\n\x01"))),
        ("emptied", Box::new(write("share/text", b""))),
        ("dot file", Box::new(write("share/.dot", b"other"))),
        ("name with a space", Box::new(write("share/with space", b"other"))),
        ("new file", Box::new(write("share/new", b"new"))),
        ("new empty file", Box::new(write("share/new", b""))),
        ("new directory", Box::new(write("share/sub/dir/new", b"new"))),
        ("empty directory", Box::new(|root| fs::create_dir(root.join("share/d")).expect("made"))),
        ("removed", Box::new(|root| fs::remove_file(root.join("share/text")).expect("removed"))),
        (
            "renamed",
            Box::new(|root| fs::rename(root.join("share/text"), root.join("share/u")).expect("renamed")),
        ),
        (
            "executable",
            Box::new(|root| {
                let mode = fs::Permissions::from_mode(0o755);
                fs::set_permissions(root.join("share/text"), mode).expect("set");
            }),
        ),
        (
            "file to link",
            Box::new(|root| {
                fs::remove_file(root.join("share/text")).expect("removed");
                symlink(".dot", root.join("share/text")).expect("linked");
            }),
        ),
        (
            "file to directory",
            Box::new(|root| {
                fs::remove_file(root.join("share/text")).expect("removed");
                fs::create_dir(root.join("share/text")).expect("made");
                fs::write(root.join("share/text/in"), "in").expect("written");
            }),
        ),
        (
            "older than the build",
            Box::new(|root| {
                let file = fs::File::create(root.join("f.c")).expect("created");
                std::io::Write::write_all(&mut &file, b"int f(void) { return 4; }\n").expect("written");
                let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000);
                file.set_modified(old).expect("set");
            }),
        ),
    ];
    for (what, edit) in edits {
        let verdicts = check(MAKE, edit);
        // Nothing before it looks at the content of a file.
        assert_ne!(verdict(&verdicts, "configurePhase"), "seed", "{what}");
        if what != "nothing that counts" {
            assert!(matches!(verdict(&verdicts, "buildPhase"), "seed" | "skip"), "{what}");
        }
    }
}

#[test]
fn other_flags_are_another_recipe() {
    let flags = |text: &str| format!("{}\n[package.env]\nCPPFLAGS = \"{text}\"\n", MANIFEST.1);
    let verdicts =
        check(MAKE, |root| fs::write(root.join("rekindle.toml"), flags("-DX=1")).expect("written"));
    assert!(verdicts.iter().all(|(_, verdict)| verdict == "run"), "{verdicts:?}");
}

#[test]
fn the_install_phase_is_bound_late() {
    let text = |what: &str| {
        format!(
            "{}\n[package.phases]\ninstall = \"make install PREFIX=$out; echo {what} > $out/{what}\"\n",
            MANIFEST.1
        )
    };
    let mut files = MAKE.to_vec();
    let one = text("one");
    files[0].1 = &one;
    // The manifest is a source, too, unless it is left out.
    let verdicts = check(&files, |root| fs::write(root.join("rekindle.toml"), text("two")).expect("written"));
    assert_eq!(verdict(&verdicts, "installPhase"), "run");
}

#[test]
fn a_source_that_breaks_the_build_fails_as_it_would_clean() {
    let place = Place::new();
    let mut root = place.path().to_owned();
    for (file, text) in MAKE {
        root = place.write("project", file, text);
    }
    place.build(&root, &[]);
    place.write("project", "f.c", "int f(void) { return }\n");
    let failed = place.rekindle(&["build", "--no-link"]).arg(&root).run();
    assert!(!failed.success());
    assert!(failed.stderr().contains("so it is built clean"), "{}", failed.stderr());
    place.write("project", "f.c", "int f(void) { return 5; }\n");
    let again = place.build(&root, &[]);
    let clean = Place::new();
    assert_eq!(clean.build(&root, &["--clean"]), again);
}

#[test]
fn a_time_that_gets_into_an_output_makes_it_clean() {
    let makefile = "all:\ninstall:\n\tmkdir -p $(PREFIX)\n\ttar --sort=name -cf $(PREFIX)/out.tar share\n";
    let files = [MANIFEST, ("Makefile", makefile), ("share/a", "a"), ("share/b", "b")];
    // The mtimes of directories are those of their last change, in any build; so only files are compared.
    let makefile =
        makefile.replace("--sort=name -cf $(PREFIX)/out.tar share", "-cf $(PREFIX)/out.tar share/a share/b");
    let files = [files[0], ("Makefile", &makefile), files[2], files[3]];
    check(&files, write("share/a", b"other"));
}

#[test]
fn a_chain_of_builds_stays_right() {
    let place = Place::new();
    let mut root = place.path().to_owned();
    for (file, text) in MAKE {
        root = place.write("project", file, text);
    }
    for round in 0..16 {
        place.write("project", "f.c", format!("int f(void) {{ return {round}; }}\n"));
        let output = place.build(&root, &[]);
        let run = std::process::Command::new(place.physical(&output[0]).join("bin/prog")).output();
        assert_eq!(String::from_utf8_lossy(&run.expect("it runs").stdout), format!("1 {round}\n"));
    }
}

#[test]
fn a_damaged_checkpoint_is_a_clean_build() {
    let place = Place::new();
    let mut root = place.path().to_owned();
    for (file, text) in MAKE {
        root = place.write("project", file, text);
    }
    place.build(&root, &[]);
    for package in fs::read_dir(place.store().join("rekindle-1/checkpoints")).expect("there").flatten() {
        for checkpoint in fs::read_dir(package.path()).into_iter().flatten().flatten() {
            let record = checkpoint.path().join("record");
            let mut bytes = fs::read(&record).expect("a record");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&record, bytes).expect("our own file");
        }
    }
    place.write("project", "f.c", "int f(void) { return 3; }\n");
    let finished = place.rekindle(&["build", "--no-link"]).arg(&root).run();
    assert!(finished.success(), "{}", finished.stderr());
    assert!(finished.stderr().contains("it is damaged"), "{}", finished.stderr());
    assert!(!finished.stderr().contains("from checkpoint"), "{}", finished.stderr());
}

#[test]
fn cmake() {
    let edits: Vec<(&str, Edit)> = vec![
        ("source", Box::new(write("part1.c", b"int f(void) { return 3; }\n"))),
        ("header", Box::new(write("a.h", b"#define A 9\n"))),
        ("new source", Box::new(write("part2.c", b"int g(void) { return 3; }\n"))),
        ("installed", Box::new(write("share/text", b"other\n"))),
    ];
    for (_, edit) in edits {
        check(CMAKE, edit);
    }
}

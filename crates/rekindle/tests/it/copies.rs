//! Builds in a copy of the tree: where the package asks for it, and where overlays cannot be mounted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::project::{Finished, Place};

/// Renames a directory of an earlier phase, and one of the sources, as a program does that knows no `mv`.
const RENAMES: &str = "[phases]\n\
    configure = 'mkdir gen && echo made > gen/file'\n\
    build = '''\nperl -e 'rename(\"gen\", \"moved\") or die \"rename: $!\\n\"'\n\
    perl -e 'rename(\"data\", \"moved/data\") or die \"rename: $!\\n\"'\n'''\n\
    install = 'mkdir -p $out && cp -r moved $out/'\n";

fn renamer(place: &Place, copies: bool) -> PathBuf {
    let switch = if copies { "copy-tree = true\n" } else { "" };
    let text = format!(
        "[package]\nname = \"renamer\"\nversion = \"1\"\nbuild-system = \"custom\"\n{switch}{RENAMES}"
    );
    place.write("renamer", "data/file", "from the source\n");
    place.write("renamer", "rekindle.toml", text)
}

#[test]
fn a_directory_of_an_earlier_phase_can_be_renamed_in_a_copy() {
    let place = Place::new();
    let finished = place.rekindle(&["build", "--no-link"]).arg(renamer(&place, false)).run();
    assert!(!finished.success());
    assert!(finished.stderr().contains("Invalid cross-device link"), "{}", finished.stderr());

    let out = place.build(&renamer(&place, true), &[]).remove(0);
    let read = |file: &str| fs::read_to_string(place.physical(&out).join("moved").join(file)).expect("built");
    assert_eq!((read("file"), read("data/file")), ("made\n".to_owned(), "from the source\n".to_owned()));

    // The next build goes on from that, and finds what was moved.
    place.write("renamer", "data/file", "edited\n");
    place.write("renamer", "data/more", "new\n");
    let root = place.path().join("renamer");
    let edited = place.build(&root, &[]).remove(0);
    let clean = Place::new();
    let again = clean.build(&root, &["--clean"]).remove(0);
    assert_eq!(edited, again);
    same(&place.physical(&edited), &clean.physical(&again));
    assert_eq!(place.leftovers(), [""; 0]);
}

/// With a directory goes all that is in it, though nobody opened it: for the steps, and for the commands of one.
#[test]
fn who_renames_a_directory_has_seen_what_is_in_it() {
    for phases in [
        "patch = 'mv old new'\nbuild = 'true'\ninstall = 'cp -r new $out'\n",
        "patch = 'mv --exchange old other 2> /dev/null || { mv old tmp; mv other old; mv tmp other; }'\n\
         build = 'true'\ninstall = 'cp -r other $out'\n",
        "build = 'make'\ninstall = 'cp -r new $out'\n",
    ] {
        let place = Place::new();
        let text = format!(
            "[package]\nname = \"mover\"\nversion = \"1\"\nbuild-system = \"custom\"\ncopy-tree = true\n[phases]\n{phases}"
        );
        place.write(
            "mover",
            "Makefile",
            "all: done end\ndone:\n\tmv old new; touch done\nend: a\n\tcp a end\n",
        );
        let root = place.write("mover", "rekindle.toml", text);
        for (path, text) in [("old/x", "1\n"), ("old/sub/z", "1\n"), ("other/x", "0\n"), ("a", "a\n")] {
            place.write("mover", path, text);
        }
        place.build(&root, &[]);
        for (path, text) in [("old/x", "2\n"), ("old/y", "3\n"), ("old/sub/z", "2\n")] {
            place.write("mover", path, text);
            let edited = place.build(&root, &[]).remove(0);
            let clean = Place::new();
            let again = clean.build(&root, &["--clean"]).remove(0);
            assert_eq!(edited, again);
            same(&place.physical(&edited), &clean.physical(&again));
        }
    }
}

/// The phase after it runs, and the build ends well, as it does in an overlay.
#[test]
fn a_phase_may_lock_what_it_leaves() {
    let place = Place::new();
    let text = "[package]\nname = \"locker\"\nversion = \"1\"\nbuild-system = \"custom\"\ncopy-tree = true\n\
        [phases]\nbuild = 'mkdir -p locked && echo x > locked/file && chmod 0 locked/file locked'\n\
        install = 'test -d locked && mkdir -p $out && cp data $out/'\n";
    let root = place.write("locker", "rekindle.toml", text);
    for data in ["one", "two"] {
        place.write("locker", "data", data);
        let built = place.rekindle_as_user(&["build", "--no-link", "--print-out-paths"]).arg(&root).run();
        let out = built.line();
        assert_eq!(fs::read_to_string(place.physical(&out).join("data")).expect("built"), data);
    }
}

const MAKEFILE: &str = "prog: main.o f.o\n\t@echo LINK; gcc -o $@ $^; ln -f prog alias\n\
    %.o: %.c\n\t@echo COMPILE $<; gcc -c -o $@ $<\n\
    install: prog\n\tinstall -D prog $(PREFIX)/bin/prog\n\tinstall alias $(PREFIX)/bin/\n\tcp -r share $(PREFIX)/\n";

fn project(place: &Place, copies: bool) -> PathBuf {
    let switch = if copies { "copy-tree = true\n" } else { "" };
    let manifest = format!("[package]\nname = \"probe\"\nversion = \"1\"\nbuild-system = \"make\"\n{switch}");
    place.write("probe", "Makefile", MAKEFILE);
    place.write(
        "probe",
        "main.c",
        "#include <stdio.h>\nint f(void);\nint main(void) { printf(\"%d\\n\", f()); }\n",
    );
    place.write("probe", "f.c", "int f(void) { return 1; }\n");
    place.write("probe", "share/text", "text\n");
    place.write("probe", "rekindle.toml", manifest)
}

/// What make did, in a build that ended well, and where its output is.
fn worked(place: &Place, finished: &Finished) -> (Vec<String>, String) {
    assert!(finished.success(), "{}{}", finished.stdout(), finished.stderr());
    let report: serde_json::Value = serde_json::from_str(&finished.stdout()).expect("JSON");
    let out = report["goals"][0]["outputs"]["out"]["path"].as_str().expect("an output").to_owned();
    let log = place.rekindle(&["log", &out]).run();
    let lines = log.stdout().lines().map(str::to_owned).collect::<Vec<_>>();
    let work = lines.into_iter().filter(|line| line.contains("COMPILE") || line.contains("LINK")).collect();
    (work, out)
}

/// Edits and builds, and compares with a clean build of an overlay each time.
fn edit_loop(copies: bool, build: impl Fn(&Place, &Path) -> Finished) {
    let place = Place::new();
    let root = project(&place, copies);
    let check = |expected: &[&str]| {
        let (work, out) = worked(&place, &build(&place, &root));
        let mut work: Vec<_> =
            work.iter().map(|line| line.rsplit("| ").next().unwrap_or(line).trim()).collect();
        // Two compilers run at once, and speak in either order.
        work.sort_unstable();
        assert_eq!(work, expected);
        let clean = Place::new();
        let again = clean.build(&root, &["--clean"]).remove(0);
        assert_eq!(out, again);
        same(&place.physical(&out), &clean.physical(&again));
    };
    check(&["COMPILE f.c", "COMPILE main.c", "LINK"]);
    place.write("probe", "f.c", "int f(void) { return 2; }\n");
    check(&["COMPILE f.c", "LINK"]);
    place.write("probe", "share/text", "other\n");
    check(&[]);
    fs::rename(root.join("share/text"), root.join("share/renamed")).expect("our own file");
    fs::create_dir(root.join("share/text")).expect("our own directory");
    check(&[]);
    place.write("probe", "f.c", "int f(void) { return 1; }\n");
    place.write("probe", "main.c", "int f(void);\nint main(void) { return f(); }\n");
    check(&["COMPILE f.c", "COMPILE main.c", "LINK"]);
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn an_edit_costs_what_it_costs_in_an_overlay() {
    edit_loop(true, |place, root| place.rekindle(&["build", "--no-link", "--json"]).arg(root).run());
}

/// Set for the process that runs [`inner_without_overlays`].
const PART: &str = "REKINDLE_TEST_PART";

/// An overlay cannot have another as its upper directory: a store in a container is such a case.
#[test]
fn without_overlays_builds_copy() {
    let this = std::env::current_exe().expect("a test has a program");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .arg(this)
        .args(["--exact", "--nocapture", "copies::inner_without_overlays"])
        .env(PART, "1")
        .output()
        .expect("unshare is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
}

#[test]
fn inner_without_overlays() {
    if std::env::var_os(PART).is_none() {
        return;
    }
    edit_loop(false, |place, root| {
        if !place.store().exists() {
            fs::create_dir(place.store()).expect("our own directory");
            mount_overlay(&place.path().join("disk"), place.store());
        }
        let finished = place.rekindle(&["build", "--no-link", "--json"]).arg(root).run();
        assert!(finished.stderr().contains("builds work in copies of their trees"), "{}", finished.stderr());
        finished
    });
}

fn mount_overlay(parts: &Path, at: &Path) {
    for dir in ["upper", "work", "lower"].map(|name| parts.join(name)).iter().chain([&at.to_owned()]) {
        fs::create_dir_all(dir).expect("our own directory");
    }
    let [upper, work, lower] = ["upper", "work", "lower"].map(|name| parts.join(name).display().to_string());
    let options = format!("userxattr,lowerdir={lower},upperdir={upper},workdir={work}");
    let mounted = Command::new("mount").args(["-t", "overlay", "-o", &options, "overlay"]).arg(at).status();
    assert!(mounted.expect("mount is installed").success());
}

/// Compares two trees, by a tool that is not ours.
fn same(one: &Path, other: &Path) {
    let compared = Command::new("diff").args(["-r", "--no-dereference"]).args([one, other]).output();
    let compared = compared.expect("diff is installed");
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
}

//! The host's toolchain: what of it counts for a package. An extra directory stands for the host here, as no test may install
//! anything. The judge is a clean build in another store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::checkpoints::json;
use crate::project::Place;

const MAKEFILE: &str = "text: main.o f.o\n\tcat main.o f.o > text\n\
    main.o: main.in\n\ttranslate main.in > main.o\n\
    f.o: f.in\n\ttranslate f.in > f.o\n\
    install: text\n\tinstall -D text $(PREFIX)/text\n";

/// A host with two translators and a dictionary for each, and a package for each.
struct Host {
    place: Place,
    dir: PathBuf,
    _dir: TempDir,
}

impl Host {
    fn new() -> Host {
        let place = Place::new();
        // What lies in `/tmp` cannot be seen inside.
        let own = tempfile::tempdir_in("/var/tmp").expect("a directory for what outlives a restart");
        let dir = own.path().to_owned();
        let host = Host { dir: dir.clone(), place, _dir: own };
        // Or it would be a directory of programs itself.
        host.put("words/bin/none", "", 0o644);
        for name in ["one", "two"] {
            host.put(&format!("{name}/bin/translate"), &program(&dir.join("words").join(name)), 0o755);
            host.put(&format!("words/{name}"), &format!("says {name}:"), 0o644);
            let paths = format!("toolchain.paths = [{:?}, {:?}]", dir.join(name), dir.join("words"));
            let text =
                format!("[package]\nname = \"{name}\"\nversion = \"1\"\nbuild-system = \"make\"\n{paths}\n");
            host.place.write(name, "rekindle.toml", text);
            host.place.write(name, "Makefile", MAKEFILE);
            host.place.write(name, "main.in", "main\n");
            host.place.write(name, "f.in", "f\n");
        }
        host.settle();
        host
    }

    fn put(&self, file: &str, text: &str, mode: u32) {
        let file = self.dir.join(file);
        fs::create_dir_all(file.parent().expect("below the host")).expect("our own directory");
        fs::write(&file, text).expect("our own directory");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("our own file");
    }

    /// Lets the kernel's clock go on: what changes while a build runs is not known.
    fn settle(&self) {
        sleep(Duration::from_millis(20));
    }

    fn build(&self, package: &str, args: &[&str]) -> Built {
        build(&self.place, &self.place.path().join(package), args)
    }

    /// The same in another store.
    fn check(&self, package: &str, built: &Built) {
        let clean = Place::new();
        assert_eq!(build(&clean, &self.place.path().join(package), &[]).text, built.text);
    }
}

fn program(words: &Path) -> String {
    format!("#!/bin/sh\necho TRANSLATE >&2\ncat {} \"$1\"\n", words.display())
}

struct Built {
    path: String,
    text: String,
    /// Whether anything was done at all.
    is_new: bool,
    /// How often a translator ran.
    work: usize,
    /// Why its first step ran, if it did.
    why: String,
}

fn build(place: &Place, root: &Path, args: &[&str]) -> Built {
    build_by(place, &|asked| {
        let finished = place.rekindle(asked).args(args).arg(root).run();
        assert!(finished.success(), "{}{}", finished.stdout(), finished.stderr());
        json(&finished)
    })
}

/// What a program that is run like this builds.
fn build_by(place: &Place, run: &dyn Fn(&[&str]) -> Value) -> Built {
    let report = run(&["build", "--no-link", "--json"]);
    let path = report["goals"][0]["outputs"]["out"]["path"].as_str().expect("an output").to_owned();
    let text = fs::read_to_string(place.physical(&path).join("text")).expect("built");
    let log = place.rekindle(&["log", &path]).run().stdout();
    let is_new = report["builds"].as_array().expect("a list").iter().any(|one| one["result"] == "built");
    let why = report["builds"][0]["verdicts"][0]["why"].as_str().unwrap_or_default().to_owned();
    Built { path, text, is_new, why, work: log.lines().filter(|line| line.contains("TRANSLATE")).count() }
}

#[test]
fn what_a_package_does_not_read_costs_it_nothing() {
    let host = Host::new();
    let first = [host.build("one", &[]), host.build("two", &[])];
    assert_eq!(first.each_ref().map(|built| built.work), [2, 2]);
    // It lies where both look, and is listed in the description of the host.
    host.put("words/three", "says three:", 0o644);
    host.put("words/two", "tells two:", 0o644);
    host.settle();
    let then = [host.build("one", &[]), host.build("two", &[])];
    assert_eq!((&then[0].path, then[0].is_new), (&first[0].path, false));
    assert_ne!(then[1].path, first[1].path);
    assert_eq!((then[1].work, then[1].text.as_str()), (2, "tells two:main\ntells two:f\n"));
    // An edit goes on from what was built before.
    host.place.write("one", "f.in", "g\n");
    let edited = host.build("one", &[]);
    assert_eq!((edited.work, edited.text.as_str()), (1, "says one:main\nsays one:g\n"));
    host.check("one", &edited);
}

#[test]
fn what_it_reads_has_everything_made_again() {
    type Edit<'a> = (&'a str, &'a dyn Fn(&Host));
    let edits: [Edit<'_>; 4] = [
        ("what it reads", &|host| host.put("words/one", "tells one:", 0o644)),
        ("what it executes", &|host| {
            let program = program(&host.dir.join("words/one")).replace("cat", "tac");
            host.put("one/bin/translate", &program, 0o755);
        }),
        // Nobody sees a shell ask for a program without starting it.
        ("a program that is new", &|host| host.put("one/bin/other", "", 0o755)),
        ("what is only put there again", &|host| {
            let file = host.dir.join("words/one");
            let text = fs::read_to_string(&file).expect("our own file");
            fs::remove_file(&file).expect("our own file");
            host.put("words/one", &text, 0o644);
        }),
    ];
    for (what, edit) in edits {
        let host = Host::new();
        let first = host.build("one", &[]);
        edit(&host);
        host.settle();
        let then = host.build("one", &[]);
        assert_ne!(then.path, first.path, "{what}");
        assert_eq!(then.work, 2, "{what}");
        host.check("one", &then);
        assert!(!host.build("one", &[]).is_new, "{what}");
    }
}

#[test]
fn what_only_installing_looks_for_has_everything_made_again() {
    let host = Host::new();
    let extra = host.dir.join("words/extra");
    let asks = format!("\tif test -e {}; then echo extra >> $(PREFIX)/text; fi\n", extra.display());
    host.place.write("one", "Makefile", format!("{MAKEFILE}{asks}"));
    let first = host.build("one", &[]);
    host.put("words/extra", "", 0o644);
    host.settle();
    let then = host.build("one", &[]);
    assert_eq!((first.text.contains("extra"), then.text.contains("extra")), (false, true));
    host.check("one", &then);
}

#[test]
fn what_an_edit_has_installing_look_for_counts_too() {
    let host = Host::new();
    let extra = host.dir.join("words/extra");
    host.place.write("one", "Makefile", format!("{MAKEFILE}\tsh ask.sh $(PREFIX)/text\n"));
    host.place.write("one", "ask.sh", "true\n");
    host.build("one", &[]);
    let asks = format!("if test -e {}; then echo extra >> $1; fi\n", extra.display());
    host.place.write("one", "ask.sh", asks);
    // It goes on with its build phase, too, and not only installs.
    host.place.write("one", "f.in", "g\n");
    let edited = host.build("one", &[]);
    host.put("words/extra", "", 0o644);
    host.settle();
    let then = host.build("one", &[]);
    assert_eq!((edited.work, edited.text.contains("extra"), then.text.contains("extra")), (1, false, true));
    host.check("one", &then);
}

#[test]
fn what_an_earlier_state_of_the_sources_read_counts_too() {
    let host = Host::new();
    let recipe = "f.o: f.in\n\t";
    let reads = format!("{recipe}cat {} >&2; ", host.dir.join("words/two").display());
    let (without, with) = (MAKEFILE.to_owned(), MAKEFILE.replace(recipe, &reads));
    let first = host.build("one", &[]);
    host.place.write("one", "Makefile", &with);
    assert_eq!(host.build("one", &[]).text, first.text);
    host.place.write("one", "Makefile", &without);
    assert_eq!(host.build("one", &[]).path, first.path);
    // It is not read by these sources, but it was by others under the same name of the toolchain.
    host.put("words/two", "tells two:", 0o644);
    host.settle();
    let then = host.build("one", &[]);
    assert_ne!(then.path, first.path);
    host.check("one", &then);
}

#[test]
fn a_build_that_is_not_observed_depends_on_the_whole_host() {
    let host = Host::new();
    let first = host.build("one", &["--no-observe"]);
    assert!(!host.build("one", &[]).is_new);
    host.put("words/three", "says three:", 0o644);
    host.settle();
    let then = host.build("one", &[]);
    assert_ne!(then.path, first.path);
    host.put("words/four", "says four:", 0o644);
    host.settle();
    assert_eq!(host.build("one", &[]).path, then.path);
}

#[test]
fn a_derivation_in_the_store_knows_its_toolchain() {
    let host = Host::new();
    let shown = host.place.rekindle(&["drv", "show", "--drv"]).arg(host.place.path().join("one")).run();
    let drv = shown.line();
    let build = || host.place.rekindle(&["build", "--no-link", "--print-out-paths", &drv]).run();
    let first = build().line();
    host.put("words/three", "says three:", 0o644);
    host.settle();
    assert_eq!(build().line(), first);
    assert_eq!(host.build("one", &[]).path, first);
    let verified = host.place.rekindle(&["verify", &first]).run();
    assert!(verified.success(), "{}", verified.stderr());
    host.put("words/one", "tells one:", 0o644);
    host.settle();
    let verified = host.place.rekindle(&["verify", &first]).run();
    assert!(verified.stderr().contains("which is not the one here"), "{}", verified.stderr());
}

/// A project in C, which reads the headers of the real host.
fn in_c(place: &Place) -> PathBuf {
    let makefile = "prog: main.o f.o\n\tgcc -o $@ $^\n\
        %.o: %.c\n\t@echo TRANSLATE >&2\n\tgcc -c -o $@ $<\n\
        install: prog\n\t./prog > text; install -D text $(PREFIX)/text\n";
    place.write("c", "Makefile", makefile);
    place.write(
        "c",
        "main.c",
        "#include <stdio.h>\nint f(void);\nint main(void) { return printf(\"%d\\n\", f()) < 0; }\n",
    );
    place.write("c", "f.c", "int f(void) { return 1; }\n");
    place.write("c", "rekindle.toml", "[package]\nname = \"c\"\nversion = \"1\"\nbuild-system = \"make\"\n")
}

/// Builds on a host that differs in these files: `(there, what is there now)`.
fn build_on(place: &Place, root: &Path, other: &[(&str, &Path)]) -> Built {
    build_by(place, &|args: &[&str]| {
        let mounts = other.iter().map(|(there, now)| format!("mount --bind {} {there} && ", now.display()));
        let script = format!("{}exec \"$@\"", mounts.collect::<String>());
        let program = place.rekindle(args).arg(root).command();
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
        command.arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let output = command.output().expect("unshare is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    })
}

#[test]
fn a_host_that_is_upgraded_elsewhere_is_the_same() {
    const PACKAGES: &str = "/var/lib/dpkg/status";
    const HEADER: &str = "/usr/include/stdio.h";
    const LIBRARIES: &str = "/etc/ld.so.cache";
    let place = Place::new();
    let root = in_c(&place);
    let first = build(&place, &root, &[]);
    assert_eq!((first.work, first.text.as_str()), (2, "1\n"));
    let file = |name: &str| place.path().join(name);
    let packages = fs::read_to_string(PACKAGES).expect("a Debian machine");
    let more = "Package: another\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n";
    fs::write(file("packages"), format!("{more}{packages}")).expect("our own file");
    let upgraded = file("packages");
    // With the package comes a library, and so another list of libraries.
    let (libraries, dir) = (file("libraries"), file("lib"));
    fs::create_dir(&dir).expect("our own directory");
    let made = std::process::Command::new("gcc")
        .args(["-shared", "-Wl,-soname,libanother.so.1", "-o", "libanother.so.1", "-x", "c", "/dev/null"])
        .current_dir(&dir)
        .status();
    assert!(made.expect("gcc is installed").success());
    let listed =
        std::process::Command::new("/sbin/ldconfig").arg("-X").arg("-C").args([&libraries, &dir]).status();
    assert!(listed.expect("ldconfig is part of the C library").success());
    assert_ne!(fs::read(&libraries).expect("it was written"), fs::read(LIBRARIES).expect("a Debian machine"));
    sleep(Duration::from_millis(20));
    let upgraded = [(PACKAGES, &*upgraded), (LIBRARIES, &*libraries)];
    let same = build_on(&place, &root, &upgraded);
    assert_eq!((&same.path, same.is_new), (&first.path, false));
    place.write("c", "f.c", "int f(void) { return 2; }\n");
    let edited = build_on(&place, &root, &upgraded);
    assert_eq!((edited.work, edited.text.as_str()), (1, "2\n"));
    // A header that it reads.
    let header = fs::read_to_string(HEADER).expect("a C library");
    fs::write(file("header"), header + "\n#define printf(text, value) puts(\"3\")\n").expect("our own file");
    sleep(Duration::from_millis(20));
    let then = build_on(&place, &root, &[upgraded[0], upgraded[1], (HEADER, &file("header"))]);
    assert_ne!(then.path, edited.path);
    assert_eq!((then.work, then.text.as_str()), (2, "3\n"));
    assert_eq!(then.why, format!("another recipe: the toolchain, as {HEADER} changed"));
}

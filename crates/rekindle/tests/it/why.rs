//! `rekindle why`: who made a file, from what, and why again. The judges are the compiler (which headers it says that it read)
//! and the build's own log (which commands make says that it ran).

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::checkpoints::json;
use crate::project::{Finished, Place};

/// Objects, an archive, a generated header, a list of a directory, and a program that is installed under another name.
pub(crate) fn project(place: &Place) -> PathBuf {
    let makefile = "prog: src/main.o libx.a\n\tgcc -o $@ src/main.o libx.a\n\
                    libx.a: src/f.o\n\trm -f $@ && ar cr $@ src/f.o\n\
                    src/main.o: src/main.c src/x.h config.h\n\tgcc -c -o $@ $<\n\
                    src/f.o: src/f.c\n\tgcc -c -o $@ $<\n\
                    config.h: gen.sh\n\tsh gen.sh > config.tmp && mv config.tmp config.h\n\
                    install: prog\n\tinstall -D prog $(PREFIX)/bin/tool\n";
    place.write("p", "rekindle.toml", "[package]\nname = \"probe\"\nversion = \"1\"\n");
    place.write("p", "Makefile", makefile);
    place.write("p", "gen.sh", "echo '#define CONFIG 1'\n");
    place.write("p", "unused.txt", "");
    place.write("p", "src/main.c", "#include <stdio.h>\n#include \"x.h\"\n#include \"../config.h\"\nint f(void);\nint main(void) { printf(\"%d\\n\", X + CONFIG + f()); }\n");
    place.write("p", "src/x.h", "#define X 1\n");
    place.write("p", "src/f.c", "int f(void) { return 2; }\n")
}

fn build(place: &Place) {
    let finished = place.rekindle(&["build"]).current_dir(&place.path().join("p")).run();
    assert!(finished.success(), "{}", finished.stderr());
}

fn why(place: &Place, args: &[&str]) -> Finished {
    place.rekindle(&["why"]).args(args).current_dir(&place.path().join("p")).run()
}

fn asked(place: &Place, args: &[&str]) -> Value {
    let finished = why(place, &[args, &["--json"]].concat());
    assert!(finished.success(), "{}", finished.stderr());
    json(&finished)
}

fn words(value: &Value) -> String {
    let words = value.as_array().unwrap_or_else(|| panic!("a list: {value}"));
    words.iter().map(|word| word.as_str().expect("a word")).collect::<Vec<_>>().join(" ")
}

/// What is read to make a file, of one kind.
fn inputs(value: &Value, kind: &str) -> Vec<String> {
    let inputs = value["maker"]["inputs"].as_array().expect("a list").iter();
    let read = inputs.filter(|input| {
        input["kind"] == kind && input["how"].as_array().expect("a list").contains(&"read".into())
    });
    let mut paths: Vec<String> =
        read.map(|input| input["path"].as_str().expect("a path").to_owned()).collect();
    paths.sort();
    paths
}

#[track_caller]
fn check_error(finished: &Finished, says: &[&str]) {
    let stderr = finished.stderr();
    assert_eq!(finished.code(), Some(1), "{}{stderr}", finished.stdout());
    assert_eq!(stderr.lines().filter(|line| line.starts_with("error:")).count(), 1, "{stderr}");
    assert_eq!(finished.stdout(), "");
    for said in says {
        assert!(stderr.contains(said), "{said:?} is not in {stderr}");
    }
}

#[test]
fn a_file_is_made_by_the_command_that_the_log_shows_from_what_the_compiler_names() {
    let place = Place::new();
    let root = project(&place);
    build(&place);
    let log = place.rekindle(&["log"]).current_dir(&root).run().stdout();
    let object = asked(&place, &["src/main.o"]);
    let command = words(&object["maker"]["command"]);
    assert_eq!(command, "gcc -c -o src/main.o src/main.c");
    assert!(log.lines().any(|line| line == command), "{log}");
    // The compiler's own list, of a tree in which the header is there.
    place.write("p", "config.h", "#define CONFIG 1\n");
    let listed = Command::new("gcc").args(["-MM", "src/main.c"]).current_dir(&root).output().expect("gcc");
    std::fs::remove_file(root.join("config.h")).expect("our own file");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let listed = listed.split_whitespace().filter(|word| *word != "\\").skip(1);
    let mut expected: Vec<String> =
        listed.map(|name| format!("build/source/{}", name.replace("src/../", ""))).collect();
    expected.sort();
    let mut found = [inputs(&object, "source"), inputs(&object, "product")].concat();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(inputs(&object, "product"), ["build/source/config.h"]);
    assert!(inputs(&object, "outside").iter().any(|path| path.ends_with("/stdio.h")));
    assert!(words(&object["maker"]["startedBy"][0]).starts_with("make "), "{object}");
    assert_eq!((&object["kind"], &object["maker"]["phase"]), (&"product".into(), &"buildPhase".into()));
    let users = object["usedBy"].as_array().expect("a list");
    assert_eq!(words(&users[0]["command"]), "gcc -o prog src/main.o libx.a");
    // A script that writes beside and renames is one command.
    let generated = asked(&place, &["/build/source/config.h"]);
    assert_eq!(inputs(&generated, "source"), ["build/source/gen.sh"]);
    assert_eq!(generated["maker"]["movedFrom"], Value::Null);
    // For a person.
    let text = why(&place, &["src/main.o"]).stdout();
    for said in ["made by", &command, "src/x.h", "config.h  made by", "/usr/include", "started by make"] {
        assert!(text.contains(said), "{said:?} is not in {text}");
    }
}

#[test]
fn a_file_of_the_host_is_no_source() {
    let place = Place::new();
    project(&place);
    build(&place);
    let text = why(&place, &["/usr/include/stdio.h"]).stdout();
    assert!(text.contains("a file of the host") && !text.contains("a source"), "{text}");
    assert!(text.contains("gcc -c -o src/main.o src/main.c"), "{text}");
    assert_eq!(asked(&place, &["/usr/include/stdio.h"])["kind"], "outside");
    let graph = |args: &[&str]| {
        let graph = place.rekindle(&["graph", "--of", "/usr/include/stdio.h"]).args(args);
        graph.current_dir(&place.path().join("p")).run()
    };
    assert_eq!(json(&graph(&["--json"]))["nodes"][0]["origin"], "outside");
    assert!(!graph(&[]).stdout().contains("#cfe0f4"), "the color of sources");
}

#[test]
fn what_was_made_again_has_a_root_cause() {
    let place = Place::new();
    project(&place);
    build(&place);
    let first = asked(&place, &["prog"]);
    assert_eq!(first["fate"]["root"], serde_json::json!({ "kind": "step", "phase": "buildPhase" }));
    place.write("p", "src/x.h", "#define X 7\n");
    build(&place);
    let again = asked(&place, &["prog"]);
    let changed = serde_json::json!({ "path": "build/source/src/x.h", "how": "content" });
    assert_eq!(again["fate"]["root"], serde_json::json!({ "kind": "source", "change": changed }));
    let chain = again["fate"]["chain"].as_array().expect("a chain").iter();
    let chain: Vec<_> = chain
        .map(|link| (link["read"].clone(), words(&link["by"]["command"]), link["made"].clone()))
        .collect();
    assert_eq!(
        chain,
        [
            ("build/source/src/x.h", "gcc -c -o src/main.o src/main.c", "build/source/src/main.o"),
            ("build/source/src/main.o", "gcc -o prog src/main.o libx.a", "build/source/prog"),
        ]
        .map(|(read, by, made)| (read.into(), by.to_owned(), made.into()))
    );
    assert_eq!((&again["base"], &again["maker"]["lastBuild"]), (&first["checkpoint"], &true.into()));
    let text = why(&place, &["prog"]).stdout();
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("made again, because")).expect("the reason");
    assert_eq!(lines[at + 1], "  the source src/x.h has other content");
    assert!(
        lines[at + 2].ends_with("`gcc -c -o src/main.o src/main.c` read src/x.h and made src/main.o"),
        "{text}"
    );
    // What did not read it was left alone.
    let kept = asked(&place, &["src/f.o"]);
    assert_eq!(kept["fate"]["made"], false);
    assert_eq!(
        (&kept["fate"]["why"]["kind"], &kept["maker"]["lastBuild"]),
        (&"nothing-changed".into(), &false.into())
    );
    assert!(why(&place, &["src/f.o"]).stdout().contains("not made again, because"));
    let source = asked(&place, &["src/x.h"]);
    assert_eq!(
        (&source["kind"], &source["change"], &source["maker"]),
        (&"source".into(), &changed, &Value::Null)
    );
    // A build from another time can be asked, too.
    let before = first["checkpoint"].as_str().expect("an identity");
    let then = asked(&place, &["prog", "--checkpoint", before]);
    assert_eq!(then["fate"], first["fate"]);
}

#[test]
fn what_was_installed_leads_to_what_it_was_copied_from() {
    let place = Place::new();
    let root = project(&place);
    build(&place);
    let check = |place: &Place, observed: bool| {
        let installed = asked(place, &["result/bin/tool"]);
        let command = words(&installed["maker"]["command"]);
        assert!(command.starts_with("install -D prog /nix/store/"), "{command}");
        assert_eq!(installed["maker"]["phase"], "installPhase");
        assert_eq!(installed["copiedFrom"]["path"], "build/source/prog");
        let made = words(&installed["copiedFrom"]["maker"]["command"]);
        assert_eq!(made, "gcc -o prog src/main.o libx.a");
        let text = why(place, &["result/bin/tool"]).stdout();
        assert_eq!(text.contains("that of the last one was not observed"), !observed, "{text}");
        assert!(text.contains("\nprog\n"), "{text}");
    };
    check(&place, true);
    // Through the store path, from anywhere.
    let link = std::fs::read_link(root.join("result")).expect("a link");
    let path = link.join("bin/tool");
    let elsewhere = place.rekindle(&["why"]).arg(&path).run();
    assert!(elsewhere.stdout().contains("install -D prog"), "{}", elsewhere.stderr());
    // After a build that went on, installing is not watched; the build before did the same.
    place.write("p", "src/x.h", "#define X 7\n");
    build(&place);
    check(&place, false);
    check_error(&why(&place, &["result/bin/tol"]), &["probe-1/bin/tol", "did you mean probe-1/bin/tool?"]);
}

#[test]
fn of_a_package_each_phase_has_its_reason() {
    let place = Place::new();
    project(&place);
    build(&place);
    place.write("p", "src/x.h", "#define X 7\n");
    place.write("p", "src/new.h", "");
    build(&place);
    let package = asked(&place, &[]);
    assert_eq!((&package["package"], &package["observed"]), (&"probe".into(), &true.into()));
    assert_eq!(
        package["sources"],
        serde_json::json!([
            { "path": "build/source/src/new.h", "how": "added" },
            { "path": "build/source/src/x.h", "how": "content" },
        ])
    );
    let steps = package["steps"].as_array().expect("steps");
    let step = steps.iter().find(|step| step["phase"] == "buildPhase").expect("a step");
    assert_eq!(step["verdict"], "seed");
    assert!(step["why"].as_str().expect("a reason").contains("src/"), "{step}");
    // By name, by directory, and for a person.
    for args in [&["probe"][..], &["probe-1"], &["."], &["../p"], &[]] {
        let text = why(&place, args).stdout();
        for said in
            ["probe-1\n", "src/x.h has other content", "src/new.h is new", "buildPhase      continued: "]
        {
            assert!(text.contains(said), "{said:?} is not in {text}");
        }
    }
    let elsewhere = place.rekindle(&["why", "probe"]).run();
    assert!(elsewhere.stdout().contains("probe-1"), "{}", elsewhere.stderr());
    let file = place.rekindle(&["why", "src/f.o", "-p", "probe"]).run();
    assert!(file.stdout().contains("gcc -c -o src/f.o"), "{}", file.stderr());
}

#[test]
fn a_word_is_a_package_and_a_path_is_a_file() {
    let place = Place::new();
    let makefile =
        "probe: probe.c\n\tgcc -o probe probe.c\ninstall: probe\n\tinstall -D probe $(PREFIX)/bin/probe\n";
    place.write("p", "rekindle.toml", "[package]\nname = \"probe\"\n");
    place.write("p", "Makefile", makefile);
    place.write("p", "probe.c", "int main(void) { return 0; }\n");
    build(&place);
    assert!(why(&place, &["probe"]).stdout().contains("buildPhase      run: "));
    assert!(why(&place, &["./probe"]).stdout().contains("gcc -o probe probe.c"));
    assert!(why(&place, &["probe.c"]).stdout().contains("a source"));
}

#[test]
fn mistakes_are_one_line() {
    let place = Place::new();
    let root = project(&place);
    check_error(&why(&place, &["prog"]), &["there is no store in"]);
    let other = place.write("other", "rekindle.toml", "[package]\nname = \"other\"\n");
    place.write("other", "Makefile", "all:\ninstall:\n\tinstall -D Makefile $(PREFIX)/a\n");
    place.build(&other, &[]);
    check_error(&why(&place, &["prog"]), &["there is no checkpoint of probe", "rekindle build"]);
    let unobserved = place.rekindle(&["build", "--no-link", "--no-observe"]).arg(&root).run();
    assert!(unobserved.success(), "{}", unobserved.stderr());
    check_error(&why(&place, &["prog"]), &["probe-1", "not observed", "--no-observe"]);
    assert!(why(&place, &[]).stdout().contains("were not observed"));
    assert_eq!(asked(&place, &[])["observed"], false);
    place.write("p", "src/f.c", "int f(void) { return 3; }\n");
    build(&place);
    check_error(&why(&place, &["src/mian.o"]), &["made or read src/mian.o", "did you mean src/main.o?"]);
    check_error(&why(&place, &["src/nothing-like-it"]), &["src/nothing-like-it", "rekindle graph"]);
    check_error(&why(&place, &["prog", "--checkpoint", "0000"]), &["there is no checkpoint 0000"]);
    check_error(&place.rekindle(&["why", "nonsense"]).run(), &["neither a package", "nonsense"]);
    // Of a phase that failed only that is kept which did not.
    place.write("p", "src/x.h", "#error no\n");
    let failed = place.rekindle(&["build", "--no-link"]).arg(&root).run();
    assert_eq!(failed.code(), Some(100), "{}", failed.stderr());
    let said = why(&place, &[]).stdout();
    assert!(said.contains("failed          in buildPhase"), "{said}");
    assert!(why(&place, &["src/main.o"]).stdout().contains("taken over from"));
    let hint = ["no process", "it failed in buildPhase", "only what it had made before", "--checkpoint"];
    check_error(&why(&place, &["src/mian.o"]), &hint);
    place.write("p", "src/x.h", "#define X 4\n");
    build(&place);
    let untouched = why(&place, &["unused.txt"]);
    assert!(untouched.success() && untouched.stdout().contains("no process"), "{}", untouched.stderr());
    assert_eq!(asked(&place, &["unused.txt"])["kind"], "untouched");
}

#[test]
fn a_shell_that_wrote_the_file_is_named() {
    let place = Place::new();
    place.write("p", "rekindle.toml", "[package]\nname = \"probe\"\nversion = \"1\"\n");
    let makefile = "all: n m\nn:\n\tmv t n 2> /dev/null || echo none > n2\n\
                    m:\n\t@:; gcc --version > m\n\
                    install: all\n\tmkdir $(PREFIX); cp n2 m $(PREFIX)\n";
    place.write("p", "Makefile", makefile);
    build(&place);
    let told = why(&place, &["n2"]);
    assert!(told.stdout().contains("mv t n 2> /dev/null || echo none > n2"), "{}", told.stdout());
    let told = why(&place, &["m"]);
    assert!(told.stdout().contains("gcc --version") && !told.stdout().contains("@:"), "{}", told.stdout());
}

//! `verify`: a clean build beside what was built, and the comparison.
//!
//! The wrong outputs here are those of a plain make that does not know a header, and so goes on from an object that is stale,
//! in builds whose audit is told to forget the rule that would find it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::checkpoints::{json, list, program};
use crate::project::Place;

/// Has an audit forget a rule.
const FORGETS: &str = "REKINDLE_AUDIT_WITHOUT";

/// A package whose makefile does not say that `main.o` needs `a.h`.
fn forgetful(place: &Place) -> PathBuf {
    let root = program(place, "probe");
    let makefile = "prog: main.o f.o\n\tgcc -o $@ $^\ninstall: prog\n\tinstall -D prog $(PREFIX)/bin/prog\n\
                    \tinstall -D f.c $(PREFIX)/share/f.c\n";
    place.write("probe", "Makefile", makefile);
    root
}

fn verify(place: &Place, args: &[&str]) -> (Option<i32>, Value) {
    let finished = place.rekindle(&["verify", "--json"]).args(args).run();
    let code = finished.code();
    (code, json(&finished))
}

fn provenance(place: &Place, path: &str) -> Value {
    json(&place.rekindle(&["store", "path-info", "--json", path]).run())[0]["provenance"].clone()
}

fn runs(place: &Place, output: &str) -> String {
    let run = Command::new(place.physical(output).join("bin/prog")).output().expect("it runs");
    String::from_utf8(run.stdout).expect("text")
}

/// All that is in a tree, to see that nothing touched it.
fn content(root: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = path.symlink_metadata().expect("it is there");
        let bytes = if metadata.is_file() { fs::read(&path).expect("a file") } else { Vec::new() };
        found.push((path.clone(), bytes, metadata.modified().expect("a time")));
        if metadata.is_dir() {
            pending.extend(fs::read_dir(&path).expect("a directory").flatten().map(|entry| entry.path()));
        }
    }
    found.sort();
    found
}

fn run_rm(place: &Place, as_user: bool, id: &str) -> bool {
    let args = ["checkpoint", "rm", id];
    if as_user {
        place.rekindle_as_user(&args).run().success()
    } else {
        place.rekindle(&args).run().success()
    }
}

#[test]
fn what_is_equal_becomes_verified() {
    let place = Place::new();
    let root = program(&place, "probe");
    place.build(&root, &[]);
    place.write("probe", "main.c", "int f(void);\nint main(void) { return f() - 2; }\n");
    let finished = place.rekindle(&["build", "--json"]).arg(&root).run();
    let report = json(&finished);
    let base = report["builds"][0]["taken"]["base"].as_str().expect("a base").to_owned();
    let path = report["goals"][0]["outputs"]["out"]["path"].as_str().expect("a path").to_owned();
    assert_eq!(provenance(&place, &path), serde_json::json!({ "kind": "incremental", "base": base }));
    let before = content(&place.physical(&path));
    let (code, verified) = verify(&place, &["result"]);
    assert_eq!(code, Some(0), "{verified:#}");
    assert_eq!(content(&place.physical(&path)), before, "what is valid is not touched");

    let place = Place::new();
    let root = forgetful(&place);
    place.build(&root, &[]);
    place.write("probe", "f.c", "int f(void) { return 7; }\n");
    let path = place.build(&root, &[]).remove(0);
    let before = content(&place.physical(&path));
    let root = root.to_str().expect("text");
    let (code, verified) = verify(&place, &[root]);
    assert_eq!(code, Some(0), "{verified:#}");
    let one = &verified["verified"][0];
    assert_eq!((&one["result"], &one["quarantinedCheckpoints"]), (&"equal".into(), &0.into()));
    assert_eq!(one["outputs"]["out"]["provenance"]["kind"], "verified");
    assert_eq!(provenance(&place, &path)["kind"], "verified");
    assert!(place.rekindle(&["store", "path-info", &path]).run().stdout().contains("verified: equal"));
    assert_eq!(content(&place.physical(&path)), before, "what is valid is not touched");
    assert_eq!(place.leftovers(), Vec::<String>::new());
    // Once more changes nothing.
    let again = place.rekindle(&["verify", root]).run();
    assert!(again.success() && again.stderr().contains("is what a clean build gives"), "{}", again.stderr());
    assert_eq!(provenance(&place, &path)["kind"], "verified");
}

/// For a release, an output that is there already is no reason not to build.
#[test]
fn what_was_taken_on_is_built_clean_for_who_asks() {
    let place = Place::new();
    let root = forgetful(&place);
    place.build(&root, &[]);
    place.write("probe", "a.h", "#define A 5\n");
    let forgets = |args: &[&str]| place.rekindle(args).env(FORGETS, "producer").arg(&root).run();
    let wrong = forgets(&["build", "--no-link", "--print-out-paths"]).line();
    assert_eq!(runs(&place, &wrong), "1 2\n", "make must get it wrong here for this test to mean anything");
    let planned = json(&forgets(&["build", "--dry-run", "--clean", "--json"]));
    assert_eq!(planned["toBuild"].as_array().map(Vec::len), Some(1), "{planned:#}");
    let path = forgets(&["build", "--no-link", "--print-out-paths", "--clean"]).line();
    assert_eq!((&path, runs(&place, &path).as_str()), (&wrong, "5 2\n"));
    assert_eq!(provenance(&place, &path)["kind"], "clean");
    assert!(place.rekindle(&["store", "verify"]).run().success());
    // What is clean is there.
    let again = json(&forgets(&["build", "--no-link", "--clean", "--json"]));
    assert_eq!(again["builds"].as_array().map(Vec::len), Some(0), "{again:#}");
}

/// A linker writes into a program what it is called, by a digest.
#[test]
fn what_was_built_at_its_final_path_is_compared_with_such_a_build() {
    let place = Place::new();
    let root = program(&place, "probe");
    let makefile = "prog: main.c f.c\n\tgcc -Wl,--build-id -DPLACE='\"$(PREFIX)\"' -include stdio.h -o $@ $^\n\
                    install: prog\n\tinstall -D prog $(PREFIX)/bin/prog\n\techo $(PREFIX) | md5sum > $(PREFIX)/sum\n";
    place.write("probe", "Makefile", makefile);
    place.build(&root, &["--exact-path"]);
    let verified_as = |code, result: &str| {
        let (found, verified) = verify(&place, &[root.to_str().expect("text")]);
        assert_eq!((found, &verified["verified"][0]["result"]), (Some(code), &result.into()), "{verified:#}");
    };
    verified_as(0, "equal");
    // What comes out differently each time does so there, too.
    let random = "\tcat /proc/sys/kernel/random/uuid > $(PREFIX)/random\n";
    place.write("probe", "Makefile", format!("{makefile}{random}"));
    place.build(&root, &["--exact-path"]);
    verified_as(104, "not-reproducible");
}

/// What a build leaves alone is not made by it, however that build was.
#[test]
fn an_output_that_was_there_stays_what_it_was() {
    let place = Place::new();
    let manifest = "[package]\nname = \"x\"\nversion = \"1\"\nbuild-system = \"custom\"\noutputs = [\"out\", \"dev\"]\n\
                    [phases]\nbuild = \"cat a > b\"\ninstall = \"install -D b $out/b; install -D a $dev/a\"\n";
    let root = place.write("x", "rekindle.toml", manifest);
    let build = |text: &str| {
        place.write("x", "a", text);
        json(&place.rekindle(&["build", "--json", "--out-link", "result"]).arg(&root).run())["goals"][0]["outputs"].clone()
    };
    build("1");
    let first = build("2");
    let kinds = |outputs: &Value| ["out", "dev"].map(|name| outputs[name]["provenance"]["kind"].clone());
    assert_eq!(kinds(&first), ["incremental", "incremental"]);
    fs::remove_file(place.path().join("result-dev")).expect("a link");
    assert!(place.rekindle(&["gc", "--keep-last", "0"]).run().success());
    for one in list(&place) {
        assert!(run_rm(&place, false, one["id"].as_str().expect("an identity")));
    }
    assert!(
        !place.physical(first["dev"]["path"].as_str().expect("a path")).exists(),
        "it has to be collected"
    );
    let second = build("2");
    assert_eq!(kinds(&second), ["incremental", "clean"], "{second:#}");
}

#[test]
fn what_is_wrong_is_named_and_nothing_starts_from_it() {
    for as_user in [false, true] {
        let place = Place::new();
        let root = forgetful(&place);
        let run = |args: &[&str]| match as_user {
            true => place.rekindle_as_user(args).env(FORGETS, "producer").arg(&root).run(),
            false => place.rekindle(args).env(FORGETS, "producer").arg(&root).run(),
        };
        let build =
            |args: &[&str]| run(&[&["build", "--no-link", "--print-out-paths"], args].concat()).line();
        build(&[]);
        place.write("probe", "a.h", "#define A 5\n");
        let wrong = build(&[]);
        assert_eq!(
            runs(&place, &wrong),
            "1 2\n",
            "make must get it wrong here for this test to mean anything"
        );

        let found = run(&["verify"]);
        assert_eq!(found.code(), Some(104), "{}", found.stderr());
        assert!(
            found.stderr().contains("bin/prog of the output out has other content"),
            "{}",
            found.stderr()
        );
        assert!(found.stderr().contains("2 checkpoints are in quarantine"), "{}", found.stderr());
        assert!(list(&place).iter().all(|one| one["quarantined"] == true));
        // What to do about it is said each time.
        for stderr in [found.stderr(), run(&["verify"]).stderr()] {
            assert!(stderr.contains("the next build of it is clean, and replaces it"), "{stderr}");
        }
        let report = json(&run(&["verify", "--json"]));
        let one = &report["verified"][0];
        assert_eq!((&one["result"], &report["exitCode"]), (&"different".into(), &104.into()));
        let differences = one["differences"].as_array().expect("a list");
        assert_eq!((differences.len(), &differences[0]["file"]), (1, &"bin/prog".into()));

        assert_eq!(one["outputs"]["out"]["provenance"]["kind"], "wrong");
        let nightly = match as_user {
            true => place.rekindle_as_user(&["verify", "--sample", "100%"]).run(),
            false => place.rekindle(&["verify", "--sample", "100%"]).run(),
        };
        assert_eq!(nightly.code(), Some(104), "it is still there: {}", nightly.stderr());
        // The same sources again: built clean, and right. Then there is nothing to say about it any more.
        let again = run(&["build", "--no-link", "--print-out-paths"]);
        assert!(again.stderr().contains("built clean and replaced"), "{}", again.stderr());
        assert_eq!((again.line(), runs(&place, &wrong).as_str()), (wrong.clone(), "5 2\n"));
        assert_eq!(provenance(&place, &wrong)["kind"], "clean");
        let sound = place.rekindle(&["store", "verify"]).run();
        assert!(sound.success(), "{}{}", sound.stdout(), sound.stderr());
        assert!(run(&["verify"]).success());

        // A checkpoint in quarantine is not gone on from, by choice or by name.
        let quarantined = list(&place).into_iter().find(|one| one["quarantined"] == true).expect("one");
        let id = quarantined["id"].as_str().expect("an identity").to_owned();
        let named = run(&["build", "--no-link", "--from", &id]);
        assert!(named.code() == Some(1) && named.stderr().contains("quarantine"), "{}", named.stderr());
        for one in list(&place).iter().filter(|one| one["quarantined"] == false) {
            let id = one["id"].as_str().expect("an identity");
            assert!(run_rm(&place, as_user, id), "the clean one would be gone on from");
        }
        place.write("probe", "a.h", "#define A 6\n");
        let report = json(&run(&["build", "--no-link", "--json"]));
        let output = &report["goals"][0]["outputs"]["out"];
        assert_eq!(output["provenance"]["kind"], "clean", "{report:#}");
        assert_eq!(runs(&place, output["path"].as_str().expect("a path")), "6 2\n");
        // Collected like anything that is of no use.
        let gc = if as_user { place.rekindle_as_user(&["gc"]).run() } else { place.rekindle(&["gc"]).run() };
        assert!(gc.success(), "{}", gc.stderr());
        assert!(list(&place).iter().all(|one| one["quarantined"] == false) && list(&place).len() == 1);
    }
}

/// What keeps its path does not look any different to those who were built with it.
#[test]
fn what_was_built_with_something_wrong_is_wrong() {
    let place = Place::new();
    forgetful(&place);
    let manifest = "[package]\nname = \"app\"\nversion = \"1\"\nbuild-system = \"custom\"\n\
                    inputs = [{ path = \"../probe\" }]\n[phases]\nbuild = \"prog > said\"\n\
                    install = \"install -D said $out/said; install -D more $out/more\"\n";
    let app = place.write("app", "rekindle.toml", manifest);
    place.write("app", "more", "1");
    let run = |args: &[&str]| place.rekindle(args).env(FORGETS, "producer").run();
    let [app, probe] = [app, place.path().join("probe")].map(|root| root.to_str().expect("text").to_owned());
    let build = |app: &str| run(&["build", "--no-link", "--print-out-paths", app]).line();
    let said = |path: &str| fs::read_to_string(place.physical(path).join("said")).expect("a file");
    build(&app);
    place.write("probe", "a.h", "#define A 5\n");
    let first = build(&app);
    assert_eq!(said(&first), "1 2\n", "make must get it wrong here for this test to mean anything");
    place.write("app", "more", "2");
    let second = build(&app);

    // To look at one changes nothing of the other.
    let lib = run(&["build", "--no-link", "--print-out-paths", &probe]).line();
    let found = run(&["verify", &app]);
    assert!(found.success(), "{}", found.stderr());
    assert_eq!(
        (runs(&place, &lib).as_str(), &provenance(&place, &lib)["kind"]),
        ("1 2\n", &"incremental".into())
    );

    let found = run(&["verify", "--json", &probe, &app]);
    let report = json(&found);
    let of_lib = &report["verified"][0];
    assert_eq!((found.code(), &of_lib["result"]), (Some(104), &"different".into()), "{report:#}");
    assert_eq!(of_lib["wrongUsers"].as_array().map(Vec::len), Some(2), "{report:#}");
    for path in [&first, &second, &lib] {
        assert_eq!(provenance(&place, path)["kind"], "wrong", "{path}");
    }
    assert!(list(&place).iter().all(|one| one["quarantined"] == true));

    assert_eq!((build(&app), said(&second).as_str()), (second.clone(), "5 2\n"));
    place.write("app", "more", "1");
    assert_eq!((build(&app), said(&first).as_str()), (first.clone(), "5 2\n"));
    assert!(run(&["verify", &probe, &app]).success());
}

#[test]
fn a_package_that_is_never_the_same_is_said_to_be() {
    let place = Place::new();
    let manifest = "[package]\nname = \"x\"\nversion = \"1\"\nbuild-system = \"custom\"\n[phases]\n\
                    build = \"cat /proc/sys/kernel/random/uuid > out\"\ninstall = \"install -D out $out/random\"\n";
    let root = place.write("x", "rekindle.toml", manifest);
    place.write("x", "source", "1");
    let root = root.to_str().expect("text");
    let path = place.build(Path::new(root), &[]).remove(0);
    let (code, report) = verify(&place, &[&path]);
    assert_eq!(code, Some(104));
    let one = &report["verified"][0];
    assert_eq!((&one["result"], &one["quarantinedCheckpoints"]), (&"not-reproducible".into(), &0.into()));
    assert_eq!(
        (&one["differences"][0]["file"], &one["differences"][0]["varies"]),
        (&"random".into(), &true.into())
    );
    assert!(list(&place).iter().all(|one| one["quarantined"] == false));
    let said = place.rekindle(&["verify", root]).run().stderr();
    assert!(said.contains("is not reproducible: random of the output out"), "{said}");
}

#[test]
fn targets_have_many_names() {
    let place = Place::new();
    let root = forgetful(&place);
    place.build(&root, &[]);
    let nothing = place.rekindle(&["verify", "--sample", "50%"]).run();
    assert!(nothing.success() && nothing.stdout().contains("nothing to verify"), "{}", nothing.stderr());
    let mut paths = Vec::new();
    for round in 3..6 {
        place.write("probe", "f.c", format!("int f(void) {{ return {round}; }}\n"));
        paths.push(place.build(&root, &[]).remove(0));
    }
    let kinds = || -> Vec<String> {
        paths
            .iter()
            .map(|path| provenance(&place, path)["kind"].as_str().expect("a kind").to_owned())
            .collect()
    };
    assert_eq!(kinds(), ["incremental"; 3]);
    // A share is at least one.
    let (code, report) = verify(&place, &["--sample", "1%"]);
    assert_eq!((code, report["verified"].as_array().expect("a list").len()), (Some(0), 1));
    assert_eq!(kinds().iter().filter(|kind| *kind == "verified").count(), 1);
    let (code, report) = verify(&place, &["--sample", "100%"]);
    assert_eq!((code, report["verified"].as_array().expect("a list").len()), (Some(0), 2));
    assert_eq!(kinds(), ["verified"; 3]);
    // By name: all that was built of it, the clean one too.
    let (code, report) = verify(&place, &["probe-1"]);
    assert_eq!((code, report["verified"].as_array().expect("a list").len()), (Some(0), 4));
    // By derivation.
    let drv = report["verified"][0]["drvPath"].as_str().expect("a path").to_owned();
    assert_eq!(verify(&place, &[&drv]).0, Some(0));

    let mistake = |args: &[&str], says: &str| {
        let finished = place.rekindle(&["verify"]).args(args).run();
        assert!(
            finished.code() == Some(1) && finished.stderr().contains(says),
            "{args:?}: {}",
            finished.stderr()
        );
    };
    mistake(&["nothing-like-it"], "nothing that is called");
    place.write("probe", "f.c", "int f(void) { return 99; }\n");
    mistake(&[root.to_str().expect("text")], "is not built");
    let known = json(&place.rekindle(&["store", "path-info", "--json", "--all"]).run());
    let known = known.as_array().expect("a list").clone();
    let setup = known.iter().find(|info| info["deriver"].is_null()).expect("the set-up script");
    mistake(&[setup["path"].as_str().expect("a path")], "was not built here");
    // Without a checkpoint that has them there are no sources to build from.
    assert!(place.rekindle(&["checkpoint", "rm", "-p", "probe"]).run().success());
    mistake(&[&paths[0]], "in no checkpoint any more");
    place.build(&root, &[]);
    place.write("probe", "f.c", "int f(void) { return 100; }\n");
    place.build(&root, &[]);
    assert!(place.rekindle(&["checkpoint", "rm", "-p", "probe"]).run().success());
    let left = place.rekindle(&["verify", "--sample", "50"]).run();
    assert!(left.success() && left.stderr().contains("of what is incremental 1 cannot"), "{}", left.stderr());
}

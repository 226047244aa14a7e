//! Checkpoints as the user handles them: made by `prepare`, named by `--from`, listed, shown, pinned and removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::project::{Finished, Place};

/// A program of two objects and a header.
pub(crate) fn program(place: &Place, name: &str) -> PathBuf {
    let makefile = "prog: main.o f.o\n\tgcc -o $@ $^\n%.o: %.c a.h\n\tgcc -c -o $@ $<\n\
                    install: prog\n\tinstall -D prog $(PREFIX)/bin/prog\n";
    place.write(name, "rekindle.toml", format!("[package]\nname = \"{name}\"\nversion = \"1\"\n"));
    place.write(name, "Makefile", makefile);
    place.write(name, "main.c", "#include <stdio.h>\n#include \"a.h\"\nint f(void);\nint main(void) { printf(\"%d %d\\n\", A, f()); }\n");
    place.write(name, "a.h", "#define A 1\n");
    place.write(name, "f.c", "int f(void) { return 2; }\n")
}

pub(crate) fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout())
        .unwrap_or_else(|error| panic!("{error}: {}{}", finished.stdout(), finished.stderr()))
}

fn prepare(place: &Place, root: &Path) -> String {
    place.rekindle(&["prepare", "-q"]).arg(root).run().line()
}

pub(crate) fn list(place: &Place) -> Vec<Value> {
    let listed = json(&place.rekindle(&["checkpoint", "list", "--json"]).run());
    assert_eq!(listed["version"], 1);
    listed["checkpoints"].as_array().expect("a list").clone()
}

fn ids(place: &Place) -> Vec<String> {
    list(place).iter().map(|one| text(&one["id"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text: {value}")).to_owned()
}

/// The record of a checkpoint, on the disk.
fn record(place: &Place, id: &str) -> PathBuf {
    let packages = fs::read_dir(place.store().join("rekindle-1/checkpoints")).expect("checkpoints").flatten();
    let mut records = packages.map(|package| package.path().join(id).join("record"));
    records.find(|record| record.exists()).expect("a record")
}

#[track_caller]
fn check_error(finished: &Finished, says: &[&str]) {
    let stderr = finished.stderr();
    assert_eq!(finished.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("error:")).count(), 1, "{stderr}");
    assert_eq!(finished.stdout(), "");
    for said in says {
        assert!(stderr.contains(said), "{said:?} is not in {stderr}");
    }
}

#[test]
fn prepare_stops_before_installing() {
    let place = Place::new();
    let root = program(&place, "probe");
    let finished = place.rekindle(&["prepare", "--json"]).arg(&root).run();
    assert!(finished.success(), "{}", finished.stderr());
    let report = json(&finished);
    assert_eq!(
        (&report["version"], &report["success"], &report["exitCode"]),
        (&1.into(), &true.into(), &0.into())
    );
    let made = &report["checkpoints"][0];
    assert_eq!(
        (&made["package"], &made["existed"], &made["reached"]),
        (&"probe".into(), &false.into(), &"checkPhase".into())
    );
    assert_eq!((&made["base"], &made["depth"], &made["failed"]), (&Value::Null, &0.into(), &Value::Null));
    assert_eq!(made["sources"]["files"], 4, "all but the manifest");
    assert!(made["bytes"].as_u64().expect("a number") > 10_000);
    assert!(text(&made["drvPath"]).ends_with("-probe-1.drv"));
    let steps = report["builds"][0]["steps"].as_array().expect("steps");
    let phases: Vec<_> = steps.iter().map(|step| text(&step["phase"])).collect();
    assert!(
        phases.contains(&"buildPhase".to_owned()) && !phases.contains(&"installPhase".to_owned()),
        "{phases:?}"
    );
    assert_eq!(report["builds"][0]["result"], "prepared");
    // Nothing is valid but what it was made from, and no link is there.
    let paths = place.rekindle(&["store", "path-info", "--all"]).run().stdout();
    assert!(!paths.lines().any(|line| line.ends_with("-probe-1")), "{paths}");
    assert!(!place.path().join("result").exists());
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

#[test]
fn a_checkpoint_of_the_same_sources_is_there_already() {
    let place = Place::new();
    let root = program(&place, "probe");
    let first = prepare(&place, &root);
    let again = place.rekindle(&["prepare"]).arg(&root).run();
    assert_eq!(again.line(), first);
    assert!(again.stderr().contains("there is a checkpoint of exactly these sources"), "{}", again.stderr());
    assert!(!again.stderr().contains("buildPhase"), "{}", again.stderr());
    let report = json(&place.rekindle(&["prepare", "--json"]).arg(&root).run());
    assert_eq!(report["checkpoints"][0]["existed"], true);
    assert_eq!(report["builds"][0]["steps"], Value::Array(Vec::new()), "nothing ran");
    // A full build leaves a checkpoint that will do.
    place.build(&root, &[]);
    assert!(ids(&place).contains(&prepare(&place, &root)));
    // Other sources, another recipe, or a clean one: another checkpoint.
    let known = ids(&place);
    place.write("probe", "f.c", "int f(void) { return 3; }\n");
    let other = prepare(&place, &root);
    assert!(!known.contains(&other));
    let clean = place.rekindle(&["prepare", "-q", "--clean"]).arg(&root).run().line();
    assert!(!known.contains(&clean) && clean != other);
}

#[test]
fn build_goes_on_from_the_checkpoint_that_is_named() {
    let place = Place::new();
    let root = program(&place, "probe");
    let first = prepare(&place, &root);
    // A better one, which would be chosen.
    place.write("probe", "f.c", "int f(void) { return 3; }\n");
    let better = prepare(&place, &root);
    place.write("probe", "main.c", "int f(void);\nint main(void) { return f() - 3; }\n");
    let report =
        json(&place.rekindle(&["build", "--no-link", "--json", "--from", &first[..8]]).arg(&root).run());
    let build = &report["builds"][0];
    assert_eq!(build["taken"]["base"], first.as_str());
    assert_eq!(build["taken"]["sources"], serde_json::json!({ "added": 0, "changed": 2, "removed": 0 }));
    let output = &report["goals"][0]["outputs"]["out"];
    assert_eq!(output["provenance"], serde_json::json!({ "kind": "incremental", "base": first }));
    let real = PathBuf::from(text(&output["realPath"]));
    assert!(std::process::Command::new(real.join("bin/prog")).status().expect("it runs").success());
    let log = place.rekindle(&["log", text(&build["drvPath"]).as_str()]).run().stdout();
    assert!(log.contains("-o f.o f.c") && log.contains("-o main.o main.c"), "{log}");
    // Its other name.
    place.write("probe", "a.h", "#define A 7\n");
    let args = ["build", "--no-link", "--json", "--base", &better];
    let report = json(&place.rekindle(&args).arg(&root).run());
    assert_eq!(report["builds"][0]["taken"]["base"], better.as_str());
    let clean = Place::new();
    let expected = clean.build(&root, &["--clean"]);
    assert_eq!(report["goals"][0]["outputs"]["out"]["path"], expected[0].as_str());
}

#[test]
fn an_ordinary_user_prepares_and_goes_on() {
    let place = Place::new();
    let root = program(&place, "probe");
    let id = place.rekindle_as_user(&["prepare", "-q"]).arg(&root).run().line();
    place.write("probe", "f.c", "int f(void) { return 3; }\n");
    let built = place.rekindle_as_user(&["build", "--no-link", "--json", "--from", &id]).arg(&root).run();
    assert_eq!(json(&built)["builds"][0]["taken"]["steps"]["seeded"], 1, "{}", built.stderr());
    let pinned = place.rekindle_as_user(&["checkpoint", "pin", &id]).run();
    assert!(pinned.success(), "{}", pinned.stderr());
    let removed = place.rekindle_as_user(&["checkpoint", "rm", &id]).run();
    assert!(removed.success(), "{}", removed.stderr());
    assert_eq!(place.rekindle_as_user(&["checkpoint", "list"]).run().stdout().lines().count(), 2);
}

#[test]
fn what_a_package_needs_is_built_in_full() {
    let place = Place::new();
    place.write("dep", "rekindle.toml", "[package]\nname = \"dep\"\nversion = \"1\"\nbuild-system = \"custom\"\n[phases]\ninstall = \"echo dep > $out\"\n");
    program(&place, "probe");
    let manifest = "[package]\nname = \"probe\"\nversion = \"1\"\ninputs = [{ path = \"../dep\" }]\n";
    let root = place.write("probe", "rekindle.toml", manifest);
    let report = json(&place.rekindle(&["prepare", "--json"]).arg(&root).run());
    assert_eq!(report["checkpoints"].as_array().expect("a list").len(), 1);
    let results: Vec<_> = report["builds"]
        .as_array()
        .expect("builds")
        .iter()
        .map(|build| (text(&build["name"]), text(&build["result"])))
        .collect();
    assert_eq!(
        results,
        [("dep-1".to_owned(), "built".to_owned()), ("probe-1".to_owned(), "prepared".to_owned())]
    );
    // With several packages in one build the checkpoint is the base of its own alone.
    let id = text(&report["checkpoints"][0]["id"]);
    place.write("probe", "f.c", "int f(void) { return 3; }\n");
    let other = program(&place, "other");
    let args = ["build", "--no-link", "--json", "--from", &id];
    let built = json(&place.rekindle(&args).arg(&root).arg(&other).run());
    let bases: Vec<_> = built["builds"]
        .as_array()
        .expect("builds")
        .iter()
        .map(|build| (text(&build["name"]), build["taken"]["base"].clone()))
        .collect();
    assert!(bases.contains(&("probe-1".to_owned(), id.as_str().into())), "{bases:?}");
    assert!(bases.contains(&("other-1".to_owned(), Value::Null)), "{bases:?}");
    assert_eq!(built["success"], true, "{built:#}");
}

#[test]
fn a_failure_while_preparing_is_a_failed_build() {
    let place = Place::new();
    let root = program(&place, "probe");
    place.write("probe", "f.c", "int f(void) { return }\n");
    let failed = place.rekindle(&["prepare"]).arg(&root).run();
    assert_eq!((failed.code(), failed.stdout()), (Some(100), String::new()));
    assert!(failed.stderr().contains("failed in buildPhase"), "{}", failed.stderr());
    let listed = list(&place);
    assert_eq!((listed.len(), &listed[0]["failed"]), (1, &"buildPhase".into()));
    let shown = place.rekindle(&["checkpoint", "list"]).run().stdout();
    assert!(shown.contains("buildPhase failed"), "{shown}");
}

#[test]
fn what_has_no_phases_cannot_be_prepared() {
    let place = Place::new();
    let manifest = "[package]\nname = \"x\"\nversion = \"1\"\nbuild-system = \"custom\"\n[phases]\ncommand = \"echo > $out\"\n";
    let root = place.write("x", "rekindle.toml", manifest);
    let failed = place.rekindle(&["prepare"]).arg(&root).run();
    assert!(!failed.success() && failed.stderr().contains("do not run one by one"), "{}", failed.stderr());
}

#[test]
fn a_base_that_cannot_be_is_one_line_that_says_what_to_do() {
    let place = Place::new();
    let root = program(&place, "probe");
    let build = |id: &str| place.rekindle(&["build", "--no-link", "--from", id]).arg(&root).run();
    check_error(&build("abcd"), &["there is no store"]);
    let other_root = program(&place, "other");
    let other = prepare(&place, &other_root);
    let id = prepare(&place, &root);
    check_error(
        &build("ffffffffffffffffffffffffffffffff"),
        &["there is no checkpoint ffff", "rekindle checkpoint list"],
    );
    check_error(&build(&id[..3]), &["too short", "at least 4"]);
    check_error(&build("zzzz"), &["there is no checkpoint zzzz"]);
    check_error(&build(&other), &["is of other", "rekindle checkpoint list"]);
    // Two that begin with the same digits.
    let twin = record(&place, &id).parent().expect("a directory").with_file_name(format!("{}0", &id[..31]));
    let twin = if twin.ends_with(&id) { twin.with_file_name(format!("{}1", &id[..31])) } else { twin };
    fs::create_dir(&twin).expect("our own directory");
    check_error(&build(&id[..8]), &["stands for several checkpoints", &id]);
    fs::remove_dir(&twin).expect("our own directory");
    // Another recipe from the first step on.
    let manifest = "[package]\nname = \"probe\"\nversion = \"1\"\n[env]\nCPPFLAGS = \"-DX\"\n";
    place.write("probe", "rekindle.toml", manifest);
    check_error(&build(&id), &["its first step already has another recipe", "without --from"]);
    // Damaged.
    let file = record(&place, &id);
    let mut bytes = fs::read(&file).expect("a record");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("our own file");
    check_error(&build(&id), &["it is damaged", "name another one"]);
    let listed = list(&place);
    let damaged = listed.iter().find(|one| one["id"] == id.as_str()).expect("listed");
    assert_eq!((&damaged["unusable"], &damaged["package"]), (&"it is damaged".into(), &Value::Null));
    let shown = place.rekindle(&["checkpoint", "show", &id]).run();
    assert!(shown.success() && shown.stdout().contains("it is damaged"), "{}", shown.stderr());
    let removed = place.rekindle(&["checkpoint", "rm", &id]).run();
    assert!(removed.success(), "{}", removed.stderr());
    assert_eq!(ids(&place), [other]);
}

#[test]
fn a_list_says_what_there_is() {
    let place = Place::new();
    check_error(&place.rekindle(&["checkpoint", "list"]).run(), &["there is no store"]);
    let (root, other_root) = (program(&place, "probe"), program(&place, "other"));
    let first = prepare(&place, &root);
    let other = prepare(&place, &other_root);
    place.write("probe", "f.c", "int f(void) { return 3; }\n");
    let second = prepare(&place, &root);
    let listed = list(&place);
    let position = |id: &str| listed.iter().position(|one| one["id"] == id).expect("listed");
    assert!(
        position(&second) < position(&first)
            || listed[position(&second)]["created"] == listed[position(&first)]["created"]
    );
    let newest = &listed[position(&second)];
    assert_eq!((&newest["base"], &newest["depth"]), (&first.as_str().into(), &1.into()));
    // A changed file costs a fraction of the whole.
    assert!(newest["ownBytes"].as_u64() < newest["bytes"].as_u64());
    let of_one = json(&place.rekindle(&["checkpoint", "list", "--json", "-p", "other"]).run());
    assert_eq!(of_one["checkpoints"].as_array().expect("a list").len(), 1);
    let shown = place.rekindle(&["checkpoint", "list", "-p", "other"]).run().stdout();
    assert!(shown.starts_with("CHECKPOINT") && shown.contains(&other[..12]), "{shown}");
    let nothing = place.rekindle(&["checkpoint", "list", "-p", "nothing"]).run();
    assert_eq!((nothing.success(), nothing.stdout()), (true, String::new()));

    let details = json(&place.rekindle(&["checkpoint", "show", "--json", &second[..6]]).run());
    assert_eq!((&details["id"], &details["version"]), (&second.as_str().into(), &1.into()));
    let steps = details["steps"].as_array().expect("steps");
    let build = steps.iter().find(|step| step["phase"] == "buildPhase").expect("a build phase");
    assert_eq!((&build["ownLayers"], &build["observed"]["everything"]), (&Value::Null, &true.into()));
    assert_eq!(text(&build["recipe"]).len(), 64);
    let setup = steps.first().expect("a first step");
    assert_eq!(setup["observed"]["everything"], false, "{setup}");
    let layers = details["layers"].as_array().expect("layers");
    assert!(
        layers.iter().any(|layer| layer["sharedWith"] == 1)
            && layers.iter().any(|layer| layer["sharedWith"] == 0)
    );
    let shown = place.rekindle(&["checkpoint", "show", &second]).run().stdout();
    for said in ["package     probe for", &first, "4 files", "buildPhase", "also of another one"] {
        assert!(shown.contains(said), "{said:?} is not in {shown}");
    }
}

#[test]
fn pinned_ones_outlive_all_builds() {
    let place = Place::new();
    let root = program(&place, "probe");
    let id = prepare(&place, &root);
    assert!(place.rekindle(&["checkpoint", "pin", &id[..10]]).run().success());
    for round in 0..8 {
        place.write("probe", "f.c", format!("int f(void) {{ return {round}; }}\n"));
        prepare(&place, &root);
    }
    let left = list(&place);
    assert_eq!(left.len(), 6 + 1);
    let pinned: Vec<_> =
        left.iter().filter(|one| one["pinned"] == true).map(|one| text(&one["id"])).collect();
    assert_eq!(pinned, [&*id]);
    assert!(place.rekindle(&["checkpoint", "list"]).run().stdout().contains("pinned"));
    for _ in 0..2 {
        assert!(place.rekindle(&["checkpoint", "unpin", &id]).run().success());
    }
    place.write("probe", "f.c", "int f(void) { return 99; }\n");
    prepare(&place, &root);
    assert!(!ids(&place).contains(&id));
    check_error(&place.rekindle(&["checkpoint", "pin", &id]).run(), &["there is no checkpoint"]);
}

#[test]
fn removing_leaves_what_others_need() {
    let place = Place::new();
    let (root, other_root) = (program(&place, "probe"), program(&place, "other"));
    let first = prepare(&place, &root);
    place.write("probe", "f.c", "int f(void) { return 3; }\n");
    let second = prepare(&place, &root);
    let other = prepare(&place, &other_root);
    let removed = json(&place.rekindle(&["checkpoint", "rm", "--json", &first]).run());
    assert_eq!(removed["removed"], serde_json::json!([first]));
    assert!(removed["bytes"].as_u64().expect("a number") > 0);
    // The one that went on from it is whole.
    place.write("probe", "main.c", "int f(void);\nint main(void) { return f() - 3; }\n");
    let report = json(&place.rekindle(&["build", "--no-link", "--json", "--from", &second]).arg(&root).run());
    assert_eq!(report["builds"][0]["taken"]["steps"]["seeded"], 1);
    check_error(&place.rekindle(&["checkpoint", "rm", &first]).run(), &["there is no checkpoint"]);
    check_error(
        &place.rekindle(&["checkpoint", "rm", "-p", "nothing"]).run(),
        &["no checkpoint of the package"],
    );
    assert!(place.rekindle(&["checkpoint", "rm", "-p", "probe"]).run().success());
    assert_eq!(ids(&place), [&*other]);
    assert!(place.rekindle(&["checkpoint", "rm", &other]).run().success());
    let layers = fs::read_dir(place.store().join("rekindle-1/layers/layers")).expect("layers").count();
    assert_eq!(layers, 0, "no layer is left when no checkpoint is");
}

#[test]
fn rm_waits_for_the_build_that_uses_it() {
    let place = Place::new();
    let root = program(&place, "probe");
    let id = prepare(&place, &root);
    let flag = "prog: main.o f.o\n\tsleep 3\n\tgcc -o $@ $^\n%.o: %.c a.h\n\tgcc -c -o $@ $<\n\
                install: prog\n\tinstall -D prog $(PREFIX)/bin/prog\n";
    place.write("probe", "Makefile", flag);
    place.write("probe", "f.c", "int f(void) { return 3; }\n");
    let mut build = place.rekindle(&["build", "--no-link", "-L", "--from", &id]).arg(&root).command();
    let mut build = build.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut stderr = std::io::BufReader::new(build.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("sleep 3") {
        line.clear();
        let read = std::io::BufRead::read_line(&mut stderr, &mut line).expect("text");
        assert_ne!(read, 0, "it ended before it slept");
    }
    let mut rm = place.rekindle(&["checkpoint", "rm", &id]).command();
    let rm = rm.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let gc = place.rekindle(&["gc", "--json"]).run();
    assert_eq!(json(&gc)["checkpoints"]["inUse"], true);
    assert!(record(&place, &id).exists());
    let drained = thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    assert!(build.wait().expect("a child to wait for").success());
    drained.join().expect("no panic").expect("text");
    let rm = rm.wait_with_output().expect("a child to wait for");
    let said = String::from_utf8_lossy(&rm.stderr);
    assert!(rm.status.success() && said.contains("waiting for builds"), "{said}");
    assert!(!ids(&place).contains(&id));
    // What the build left is whole: the next one goes on from it.
    place.write("probe", "f.c", "int f(void) { return 4; }\n");
    let report = json(&place.rekindle(&["build", "--no-link", "--json"]).arg(&root).run());
    assert_eq!(report["builds"][0]["taken"]["steps"]["seeded"], 1, "{report:#}");
    let deadline = Instant::now() + Duration::from_secs(120);
    while !place.processes().is_empty() {
        assert!(Instant::now() < deadline, "{:?}", place.processes());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_summary_says_what_was_taken() {
    let place = Place::new();
    let root = program(&place, "probe");
    place.build(&root, &[]);
    place.write("probe", "f.c", "int f(void) { return 3; }\n");
    place.write("probe", "new.c", "");
    let finished = place.rekindle(&["build", "--no-link"]).arg(&root).run();
    let stderr = finished.stderr();
    assert!(
        stderr.contains("; sources: 1 changed, 1 added; steps: ") && stderr.contains("1 continued"),
        "{stderr}"
    );
    assert!(stderr.trim_end().lines().last().expect("a line").ends_with(", incremental"), "{stderr}");
    let manifest = "[package]\nname = \"probe\"\nversion = \"1\"\n[env]\nCPPFLAGS = \"-DX\"\n";
    place.write("probe", "rekindle.toml", manifest);
    let other = place.rekindle(&["build", "--no-link"]).arg(&root).run().stderr();
    assert!(other.contains("takes nothing from checkpoint") && other.contains("CPPFLAGS"), "{other}");
    assert!(!other.contains("incremental"), "{other}");
}

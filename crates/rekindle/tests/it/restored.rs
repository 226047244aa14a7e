//! What a phase finds when it goes on from a checkpoint, beside the build tree: as in a clean build.

use std::path::{Path, PathBuf};

use crate::project::Place;

fn project(place: &Place, build: &str, install: &str) -> PathBuf {
    let manifest = format!(
        "[package]\nname = \"probe\"\nversion = \"1\"\nbuild-system = \"custom\"\n[phases]\n\
         build = '''\n{build}\n'''\ninstall = '''\n{install}\n'''\n"
    );
    place.write("project", "rekindle.toml", manifest);
    place.write("project", "text", "one\n")
}

/// Builds, edits, builds again from there, and clean in another store. Returns the verdict on the build phase.
fn edited(place: &Place, root: &Path) -> String {
    place.build(root, &[]);
    place.write("project", "text", "two\n");
    let finished = place.rekindle(&["build", "--no-link", "--json"]).arg(root).run();
    assert!(finished.success(), "{}{}", finished.stdout(), finished.stderr());
    let report: serde_json::Value = serde_json::from_str(&finished.stdout()).expect("JSON");
    let ours = report["goals"][0]["outputs"]["out"]["path"].as_str().expect("an output");
    let clean = Place::new();
    assert_eq!(clean.build(root, &["--clean"]), [ours]);
    let read = |place: &Place| std::fs::read_to_string(place.physical(ours).join("result")).expect("a text");
    assert_eq!(read(place), read(&clean));
    let verdicts = report["builds"][0]["verdicts"].as_array().expect("verdicts");
    let judged = verdicts.iter().find(|judged| judged["phase"] == "buildPhase").expect("it was judged");
    format!("{} {}", judged["verdict"].as_str().unwrap_or(""), judged["reason"].as_str().unwrap_or(""))
}

#[test]
fn what_the_phase_left_in_tmp_is_gone() {
    let place = Place::new();
    let root = project(&place, "cat text >> /tmp/all; cp /tmp/all result", "mkdir $out; cp result $out/");
    assert_eq!(edited(&place, &root), "seed source");
}

#[test]
fn a_phase_that_writes_into_the_outputs_begins_anew() {
    let place = Place::new();
    let root = project(&place, "mkdir -p $out; cat text >> $out/result", "true");
    assert_eq!(edited(&place, &root), "run outputs-written");
}

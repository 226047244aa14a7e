//! `rekindle prepare` of several packages, of which some fail.

use serde_json::Value;

use crate::checkpoints::json;
use crate::project::Place;

/// A manifest with packages of these names, what each of them needs, and its command.
fn packages(place: &Place, all: &[(&str, &str, &str)]) -> std::path::PathBuf {
    let mut manifest = String::new();
    for (name, inputs, command) in all {
        let makefile = format!("x: x.txt\n\t{command}\ninstall:\n\tinstall -D x $(PREFIX)/x\n");
        place.write("p", &format!("{name}/Makefile"), makefile);
        place.write("p", &format!("{name}/x.txt"), *name);
        manifest += &format!("[packages.{name}]\nsource = \"{name}\"\ninputs = [{inputs}]\n");
    }
    place.write("p", "rekindle.toml", manifest)
}

/// The packages that are said to have come to a good end, after a failure.
fn prepared(place: &Place, root: &std::path::Path, args: &[&str]) -> Vec<String> {
    let finished = place.rekindle(&["prepare", "--json"]).args(args).arg(root).run();
    assert_eq!(finished.code(), Some(100), "{}", finished.stderr());
    let report: Value = json(&finished);
    let list = report["checkpoints"].as_array().expect("a list").iter();
    list.map(|one| one["package"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn what_came_to_a_good_end_is_told_although_another_package_failed() {
    let place = Place::new();
    // One after the other, and the one that fails is named before.
    let root = packages(&place, &[("app", "\"lib\"", "false"), ("lib", "", "cp x.txt x")]);
    assert_eq!(prepared(&place, &root, &["-j", "1"]), ["lib"]);
    assert_eq!(prepared(&place, &root, &["-j", "1", "-k"]), ["lib"]);
}

#[test]
fn what_was_built_for_another_is_told_although_something_else_that_it_needs_failed() {
    let place = Place::new();
    let root = packages(
        &place,
        &[("app", "\"broken\", \"lib\"", "cp x.txt x"), ("broken", "", "false"), ("lib", "", "cp x.txt x")],
    );
    assert_eq!(prepared(&place, &root, &["-j", "2", "-p", "app", "-p", "lib"]), ["lib"]);
}

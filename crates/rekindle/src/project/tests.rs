use super::*;
use crate::report::Look;

/// A directory with files, each given by its path and its text.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }
    dir
}

fn load(dir: &tempfile::TempDir, from: &str, wanted: &[&str]) -> Result<Project, String> {
    let wanted: Vec<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
    Project::load(&[dir.path().join(from)], &wanted).map_err(|error| error.render(&Look::PLAIN))
}

fn names(project: &Project) -> Vec<&str> {
    project.members.iter().map(|member| member.package.name.as_str()).collect()
}

/// Checks that an error has all of these in its text.
fn check_error(result: Result<Project, String>, parts: &[&str]) {
    let error = result.expect_err("an error");
    for part in parts {
        assert!(error.contains(part), "no {part:?} in: {error}");
    }
}

const CUSTOM: &str = "source = false\nbuild-system = \"custom\"\nphases.command = \"touch $out\"\n";

fn package(name: &str, rest: &str) -> String {
    format!("[packages.{name}]\n{CUSTOM}{rest}\n")
}

#[test]
fn members_come_after_what_they_use() {
    let dir = tree(&[
        ("app/rekindle.toml", &package("app", "inputs = [{ path = \"../lib\", package = \"a\" }]")),
        (
            "lib/rekindle.toml",
            &(package("a", "inputs = [{ package = \"z\" }]") + &package("z", "") + &package("y", "")),
        ),
    ]);
    let project = load(&dir, "app", &[]).expect("a project");
    assert_eq!(names(&project), ["z", "a", "app"]);
    assert_eq!(project.goals, [2]);
    assert_eq!(project.members[2].uses, [Some(1)]);
}

#[test]
fn all_packages_of_a_directory_are_goals_unless_some_are_named() {
    let dir = tree(&[("rekindle.toml", &(package("a", "") + &package("b", "")))]);
    assert_eq!(load(&dir, "", &[]).expect("a project").goals.len(), 2);
    let project = load(&dir, "", &["b"]).expect("a project");
    assert_eq!(names(&project), ["b"]);
    check_error(load(&dir, "", &["b", "c"]), &["no package \"c\"", "there is a, b"]);
}

#[test]
fn a_circle_is_listed() {
    let dir = tree(&[
        ("a/rekindle.toml", &package("a", "inputs = [{ path = \"../b\" }]")),
        ("b/rekindle.toml", &package("b", "inputs = [{ path = \"../a\" }]")),
    ]);
    check_error(load(&dir, "a", &[]), &["in a circle", "a (", "b (", " -> "]);
}

#[test]
fn mistakes_name_their_place() {
    let dir = tree(&[
        ("typo/rekindle.toml", "[package]\nname = \"x\"\nvresion = \"1\"\n"),
        ("missing/rekindle.toml", "[package]\nname = \"x\"\nsource = \"nowhere\"\n"),
        ("input/rekindle.toml", &package("x", "inputs = [{ path = \"../nowhere\" }]")),
        ("several/rekindle.toml", &(package("a", "") + &package("b", ""))),
        ("which/rekindle.toml", &package("x", "inputs = [{ path = \"../several\" }]")),
        ("other/rekindle.toml", &package("x", "inputs = [{ path = \"../several\", package = \"c\" }]")),
        ("empty/README", ""),
        ("lockless/rekindle.toml", "[package]\nname = \"x\"\nbuild-system = \"cargo\"\n"),
        ("tarball/rekindle.toml", "[package]\nname = \"x\"\nsource = \"x.tar\"\n"),
        ("tarball/x.tar", ""),
    ]);
    check_error(load(&dir, "typo", &[]), &["rekindle.toml:3:1", "`vresion`", "`version`"]);
    check_error(load(&dir, "missing", &[]), &["missing/nowhere", "of x"]);
    check_error(load(&dir, "input", &[]), &["x (", "nowhere"]);
    check_error(load(&dir, "which", &[]), &["several packages", "package = \"a\"", "they are a, b"]);
    check_error(load(&dir, "other", &[]), &["the package c", "several"]);
    check_error(load(&dir, "empty", &[]), &["no build system", "empty", "hint:"]);
    check_error(load(&dir, "lockless", &[]), &["Cargo.lock", "cargo generate-lockfile"]);
    check_error(load(&dir, "tarball", &[]), &["build system of x", "build-system ="]);
    check_error(load(&dir, "nowhere", &[]), &["nowhere"]);
    fs::write(dir.path().join("empty/rekindle.toml"), b"[package]\nname = \"\xff\"").expect("written");
    check_error(load(&dir, "empty", &[]), &["rekindle.toml:2:", "UTF-8"]);
}

#[test]
fn a_tree_without_a_manifest_is_recognised() {
    let dir = tree(&[("zlib-1.3/Makefile", "all:\n"), ("zlib-1.3/README", "")]);
    let project = load(&dir, "zlib-1.3", &[]).expect("a project");
    let package = &project.members[0].package;
    assert_eq!((package.full_name().as_str(), package.build_system), ("zlib-1.3", Some(BuildSystem::Make)));
}

#[test]
fn a_manifest_may_leave_the_build_system_to_the_tree() {
    let dir = tree(&[
        ("rekindle.toml", "[package]\nname = \"x\"\nsource = \"src\"\n"),
        ("src/Makefile", "INSTALL_TOP= /usr/local\n"),
    ]);
    let project = load(&dir, "", &[]).expect("a project");
    let package = &project.members[0].package;
    assert_eq!(package.build_system, Some(BuildSystem::Make));
    assert_eq!(package.flags.make, ["INSTALL_TOP=${out}"]);
}

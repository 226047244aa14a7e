//! Which files are sources, against git itself on random trees.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rekindle_layers::{EntryKind, ScanOptions, StatIndex, scan};

use crate::seed::{Rng, seeds};

fn git(dir: &Path, args: &[&str]) -> Output {
    let output = Command::new("git")
        .args(args)
        .current_dir(dir)
        .env("HOME", "/nonexistent")
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git must be installed for these tests");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// What git takes for the files of a directory: tracked, or not ignored, and there.
fn git_files(dir: &Path) -> BTreeSet<PathBuf> {
    let listed = git(dir, &["ls-files", "-z", "-c", "-o", "--exclude-standard"]).stdout;
    let paths = listed.split(|&byte| byte == 0).filter(|path| !path.is_empty());
    let paths = paths.map(|path| PathBuf::from(OsStr::from_bytes(path)));
    paths
        .filter(|path| fs::symlink_metadata(dir.join(path)).is_ok_and(|metadata| !metadata.is_dir()))
        .collect()
}

fn scanned(dir: &Path, exclude: &[&str]) -> BTreeSet<PathBuf> {
    let options = ScanOptions { gitignore: true, exclude: exclude.iter().map(ToString::to_string).collect() };
    let manifest = scan(dir, &options, &StatIndex::default()).unwrap().manifest;
    let files = manifest.entries().filter(|entry| !matches!(entry.kind, EntryKind::Directory { .. }));
    files.map(|entry| entry.path).collect()
}

fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn paths(list: &[&str]) -> BTreeSet<PathBuf> {
    list.iter().map(PathBuf::from).collect()
}

const NAMES: [&[u8]; 14] = [
    b"a",
    b"b",
    b"ab",
    b"a.c",
    b"b.o",
    b"x y",
    b"{a,b}",
    b"*",
    b"[a]",
    b"#a",
    b"!a",
    b"a\\b",
    b"caf\xe9",
    b"\xc3\xa9 ",
];

/// Pieces that patterns are made of; every special character and its odd uses.
const PIECES: [&[u8]; 34] = [
    b"a",
    b"b",
    b"ab",
    b"a.c",
    b".c",
    b".o",
    b"*",
    b"*",
    b"**",
    b"**/",
    b"/**",
    b"/",
    b"/",
    b"?",
    b"[ab]",
    b"[!a]",
    b"[a-b]",
    b"[^b-z]",
    b"[[:alpha:]]",
    b"[",
    b"]",
    b"\\",
    b"\\*",
    b"{a,b}",
    b" ",
    b"\\ ",
    b"#",
    b"!",
    b"\xe9",
    b"\xc3",
    b"***",
    b"/**/",
    b"caf",
    b"-",
];

fn random_patterns(rng: &mut Rng) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..1 + rng.below(5) {
        if rng.one_in(4) {
            text.push(b'!');
        }
        for _ in 0..1 + rng.below(4) {
            text.extend_from_slice(rng.pick(&PIECES));
        }
        text.extend_from_slice(rng.pick(&[b"\n" as &[u8], b"\n", b"\r\n", b" \n", b"/\n", b"/\n"]));
    }
    text
}

fn random_tree(rng: &mut Rng, dir: &Path, depth: usize) {
    if rng.one_in(2) {
        fs::write(dir.join(".gitignore"), random_patterns(rng)).unwrap();
    }
    for _ in 0..2 + rng.below(5) {
        let path = dir.join(OsStr::from_bytes(rng.pick(&NAMES)));
        if fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        if depth > 0 && rng.one_in(2) {
            fs::create_dir(&path).unwrap();
            random_tree(rng, &path, depth - 1);
        } else if rng.one_in(6) {
            std::os::unix::fs::symlink("a", path).unwrap();
        } else {
            fs::write(path, "").unwrap();
        }
    }
}

/// Makes git track some files, ignored or not, by an index of a random version.
fn track_some(rng: &mut Rng, top: &Path) {
    let all = git(top, &["ls-files", "-z", "-o"]).stdout;
    let mut list: Vec<u8> = Vec::new();
    for path in all.split(|&byte| byte == 0).filter(|path| !path.is_empty()) {
        if rng.one_in(3) {
            list.extend(b":(literal,top)");
            list.extend(path);
            list.push(0);
        }
    }
    let file = top.join(".git/paths");
    fs::write(&file, &list).unwrap();
    if !list.is_empty() {
        git(top, &["add", "-f", "--pathspec-from-file=.git/paths", "--pathspec-file-nul"]);
        let version = format!("--index-version={}", rng.pick(&[2, 3, 4]));
        git(top, &["update-index", &version]);
    }
}

#[test]
fn the_rule_is_that_of_git() {
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path();
        let format = if rng.one_in(4) { "--object-format=sha256" } else { "--object-format=sha1" };
        git(top, &["init", "-q", format]);
        random_tree(&mut rng, top, 3);
        track_some(&mut rng, top);
        let expected = git_files(top);
        assert_eq!(scanned(top, &[]), expected, "REKINDLE_SEED={seed}");

        // From within: what git says of the part, unless the whole part is ignored.
        for entry in fs::read_dir(top).unwrap() {
            let path = entry.unwrap().path();
            let part = |files: &BTreeSet<PathBuf>| -> BTreeSet<PathBuf> {
                let relative = path.strip_prefix(top).unwrap();
                files.iter().filter_map(|file| file.strip_prefix(relative).ok().map(Path::to_owned)).collect()
            };
            if path.is_dir() && !path.is_symlink() && !path.ends_with(".git") && !part(&expected).is_empty() {
                assert_eq!(scanned(&path, &[]), part(&expected), "REKINDLE_SEED={seed} in {path:?}");
            }
        }
    }
}

#[test]
fn tracked_files_count_though_ignored() {
    let temp = tempfile::tempdir().unwrap();
    let top = temp.path();
    git(top, &["init", "-q"]);
    write(&top.join(".gitignore"), b"*.o\n/out/\n/all/*\n");
    for path in ["a.o", "b.o", "out/kept", "out/left", "all/x/y", "c"] {
        write(&top.join(path), b"");
    }
    git(top, &["add", "-f", "a.o", "out/kept"]);
    assert_eq!(scanned(top, &[]), paths(&[".gitignore", "a.o", "c", "out/kept"]));
    assert_eq!(
        scanned(top, &["a.o", "/out", "!b.o"]),
        paths(&[".gitignore", "b.o", "c"]),
        "the caller decides"
    );
    let all = ScanOptions { gitignore: false, exclude: vec![] };
    let manifest = scan(top, &all, &StatIndex::default()).unwrap().manifest;
    assert!(manifest.get(Path::new("all/x/y")).is_some() && manifest.get(Path::new(".git")).is_none());
}

#[test]
fn outside_a_work_tree_nothing_is_ignored() {
    let temp = tempfile::tempdir().unwrap();
    write(&temp.path().join(".gitignore"), b"*.o\n");
    write(&temp.path().join("a.o"), b"");
    fs::create_dir(temp.path().join(".git")).unwrap();
    assert_eq!(
        scanned(temp.path(), &[]),
        paths(&[".gitignore", "a.o"]),
        "a .git without HEAD is no repository"
    );
}

#[test]
fn an_ignored_root_is_a_project_of_its_own() {
    let temp = tempfile::tempdir().unwrap();
    let top = temp.path();
    git(top, &["init", "-q"]);
    write(&top.join(".gitignore"), b"/target\n*.o\n");
    write(&top.join("target/pkg/a.o"), b"");
    assert_eq!(scanned(&top.join("target/pkg"), &[]), paths(&["a.o"]));
    write(&top.join("src/a.o"), b"");
    write(&top.join("src/a.c"), b"");
    assert_eq!(scanned(&top.join("src"), &[]), paths(&["a.c"]));
}

#[test]
fn a_repository_within_has_its_own_rules() {
    let temp = tempfile::tempdir().unwrap();
    let (top, sub) = (temp.path().join("top"), temp.path().join("sub"));
    for dir in [&top, &sub] {
        fs::create_dir(dir).unwrap();
        git(dir, &["init", "-q"]);
    }
    write(&sub.join(".gitignore"), b"*.log\n");
    write(&sub.join("a.o"), b"");
    write(&sub.join("kept.log"), b"");
    git(&sub, &["add", "-f", "."]);
    let author = ["-c", "user.name=t", "-c", "user.email=t@t"];
    git(&sub, &[author[0], author[1], author[2], author[3], "commit", "-qm", "x"]);
    git(&top, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../sub", "mod"]);
    write(&top.join(".gitignore"), b"*.o\nmod\n");
    write(&top.join("b.o"), b"");
    write(&top.join("mod/left.log"), b"");
    write(&top.join("mod/new.o"), b"");
    let expected = [".gitignore", ".gitmodules", "mod/.gitignore", "mod/a.o", "mod/kept.log", "mod/new.o"];
    assert_eq!(scanned(&top, &[]), paths(&expected));
    assert_eq!(scanned(&top.join("mod"), &[]), paths(&[".gitignore", "a.o", "kept.log", "new.o"]));
}

#[test]
fn linked_work_trees_have_their_own_index() {
    let temp = tempfile::tempdir().unwrap();
    let (top, linked) = (temp.path().join("top"), temp.path().join("linked"));
    fs::create_dir(&top).unwrap();
    git(&top, &["init", "-q"]);
    write(&top.join(".gitignore"), b"*.o\n");
    write(&top.join("a.o"), b"");
    git(&top, &["add", "-f", "."]);
    let author = ["-c", "user.name=t", "-c", "user.email=t@t"];
    git(&top, &[author[0], author[1], author[2], author[3], "commit", "-qm", "x"]);
    git(&top, &["worktree", "add", "-q", "../linked"]);
    write(&linked.join("b.o"), b"");
    assert_eq!(scanned(&linked, &[]), paths(&[".gitignore", "a.o"]));
}

#[test]
fn a_directory_of_ignored_files_only_is_left_out() {
    let temp = tempfile::tempdir().unwrap();
    let top = temp.path();
    git(top, &["init", "-q"]);
    write(&top.join(".gitignore"), b"*.o\n");
    write(&top.join("obj/deep/a.o"), b"");
    fs::create_dir_all(top.join("empty/inner")).unwrap();
    let options = ScanOptions { gitignore: true, exclude: vec![] };
    let manifest = scan(top, &options, &StatIndex::default()).unwrap().manifest;
    let found: Vec<_> = manifest.entries().map(|entry| entry.path).collect();
    assert_eq!(found, [".gitignore", "empty", "empty/inner"].map(PathBuf::from));
}

#[test]
fn an_index_that_cannot_be_read_is_an_error() {
    let temp = tempfile::tempdir().unwrap();
    let top = temp.path();
    git(top, &["init", "-q"]);
    write(&top.join("a"), b"");
    git(top, &["add", "."]);
    let index = top.join(".git/index");
    let good = fs::read(&index).unwrap();
    fs::write(&index, &good[..good.len() / 2]).unwrap();
    let options = ScanOptions { gitignore: true, exclude: vec![] };
    let error = scan(top, &options, &StatIndex::default()).unwrap_err();
    assert!(
        error.path().unwrap().ends_with(".git/index") && error.to_string().contains("damaged"),
        "{error}"
    );
    fs::write(&index, &good).unwrap();
    git(top, &["update-index", "--split-index"]);
    let error = scan(top, &options, &StatIndex::default()).unwrap_err();
    assert!(error.to_string().contains("--no-split-index"), "{error}");
}

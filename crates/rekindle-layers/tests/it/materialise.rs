//! Writing trees out: exact copies, and byte strings replaced wherever they may be.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rekindle_layers::{
    Hit, HitPlace, MaterialiseOptions, Snapshot, Substitution, View, materialise, remove_tree,
};

use crate::namespace;
use crate::seed::{Rng, seeds};
use crate::tree::edit;

fn replacing(list: &[(&str, &str)]) -> MaterialiseOptions {
    let substitute = list.iter().map(|&(from, to)| Substitution { from: from.into(), to: to.into() });
    MaterialiseOptions { substitute: substitute.collect() }
}

#[test]
fn a_written_out_tree_is_the_same_tree() {
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let temp = tempfile::tempdir().unwrap();
        let [source, dest] = ["source", "dest"].map(|name| temp.path().join(name));
        fs::create_dir(&source).unwrap();
        for _ in 0..50 {
            edit(&mut rng, &source);
        }
        let view = View::of_path(&source).unwrap();
        // Root reads all, an ordinary user what the modes allow.
        let Ok(before) = Snapshot::of_view(&view) else { continue };
        // Looked for and never found: everything is copied as it is.
        let done = materialise(&view, &dest, &replacing(&[("no such string", "whatever it is")])).unwrap();
        let differences = before.differences(&Snapshot::of_path(&dest).unwrap());
        let told: Vec<_> = differences.iter().map(ToString::to_string).collect();
        assert!(told.is_empty(), "REKINDLE_SEED={seed}:\n{}", told.join("\n"));
        assert_eq!(done.hits, []);
        remove_tree(&source).unwrap();
    }
}

#[test]
fn substitutions_reach_contents_targets_and_names() {
    let temp = tempfile::tempdir().unwrap();
    let [source, dest] = ["source", "dest-OLD"].map(|name| temp.path().join(name));
    fs::create_dir_all(source.join("x-OLD/y")).unwrap();
    fs::write(source.join("x-OLD/y/OLD-OLD"), "an OLD hat, OLDER").unwrap();
    fs::hard_link(source.join("x-OLD/y/OLD-OLD"), source.join("second")).unwrap();
    fs::write(source.join("clean"), "old").unwrap();
    symlink("/store/OLD/file", source.join("link")).unwrap();
    fs::set_permissions(source.join("second"), PermissionsExt::from_mode(0o4755)).unwrap();
    let before = Snapshot::of_path(&source).unwrap();

    let done = materialise(&View::of_path(&source).unwrap(), &dest, &replacing(&[("OLD", "NEW")])).unwrap();
    assert_eq!(fs::read(dest.join("x-NEW/y/NEW-NEW")).unwrap(), b"an NEW hat, NEWER");
    assert_eq!(fs::read(dest.join("second")).unwrap(), b"an NEW hat, NEWER");
    assert_eq!(fs::read(dest.join("clean")).unwrap(), b"old");
    assert_eq!(fs::read_link(dest.join("link")).unwrap(), Path::new("/store/NEW/file"));
    let [a, b] = ["second", "x-NEW/y/NEW-NEW"].map(|name| fs::metadata(dest.join(name)).unwrap());
    assert_eq!((a.ino(), a.mode() & 0o7777), (b.ino(), 0o4755));

    let hit = |path: &str, place, count| Hit { path: PathBuf::from(path), place, count };
    let mut hits = done.hits.clone();
    hits.sort_by(|a, b| (&a.path, a.place).cmp(&(&b.path, b.place)));
    assert_eq!(
        hits,
        [
            hit("link", HitPlace::Target, 1),
            hit("second", HitPlace::Content, 2),
            hit("x-OLD", HitPlace::Name, 1),
            hit("x-OLD/y/OLD-OLD", HitPlace::Name, 2),
        ]
    );
    assert_eq!((done.files, done.hard_links, done.directories, done.symlinks), (2, 1, 3, 1));
    assert_eq!(done.bytes, 17 + 3);

    // All but what was replaced is as before.
    let after = Snapshot::of_path(&dest).unwrap();
    for (path, node) in before.nodes() {
        let renamed = PathBuf::from(path.to_str().unwrap().replace("OLD", "NEW"));
        let now = after.get(&renamed).unwrap();
        assert_eq!((now.mode, now.mtime), (node.mode, node.mtime), "{path:?}");
    }
}

#[test]
fn many_large_files_are_written_as_small_ones_are() {
    let temp = tempfile::tempdir().unwrap();
    let [source, dest] = ["source", "dest"].map(|name| temp.path().join(name));
    fs::create_dir_all(source.join("sub")).unwrap();
    let mut expected = Vec::new();
    // Every third holds nothing to replace, every fourth is small, and there are more than are written at a time.
    for number in 0..40_usize {
        let mut content = vec![number as u8; if number % 4 == 0 { 100 } else { 300_000 + number }];
        let name = format!("{}{number:02}-OLD", if number % 2 == 0 { "sub/" } else { "" });
        let count = if number % 3 == 0 { 0 } else { number % 5 + 1 };
        for at in 0..count {
            let at = at * (content.len() - 3) / 5;
            content[at..at + 3].copy_from_slice(b"OLD");
        }
        fs::write(source.join(&name), &content).unwrap();
        fs::set_permissions(source.join(&name), PermissionsExt::from_mode(0o4500 + number as u32 % 8))
            .unwrap();
        expected.push((name, count as u64));
    }
    fs::hard_link(source.join("01-OLD"), source.join("zz")).unwrap();
    expected.sort();
    let done = materialise(&View::of_path(&source).unwrap(), &dest, &replacing(&[("OLD", "NEW")])).unwrap();
    let hits: Vec<_> = done.hits.iter().map(|hit| (hit.path.clone(), hit.place, hit.count)).collect();
    let expected_hits: Vec<_> = expected
        .iter()
        .flat_map(|(name, count)| {
            let name = PathBuf::from(name);
            let content = (*count > 0).then(|| (name.clone(), HitPlace::Content, *count));
            [Some((name, HitPlace::Name, 1)), content].into_iter().flatten()
        })
        .collect();
    assert_eq!(hits, expected_hits);
    assert_eq!((done.files, done.hard_links), (40, 1));
    for (name, _) in expected {
        let (from, to) = (source.join(&name), dest.join(name.replace("OLD", "NEW")));
        let replaced = |bytes: Vec<u8>| {
            let mut bytes = bytes;
            while let Some(at) = bytes.windows(3).position(|window| window == b"OLD") {
                bytes[at..at + 3].copy_from_slice(b"NEW");
            }
            bytes
        };
        assert!(replaced(fs::read(&from).unwrap()) == fs::read(&to).unwrap(), "{name}");
        let [from, to] = [from, to].map(|path| fs::metadata(path).unwrap());
        assert_eq!((from.mode(), from.mtime(), from.mtime_nsec()), (to.mode(), to.mtime(), to.mtime_nsec()));
    }
    assert_eq!(
        fs::metadata(dest.join("zz")).unwrap().ino(),
        fs::metadata(dest.join("01-NEW")).unwrap().ino()
    );
}

#[test]
fn single_files_and_links_are_written_out() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| temp.path().join(name);
    fs::write(at("file"), "OLD").unwrap();
    fs::hard_link(at("file"), at("other name")).unwrap();
    symlink("OLD", at("link")).unwrap();
    let options = replacing(&[("OLD", "NEW")]);
    materialise(&View::of_path(&at("file")).unwrap(), &at("file 2"), &options).unwrap();
    materialise(&View::of_path(&at("link")).unwrap(), &at("link 2"), &options).unwrap();
    assert_eq!(fs::read(at("file 2")).unwrap(), b"NEW");
    assert_eq!(fs::read_link(at("link 2")).unwrap(), Path::new("NEW"));
    let layered = View::of_layers(&[temp.path()], Path::new("file")).unwrap();
    materialise(&layered, &at("file 3"), &MaterialiseOptions::default()).unwrap();
    assert_eq!(fs::read(at("file 3")).unwrap(), b"OLD");
}

#[test]
fn what_cannot_be_is_an_error() {
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("source");
    fs::create_dir(&source).unwrap();
    for name in ["aa", "ab"] {
        fs::write(source.join(name), "").unwrap();
    }
    let view = View::of_path(&source).unwrap();
    let write = |dest: &str, list: &[(&str, &str)]| {
        materialise(&view, &temp.path().join(dest), &replacing(list)).unwrap_err().to_string()
    };
    assert!(write("source", &[]).contains("source"));
    assert!(write("1", &[("aa", "a/")]).contains("what cannot be a name"));
    assert!(write("2", &[("aa", "..")]).contains("what cannot be a name"));
    assert!(write("3", &[("aa", "ab")]).contains("create"), "two names would become one");
    assert!(write("4", &[("aa", "a")]).contains("as many"));
    assert!(write("no/such/directory", &[]).contains("open"));
    assert!(View::of_layers(&[&source], Path::new("none")).unwrap_err().is_not_found());
    assert!(View::of_layers(&[&source], Path::new("../source")).is_err());
    assert!(View::of_path(&temp.path().join("none")).unwrap_err().is_not_found());
}

#[test]
fn an_ordinary_user_writes_out_read_only_trees() {
    namespace::as_ordinary_user("materialise::inner_ordinary_user");
}

#[test]
fn inner_ordinary_user() {
    if !namespace::is_part() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let [source, dest] = ["source", "dest"].map(|name| temp.path().join(name));
    fs::create_dir_all(source.join("d/e")).unwrap();
    fs::write(source.join("d/e/file"), "OLD").unwrap();
    fs::hard_link(source.join("d/e/file"), source.join("d/link")).unwrap();
    fs::set_permissions(source.join("d/e/file"), PermissionsExt::from_mode(0o444)).unwrap();
    for dir in ["d/e", "d", ""] {
        fs::set_permissions(source.join(dir), PermissionsExt::from_mode(0o555)).unwrap();
    }
    let view = View::of_path(&source).unwrap();
    materialise(&view, &dest, &MaterialiseOptions::default()).unwrap();
    assert_eq!(Snapshot::of_path(&dest).unwrap().differences(&Snapshot::of_view(&view).unwrap()), []);
    remove_tree(&dest).unwrap();
    materialise(&view, &dest, &replacing(&[("OLD", "NEW")])).unwrap();
    assert_eq!(fs::read(dest.join("d/link")).unwrap(), b"NEW");
    remove_tree(&dest).unwrap();

    // What its owner may not read cannot be written out, and is named.
    fs::set_permissions(source.join("d/e/file"), PermissionsExt::from_mode(0o000)).unwrap();
    let error = materialise(&view, &dest, &MaterialiseOptions::default()).unwrap_err();
    assert!(error.path().is_some_and(|path| path.ends_with("d/link")), "{error}");
    remove_tree(&dest).unwrap();
    remove_tree(&source).unwrap();
}

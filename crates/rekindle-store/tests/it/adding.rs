//! Texts, derivations and trees.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rekindle_nix::{ContentAddress, Hash};
use rekindle_store::{EntryKind, ErrorKind, ListedKind, Tree};

use crate::nix::Nix;
use crate::sample::{derivation, name, open, scratch, write_tree};

#[test]
fn paths_are_those_of_nix() {
    let dir = scratch();
    let store = open(dir.path());
    let text = store.add_text(&name("foo.txt"), b"hello", &BTreeSet::new()).unwrap();
    assert_eq!(text.base_name(), "m0iyz1rzcgxw68h6skk8b9sg0p0napwc-foo.txt");

    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("d")).unwrap();
    std::fs::write(tree.join("d/empty"), "").unwrap();
    std::fs::write(tree.join("f"), "hello").unwrap();
    symlink("f", tree.join("l")).unwrap();
    std::fs::write(tree.join("x"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(tree.join("x"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let tree = Tree::scan(&tree).unwrap();
    let digest = tree.nar_digest().unwrap();
    assert_eq!(digest.size, 1064);
    assert_eq!(digest.hash.to_hex(), "d151e6a3076f83c513d1b41d63d32773fe7560b957960d32f5eb61448d56bdb0");
    let path = store.add_tree(&name("tree"), &tree).unwrap();
    assert_eq!(path.base_name(), "n0zijngj1hx3b6kwfcsahzjmfdhb8y1j-tree");
    let info = store.require(&path).unwrap();
    assert_eq!(info.ca.unwrap().to_string(), format!("fixed:r:{}", digest.hash));
    assert!(!info.ultimate);
}

#[test]
fn a_tree_gets_the_path_and_content_that_nix_gives_it() {
    let dir = scratch();
    write_tree(&dir.path().join("tree"));
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    let store = open(&ours);
    let path = store.add_tree(&name("tree"), &Tree::scan(&dir.path().join("tree")).unwrap()).unwrap();
    let nix = Nix::on(&theirs, &dir.path().join("home"));
    let added = nix.lines("nix-store", &["--add", dir.path().join("tree").to_str().unwrap()]);
    assert_eq!(added, [store.store_dir().display(&path)]);

    let facts = |root: &Path| -> Vec<(PathBuf, u32, i64, u64)> {
        let tree = Tree::scan(root).unwrap();
        tree.entries()
            .map(|(path, kind)| {
                let meta = root.join(path).symlink_metadata().unwrap();
                let mode = if kind == EntryKind::Symlink { 0 } else { meta.mode() };
                let size = if kind == EntryKind::Directory { 0 } else { meta.len() };
                (path.to_owned(), mode, meta.mtime(), size)
            })
            .collect()
    };
    assert_eq!(facts(&store.real_path(&path)), facts(&theirs.join("nix/store").join(path.base_name())));
    Nix::on(&ours, &dir.path().join("home")).verify();
}

#[test]
fn a_list_leaves_out_what_is_not_listed() {
    let dir = scratch();
    write_tree(&dir.path().join("tree"));
    let all = Tree::scan(&dir.path().join("tree")).unwrap();
    let listed: Vec<_> = all
        .entries()
        .map(|(path, kind)| (path.to_owned(), kind))
        .filter(|(path, kind)| *kind != EntryKind::Directory && !path.starts_with("sub-dir"))
        .rev()
        .collect();
    let filtered = Tree::from_entries(all.root(), listed).unwrap();
    // By removing the rest for real.
    std::fs::remove_dir_all(dir.path().join("tree/sub-dir")).unwrap();
    std::fs::remove_dir(dir.path().join("tree/sub/empty")).unwrap();
    let rest = Tree::scan(&dir.path().join("tree")).unwrap();
    assert_eq!(filtered.nar_digest().unwrap(), rest.nar_digest().unwrap());

    let store = open(&dir.path().join("root"));
    let path = store.add_tree(&name("filtered"), &filtered).unwrap();
    assert!(!store.real_path(&path).join("sub-dir").exists());
    assert_eq!(store.verify(true).unwrap(), []);
}

#[test]
fn single_files_and_links_are_trees_too() {
    let dir = scratch();
    std::fs::write(dir.path().join("file"), b"content").unwrap();
    symlink("anywhere", dir.path().join("link")).unwrap();
    let store = open(&dir.path().join("root"));
    for what in ["file", "link"] {
        let path = store.add_tree(&name(what), &Tree::scan(&dir.path().join(what)).unwrap()).unwrap();
        let nix = Nix::on(&dir.path().join("theirs"), &dir.path().join("home"));
        let added = nix.lines("nix-store", &["--add", dir.path().join(what).to_str().unwrap()]);
        assert_eq!(added, [store.store_dir().display(&path)]);
    }
    assert_eq!(store.verify(true).unwrap(), []);
}

#[test]
fn files_of_any_size_come_out_as_they_went_in() {
    let dir = scratch();
    let tree = dir.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let chunk = 256 << 10;
    // Around the borders of what is read at once, and enough files for each thread to get several hands.
    let sizes = [0, 1, 7, 8, chunk - 1, chunk, chunk + 1, 3 * chunk, 5 * chunk + 17];
    for number in 0..200_usize {
        let size = if number % 20 == 0 { sizes[number / 20 % sizes.len()] } else { number * 37 % 5000 };
        let content: Vec<u8> = (0..size).map(|at| (at * 7 + number) as u8).collect();
        std::fs::write(tree.join(number.to_string()), content).unwrap();
    }
    for (number, size) in sizes.into_iter().enumerate() {
        std::fs::write(tree.join(format!("size-{number}")), vec![number as u8; size]).unwrap();
    }
    let store = open(&dir.path().join("root"));
    let path = store.add_tree(&name("tree"), &Tree::scan(&tree).unwrap()).unwrap();
    for entry in std::fs::read_dir(&tree).unwrap() {
        let entry = entry.unwrap();
        let copy = store.real_path(&path).join(entry.file_name());
        assert!(std::fs::read(entry.path()).unwrap() == std::fs::read(copy).unwrap(), "{entry:?}");
    }
    let nix = Nix::on(&dir.path().join("root"), &dir.path().join("home"));
    nix.verify();
}

#[test]
fn what_changes_meanwhile_is_named_and_nothing_is_registered() {
    let dir = scratch();
    let tree_dir = dir.path().join("tree");
    let store = open(&dir.path().join("root"));
    let check = |change: &dyn Fn(), named: &str| {
        let _ = std::fs::remove_dir_all(&tree_dir);
        write_tree(&tree_dir);
        let tree = Tree::scan(&tree_dir).unwrap();
        let digest = tree.nar_digest().unwrap();
        change();
        let error = store.add_tree_with_digest(&name("tree"), &tree, &digest).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
        assert!(error.to_string().contains(named), "{error}");
        assert_eq!(store.all_valid().unwrap(), BTreeSet::new());
        assert_eq!(store.verify(true).unwrap(), []);
    };
    let at = |inner: &str| tree_dir.join(inner);
    check(&|| std::fs::write(at("sub/file"), b"CONTENT\n").unwrap(), "tree");
    check(&|| std::fs::remove_file(at("sub/file")).unwrap(), "sub/file");
    check(&|| std::fs::remove_file(at("sub/link")).unwrap(), "sub/link");
    check(
        &|| {
            std::fs::remove_file(at("sub/file")).unwrap();
            symlink("/etc/passwd", at("sub/file")).unwrap();
        },
        "sub/file",
    );
    check(
        &|| {
            std::fs::remove_file(at("sub/link")).unwrap();
            std::fs::write(at("sub/link"), b"").unwrap();
        },
        "sub/link",
    );
}

#[test]
fn what_no_archive_can_hold_is_named() {
    let dir = scratch();
    let socket = dir.path().join("tree/a/socket");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let error = Tree::scan(&dir.path().join("tree")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedFile);
    assert!(error.to_string().contains("a/socket' is a socket"), "{error}");

    let error = Tree::scan(&dir.path().join("absent")).unwrap_err();
    assert!(error.to_string().contains("absent"), "{error}");
}

#[test]
fn references_have_to_be_valid() {
    let dir = scratch();
    let store = open(dir.path());
    let absent = store.store_dir().text_path(&name("absent"), &Hash::sha256(b""), []).unwrap();
    let error = store.add_text(&name("text"), b"", &[absent.clone()].into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotValid);
    assert!(error.to_string().contains(absent.base_name()), "{error}");
    assert_eq!(store.all_valid().unwrap(), BTreeSet::new());
}

#[test]
fn derivations_have_to_be_right() {
    let dir = scratch();
    let store = open(dir.path());
    let source = store.add_text(&name("source"), b"", &BTreeSet::new()).unwrap();
    let right = derivation(&store, "d", &[&source]);
    let check = |text: &[u8], references: &BTreeSet<_>| {
        let error = store.add_text(&name("d.drv"), text, references).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert_eq!(store.all_valid().unwrap().len(), 1);
    };
    let text = rekindle_nix::aterm::write(&right, store.store_dir());
    check(b"Derive(", &BTreeSet::new());
    check(&text, &BTreeSet::new());
    let other = derivation(&store, "e", &[&source]);
    check(&rekindle_nix::aterm::write(&other, store.store_dir()), &[source.clone()].into());

    let drv = store.add_text(&name("d.drv"), &text, &[source].into()).unwrap();
    assert_eq!(drv, right.drv_path(store.store_dir()).unwrap());
    assert_eq!(store.read_derivation(&drv).unwrap(), right);
    assert_eq!(store.derivation_outputs(&drv).unwrap().len(), 2);
    assert_eq!(store.add_derivation(&right).unwrap(), drv);
    let ContentAddress { .. } = store.require(&drv).unwrap().ca.unwrap();
}

#[test]
fn what_was_deleted_behind_our_back_is_put_there_again() {
    let dir = scratch();
    let store = open(dir.path());
    let text = store.add_text(&name("text"), b"text", &BTreeSet::new()).unwrap();
    std::fs::remove_file(store.real_path(&text)).unwrap();
    store.add_text(&name("text"), b"text", &BTreeSet::new()).unwrap();
    assert_eq!(store.verify(true).unwrap(), []);
}

#[test]
fn garbage_in_the_place_is_replaced() {
    let dir = scratch();
    let store = open(dir.path());
    let path = store.store_dir().text_path(&name("text"), &Hash::sha256(b"text"), []).unwrap();
    std::fs::create_dir_all(store.real_path(&path).join("half/written")).unwrap();
    std::fs::set_permissions(store.real_path(&path), std::os::unix::fs::PermissionsExt::from_mode(0o555))
        .unwrap();
    assert_eq!(store.add_text(&name("text"), b"text", &BTreeSet::new()).unwrap(), path);
    assert_eq!(store.verify(true).unwrap(), []);
}

#[test]
fn listings() {
    let dir = scratch();
    write_tree(&dir.path().join("tree"));
    let store = open(&dir.path().join("root"));
    let path = store.add_tree(&name("tree"), &Tree::scan(&dir.path().join("tree")).unwrap()).unwrap();
    let listed = store.ls(&path, Path::new("sub-dir")).unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0].kind, ListedKind::Directory);
    assert_eq!(listed[1].path, Path::new("script"));
    assert_eq!(listed[1].kind, ListedKind::File { size: 10, executable: true });
    let listed = store.ls(&path, Path::new("sub/link")).unwrap();
    assert_eq!(listed[0].kind, ListedKind::Symlink { target: "../nowhere".into() });
    assert_eq!(store.ls(&path, Path::new("")).unwrap().len(), 10);
    for outside in ["..", "/etc", "sub/link/x", "sub/../sub"] {
        let error = store.ls(&path, Path::new(outside)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsupportedFile, "{error}");
    }
}

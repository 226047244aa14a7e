//! Whatever tree goes in comes out, however it is listed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rekindle_nix::nar::Reader;
use rekindle_store::{EntryKind, Tree};

use crate::sample::{name, open, scratch};

#[derive(Debug, Clone)]
enum Node {
    File(Vec<u8>, bool),
    Link(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, Node>),
}

fn file_name() -> impl Strategy<Value = Vec<u8>> {
    // Few letters, so that names begin alike, and those that sort around the slash.
    let letter = prop_oneof![Just(b'a'), Just(b'-'), Just(b'.'), Just(b'0'), Just(0xff), Just(b'\n')];
    prop::collection::vec(letter, 1..6).prop_filter("a name", |name| name != b"." && name != b"..")
}

fn node() -> impl Strategy<Value = Node> {
    let size = prop_oneof![0..300_usize, Just(256 << 10), Just((256 << 10) + 1), Just(600_000)];
    let file = (size, any::<u8>(), any::<bool>())
        .prop_map(|(size, fill, executable)| Node::File(vec![fill; size], executable));
    let leaf = prop_oneof![4 => file, 1 => file_name().prop_map(Node::Link)];
    leaf.prop_recursive(4, 60, 12, |node| {
        prop::collection::btree_map(file_name(), node, 0..12).prop_map(Node::Directory)
    })
}

fn write(node: &Node, path: &Path, inner: &Path, list: &mut Vec<(PathBuf, EntryKind)>) {
    match node {
        Node::File(content, executable) => {
            std::fs::write(path, content).unwrap();
            let mode = if *executable { 0o700 } else { 0o600 };
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
            list.push((inner.to_owned(), EntryKind::File));
        }
        Node::Link(target) => {
            symlink(OsString::from_vec(target.clone()), path).unwrap();
            list.push((inner.to_owned(), EntryKind::Symlink));
        }
        Node::Directory(entries) => {
            std::fs::create_dir(path).unwrap();
            list.push((inner.to_owned(), EntryKind::Directory));
            for (entry, node) in entries {
                let entry = OsString::from_vec(entry.clone());
                write(node, &path.join(&entry), &inner.join(&entry), list);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn what_goes_in_comes_out(node in node(), shuffle in any::<u64>()) {
        let dir = scratch();
        let source = dir.path().join("tree");
        let mut list = Vec::new();
        write(&node, &source, Path::new(""), &mut list);
        let tree = Tree::scan(&source).unwrap();
        let digest = tree.nar_digest().unwrap();
        prop_assert_eq!(tree.entries().len(), list.len());
        if matches!(node, Node::Directory(_)) {
            let count = list.len();
            list.rotate_left(usize::try_from(shuffle % count as u64).unwrap());
            let listed = Tree::from_entries(&source, list).unwrap();
            prop_assert_eq!(listed.nar_digest().unwrap(), digest);
        }

        let store = open(&dir.path().join("root"));
        let path = store.add_tree_with_digest(&name("tree"), &tree, &digest).unwrap();
        prop_assert_eq!(Tree::scan(&store.real_path(&path)).unwrap().nar_digest().unwrap(), digest);
        prop_assert_eq!(store.verify(true).unwrap(), []);
        // A reader that is strict about the order and the names takes the archive.
        let mut archive = Vec::new();
        store.write_nar(&path, &mut archive).unwrap();
        prop_assert_eq!(archive.len() as u64, digest.size);
        let mut reader = Reader::new(archive.as_slice());
        while reader.next().unwrap().is_some() {}
    }
}

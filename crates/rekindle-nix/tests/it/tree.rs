//! File trees as data: made up, written to disk, and turned into archives and back.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rekindle_nix::{Error, nar};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    File { executable: bool, content: Vec<u8> },
    Link(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, Node>),
}

impl Node {
    pub(crate) fn to_nar(&self) -> Vec<u8> {
        let mut writer = nar::Writer::new(Vec::new());
        self.write(&mut writer).unwrap();
        writer.finish().unwrap()
    }

    fn write(&self, writer: &mut nar::Writer<impl Write>) -> Result<(), Error> {
        match self {
            Node::File { executable, content } => {
                writer.regular(*executable, content.len() as u64, &mut content.as_slice())
            }
            Node::Link(target) => writer.symlink(target),
            Node::Directory(entries) => {
                writer.directory()?;
                for (name, node) in entries {
                    writer.entry(name)?;
                    node.write(writer)?;
                }
                writer.end()
            }
        }
    }

    /// The same archive by whole paths, as a walk over a sorted list would do it.
    pub(crate) fn to_nar_by_paths(&self) -> Vec<u8> {
        let mut writer = nar::Writer::new(Vec::new());
        self.write_at(b"", &mut writer).unwrap();
        writer.finish().unwrap()
    }

    fn write_at(&self, path: &[u8], writer: &mut nar::Writer<impl Write>) -> Result<(), Error> {
        writer.at_path(path)?;
        match self {
            Node::File { executable, content } => writer.file(*executable, content),
            Node::Link(target) => writer.symlink(target),
            Node::Directory(entries) => {
                writer.directory()?;
                for (name, node) in entries {
                    let below = if path.is_empty() { name.clone() } else { [path, name].join(&b'/') };
                    node.write_at(&below, writer)?;
                }
                Ok(())
            }
        }
    }

    pub(crate) fn from_nar(bytes: &[u8]) -> Result<Node, Error> {
        let mut reader = nar::Reader::new(bytes);
        let node = Node::read(&mut reader)?;
        assert_eq!(reader.next()?, None);
        Ok(node)
    }

    fn read(reader: &mut nar::Reader<&[u8]>) -> Result<Node, Error> {
        match reader.next()? {
            Some(nar::Event::Regular { executable, size }) => {
                let mut content = Vec::new();
                reader
                    .content()
                    .read_to_end(&mut content)
                    .map_err(|error| error.downcast::<Error>().unwrap())?;
                assert_eq!(content.len() as u64, size);
                Ok(Node::File { executable, content })
            }
            Some(nar::Event::Symlink(target)) => Ok(Node::Link(target)),
            Some(nar::Event::Directory) => {
                let mut entries = BTreeMap::new();
                while let Some(nar::Event::Entry(name)) = reader.next()? {
                    entries.insert(name, Node::read(reader)?);
                }
                Ok(Node::Directory(entries))
            }
            event => panic!("{event:?} is no node"),
        }
    }

    pub(crate) fn make(&self, path: &Path) {
        match self {
            Node::File { executable, content } => {
                fs::write(path, content).unwrap();
                let mode = if *executable { 0o755 } else { 0o644 };
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
            Node::Link(target) => symlink(OsStr::from_bytes(target), path).unwrap(),
            Node::Directory(entries) => {
                fs::create_dir(path).unwrap();
                for (name, node) in entries {
                    node.make(&path.join(OsStr::from_bytes(name)));
                }
            }
        }
    }
}

/// All that trees are known to go wrong with, in one.
pub(crate) fn traps() -> Node {
    let file = |content: &str| Node::File { executable: false, content: content.into() };
    let deep =
        (0..300).fold(file("at the bottom"), |node, _| Node::Directory([(b"d".to_vec(), node)].into()));
    let entries = [
        (&b"sub"[..], Node::Directory([(b"z".to_vec(), file("1"))].into())),
        (b"sub-x", file("sorts before sub/z by path, behind it by component")),
        (b"sub.x", file("")),
        (b"Case", file("upper")),
        (b"case", file("lower")),
        (b"~nix~case~hack~1", file("12345678")),
        (b"empty", Node::Directory(BTreeMap::new())),
        (b"run", Node::File { executable: true, content: b"#!/bin/sh\n".to_vec() }),
        (b"dangling", Node::Link(b"../nowhere".to_vec())),
        (b"long", Node::Link(vec![b'l'; 4000])),
        (&[b'n'; 255], file("a long name")),
        (b"\xff\xfe", Node::Link(b"\xe9".to_vec())),
        (b"caf\xe9", file("latin-1")),
        (b" \n\t\"\\", file("white")),
        (b"-rf", file("an option")),
        (b"...", file("dots")),
        (b"deep", deep),
    ];
    Node::Directory(entries.map(|(name, node)| (name.to_vec(), node)).into())
}

/// Trees that any file system can hold.
pub(crate) fn any_tree() -> impl Strategy<Value = Node> {
    tree_of(prop_oneof![
        4 => "[a-b.A-]{1,3}".prop_map(String::into_bytes),
        1 => prop::collection::vec(1..=u8::MAX, 1..20),
    ])
}

/// Trees with names and targets in UTF-8.
pub(crate) fn ordinary_tree() -> impl Strategy<Value = Node> {
    tree_of("[a-bé.A-]{1,3}".prop_map(String::into_bytes))
}

fn tree_of(name: impl Strategy<Value = Vec<u8>> + Clone + 'static) -> impl Strategy<Value = Node> {
    let name = name.prop_filter("has to be a name", |name| {
        !name.contains(&b'/') && !matches!(name.as_slice(), b"." | b"..")
    });
    let content = prop::collection::vec(any::<u8>(), 0..40);
    let leaf = prop_oneof![
        (any::<bool>(), content).prop_map(|(executable, content)| Node::File { executable, content }),
        name.clone().prop_map(Node::Link),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop::collection::btree_map(name.clone(), inner, 0..6).prop_map(Node::Directory)
    })
}

/// Some trees, the same ones each time.
pub(crate) fn samples(strategy: impl Strategy<Value = Node>, count: usize) -> Vec<Node> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

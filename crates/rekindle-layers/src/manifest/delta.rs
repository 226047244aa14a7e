//! What differs between two manifests, as a file, so that the next checkpoint of a large tree is small.
//!
//! The file is sealed (see `sealed_file`). Integers are little-endian:
//!
//! ```text
//! body   = digest of the older manifest:32, digest of the newer:32, entry*
//! entry  = length of the path:u32, path, what is there    in order of path; nothing after the last
//! what   = '-'                                            nothing any more, nor anything below
//!        | 'f' file, mode:u16, size:u64, BLAKE3 of the bytes:32
//!        | 'l' symlink, mode:u16, length:u32, target
//!        | 'd' directory, mode:u16                        what it holds follows
//! ```
//! A file that cannot be what this module wrote, or that leads to another manifest than it says, is damaged.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use super::{Child, Directory, Entry, EntryKind, Manifest, Node};
use crate::error::Kind;
use crate::sealed_file::{self, Magic, Sealed, take, take_slice};
use crate::{Digest, Error};

const MAGIC: &Magic = b"rekindle sources   v1\0\0\n";

const GONE: u8 = b'-';
const FILE: u8 = b'f';
const SYMLINK: u8 = b'l';
const DIRECTORY: u8 = b'd';

impl Manifest {
    /// Writes what differs from `older`, replacing the file at once or not at all. Permission bits that do not count
    /// are those of `older` where nothing else differs.
    pub fn save_difference(&self, older: &Manifest, path: &Path) -> Result<(), Error> {
        sealed_file::write(path, "write what differs between manifests", MAGIC, |file| {
            file.put(older.root().as_bytes())?;
            file.put(self.root().as_bytes())?;
            older.changes(self).iter().try_for_each(|change| put(file, &change.path, self.get(&change.path)))
        })
    }

    /// Loads the manifest of which a file says how it differs from this one. One that is damaged, of another version, or
    /// about another manifest is an error ([`Error::is_damaged`]).
    pub fn load_difference(&self, path: &Path) -> Result<Manifest, Error> {
        let bytes = std::fs::read(path)
            .map_err(|error| Error::os("read what differs between manifests", path, error))?;
        let newer = sealed_file::body(&bytes, MAGIC)
            .and_then(|body| parse(body, self).ok_or("does not fit the manifest that it is about"));
        newer.map_err(|reason| Kind::Damaged { path: path.to_owned(), reason }.into())
    }
}

fn put(file: &mut Sealed, path: &Path, entry: Option<Entry<'_>>) -> io::Result<()> {
    let bytes = path.as_os_str().as_bytes();
    // The kernel takes no path of more than 4096 bytes.
    file.put(&(bytes.len() as u32).to_le_bytes())?;
    file.put(bytes)?;
    let Some(entry) = entry else { return file.put(&[GONE]) };
    let [low, high] = (entry.mode as u16).to_le_bytes();
    match entry.kind {
        EntryKind::File { size, digest, .. } => {
            file.put(&[FILE, low, high])?;
            file.put(&size.to_le_bytes())?;
            file.put(digest.as_bytes())
        }
        EntryKind::Symlink { target } => {
            file.put(&[SYMLINK, low, high])?;
            file.put(&(target.len() as u32).to_le_bytes())?;
            file.put(target.as_bytes())
        }
        EntryKind::Directory { .. } => file.put(&[DIRECTORY, low, high]),
    }
}

/// What there is at a path, and what else below it differs.
#[derive(Default)]
struct Change {
    /// `None`: what is there stays, and is a directory. `Some(None)`: nothing.
    here: Option<Option<(u16, Option<Node>)>>,
    below: BTreeMap<Vec<u8>, Change>,
}

fn parse(mut rest: &[u8], older: &Manifest) -> Option<Manifest> {
    let rest = &mut rest;
    let (from, to) = (Digest::from_bytes(take(rest)?), Digest::from_bytes(take(rest)?));
    if from != older.root() {
        return None;
    }
    let mut changes = Change::default();
    while !rest.is_empty() {
        let length = usize::try_from(u32::from_le_bytes(take(rest)?)).ok()?;
        let path = Path::new(OsStr::from_bytes(take_slice(rest, length)?));
        let mut at = &mut changes;
        let mut parts = 0;
        for part in path.components() {
            let Component::Normal(name) = part else { return None };
            at = at.below.entry(name.as_bytes().to_vec()).or_default();
            parts += 1;
        }
        if parts == 0 || at.here.is_some() {
            return None;
        }
        at.here = Some(what(rest)?);
    }
    let root = apply(Some(&older.root), changes.below)?;
    let newer = Manifest { root };
    (newer.root() == to).then_some(newer)
}

fn what(rest: &mut &[u8]) -> Option<Option<(u16, Option<Node>)>> {
    let [kind] = take(rest)?;
    if kind == GONE {
        return Some(None);
    }
    let mode = u16::from_le_bytes(take(rest)?);
    if mode & !0o7777 != 0 {
        return None;
    }
    let node = match kind {
        FILE => {
            let size = u64::from_le_bytes(take(rest)?);
            Some(Node::File { size, digest: Digest::from_bytes(take(rest)?) })
        }
        SYMLINK => {
            let length = usize::try_from(u32::from_le_bytes(take(rest)?)).ok()?;
            let target = take_slice(rest, length)?;
            if target.contains(&0) {
                return None;
            }
            Some(Node::Symlink { target: OsStr::from_bytes(target).into() })
        }
        DIRECTORY => None,
        _ => return None,
    };
    Some(Some((mode, node)))
}

/// A directory with changes in it. They nest no deeper than paths do that the kernel takes.
fn apply(older: Option<&Directory>, mut changes: BTreeMap<Vec<u8>, Change>) -> Option<Directory> {
    let mut children: Vec<Child> = Vec::new();
    for child in older.into_iter().flat_map(|directory| directory.children.iter()) {
        match changes.remove(child.name.as_bytes()) {
            None => children.push(child.clone()),
            Some(change) => children.extend(changed(Some(child), &child.name, change)?),
        }
    }
    for (name, change) in changes {
        if name.contains(&0) {
            return None;
        }
        children.extend(changed(None, OsStr::from_bytes(&name), change)?);
    }
    children.sort_unstable_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    Some(Directory::new(children))
}

/// What is there then; the outer `None` if that cannot be.
#[expect(clippy::option_option, reason = "nothing there is not the same as nonsense")]
fn changed(older: Option<&Child>, name: &OsStr, change: Change) -> Option<Option<Child>> {
    let older_directory = match older.map(|child| &child.node) {
        Some(Node::Directory(directory)) => Some(directory),
        _ => None,
    };
    let (mode, node) = match change.here {
        // What a directory held that is gone is listed as gone, too.
        Some(None) => return Some(None),
        Some(Some((mode, Some(leaf)))) => (mode, leaf),
        Some(Some((mode, None))) => (mode, Node::Directory(apply(older_directory, change.below)?)),
        None => {
            let mode = older?.mode;
            (mode, Node::Directory(apply(Some(older_directory?), change.below)?))
        }
    };
    Some(Some(Child { name: name.into(), mode, node }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree() -> impl Strategy<Value = Directory> {
        let leaf = (0u8..3, 0u8..3).prop_map(|(kind, value)| match kind {
            0 => (0o644, Node::File { size: value.into(), digest: Digest::of(&[value]) }),
            1 => (0o755, Node::File { size: value.into(), digest: Digest::of(&[value]) }),
            _ => (0o777, Node::Symlink { target: OsStr::new(if value == 0 { "a" } else { "b" }).into() }),
        });
        let directory = |children: BTreeMap<u8, (u16, Node)>| {
            let child = |(name, (mode, node))| {
                let names = ["\n", ".x", "a", "a b", "b", "\u{e9}"];
                Child { name: OsStr::new(names[usize::from(name)]).into(), mode, node }
            };
            let mut children: Vec<Child> = children.into_iter().map(child).collect();
            children.sort_unstable_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
            Directory::new(children)
        };
        let nested = leaf.prop_recursive(4, 40, 5, move |inner| {
            proptest::collection::btree_map(0u8..6, inner, 0..5)
                .prop_map(move |children| (0o755, Node::Directory(directory(children))))
        });
        proptest::collection::btree_map(0u8..6, nested, 0..6).prop_map(directory)
    }

    proptest! {
        #[test]
        fn the_newer_manifest_comes_back(older in tree(), newer in tree()) {
            let (older, newer) = (Manifest::new(older), Manifest::new(newer));
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("difference");
            newer.save_difference(&older, &path).expect("room");
            let loaded = older.load_difference(&path).expect("as it was written");
            prop_assert_eq!(&loaded, &newer);
            prop_assert!(older.changes(&loaded) == older.changes(&newer));
            if newer != older {
                prop_assert!(newer.load_difference(&path).expect_err("it is about another").is_damaged());
            }
        }
    }

    #[test]
    fn damage_is_noticed() {
        let leaf = |name: &str| Child {
            name: OsStr::new(name).into(),
            mode: 0o644,
            node: Node::File { size: 1, digest: Digest::of(b"x") },
        };
        let older = Manifest::new(Directory::new(vec![leaf("a")]));
        let newer = Manifest::new(Directory::new(vec![leaf("a"), leaf("b")]));
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("difference");
        newer.save_difference(&older, &path).expect("room");
        let good = std::fs::read(&path).expect("just written");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, bad).expect("room");
            assert!(older.load_difference(&path).expect_err("damaged").is_damaged(), "{at}");
        }
    }

    #[test]
    fn only_what_is_written_is_read() {
        let older = Manifest::new(Directory::new(Vec::new()));
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("difference");
        let check = |entries: &[u8]| {
            sealed_file::write(&path, "write", MAGIC, |file| {
                file.put(older.root().as_bytes())?;
                file.put(older.root().as_bytes())?;
                file.put(entries)
            })
            .expect("room");
            older.load_difference(&path).is_ok()
        };
        assert!(check(b""));
        assert!(check(b"\x01\0\0\0a-"), "what was not there is gone");
        for bad in [
            b"\x00\0\0\0-".as_slice(),
            b"\x02\0\0\0..-",
            b"\x02\0\0\0/a-",
            b"\x01\0\0\0a-\x01\0\0\0a-",
            b"\x01\0\0\0aq",
            b"\x01\0\0\0ad\xff\xff",
            b"\x03\0\0\0a/b-",
            b"\xff\xff\xff\xffa-",
        ] {
            assert!(!check(bad), "{bad:?}");
        }
    }
}

//! Manifests as files, so that a checkpoint can say what sources it was made from.
//!
//! The file is sealed (see `sealed_file`). Its body is the tree, a directory followed by what it holds; integers are
//! little-endian:
//!
//! ```text
//! body      = directory                                 nothing after it
//! directory = entry*, 0:u8                              sorted by name
//! entry     = kind:u8, mode:u16, name length:u8, name, content
//! kind      = 'f' file | 'l' symlink | 'd' directory
//! content   = size:u64, BLAKE3 of the bytes:32          for a file
//!           | length:u32, target                        for a symlink
//!           | directory                                 for a directory
//! ```
//! The digests of directories are not stored: loading computes them, so a manifest that was loaded is consistent.
//! Whoever needs a certain manifest compares [`Manifest::root`]. A file that has the right seal and cannot be what
//! this module wrote is damaged all the same.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Child, Directory, Manifest, Node};
use crate::error::Kind;
use crate::sealed_file::{self, Magic, Sealed, take, take_slice};
use crate::{Digest, Error};

const MAGIC: &Magic = b"rekindle manifest v1\0\0\0\n";
/// More levels than any path that the kernel takes has. Bounds the recursion of whoever walks the tree.
const DEEPEST: usize = 2048;

const END: u8 = 0;
const FILE: u8 = b'f';
const SYMLINK: u8 = b'l';
const DIRECTORY: u8 = b'd';

impl Manifest {
    /// Writes the manifest, replacing the file at once or not at all.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        sealed_file::write(path, "write the manifest", MAGIC, |file| put(file, &self.root, 0))
    }

    /// Loads a manifest. One that is damaged or of another version is an error ([`Error::is_damaged`]).
    pub fn load(path: &Path) -> Result<Manifest, Error> {
        let bytes = std::fs::read(path).map_err(|error| Error::os("read the manifest", path, error))?;
        let parsed = sealed_file::body(&bytes, MAGIC)
            .and_then(|body| parse(body).ok_or("is no manifest, though its digest is right"));
        let root = parsed.map_err(|reason| Kind::Damaged { path: path.to_owned(), reason })?;
        Ok(Manifest { root })
    }
}

fn put(file: &mut Sealed, directory: &Directory, depth: usize) -> io::Result<()> {
    if depth > DEEPEST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "its directories are nested too deeply"));
    }
    for child in &directory.children {
        let kind = match &child.node {
            Node::File { .. } => FILE,
            Node::Symlink { .. } => SYMLINK,
            Node::Directory(_) => DIRECTORY,
        };
        let [low, high] = child.mode.to_le_bytes();
        // A name has at most 255 bytes on every file system of Linux.
        file.put(&[kind, low, high, child.name.len() as u8])?;
        file.put(child.name.as_bytes())?;
        match &child.node {
            Node::File { size, digest } => {
                file.put(&size.to_le_bytes())?;
                file.put(digest.as_bytes())?;
            }
            Node::Symlink { target } => {
                file.put(&(target.len() as u32).to_le_bytes())?;
                file.put(target.as_bytes())?;
            }
            Node::Directory(inner) => put(file, inner, depth + 1)?,
        }
    }
    file.put(&[END])
}

/// A directory that is not yet complete: its name and mode in the directory above, and what it holds so far.
struct Open<'a> {
    name: &'a [u8],
    mode: u16,
    children: Vec<Child>,
}

fn parse(mut rest: &[u8]) -> Option<Directory> {
    let rest = &mut rest;
    let mut above: Vec<Open<'_>> = Vec::new();
    let mut here = Open { name: b"", mode: 0, children: Vec::new() };
    loop {
        let [kind] = take(rest)?;
        if kind == END {
            let directory = Directory::new(here.children);
            let Some(mut parent) = above.pop() else {
                return rest.is_empty().then_some(directory);
            };
            parent.children.push(child(here.name, here.mode, Node::Directory(directory)));
            here = parent;
            continue;
        }
        let mode = u16::from_le_bytes(take(rest)?);
        let [length] = take(rest)?;
        let name = take_slice(rest, length.into())?;
        let sorted = here.children.last().is_none_or(|last| last.name.as_bytes() < name);
        if mode & !0o7777 != 0 || !is_name(name) || !sorted {
            return None;
        }
        match kind {
            FILE => {
                let size = u64::from_le_bytes(take(rest)?);
                let digest = Digest::from_bytes(take(rest)?);
                here.children.push(child(name, mode, Node::File { size, digest }));
            }
            SYMLINK => {
                let length = u32::from_le_bytes(take(rest)?);
                let target = take_slice(rest, usize::try_from(length).ok()?)?;
                if target.contains(&0) {
                    return None;
                }
                here.children.push(child(
                    name,
                    mode,
                    Node::Symlink { target: OsStr::from_bytes(target).into() },
                ));
            }
            DIRECTORY if above.len() < DEEPEST => {
                above.push(std::mem::replace(&mut here, Open { name, mode, children: Vec::new() }));
            }
            _ => return None,
        }
    }
}

fn child(name: &[u8], mode: u16, node: Node) -> Child {
    Child { name: OsStr::from_bytes(name).into(), mode, node }
}

fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| b"/\0".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EntryKind;

    fn file(name: &[u8], mode: u16, content: &[u8]) -> Child {
        child(name, mode, Node::File { size: content.len() as u64, digest: Digest::of(content) })
    }

    fn sample() -> Manifest {
        let inner = Directory::new(
            vec![file(b"\xff\n", 0o4755, b"x"), file(b"b", 0o600, b"")].into_iter().rev().collect(),
        );
        let link = Node::Symlink { target: OsStr::from_bytes(b"../\xfe").into() };
        Manifest::new(Directory::new(vec![
            file(b".a", 0o644, b"content"),
            child(b"d", 0o750, Node::Directory(inner)),
            child(b"e", 0o755, Node::Directory(Directory::new(Vec::new()))),
            child(b"l", 0o777, link),
        ]))
    }

    fn load(body: &[u8]) -> Result<Manifest, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest");
        sealed_file::write(&path, "write", MAGIC, |file| file.put(body)).unwrap();
        Manifest::load(&path)
    }

    #[test]
    fn round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest");
        for manifest in [sample(), Manifest::new(Directory::new(Vec::new()))] {
            manifest.save(&path).unwrap();
            let loaded = Manifest::load(&path).unwrap();
            assert_eq!(loaded, manifest);
            assert!(loaded.entries().eq(manifest.entries()), "modes that do not count are kept, too");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no scratch file stays");
        assert!(Manifest::load(&dir.path().join("none")).unwrap_err().is_not_found());
    }

    #[test]
    fn damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest");
        sample().save(&path).unwrap();
        let good = std::fs::read(&path).unwrap();
        let check = |bytes: &[u8], what: &str| {
            std::fs::write(&path, bytes).unwrap();
            let error = Manifest::load(&path).unwrap_err();
            assert!(error.is_damaged() && error.path() == Some(&path), "{what}: {error}");
        };
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            check(&bad, &format!("flipped at {at}"));
            check(&good[..at], &format!("cut at {at}"));
        }
        check(&[&good[..], b"\0"].concat(), "longer");
        sealed_file::write(&path, "write", b"rekindle manifest v2\0\0\0\n", |file| file.put(b"\0")).unwrap();
        let error = Manifest::load(&path).unwrap_err();
        assert!(error.is_damaged() && error.to_string().contains("another version"), "{error}");
    }

    #[test]
    fn only_what_is_written_is_read() {
        let entry = |name: &[u8], mode: u16| {
            let mut bytes = vec![DIRECTORY];
            bytes.extend(mode.to_le_bytes());
            bytes.push(name.len() as u8);
            bytes.extend(name);
            bytes
        };
        let tree = |entries: &[Vec<u8>]| {
            let mut bytes = Vec::new();
            entries.iter().for_each(|entry| bytes.extend([entry, &[END][..]].concat()));
            bytes.push(END);
            bytes
        };
        let good = load(&tree(&[entry(b"a", 0o755), entry(b"b", 0o7777)])).unwrap();
        assert!(good.entries().all(|entry| matches!(entry.kind, EntryKind::Directory { .. })));
        let bad = [
            tree(&[entry(b"", 0)]),
            tree(&[entry(b".", 0)]),
            tree(&[entry(b"..", 0)]),
            tree(&[entry(b"a/b", 0)]),
            tree(&[entry(b"a\0", 0)]),
            tree(&[entry(b"a", 0o10000)]),
            tree(&[entry(b"a", 0), entry(b"a", 0)]),
            tree(&[entry(b"b", 0), entry(b"a", 0)]),
            [tree(&[]), tree(&[])].concat(),
            vec![],
            entry(b"a", 0),
            vec![b'q', 0, 0, 1, b'a', END],
            vec![FILE, 0, 0, 1, b'a', 1, 2],
            vec![SYMLINK, 0, 0, 1, b'a', 255, 255, 255, 255, b'x'],
            vec![SYMLINK, 0, 0, 1, b'a', 1, 0, 0, 0, 0, END],
        ];
        for bytes in bad {
            assert!(load(&bytes).unwrap_err().is_damaged(), "{bytes:?}");
        }
    }

    #[test]
    fn too_deep_is_an_error_not_a_crash() {
        let nested = |levels: usize| {
            let mut bytes = [DIRECTORY, 0, 0, 1, b'a'].repeat(levels);
            bytes.resize(bytes.len() + levels + 1, END);
            bytes
        };
        let deepest = load(&nested(DEEPEST)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        deepest.save(&dir.path().join("manifest")).unwrap();
        assert!(load(&nested(DEEPEST + 1)).unwrap_err().is_damaged());
        assert!(load(&nested(1_000_000)).unwrap_err().is_damaged());
        let deeper = Manifest::new(Directory::new(vec![child(b"a", 0, Node::Directory(deepest.root))]));
        assert!(deeper.save(&dir.path().join("manifest")).is_err());
    }
}

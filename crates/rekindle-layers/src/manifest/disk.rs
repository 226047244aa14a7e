//! Manifests as files, so that a checkpoint can say what sources it was made from.
//!
//! The file is sealed (see `sealed_file`). Each directory is a record of its own, after those of the directories in it,
//! so that one can be passed over; integers are little-endian:
//!
//! ```text
//! body    = record*, trailer                            the root's record is the last
//! trailer = place of the root, the root's digest:32, BLAKE3 of the magic and these two:32
//! record  = entry*                                      sorted by name
//! entry   = kind:u8, mode:u16, name length:u8, name, content
//! kind    = 'f' file | 'l' symlink | 'd' directory
//! content = size:u64, BLAKE3 of the bytes:32            for a file
//!         | length:u32, target                          for a symlink
//!         | place, the directory's digest:32            for a directory
//! place   = offset:u64, length:u64                      of the record in the file
//! ```
//! Loading computes the digest of each directory that it reads and compares, so what was loaded is consistent, and a
//! part of a file can be relied on without the seal. A file that has the right seal and cannot be what this module
//! wrote is damaged all the same.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Child, Directory, Manifest, Node};
use crate::error::Kind;
use crate::sealed_file::{self, CHECKSUM, Magic, Sealed, take, take_slice};
use crate::{Digest, Error};

const MAGIC: &Magic = b"rekindle manifest v2\0\0\0\n";
/// More levels than any path that the kernel takes has. Bounds the recursion of whoever walks the tree.
const DEEPEST: usize = 2048;
const TRAILER: usize = 16 + 2 * 32;

const FILE: u8 = b'f';
const SYMLINK: u8 = b'l';
const DIRECTORY: u8 = b'd';

impl Manifest {
    /// Writes the manifest, replacing the file at once or not at all.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        sealed_file::write(path, "write the manifest", MAGIC, |file| {
            let mut writer = Writer { file, at: MAGIC.len() as u64 };
            let place = writer.put(&self.root, 0)?;
            writer.file.put(&trailer(place, self.root.digest))
        })
    }

    /// Loads a manifest. One that is damaged or of another version is an error ([`Error::is_damaged`]).
    pub fn load(path: &Path) -> Result<Manifest, Error> {
        let bytes = std::fs::read(path).map_err(|error| Error::os("read the manifest", path, error))?;
        let damaged = |reason| Error::from(Kind::Damaged { path: path.to_owned(), reason });
        let body = sealed_file::body(&bytes, MAGIC).map_err(damaged)?;
        let unlike = || damaged("is no manifest, though its digest is right");
        let (records, trailer) = body.split_last_chunk().ok_or_else(unlike)?;
        let mut reader = Reader { from: From::Bytes(&bytes), left: records.len() as u64 };
        let root = reader.root(*trailer, None).map_err(|_| unlike())?;
        if reader.left > 0 {
            return Err(unlike());
        }
        Ok(Manifest { root })
    }

    /// Loads a manifest that has much in common with one that is known. Only directories that differ are read, and only
    /// damage that is met there is noticed. Of entries in the others, the permission bits that do not count are those of
    /// `known`.
    pub fn load_beside(path: &Path, known: &Manifest) -> Result<Manifest, Error> {
        let fail = |error| Error::os("read the manifest", path, error);
        let damaged = |reason| Error::from(Kind::Damaged { path: path.to_owned(), reason });
        let file = File::open(path).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        let around = MAGIC.len() + TRAILER + CHECKSUM;
        let Some(records) = length.checked_sub(around as u64) else { return Err(damaged("is damaged")) };
        let (mut magic, mut trailer) = ([0; MAGIC.len()], [0; TRAILER]);
        file.read_exact_at(&mut magic, 0).map_err(fail)?;
        file.read_exact_at(&mut trailer, MAGIC.len() as u64 + records).map_err(fail)?;
        if magic != *MAGIC {
            return Err(damaged("was written by another version of the program"));
        }
        let mut reader = Reader { from: From::File(&file), left: records };
        match reader.root(trailer, Some(&known.root)) {
            Ok(root) => Ok(Manifest { root }),
            Err(Failure::Malformed) => Err(damaged("is damaged")),
            Err(Failure::Io(error)) => Err(fail(error)),
        }
    }
}

/// Where a record is in the file.
#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    length: u64,
}

impl Place {
    fn bytes(self) -> [u8; 16] {
        (u128::from(self.length) << 64 | u128::from(self.offset)).to_le_bytes()
    }

    fn take(rest: &mut &[u8]) -> Option<Place> {
        Some(Place { offset: u64::from_le_bytes(take(rest)?), length: u64::from_le_bytes(take(rest)?) })
    }
}

/// What tells where the root is. Without a seal of its own, an entry of a directory could be taken for it in a file that
/// was cut off.
fn trailer(root: Place, digest: Digest) -> [u8; TRAILER] {
    let mut bytes = [0; TRAILER];
    bytes[..16].copy_from_slice(&root.bytes());
    bytes[16..48].copy_from_slice(digest.as_bytes());
    let seal = Digest::of(&[&MAGIC[..], &bytes[..48]].concat());
    bytes[48..].copy_from_slice(seal.as_bytes());
    bytes
}

struct Writer<'a> {
    file: &'a mut Sealed,
    /// How much of the file there is.
    at: u64,
}

impl Writer<'_> {
    fn put(&mut self, directory: &Directory, depth: usize) -> io::Result<Place> {
        if depth > DEEPEST {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "its directories are nested too deeply"));
        }
        let mut record = Vec::with_capacity(directory.children.len() * 64);
        for child in &*directory.children {
            let kind = match &child.node {
                Node::File { .. } => FILE,
                Node::Symlink { .. } => SYMLINK,
                Node::Directory(_) => DIRECTORY,
            };
            let [low, high] = child.mode.to_le_bytes();
            // A name has at most 255 bytes on every file system of Linux.
            record.extend([kind, low, high, child.name.len() as u8]);
            record.extend(child.name.as_bytes());
            match &child.node {
                Node::File { size, digest } => {
                    record.extend(size.to_le_bytes());
                    record.extend(digest.as_bytes());
                }
                Node::Symlink { target } => {
                    record.extend((target.len() as u32).to_le_bytes());
                    record.extend(target.as_bytes());
                }
                Node::Directory(inner) => {
                    record.extend(self.put(inner, depth + 1)?.bytes());
                    record.extend(inner.digest.as_bytes());
                }
            }
        }
        let place = Place { offset: self.at, length: record.len() as u64 };
        self.at += place.length;
        self.file.put(&record)?;
        Ok(place)
    }
}

enum From<'a> {
    /// The whole file.
    Bytes(&'a [u8]),
    File(&'a File),
}

enum Failure {
    Malformed,
    Io(io::Error),
}

/// A directory that is not yet complete.
struct Open<'a> {
    name: Box<OsStr>,
    mode: u16,
    /// What it has to be in the end.
    digest: Digest,
    record: Cow<'a, [u8]>,
    /// How much of the record has been read.
    read: usize,
    children: Vec<Child>,
    /// What is known under the same path.
    known: Option<Directory>,
}

struct Reader<'a> {
    from: From<'a>,
    /// How many bytes of records may still be read: none is read twice.
    left: u64,
}

impl<'a> Reader<'a> {
    fn root(&mut self, found: [u8; TRAILER], known: Option<&Directory>) -> Result<Directory, Failure> {
        let mut rest = &found[..];
        let place = Place::take(&mut rest).ok_or(Failure::Malformed)?;
        let digest = Digest::from_bytes(take(&mut rest).ok_or(Failure::Malformed)?);
        if found != trailer(place, digest) {
            return Err(Failure::Malformed);
        }
        if let Some(known) = known.filter(|known| known.digest == digest) {
            return Ok(known.clone());
        }
        let mut above: Vec<Open<'_>> = Vec::new();
        let mut here = self.open(OsStr::new(""), 0, place, digest, known)?;
        loop {
            let mut rest = &here.record[here.read..];
            if rest.is_empty() {
                let directory = Directory::new(here.children);
                if directory.digest != here.digest {
                    return Err(Failure::Malformed);
                }
                let Some(mut parent) = above.pop() else { return Ok(directory) };
                parent.children.push(Child {
                    name: here.name,
                    mode: here.mode,
                    node: Node::Directory(directory),
                });
                here = parent;
                continue;
            }
            let Entry { name, mode, content } = Entry::take(&mut rest).ok_or(Failure::Malformed)?;
            let read = here.record.len() - rest.len();
            if here.children.last().is_some_and(|last| last.name.as_bytes() >= name) {
                return Err(Failure::Malformed);
            }
            let (place, digest) = match content {
                Content::Leaf(node) => {
                    here.children.push(child(name, mode, node));
                    here.read = read;
                    continue;
                }
                Content::Directory(place, digest) => (place, digest),
            };
            let name = OsStr::from_bytes(name);
            let known = here.known.as_ref().and_then(|known| match &known.child(name)?.node {
                Node::Directory(known) => Some(known),
                _ => None,
            });
            match known {
                Some(known) if known.digest == digest => {
                    let node = Node::Directory(known.clone());
                    here.children.push(Child { name: name.into(), mode, node });
                    here.read = read;
                }
                _ if above.len() == DEEPEST => return Err(Failure::Malformed),
                known => {
                    let inner = self.open(name, mode, place, digest, known)?;
                    here.read = read;
                    above.push(std::mem::replace(&mut here, inner));
                }
            }
        }
    }

    fn open(
        &mut self,
        name: &OsStr,
        mode: u16,
        place: Place,
        digest: Digest,
        known: Option<&Directory>,
    ) -> Result<Open<'a>, Failure> {
        let (record, known) = (self.record(place)?, known.cloned());
        Ok(Open { name: name.into(), mode, digest, record, read: 0, children: Vec::new(), known })
    }

    fn record(&mut self, place: Place) -> Result<Cow<'a, [u8]>, Failure> {
        self.left = self.left.checked_sub(place.length).ok_or(Failure::Malformed)?;
        let length = usize::try_from(place.length).map_err(|_| Failure::Malformed)?;
        match &self.from {
            From::Bytes(bytes) => {
                let from = usize::try_from(place.offset).ok();
                let record = from.and_then(|from| bytes.get(from..from.checked_add(length)?));
                record.map(Cow::Borrowed).ok_or(Failure::Malformed)
            }
            From::File(file) => {
                let mut record = vec![0; length];
                match file.read_exact_at(&mut record, place.offset) {
                    Ok(()) => Ok(Cow::Owned(record)),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Failure::Malformed),
                    Err(error) => Err(Failure::Io(error)),
                }
            }
        }
    }
}

/// An entry of a record.
struct Entry<'a> {
    name: &'a [u8],
    mode: u16,
    content: Content,
}

enum Content {
    Leaf(Node),
    Directory(Place, Digest),
}

impl<'a> Entry<'a> {
    fn take(rest: &mut &'a [u8]) -> Option<Entry<'a>> {
        let [kind] = take(rest)?;
        let mode = u16::from_le_bytes(take(rest)?);
        let [length] = take(rest)?;
        let name = take_slice(rest, length.into())?;
        if mode & !0o7777 != 0 || !is_name(name) {
            return None;
        }
        let content = match kind {
            FILE => {
                let size = u64::from_le_bytes(take(rest)?);
                Content::Leaf(Node::File { size, digest: Digest::from_bytes(take(rest)?) })
            }
            SYMLINK => {
                let length = u32::from_le_bytes(take(rest)?);
                let target = take_slice(rest, usize::try_from(length).ok()?)?;
                if target.contains(&0) {
                    return None;
                }
                Content::Leaf(Node::Symlink { target: OsStr::from_bytes(target).into() })
            }
            DIRECTORY => Content::Directory(Place::take(rest)?, Digest::from_bytes(take(rest)?)),
            _ => return None,
        };
        Some(Entry { name, mode, content })
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
        sealed_file::write(&path, "write", b"rekindle manifest v3\0\0\0\n", |file| file.put(b"\0")).unwrap();
        let error = Manifest::load(&path).unwrap_err();
        assert!(error.is_damaged() && error.to_string().contains("another version"), "{error}");
    }

    /// A file with this as the root's record.
    fn root(record: &[u8], digest: Digest) -> Vec<u8> {
        let place = Place { offset: MAGIC.len() as u64, length: record.len() as u64 };
        [record, &trailer(place, digest)].concat()
    }

    #[test]
    fn only_what_is_written_is_read() {
        let file = |name: &[u8], mode: u16| {
            let mut bytes = vec![FILE];
            bytes.extend(mode.to_le_bytes());
            bytes.push(name.len() as u8);
            bytes.extend(name);
            bytes.extend(0u64.to_le_bytes());
            bytes.extend(Digest::of(b"").as_bytes());
            bytes
        };
        let digest = |names: &[&[u8]]| {
            let children = names.iter().map(|name| self::file(name, 0o644, b""));
            Directory::new(children.collect()).digest
        };
        let both = [file(b"a", 0o644), file(b"b", 0o7644)].concat();
        assert_eq!(load(&root(&both, digest(&[b"a", b"b"]))).unwrap().entries().count(), 2);
        let of_a = digest(&[b"a"]);
        let bad = [
            root(&both, of_a),
            root(&file(b"", 0), digest(&[b""])),
            root(&file(b".", 0), digest(&[b"."])),
            root(&file(b"..", 0), digest(&[b".."])),
            root(&file(b"a/b", 0), digest(&[b"a/b"])),
            root(&file(b"a\0", 0), digest(&[b"a\0"])),
            root(&file(b"a", 0o10000), of_a),
            root(&[file(b"a", 0), file(b"a", 0)].concat(), digest(&[b"a", b"a"])),
            root(&[file(b"b", 0), file(b"a", 0)].concat(), digest(&[b"b", b"a"])),
            // Something that no directory has.
            [&[0][..], &root(b"", digest(&[]))].concat(),
            vec![],
            root(&[b'q', 0, 0, 1, b'a'], of_a),
            root(&[FILE, 0, 0, 1, b'a', 1, 2], of_a),
            root(&[SYMLINK, 0, 0, 1, b'a', 255, 255, 255, 255, b'x'], of_a),
            root(&[SYMLINK, 0, 0, 1, b'a', 1, 0, 0, 0, 0], of_a),
        ];
        for bytes in bad {
            assert!(load(&bytes).unwrap_err().is_damaged(), "{bytes:?}");
        }
        // A directory that holds itself.
        let place = Place { offset: MAGIC.len() as u64, length: 53 };
        let ring = [&[DIRECTORY, 0, 0, 1, b'a'][..], &place.bytes(), of_a.as_bytes()].concat();
        assert_eq!(ring.len() as u64, place.length);
        assert!(load(&root(&ring, of_a)).unwrap_err().is_damaged());
    }

    #[test]
    fn too_deep_is_an_error_not_a_crash() {
        let nested = |levels: usize| {
            let empty = Directory::new(Vec::new());
            let root = (0..levels)
                .fold(empty, |inner, _| Directory::new(vec![child(b"a", 0, Node::Directory(inner))]));
            Manifest::new(root)
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest");
        nested(DEEPEST).save(&path).unwrap();
        assert_eq!(Manifest::load(&path).unwrap(), nested(DEEPEST));
        assert_eq!(Manifest::load_beside(&path, &nested(1)).unwrap(), nested(DEEPEST));
        assert!(nested(DEEPEST + 1).save(&path).is_err());
    }

    /// Many directories, one file of which holds `edited`.
    fn wide(edited: &[u8]) -> Manifest {
        let dir = |at: u8, content: &[u8]| {
            let inner = Directory::new(vec![file(b"x", 0o644, content), file(b"y", 0o600, &[at])]);
            child(&[b'a' + at], 0o755, Node::Directory(inner))
        };
        Manifest::new(Directory::new((0..20).map(|at| dir(at, if at == 7 { edited } else { b"" })).collect()))
    }

    #[test]
    fn beside_another_only_what_differs_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest");
        for known in [sample(), wide(b"old"), wide(b"new"), Manifest::new(Directory::new(Vec::new()))] {
            for saved in [sample(), wide(b"old"), Manifest::new(Directory::new(Vec::new()))] {
                saved.save(&path).unwrap();
                let loaded = Manifest::load_beside(&path, &known).unwrap();
                assert!(loaded == saved && loaded.entries().eq(saved.entries()));
                assert_eq!(loaded.changes(&known), saved.changes(&known));
            }
        }
        // Damage is an error or is not met, and never another manifest.
        wide(b"old").save(&path).unwrap();
        let good = std::fs::read(&path).unwrap();
        let mut met = 0;
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            match Manifest::load_beside(&path, &wide(b"new")) {
                Ok(loaded) => assert_eq!(loaded, wide(b"old"), "flipped at {at}"),
                Err(error) => {
                    assert!(error.is_damaged(), "flipped at {at}: {error}");
                    met += 1;
                }
            }
            std::fs::write(&path, &good[..at]).unwrap();
            assert!(Manifest::load_beside(&path, &wide(b"new")).unwrap_err().is_damaged(), "cut at {at}");
        }
        assert!(met > 0 && met < good.len(), "{met} of {}", good.len());
        assert!(Manifest::load_beside(&dir.path().join("none"), &sample()).unwrap_err().is_not_found());
    }
}

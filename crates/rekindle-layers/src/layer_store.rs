//! Where layers are made and kept.
//!
//! ```text
//! layers/ID/upper    a committed layer: overlayfs's upper directory as the kernel left it
//! tmp/ID/upper       a layer being made, and
//! tmp/ID/work        the work directory that overlayfs needs beside it
//! tmp/ID.lock        locked (`flock`) as long as the process lives that made it
//! ```
//! A commit renames `tmp/ID` to `layers/ID`, so a layer is there whole or not at all; removing renames it back
//! first. What a killed process leaves is in `tmp`, with a lock that nobody holds. The layer's own root is one level
//! further down because renaming a directory needs write permission on it, which a build may have taken from the
//! root. The caller names the directory, and puts a version into the name when this layout changes.
//!
//! Every removal of something in `tmp` is done by whoever holds its lock; whoever takes a lock checks that its file
//! still has its name, because another may have removed it between opening and locking.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::digest::parse_hex;
use crate::error::Kind;
use crate::{Error, random, remove_tree};

const UPPER: &str = "upper";
const WORK: &str = "work";
const LOCK: &str = "lock";

/// The name of a layer: 128 random bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerId([u8; 16]);

/// The directory in which layers are made and kept. Any number of processes may use it at once.
#[derive(Clone, Debug)]
pub struct LayerStore {
    dir: PathBuf,
}

/// A layer being made. Dropped without [`Draft::commit`], it is removed.
#[derive(Debug)]
pub struct Draft {
    claim: Claim,
    id: LayerId,
    upper: PathBuf,
    work: PathBuf,
    layer: PathBuf,
}

impl LayerStore {
    /// Opens the store in `dir`, making what is missing.
    pub fn open(dir: &Path) -> Result<LayerStore, Error> {
        let store = LayerStore { dir: dir.to_owned() };
        for part in [store.tmp(), store.kept()] {
            // Layers hold whatever a build leaves, setuid programs perhaps: nobody else's business.
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&part);
            made.map_err(|error| Error::os("make the directory", part, error))?;
        }
        Ok(store)
    }

    /// Begins a layer.
    pub fn begin(&self) -> Result<Draft, Error> {
        let id = LayerId(random::bytes().map_err(|errno| Error::os("make a layer in", &self.dir, errno))?);
        let claim = Claim::make(&self.tmp(), id)?;
        let (upper, work) = (claim.tree.join(UPPER), claim.tree.join(WORK));
        make_directory(&claim.tree, 0o700)?;
        make_directory(&upper, 0o755)?;
        make_directory(&work, 0o700)?;
        Ok(Draft { claim, id, upper, work, layer: self.layer(id) })
    }

    /// Returns where a layer's tree is. The path exists only if [`LayerStore::contains`] says so.
    pub fn path(&self, id: LayerId) -> PathBuf {
        self.layer(id).join(UPPER)
    }

    /// Returns whether the layer is there.
    pub fn contains(&self, id: LayerId) -> bool {
        self.path(id).is_dir()
    }

    /// Lists all layers, in no particular order.
    pub fn layers(&self) -> Result<Vec<LayerId>, Error> {
        let names = list(&self.kept())?;
        Ok(names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    /// Removes a layer: gone at once for everyone who looks, then deleted. Nobody may have it mounted any more.
    pub fn remove(&self, id: LayerId) -> Result<(), Error> {
        let claim = Claim::make(&self.tmp(), id)?;
        let layer = self.layer(id);
        match fs::rename(&layer, &claim.tree) {
            Ok(()) => claim.clear(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Kind::NoLayer { id: id.to_string() }.into())
            }
            Err(error) => Err(Error::os("remove", layer, error)),
        }
    }

    /// Removes what killed processes left; returns how many leftovers. Safe beside running ones.
    pub fn sweep(&self) -> Result<usize, Error> {
        let names = list(&self.tmp())?;
        // Trees and locks alike: either may be left alone. Other names are not ours to judge.
        let stems = names.iter().filter_map(|name| Path::new(name).file_stem()?.to_str()?.parse().ok());
        let mut swept = 0;
        for id in stems.collect::<BTreeSet<LayerId>>() {
            if let Some(claim) = Claim::take(&self.tmp(), id)? {
                swept += usize::from(fs::symlink_metadata(&claim.tree).is_ok());
                claim.clear()?;
            }
        }
        Ok(swept)
    }

    fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    fn kept(&self) -> PathBuf {
        self.dir.join("layers")
    }

    fn layer(&self, id: LayerId) -> PathBuf {
        self.kept().join(id.to_string())
    }
}

impl Draft {
    /// The name that the layer will have.
    pub fn id(&self) -> LayerId {
        self.id
    }

    /// The directory, empty at first, to use as overlayfs's upper directory. Its mode is 0755.
    pub fn upper(&self) -> &Path {
        &self.upper
    }

    /// The empty directory to use as overlayfs's work directory.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Makes the layer permanent and immutable. Nothing may be mounted on it or write to it any more.
    ///
    /// It survives the end of the process, however it ends, but a crash of the machine only once the file system has
    /// written it.
    pub fn commit(self) -> Result<LayerId, Error> {
        remove_tree(&self.work)?;
        fs::rename(&self.claim.tree, &self.layer).map_err(|error| Error::os("commit", &self.layer, error))?;
        Ok(self.id)
    }
}

/// A name in `tmp` that this process holds the lock of. Dropped, tree and lock are removed.
#[derive(Debug)]
struct Claim {
    tree: PathBuf,
    lock_path: PathBuf,
    /// Held for the lock.
    _lock: File,
}

impl Claim {
    /// Claims a name, waiting for whoever has it now.
    fn make(tmp: &Path, id: LayerId) -> Result<Claim, Error> {
        loop {
            if let Some(claim) = Claim::lock(tmp, id, FlockOperation::LockExclusive)? {
                return Ok(claim);
            }
        }
    }

    /// Claims a name, unless somebody has it.
    fn take(tmp: &Path, id: LayerId) -> Result<Option<Claim>, Error> {
        Claim::lock(tmp, id, FlockOperation::NonBlockingLockExclusive)
    }

    fn lock(tmp: &Path, id: LayerId, how: FlockOperation) -> Result<Option<Claim>, Error> {
        let tree = tmp.join(id.to_string());
        let lock_path = tree.with_extension(LOCK);
        let fail = |error: io::Error| Error::os("lock", &lock_path, error);
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
        let file = file.map_err(fail)?;
        loop {
            match rustix::fs::flock(&file, how) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(fail(errno.into())),
            }
        }
        let locked = file.metadata().map_err(fail)?;
        match fs::symlink_metadata(&lock_path) {
            Ok(named) if (named.dev(), named.ino()) == (locked.dev(), locked.ino()) => {
                Ok(Some(Claim { tree, lock_path, _lock: file }))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fail(error)),
        }
    }

    /// Removes the tree; the lock goes when the claim is dropped.
    fn clear(self) -> Result<(), Error> {
        remove_tree(&self.tree)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // What cannot be removed now stays locked until the process ends, and is then for the sweep.
        if remove_tree(&self.tree).is_ok() {
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    let fail = |error| Error::os("make the directory", path, error);
    fs::DirBuilder::new().mode(mode).create(path).map_err(fail)?;
    // The umask may have taken bits.
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).map_err(fail)
}

fn list(dir: &Path) -> Result<Vec<std::ffi::OsString>, Error> {
    let fail = |error| Error::os("list", dir, error);
    fs::read_dir(dir).map_err(fail)?.map(|entry| entry.map(|entry| entry.file_name()).map_err(fail)).collect()
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LayerId({self})")
    }
}

/// The text is not the name of a layer: it must be 32 lowercase hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a layer's name must be 32 lowercase hexadecimal digits")]
pub struct ParseLayerIdError;

impl FromStr for LayerId {
    type Err = ParseLayerIdError;

    fn from_str(text: &str) -> Result<LayerId, ParseLayerIdError> {
        parse_hex(text).map(LayerId).ok_or(ParseLayerIdError)
    }
}

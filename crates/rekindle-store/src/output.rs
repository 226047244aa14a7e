//! Taking in what a build left: sealed, hashed and scanned in one pass, then put in its place by a rename.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rekindle_nix::StorePath;
use rekindle_nix::references::Scanner;
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use crate::error::{At, Cause, Error, Result};
use crate::info::Registration;
use crate::locks::OutputLocks;
use crate::remove::remove_all;
use crate::seal::seal_directory;
use crate::store::Store;
use crate::tree::{Effect, Tree, stream};

impl Store {
    /// Puts the file or directory `from` in the place of `path`, and returns what there is to register.
    ///
    /// `from` lies on the store's file system, for instance in a [staging](Store::staging) place, and is the caller's
    /// own: nobody writes to it any more, and none of its files is hard-linked to one outside, for they are sealed where
    /// they lie, whatever modes, owners and attributes the build left. References are looked for among the `candidates`
    /// and `path` itself. Garbage that lies at `path` is replaced.
    ///
    /// The path is not valid before it is [registered](Store::register); the caller completes the registration
    /// (deriver, content address) and does that, for all outputs together. Until then a crash leaves garbage.
    ///
    /// # Errors
    /// [`UnsupportedFile`](crate::ErrorKind::UnsupportedFile) names a socket, pipe or device. `from` is then still where
    /// it was, though perhaps partly sealed. If `path` is valid already, nothing is done and that is an error as well:
    /// look after locking.
    pub fn install_output(
        &self,
        locks: &OutputLocks,
        from: &Path,
        path: &StorePath,
        candidates: &BTreeSet<StorePath>,
    ) -> Result<Registration> {
        let misuse = |why: &str| {
            Error::from(Cause::Malformed { what: format!("'{}' {why}", self.store_dir().display(path)) })
        };
        if !locks.hold(path) {
            return Err(misuse("is not locked by the one who installs it"));
        }
        if self.is_valid(path)? {
            return Err(misuse("is valid already and cannot be installed again"));
        }
        let tree = Tree::scan_unlocking(from)?;
        let mut scanner = Scanner::new(candidates.iter().chain([path]).cloned().collect::<BTreeSet<_>>());
        let digest = stream(&tree, Effect::Seal, &mut scanner)?;
        self.put_in_place(from, path)?;
        Ok(Registration {
            path: path.clone(),
            nar_hash: digest.hash,
            nar_size: digest.size,
            references: scanner.found(),
            deriver: None,
            ca: None,
            ultimate: true,
            signatures: Vec::new(),
        })
    }

    /// Puts the file or directory `from` in the place of the valid `path`, whose files nobody trusts, and records its
    /// hash. For `from` and `candidates` it is as with [`Store::install_output`]; what `from` refers to is valid.
    ///
    /// The two trees change places in one step, so whoever opens a file of the path finds the old or the new one. A crash
    /// in the moment after it leaves a path that [`Store::verify`] finds damaged, and that can be replaced again.
    ///
    /// # Errors
    /// As for [`Store::install_output`], but that the path has to be valid.
    pub fn replace_output(
        &self,
        locks: &OutputLocks,
        from: &Path,
        path: &StorePath,
        candidates: &BTreeSet<StorePath>,
    ) -> Result<()> {
        if !locks.hold(path) {
            let what =
                format!("'{}' is not locked by the one who replaces it", self.store_dir().display(path));
            return Err(Cause::Malformed { what }.into());
        }
        let tree = Tree::scan_unlocking(from)?;
        let mut scanner = Scanner::new(candidates.iter().chain([path]).cloned().collect::<BTreeSet<_>>());
        let digest = stream(&tree, Effect::Seal, &mut scanner)?;
        let new = Registration {
            path: path.clone(),
            nar_hash: digest.hash,
            nar_size: digest.size,
            references: scanner.found(),
            deriver: None,
            ca: None,
            ultimate: true,
            signatures: Vec::new(),
        };
        self.db().replace(self.store_dir(), &new, || self.exchange(from, path))
    }

    /// Lets a tree that is sealed but for its root and what lies at a path change places.
    fn exchange(&self, from: &Path, path: &StorePath) -> Result<()> {
        let to = self.real_path(path);
        if to.symlink_metadata().at("look at", &to)?.is_dir() {
            // A directory that is read-only cannot be moved.
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o755)).at("make writable", &to)?;
        }
        match rustix::fs::renameat_with(CWD, from, CWD, &to, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            // Not every file system can.
            Err(Errno::INVAL | Errno::NOSYS) => return self.put_in_place(from, path),
            Err(errno) => return Err(errno).at("replace", &to),
        }
        if to.symlink_metadata().at("look at", &to)?.is_dir() { seal_directory(&to) } else { Ok(()) }
    }

    /// Renames a tree that is sealed but for its root to its place, and seals the root: a directory that is read-only
    /// cannot be moved.
    pub(crate) fn put_in_place(&self, from: &Path, path: &StorePath) -> Result<()> {
        let to = self.real_path(path);
        remove_all(&to)?;
        std::fs::rename(from, &to).at("move into the store as", &to)?;
        if to.symlink_metadata().at("look at", &to)?.is_dir() { seal_directory(&to) } else { Ok(()) }
    }
}

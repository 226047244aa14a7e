//! Roots: the links that say what is to be kept.
//!
//! What a user makes is a symbolic link, anywhere, to the *physical* path, so that it works without Nix. Two links in the
//! store make it a root:
//! - `gcroots/auto/<name>` → the user's link: Nix's *indirect root*. It tells whose root it is.
//! - `gcroots/rekindle/<name>` → `/nix/store/…`: a direct root, because real Nix does not take a link to a physical
//!   path for a root, and would collect what it points to.
//!
//! The name is the hash of the link's path. When the user's link is gone or points elsewhere, our collection of garbage
//! drops both; real Nix drops only the first, and keeps the path until ours runs.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rekindle_nix::{HashAlgo, StorePath};
use rustix::fs::Access;

use crate::error::{At, Error, Result};
use crate::flock::{self, Shared};
use crate::store::Store;

/// A link that keeps a path and all that it refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GcRoot {
    /// The path that is kept. Valid.
    pub target: StorePath,
    /// The link, the user's own if there is one.
    pub link: PathBuf,
}

/// What a look at all roots found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) roots: BTreeSet<GcRoot>,
    /// Links in the store's directories of roots that mean nothing any more.
    pub(crate) stale: Vec<PathBuf>,
}

impl Store {
    /// Makes `link` a symbolic link to the physical path of `target`, and keeps that as long as the link is there.
    ///
    /// An older link at that place is replaced, but only one that leads into a store: nothing else is overwritten.
    pub fn add_root(&self, link: &Path, target: &StorePath) -> Result<()> {
        self.require_writable()?;
        let link = std::path::absolute(link).at("make absolute the path", link)?;
        check_replaceable(&link)?;
        self.add_temp_root(target)?;
        self.require(target)?;

        // A collection that runs now would see half of what follows.
        let lock_path = self.layout.gc_lock();
        let gc_lock = flock::open(&lock_path)?;
        flock::lock(&gc_lock, Shared::Yes, &lock_path, &mut || {})?;

        let name = HashAlgo::Sha1.digest(link.as_os_str().as_bytes()).to_nix32();
        let direct = self.layout.gc_roots().join("rekindle").join(&name);
        let indirect = self.layout.gc_roots().join("auto").join(&name);
        replace_link(Path::new(&self.store_dir().display(target)), &direct)?;
        let made = replace_link(&link, &indirect).and_then(|()| replace_link(&self.real_path(target), &link));
        if made.is_err() && !self.points_to(&link, target).unwrap_or(true) {
            let _ = std::fs::remove_file(&direct);
            let _ = std::fs::remove_file(&indirect);
        }
        made
    }

    /// Looks whether [`Store::add_root`] could make this link, before the work whose result it is to keep.
    pub fn check_root(&self, link: &Path) -> Result<()> {
        let link = std::path::absolute(link).at("make absolute the path", link)?;
        check_replaceable(&link)?;
        // The directories below it are made.
        let above = link.ancestors().skip(1).find(|above| above.symlink_metadata().is_ok());
        let above = above.unwrap_or(Path::new("/"));
        if !above.is_dir() {
            return Err(Error::io("create the link", link, io::Error::from(io::ErrorKind::NotADirectory)));
        }
        rustix::fs::access(above, Access::WRITE_OK | Access::EXEC_OK).at("create the link", &link)
    }

    /// All links that keep a path now.
    pub fn roots(&self) -> Result<BTreeSet<GcRoot>> {
        Ok(self.find_roots()?.roots)
    }

    pub(crate) fn find_roots(&self) -> Result<Found> {
        let mut found = Found::default();
        self.visit(&self.layout.gc_roots(), &mut found)?;
        self.visit(&self.layout.profiles(), &mut found)?;
        Ok(found)
    }

    fn visit(&self, path: &Path, found: &mut Found) -> Result<()> {
        let meta = match path.symlink_metadata() {
            Ok(meta) => meta,
            Err(error) if is_out_of_reach(&error) => return Ok(()),
            Err(error) => return Err(Error::io("look at", path, error)),
        };
        if meta.is_dir() {
            let entries = match std::fs::read_dir(path) {
                Ok(entries) => entries,
                Err(error) if is_out_of_reach(&error) => return Ok(()),
                Err(error) => return Err(Error::io("list", path, error)),
            };
            for entry in entries {
                self.visit(&entry.at("list", path)?.path(), found)?;
            }
            return Ok(());
        }
        if meta.is_symlink() {
            return self.visit_link(path, found);
        }
        if let Some(target) =
            path.file_name().and_then(|name| StorePath::from_base_name(name.as_bytes()).ok())
        {
            self.keep(target, path, found)?;
        }
        Ok(())
    }

    fn visit_link(&self, path: &Path, found: &mut Found) -> Result<()> {
        let Ok(target) = std::fs::read_link(path) else { return Ok(()) };
        if let Some(kept) = self.store_path_of(&target) {
            let Some(name) = self.name_of_ours(path) else { return self.keep(kept, path, found) };
            let indirect = self.layout.gc_roots().join("auto").join(name);
            return match std::fs::read_link(&indirect) {
                Ok(link) if self.points_to(&link, &kept).unwrap_or(true) => self.keep(kept, &link, found),
                Ok(_) => {
                    found.stale.extend([path.to_owned(), indirect]);
                    Ok(())
                }
                // Real Nix drops the indirect root when the user's link is gone.
                Err(_) => {
                    found.stale.push(path.to_owned());
                    Ok(())
                }
            };
        }
        let Some(parent) = path.parent() else { return Ok(()) };
        let link = parent.join(&target);
        match link.symlink_metadata() {
            Ok(meta) if meta.is_symlink() => {
                match std::fs::read_link(&link).ok().and_then(|target| self.store_path_of(&target)) {
                    Some(kept) => self.keep(kept, &link, found),
                    None => Ok(()),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if path.starts_with(self.layout.gc_roots().join("auto")) {
                    found.stale.push(path.to_owned());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn keep(&self, target: StorePath, link: &Path, found: &mut Found) -> Result<()> {
        if self.is_valid(&target)? {
            found.roots.insert(GcRoot { target, link: link.to_owned() });
        }
        Ok(())
    }

    /// The name of a direct root of ours.
    fn name_of_ours<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.strip_prefix(self.layout.gc_roots().join("rekindle")).ok()
    }

    /// The store path that a logical or physical path lies in.
    fn store_path_of(&self, path: &Path) -> Option<StorePath> {
        let inner = path
            .strip_prefix(self.store_dir().as_str())
            .or_else(|_| path.strip_prefix(self.physical_store_dir()))
            .ok()?;
        StorePath::from_base_name(inner.iter().next()?.as_bytes()).ok()
    }

    /// Whether a link points to a store path. Unknown if it cannot be read.
    fn points_to(&self, link: &Path, target: &StorePath) -> io::Result<bool> {
        match std::fs::read_link(link) {
            Ok(found) => Ok(self.store_path_of(&found).as_ref() == Some(target)),
            // Gone, or not a link.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

fn is_out_of_reach(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory
    )
}

fn check_replaceable(link: &Path) -> Result<()> {
    match link.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("look at", link, error)),
        Ok(_) => match std::fs::read_link(link) {
            Ok(target) if target.as_os_str().as_bytes().windows(11).any(|part| part == b"/nix/store/") => {
                Ok(())
            }
            _ => Err(Error::io("replace", link, io::Error::other("it is not a link into a store"))),
        },
    }
}

/// Puts a symbolic link to `target` at `link`, in one step if there is one already. Makes the directory if need be.
fn replace_link(target: &Path, link: &Path) -> Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let (Some(parent), Some(name)) = (link.parent(), link.file_name()) else {
        return Err(Error::io("create the link", link, io::Error::from(io::ErrorKind::InvalidInput)));
    };
    if !parent.exists() {
        std::fs::create_dir_all(parent).at("create the directory", parent)?;
    }
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{number}", std::process::id()));
    let temporary = parent.join(temporary);
    match std::os::unix::fs::symlink(target, &temporary) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Left by a process that had our number.
            std::fs::remove_file(&temporary).at("remove", &temporary)?;
            std::os::unix::fs::symlink(target, &temporary).at("create the link", link)?;
        }
        other => other.at("create the link", link)?,
    }
    std::fs::rename(&temporary, link).map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        Error::io("create the link", link, error)
    })
}

//! Where everything is in a store, as Nix lays it out.
//!
//! ```text
//! <root>/nix/store/<hash>-<name>         store paths; <hash>-<name>.lock while one is being made
//! <root>/nix/store/.links                Nix's pool of hard links (`nix-store --optimise`); never touched
//! <root>/nix/var/nix/db/db.sqlite        what is valid (write-ahead log beside it)
//! <root>/nix/var/nix/db/schema           "10", no newline
//! <root>/nix/var/nix/db/big-lock         held shared by every process that has the store open
//! <root>/nix/var/nix/db/reserved         8 MiB, given up by a collection of garbage on a full disk
//! <root>/nix/var/nix/gc.lock             exclusive while garbage is collected
//! <root>/nix/var/nix/gc-socket/socket    where a running collection is told of new temporary roots
//! <root>/nix/var/nix/temproots/<pid>     NUL-terminated store paths, locked by the process that needs them
//! <root>/nix/var/nix/gcroots/            symbolic links to what must be kept
//! <root>/nix/var/nix/rekindle/staging/   trees on their way into the store (ours; Nix does not look there)
//! <root>/nix/var/log/nix/drvs/<2>/<rest> build logs, `.bz2` or plain
//! ```
//!
//! Staging is not inside `nix/store`, although Nix does it so: a collection of garbage by Nix 2.8 deletes every
//! unregistered name there that no temporary root protects, locked or not.

use std::path::{Path, PathBuf};

/// The logical store directory: what store paths begin with, wherever they lie physically.
pub(crate) const STORE_DIR: &str = "/nix/store";

#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
    store: PathBuf,
    state: PathBuf,
}

impl Layout {
    /// `root` must be absolute.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), store: root.join("nix/store"), state: root.join("nix/var/nix") }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The physical directory of store paths.
    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    pub(crate) fn db_dir(&self) -> PathBuf {
        self.state.join("db")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.state.join("db/db.sqlite")
    }

    pub(crate) fn schema(&self) -> PathBuf {
        self.state.join("db/schema")
    }

    pub(crate) fn big_lock(&self) -> PathBuf {
        self.state.join("db/big-lock")
    }

    pub(crate) fn reserved(&self) -> PathBuf {
        self.state.join("db/reserved")
    }

    pub(crate) fn gc_lock(&self) -> PathBuf {
        self.state.join("gc.lock")
    }

    pub(crate) fn gc_socket(&self) -> PathBuf {
        self.state.join("gc-socket/socket")
    }

    pub(crate) fn temp_roots(&self) -> PathBuf {
        self.state.join("temproots")
    }

    pub(crate) fn gc_roots(&self) -> PathBuf {
        self.state.join("gcroots")
    }

    pub(crate) fn profiles(&self) -> PathBuf {
        self.state.join("profiles")
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.state.join("rekindle/staging")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("nix/var/log/nix/drvs")
    }
}

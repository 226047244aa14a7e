//! What the store knows about a path, and what it is told when one is registered.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use rekindle_nix::{ContentAddress, Hash, Signature, StorePath};

/// What the store knows about a valid path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathInfo {
    /// The path.
    pub path: StorePath,
    /// SHA-256 of its archive.
    pub nar_hash: Hash,
    /// Size of its archive in bytes. `None` if the program that registered it did not say; `verify` counts such
    /// paths among the problems.
    pub nar_size: Option<u64>,
    /// The store paths that occur in it, itself perhaps among them. All valid.
    pub references: BTreeSet<StorePath>,
    /// The derivation that made it; may be gone.
    pub deriver: Option<StorePath>,
    /// For a path that is addressed by its content: how.
    pub ca: Option<ContentAddress>,
    /// When it was registered, in seconds since 1970.
    pub registration_time: i64,
    /// Whether it was built here, and so needs no signature.
    pub ultimate: bool,
    /// Signatures of others on the fact that the path has this content.
    pub signatures: Vec<Signature>,
}

impl PathInfo {
    /// When it was registered.
    pub fn registered(&self) -> SystemTime {
        let seconds = Duration::from_secs(self.registration_time.unsigned_abs());
        if self.registration_time < 0 {
            SystemTime::UNIX_EPOCH - seconds
        } else {
            SystemTime::UNIX_EPOCH + seconds
        }
    }
}

/// What is said about a path when it becomes valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The path. What it says must lie there already.
    pub path: StorePath,
    /// SHA-256 of its archive.
    pub nar_hash: Hash,
    /// Size of its archive in bytes.
    pub nar_size: u64,
    /// The store paths that occur in it, itself perhaps among them.
    pub references: BTreeSet<StorePath>,
    /// The derivation that made it.
    pub deriver: Option<StorePath>,
    /// For a path that is addressed by its content: how.
    pub ca: Option<ContentAddress>,
    /// Whether it was built here. Not so for sources, and for what was fetched from elsewhere.
    pub ultimate: bool,
    /// Signatures of others on the fact that the path has this content.
    pub signatures: Vec<Signature>,
}

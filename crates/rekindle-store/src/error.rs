//! The one error type of this crate.
//!
//! Opaque on purpose: callers print it (the chain is in `source()`), and branch only on [`ErrorKind`].
//! Each message names the path or store path that it is about and does not repeat its source.

use std::io;
use std::path::{Path, PathBuf};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a store operation did not happen.
/// The store is as it was before the call: whatever was begun is unreferenced and will be cleaned up.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Cause>);

/// What callers may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no store at this root, and it was opened only for reading.
    NoStore,
    /// The store was made by a program that writes a schema which this one does not know.
    UnknownSchema,
    /// The store was opened for reading, and the operation writes.
    ReadOnly,
    /// A store path that the operation needs is not valid here.
    NotValid,
    /// A source changed while it was being read.
    Changed,
    /// A tree holds what no archive can: a socket, a device, a pipe, a malformed name.
    UnsupportedFile,
    /// A derivation, reference or address that cannot be right.
    Malformed,
    /// The disk (or the quota) is full.
    NoSpace,
    /// The operating system forbids it.
    Denied,
    /// The database is damaged.
    Damaged,
    /// Anything else.
    Other,
}

impl Error {
    /// What sort of error this is.
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Cause::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
                _ => ErrorKind::Other,
            },
            Cause::Database { source, .. } => match source.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => ErrorKind::NoSpace,
                Some(
                    rusqlite::ErrorCode::CannotOpen
                    | rusqlite::ErrorCode::ReadOnly
                    | rusqlite::ErrorCode::PermissionDenied,
                ) => ErrorKind::Denied,
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                    ErrorKind::Damaged
                }
                _ => ErrorKind::Other,
            },
            Cause::NoStore { .. } => ErrorKind::NoStore,
            Cause::UnknownSchema { .. } => ErrorKind::UnknownSchema,
            Cause::ReadOnly { .. } => ErrorKind::ReadOnly,
            Cause::NotValid { .. } | Cause::ReferenceNotValid { .. } => ErrorKind::NotValid,
            Cause::Changed { .. } => ErrorKind::Changed,
            Cause::UnsupportedFile { .. } | Cause::BadEntry { .. } => ErrorKind::UnsupportedFile,
            Cause::BadRecord { .. } => ErrorKind::Damaged,
            Cause::Nix(_) | Cause::Format { .. } | Cause::Malformed { .. } | Cause::Cycle { .. } => {
                ErrorKind::Malformed
            }
            Cause::StillReferenced { .. } => ErrorKind::Other,
        }
    }

    pub(crate) fn is_still_referenced(&self) -> bool {
        matches!(&*self.0, Cause::StillReferenced { .. })
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Cause::Io { action, path: path.into(), source: source.into() }.into()
    }

    pub(crate) fn changed(path: impl Into<PathBuf>) -> Self {
        Cause::Changed { path: path.into() }.into()
    }

    pub(crate) fn format(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Cause::Format { what: what.into(), source: source.into() }.into()
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("cannot {action} '{}'", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot {action} in the store database '{}'", path.display())]
    Database { action: &'static str, path: PathBuf, source: rusqlite::Error },
    #[error("there is no store at '{}'", root.display())]
    NoStore { root: PathBuf },
    #[error(
        "the store at '{}' has schema {found:?}, and this program knows only schema {known}: use another store directory, or a newer program",
        root.display()
    )]
    UnknownSchema { root: PathBuf, found: String, known: &'static str },
    #[error("the store at '{}' was opened for reading only", root.display())]
    ReadOnly { root: PathBuf },
    #[error("'{path}' is not a valid path of this store")]
    NotValid { path: String },
    #[error("'{path}' refers to '{reference}', which is not a valid path of this store")]
    ReferenceNotValid { path: String, reference: String },
    #[error("'{path}' is still referred to by '{referrer}'")]
    StillReferenced { path: String, referrer: String },
    #[error("the references of '{}' form a cycle", paths.join("' and '"))]
    Cycle { paths: Vec<String> },
    #[error("'{}' changed while it was being read: do not edit it meanwhile, and try again", path.display())]
    Changed { path: PathBuf },
    #[error(
        "'{}' is a {kind}: only files, directories and symbolic links can be in a store",
        path.display()
    )]
    UnsupportedFile { path: PathBuf, kind: &'static str },
    #[error("'{}' cannot be an entry of a tree: {why}", path.display())]
    BadEntry { path: PathBuf, why: &'static str },
    #[error("the record of '{path}' in the store database is damaged: {why}")]
    BadRecord { path: String, why: String },
    #[error(transparent)]
    Nix(#[from] rekindle_nix::Error),
    #[error("{what}")]
    Format { what: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{what}")]
    Malformed { what: String },
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        Self(Box::new(cause))
    }
}

/// Names the path that an operating system call failed on.
pub(crate) trait At<T> {
    /// `action` completes "cannot … 'path'".
    fn at(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> At<T> for std::result::Result<T, E> {
    fn at(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::io(action, path, source))
    }
}

impl From<rekindle_nix::Error> for Error {
    fn from(error: rekindle_nix::Error) -> Self {
        Cause::Nix(error).into()
    }
}

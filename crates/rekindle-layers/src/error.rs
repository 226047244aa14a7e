//! The crate's one error type. It is opaque: callers tell apart only what they must act on differently.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Why a tree could not be read, written or removed. Always names the path.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] Box<Kind>);

impl Error {
    /// Whether the thing asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        self.errno() == Some(Errno::NOENT) || matches!(*self.0, Kind::NoLayer { .. } | Kind::NotInView { .. })
    }

    /// Whether the tree kept changing while it was read; the same call may succeed later.
    pub fn is_unsteady(&self) -> bool {
        matches!(*self.0, Kind::Unsteady { .. })
    }

    /// Whether a file that this crate wrote is not as it was written: damaged, or of another version.
    pub fn is_damaged(&self) -> bool {
        matches!(*self.0, Kind::Damaged { .. })
    }

    /// Whether permissions are missing.
    pub(crate) fn is_denied(&self) -> bool {
        self.errno() == Some(Errno::ACCESS)
    }

    /// Returns the path at fault.
    pub fn path(&self) -> Option<&Path> {
        match &*self.0 {
            Kind::Os { path, .. }
            | Kind::Special { path, .. }
            | Kind::Unsteady { path }
            | Kind::NotADirectory { path }
            | Kind::NotInView { path }
            | Kind::GitIndex { path, .. }
            | Kind::Layer { path, .. }
            | Kind::Damaged { path, .. }
            | Kind::MountPoint { path }
            | Kind::Renamed { path, .. } => Some(path),
            Kind::NoLayer { .. } | Kind::Substitution { .. } => None,
        }
    }

    fn errno(&self) -> Option<Errno> {
        match &*self.0 {
            Kind::Os { source, .. } => Errno::from_io_error(source),
            _ => None,
        }
    }

    /// Makes the error for a system call that failed: what was done ("open", "read the directory"), and to what.
    pub(crate) fn os(doing: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Error {
        Kind::Os { doing, path: path.into(), source: source.into() }.into()
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Error {
        Error(Box::new(kind))
    }
}

/// What went wrong. Private: its shape may change freely.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("cannot {doing} {}", path.display())]
    Os { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is a {what}, which cannot be a source; remove it or leave it out with an exclude pattern", path.display())]
    Special { path: PathBuf, what: &'static str },
    #[error("{} keeps changing while it is read; try again when nothing writes to it", path.display())]
    Unsteady { path: PathBuf },
    #[error("{} is not a directory", path.display())]
    NotADirectory { path: PathBuf },
    #[error("the tree has no {}", path.display())]
    NotInView { path: PathBuf },
    #[error("cannot tell which files git tracks: {} {reason}; mend it, or turn `gitignore` off for this source", path.display())]
    GitIndex { path: PathBuf, reason: &'static str },
    #[error("the layer holds {}, {reason}", path.display())]
    Layer { path: PathBuf, reason: &'static str },
    #[error("{} {reason}; what was made from it has to be made anew", path.display())]
    Damaged { path: PathBuf, reason: &'static str },
    #[error("there is no layer {id}")]
    NoLayer { id: String },
    #[error("{} is a mount point; unmount it, then remove it", path.display())]
    MountPoint { path: PathBuf },
    #[error("the substitution makes of the name {} {reason}", path.display())]
    Renamed { path: PathBuf, reason: &'static str },
    #[error("a substitution {reason}")]
    Substitution { reason: &'static str },
}

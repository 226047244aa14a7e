//! The one error of this crate.
//!
//! Opaque, so that a new message is not a breaking change; what a caller has to tell apart is [`ErrorKind`].

use std::fmt;
use std::path::PathBuf;

/// Why text could not be turned into a derivation. `Display` is one clause that names the place.
pub struct Error(Box<Problem>);

/// What callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// `rekindle.toml` is malformed, or says something that cannot be.
    Manifest,
    /// No build system was recognised in a source tree.
    NotRecognised,
    /// Packages depend on each other in a circle.
    Cycle,
    /// A `Cargo.lock` is malformed, or needs something that is not supported.
    Lock,
    /// The facts handed to the lowering do not fit the package.
    Lowering,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{}:{line}:{column}: {message}", origin.display())]
    Manifest { origin: PathBuf, line: usize, column: usize, message: String },
    #[error("{0}")]
    NotRecognised(String),
    #[error("packages depend on each other in a circle: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
    #[error("{place}: {message}")]
    Lock { place: String, message: String },
    #[error("package {package}: {message}")]
    Lowering { package: String, message: String },
    #[error("package {package}: cannot compute its derivation")]
    Derivation { package: String, source: rekindle_nix::Error },
}

impl Error {
    /// Returns the class of the error.
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Problem::Manifest { .. } => ErrorKind::Manifest,
            Problem::NotRecognised(_) => ErrorKind::NotRecognised,
            Problem::Cycle(_) => ErrorKind::Cycle,
            Problem::Lock { .. } => ErrorKind::Lock,
            Problem::Lowering { .. } | Problem::Derivation { .. } => ErrorKind::Lowering,
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

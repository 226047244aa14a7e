//! The engine's error: what stood in the way, apart from a package that fails to build.
//!
//! A failing step is not an error but a result ([`crate::BuildResult::Failed`]). An error is input that makes no
//! sense, or a machine that does not do what is needed.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;

/// Who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The user, by another input.
    Usage,
    /// Whoever keeps the machine: the disk, the kernel, permissions.
    Environment,
}

/// What stood in the way of a build.
#[derive(Debug)]
pub struct Error(Box<Repr>);

#[derive(Debug)]
struct Repr {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Who can mend it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub(crate) fn usage(message: impl Into<String>) -> Error {
        Error(Box::new(Repr { kind: ErrorKind::Usage, message: message.into(), source: None }))
    }

    pub(crate) fn environment(message: impl Into<String>) -> Error {
        Error(Box::new(Repr { kind: ErrorKind::Environment, message: message.into(), source: None }))
    }

    pub(crate) fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Error {
        self.0.source = Some(Box::new(source));
        self
    }

    /// An input or output error at `path`. `what` is the verb: `cannot read`.
    pub(crate) fn io(what: &str, path: &Path, error: io::Error) -> Error {
        Error::environment(format!("cannot {what} {}", path.display())).caused_by(error)
    }

    /// The error and all that caused it, as one line.
    pub(crate) fn one_line(&self) -> String {
        let mut line = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            line.push_str(": ");
            line.push_str(&error.to_string());
            source = error.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<rekindle_store::Error> for Error {
    fn from(error: rekindle_store::Error) -> Error {
        Error::environment("the store refused").caused_by(error)
    }
}

impl From<rekindle_layers::Error> for Error {
    fn from(error: rekindle_layers::Error) -> Error {
        Error::environment("a layer could not be read or written").caused_by(error)
    }
}

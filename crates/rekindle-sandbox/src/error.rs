//! The one error of this crate.
//!
//! Most errors happen in the sandbox's own processes and cross to the caller as bytes, so an error is a kind, a text
//! that is complete where it is made, and an error number.

use std::io;

/// Why a command could not be run, or could not be watched to its end.
///
/// How the command itself ended, however badly, is an [`Exit`](crate::Exit), not an error.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Inner {
    kind: ErrorKind,
    what: String,
    #[source]
    cause: Option<io::Error>,
}

/// What a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// This machine does not let this user isolate a command. The text names the setting that does.
    Forbidden,
    /// The tree's overlay could not be mounted; a copy as [`TreeRoot::Plain`](crate::TreeRoot::Plain) may work.
    NoOverlay,
    /// The world was set up, but the program in it could not be executed.
    NotExecutable,
    /// Anything else: a bad [`Spec`](crate::Spec), a path that is missing, a limit of the machine.
    Failed,
}

impl Error {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub(crate) fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, what: what.into(), cause: None }))
    }

    pub(crate) fn failed(what: impl Into<String>, cause: impl Into<io::Error>) -> Self {
        Error::new(ErrorKind::Failed, what).because(cause)
    }

    pub(crate) fn because(mut self, cause: impl Into<io::Error>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Adds what to do about it to the text.
    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.0.what.push_str("; ");
        self.0.what.push_str(hint);
        self
    }

    /// The error number of the system call behind it, if one is.
    pub(crate) fn errno(&self) -> Option<rustix::io::Errno> {
        self.0.cause.as_ref().and_then(rustix::io::Errno::from_io_error)
    }

    /// For the way from the sandbox's processes to the caller: kind, error number (0 if none), text.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let kind = match self.0.kind {
            ErrorKind::Forbidden => 1,
            ErrorKind::NoOverlay => 2,
            ErrorKind::NotExecutable => 3,
            ErrorKind::Failed => 0,
        };
        let errno = self.errno().map_or(0, rustix::io::Errno::raw_os_error);
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&errno.to_le_bytes());
        bytes.extend_from_slice(self.0.what.as_bytes());
        bytes
    }

    /// The other direction; `None` if the bytes are not from [`Error::to_bytes`].
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[kind, e0, e1, e2, e3], text) = bytes.split_first_chunk()?;
        let kind = match kind {
            0 => ErrorKind::Failed,
            1 => ErrorKind::Forbidden,
            2 => ErrorKind::NoOverlay,
            3 => ErrorKind::NotExecutable,
            _ => return None,
        };
        let error = Error::new(kind, String::from_utf8_lossy(text));
        Some(match i32::from_le_bytes([e0, e1, e2, e3]) {
            0 => error,
            errno => error.because(io::Error::from_raw_os_error(errno)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn crosses_processes() {
        for kind in [ErrorKind::Forbidden, ErrorKind::NoOverlay, ErrorKind::NotExecutable, ErrorKind::Failed]
        {
            let error =
                Error::new(kind, "cannot bind /a").because(rustix::io::Errno::NOSPC).hint("make room");
            let back = Error::from_bytes(&error.to_bytes()).expect("own bytes are readable");
            assert_eq!((back.kind(), back.errno()), (kind, Some(rustix::io::Errno::NOSPC)));
            assert_eq!(back.to_string(), "cannot bind /a; make room");
            assert!(back.source().is_some());
        }
        assert!(Error::from_bytes(b"\0\0\0\0\0x").expect("no cause").source().is_none());
        assert!(Error::from_bytes(b"\x09\0\0\0\0x").is_none());
        assert!(Error::from_bytes(b"\0").is_none());
    }
}

//! The one error type of the crate.
//!
//! Callers cannot do much about a malformed format but show it, so the kinds are private; the few that callers
//! must tell apart have a predicate. Foreign bytes are shown escaped and cut, never raw.

use std::io;

/// What was wrong with a text, a stream or a value.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Kind>);

impl Error {
    /// Returns whether the input is well formed but uses a feature of Nix that Rekindle does not have.
    pub fn is_unsupported(&self) -> bool {
        matches!(*self.0, Kind::Unsupported { .. })
    }

    /// Returns whether the stream below failed, as opposed to what was read from it being malformed.
    pub fn is_io(&self) -> bool {
        matches!(*self.0, Kind::Io { .. })
    }

    /// Returns whether a stream ended before the format did.
    pub fn is_truncated(&self) -> bool {
        matches!(*self.0, Kind::Truncated { .. })
    }

    /// Returns whether a derivation states an output path that is not the one its content gives.
    pub fn is_output_mismatch(&self) -> bool {
        matches!(*self.0, Kind::WrongOutput { .. } | Kind::WrongOutputVariable { .. })
    }
}

/// Lets the `Read` and `Write` faces of this crate report their errors; the error stays reachable as the source.
impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = match &*error.0 {
            Kind::Io { source, .. } => source.kind(),
            Kind::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Error {
        Error(Box::new(kind))
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("invalid base-32 text {text}: {why}")]
    Base32 { text: String, why: &'static str },
    #[error("invalid hash {text}: {why}")]
    Hash { text: String, why: String },
    #[error("hash {hash} is not a SHA-256 hash, which {purpose} needs")]
    NotSha256 { hash: String, purpose: &'static str },
    #[error("invalid store directory {dir}: {why}")]
    StoreDir { dir: String, why: &'static str },
    #[error("invalid store path {path}: {why}")]
    StorePath { path: String, why: &'static str },
    #[error("path {path} is not in the store {dir}")]
    NotInStore { path: String, dir: String },
    #[error("invalid name {name}: {why}")]
    Name { name: String, why: &'static str },
    #[error("invalid content address {text}: {why}")]
    ContentAddress { text: String, why: &'static str },
    #[error("malformed derivation at byte {offset}: {why}")]
    Aterm { offset: usize, why: &'static str, source: Option<Error> },
    #[error("derivation {name} is impossible: {why}")]
    Derivation { name: String, why: String },
    #[error("derivation {name} has the path {stored} for output {output}, which should be {expected}")]
    WrongOutput { name: String, output: String, stored: String, expected: String },
    #[error("derivation {name} has the variable {output} set to {stored}, which should be {expected}")]
    WrongOutputVariable { name: String, output: String, stored: String, expected: String },
    #[error("{what} not supported (at byte {offset})")]
    Unsupported { what: String, offset: usize },
    #[error("malformed archive at byte {offset}: {why}")]
    Nar { offset: u64, why: &'static str },
    #[error("archive entry {name} at byte {offset} is refused: {why}")]
    NarEntry { offset: u64, name: String, why: &'static str },
    #[error("archive ends too early, at byte {offset}")]
    Truncated { offset: u64 },
    #[error("cannot go on with the archive at byte {offset}")]
    Io { offset: u64, source: io::Error },
    #[error("archive cannot be written: {why}")]
    NarWrite { why: String },
    #[error("malformed {what} in line {line}: {why}")]
    Lines { what: &'static str, line: usize, why: String, source: Option<Error> },
    #[error("malformed {what}: {key} is missing")]
    MissingKey { what: &'static str, key: &'static str },
    #[error("invalid {what}: {why}")]
    Key { what: &'static str, why: String },
}

/// Shows foreign bytes in a message: quoted, escaped, and cut where they are long.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    const SHOWN: usize = 120;
    if bytes.len() <= SHOWN {
        format!("\"{}\"", bytes.escape_ascii())
    } else {
        format!("\"{}\"… ({} bytes)", bytes[..SHOWN].escape_ascii(), bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_bytes_are_escaped_and_cut() {
        assert_eq!(quoted(b"a\"\n\xff"), r#""a\"\n\xff""#);
        assert!(quoted(&[b'x'; 5000]).len() < 200);
    }

    #[test]
    fn the_error_survives_the_way_through_io() {
        let io: io::Error = Error::from(Kind::Truncated { offset: 7 }).into();
        assert_eq!(io.kind(), io::ErrorKind::UnexpectedEof);
        assert!(io.downcast::<Error>().is_ok_and(|error| error.is_truncated()));
    }
}

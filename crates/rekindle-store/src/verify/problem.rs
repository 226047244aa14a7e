//! What can be wrong with a store.

use std::fmt;
use std::path::PathBuf;

use rekindle_nix::{Hash, StorePath};

/// Something that is not as it should be. `Display` is one line that names what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The file that says which schema the database has is missing.
    NoSchemaFile {
        /// Where it should be.
        path: PathBuf,
    },
    /// A record makes no sense.
    BadRecord {
        /// The path that it is about, as it is written there.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A path is valid, but its files are not there.
    Missing {
        /// The path.
        path: StorePath,
    },
    /// The content of a path is not what was registered.
    Modified {
        /// The path.
        path: StorePath,
        /// The hash of its archive that was registered.
        expected: Hash,
        /// The hash that it has.
        actual: Hash,
    },
    /// The size of an archive was not registered.
    NoSize {
        /// The path.
        path: StorePath,
    },
    /// The size of an archive is not what was registered.
    WrongSize {
        /// The path.
        path: StorePath,
        /// In bytes, as registered.
        expected: u64,
        /// In bytes, as it is.
        actual: u64,
    },
    /// A file cannot be read, or is of a type that cannot be in a store.
    Unreadable {
        /// The path.
        path: StorePath,
        /// What happened.
        why: String,
    },
    /// A file is not sealed: its mode or time is not that of a file in a store.
    Unsealed {
        /// The physical path of the file.
        file: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A path contains the hash of another that it should therefore refer to, and does not by its record.
    UndeclaredReference {
        /// The path.
        path: StorePath,
        /// What is in it.
        reference: StorePath,
    },
    /// The content address of a path is not that of its content, or leads to another path.
    WrongAddress {
        /// The path.
        path: StorePath,
        /// What is wrong with the address.
        why: String,
    },
    /// A derivation cannot be read.
    BadDerivation {
        /// The path.
        drv: StorePath,
        /// What is wrong with it.
        why: String,
    },
    /// The outputs of a derivation are not those that follow from it. Nix would build one thing under the path of
    /// another.
    WrongOutput {
        /// The derivation.
        drv: StorePath,
        /// What is wrong with it.
        why: String,
    },
    /// The recorded outputs of a derivation are not those that it says.
    WrongOutputRecord {
        /// The derivation.
        drv: StorePath,
        /// The name of the output.
        output: String,
    },
    /// Something lies in the store that was never registered. The collection of garbage removes it.
    Unregistered {
        /// What it would be as a store path.
        path: StorePath,
    },
}

impl Problem {
    /// Whether nothing that is valid is concerned: what a killed process may leave.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Unregistered { .. } | Self::NoSchemaFile { .. })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSchemaFile { path } => write!(f, "'{}' is missing", path.display()),
            Self::BadRecord { path, why } => write!(f, "the record of '{path}' is damaged: {why}"),
            Self::Missing { path } => write!(f, "'{path}' is valid, but its files are gone"),
            Self::Modified { path, expected, actual } => {
                write!(f, "'{path}' was modified: its hash is {actual} and should be {expected}")
            }
            Self::NoSize { path } => write!(f, "the size of '{path}' is not recorded"),
            Self::WrongSize { path, expected, actual } => {
                write!(f, "the size of '{path}' is recorded as {expected} and is {actual}")
            }
            Self::Unreadable { path, why } => write!(f, "'{path}' cannot be read: {why}"),
            Self::Unsealed { file, why } => write!(f, "'{}' is not sealed: {why}", file.display()),
            Self::UndeclaredReference { path, reference } => {
                write!(f, "'{path}' contains '{reference}', which is not among its references")
            }
            Self::WrongAddress { path, why } => write!(f, "the content address of '{path}' is wrong: {why}"),
            Self::BadDerivation { drv, why } => write!(f, "the derivation '{drv}' is malformed: {why}"),
            Self::WrongOutput { drv, why } => {
                write!(f, "the outputs of the derivation '{drv}' do not follow from it: {why}")
            }
            Self::WrongOutputRecord { drv, output } => {
                write!(
                    f,
                    "the output '{output}' of the derivation '{drv}' is not recorded as the derivation has it"
                )
            }
            Self::Unregistered { path } => {
                write!(f, "'{path}' lies in the store but is not valid; a collection of garbage removes it")
            }
        }
    }
}

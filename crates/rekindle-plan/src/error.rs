//! The crate's one error type. It is opaque: callers tell apart only what they must act on differently.

/// Why something that was stored or asked for makes no sense here.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] Box<Kind>);

impl Error {
    /// Whether the bytes were written by another version, which is no damage.
    pub fn is_other_version(&self) -> bool {
        matches!(*self.0, Kind::OtherVersion { .. })
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
    #[error("the {what} is damaged at byte {offset}: {why}")]
    Damaged { what: &'static str, offset: usize, why: &'static str },
    #[error("the {what} is of version {found}, and this program reads version {known}")]
    OtherVersion { what: &'static str, found: u32, known: u32 },
    #[error("{phase} can never go on from what it left; take it off the list")]
    NotSeedable { phase: String },
}

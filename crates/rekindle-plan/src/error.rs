//! The crate's one error type. It is opaque: nobody has to act differently on one or another.

/// Why something that was stored or asked for makes no sense here.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] Box<Kind>);

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

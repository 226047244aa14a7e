//! Outputs of derivations, and their names.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use crate::content_address::{ContentAddress, ContentMethod};
use crate::derivation::DerivationKind;
use crate::error::{Error, Kind, quoted};
use crate::hash::HashAlgo;
use crate::store_path::{StorePath, StorePathName, why_invalid_name};

/// The name of an output, such as `out` or `dev`. The same characters as in the name of a store path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputName(String);

impl OutputName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// The name could not be in a store path.
    pub fn new(name: &str) -> Result<OutputName, Error> {
        match why_invalid_name(name.as_bytes()) {
            Some(why) => Err(Kind::Name { name: quoted(name.as_bytes()), why }.into()),
            None => Ok(OutputName(name.to_owned())),
        }
    }

    /// Returns `out`, the name of the output that a derivation has when it does not say.
    pub fn out() -> OutputName {
        OutputName("out".to_owned())
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name that the output of a derivation has in the store: `hello`, or `hello-dev`.
    ///
    /// # Errors
    /// The name becomes too long.
    pub fn path_name(&self, drv_name: &StorePathName) -> Result<StorePathName, Error> {
        if self.0 == "out" { Ok(drv_name.clone()) } else { drv_name.with_suffix(&format!("-{}", self.0)) }
    }
}

impl fmt::Display for OutputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OutputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutputName({})", self.0)
    }
}

impl FromStr for OutputName {
    type Err = Error;

    fn from_str(name: &str) -> Result<OutputName, Error> {
        OutputName::new(name)
    }
}

impl Borrow<str> for OutputName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Where an output goes, or what decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To this path, which comes from the recipe.
    InputAddressed(StorePath),
    /// To this path, which comes from the hash that the content must have.
    Fixed {
        /// What is hashed, and the hash.
        address: ContentAddress,
        /// The path that [`crate::StoreDir::fixed_output_path`] gives.
        path: StorePath,
    },
    /// To a path that comes from the content, once it is there.
    Floating {
        /// What is hashed.
        method: ContentMethod,
        /// How.
        algo: HashAlgo,
    },
    /// To a path that comes from the recipe once the inputs are there.
    Deferred,
    /// As `Floating`, but built each time anew.
    Impure {
        /// What is hashed.
        method: ContentMethod,
        /// How.
        algo: HashAlgo,
    },
}

impl Output {
    /// Returns the path, if it is known before the build.
    pub fn path(&self) -> Option<&StorePath> {
        match self {
            Output::InputAddressed(path) | Output::Fixed { path, .. } => Some(path),
            Output::Floating { .. } | Output::Deferred | Output::Impure { .. } => None,
        }
    }

    pub(super) fn kind(&self) -> DerivationKind {
        match self {
            Output::InputAddressed(_) => DerivationKind::InputAddressed,
            Output::Fixed { .. } => DerivationKind::Fixed,
            Output::Floating { .. } => DerivationKind::Floating,
            Output::Deferred => DerivationKind::Deferred,
            Output::Impure { .. } => DerivationKind::Impure,
        }
    }
}

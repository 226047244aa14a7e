//! Derivations: Nix's build recipes, as data.
//!
//! A [`Derivation`] is what a `.drv` file says, field by field. Its text is in [`crate::aterm`]; the hash that its
//! output paths come from is in `modulo`. Nothing here runs or reads anything: whoever wants a hash hands in what
//! it needs of the inputs.

mod modulo;
mod output;

use std::collections::{BTreeMap, BTreeSet};

use crate::aterm;
use crate::error::{Error, Kind};
use crate::hash::Hash;
use crate::store_path::{StoreDir, StorePath, StorePathName};

pub use modulo::{DrvHash, ModuloMemo};
pub use output::{Output, OutputName};

/// A build recipe. Strings are bytes, as they are in Nix: a `.drv` file need not be UTF-8.
///
/// The fields are free to change; what a derivation must be for Nix to take it is checked by [`Derivation::kind`]
/// and [`Derivation::check_output_paths`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivation {
    /// The name, without `.drv`. It is part of the file's store path, not of its text.
    pub name: StorePathName,
    /// What is built, by name.
    pub outputs: BTreeMap<OutputName, Output>,
    /// Derivations whose outputs are needed, and which of their outputs.
    pub input_drvs: BTreeMap<StorePath, BTreeSet<OutputName>>,
    /// Store objects that are needed as they are.
    pub input_srcs: BTreeSet<StorePath>,
    /// The platform to build on, such as `x86_64-linux`.
    pub system: Vec<u8>,
    /// The program to run.
    pub builder: Vec<u8>,
    /// Its arguments, without the program.
    pub args: Vec<Vec<u8>>,
    /// Its environment. Output paths are in it under the outputs' names; structured attributes under `__json`.
    pub env: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What kind of outputs a derivation has. All are of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DerivationKind {
    /// The output paths come from the recipe.
    InputAddressed,
    /// As `InputAddressed`, but not known before an input is built.
    Deferred,
    /// The one output has a hash that is known beforehand; the build may use the network.
    Fixed,
    /// The output paths come from the content.
    Floating,
    /// As `Floating`, and never reused.
    Impure,
}

impl Derivation {
    /// Returns the kind of the outputs.
    ///
    /// # Errors
    /// There is no output, outputs of different kinds, or a fixed output that is not the only one and called `out`.
    pub fn kind(&self) -> Result<DerivationKind, Error> {
        let mut kinds = self.outputs.values().map(Output::kind);
        let kind = kinds.next().ok_or_else(|| self.impossible("it has no outputs"))?;
        if kinds.any(|other| other != kind) {
            return Err(self.impossible("its outputs are of different kinds"));
        }
        let is_out = self.outputs.keys().eq([&OutputName::out()]);
        if kind == DerivationKind::Fixed && !is_out {
            return Err(self.impossible("a fixed output has to be the only one, called \"out\""));
        }
        Ok(kind)
    }

    /// Returns the path of an output, if there is such an output and its path is known before it is built.
    pub fn output_path(&self, output: &OutputName) -> Option<&StorePath> {
        self.outputs.get(output)?.path()
    }

    /// Returns the store paths that the `.drv` file refers to.
    pub fn references(&self) -> BTreeSet<&StorePath> {
        self.input_drvs.keys().chain(&self.input_srcs).collect()
    }

    /// Returns the store path of the `.drv` file.
    ///
    /// # Errors
    /// The name is too long for `.drv` to be added.
    pub fn drv_path(&self, dir: &StoreDir) -> Result<StorePath, Error> {
        let text = Hash::sha256(&aterm::write(self, dir));
        dir.text_path(&self.name.with_suffix(".drv")?, &text, self.references())
    }

    /// Returns whether the builder gets its attributes as JSON in a file instead of in its environment.
    pub fn has_structured_attrs(&self) -> bool {
        self.env.contains_key(STRUCTURED_ATTRS)
    }

    fn impossible(&self, why: impl Into<String>) -> Error {
        Kind::Derivation { name: self.name.to_string(), why: why.into() }.into()
    }
}

const STRUCTURED_ATTRS: &[u8] = b"__json";

#[cfg(test)]
pub(crate) mod tests;

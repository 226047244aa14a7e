//! From a package and the store paths of what it is made from to its derivation.
//!
//! The result is an ordinary derivation: `/bin/bash -e $stdenv/default-builder.sh`, everything else in the
//! environment, in the words of nixpkgs' `stdenv`. Nothing in it is private to Rekindle, so real Nix, shown the
//! host's toolchain, builds it to the same output path. `rekindleToolchain` is the identity of that toolchain;
//! no script reads it, it is there so that another compiler is another derivation.

mod draft;
mod order;
mod package;

use std::collections::BTreeMap;

use rekindle_nix::{Derivation, DrvHash, OutputName, StoreDir, StorePath};

use crate::Error;
use crate::manifest::Package;

pub(crate) use draft::Draft;
pub use order::order;

/// Environment variables that Rekindle or the sandbox sets; a manifest may not use them for anything else.
/// Sorted.
pub const RESERVED: [&str; 32] = [
    "HOME",
    "NIX_ATTRS_JSON_FILE",
    "NIX_ATTRS_SH_FILE",
    "NIX_BUILD_CORES",
    "NIX_BUILD_TOP",
    "NIX_LOG_FD",
    "NIX_STORE",
    "PATH",
    "PWD",
    "TEMP",
    "TEMPDIR",
    "TMP",
    "TMPDIR",
    "__json",
    "__structuredAttrs",
    "args",
    "buildInputs",
    "builder",
    "cargoVendor",
    "name",
    "outputs",
    "patches",
    "pname",
    "propagatedBuildInputs",
    "rekindleCopyTree",
    "rekindleHostPaths",
    "rekindleToolchain",
    "src",
    "stdenv",
    "system",
    "toolchainPath",
    "version",
];

/// What every derivation of ours stands on.
#[derive(Clone, Copy, Debug)]
pub struct Stdenv<'a> {
    /// Where store paths are.
    pub store_dir: &'a StoreDir,
    /// The platform, `x86_64-linux` for instance.
    pub system: &'a str,
    /// The directory of [`crate::setup::FILES`] in the store.
    pub setup: &'a StorePath,
    /// The compilers and tools.
    pub toolchain: &'a ToolchainFacts,
}

/// What the caller found out about the toolchain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolchainFacts {
    /// A text that changes when a compiler, a tool or a system header does.
    pub identity: String,
    /// `PATH` inside of the build, with the manifest's own directories already in it.
    pub path: String,
    /// Directories of the host that the build sees beside the usual ones, absolute.
    pub host_paths: Vec<String>,
}

/// A derivation, and what others need to use it as an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The derivation, output paths filled in.
    pub derivation: Derivation,
    /// The store path of its `.drv` file.
    pub path: StorePath,
    /// What it is to the hash of those that use it.
    pub hash: DrvHash,
}

/// Where something that a derivation uses comes from.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// It is in the store.
    Stored(&'a StorePath),
    /// Another derivation makes it.
    Made(&'a Recipe),
}

/// Facts about one package.
#[derive(Clone, Debug, Default)]
pub struct Resolved<'a> {
    /// The sources; `None` exactly when the package has none.
    pub source: Option<Place<'a>>,
    /// The patches, as many as the package has, in its order.
    pub patches: Vec<&'a StorePath>,
    /// The inputs, as many as the package has, in its order.
    pub inputs: Vec<Place<'a>>,
    /// The derivation of [`crate::fetch::cargo_vendor`], if the package's `Cargo.lock` names registry crates.
    pub cargo_vendor: Option<&'a Recipe>,
}

/// Lowers one package.
///
/// # Errors
/// The facts do not fit the package, an input has no such output, or two things want the same variable.
pub fn lower(stdenv: &Stdenv<'_>, package: &Package, facts: &Resolved<'_>) -> Result<Recipe, Error> {
    let mut draft = Draft::new(stdenv, &package.full_name())?;
    draft.set("pname", package.name.as_str())?;
    if let Some(version) = &package.version {
        draft.set("version", version)?;
    }
    draft.outputs(&package.outputs)?;
    draft.sources(package, facts)?;
    draft.inputs(package, facts)?;
    draft.phases(package)?;
    draft.flags(package)?;
    if package.copy_tree {
        draft.set("rekindleCopyTree", "1")?;
    }
    if let Some(vendor) = facts.cargo_vendor {
        let path = draft.made(vendor, &OutputName::out())?;
        draft.set("cargoVendor", path)?;
    }
    for (name, value) in &package.env {
        draft.set(name, value)?;
    }
    draft.finish()
}

impl Recipe {
    /// Completes a derivation: output paths, its own path, its hash. `inputs` are the recipes of its input
    /// derivations.
    pub(crate) fn complete(
        store_dir: &StoreDir,
        mut derivation: Derivation,
        inputs: &BTreeMap<StorePath, DrvHash>,
    ) -> Result<Self, rekindle_nix::Error> {
        let mut input = |path: &StorePath| {
            Ok::<_, rekindle_nix::Error>(
                *inputs.get(path).expect("every input derivation was added with its hash"),
            )
        };
        derivation.fill_output_paths(store_dir, &mut input)?;
        let hash = derivation.hash_as_input(store_dir, &mut input)?;
        let path = derivation.drv_path(store_dir)?;
        Ok(Self { derivation, path, hash })
    }

    /// Returns the path of an output. Recipes of this crate know all of their output paths.
    pub fn output(&self, name: &OutputName) -> Option<&StorePath> {
        self.derivation.output_path(name)
    }
}

#[cfg(test)]
mod tests;

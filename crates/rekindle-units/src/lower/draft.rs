//! A derivation of ours that grows variable by variable, and what all of them have.

use std::collections::{BTreeMap, BTreeSet};

use rekindle_nix::{Derivation, DrvHash, Output, OutputName, StorePath, StorePathName};

use super::{Recipe, Stdenv};
use crate::Error;
use crate::error::Problem;
use crate::setup;

/// A derivation of ours that grows variable by variable.
pub(crate) struct Draft<'a> {
    stdenv: &'a Stdenv<'a>,
    name: String,
    derivation: Derivation,
    hashes: BTreeMap<StorePath, DrvHash>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(stdenv: &'a Stdenv<'a>, name: &str) -> Result<Self, Error> {
        let path_name = StorePathName::new(name)
            .map_err(|source| Problem::Derivation { package: name.to_owned(), source })?;
        let setup = stdenv.store_dir.display(stdenv.setup);
        let builder = "/bin/bash";
        let mut draft = Self {
            stdenv,
            name: name.to_owned(),
            derivation: Derivation {
                name: path_name,
                outputs: BTreeMap::new(),
                input_drvs: BTreeMap::new(),
                input_srcs: BTreeSet::from([stdenv.setup.clone()]),
                system: stdenv.system.into(),
                builder: builder.into(),
                args: vec!["-e".into(), format!("{setup}/{}", setup::DEFAULT_BUILDER).into_bytes()],
                env: BTreeMap::new(),
            },
            hashes: BTreeMap::new(),
        };
        draft.set("name", name)?;
        draft.set("system", stdenv.system)?;
        draft.set("builder", builder)?;
        draft.set("stdenv", setup)?;
        draft.set("toolchainPath", stdenv.toolchain.path.as_str())?;
        draft.set("rekindleToolchain", stdenv.toolchain.identity.as_str())?;
        if !stdenv.toolchain.host_paths.is_empty() {
            draft.set("rekindleHostPaths", stdenv.toolchain.host_paths.join("\n"))?;
        }
        Ok(draft)
    }

    /// Sets a variable that nothing has set yet.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) -> Result<(), Error> {
        let value = value.into();
        if value.contains('\0') {
            return Err(self.problem(format!("the text of `{name}` has a NUL in it")));
        }
        if self.derivation.env.insert(name.into(), value.into_bytes()).is_some() {
            return Err(self.problem(format!("`{name}` is set twice, once by Rekindle for something else")));
        }
        Ok(())
    }

    pub(crate) fn outputs(&mut self, outputs: &[OutputName]) -> Result<(), Error> {
        for output in outputs {
            self.set(output.as_str(), "")?;
            self.derivation.outputs.insert(output.clone(), Output::Deferred);
        }
        let names: Vec<_> = outputs.iter().map(OutputName::as_str).collect();
        self.set("outputs", names.join(" "))
    }

    /// Makes an output of another derivation an input, and returns its full path.
    pub(crate) fn made(&mut self, recipe: &Recipe, output: &OutputName) -> Result<String, Error> {
        let Some(path) = recipe.output(output) else {
            return Err(
                self.problem(format!("its input {} has no output `{output}`", recipe.derivation.name))
            );
        };
        self.derivation.input_drvs.entry(recipe.path.clone()).or_default().insert(output.clone());
        self.hashes.insert(recipe.path.clone(), recipe.hash);
        Ok(self.stdenv.store_dir.display(path))
    }

    /// Makes a store path an input, and returns its full path.
    pub(crate) fn stored(&mut self, path: &StorePath) -> String {
        self.derivation.input_srcs.insert(path.clone());
        self.stdenv.store_dir.display(path)
    }

    pub(crate) fn finish(self) -> Result<Recipe, Error> {
        Recipe::complete(self.stdenv.store_dir, self.derivation, &self.hashes)
            .map_err(|source| Problem::Derivation { package: self.name, source }.into())
    }

    pub(super) fn problem(&self, message: impl Into<String>) -> Error {
        Problem::Lowering { package: self.name.clone(), message: message.into() }.into()
    }
}

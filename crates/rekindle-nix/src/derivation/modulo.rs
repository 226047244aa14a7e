//! The hash of a derivation modulo fixed outputs, and the output paths that come from it.
//!
//! Output paths cannot come from the text of the `.drv` file as it is, for two reasons. The text contains them; so
//! they are blanked, in the outputs and in the environment. And the text names its inputs by the paths of their
//! `.drv` files, which change when only the way to fetch a source changed; so each input is named by a hash of the
//! same sort, and an input with a fixed output by nothing but that output.
//!
//! An input is thus hashed in another way than a derivation whose outputs are to be computed: *its* output paths
//! stay ([`Derivation::hash_as_input`] against [`Derivation::hash_modulo`]).

use std::collections::{BTreeMap, BTreeSet};

use crate::aterm;
use crate::derivation::{Derivation, DerivationKind, Output, OutputName};
use crate::error::{Error, Kind, quoted};
use crate::hash::Hash;
use crate::placeholder::Placeholder;
use crate::store_path::{StoreDir, StorePath};

/// The hash of a derivation modulo fixed outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrvHash {
    /// A SHA-256 hash.
    pub hash: Hash,
    /// Whether no output path can come from it, because the derivation, or one that it depends on, has outputs whose
    /// paths are not known before they are built.
    pub deferred: bool,
}

impl Derivation {
    /// Returns the hash that the output paths come from. `input` says what [`Derivation::hash_as_input`] gives for
    /// the `.drv` file at a path; [`ModuloMemo`] can be that function.
    ///
    /// The environment must have an entry for each output already, with any value.
    ///
    /// # Errors
    /// Those of `input`, and of [`Derivation::kind`].
    pub fn hash_modulo<E: From<Error>>(
        &self,
        dir: &StoreDir,
        input: &mut dyn FnMut(&StorePath) -> Result<DrvHash, E>,
    ) -> Result<DrvHash, E> {
        self.hash_with(dir, aterm::OutputPaths::Blanked, input)
    }

    /// Returns the hash by which a derivation that depends on this one knows it.
    ///
    /// # Errors
    /// Those of `input`, and of [`Derivation::kind`].
    pub fn hash_as_input<E: From<Error>>(
        &self,
        dir: &StoreDir,
        input: &mut dyn FnMut(&StorePath) -> Result<DrvHash, E>,
    ) -> Result<DrvHash, E> {
        self.hash_with(dir, aterm::OutputPaths::Kept, input)
    }

    /// Computes all output paths, and sets them in the outputs and in the environment. What was there before does
    /// not matter, but for the kind of the outputs: `Deferred` stands for an input-addressed output still to be
    /// computed, and stays where an input is not known before it is built.
    ///
    /// As Nix does, an output without a path gets its placeholder in the environment if it is content-addressed, and
    /// an empty variable if it is deferred.
    ///
    /// # Errors
    /// Those of `input` and of [`Derivation::kind`], or a name that becomes too long. Nothing is changed then.
    pub fn fill_output_paths<E: From<Error>>(
        &mut self,
        dir: &StoreDir,
        input: &mut dyn FnMut(&StorePath) -> Result<DrvHash, E>,
    ) -> Result<(), E> {
        let mut filled = self.clone();
        match self.kind()? {
            DerivationKind::InputAddressed | DerivationKind::Deferred => {
                for output in self.outputs.keys() {
                    filled.set_output(dir, output, Output::Deferred);
                }
                let modulo = filled.hash_modulo(dir, input)?;
                if !modulo.deferred {
                    for output in self.outputs.keys() {
                        let path = dir.output_path(output, &modulo.hash, &self.name)?;
                        filled.set_output(dir, output, Output::InputAddressed(path));
                    }
                }
            }
            DerivationKind::Fixed | DerivationKind::Floating | DerivationKind::Impure => {
                for (name, output) in &self.outputs {
                    let mut output = output.clone();
                    if let Output::Fixed { address, path } = &mut output {
                        *path = dir.fixed_output_path(&name.path_name(&self.name)?, address)?;
                    }
                    filled.set_output(dir, name, output);
                }
            }
        }
        *self = filled;
        Ok(())
    }

    /// Checks that the output paths, in the outputs and in the environment, are the ones that
    /// [`Derivation::fill_output_paths`] computes. Nix's own database takes a derivation with others, and would then
    /// build one thing under the path of another.
    ///
    /// # Errors
    /// A path differs (see [`Error::is_output_mismatch`]), or what `fill_output_paths` fails with.
    pub fn check_output_paths<E: From<Error>>(
        &self,
        dir: &StoreDir,
        input: &mut dyn FnMut(&StorePath) -> Result<DrvHash, E>,
    ) -> Result<(), E> {
        let mut right = self.clone();
        right.fill_output_paths(dir, input)?;
        let shown = |path: Option<&StorePath>| path.map_or("no path".to_owned(), |path| dir.display(path));
        for (output, expected) in &right.outputs {
            let (stored, expected) = (self.output_path(output), expected.path());
            if stored != expected {
                return Err(Error::from(Kind::WrongOutput {
                    name: self.name.to_string(),
                    output: output.to_string(),
                    stored: shown(stored),
                    expected: shown(expected),
                })
                .into());
            }
            let variable = self.env.get(output.as_str().as_bytes());
            if expected.is_some() && variable.map(Vec::as_slice) != Some(shown(expected).as_bytes()) {
                return Err(Error::from(Kind::WrongOutputVariable {
                    name: self.name.to_string(),
                    output: output.to_string(),
                    stored: variable.map_or("nothing".to_owned(), |value| quoted(value)),
                    expected: shown(expected),
                })
                .into());
            }
        }
        Ok(())
    }

    fn hash_with<E: From<Error>>(
        &self,
        dir: &StoreDir,
        output_paths: aterm::OutputPaths,
        input: &mut dyn FnMut(&StorePath) -> Result<DrvHash, E>,
    ) -> Result<DrvHash, E> {
        let kind = self.kind()?;
        if let Some(Output::Fixed { address, path }) = self.outputs.values().next() {
            let hash = address.hash();
            let text = format!(
                "fixed:out:{}{}:{}:{}",
                address.method().prefix(),
                hash.algorithm(),
                hash.to_hex(),
                dir.display(path)
            );
            return Ok(DrvHash { hash: Hash::sha256(text.as_bytes()), deferred: false });
        }
        // Deferred outputs do not make the hash a deferred one: they may just not be computed yet. What they were
        // deferred for, if anything, is among the inputs.
        let mut deferred = matches!(kind, DerivationKind::Floating | DerivationKind::Impure);
        let mut inputs: BTreeMap<String, BTreeSet<&OutputName>> = BTreeMap::new();
        for (path, outputs) in &self.input_drvs {
            let of_input = input(path)?;
            deferred |= of_input.deferred;
            inputs.entry(of_input.hash.to_hex()).or_default().extend(outputs);
        }
        let text = aterm::write_modulo(self, dir, output_paths, &inputs);
        Ok(DrvHash { hash: Hash::sha256(&text), deferred })
    }

    fn set_output(&mut self, dir: &StoreDir, name: &OutputName, output: Output) {
        let value = match &output {
            Output::InputAddressed(path) | Output::Fixed { path, .. } => dir.display(path),
            Output::Floating { .. } | Output::Impure { .. } => Placeholder::own(name).to_string(),
            Output::Deferred => String::new(),
        };
        self.env.insert(name.as_str().into(), value.into_bytes());
        self.outputs.insert(name.clone(), output);
    }
}

/// Remembers what [`Derivation::hash_as_input`] gave, by the path of the `.drv` file.
///
/// The work of a closure is linear in its size with one memo, and exponential without. The walk needs no stack:
/// a chain of a million derivations is nothing special.
#[derive(Clone, Debug, Default)]
pub struct ModuloMemo {
    known: BTreeMap<StorePath, DrvHash>,
}

impl ModuloMemo {
    /// Starts with nothing known.
    pub fn new() -> ModuloMemo {
        ModuloMemo::default()
    }

    /// Adds what is already known.
    pub fn insert(&mut self, drv: StorePath, hash: DrvHash) {
        self.known.insert(drv, hash);
    }

    /// Returns the hash of the derivation at `drv`, for [`Derivation::hash_modulo`] of one that depends on it.
    /// `load` reads a `.drv` file; it is called once for each that is not known yet, and not for the inputs of
    /// fixed outputs.
    ///
    /// # Errors
    /// Those of `load` and of [`Derivation::kind`], or derivations that depend on each other in a circle.
    pub fn hash_as_input<E: From<Error>>(
        &mut self,
        dir: &StoreDir,
        drv: &StorePath,
        load: &mut dyn FnMut(&StorePath) -> Result<Derivation, E>,
    ) -> Result<DrvHash, E> {
        if let Some(&known) = self.known.get(drv) {
            return Ok(known);
        }
        // The inputs are popped off as they are known, so that each is looked at once.
        let entry = |path: StorePath, derivation: Derivation| {
            let fixed = derivation.kind()? == DerivationKind::Fixed;
            let inputs: Vec<_> = derivation.input_drvs.keys().filter(|_| !fixed).cloned().collect();
            Ok::<_, Error>((path, derivation, inputs))
        };
        let mut open = BTreeSet::from([drv.clone()]);
        let mut stack = vec![entry(drv.clone(), load(drv)?)?];
        while let Some((_, _, inputs)) = stack.last_mut() {
            if let Some(input) = inputs.pop() {
                if self.known.contains_key(&input) {
                    continue;
                }
                let derivation = load(&input)?;
                if !open.insert(input.clone()) {
                    return Err(derivation.impossible("it depends on itself").into());
                }
                stack.push(entry(input, derivation)?);
            } else if let Some((path, derivation, _)) = stack.pop() {
                let hash = derivation.hash_as_input(dir, &mut |input| {
                    Ok::<_, Error>(*self.known.get(input).expect("inputs are hashed before what needs them"))
                })?;
                open.remove(&path);
                self.known.insert(path, hash);
            }
        }
        Ok(*self.known.get(drv).expect("the walk ends with the derivation that it began with"))
    }
}

//! From the tree that the last step left to registered outputs.
//!
//! Each output is written out of the tree as a plain directory in the store's own staging area, with what may be left
//! of its scratch path replaced, checked, and put in its place. It becomes valid only with the registration of all.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rekindle_layers::{MaterialiseOptions, Timestamp, View, materialise};
use rekindle_nix::{ContentAddress, ContentMethod, Derivation, Hash, Hasher, Output, OutputName, StorePath};
use rekindle_plan::Placement;
use rekindle_store::{OutputLocks, Registration, Staging, Store, Tree};

use crate::error::Error;
use crate::event::{FailureKind, RestartReason};
use crate::fragments::Fragments;
use crate::provenance::{Provenances, Trust};
use crate::rewriting::{finish_rewriting, look_through, substitutions};
use crate::scratch::OutputPaths;
use crate::world::TREE_STORE;

/// What came of the outputs.
#[derive(Debug)]
pub(crate) enum Collected {
    /// All are in their place.
    Installed(Installed),
    /// They are not what the derivation says.
    Failed(FailureKind),
    /// A scratch path is where it cannot be replaced.
    Restart(RestartReason),
}

/// Outputs in their place. What was valid before, and good, is none of them.
#[derive(Debug, Default)]
pub(crate) struct Installed {
    /// Those that wait for registration.
    pub(crate) new: Vec<Registration>,
    /// Those that were exchanged, and are registered.
    pub(crate) replaced: Vec<StorePath>,
    /// Whether one of those is another than the one before it.
    pub(crate) has_changed: bool,
}

impl Installed {
    /// All of them.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &StorePath> {
        self.new.iter().map(|registration| &registration.path).chain(&self.replaced)
    }
}

/// What an output is checked against and scanned for.
pub(crate) struct Collector<'a> {
    pub(crate) store: &'a Store,
    pub(crate) locks: &'a OutputLocks,
    pub(crate) drv_path: &'a StorePath,
    pub(crate) drv: &'a Derivation,
    pub(crate) outputs: &'a [OutputPaths],
    /// All that lies at another path in the beginning: the outputs, and a mounted source.
    pub(crate) moved: &'a [OutputPaths],
    /// The closure of the inputs: what an output may refer to, besides the outputs.
    pub(crate) inputs: &'a [StorePath],
    /// The source that is mounted, to which an output may refer, too.
    pub(crate) source: Option<&'a StorePath>,
    pub(crate) provenances: &'a Provenances,
    /// What is valid and not trusted is replaced by what is taken.
    pub(crate) trust: Trust,
}

impl Collector<'_> {
    /// Takes the outputs from a tree, topmost layer first, in which they lie at `placement`.
    pub(crate) fn take_from_tree(
        &self,
        tree: &[PathBuf],
        placement: Placement,
        exact: bool,
        canaries: &[Timestamp],
    ) -> Result<Collected, Error> {
        match self.stage(tree, placement, exact, canaries)? {
            Ok(staged) => self.install(&self.outputs.iter().zip(staged).collect::<Vec<_>>()),
            Err(collected) => Ok(collected),
        }
    }

    /// Writes the outputs of a tree out and looks whether they can be taken, each as `output` in a place of its own.
    pub(crate) fn stage(
        &self,
        tree: &[PathBuf],
        placement: Placement,
        exact: bool,
        canaries: &[Timestamp],
    ) -> Result<Result<Vec<Staging>, Collected>, Error> {
        let mut staged = Vec::new();
        let moves = placement == Placement::Scratch;
        let options =
            MaterialiseOptions { substitute: if moves { substitutions(self.moved) } else { Vec::new() } };
        let fragments = Fragments::new(self.store.store_dir().as_str(), self.moved, self.inputs);
        for output in self.outputs {
            let place = Path::new(TREE_STORE).join(output.at(placement).base_name());
            let view = match View::of_layers(tree, &place) {
                Ok(view) => view,
                Err(error) if error.is_not_found() => {
                    return Ok(Err(Collected::Failed(FailureKind::MissingOutput(output.name.clone()))));
                }
                Err(error) => return Err(error.into()),
            };
            let staging = self.store.staging()?;
            let dest = staging.path().join("output");
            if let Err(error) = materialise(&view, &dest, &options) {
                let kind = FailureKind::Refused(Error::from(error).one_line());
                return Ok(Err(Collected::Failed(kind)));
            }
            let rewritten = match (exact, placement) {
                (false, Placement::Scratch) => finish_rewriting(&dest, &fragments, output, self.moved)?,
                _ => None,
            };
            let reason = match rewritten {
                Some(reason) => Some(reason),
                None => {
                    let was_moved = !exact && placement == Placement::Final;
                    let fragments = was_moved.then_some(&fragments);
                    look_through(&dest, fragments, canaries, output, self.moved)?
                }
            };
            if let Some(reason) = reason {
                return Ok(Err(Collected::Restart(reason)));
            }
            staged.push(staging);
        }
        Ok(Ok(staged))
    }

    /// Takes the only output of a fetch, which lies at `output` in its staging directory.
    pub(crate) fn take_fetched(&self, staging: Staging) -> Result<Collected, Error> {
        self.install(&self.outputs.iter().zip([staging]).collect::<Vec<_>>())
    }

    fn install(&self, staged: &[(&OutputPaths, Staging)]) -> Result<Collected, Error> {
        let outputs = self.outputs.iter().map(|output| output.final_path.clone());
        let candidates: BTreeSet<StorePath> =
            self.inputs.iter().chain(self.source).cloned().chain(outputs).collect();
        let mut installed = Installed::default();
        for (output, staging) in staged {
            let root = staging.path().join("output");
            let fixed = match self.fixed_address(&output.name) {
                Some(address) => match check_fixed(address, &root)? {
                    None => Some(*address),
                    Some(kind) => return Ok(Collected::Failed(kind)),
                },
                None => None,
            };
            if self.store.is_valid(&output.final_path)? {
                // It was valid while another output of the derivation was not. What is valid never changes, but for
                // what a clean build found wrong, or is to stand in for.
                if self.provenances.is_to_be_replaced(&output.final_path, self.trust) {
                    let before = self.store.require(&output.final_path)?.nar_hash;
                    self.store.replace_output(self.locks, &root, &output.final_path, &candidates)?;
                    installed.has_changed |= self.store.require(&output.final_path)?.nar_hash != before;
                    installed.replaced.push(output.final_path.clone());
                }
                continue;
            }
            let mut registration =
                match self.store.install_output(self.locks, &root, &output.final_path, &candidates) {
                    Ok(registration) => registration,
                    Err(error) => {
                        return Ok(Collected::Failed(FailureKind::Refused(Error::from(error).one_line())));
                    }
                };
            if fixed.is_some() && !registration.references.is_empty() {
                let message =
                    "its output has a fixed hash and refers to store paths, which such an output may not";
                return Ok(Collected::Failed(FailureKind::Refused(message.to_owned())));
            }
            registration.ca = fixed;
            registration.deriver = Some(self.drv_path.clone());
            registration.ultimate = true;
            installed.new.push(registration);
        }
        Ok(Collected::Installed(installed))
    }

    fn fixed_address(&self, output: &OutputName) -> Option<&ContentAddress> {
        match self.drv.outputs.get(output)? {
            Output::Fixed { address, .. } => Some(address),
            _ => None,
        }
    }
}

/// Compares what lies at `root` with the hash that the derivation says.
fn check_fixed(address: &ContentAddress, root: &Path) -> Result<Option<FailureKind>, Error> {
    let expected = address.hash();
    let got = match address.method() {
        ContentMethod::Flat => match flat_hash(expected, root) {
            Ok(hash) => hash,
            Err(error) => {
                let message =
                    format!("a fixed output that is hashed as a file must be a plain file: {error}");
                return Ok(Some(FailureKind::Refused(message)));
            }
        },
        ContentMethod::Recursive => {
            let mut hasher = Hasher::new(expected.algorithm());
            match Tree::scan(root).and_then(|tree| tree.write_nar(&mut hasher)) {
                Ok(()) => hasher.finish(),
                Err(error) => return Ok(Some(FailureKind::Refused(Error::from(error).one_line()))),
            }
        }
        _ => return Ok(Some(FailureKind::Refused("its way of hashing is not supported".to_owned()))),
    };
    if got == *expected {
        return Ok(None);
    }
    Ok(Some(FailureKind::HashMismatch { expected: expected.to_sri(), got: got.to_sri() }))
}

fn flat_hash(expected: &Hash, file: &Path) -> io::Result<Hash> {
    let metadata = std::fs::symlink_metadata(file)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is a directory or a link"));
    }
    let mut hasher = Hasher::new(expected.algorithm());
    io::copy(&mut File::open(file)?, &mut hasher)?;
    Ok(hasher.finish())
}

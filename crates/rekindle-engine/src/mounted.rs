//! A directory source that a build finds in its place, instead of copying it there.
//!
//! `unpackPhase` copies a source from the store into the build directory. To copy what did not change costs as much as
//! the tree is large, so a source that was observed as a directory lies there already, as layers below all steps: a
//! whole one at first, later only what differs from those of the base. It looks as the copy would: canonical modes,
//! every time the first second of 1970.
//!
//! The store of the sandbox shows it as well, at the path that `$src` has. That is the same layers, so files there have
//! the modes of a build tree and not those of a store. It is read-only as a store is.
//!
//! Only derivations that leave the unpacking to a set-up script of ours take it so. Real Nix, and everyone else, copies.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rekindle_layers::{Draft, LayerStore, Manifest, Timestamp, capture_source};
use rekindle_nix::{Derivation, OutputName, StorePath};
use rekindle_store::Store;

use crate::error::Error;
use crate::scratch::{OutputPaths, SOURCE};
use crate::source::Directory;
use crate::world::TREE_BUILD;

/// What our set-up script looks for. One without it would copy the source over itself.
const MARK: &[u8] = b"/.rekindle/mounted";

/// The time that everything in a store has.
const CANONICAL: Timestamp = Timestamp { secs: 1, nanos: 0 };

/// A source that lies in the build directory from the start.
#[derive(Debug)]
pub(crate) struct Mounted {
    /// Its path while the steps run whose recipes know no content, and its own.
    pub(crate) paths: OutputPaths,
    /// Where it lies in the tree.
    pub(crate) dir: PathBuf,
    /// What is in it.
    pub(crate) manifest: Arc<Manifest>,
    /// Where it is taken from.
    root: PathBuf,
}

impl Mounted {
    /// The source of a derivation, if it can be mounted. `directory` knows which sources are directories.
    pub(crate) fn of(
        drv: &Derivation,
        store: &Store,
        directory: impl FnOnce(&StorePath) -> Result<Option<Directory>, Error>,
    ) -> Result<Option<Mounted>, Error> {
        let is_set = |name: &str| drv.env.get(name.as_bytes()).is_some_and(|value| !value.is_empty());
        let own_ways = [
            "srcs",
            "unpackPhase",
            "unpackCmd",
            "dontUnpack",
            "dontMakeSourcesWritable",
            "preUnpack",
            "prePhases",
            "phases",
            // What lies beside it keeps the modes of the store.
            "sourceRoot",
            "setSourceRoot",
        ];
        if own_ways.iter().any(|name| is_set(name)) || speaks_in_files(drv) {
            return Ok(None);
        }
        if OutputName::new(SOURCE).is_ok_and(|name| drv.outputs.contains_key(&name)) {
            return Ok(None);
        }
        let value = |name: &str| drv.env.get(name.as_bytes()).map(Vec::as_slice).unwrap_or_default();
        let src =
            drv.input_srcs.iter().find(|path| store.store_dir().display(path).as_bytes() == value("src"));
        let Some(src) = src else { return Ok(None) };
        let stdenv =
            drv.input_srcs.iter().find(|path| store.store_dir().display(path).as_bytes() == value("stdenv"));
        let Some(stdenv) = stdenv else { return Ok(None) };
        let phases = fs::read(store.real_path(stdenv).join("phases.sh")).unwrap_or_default();
        if memchr::memmem::find(&phases, MARK).is_none() {
            return Ok(None);
        }
        let Some(Directory { root, manifest }) = directory(src)? else { return Ok(None) };
        let paths = OutputPaths::of_source(src.clone())?;
        Ok(Some(Mounted { dir: Path::new(TREE_BUILD).join(src.name()), paths, manifest, root }))
    }

    /// Writes a layer of the source: all of it, or what differs from what the layers below have.
    pub(crate) fn capture(&self, layers: &LayerStore, below: Option<&Manifest>) -> Result<Draft, Error> {
        let draft = layers.begin()?;
        capture_source(&self.root, &self.manifest, below, &draft, &self.dir, CANONICAL).map_err(|error| {
            if error.is_unsteady() {
                let what = format!("the source {} changed since the build began", self.root.display());
                Error::usage(format!("{what}; build again")).caused_by(error)
            } else {
                error.into()
            }
        })?;
        let build = draft.upper().join(TREE_BUILD);
        if build.exists() {
            fs::set_permissions(&build, fs::Permissions::from_mode(0o700))
                .map_err(|error| Error::io("set the mode of", &build, error))?;
        }
        Ok(draft)
    }

    /// Where the source lies in each of its layers that has something of it.
    pub(crate) fn parts(&self, layers: &[PathBuf]) -> Vec<PathBuf> {
        layers.iter().map(|layer| layer.join(&self.dir)).filter(|part| part.exists()).collect()
    }
}

/// Whether a derivation gives its builder something other than variables. What such files hold is no part of a recipe.
pub(crate) fn speaks_in_files(drv: &Derivation) -> bool {
    ["passAsFile", "__json", "__structuredAttrs"]
        .iter()
        .any(|name| drv.env.get(name.as_bytes()).is_some_and(|value| !value.is_empty()))
}

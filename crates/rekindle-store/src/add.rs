//! Adding what is named by its own content: texts, derivations, source trees.
//!
//! All go the same way: compute the path; a temporary root; done if it is valid; the lock; look again; write in a
//! staging place; rename; register. Content addresses make it safe to stop anywhere and to do it twice.

use std::collections::BTreeSet;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::PoisonError;

use rekindle_nix::{ContentAddress, ContentMethod, Derivation, Hash, StorePath, StorePathName, aterm};

use crate::db::RecordedOutputs;
use crate::error::{At, Cause, Error, Result};
use crate::info::Registration;
use crate::seal::{file_mode, seal_created};
use crate::store::Store;
use crate::tree::{Effect, NarDigest, Tree, stream};

impl Store {
    /// Adds a text with the paths that it refers to. They are valid.
    ///
    /// A name that ends in `.drv` makes it a derivation: it is checked as [`Store::add_derivation`] does.
    pub fn add_text(
        &self,
        name: &StorePathName,
        text: &[u8],
        references: &BTreeSet<StorePath>,
    ) -> Result<StorePath> {
        let hash = Hash::sha256(text);
        let path = self.store_dir().text_path(name, &hash, references)?;
        self.add_with(&path, |store| {
            let outputs = if path.is_derivation() {
                let derivation = store.parse_derivation_text(&path, text)?;
                store.check_derivation(&path, &derivation, references)?;
                store.recorded_outputs(&path, &derivation)?
            } else {
                Vec::new()
            };
            let place = store.area()?.place();
            write_text(place.path(), text)?;
            let digest = Tree::scan(place.path())?.nar_digest()?;
            store.put_in_place(place.path(), &path)?;
            let address = ContentAddress::new(ContentMethod::Text, hash)?;
            Ok((registration(&path, &digest, references.clone(), Some(address)), outputs))
        })?;
        Ok(path)
    }

    /// Adds a derivation. What it refers to is valid.
    ///
    /// # Errors
    /// [`Malformed`](crate::ErrorKind::Malformed) if its output paths are not those that Nix computes for it: with wrong
    /// ones, Nix would build one thing under the path of another.
    pub fn add_derivation(&self, derivation: &Derivation) -> Result<StorePath> {
        let name = derivation.name.with_suffix(".drv")?;
        let references = derivation.references().into_iter().cloned().collect();
        self.add_text(&name, &aterm::write(derivation, self.store_dir()), &references)
    }

    /// Adds a tree of files that refers to nothing.
    ///
    /// The tree is hashed first, and only copied if the store does not have it.
    ///
    /// # Errors
    /// [`Changed`](crate::ErrorKind::Changed) if the tree was not the same both times.
    pub fn add_tree(&self, name: &StorePathName, tree: &Tree) -> Result<StorePath> {
        self.add_tree_with_digest(name, tree, &tree.nar_digest()?)
    }

    /// Adds a tree whose [digest](Tree::nar_digest) is known.
    ///
    /// # Errors
    /// [`Changed`](crate::ErrorKind::Changed) if the tree has another digest by now.
    pub fn add_tree_with_digest(
        &self,
        name: &StorePathName,
        tree: &Tree,
        digest: &NarDigest,
    ) -> Result<StorePath> {
        let path = self.store_dir().source_path(name, &digest.hash, [], false)?;
        self.add_with(&path, |store| {
            let place = store.area()?.place();
            let copied = stream(tree, Effect::Copy(place.path()), &mut std::io::sink())?;
            if copied != *digest {
                return Err(Error::changed(tree.root()));
            }
            store.put_in_place(place.path(), &path)?;
            let address = ContentAddress::new(ContentMethod::Recursive, digest.hash)?;
            Ok((registration(&path, digest, BTreeSet::new(), Some(address)), Vec::new()))
        })?;
        Ok(path)
    }

    /// Adds a tree of files that refers to nothing at a path that its caller derives from what is in it, in another way
    /// than Nix does. To Nix it is an output whose derivation is not known.
    ///
    /// `is_steady` is asked when the tree is copied: whether it still is what the path was derived from.
    ///
    /// # Errors
    /// [`Changed`](crate::ErrorKind::Changed) if it is not.
    pub fn add_tree_at(
        &self,
        path: &StorePath,
        tree: &Tree,
        is_steady: &mut dyn FnMut() -> bool,
    ) -> Result<()> {
        self.add_with(path, |store| {
            let place = store.area()?.place();
            let digest = stream(tree, Effect::Copy(place.path()), &mut std::io::sink())?;
            if !is_steady() {
                return Err(Error::changed(tree.root()));
            }
            store.put_in_place(place.path(), path)?;
            Ok((registration(path, &digest, BTreeSet::new(), None), Vec::new()))
        })
    }

    /// Makes `path` valid with `make`, unless it is.
    fn add_with(
        &self,
        path: &StorePath,
        make: impl FnOnce(&Self) -> Result<(Registration, RecordedOutputs)>,
    ) -> Result<()> {
        self.add_temp_root(path)?;
        if self.is_here(path)? {
            return Ok(());
        }
        let _lock = self.lock_outputs([path], &mut |_| {})?;
        if self.is_here(path)? {
            return Ok(());
        }
        let made = make(self)?;
        self.db().register(self.store_dir(), &[made])
    }

    /// Whether the path is valid and was not deleted behind the back of the database. If it was, its content address
    /// makes it safe to put it there again.
    fn is_here(&self, path: &StorePath) -> Result<bool> {
        Ok(self.is_valid(path)? && self.real_path(path).symlink_metadata().is_ok())
    }

    pub(crate) fn parse_derivation_text(&self, path: &StorePath, text: &[u8]) -> Result<Derivation> {
        let bad = |error| Error::format(self.malformed(path), error);
        let name = path.drv_name().ok_or_else(|| {
            Error::from(Cause::Malformed {
                what: format!("'{}' is not a derivation", self.store_dir().display(path)),
            })
        })?;
        aterm::parse(self.store_dir(), &name, text).map_err(bad)
    }

    /// The outputs of a derivation that are recorded when it becomes valid: those whose paths are known.
    pub(crate) fn recorded_outputs(
        &self,
        path: &StorePath,
        derivation: &Derivation,
    ) -> Result<RecordedOutputs> {
        derivation.kind().map_err(|error| Error::format(self.malformed(path), error))?;
        Ok(derivation
            .outputs
            .iter()
            .filter_map(|(name, output)| Some((name.to_string(), output.path()?.clone())))
            .collect())
    }

    /// Checks that a derivation has the references and the output paths that follow from it.
    pub(crate) fn check_derivation(
        &self,
        path: &StorePath,
        derivation: &Derivation,
        references: &BTreeSet<StorePath>,
    ) -> Result<()> {
        if derivation.references() != references.iter().collect() {
            let what = format!("{}: its references are not its inputs", self.malformed(path));
            return Err(Cause::Malformed { what }.into());
        }
        self.check_outputs(derivation).map_err(|error| Error::format(self.malformed(path), error))
    }

    /// Checks the output paths of a derivation against those that follow from it and from the derivations that it needs.
    pub(crate) fn check_outputs(&self, derivation: &Derivation) -> Result<()> {
        let mut memo = self.modulo.lock().unwrap_or_else(PoisonError::into_inner);
        derivation.check_output_paths(self.store_dir(), &mut |input| {
            memo.hash_as_input(self.store_dir(), input, &mut |drv| self.parse_derivation(drv))
        })
    }

    fn malformed(&self, drv: &StorePath) -> String {
        format!("the derivation '{}' is malformed", self.store_dir().display(drv))
    }
}

fn registration(
    path: &StorePath,
    digest: &NarDigest,
    references: BTreeSet<StorePath>,
    address: Option<ContentAddress>,
) -> Registration {
    Registration {
        path: path.clone(),
        nar_hash: digest.hash,
        nar_size: digest.size,
        references,
        deriver: None,
        // What Nix cannot check by its address was made here.
        ultimate: address.is_none(),
        ca: address,
        signatures: Vec::new(),
    }
}

fn write_text(path: &Path, text: &[u8]) -> Result<()> {
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(file_mode(false))
        .open(path)
        .at("create", path)?;
    std::io::Write::write_all(&mut &file, text).at("write", path)?;
    seal_created(&file, false, path)
}

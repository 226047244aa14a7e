//! What a build may need and the store need not have: sources that stay where they are, and derivations of this call.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rekindle_nix::{Derivation, StorePath};

use crate::engine::{Engine, OWN_DIR};
use crate::error::Error;
use crate::left_by_builds;
use crate::source::{Directory, EmbeddedFile, Source, SourceRules};

/// All that was offered.
#[derive(Debug, Default)]
pub(crate) struct Offered {
    directories: HashMap<StorePath, Arc<Source>>,
    /// Directories that lie somewhere for this process alone.
    laid_out: HashMap<StorePath, Directory>,
    derivations: HashMap<StorePath, Arc<Derivation>>,
}

impl Engine {
    /// Finds the store path of a directory's sources. Nothing is written to the store.
    ///
    /// # Errors
    /// A directory that cannot be read or changes while it is read, a file that no store can hold.
    pub fn observe_tree(&self, name: &str, dir: &Path, rules: &SourceRules) -> Result<Source, Error> {
        let mut rules = rules.clone();
        rules.exclude.extend(left_by_builds::store_patterns(dir, self.store().root(), &["nix", OWN_DIR]));
        self.memory().observe_tree(self.store().store_dir(), name, dir, &rules)
    }

    /// Finds the store path of one file or directory as it is. Nothing is written to the store.
    ///
    /// # Errors
    /// It cannot be read, or no store can hold it.
    pub fn observe_file(&self, name: &str, file: &Path) -> Result<Source, Error> {
        Source::observe_file(self.store().store_dir(), name, file)
    }

    /// Finds the store path of a directory of files that the program carries.
    ///
    /// # Errors
    /// Names that no directory can have.
    pub fn embed(&self, name: &str, files: &[EmbeddedFile<'_>]) -> Result<Source, Error> {
        Source::embed(self.store().store_dir(), name, files)
    }

    /// Lets builds use a source. A directory stays where it is; anything else is put into the store.
    ///
    /// # Errors
    /// A source that changed since it was observed, a full disk.
    pub fn offer(&self, source: Arc<Source>) -> Result<(), Error> {
        if source.directory().is_some() {
            self.offered().directories.insert(source.path.clone(), source);
            return Ok(());
        }
        self.ingest(&source)
    }

    /// Puts a source into the store, if it is not there.
    ///
    /// # Errors
    /// As for [`Engine::offer`].
    pub fn ingest(&self, source: &Source) -> Result<(), Error> {
        self.store().add_temp_root(&source.path)?;
        self.memory().ingest(source, self.store())
    }

    /// Lets builds use a derivation that is not in the store. Returns its path.
    ///
    /// # Errors
    /// A name that no derivation can have.
    pub fn offer_derivation(&self, drv: Derivation) -> Result<StorePath, Error> {
        let path = self.derivation_path(&drv)?;
        self.offered().derivations.insert(path.clone(), Arc::new(drv));
        Ok(path)
    }

    /// Puts a derivation into the store, where it is not there. What it refers to must be valid.
    ///
    /// # Errors
    /// Output paths that are not those of the recipe, a full disk.
    pub fn add_derivation(&self, drv: &Derivation) -> Result<StorePath, Error> {
        let path = self.derivation_path(drv)?;
        self.store().add_temp_root(&path)?;
        if !self.store().is_valid(&path)? {
            self.store().add_derivation(drv)?;
        }
        Ok(path)
    }

    /// A derivation that was offered, is in the store, or was built here.
    ///
    /// # Errors
    /// It is neither, or not sound.
    pub fn derivation(&self, path: &StorePath) -> Result<Arc<Derivation>, Error> {
        if let Some(drv) = self.offered().derivations.get(path) {
            return Ok(Arc::clone(drv));
        }
        if !self.store().is_valid(path)?
            && let Some(drv) = self.remembered().read(path, self.store().store_dir())
        {
            return Ok(Arc::new(drv));
        }
        Ok(Arc::new(self.store().read_derivation(path)?))
    }

    fn derivation_path(&self, drv: &Derivation) -> Result<StorePath, Error> {
        drv.drv_path(self.store().store_dir()).map_err(|error| {
            Error::usage(format!("\"{}\" cannot name a derivation", drv.name)).caused_by(error)
        })
    }

    /// A source that is a directory, and what is in it.
    pub(crate) fn directory(&self, path: &StorePath) -> Result<Option<Directory>, Error> {
        {
            let offered = self.offered();
            if let Some(source) = offered.directories.get(path) {
                return Ok(source.directory().cloned());
            }
            if let Some(directory) = offered.laid_out.get(path) {
                return Ok(Some(directory.clone()));
            }
        }
        let real = self.store().real_path(path);
        if !self.store().is_valid(path)? || !real.is_dir() {
            return Ok(None);
        }
        self.memory().read_stored(real).map(Some)
    }

    /// Lets builds use a directory that lies somewhere for this process alone.
    pub(crate) fn offer_directory(&self, path: &StorePath, directory: Directory) {
        self.offered().laid_out.insert(path.clone(), directory);
    }

    /// Puts a source that was offered into the store.
    pub(crate) fn ensure_valid(&self, path: &StorePath) -> Result<(), Error> {
        let source = self.offered().directories.get(path).cloned();
        source.map_or(Ok(()), |source| self.ingest(&source))
    }
}

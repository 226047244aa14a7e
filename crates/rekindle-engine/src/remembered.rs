//! What it takes to build something again that came from a directory: its derivation, and its sources.
//!
//! Neither is in the store: a build offers both, and leaves them where they are. So the text of each derivation that was
//! built is kept beside the store, and the sources are found in the checkpoint of that build, as long as there is one.
//! They are laid out in a place of their own; what is in them is compared with their manifest when they are mounted.
//!
//! ```text
//! derivations/<base name of the .drv>     its text, as Nix writes it
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rekindle_layers::{Manifest, MaterialiseOptions, View, materialise};
use rekindle_nix::{Derivation, StoreDir, StorePath, aterm};
use rekindle_store::Staging;

use crate::continuation::package_of;
use crate::engine::{Engine, OWN_DIR};
use crate::error::Error;
use crate::source::Directory;
use crate::world::TREE_BUILD;

/// The texts of derivations that were built.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    dir: PathBuf,
}

impl Remembered {
    pub(crate) fn of(store_root: &Path) -> Remembered {
        Remembered { dir: store_root.join(OWN_DIR).join("derivations") }
    }

    pub(crate) fn note(&self, path: &StorePath, drv: &Derivation, dir: &StoreDir) -> Result<(), Error> {
        let file = self.dir.join(path.base_name());
        if file.exists() {
            return Ok(());
        }
        let new = self.dir.join(format!("{}.new-{}", path.base_name(), std::process::id()));
        let write = || {
            fs::create_dir_all(&self.dir)?;
            fs::write(&new, aterm::write(drv, dir))?;
            fs::rename(&new, &file)
        };
        write().map_err(|error| Error::io("write", &file, error))
    }

    /// The derivation with this path, if it is remembered and is what its path says.
    pub(crate) fn read(&self, path: &StorePath, dir: &StoreDir) -> Option<Derivation> {
        let text = fs::read(self.dir.join(path.base_name())).ok()?;
        let drv = aterm::parse(dir, &path.drv_name()?, &text).ok()?;
        drv.drv_path(dir).is_ok_and(|found| found == *path).then_some(drv)
    }

    /// The derivations that are remembered, in no order.
    pub(crate) fn all(&self) -> Vec<StorePath> {
        let names = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| StorePath::from_base_name(name.as_encoded_bytes()).ok()).collect()
    }

    fn remove(&self, path: &StorePath) -> Result<(), Error> {
        let file = self.dir.join(path.base_name());
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &file, error)),
            _ => Ok(()),
        }
    }
}

/// Sources that were laid out again. They go with it.
#[derive(Debug)]
pub(crate) struct LaidOut(#[expect(dead_code, reason = "held for the directory")] Vec<Staging>);

impl Engine {
    /// Forgets derivations of which no output is valid any more, and what was read of the host by packages of which
    /// nothing is left at all.
    ///
    /// # Errors
    /// A store that cannot be read; a disk that may not be written.
    pub fn forget_derivations(&self) -> Result<(), Error> {
        // A build may have noted what it read of the host, and not yet what came of it. There is another collection.
        let nobody_builds = self.checkpoints().exclusive(None)?;
        let (remembered, dir) = (self.remembered(), self.store().store_dir());
        let records = self.checkpoints().all().into_iter().filter_map(|one| one.record.ok());
        let mut packages: BTreeSet<_> = records.map(|record| (record.package, record.system)).collect();
        for path in remembered.all() {
            let mut valid = false;
            if let Some(drv) = remembered.read(&path, dir) {
                for output in drv.outputs.values().filter_map(|output| output.path()) {
                    valid |= self.store().is_valid(output)?;
                }
                if valid {
                    packages.insert(package_of(&drv));
                }
            }
            if !valid {
                remembered.remove(&path)?;
            }
        }
        if nobody_builds.is_some() { self.hosts().keep_only(&packages) } else { Ok(()) }
    }

    /// Those of derivations for which all is there that it takes to build them again: they themselves, their sources and
    /// the derivations of their inputs.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn rebuildable(&self, drvs: BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>, Error> {
        let layers = self.layers();
        let in_checkpoints: BTreeSet<String> = self
            .checkpoints()
            .all()
            .into_iter()
            .filter(|one| one.unusable(layers).is_none())
            .filter_map(|one| one.record.ok())
            .filter(|record| !record.source.is_empty())
            .map(|record| record.drv)
            .collect();
        let mut found = BTreeSet::new();
        'each: for path in drvs {
            let Ok(drv) = self.derivation(&path) else { continue };
            for source in &drv.input_srcs {
                let mut is_there = self.directory(source)?.is_some() || self.store().is_valid(source)?;
                is_there |= is_src(&drv, source, self.store().store_dir())
                    && in_checkpoints.contains(path.base_name());
                if !is_there {
                    continue 'each;
                }
            }
            if drv.input_drvs.keys().all(|input| self.derivation(input).is_ok()) {
                found.insert(path);
            }
        }
        Ok(found)
    }

    /// Lays the sources of derivations out again where nobody offered them.
    pub(crate) fn lay_out(&self, goals: &[StorePath]) -> Result<LaidOut, Error> {
        let mut places = Vec::new();
        for goal in goals {
            let drv = self.derivation(goal)?;
            for source in &drv.input_srcs {
                let is_there = self.directory(source)?.is_some() || self.store().is_valid(source)?;
                if is_there || !is_src(&drv, source, self.store().store_dir()) {
                    continue;
                }
                let _in_use = self.checkpoints().use_them()?;
                let Some((manifest, layers)) = self.sources_of(goal) else {
                    let goal = self.store().store_dir().display(goal);
                    return Err(Error::usage(format!(
                        "the sources of {goal} are in no checkpoint any more; name the directory that it was built from"
                    )));
                };
                let place = self.store().staging()?;
                let root = place.path().join("source");
                let view = View::of_layers(&layers, &Path::new(TREE_BUILD).join(source.name()))?;
                materialise(&view, &root, &MaterialiseOptions { substitute: Vec::new() })?;
                self.offer_directory(source, Directory { root, manifest: Arc::new(manifest) });
                places.push(place);
            }
        }
        Ok(LaidOut(places))
    }

    /// The mounted sources of a derivation as a checkpoint of its build has them: their manifest, and their layers.
    fn sources_of(&self, drv: &StorePath) -> Option<(Manifest, Vec<PathBuf>)> {
        let layers = self.layers();
        self.checkpoints().all().into_iter().find_map(|one| {
            let record = one.record.as_ref().ok()?;
            if record.drv != drv.base_name() || record.source.is_empty() || one.unusable(layers).is_some() {
                return None;
            }
            let manifest = one.manifest().ok()?;
            Some((manifest, record.source.iter().map(|layer| layers.path(*layer)).collect()))
        })
    }
}

/// Whether a source is the one that a derivation unpacks.
fn is_src(drv: &Derivation, source: &StorePath, dir: &StoreDir) -> bool {
    let src = drv.env.get(b"src".as_slice());
    src.is_some_and(|src| *src == dir.display(source).into_bytes())
}

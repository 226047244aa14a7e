//! Checkpoints for whoever looks at them, keeps them or removes them: lists, identities, pins.
//!
//! It needs no engine and no build: a store's directory is enough. What it says of a checkpoint is what its record says;
//! no layer is walked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rekindle_layers::{EntryKind, LayerId, LayerStore, Manifest};

use super::{Checkpoints, CollectPolicy, CollectedCheckpoints, PINNED, Record, Shelved};
use crate::engine::OWN_DIR;
use crate::error::Error;
use crate::owner::explained;

/// The least number of digits that stand for an identity.
const LEAST_PREFIX: usize = 4;

/// The checkpoints of a store.
#[derive(Debug)]
pub struct CheckpointStore {
    pub(super) checkpoints: Checkpoints,
    pub(super) layers: LayerStore,
}

/// A checkpoint, in brief.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointInfo {
    /// Its identity.
    pub id: String,
    /// Whether it is removed only on request.
    pub pinned: bool,
    /// Whether a comparison with a clean build found it, or one like it, wrong.
    pub quarantined: bool,
    /// Why nothing can start from it, apart from that.
    pub unusable: Option<String>,
    /// The bytes on disk of all that it needs.
    pub bytes: u64,
    /// Those of them that no other checkpoint needs.
    pub own_bytes: u64,
    /// How it came about; nothing if it cannot be read.
    pub made: Option<Made>,
}

/// How a checkpoint came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The package, without its version.
    pub package: String,
    /// The platform.
    pub system: String,
    /// The base name of the derivation.
    pub drv: String,
    /// Seconds since 1970.
    pub created: i64,
    /// How many builds went on from one another.
    pub depth: u32,
    /// The checkpoint that its build went on from.
    pub base: Option<String>,
    /// The names of all phases.
    pub phases: Vec<String>,
    /// The last phase that it holds; `setup` for what comes before all phases.
    pub reached: String,
    /// The phase that failed, if one did.
    pub failed: Option<String>,
}

/// A checkpoint in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointDetails {
    /// In brief.
    pub info: CheckpointInfo,
    /// What its mounted source has, if there is one that can be read.
    pub sources: Option<SourceCounts>,
    /// Its steps, in order.
    pub steps: Vec<StepInfo>,
    /// All its layers: first those of the sources, then those of the steps, from the oldest on.
    pub layers: Vec<LayerInfo>,
}

/// What a source tree has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Regular files.
    pub files: usize,
    /// Directories, without the root.
    pub directories: usize,
    /// Symbolic links.
    pub links: usize,
    /// The length of all files together.
    pub bytes: u64,
}

/// One step of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepInfo {
    /// Its phase.
    pub phase: String,
    /// The key of its recipe, in hexadecimal.
    pub recipe: String,
    /// What it looked at.
    pub observed: Observed,
    /// The layers that it added itself; nothing if it went on from an earlier tree.
    pub own: Option<Vec<String>>,
    /// How many layers its tree has.
    pub tree: usize,
}

/// What a step looked at, in brief.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// It is not known: every change counts.
    Everything,
    /// So many names.
    Names {
        /// Files that it opened.
        opened: usize,
        /// Directories that it listed.
        listed: usize,
        /// Names that it looked for.
        looked_for: usize,
    },
}

/// One layer of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerInfo {
    /// Its name.
    pub id: String,
    /// What it takes on disk.
    pub bytes: u64,
    /// How many other checkpoints need it.
    pub shared: usize,
}

/// A checkpoint that the user named as the base of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedBase {
    /// Its identity.
    pub id: String,
    /// The package that it is of.
    pub package: String,
    /// The platform.
    pub system: String,
}

impl CheckpointStore {
    /// Opens the checkpoints of the store with this root.
    ///
    /// # Errors
    /// A directory that cannot be made or read: most likely it is another user's.
    pub fn open(store_root: &Path) -> Result<CheckpointStore, Error> {
        let own = store_root.join(OWN_DIR);
        let checkpoints =
            Checkpoints::open(own.join("checkpoints")).map_err(|error| explained(&own, error))?;
        let layers = LayerStore::open(&own.join("layers")).map_err(|error| explained(&own, error.into()))?;
        Ok(CheckpointStore { checkpoints, layers })
    }

    /// All checkpoints, newest first; those that cannot be read last.
    pub fn list(&self) -> Vec<CheckpointInfo> {
        let all = self.checkpoints.all();
        let users = users(&all);
        let age = |one: &Shelved| one.record.as_ref().ok().map(|record| record.created);
        let mut infos: Vec<_> = all.iter().map(|one| (age(one), self.info(one, &users))).collect();
        infos.sort_by(|(a, one), (b, other)| (b, &other.id).cmp(&(a, &one.id)));
        infos.into_iter().map(|(_, info)| info).collect()
    }

    /// The identity that begins with these digits.
    ///
    /// # Errors
    /// None does, or several do, or they are fewer than four.
    pub fn resolve(&self, prefix: &str) -> Result<String, Error> {
        let ids: BTreeSet<String> = self.checkpoints.all().iter().map(Shelved::id).collect();
        let prefix = prefix.to_ascii_lowercase();
        if ids.contains(&prefix) {
            return Ok(prefix);
        }
        if prefix.len() < LEAST_PREFIX {
            return Err(Error::usage(format!(
                "{prefix:?} is too short for a checkpoint; give at least {LEAST_PREFIX} digits of it"
            )));
        }
        match ids.iter().filter(|id| id.starts_with(&prefix)).collect::<Vec<_>>()[..] {
            [one] => Ok(one.clone()),
            [] => Err(Error::usage(format!(
                "there is no checkpoint {prefix}; `rekindle checkpoint list` says which there are"
            ))),
            ref several => {
                let several = several.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ");
                Err(Error::usage(format!("{prefix} stands for several checkpoints: {several}")))
            }
        }
    }

    /// A checkpoint in full.
    ///
    /// # Errors
    /// It is not there.
    pub fn details(&self, id: &str) -> Result<CheckpointDetails, Error> {
        let all = self.checkpoints.all();
        let users = users(&all);
        let one = find(&all, id)?;
        let info = self.info(one, &users);
        let Ok(record) = &one.record else {
            return Ok(CheckpointDetails { info, sources: None, steps: Vec::new(), layers: Vec::new() });
        };
        let sources = match record.source_dir.is_some() {
            true => one.manifest().ok().map(|manifest| counts(&manifest)),
            false => None,
        };
        let layer = |id: LayerId| LayerInfo {
            id: id.to_string(),
            bytes: record.surveys.get(&id).map_or(0, |survey| survey.bytes),
            shared: users.get(&id).map_or(0, |count| count - 1),
        };
        Ok(CheckpointDetails {
            info,
            sources,
            steps: record.steps.iter().map(step).collect(),
            layers: in_order(record).into_iter().map(layer).collect(),
        })
    }

    /// Looks whether a build may start from a checkpoint.
    ///
    /// # Errors
    /// It is not there, is damaged or in quarantine. The message says what to do.
    pub fn named(&self, id: &str) -> Result<NamedBase, Error> {
        let all = self.checkpoints.all();
        let one = find(&all, id)?;
        let refused = |why: &str| {
            Error::usage(format!(
                "the checkpoint {id} cannot be used: {why}; leave the choice to rekindle, or name another one"
            ))
        };
        if one.quarantined {
            return Err(refused("it is in quarantine, because a clean build came to another result"));
        }
        if let Some(why) = one.unusable(&self.layers) {
            return Err(refused(&why));
        }
        match &one.record {
            Ok(Record { package, system, .. }) => {
                Ok(NamedBase { id: id.to_owned(), package: package.clone(), system: system.clone() })
            }
            Err(why) => Err(refused(&why.to_string())),
        }
    }

    /// Keeps a checkpoint until it is removed on request, or lets it go with its time.
    ///
    /// # Errors
    /// It is not there; a disk that may not be written.
    pub fn pin(&self, id: &str, pinned: bool) -> Result<(), Error> {
        let _in_use = self.checkpoints.use_them()?;
        let all = self.checkpoints.all();
        let mark = find(&all, id)?.dir.join(PINNED);
        let done = match pinned {
            true => fs::write(&mark, ""),
            false => fs::remove_file(&mark),
        };
        match done {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(|error| Error::io("write", &mark, error)),
        }
    }

    /// Marks all checkpoints of a package as wrong, so that no build starts from them. Returns how many were not so
    /// marked before.
    ///
    /// # Errors
    /// A disk that may not be written.
    pub fn quarantine(&self, package: &str, system: &str) -> Result<usize, Error> {
        self.checkpoints.quarantine(package, system)
    }

    /// Removes checkpoints, pinned or not, and the layers that no other one needs. Waits until no build uses
    /// checkpoints, and calls `waiting` if it has to.
    ///
    /// # Errors
    /// A disk that may not be written.
    pub fn remove(
        &self,
        ids: &BTreeSet<String>,
        waiting: &mut dyn FnMut(),
    ) -> Result<CollectedCheckpoints, Error> {
        self.checkpoints.remove(&self.layers, ids, waiting)
    }

    /// Removes what a policy says, and the layers that no checkpoint needs. While builds use checkpoints it waits and
    /// calls `waiting`, or without that does nothing.
    ///
    /// # Errors
    /// A disk that may not be written.
    pub fn collect(
        &self,
        policy: &CollectPolicy,
        dry_run: bool,
        waiting: Option<&mut dyn FnMut()>,
    ) -> Result<CollectedCheckpoints, Error> {
        self.checkpoints.collect(&self.layers, policy, dry_run, waiting)
    }

    fn info(&self, one: &Shelved, users: &BTreeMap<LayerId, usize>) -> CheckpointInfo {
        let (mut bytes, mut own_bytes) = (one.record_bytes, one.record_bytes);
        if let Ok(record) = &one.record {
            for layer in record.layers() {
                let size = record.surveys.get(&layer).map_or(0, |survey| survey.bytes);
                bytes += size;
                own_bytes += if users.get(&layer) == Some(&1) { size } else { 0 };
            }
        }
        CheckpointInfo {
            id: one.id(),
            pinned: one.pinned,
            quarantined: one.quarantined,
            unusable: one.unusable(&self.layers),
            bytes,
            own_bytes,
            made: one.record.as_ref().ok().map(made),
        }
    }
}

pub(super) fn find<'s>(all: &'s [Shelved], id: &str) -> Result<&'s Shelved, Error> {
    all.iter().find(|one| one.id() == id).ok_or_else(|| {
        Error::usage(format!("there is no checkpoint {id}; `rekindle checkpoint list` says which there are"))
    })
}

/// How many checkpoints need each layer.
fn users(all: &[Shelved]) -> BTreeMap<LayerId, usize> {
    let mut users = BTreeMap::new();
    for layer in all.iter().filter_map(|one| one.record.as_ref().ok()).flat_map(Record::layers) {
        *users.entry(layer).or_default() += 1;
    }
    users
}

fn made(record: &Record) -> Made {
    Made {
        package: record.package.clone(),
        system: record.system.clone(),
        drv: record.drv.clone(),
        created: record.created.secs,
        depth: record.depth,
        base: record.base.clone(),
        phases: record.phases.clone(),
        reached: record.steps.last().map_or_else(String::new, |step| phase(&step.recipe)),
        failed: record.failed.clone(),
    }
}

pub(super) fn phase(recipe: &rekindle_plan::Recipe) -> String {
    recipe.phase.clone().unwrap_or_default()
}

fn step(step: &super::StepRecord) -> StepInfo {
    let seen = &step.observations;
    StepInfo {
        phase: phase(&step.recipe),
        recipe: step.key.to_string(),
        observed: match seen.is_everything() {
            true => Observed::Everything,
            false => Observed::Names {
                opened: seen.opened().count(),
                listed: seen.listed().count(),
                looked_for: seen.looked_for().count(),
            },
        },
        own: step.own.as_ref().map(|own| own.iter().map(ToString::to_string).collect()),
        tree: step.tree.len(),
    }
}

/// The layers of a checkpoint, each once, from the oldest on.
fn in_order(record: &Record) -> Vec<LayerId> {
    let mut seen = BTreeSet::new();
    let of_steps =
        record.steps.iter().flat_map(|step| step.tree.iter().rev().chain(step.own.iter().flatten()));
    record.source.iter().rev().chain(of_steps).filter(|layer| seen.insert(**layer)).copied().collect()
}

fn counts(manifest: &Manifest) -> SourceCounts {
    let mut counts = SourceCounts::default();
    for entry in manifest.entries() {
        match entry.kind {
            EntryKind::File { size, .. } => {
                counts.files += 1;
                counts.bytes += size;
            }
            EntryKind::Directory { .. } => counts.directories += 1,
            EntryKind::Symlink { .. } => counts.links += 1,
        }
    }
    counts
}

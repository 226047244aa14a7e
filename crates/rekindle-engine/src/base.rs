//! What a build starts from: a checkpoint that was chosen and opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rekindle_layers::{LayerId, LayerStore, Manifest, Survey, Timestamp, survey};
use rekindle_plan::{
    Candidate, Distance, Observations, Recipe, RecipeKey, Refusal, Unusable, choose, choose_by_id,
};

use crate::canary;
use crate::checkpoint::{Found, Open, Record, TraceFile};
use crate::error::Error;
use crate::tree::{Opened, Stack};
use crate::world::TREE_BUILD;

/// After so long the time of what was just made has passed.
const MOMENT: Duration = Duration::from_millis(50);
/// More moments than a second has.
const MOMENTS: u32 = 30;

/// How many builds may go on from one another. Then a clean one begins again, or an older checkpoint does.
pub(crate) const CHAIN_LIMIT: u32 = 500;

/// Layers of more files than that are not looked through: only sources are so many, and it would cost a build more than all
/// else that it takes to begin.
const MOST_FILES: u64 = 10_000;

/// A checkpoint that a build starts from.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) id: String,
    pub(crate) depth: u32,
    pub(crate) phases: Vec<String>,
    pub(crate) canaries: Vec<Timestamp>,
    pub(crate) source: Stack,
    pub(crate) steps: Vec<BaseStepData>,
    /// The newest mtime in it.
    pub(crate) newest: Timestamp,
    /// The time for changed sources, if there is one that is newer than all in it and not in the future.
    pub(crate) mark: Option<Timestamp>,
    /// Where its mounted source lay in the tree.
    pub(crate) source_dir: Option<PathBuf>,
    /// What its mounted source was.
    pub(crate) manifest: Option<Manifest>,
    /// What its layers amount to.
    pub(crate) surveys: BTreeMap<LayerId, Survey>,
}

/// What one step of it left.
#[derive(Debug)]
pub(crate) struct BaseStepData {
    pub(crate) recipe: Recipe,
    pub(crate) state: Vec<u8>,
    pub(crate) tree: Stack,
    pub(crate) own: Option<Stack>,
    pub(crate) observations: Observations,
    pub(crate) newest: Timestamp,
    /// What all runs did that left something of the tree, oldest first; nothing if that is not known.
    pub(crate) traces: Option<Vec<TraceFile>>,
    /// What is not settled, of one that failed.
    pub(crate) open: Option<Open>,
}

impl Base {
    /// Chooses among the checkpoints of a package, newest first. `wanted` gives the keys of all steps, if the set-up
    /// finds these phases; `decisive` how many of them decide. What is wrong with one that would have been chosen is
    /// given to `complain`.
    pub(crate) fn choose(
        found: Vec<Found>,
        layers: &LayerStore,
        sources: Option<&Manifest>,
        wanted: impl Fn(&[String]) -> (Vec<RecipeKey>, usize),
        complain: &dyn Fn(String),
    ) -> Result<Base, Unusable> {
        let keys: Vec<Vec<RecipeKey>> =
            found.iter().map(|found| found.record.steps.iter().map(|step| step.key).collect()).collect();
        // Checkpoints with the same first key have the same phases, because they come from the same set-up.
        let same_setup = found.iter().zip(&keys).find_map(|(found, keys)| {
            let (wanted, decisive) = wanted(&found.record.phases);
            (keys.first().is_some_and(|key| wanted.first() == Some(key))).then_some((wanted, decisive))
        });
        let Some((wanted, decisive)) = same_setup else {
            // Only to explain how the newest differs.
            return match found.into_iter().find(|found| !found.quarantined) {
                Some(found) => Base::open(found, layers, sources, complain),
                None => Err(Unusable::Absent),
            };
        };
        let candidates: Vec<_> = found
            .iter()
            .zip(&keys)
            .enumerate()
            .map(|(age, (found, keys))| Candidate {
                id: age,
                keys,
                succeeded: found.record.failed.is_none(),
                is_last: found.record.depth >= CHAIN_LIMIT,
                age: age as u64,
                unusable: found.quarantined.then_some(Unusable::Quarantined),
            })
            .collect();
        let chosen = choose(&wanted, decisive, &candidates, |at| distance(&found[*at], sources, complain))?;
        let found = found.into_iter().nth(chosen.index).expect("it was chosen among them");
        Base::open(found, layers, sources, complain)
    }

    /// Takes the checkpoint that the user named.
    pub(crate) fn take(
        found: Vec<Found>,
        layers: &LayerStore,
        id: &str,
        wanted: impl FnOnce(&[String]) -> Vec<RecipeKey>,
    ) -> Result<Base, Refusal> {
        let Some(found) = found.into_iter().find(|found| found.record.id == id) else {
            return Err(Refusal::Unknown);
        };
        let keys: Vec<RecipeKey> = found.record.steps.iter().map(|step| step.key).collect();
        let candidate = Candidate {
            id,
            keys: &keys,
            succeeded: found.record.failed.is_none(),
            is_last: found.record.depth >= CHAIN_LIMIT,
            age: 0,
            unusable: found.quarantined.then_some(Unusable::Quarantined),
        };
        choose_by_id(&wanted(&found.record.phases), &[candidate], &id)?;
        // The refusal says it.
        Base::open(found, layers, None, &|_| {}).map_err(Refusal::Unusable)
    }

    /// Has the time for changed sources be in another second than it is in, unless the clock stands still.
    pub(crate) fn wait_for_another_second(&mut self) {
        let Some(first) = self.mark else { return };
        for _ in 0..MOMENTS {
            match canary::choose(self.newest, canary::now()) {
                Some(mark) if mark.secs == first.secs => std::thread::sleep(MOMENT),
                mark => {
                    self.mark = mark;
                    return;
                }
            }
        }
        self.mark = None;
    }

    fn open(
        found: Found,
        layers: &LayerStore,
        sources: Option<&Manifest>,
        complain: &dyn Fn(String),
    ) -> Result<Base, Unusable> {
        // Also of one of which no step fits: what changed of its sources is captured on top of them.
        intact(&found, layers, complain)?;
        let manifest = match found.record.source.is_empty() {
            true => None,
            false => Some(manifest(&found, sources, complain)?),
        };
        let traces = found.record.steps.iter().map(|step| {
            let names = step.traces.as_ref()?;
            Some(names.iter().map(|name| found.trace(name)).collect())
        });
        let traces: Vec<Option<Vec<TraceFile>>> = traces.collect();
        let Record { id, depth, phases, canaries, source_dir, source, steps, surveys, .. } = found.record;
        let source_dir = source_dir.map(|name| Path::new(TREE_BUILD).join(name));
        let mut opened = Opened::default();
        let source = opened.stack(&source, layers);
        let steps: Vec<_> = steps
            .into_iter()
            .zip(traces)
            .map(|(step, traces)| BaseStepData {
                tree: opened.stack(&step.tree, layers),
                own: step.own.map(|own| opened.stack(&own, layers)),
                recipe: step.recipe,
                state: step.state,
                observations: step.observations,
                newest: step.newest,
                traces,
                open: step.open,
            })
            .collect();
        let newest = steps.iter().map(|step| step.newest).max().unwrap_or_default();
        let mark = canary::choose(newest, canary::now()).or_else(|| {
            // It was made a moment ago, or the clock ran backwards since. The one is over soon.
            std::thread::sleep(MOMENT);
            canary::choose(newest, canary::now())
        });
        Ok(Base { id, depth, phases, canaries, source, steps, newest, mark, source_dir, manifest, surveys })
    }
}

/// Whether all layers look as they did when they were kept, the large ones left out.
fn intact(found: &Found, layers: &LayerStore, complain: &dyn Fn(String)) -> Result<(), Unusable> {
    let Record { id, surveys, .. } = &found.record;
    for (layer, then) in surveys.iter().filter(|(_, then)| then.files <= MOST_FILES) {
        let why = match survey(&layers.path(*layer)) {
            Ok(now) if now.look == then.look => continue,
            Ok(_) => format!("its layer {layer} is not as it was left"),
            Err(error) => Error::from(error).one_line(),
        };
        complain(format!("the checkpoint {id} is not used: {why}"));
        return Err(Unusable::Damaged);
    }
    Ok(())
}

/// The sources of a checkpoint. With those of today to compare them with, only what differs is read.
fn manifest(
    found: &Found,
    sources: Option<&Manifest>,
    complain: &dyn Fn(String),
) -> Result<Manifest, Unusable> {
    found.manifest(sources).map_err(|error| {
        complain(format!("the checkpoint {} is not used: {}", found.record.id, error.one_line()));
        Unusable::Damaged
    })
}

fn distance(
    found: &Found,
    sources: Option<&Manifest>,
    complain: &dyn Fn(String),
) -> Result<Distance, Unusable> {
    let Some(sources) = sources else { return Ok(Distance { differences: 0, bytes: 0 }) };
    let manifest = manifest(found, Some(sources), complain)?;
    let changes = manifest.changes(sources);
    let size = |path| match sources.get(path).map(|entry| entry.kind) {
        Some(rekindle_layers::EntryKind::File { size, .. }) => size,
        _ => 0,
    };
    let bytes = changes.iter().map(|change| size(&change.path)).sum();
    Ok(Distance { differences: changes.len() as u64, bytes })
}

//! What the steps of an attempt left, or an earlier build for them, until a checkpoint keeps it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use rekindle_layers::Timestamp;
use rekindle_plan::{Observations, Placement, Recipe, RecipeKey, Step, Verdict};

use super::Attempt;
use super::auditing::Made;
use super::unfinished::Unfinished;
use crate::checkpoint::{Open, Record, StepRecord, TraceFile};
use crate::error::Error;
use crate::event::Progress;
use crate::recipes::Planned;
use crate::shell_state::ShellState;
use crate::tree::{Layer, Stack, newest, shorten};

/// What the runs of a step did of which something is left in its tree, oldest first.
#[derive(Default)]
pub(super) struct Runs {
    pub(super) files: Vec<TraceFile>,
    /// How many of the last are of this build.
    pub(super) now: usize,
}

/// What a step left, for a later build.
pub(super) struct Kept {
    recipe: Recipe,
    key: RecipeKey,
    pub(super) state: Vec<u8>,
    tree: Stack,
    own: Option<Stack>,
    observations: Observations,
    newest: Timestamp,
    /// What its runs did; nothing if that is not known.
    runs: Option<Runs>,
    /// Whether it ran, seeded or not.
    ran: bool,
    /// What is not settled, of one that failed.
    open: Option<Open>,
}

impl Kept {
    /// What its runs did, if all of that is there still: somebody may have removed the base meanwhile.
    fn known_runs(&self) -> Option<&Runs> {
        self.runs.as_ref().filter(|runs| runs.files.iter().all(TraceFile::is_there))
    }
}

impl Attempt<'_> {
    /// Whether there is anything to keep.
    pub(crate) fn has_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    /// What became of what the step that failed had built.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Keeps the layers of the steps, and says what a checkpoint has to hold of them. The fields that
    /// are not the attempt's own are left empty. `None` if there is nothing to keep.
    pub(crate) fn keep(&self) -> Result<Option<(Record, Vec<TraceFile>)>, Error> {
        let layers = self.given.layers;
        let ids = |stack: &Stack| stack.iter().map(|layer| layer.keep(layers)).collect::<Result<Vec<_>, _>>();
        let mut trees: Vec<Stack> = self.kept.iter().map(|kept| kept.tree.clone()).collect();
        let mut source = self.given.source.clone();
        // What a step added must stay by itself, to be put on another tree.
        let own: Vec<_> = self.kept.iter().filter_map(|kept| kept.own.as_ref()).flatten().cloned().collect();
        let mut stacks: Vec<&mut Stack> = trees.iter_mut().chain([&mut source]).collect();
        shorten(&mut stacks, &own, self.base_surveys(), layers);
        let mut steps = Vec::with_capacity(self.kept.len());
        for (kept, tree) in self.kept.iter().zip(&trees) {
            steps.push(StepRecord {
                recipe: kept.recipe.clone(),
                key: kept.key,
                state: kept.state.clone(),
                tree: ids(tree)?,
                own: kept.own.as_ref().map(ids).transpose()?,
                observations: kept.observations.clone(),
                newest: kept.newest,
                traces: kept
                    .known_runs()
                    .map(|runs| runs.files.iter().map(|trace| trace.name.clone()).collect()),
                traces_now: kept.known_runs().map_or(0, |runs| runs.now as u32),
                open: kept.open.clone(),
            });
        }
        if steps.is_empty() {
            return Ok(None);
        }
        let depth = self.given.base.as_ref().map_or(0, |base| base.depth) + u32::from(self.seeded);
        // A base of which nothing was taken only served to explain why.
        let ran_all = self.kept.iter().all(|kept| kept.ran);
        let is_incremental = self.kept.iter().any(|kept| kept.own.is_none());
        let runs = self.kept.iter().filter_map(Kept::known_runs);
        let traces = runs.flat_map(|runs| &runs.files).cloned().collect();
        let record = Record {
            id: String::new(),
            package: String::new(),
            system: String::new(),
            drv: String::new(),
            failed: None,
            created: Timestamp::default(),
            boot: String::new(),
            source_dir: None,
            base: self.base_id().filter(|_| !ran_all || self.seeded).map(str::to_owned),
            surveys: BTreeMap::new(),
            depth: if is_incremental { depth } else { 0 },
            phases: self.phases.clone(),
            canaries: if is_incremental { self.canaries() } else { Vec::new() },
            source: ids(&source)?,
            steps,
            told: self.told.clone(),
        };
        Ok(Some((record, traces)))
    }

    /// Does a step of which the phase is off: nothing, but the next one sees what this one may see.
    pub(super) fn pass_over(&mut self, step: &Step, planned: &Planned) {
        let command = self.command(planned);
        self.reveal(planned, &command);
        if step.placement == Placement::Scratch && self.given.keeps && !self.unreadable {
            self.kept.push(Kept {
                recipe: planned.recipe.clone(),
                key: planned.key,
                state: self.shell.as_ref().map_or_else(Vec::new, |shell| shell.script.clone()),
                tree: self.tree.clone(),
                newest: self.newest_so_far(),
                ran: true,
                own: Some(Stack::new()),
                observations: Observations::default(),
                runs: Some(Runs::default()),
                open: None,
            });
        }
    }

    /// Takes what an earlier build left.
    pub(super) fn take(&mut self, index: usize, planned: &Planned, verdict: Verdict) {
        let base = self.given.base.as_ref().expect("a verdict to take something comes from a base");
        let then = &base.steps[index];
        self.links_below = true;
        self.tree = match (&then.own, verdict) {
            (Some(own), Verdict::Skip) => own.iter().chain(&self.tree).cloned().collect(),
            _ => then.tree.clone(),
        };
        self.shell = (!then.state.is_empty()).then(|| ShellState { script: then.state.clone() });
        if index == 0 {
            self.phases.clone_from(&base.phases);
        }
        self.kept.push(Kept {
            recipe: planned.recipe.clone(),
            key: planned.key,
            state: then.state.clone(),
            tree: self.tree.clone(),
            own: then.own.clone(),
            observations: then.observations.clone(),
            newest: self.kept.last().map_or(then.newest, |before| before.newest.max(then.newest)),
            runs: then.traces.clone().map(|files| Runs { files, now: 0 }),
            ran: false,
            open: None,
        });
    }

    /// Remembers what a step left that ran.
    pub(super) fn note(&mut self, planned: &Planned, state: Vec<u8>, made: Made) {
        if !self.given.keeps || self.unreadable {
            return;
        }
        let top = Rc::clone(self.tree.first().expect("the step just left a layer"));
        let below = match (&self.given.base, &made) {
            (Ok(base), Made::Seeded(_)) => base.newest,
            _ => self.newest_so_far(),
        };
        let Ok(newest) = newest(&top.path(), below) else {
            // Something in it is locked even for its owner. The build goes on; nobody can go on from it.
            self.unreadable = true;
            return;
        };
        let (own, runs, observations) = match made {
            Made::Clean(seen) => {
                let runs = seen.run.ok().map(|(_, file)| Runs { files: vec![file], now: 1 });
                (Some(vec![top]), runs, seen.observations)
            }
            // What it looked at in former builds counts, too.
            Made::Seeded(runs) => (None, Some(runs), Observations::everything()),
            Made::Unfinished(_) => unreachable!("it did not fail"),
        };
        self.kept.push(Kept {
            recipe: planned.recipe.clone(),
            key: planned.key,
            state,
            tree: self.tree.clone(),
            newest,
            ran: true,
            own,
            runs,
            observations,
            open: None,
        });
    }

    /// Remembers what a step left that failed, with what is `hidden` of it, if it can be read.
    pub(super) fn note_failed(
        &mut self,
        planned: &Planned,
        hidden: Option<Rc<Layer>>,
        left: Unfinished,
    ) -> bool {
        let layer = Rc::clone(self.tree.first().expect("the step just left a layer"));
        let below = match &self.given.base {
            Ok(base) if !left.is_clean => base.newest,
            _ => self.newest_so_far(),
        };
        // What is locked even for its owner cannot be gone on from.
        let Ok(newest) = newest(&layer.path(), below) else { return false };
        let top: Stack = hidden.into_iter().chain([layer]).collect();
        self.kept.push(Kept {
            recipe: planned.recipe.clone(),
            key: planned.key,
            state: Vec::new(),
            tree: top.iter().chain(&self.tree[1..]).cloned().collect(),
            newest,
            ran: true,
            own: left.is_clean.then_some(top),
            runs: Some(left.runs),
            observations: Observations::everything(),
            open: Some(left.open),
        });
        true
    }

    /// What the steps left that ran clean in this attempt.
    pub(super) fn ran_clean(&self) -> Vec<PathBuf> {
        let ran = self.kept.iter().filter(|kept| kept.ran);
        ran.filter_map(|kept| kept.own.as_ref()).flatten().map(|layer| layer.path()).collect()
    }

    /// The newest time in the tree. That of sources and inputs is the first second.
    fn newest_so_far(&self) -> Timestamp {
        self.kept.last().map_or(Timestamp { secs: 1, nanos: 0 }, |kept| kept.newest)
    }
}

//! One attempt at building a derivation: its steps, one after the other, each on the layers of those before.
//!
//! An attempt may end in a result, or in the finding that it has to be made another way: as one step instead of
//! phase by phase, or with the outputs at their final paths from the start. Who called it decides.
//!
//! A step does not run if what an earlier build left for it still holds; `rekindle_plan` judges that, from the facts that
//! are found out here. Only steps before the outputs move are judged: later ones see paths that every edit changes.
//!
//! The layers of an attempt are drafts for as long as nothing keeps them: they live and go with the attempt, and the
//! death of the process leaves them to the next sweep. [`Attempt::keep`] makes a checkpoint of them.

mod step;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rekindle_layers::{
    Change, Draft, LayerId, LayerStore, MaterialiseOptions, Timestamp, View, materialise, merge,
};
use rekindle_plan::{
    BaseStep, Before, Chain, Effect, Facts, Judged, Observations, Placement, Reason, Recipe, RecipeKey,
    Seedable, Step, StepList, Unusable, Verdict, judge,
};
use rekindle_sandbox::{Cancel, Sandbox};

use step::Ended;

use crate::base::{Base, CHAIN_LIMIT};
use crate::checkpoint::{Record, StepRecord};
use crate::copied::Copied;
use crate::error::Error;
use crate::event::{FailureKind, RestartReason, StepUsage};
use crate::fragments::Fragments;
use crate::recipes::{Planned, Recipes, SETUP, touched};
use crate::rewriting::{finish_rewriting, substitutions};
use crate::scratch::{OutputPaths, placed};
use crate::shell_state::{Dump, ShellState, read_phases};
use crate::tree::{Changes, Stack, newest, paths, shorten};
use crate::unlock::unlock;
use crate::world::{Command, DRIVER, TREE_STORE, World};

/// How an attempt goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    /// Phase by phase, each in a shell of its own.
    pub(crate) phased: bool,
    /// With the outputs at their final paths from the start.
    pub(crate) exact: bool,
    /// Whether each phase sees only the attributes that are for it or for one before it.
    pub(crate) late: bool,
    /// In a copy of the tree, where hard links stay what they are.
    pub(crate) copies: bool,
}

impl Mode {
    /// Whether what its steps leave can serve a later build.
    pub(crate) fn is_kept(self) -> bool {
        self.phased && !self.exact
    }
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All steps ended well that were to run.
    Built,
    /// A step did not.
    Failed { phase: Option<String>, kind: FailureKind },
    /// It has to be made in another mode. Without a reason there is nothing to say about it: the set-up of the
    /// derivation does not name its phases, or it sets what it should not see yet.
    Restart { reason: Option<RestartReason>, mode: Mode },
}

/// What an attempt tells while it goes on.
pub(crate) trait Watch {
    fn steps(&mut self, phases: &[String]);
    fn step_judged(&mut self, phase: &str, judged: &Judged);
    fn step_started(&mut self, phase: Option<&str>);
    /// Trees cannot be stacked here, for this reason. It happens once, and the step goes on with a copy.
    fn cannot_stack(&mut self, why: &str);
    fn output(&mut self, bytes: &[u8]);
    fn step_finished(&mut self, phase: Option<&str>, usage: StepUsage);
}

/// What an attempt is given.
pub(crate) struct Given<'a> {
    pub(crate) world: &'a World<'a>,
    pub(crate) layers: &'a LayerStore,
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) outputs: &'a [OutputPaths],
    /// All that lies at another path in the beginning.
    pub(crate) moved: &'a [OutputPaths],
    pub(crate) recipes: &'a Recipes<'a>,
    pub(crate) mode: Mode,
    /// Whether the steps may take anything from an earlier build.
    pub(crate) clean: bool,
    /// Whether what the steps leave is kept, and so is watched.
    pub(crate) keeps: bool,
    /// Whether it stops before anything is installed.
    pub(crate) prepares: bool,
    /// What there is to take from, or why there is nothing.
    pub(crate) base: Result<Base, Unusable>,
    /// The layers of the mounted source.
    pub(crate) source: Stack,
    /// Whether the steps work in a copy of the tree and not in an overlay.
    pub(crate) copies: bool,
}

/// One attempt.
pub(crate) struct Attempt<'a> {
    given: Given<'a>,
    /// What lies below all layers.
    bottom: Draft,
    /// Directories for the shell state, one for each step.
    states: Draft,
    steps_run: usize,
    /// What the steps so far left, topmost first.
    tree: Stack,
    /// What the failed step left, where one failed.
    failed: Option<Draft>,
    /// See [`Given::copies`]; also where it turns out that overlays cannot be mounted.
    copies: bool,
    /// The copy, from the first step that runs in one.
    copied: Option<Copied>,
    /// Whether there may be hard links in the layers so far.
    links_below: bool,
    shell: Option<ShellState>,
    placement: Placement,
    phases: Vec<String>,
    kept: Vec<Kept>,
    /// Whether a step left something that cannot be read, so that it and what comes after it is not kept.
    unreadable: bool,
    /// Whether a step ran, seeded or not.
    some_ran: bool,
    seeded: bool,
    /// What differs before the first step, as long as no step ran.
    sources: Option<Rc<Changes>>,
}

/// What a step left, for a later build.
struct Kept {
    recipe: Recipe,
    key: RecipeKey,
    state: Vec<u8>,
    tree: Stack,
    own: Option<Stack>,
    observations: Observations,
    newest: Timestamp,
    /// Whether it ran, seeded or not.
    ran: bool,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(given: Given<'a>) -> Result<Self, Error> {
        let bottom = given.layers.begin()?;
        given
            .world
            .make_base(bottom.upper(), given.mode.is_kept())
            .map_err(|error| Error::io("prepare the build in", bottom.upper(), error))?;
        Ok(Attempt {
            bottom,
            states: given.layers.begin()?,
            steps_run: 0,
            tree: if given.mode.is_kept() { given.source.clone() } else { Stack::new() },
            failed: None,
            copies: given.copies || given.mode.copies,
            links_below: false,
            copied: None,
            shell: None,
            placement: if given.mode.exact { Placement::Final } else { Placement::Scratch },
            phases: Vec::new(),
            kept: Vec::new(),
            unreadable: false,
            some_ran: false,
            seeded: false,
            sources: None,
            given,
        })
    }

    /// Runs all steps.
    pub(crate) fn run(&mut self, watch: &mut dyn Watch, cancel: &Cancel) -> Result<Outcome, Error> {
        if !self.given.mode.phased {
            return self.step(None, &self.placed(), None, watch, cancel).map(|ended| match ended {
                Ended::Well { .. } => Outcome::Built,
                Ended::Torn(reason) => self.restart_in_copy(reason),
                Ended::Badly(kind) => Outcome::Failed { phase: None, kind },
            });
        }
        let setup = self.given.recipes.plan(std::iter::once((SETUP, driver_args("setup", None))));
        let [setup] = &setup[..] else { unreachable!("one phase has one plan") };
        if let Some(outcome) = self.advance(0, SETUP, setup, false, watch, cancel)? {
            return Ok(outcome);
        }
        if self.phases.is_empty() {
            return Ok(self.restart_whole(None));
        }
        let phases = self.phases.clone();
        watch.steps(&phases);
        let list = StepList::phased(&phases, self.given.mode.exact);
        let planned = self.given.recipes.plan(phases_with_args(&phases));
        for (index, step) in list.steps().iter().enumerate() {
            if self.given.prepares && is_installing(step) {
                break;
            }
            let is_last = index + 1 == list.steps().len();
            if let Some(outcome) =
                self.run_phase(index + 1, step, &planned[index + 1], is_last, watch, cancel)?
            {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Built)
    }

    /// Where the outputs lie now.
    pub(crate) fn placement(&self) -> Placement {
        self.placement
    }

    /// Whether a step went on from what an earlier build left.
    pub(crate) fn is_seeded(&self) -> bool {
        self.seeded
    }

    /// Whether anything was taken from an earlier build.
    pub(crate) fn base_id(&self) -> Option<&str> {
        self.given.base.as_ref().ok().map(|base| base.id.as_str())
    }

    /// What the layers of the base take on disk.
    pub(crate) fn base_sizes(&self) -> Option<&BTreeMap<LayerId, u64>> {
        self.given.base.as_ref().ok().map(|base| &base.sizes)
    }

    /// The times by which changed sources are or were marked in the tree.
    pub(crate) fn canaries(&self) -> Vec<Timestamp> {
        let Ok(base) = &self.given.base else { return Vec::new() };
        // Without a seeded step nothing is taken that could have one, but a tree of a seeded step that is reused has.
        let mut canaries = base.canaries.clone();
        canaries.extend(self.seeded.then_some(base.mark).flatten());
        canaries
    }

    /// The base and how the sources differ from its, if there is one.
    pub(crate) fn taken(&self) -> Option<(&str, Vec<Change>)> {
        let base = self.given.base.as_ref().ok()?;
        let changes = match (&base.manifest, self.given.world.source) {
            (Some(then), Some(now)) => then.changes(&now.manifest),
            _ => Vec::new(),
        };
        Some((&base.id, changes))
    }

    /// The directories whose stack is the tree now, topmost first.
    pub(crate) fn tree(&self) -> Vec<PathBuf> {
        let failed = self.failed.iter().map(|draft| draft.upper().to_owned());
        failed.chain(paths(&self.tree, self.bottom.upper())).collect()
    }

    /// Makes what the steps left below `sub` of the tree readable, whatever they locked.
    pub(crate) fn unlock(&self, sub: &str) -> Result<(), Error> {
        // A layer of a checkpoint was made readable before it was kept, and is not to be changed.
        let failed = self.failed.iter().map(|draft| draft.upper().to_owned());
        for upper in failed.chain(self.tree.iter().filter_map(|layer| layer.draft_path())) {
            let root = upper.join(sub);
            unlock(&root).map_err(|error| Error::io("make readable", &root, error))?;
        }
        Ok(())
    }

    /// The environment of the builder, for someone who looks closer at a build that failed.
    pub(crate) fn environment(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.placed().env
    }

    /// Whether there is anything to keep.
    pub(crate) fn has_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Keeps the layers of the steps that ended well, and says what a checkpoint has to hold of them. The fields that
    /// are not the attempt's own are left empty. `None` if there is nothing to keep.
    pub(crate) fn keep(&self) -> Result<Option<Record>, Error> {
        let layers = self.given.layers;
        let ids = |stack: &Stack| stack.iter().map(|layer| layer.keep(layers)).collect::<Result<Vec<_>, _>>();
        let mut trees: Vec<Stack> = self.kept.iter().map(|kept| kept.tree.clone()).collect();
        let mut source = self.given.source.clone();
        // What a step added must stay by itself, to be put on another tree.
        let own: Vec<_> = self.kept.iter().filter_map(|kept| kept.own.as_ref()).flatten().cloned().collect();
        let mut stacks: Vec<&mut Stack> = trees.iter_mut().chain([&mut source]).collect();
        shorten(&mut stacks, &own, self.base_sizes(), layers);
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
            });
        }
        if steps.is_empty() {
            return Ok(None);
        }
        let depth = self.given.base.as_ref().map_or(0, |base| base.depth) + u32::from(self.seeded);
        // A base of which nothing was taken only served to explain why.
        let ran_all = self.kept.iter().all(|kept| kept.ran);
        let is_incremental = self.kept.iter().any(|kept| kept.own.is_none());
        Ok(Some(Record {
            id: String::new(),
            package: String::new(),
            system: String::new(),
            drv: String::new(),
            failed: None,
            created: 0,
            boot: String::new(),
            source_dir: None,
            base: self.base_id().filter(|_| !ran_all || self.seeded).map(str::to_owned),
            sizes: BTreeMap::new(),
            depth: if is_incremental { depth } else { 0 },
            phases: self.phases.clone(),
            canaries: if is_incremental { self.canaries() } else { Vec::new() },
            source: ids(&source)?,
            steps,
        }))
    }

    fn placed(&self) -> Command {
        let given = &self.given;
        let moved = if given.mode.is_kept() { given.moved } else { given.outputs };
        placed(given.world.drv, moved, given.world.store.store_dir(), self.placement)
    }

    fn run_phase(
        &mut self,
        index: usize,
        step: &Step,
        planned: &Planned,
        is_last: bool,
        watch: &mut dyn Watch,
        cancel: &Cancel,
    ) -> Result<Option<Outcome>, Error> {
        let phase = step.phase.as_deref().expect("a phased list has named phases");
        if step.placement == Placement::Scratch {
            return self.advance(index, phase, planned, is_last, watch, cancel);
        }
        let mut draft = None;
        if step.placement != self.placement {
            for output in self.given.moved {
                let (from, to) = (output.scratch.hash_part(), output.final_path.hash_part());
                if let Some(shell) = &mut self.shell {
                    shell.substitute(from.as_bytes(), to.as_bytes());
                }
            }
            match self.move_outputs()? {
                Ok(moved) => draft = Some(moved),
                Err(reason) => {
                    let mode = Mode { exact: true, ..self.given.mode };
                    return Ok(Some(Outcome::Restart { reason: Some(reason), mode }));
                }
            }
            self.placement = step.placement;
        }
        let command = self.command(planned);
        self.reveal(planned, &command);
        match self.step(Some(phase), &command, draft, watch, cancel)? {
            Ended::Badly(kind) => Ok(Some(Outcome::Failed { phase: Some(phase.to_owned()), kind })),
            Ended::Torn(reason) => Ok(Some(self.restart_in_copy(reason))),
            Ended::Well { .. } if is_last => Ok(None),
            Ended::Well { state, .. } => self.take_state(phase, &state),
        }
    }

    /// Does a step before the outputs move: takes what is there, or runs it.
    fn advance(
        &mut self,
        index: usize,
        phase: &str,
        planned: &Planned,
        is_last: bool,
        watch: &mut dyn Watch,
        cancel: &Cancel,
    ) -> Result<Option<Outcome>, Error> {
        let (mut judged, changes) = self.judge(index, phase, planned)?;
        if let Some(changes) = &changes {
            self.mark_differently(index, changes)?;
        }
        let mark = self.given.base.as_ref().ok().and_then(|base| base.mark);
        if judged.verdict == Verdict::Seed && mark.is_none() {
            // No file time is newer than all in the checkpoint and not in the future.
            judged.verdict = Verdict::Run;
        }
        if self.given.keeps {
            watch.step_judged(phase, &judged);
        }
        if matches!(judged.verdict, Verdict::Reuse | Verdict::Skip) {
            self.take(index, planned, judged.verdict);
            return Ok(None);
        }
        self.some_ran = true;
        let before = self.tree.clone();
        let seed = match (judged.verdict, &self.given.base, changes, mark) {
            (Verdict::Seed, Ok(base), Some(changes), Some(mark)) => {
                let onto = base.steps[index].tree.clone();
                let draft = self.given.layers.begin()?;
                let bottom = self.bottom.upper();
                let (now, after) = (paths(&before, bottom), paths(&onto, bottom));
                let changes = changes.to_apply(&now, &after)?;
                merge(&changes, &now, &after, draft.upper(), Path::new(""), mark)?;
                self.seeded = true;
                self.links_below = true;
                Some((onto, draft))
            }
            _ => None,
        };
        let is_seeded = seed.is_some();
        let draft = seed.map(|(onto, draft)| {
            self.tree = onto;
            draft
        });
        let command = self.command(planned);
        self.reveal(planned, &command);
        let (state, observed) = match self.step(Some(phase), &command, draft, watch, cancel)? {
            Ended::Badly(kind) => return Ok(Some(Outcome::Failed { phase: Some(phase.to_owned()), kind })),
            Ended::Torn(reason) => return Ok(Some(self.restart_in_copy(reason))),
            Ended::Well { state, observed } => (state, observed),
        };
        if phase == SETUP {
            let phases =
                read_phases(&state).map_err(|error| Error::io("read the phases from", &state, error))?;
            let Some(phases) = phases.filter(|phases| !phases.is_empty()) else {
                return Ok(Some(self.restart_whole(None)));
            };
            self.phases = phases;
        }
        if !is_last && let Some(outcome) = self.take_state(phase, &state)? {
            return Ok(Some(outcome));
        }
        let script = match (&self.shell, is_last) {
            (Some(shell), false) => shell.script.clone(),
            _ => Vec::new(),
        };
        if touched(planned, &script).is_some() {
            // It would have seen it, and may have read it, in a build that hides nothing.
            let mode = Mode { late: false, ..self.given.mode };
            return Ok(Some(Outcome::Restart { reason: None, mode }));
        }
        if self.given.keeps && !self.unreadable {
            let top = Rc::clone(self.tree.first().expect("the step just left a layer"));
            let below = match (&self.given.base, is_seeded) {
                (Ok(base), true) => base.newest,
                _ => self.kept.last().map_or(Timestamp { secs: 1, nanos: 0 }, |kept| kept.newest),
            };
            let Ok(newest) = newest(&top.path(), below) else {
                // Something in it is locked even for its owner. The build goes on; nobody can go on from it.
                self.unreadable = true;
                return Ok(None);
            };
            self.kept.push(Kept {
                recipe: planned.recipe.clone(),
                key: planned.key,
                state: script,
                tree: self.tree.clone(),
                newest,
                ran: true,
                own: (!is_seeded).then(|| vec![top]),
                // What it looked at in former builds counts, too, and was not all kept.
                observations: if is_seeded { Observations::everything() } else { observed },
            });
        }
        Ok(None)
    }

    /// Finds out what can be done with a step. With a verdict to seed it come the changes to apply.
    fn judge(
        &mut self,
        index: usize,
        phase: &str,
        planned: &Planned,
    ) -> Result<(Judged, Option<Rc<Changes>>), Error> {
        let base = match (&self.given.base, self.given.keeps) {
            (Ok(base), true) => base,
            (Err(unusable), _) => {
                let reason = if self.given.clean { Reason::Clean } else { Reason::Base(*unusable) };
                return Ok((Judged { verdict: Verdict::Run, reason }, None));
            }
            _ => return Ok((Judged { verdict: Verdict::Run, reason: Reason::Clean }, None)),
        };
        let Some(then) = base.steps.get(index) else {
            let reason = Reason::Base(Unusable::NotReached);
            return Ok((Judged { verdict: Verdict::Run, reason }, None));
        };
        if let Some(difference) = planned.recipe.difference(&then.recipe) {
            return Ok((Judged { verdict: Verdict::Run, reason: Reason::Recipe(difference) }, None));
        }
        let (tree_then, state_then) = match index.checked_sub(1) {
            Some(before) => (&base.steps[before].tree, &base.steps[before].state[..]),
            None => (&base.source, &b""[..]),
        };
        let changes = match (&self.sources, self.some_ran) {
            (Some(sources), false) => Rc::clone(sources),
            _ => {
                let bottom = self.bottom.upper();
                let (then, now) = if self.some_ran {
                    (paths(tree_then, bottom), paths(&self.tree, bottom))
                } else {
                    (paths(&base.source, bottom), paths(&self.given.source, bottom))
                };
                let changes = Rc::new(Changes::between(&then, &now)?);
                if !self.some_ran {
                    self.sources = Some(Rc::clone(&changes));
                }
                changes
            }
        };
        let effect = changes.effect(&then.observations);
        let state_now = self.kept.last().map_or(&b""[..], |kept| &kept.state[..]);
        let (before, sources) = if self.some_ran {
            let same_state = state_now == state_then;
            (Before::SomeRan { same_state, tree: effect }, Effect::Unchanged)
        } else {
            (Before::AllKept, effect)
        };
        let step = Step { phase: Some(phase.to_owned()), placement: Placement::Scratch };
        let seedable = Seedable::default().allows(&step);
        let mut judged = judge(Facts {
            clean: self.given.clean,
            base: BaseStep::Succeeded,
            recipe: None,
            before,
            sources,
            seedable,
            outputs_written: seedable && self.has_outputs(&then.tree)?,
            chain: Chain { depth: base.depth, limit: CHAIN_LIMIT },
        });
        if judged.verdict == Verdict::Skip && then.own.is_none() {
            // What it left cannot be told from what it was given.
            judged.verdict = if seedable && base.depth < CHAIN_LIMIT { Verdict::Seed } else { Verdict::Run };
        }
        if judged.verdict != Verdict::Seed {
            return Ok((judged, None));
        }
        // The changes of the sources alone are those of the tree only at its bottom.
        let changes = if self.some_ran {
            changes
        } else {
            let bottom = self.bottom.upper();
            Rc::new(Changes::between(&paths(tree_then, bottom), &paths(&self.tree, bottom))?)
        };
        Ok((judged, Some(changes)))
    }

    /// Sees to it that every tool sees the changes of a seeded step, by waiting if it has to be.
    fn mark_differently(&mut self, index: usize, changes: &Changes) -> Result<(), Error> {
        let bottom = self.bottom.upper();
        let Ok(base) = &mut self.given.base else { return Ok(()) };
        let Some(mark) = base.mark else { return Ok(()) };
        let (now, onto) = (paths(&self.tree, bottom), paths(&base.steps[index].tree, bottom));
        if changes.look_the_same(&now, &onto, mark, &base.canaries)? {
            base.wait_for_another_second();
        }
        Ok(())
    }

    /// Whether a tree has something where an output is to come.
    fn has_outputs(&self, tree: &Stack) -> Result<bool, Error> {
        let view = View::of_layers(&paths(tree, self.bottom.upper()), Path::new(TREE_STORE))?;
        for output in self.given.outputs {
            if view.metadata(Path::new(output.scratch.base_name()))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes what an earlier build left.
    fn take(&mut self, index: usize, planned: &Planned, verdict: Verdict) {
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
            ran: false,
        });
    }

    /// What a step runs, with everything where it lies now, and only what the step may see.
    fn command(&self, planned: &Planned) -> Command {
        let mut env = self.placed().env;
        for (name, stand_in) in &planned.hidden {
            match stand_in {
                Some(text) => _ = env.insert(name.clone(), text.to_vec()),
                None => _ = env.remove(name),
            }
        }
        Command { args: planned.command.args.clone(), env }
    }

    /// Makes what becomes visible with a step known to its shell.
    fn reveal(&mut self, planned: &Planned, command: &Command) {
        let Some(shell) = &mut self.shell else { return };
        for name in &planned.revealed {
            if let Some(value) = command.env.get(name) {
                shell.reveal(name, value);
            }
        }
    }

    /// Takes over what the phase left in its shell, unless it cannot be taken over.
    fn take_state(&mut self, phase: &str, dir: &Path) -> Result<Option<Outcome>, Error> {
        let phase = phase.to_owned();
        match ShellState::read(dir).map_err(|error| Error::io("read the shell state in", dir, error))? {
            Dump::Missing => Ok(Some(self.restart_whole(Some(RestartReason::LostState { phase })))),
            Dump::Complete { survivors: true, .. } => {
                Ok(Some(self.restart_whole(Some(RestartReason::SurvivingProcess { phase }))))
            }
            Dump::Complete { state, survivors: false } => {
                self.shell = Some(state);
                Ok(None)
            }
        }
    }

    fn restart_in_copy(&self, reason: RestartReason) -> Outcome {
        Outcome::Restart { reason: Some(reason), mode: Mode { copies: true, ..self.given.mode } }
    }

    fn restart_whole(&self, reason: Option<RestartReason>) -> Outcome {
        Outcome::Restart { reason, mode: Mode { phased: false, ..self.given.mode } }
    }

    /// Begins the layer of the first step that sees the outputs at their final paths: they lie there, with every
    /// occurrence of a scratch hash replaced, and a link leads there from each scratch path, which may still be
    /// written in the build tree.
    fn move_outputs(&self) -> Result<Result<Draft, RestartReason>, Error> {
        self.unlock(TREE_STORE)?;
        let given = &self.given;
        let draft = given.layers.begin()?;
        let store = draft.upper().join(TREE_STORE);
        fs::create_dir(&store).map_err(|error| Error::io("make the directory", &store, error))?;
        if let Some(source) = given.world.source {
            let point = store.join(source.paths.final_path.base_name());
            fs::create_dir(&point).map_err(|error| Error::io("make the directory", &point, error))?;
        }
        let options = MaterialiseOptions { substitute: substitutions(given.moved) };
        let store_dir = given.world.store.store_dir().as_str();
        let fragments = Fragments::new(store_dir, given.moved, given.world.inputs);
        for output in given.outputs {
            let scratch = output.scratch.base_name();
            let view = match View::of_layers(&self.tree(), &Path::new(TREE_STORE).join(scratch)) {
                Ok(view) => view,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error.into()),
            };
            let moved = store.join(output.final_path.base_name());
            materialise(&view, &moved, &options)?;
            if let Some(reason) = finish_rewriting(&moved, &fragments, output, given.moved)? {
                return Ok(Err(reason));
            }
            let target = given.world.store.store_dir().display(&output.final_path);
            let link = store.join(scratch);
            symlink(target, &link).map_err(|error| Error::io("make the link", &link, error))?;
        }
        Ok(Ok(draft))
    }
}

/// Whether a step, or one before it, puts something where the outputs are.
fn is_installing(step: &Step) -> bool {
    step.placement == Placement::Final || step.phase.as_deref() == Some("installPhase")
}

/// The set-up and all phases, each with the arguments of the driver.
pub(crate) fn phases_with_args(phases: &[String]) -> impl Iterator<Item = (&str, Vec<Vec<u8>>)> {
    let last = phases.len().saturating_sub(1);
    let each = phases.iter().enumerate().map(move |(index, phase)| {
        (phase.as_str(), driver_args(if index == last { "last" } else { "phase" }, Some(phase)))
    });
    std::iter::once((SETUP, driver_args("setup", None))).chain(each)
}

fn driver_args(action: &str, phase: Option<&str>) -> Vec<Vec<u8>> {
    ["-e", DRIVER, action].into_iter().chain(phase).map(|word| word.as_bytes().to_vec()).collect()
}

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

mod auditing;
mod judging;
mod kept;
mod moving;
mod step;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rekindle_layers::{Change, Draft, LayerId, LayerStore, Timestamp};
use rekindle_plan::audit::Rules;
use rekindle_plan::{Judged, Placement, Step, StepList, Unusable, Verdict};
use rekindle_sandbox::{Cancel, Sandbox};

use auditing::Made;
use kept::Kept;
use step::Ended;

use crate::base::Base;
use crate::checkpoint::Told;
use crate::copied::Copied;
use crate::error::Error;
use crate::event::{Audited, FailureKind, RestartReason, StepUsage};
use crate::host::Looks;
use crate::recipes::{Planned, Recipes, SETUP, touched};
use crate::scratch::{OutputPaths, placed};
use crate::shell_state::{Dump, ShellState, is_switch, read_phases};
use crate::tree::{Changes, Stack, paths};
use crate::unlock::unlock;
use crate::world::{Command, DRIVER, World};

/// The phase that puts something where the outputs are.
const INSTALL: &str = "installPhase";

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
    fn step_audited(&mut self, phase: &str, audited: &Audited);
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
    /// Whether each process is observed. Without it no step goes on from what it left.
    pub(crate) observes: bool,
    /// By which rules a step is audited that went on.
    pub(crate) rules: Rules,
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
    /// Those that come after the one that runs, if it can tell whether they are off.
    rest: Vec<String>,
    kept: Vec<Kept>,
    /// What became of the steps so far that were judged.
    told: Vec<Told>,
    /// Whether a step left something that cannot be read, so that it and what comes after it is not kept.
    unreadable: bool,
    /// Whether a step ran, seeded or not.
    some_ran: bool,
    seeded: bool,
    /// What differs before the first step, as long as no step ran.
    sources: Option<Rc<Changes>>,
    /// What the steps that ran looked at of the host, if that is known.
    looks: Option<Looks>,
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
            rest: Vec::new(),
            kept: Vec::new(),
            told: Vec::new(),
            unreadable: false,
            some_ran: false,
            seeded: false,
            sources: None,
            looks: Some(Looks::default()),
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
            // A switch that is not visible yet may put one of them on.
            let may_switch =
                planned[index + 2..].iter().any(|later| later.revealed.iter().any(|name| is_switch(name)));
            self.rest = if may_switch { Vec::new() } else { phases[index + 1..].to_vec() };
            if let Some(outcome) =
                self.run_phase(index + 1, step, &planned[index + 1], is_last, watch, cancel)?
            {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Built)
    }

    /// What the steps that ran looked at of the host, if that is known.
    pub(crate) fn looks(&self) -> Option<&Looks> {
        self.looks.as_ref()
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
        // The last one ends the build, even where it does nothing else.
        if !is_last && self.shell.as_ref().is_some_and(|shell| shell.is_off(phase, &planned.revealed)) {
            self.pass_over(step, planned);
            return Ok(None);
        }
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
            self.told.push(told(phase, &judged));
        }
        if matches!(judged.verdict, Verdict::Reuse | Verdict::Skip) {
            self.take(index, planned, judged.verdict);
            return Ok(None);
        }
        self.some_ran = true;
        let command = self.command(planned);
        self.reveal(planned, &command);
        let ended = match (judged.verdict, changes, mark) {
            (Verdict::Seed, Some(changes), Some(mark)) => {
                self.go_on(index, (phase, &command), (&changes, mark), watch, cancel)?
            }
            _ => self.step(Some(phase), &command, None, watch, cancel)?.map(Made::clean),
        };
        let (state, made) = match ended {
            Ended::Badly(kind) => return Ok(Some(Outcome::Failed { phase: Some(phase.to_owned()), kind })),
            Ended::Torn(reason) => return Ok(Some(self.restart_in_copy(reason))),
            Ended::Well { state, seen } => (state, seen),
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
        // What is installed after a seeded step would make a checkpoint as large again, and nobody watched how it came
        // about: there is hardly a build that could do without installing.
        if !(self.seeded && phase == INSTALL) {
            self.note(planned, script, made);
        }
        Ok(None)
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
            // Only who was told what comes after may know that nothing does.
            Dump::Ended if self.placement == Placement::Final && !self.rest.is_empty() => {
                Ok(Some(Outcome::Built))
            }
            Dump::Missing | Dump::Ended => {
                Ok(Some(self.restart_whole(Some(RestartReason::LostState { phase }))))
            }
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
}

fn told(phase: &str, judged: &Judged) -> Told {
    Told {
        phase: phase.to_owned(),
        verdict: judged.verdict.to_string(),
        reason: judged.reason.name().to_owned(),
        why: judged.reason.to_string(),
        ..Told::default()
    }
}

/// Whether a step, or one before it, puts something where the outputs are.
fn is_installing(step: &Step) -> bool {
    step.placement == Placement::Final || step.phase.as_deref() == Some(INSTALL)
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

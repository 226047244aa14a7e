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
mod phases;
mod step;
mod times;
mod unfinished;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use rekindle_layers::{Change, Draft, LayerId, LayerStore, Survey, Timestamp};
use rekindle_plan::audit::Rules;
use rekindle_plan::{Judged, Placement, Unusable};
use rekindle_sandbox::Sandbox;

use kept::Kept;
pub(crate) use phases::phases_with_args;

use crate::base::Base;
use crate::checkpoint::Told;
use crate::copied::Copied;
use crate::error::Error;
use crate::event::{Audited, FailureKind, Progress, RestartReason, StepUsage};
use crate::host::Looks;
use crate::listing_order;
use crate::mounted::Mounted;
use crate::recipes::Recipes;
use crate::scratch::{OutputPaths, placed};
use crate::shell_state::ShellState;
use crate::tree::{Changes, Stack, layer_paths, paths};
use crate::unlock::unlock;
use crate::world::{Command, World};

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
    /// What lies below even that where processes see the layers, and nowhere else.
    order: Option<Draft>,
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
    /// Why a step that went on and failed may not fail in a clean build.
    doubt: Option<String>,
    /// What became of what the step that failed had built.
    progress: Progress,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(given: Given<'a>) -> Result<Self, Error> {
        let bottom = given.layers.begin()?;
        given
            .world
            .make_base(bottom.upper(), given.mode.is_kept())
            .map_err(|error| Error::io("prepare the build in", bottom.upper(), error))?;
        let parts = |source: &Mounted| source.parts(&layer_paths(&given.source));
        let order = match given.world.source {
            // Elsewhere the source does not lie in the tree, and nothing would stand above the names.
            Some(source) if given.mode.is_kept() => {
                listing_order::layer(source, &parts(source), given.layers)?
            }
            _ => None,
        };
        Ok(Attempt {
            bottom,
            order,
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
            doubt: None,
            progress: Progress::None,
            given,
        })
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

    /// Why what failed may end well if nothing is taken from an earlier build, in a clause; nothing if it would not. What comes
    /// after a step that went on and ended well finds what it would find in a clean build.
    pub(crate) fn doubt(&self) -> Option<&str> {
        self.doubt.as_deref()
    }

    /// Whether anything was taken from an earlier build.
    pub(crate) fn base_id(&self) -> Option<&str> {
        self.given.base.as_ref().ok().map(|base| base.id.as_str())
    }

    /// What the layers of the base amount to.
    pub(crate) fn base_surveys(&self) -> Option<&BTreeMap<LayerId, Survey>> {
        self.given.base.as_ref().ok().map(|base| &base.surveys)
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
}

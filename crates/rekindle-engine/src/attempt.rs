//! One attempt at building a derivation: its steps, one after the other, each on the layers of those before.
//!
//! An attempt may end in a result, or in the finding that it has to be made another way: as one step instead of
//! phase by phase, or with the outputs at their final paths from the start. Who called it decides.
//!
//! The layers of an attempt are drafts for as long as nothing keeps them: they live and go with the attempt, and the
//! death of the process leaves them to the next sweep.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rekindle_layers::{Draft, LayerStore, MaterialiseOptions, View, materialise};
use rekindle_plan::{Placement, Step, StepList};
use rekindle_sandbox::{Cancel, Sandbox, Status};

use crate::error::Error;
use crate::event::{FailureKind, RestartReason, StepUsage};
use crate::rewriting::{substitutions, unreachable_by_rewriting};
use crate::scratch::{OutputPaths, placed};
use crate::shell_state::{Dump, ShellState, read_phases};
use crate::unlock::unlock;
use crate::world::{Command, DRIVER, StepDirs, TREE_STORE, World};

/// The step before the first phase: `$stdenv/setup` itself.
const SETUP: &str = "setup";

/// How an attempt goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    /// Phase by phase, each in a shell of its own.
    pub(crate) phased: bool,
    /// With the outputs at their final paths from the start.
    pub(crate) exact: bool,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All steps ended well.
    Built,
    /// A step did not.
    Failed { phase: Option<String>, kind: FailureKind },
    /// It has to be made in another mode. Without a reason there is nothing to say about it: the set-up of the
    /// derivation does not name its phases.
    Restart { reason: Option<RestartReason>, mode: Mode },
}

/// What an attempt tells while it goes on.
pub(crate) trait Watch {
    fn steps(&mut self, phases: &[String]);
    fn step_started(&mut self, phase: Option<&str>);
    fn output(&mut self, bytes: &[u8]);
    fn step_finished(&mut self, phase: Option<&str>, usage: StepUsage);
}

/// One attempt.
pub(crate) struct Attempt<'a> {
    world: &'a World<'a>,
    layers: &'a LayerStore,
    sandbox: &'a Sandbox,
    outputs: &'a [OutputPaths],
    mode: Mode,
    /// What lies below all layers.
    base: Draft,
    /// Directories for the shell state, one for each step.
    states: Draft,
    steps_run: usize,
    /// What each step changed, oldest first. Nothing writes to it once its step is over.
    stack: Vec<Draft>,
    /// What the failed step left, where one failed.
    failed: Option<Draft>,
    shell: Option<ShellState>,
    placement: Placement,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(
        world: &'a World<'a>,
        layers: &'a LayerStore,
        sandbox: &'a Sandbox,
        outputs: &'a [OutputPaths],
        mode: Mode,
    ) -> Result<Self, Error> {
        let base = layers.begin()?;
        world
            .make_base(base.upper())
            .map_err(|error| Error::io("prepare the build in", base.upper(), error))?;
        Ok(Attempt {
            world,
            layers,
            sandbox,
            outputs,
            mode,
            base,
            states: layers.begin()?,
            steps_run: 0,
            stack: Vec::new(),
            failed: None,
            shell: None,
            placement: if mode.exact { Placement::Final } else { Placement::Scratch },
        })
    }

    /// Runs all steps.
    pub(crate) fn run(&mut self, watch: &mut dyn Watch, cancel: &Cancel) -> Result<Outcome, Error> {
        if !self.mode.phased {
            return self.step(None, self.placed(), None, watch, cancel).map(|ended| match ended {
                Ended::Well { .. } => Outcome::Built,
                Ended::Badly(kind) => Outcome::Failed { phase: None, kind },
            });
        }
        let phases = match self.run_setup(watch, cancel)? {
            Ok(phases) => phases,
            Err(outcome) => return Ok(outcome),
        };
        watch.steps(&phases);
        let list = StepList::phased(&phases, self.mode.exact);
        for (index, step) in list.steps().iter().enumerate() {
            let is_last = index + 1 == list.steps().len();
            if let Some(outcome) = self.run_phase(step, is_last, watch, cancel)? {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Built)
    }

    /// Where the outputs lie now.
    pub(crate) fn placement(&self) -> Placement {
        self.placement
    }

    /// The directories whose stack is the tree now, topmost first.
    pub(crate) fn tree(&self) -> Vec<PathBuf> {
        let drafts = self.failed.iter().chain(self.stack.iter().rev()).chain([&self.base]);
        drafts.map(|draft| draft.upper().to_owned()).collect()
    }

    /// Makes what the steps left below `sub` of the tree readable, whatever they locked.
    pub(crate) fn unlock(&self, sub: &str) -> Result<(), Error> {
        for draft in self.failed.iter().chain(&self.stack) {
            let root = draft.upper().join(sub);
            unlock(&root).map_err(|error| Error::io("make readable", &root, error))?;
        }
        Ok(())
    }

    /// The environment of the builder, for someone who looks closer at a build that failed.
    pub(crate) fn environment(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.placed().env
    }

    fn placed(&self) -> Command {
        placed(self.world.drv, self.outputs, self.world.store.store_dir(), self.placement)
    }

    fn run_setup(
        &mut self,
        watch: &mut dyn Watch,
        cancel: &Cancel,
    ) -> Result<Result<Vec<String>, Outcome>, Error> {
        let command = self.driver(&["setup"]);
        match self.step(Some(SETUP), command, None, watch, cancel)? {
            Ended::Badly(kind) => Ok(Err(Outcome::Failed { phase: Some(SETUP.to_owned()), kind })),
            Ended::Well { state } => {
                let phases =
                    read_phases(&state).map_err(|error| Error::io("read the phases from", &state, error))?;
                let Some(phases) = phases.filter(|phases| !phases.is_empty()) else {
                    return Ok(Err(self.restart_whole(None)));
                };
                Ok(self.take_state(SETUP, &state)?.map_or(Ok(phases), Err))
            }
        }
    }

    fn run_phase(
        &mut self,
        step: &Step,
        is_last: bool,
        watch: &mut dyn Watch,
        cancel: &Cancel,
    ) -> Result<Option<Outcome>, Error> {
        let phase = step.phase.as_deref().expect("a phased list has named phases");
        let moves = step.placement != self.placement;
        if moves {
            for output in self.outputs {
                let (from, to) = (output.scratch.hash_part(), output.final_path.hash_part());
                if let Some(shell) = &mut self.shell {
                    shell.substitute(from.as_bytes(), to.as_bytes());
                }
            }
        }
        let draft = match moves {
            false => None,
            true => match self.move_outputs()? {
                Ok(draft) => Some(draft),
                Err(reason) => {
                    let mode = Mode { exact: true, ..self.mode };
                    return Ok(Some(Outcome::Restart { reason: Some(reason), mode }));
                }
            },
        };
        self.placement = step.placement;
        let command = self.driver(&[if is_last { "last" } else { "phase" }, phase]);
        match self.step(Some(phase), command, draft, watch, cancel)? {
            Ended::Badly(kind) => Ok(Some(Outcome::Failed { phase: Some(phase.to_owned()), kind })),
            Ended::Well { .. } if is_last => Ok(None),
            Ended::Well { state } => self.take_state(phase, &state),
        }
    }

    fn driver(&self, words: &[&str]) -> Command {
        let args = ["-e", DRIVER].iter().chain(words).map(|word| word.as_bytes().to_vec()).collect();
        Command { args, ..self.placed() }
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

    fn restart_whole(&self, reason: Option<RestartReason>) -> Outcome {
        Outcome::Restart { reason, mode: Mode { phased: false, ..self.mode } }
    }

    /// Begins the layer of the first step that sees the outputs at their final paths: they lie there, with every
    /// occurrence of a scratch hash replaced, and a link leads there from each scratch path, which may still be
    /// written in the build tree.
    fn move_outputs(&self) -> Result<Result<Draft, RestartReason>, Error> {
        self.unlock(TREE_STORE)?;
        let draft = self.layers.begin()?;
        let store = draft.upper().join(TREE_STORE);
        fs::create_dir(&store).map_err(|error| Error::io("make the directory", &store, error))?;
        let options = MaterialiseOptions { substitute: substitutions(self.outputs) };
        for output in self.outputs {
            let scratch = output.scratch.base_name();
            let view = match View::of_layers(&self.tree(), &Path::new(TREE_STORE).join(scratch)) {
                Ok(view) => view,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error.into()),
            };
            let moved = store.join(output.final_path.base_name());
            let store_dir = self.world.store.store_dir().as_str();
            materialise(&view, &moved, &options)?;
            if let Some(reason) = unreachable_by_rewriting(&moved, store_dir, output, self.outputs)? {
                return Ok(Err(reason));
            }
            let target = self.world.store.store_dir().display(&output.final_path);
            let link = store.join(scratch);
            symlink(target, &link).map_err(|error| Error::io("make the link", &link, error))?;
        }
        Ok(Ok(draft))
    }

    fn step(
        &mut self,
        phase: Option<&str>,
        command: Command,
        prepared: Option<Draft>,
        watch: &mut dyn Watch,
        cancel: &Cancel,
    ) -> Result<Ended, Error> {
        let draft = match prepared {
            Some(draft) => draft,
            None => self.layers.begin()?,
        };
        let state = self.states.upper().join(self.steps_run.to_string());
        self.steps_run += 1;
        fs::create_dir(&state).map_err(|error| Error::io("make the directory", &state, error))?;
        if let Some(shell) = &self.shell {
            shell.write(&state).map_err(|error| Error::io("write the shell state to", &state, error))?;
        }
        let dirs = StepDirs {
            lowers: self.tree(),
            upper: draft.upper().to_owned(),
            work: draft.work().to_owned(),
            state: state.clone(),
        };
        let spec = self
            .world
            .spec(command, dirs)
            .map_err(|error| Error::environment("cannot prepare the sandbox").caused_by(error))?;
        watch.step_started(phase);
        let exit = self
            .sandbox
            .run(&spec, &mut |bytes| watch.output(bytes), cancel)
            .map_err(|error| Error::environment("cannot run the builder in a sandbox").caused_by(error))?;
        let usage = exit.usage;
        let cpu = usage.user + usage.system;
        watch.step_finished(phase, StepUsage { wall: usage.wall, cpu, peak_rss: usage.peak_rss_bytes });
        let kind = match exit.status {
            Status::Code(0) => {
                self.stack.push(draft);
                return Ok(Ended::Well { state });
            }
            Status::Code(code) => FailureKind::Exit(code),
            Status::Signal(signal) => FailureKind::Signal(signal),
            Status::TimedOut => FailureKind::TimedOut(self.world.limits.time.unwrap_or_default()),
            Status::Silent => FailureKind::Silent(self.world.limits.idle.unwrap_or_default()),
            Status::Cancelled => FailureKind::Cancelled,
        };
        self.failed = Some(draft);
        Ok(Ended::Badly(kind))
    }
}

enum Ended {
    Well { state: PathBuf },
    Badly(FailureKind),
}

//! The steps of an attempt, one after the other: which shell each gets, and what becomes of what it leaves there.

use std::path::Path;

use rekindle_plan::{Judged, Placement, Step, StepList, Verdict};
use rekindle_sandbox::Cancel;

use super::auditing::Made;
use super::step::Ended;
use super::{Attempt, INSTALL, Mode, Outcome, Watch};
use crate::checkpoint::Told;
use crate::error::Error;
use crate::event::RestartReason;
use crate::recipes::{Planned, SETUP, touched};
use crate::shell_state::{Dump, ShellState, is_switch, read_phases};
use crate::world::{Command, DRIVER};

impl Attempt<'_> {
    /// Runs all steps.
    pub(crate) fn run(&mut self, watch: &mut dyn Watch, cancel: &Cancel) -> Result<Outcome, Error> {
        if !self.given.mode.phased {
            return self.step(None, &self.placed(), None, watch, cancel).map(|ended| match ended {
                Ended::Well { .. } => Outcome::Built,
                Ended::Torn(reason) => self.restart_in_copy(reason),
                Ended::Badly { kind, .. } => Outcome::Failed { phase: None, kind },
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
            Ended::Badly { kind, .. } => Ok(Some(Outcome::Failed { phase: Some(phase.to_owned()), kind })),
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
            Ended::Badly { kind, seen } => {
                if self.doubt.is_none() {
                    self.keep_failed(phase, planned, seen)?;
                }
                return Ok(Some(Outcome::Failed { phase: Some(phase.to_owned()), kind }));
            }
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
    pub(super) fn command(&self, planned: &Planned) -> Command {
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
    pub(super) fn reveal(&mut self, planned: &Planned, command: &Command) {
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

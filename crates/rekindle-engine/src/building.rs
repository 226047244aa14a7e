//! One derivation, built: attempts until one ends in outputs or in a failure that counts.
//!
//! Most take one attempt. Another follows where one finds that it has to go another way: without phases, at the final
//! paths, or without anything of an earlier build. Each way is taken at most once, so this ends.

use std::cell::RefCell;

use rekindle_nix::{Derivation, DerivationKind, StorePath};
use rekindle_plan::{Judged, Unusable, Verdict};
use rekindle_sandbox::Limits;

use crate::attempt::{Attempt, Given, Mode, Outcome, Watch};
use crate::beside::beside;
use crate::canary;
use crate::copied::asks_for_copy;
use crate::error::Error;
use crate::event::{Audited, Event, Failure, FailureKind, Progress, RestartReason, StepUsage};
use crate::job::{Done, Job, Purpose};
use crate::mounted::{Mounted, speaks_in_files};
use crate::outputs::{Collected, Collector};
use crate::prepare::is_all_there;
use crate::transcript::Transcript;
use crate::world::{TREE_STORE, World};

/// A derivation that is being built, and how.
pub(crate) struct Building<'a> {
    job: &'a Job<'a>,
    collector: &'a Collector<'a>,
    world: World<'a>,
    mode: Mode,
    /// Whether nothing of an earlier build is taken.
    clean: bool,
    /// Whether all that a step sees is in its recipe.
    has_recipes: bool,
    /// Whether there was an attempt.
    began: bool,
}

/// What came of one attempt.
enum Turn {
    Over(Done),
    Again,
}

impl<'a> Building<'a> {
    pub(crate) fn new(
        job: &'a Job<'a>,
        collector: &'a Collector<'a>,
        inputs: &'a [StorePath],
        mounted: Option<&'a Mounted>,
    ) -> Result<Building<'a>, Error> {
        let drv = job.drv();
        let toolchain = job.engine.toolchain_for(drv, job.options)?;
        // Only what is checked against a hash may see the network, and it has only its final path.
        let fixed = drv.kind().is_ok_and(|kind| kind == DerivationKind::Fixed);
        let world = World {
            store: job.engine.store(),
            drv,
            inputs,
            toolchain,
            cores: job.options.cores,
            limits: Limits {
                time: job.options.time_limit,
                idle: job.options.idle_limit,
                ..Limits::default()
            },
            network: fixed,
            source: mounted,
        };
        let has_recipes = !speaks_in_files(drv);
        let mode = Mode {
            phased: job.options.phased && follows_phases(drv),
            exact: job.options.exact_path || fixed,
            late: has_recipes,
            copies: false,
        };
        let is_wrong =
            collector.outputs.iter().any(|output| collector.provenances.is_wrong(&output.final_path));
        if is_wrong && job.purpose == Purpose::Build {
            let name = &drv.name;
            let message =
                format!("{name} was found wrong, or what it was built with; it is built clean and replaced");
            job.tell(Event::Warning { message });
        }
        Ok(Building {
            job,
            collector,
            world,
            mode,
            clean: job.options.clean || is_wrong,
            has_recipes,
            began: false,
        })
    }

    /// The same, with the outputs at their final paths from the start.
    pub(crate) fn at_final_path(mut self) -> Self {
        self.mode.exact = true;
        self
    }

    pub(crate) fn run(mut self) -> Result<Done, Error> {
        let _in_use = self.job.engine.checkpoints().use_them()?;
        loop {
            if let Turn::Over(done) = self.attempt()? {
                return Ok(done);
            }
        }
    }

    fn attempt(&mut self) -> Result<Turn, Error> {
        let job = self.job;
        let log = job.engine.store().log_writer(job.drv_path())?;
        let transcript = Transcript::new(log, |line| {
            job.tell(Event::Output { drv: job.drv_path().clone(), line });
        });
        let mounted = self.world.source;
        let recipes = job.recipes(&self.world, self.collector.moved, self.mode);
        let can_keep = self.mode.is_kept() && self.has_recipes;
        if job.purpose == Purpose::Prepare && !can_keep {
            let what =
                "its phases do not run one by one, so nothing of it can be kept before it is installed";
            return Ok(Turn::Over(Done::failed(FailureKind::Refused(what.to_owned()))));
        }
        let keeps = can_keep && job.purpose != Purpose::Verify;
        let base = match (job.named_base(), keeps, self.clean) {
            (Some(named), _, false) => match job.take_named(named, keeps, &recipes) {
                Ok(base) => Ok(base),
                // It was the base of an attempt that found that it has to go another way.
                Err(_) if self.began => Err(Unusable::Absent),
                Err(why) => {
                    let mode = Mode { late: false, ..self.mode };
                    let seen = job.recipes(&self.world, self.collector.moved, mode);
                    if self.mode.late && job.take_named(named, keeps, &seen).is_ok() {
                        // It was made by a build that came to hide nothing.
                        self.mode = mode;
                        return Ok(Turn::Again);
                    }
                    return Ok(Turn::Over(Done::failed(FailureKind::UnusableBase(why))));
                }
            },
            (None, true, false) => job.choose_base(&recipes, mounted),
            _ => Err(Unusable::Absent),
        };
        self.began = true;
        let began = canary::now();
        let source = match mounted {
            Some(mounted) => job.source_layers(mounted, base.as_ref().ok())?,
            None => Vec::new(),
        };
        let mut attempt = Attempt::new(Given {
            world: &self.world,
            layers: job.engine.layers(),
            sandbox: job.engine.sandbox(),
            outputs: self.collector.outputs,
            moved: self.collector.moved,
            recipes: &recipes,
            mode: self.mode,
            clean: self.clean,
            keeps,
            observes: job.options.observe && job.purpose != Purpose::Verify,
            rules: job.options.rules,
            prepares: job.purpose == Purpose::Prepare,
            base,
            source,
            copies: job.engine.cannot_stack() || asks_for_copy(self.world.drv),
        })?;
        let mut watcher = Watcher { job, transcript: RefCell::new(transcript), verdicts: RefCell::default() };
        let outcome = attempt.run(&mut watcher, job.cancel);
        let (log, tail) = watcher.transcript.into_inner().finish()?;
        let verdicts = watcher.verdicts.into_inner();
        let failure = |phase, kind, tail, progress| -> Result<Turn, Error> {
            let kept = if job.options.keep_failed { Some(job.keep_tree(&attempt)?) } else { None };
            Ok(Turn::Over(Done::Failed(Failure { phase, kind, tail, log: Some(log), kept, progress })))
        };
        let outcome = match outcome {
            Err(error) if attempt.base_id().is_some() => {
                let base = attempt.base_id().unwrap_or_default();
                let message = format!(
                    "the checkpoint {base} cannot be gone on from: {}; building clean",
                    error.one_line()
                );
                job.tell(Event::Warning { message });
                self.clean = true;
                return Ok(Turn::Again);
            }
            outcome => outcome?,
        };
        let counts = job.purpose != Purpose::Verify && !matches!(outcome, Outcome::Restart { .. });
        let toolchain = self.world.toolchain.filter(|_| counts);
        let (hosts, package, looks) = (job.engine.hosts(), job.package(), attempt.looks().cloned());
        // It has to be there before anything that the attempt made counts.
        let note = || toolchain.map_or(Ok(()), |toolchain| hosts.note(&package, toolchain, looks, began));
        match outcome {
            Outcome::Restart { reason, mode } => {
                self.mode = mode;
                if let Some(reason) = reason {
                    job.restarted(reason);
                }
                Ok(Turn::Again)
            }
            Outcome::Failed { phase, kind } => {
                note()?;
                if let Some(why) = attempt.doubt().filter(|_| kind != FailureKind::Cancelled) {
                    let (phase, why) = (phase.unwrap_or_default(), why.to_owned());
                    return Ok(self.without_seed(RestartReason::SeedFailed { phase, why, tail }));
                }
                // To be looked at, its layers are made readable, and so are not what the steps left.
                let is_kept = keeps
                    && !job.options.keep_failed
                    && job.checkpoint(&attempt, mounted, Some(phase.clone().unwrap_or_default()));
                let progress = match attempt.progress() {
                    Progress::Kept if !is_kept => Progress::None,
                    progress => progress.clone(),
                };
                failure(phase, kind, tail, progress)
            }
            Outcome::Built if job.purpose == Purpose::Prepare => {
                note()?;
                job.tell_taken(&attempt, &verdicts);
                let there = attempt.base_id().filter(|_| is_all_there(&verdicts)).map(str::to_owned);
                let existed = there.is_some();
                let checkpoint = match there {
                    Some(there) => there,
                    None => job.keep(&attempt, mounted, None)?,
                };
                Ok(Turn::Over(Done::Prepared { checkpoint, existed }))
            }
            Outcome::Built => {
                attempt.unlock(TREE_STORE)?;
                let (tree, placement) = (attempt.tree(), attempt.placement());
                let canaries = attempt.canaries();
                let exact = self.mode.exact;
                let collected = match job.purpose {
                    Purpose::Verify => match self.collector.stage(&tree, placement, exact, &canaries)? {
                        Ok(staged) => return Ok(Turn::Over(Done::Staged(staged))),
                        Err(collected) => collected,
                    },
                    _ => {
                        let take = || self.collector.take_from_tree(&tree, placement, exact, &canaries);
                        let (noted, taken) = beside(note, take);
                        // What was taken counts only when it is registered.
                        noted?;
                        taken?
                    }
                };
                match collected {
                    Collected::Installed(installed) => {
                        if keeps {
                            job.tell_taken(&attempt, &verdicts);
                            job.checkpoint(&attempt, mounted, None);
                        }
                        job.note_provenance(&installed, &attempt, &verdicts)?;
                        Ok(Turn::Over(Done::Installed(installed.new)))
                    }
                    Collected::Failed(kind) if attempt.is_seeded() && kind != FailureKind::Cancelled => {
                        Ok(self.without_seed(RestartReason::SeedFailed {
                            phase: String::new(),
                            why: "its outputs are not right".to_owned(),
                            tail: Vec::new(),
                        }))
                    }
                    Collected::Failed(kind) => failure(None, kind, tail, Progress::None),
                    Collected::Restart(reason) => {
                        match reason {
                            RestartReason::TimeInOutput { .. } => self.clean = true,
                            _ => self.mode.exact = true,
                        }
                        job.restarted(reason);
                        Ok(Turn::Again)
                    }
                }
            }
        }
    }

    /// What failed may not fail without what an earlier build left.
    fn without_seed(&mut self, reason: RestartReason) -> Turn {
        self.job.restarted(reason);
        self.clean = true;
        Turn::Again
    }
}

struct Watcher<'a> {
    job: &'a Job<'a>,
    transcript: RefCell<Transcript<'a>>,
    /// What became of each step.
    verdicts: RefCell<Vec<Verdict>>,
}

impl Watch for Watcher<'_> {
    fn steps(&mut self, phases: &[String]) {
        self.job.tell(Event::Steps { drv: self.job.drv_path().clone(), phases: phases.to_vec() });
    }

    fn step_judged(&mut self, phase: &str, judged: &Judged) {
        self.verdicts.borrow_mut().push(judged.verdict);
        let verdict = match judged.verdict {
            Verdict::Reuse => "reuse",
            Verdict::Skip => "skip",
            Verdict::Seed => "seed",
            Verdict::Run => "run",
        };
        self.job.tell(Event::StepJudged {
            drv: self.job.drv_path().clone(),
            phase: phase.to_owned(),
            verdict,
            reason: judged.reason.name(),
            why: judged.reason.to_string(),
        });
    }

    fn step_audited(&mut self, phase: &str, audited: &Audited) {
        if audited.is_clean
            && let Some(verdict) = self.verdicts.borrow_mut().last_mut()
        {
            *verdict = Verdict::Run;
        }
        let (drv, phase) = (self.job.drv_path().clone(), phase.to_owned());
        self.job.tell(Event::Audited { drv, phase, audited: audited.clone() });
    }

    fn step_started(&mut self, phase: Option<&str>) {
        let phase = phase.map(str::to_owned);
        self.job.tell(Event::StepStarted { drv: self.job.drv_path().clone(), phase });
    }

    fn cannot_stack(&mut self, why: &str) {
        if self.job.engine.note_cannot_stack() {
            let message = format!("{why}; builds work in copies of their trees, which takes longer");
            self.job.tell(Event::Warning { message });
        }
    }

    fn output(&mut self, bytes: &[u8]) {
        self.transcript.borrow_mut().write(bytes);
    }

    fn step_finished(&mut self, phase: Option<&str>, usage: StepUsage) {
        let phase = phase.map(str::to_owned);
        self.job.tell(Event::StepFinished { drv: self.job.drv_path().clone(), phase, usage });
    }
}
/// Whether a derivation follows stdenv's protocol without changes of its own: its builder is bash, which sources
/// `$stdenv/setup` and calls `genericBuild`. A custom builder script may do anything in between, and a
/// `buildCommand` has no phases.
fn follows_phases(drv: &Derivation) -> bool {
    let has = |name: &str| drv.env.get(name.as_bytes()).is_some_and(|value| !value.is_empty());
    let is_bash = drv.builder.ends_with(b"/bash");
    // Ours lies in the same directory as `setup`, that of nixpkgs is a store path of its own.
    let is_default = drv.args.last().is_some_and(|script| {
        script.ends_with(b"/default-builder.sh") || script.ends_with(b"-default-builder.sh")
    });
    is_bash && is_default && has("stdenv") && !has("buildCommand") && !has("buildCommandPath")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_stdenv_without_changes_has_phases() {
        let check = |builder: &str, args: &[&str], env: &[(&str, &str)], expected| {
            let env: BTreeMap<Vec<u8>, Vec<u8>> = env
                .iter()
                .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
                .collect();
            let drv = Derivation {
                name: rekindle_nix::StorePathName::new("x").expect("a name"),
                outputs: BTreeMap::new(),
                input_drvs: BTreeMap::new(),
                input_srcs: std::collections::BTreeSet::new(),
                system: b"x86_64-linux".to_vec(),
                builder: builder.into(),
                args: args.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
                env,
            };
            assert_eq!(follows_phases(&drv), expected, "{builder} {args:?}");
        };
        let default = &["-e", "/nix/store/8csd16i46h5njyb3wj4k4i0s4z6hd6np-default-builder.sh"];
        let stdenv = ("stdenv", "/nix/store/8csd16i46h5njyb3wj4k4i0s4z6hd6np-stdenv");
        check("/bin/bash", default, &[stdenv], true);
        let ours = &["-e", "/nix/store/8csd16i46h5njyb3wj4k4i0s4z6hd6np-stdenv/default-builder.sh"];
        check("/bin/bash", ours, &[stdenv], true);
        check(
            "/bin/bash",
            &["-e", "/nix/store/8csd16i46h5njyb3wj4k4i0s4z6hd6np-builder.sh"],
            &[stdenv],
            false,
        );
        check("/bin/bash", default, &[], false);
        check("/bin/bash", default, &[stdenv, ("buildCommand", "mkdir $out")], false);
        check("/bin/python", default, &[stdenv], false);
    }
}

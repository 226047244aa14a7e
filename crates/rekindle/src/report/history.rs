//! What happened in a build, derivation by derivation.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rekindle_engine::{Audited, BuildResult, Event, RestartReason, StepUsage, Taken};
use rekindle_nix::StorePath;

/// What comes before all phases.
const FIRST_STEP: &str = "setup";

/// All that events said, in the order in which derivations began.
#[derive(Debug, Default)]
pub(crate) struct History {
    builds: Vec<Build>,
    places: HashMap<StorePath, usize>,
    warnings: Vec<String>,
}

/// What happened to one derivation.
#[derive(Debug)]
pub(crate) struct Build {
    /// Which.
    pub(crate) drv: StorePath,
    /// Its finished steps, those before a restart included.
    pub(crate) steps: Vec<Step>,
    /// What became of its steps, in the attempt that counts.
    pub(crate) verdicts: Vec<Judged>,
    /// What was taken from an earlier build, in the end.
    pub(crate) taken: Option<Taken>,
    /// What the audits found, with the phases.
    pub(crate) audits: Vec<(String, Audited)>,
    /// Why it began again, each time.
    pub(crate) restarts: Vec<RestartReason>,
    /// How it ended, and after how long.
    pub(crate) end: Option<(BuildResult, Duration)>,
    /// From the begin of the attempt that counts to its first step: finding a checkpoint, comparing, restoring.
    pub(crate) restore: Option<Duration>,
    /// From the end of the last step to the end of all: capturing, searching and registering the outputs.
    pub(crate) capture: Option<Duration>,
    /// When it began.
    began: Option<Instant>,
    /// When the attempt began, or its last step ended.
    mark: Option<Instant>,
}

/// What became of a step, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// The phase.
    pub(crate) phase: String,
    /// The name of the verdict.
    pub(crate) verdict: &'static str,
    /// The name of the reason.
    pub(crate) reason: &'static str,
    /// The reason in words.
    pub(crate) why: String,
}

/// A finished step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The phase, if the derivation has phases.
    pub(crate) phase: Option<String>,
    /// When it began, from the begin of the derivation.
    pub(crate) at: Duration,
    /// What it took.
    pub(crate) usage: StepUsage,
}

impl History {
    /// Takes note of an event.
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::Started { drv, .. } => {
                let build = self.build(drv);
                (build.began, build.mark) = (Some(Instant::now()), Some(Instant::now()));
            }
            Event::Waiting { drv } => {
                self.build(drv);
            }
            Event::StepStarted { drv, .. } => {
                let build = self.build(drv);
                if build.restore.is_none() {
                    build.restore = build.mark.map(|mark| mark.elapsed());
                }
            }
            Event::StepFinished { drv, phase, usage } => {
                let build = self.build(drv);
                let ended = build.began.map(|began| began.elapsed()).unwrap_or_default();
                let at = ended.saturating_sub(usage.wall);
                build.steps.push(Step { phase: phase.clone(), at, usage: *usage });
                build.mark = Some(Instant::now());
            }
            Event::StepJudged { drv, phase, verdict, reason, why } => {
                let (phase, why) = (phase.clone(), why.clone());
                let verdicts = &mut self.build(drv).verdicts;
                if phase == FIRST_STEP {
                    // Another attempt begins.
                    verdicts.clear();
                }
                verdicts.push(Judged { phase, verdict, reason, why });
            }
            Event::Audited { drv, phase, audited } => {
                let build = self.build(drv);
                if let Some(judged) = build.verdicts.last_mut()
                    && audited.is_clean
                    && let Some(finding) = audited.findings.last()
                {
                    (judged.verdict, judged.reason) = ("run", "audit");
                    judged.why.clone_from(&finding.text);
                }
                build.audits.push((phase.clone(), audited.clone()));
            }
            Event::Taken { drv, taken } => self.build(drv).taken = Some(taken.clone()),
            Event::Restarted { drv, reason } => {
                let build = self.build(drv);
                build.restarts.push(reason.clone());
                (build.restore, build.mark) = (None, Some(Instant::now()));
            }
            Event::Finished { drv, result, wall } => {
                let build = self.build(drv);
                build.end = Some((result.clone(), *wall));
                build.capture = build.restore.and(build.mark).map(|mark| mark.elapsed());
            }
            Event::Warning { message } => self.warnings.push(message.clone()),
            _ => {}
        }
    }

    /// Takes note of how a derivation ended of which no event spoke, because it was never tried.
    pub(crate) fn conclude(&mut self, drv: &StorePath, result: &BuildResult) {
        let build = self.build(drv);
        if build.end.is_none() {
            build.end = Some((result.clone(), Duration::ZERO));
        }
    }

    /// The derivations that were not valid.
    pub(crate) fn builds(&self) -> &[Build] {
        &self.builds
    }

    /// What happened to a derivation so far.
    pub(crate) fn of(&self, drv: &StorePath) -> Option<&Build> {
        self.places.get(drv).map(|place| &self.builds[*place])
    }

    /// The warnings.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn build(&mut self, drv: &StorePath) -> &mut Build {
        let place = *self.places.entry(drv.clone()).or_insert_with(|| {
            self.builds.push(Build {
                drv: drv.clone(),
                steps: Vec::new(),
                verdicts: Vec::new(),
                taken: None,
                audits: Vec::new(),
                restarts: Vec::new(),
                end: None,
                restore: None,
                capture: None,
                began: None,
                mark: None,
            });
            self.builds.len() - 1
        });
        &mut self.builds[place]
    }
}

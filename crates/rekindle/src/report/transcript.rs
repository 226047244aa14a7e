//! Single events as lines that stay: all of them where nothing can be drawn again, fewer on a terminal.

use std::io::Write as _;
use std::path::Path;

use rekindle_engine::{BuildResult, Event, RestartReason, Taken};
use rekindle_nix::StorePath;

use super::board::label;
use super::console::Verbosity;
use super::failure;
use super::failure::Advice;
use super::history::Build;
use super::line::{one_line, spoken, spoken_bytes};
use super::look::Look;

/// What decides which lines there are.
#[derive(Debug, Clone)]
pub(crate) struct Transcript {
    pub(crate) look: Look,
    pub(crate) verbosity: Verbosity,
    /// Whether a board shows what runs, so that lines need not.
    pub(crate) board: bool,
    /// Whether what builders print is shown.
    pub(crate) logs: bool,
    pub(crate) advice: Advice,
}

impl Transcript {
    /// The lines that an event is worth.
    pub(crate) fn lines(&self, event: &Event) -> Vec<String> {
        let normal = self.verbosity != Verbosity::Quiet;
        match event {
            Event::Warning { message } => vec![self.warning(message)],
            Event::Finished { drv, result: BuildResult::Failed(failure), .. } => {
                failure::lines(&self.look, &self.advice, drv, failure, self.logs)
            }
            Event::Output { drv, line } if self.logs => {
                vec![format!("{} {}", self.look.dim(format!("{}>", label(drv))), one_line(line))]
            }
            Event::Restarted { drv, reason } if normal => {
                vec![self.said(drv, &format!("begins again: {}", restart(reason)))]
            }
            Event::StepJudged { drv, phase, verdict, why, .. } if self.verbosity == Verbosity::Verbose => {
                vec![self.said(drv, &format!("{phase}: {verdict}, {}", one_line(why.as_bytes())))]
            }
            Event::Taken { drv, taken } if normal => vec![self.said(drv, &self::taken(taken))],
            Event::Waiting { drv } if normal => {
                vec![self.said(drv, "waits for another process that builds it")]
            }
            Event::Started { drv, fetch: true } if normal && !self.board => vec![self.said(drv, "fetch")],
            Event::StepStarted { drv, phase: Some(phase) } if normal && !self.board => {
                vec![self.said(drv, phase)]
            }
            Event::StepStarted { drv, phase: None } if normal && !self.board => vec![self.said(drv, "build")],
            Event::Finished { drv, result: BuildResult::Built, wall } if normal => {
                vec![self.said(drv, &format!("built in {}", spoken(*wall)))]
            }
            _ => Vec::new(),
        }
    }

    /// A warning, in one line.
    pub(crate) fn warning(&self, message: &str) -> String {
        format!("{} {}", self.look.yellow("warning:"), one_line(message.replace('\n', " ").as_bytes()))
    }

    /// Where an output can be found.
    pub(crate) fn linked(&self, link: &Path, target: &Path) -> String {
        format!("{} {} {}", self.look.bold(link.display()), self.look.arrow(), target.display())
    }

    /// What each step of a derivation took.
    pub(crate) fn summary(&self, build: &Build) -> Vec<String> {
        let step = |step: &super::history::Step| {
            let usage = step.usage;
            format!(
                "  {:<18} {:>12} {:>12} cpu {:>12} peak",
                step.phase.as_deref().unwrap_or("build"),
                spoken(usage.wall),
                spoken(usage.cpu),
                spoken_bytes(usage.peak_rss),
            )
        };
        if build.steps.is_empty() {
            return Vec::new();
        }
        let head = format!("{}:", self.look.bold(label(&build.drv)));
        std::iter::once(head).chain(build.steps.iter().map(step)).collect()
    }

    /// Writes lines to standard error, when nothing runs any more.
    pub(crate) fn write(&self, lines: &[String]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        // Nobody can be told that nobody can be told.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    fn said(&self, drv: &StorePath, what: &str) -> String {
        format!("{} {what}", self.look.bold(format!("{}:", label(drv))))
    }
}

/// What was taken from an earlier build.
fn taken(taken: &Taken) -> String {
    let Taken { base, added, changed, removed, reused, skipped, seeded, ran } = taken;
    let kept = reused + skipped;
    let sources = match added + changed + removed {
        0 => "the same sources".to_owned(),
        _ => format!("{changed} changed, {added} added, {removed} removed"),
    };
    let base = base.get(..8).unwrap_or(base);
    format!("from checkpoint {base}: {sources}; of its steps {kept} reused, {seeded} continued, {ran} run")
}

/// Why a derivation began again, as the end of a sentence.
pub(crate) fn restart(reason: &RestartReason) -> String {
    match reason {
        RestartReason::HiddenScratchPath { file, output } => format!(
            "{} of the output {output} has its path where it cannot be replaced, so it is built at the final path",
            one_line(file.to_string_lossy().as_bytes())
        ),
        RestartReason::ScratchPathInPieces { file, output } => format!(
            "{} of the output {output} has its path in pieces, as compilers cut it, so it is built at the final path",
            one_line(file.to_string_lossy().as_bytes())
        ),
        RestartReason::ScratchPathLeft { file, output } => format!(
            "{} of the output {output} still has the scratch path in it, so it is built at the final path",
            one_line(file.to_string_lossy().as_bytes())
        ),
        RestartReason::SeedFailed { phase } if phase.is_empty() => {
            "its outputs are not right after it went on from an earlier build, so it is built clean"
                .to_owned()
        }
        RestartReason::SeedFailed { phase } => {
            format!("{phase} failed going on from an earlier build, so it is built clean")
        }
        RestartReason::TimeInOutput { file, output } => format!(
            "{} of the output {output} has the time of a changed source in it, so it is built clean",
            one_line(file.to_string_lossy().as_bytes())
        ),
        RestartReason::SurvivingProcess { phase } => {
            format!("a process outlives {phase}, so all phases run in one step")
        }
        RestartReason::LostState { phase } => {
            format!("{phase} leaves its shell, so all phases run in one step")
        }
    }
}

//! Single events as lines that stay: all of them where nothing can be drawn again, fewer on a terminal.

use std::io::Write as _;
use std::path::Path;

use rekindle_engine::{
    Audited, BuildResult, Event, OutputDifference, RestartReason, Taken, Verification, VerificationVerdict,
};
use rekindle_nix::StorePath;

use super::board::label;
use super::console::Verbosity;
use super::failure;
use super::failure::Advice;
use super::history::{Build, History};
use super::line::{one_line, short_id, spoken, spoken_bytes};
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
    pub(crate) fn lines(&self, event: &Event, history: &History) -> Vec<String> {
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
                let mut lines = vec![self.said(drv, &format!("begins again: {}", restart(reason)))];
                if let RestartReason::SeedFailed { tail, .. } = reason
                    && !self.logs
                {
                    lines.extend(failure::tail(&self.look, tail));
                }
                lines
            }
            Event::StepJudged { drv, phase, verdict, why, .. } if self.verbosity == Verbosity::Verbose => {
                vec![self.said(drv, &format!("{phase}: {verdict}, {}", one_line(why.as_bytes())))]
            }
            Event::Audited { drv, phase, audited } if normal && !audited.findings.is_empty() => {
                let mut lines = vec![self.said(drv, &audit(phase, audited))];
                if self.verbosity == Verbosity::Verbose {
                    let texts = audited.findings.iter().map(|finding| one_line(finding.text.as_bytes()));
                    lines.extend(texts.map(|text| self.said(drv, &format!("  {text}"))));
                }
                lines
            }
            Event::Taken { drv, taken } if normal => {
                let first = history.of(drv).and_then(|build| build.verdicts.first());
                vec![self.said(drv, &self::taken(taken, first.map(|judged| judged.why.as_str())))]
            }
            Event::Waiting { drv } if normal => {
                vec![self.said(drv, "waits for another process that builds it")]
            }
            Event::Started { drv, fetch: true } if normal && !self.board => vec![self.said(drv, "fetch")],
            Event::StepStarted { drv, phase: Some(phase) } if normal && !self.board => {
                vec![self.said(drv, phase)]
            }
            Event::StepStarted { drv, phase: None } if normal && !self.board => vec![self.said(drv, "build")],
            Event::Finished { drv, result: BuildResult::Built, wall } if normal => {
                let taken = history.of(drv).and_then(|build| build.taken.as_ref());
                let how = if taken.is_some_and(is_incremental) { ", incremental" } else { "" };
                vec![self.said(drv, &format!("built in {}{how}", spoken(*wall)))]
            }
            Event::Finished { drv, result: BuildResult::Prepared { existed, .. }, wall } if normal => {
                vec![self.said(
                    drv,
                    &match existed {
                        true => "there is a checkpoint of exactly these sources".to_owned(),
                        false => format!("prepared in {}", spoken(*wall)),
                    },
                )]
            }
            Event::Finished { drv, result: BuildResult::Verified(verification), wall } => {
                match verification.verdict {
                    VerificationVerdict::Equal if verification.wrong => vec![self.said(
                        drv,
                        "is what a clean build gives with something that is wrong; the next build replaces both",
                    )],
                    VerificationVerdict::Equal if normal => {
                        vec![self.said(drv, &format!("is what a clean build gives, in {}", spoken(*wall)))]
                    }
                    VerificationVerdict::Equal => Vec::new(),
                    _ => self.differences(drv, verification),
                }
            }
            _ => Vec::new(),
        }
    }

    /// What is wrong with outputs, or with their package.
    fn differences(&self, drv: &StorePath, verification: &Verification) -> Vec<String> {
        let named = |difference: &OutputDifference| {
            let OutputDifference { output, file, how, .. } = difference;
            let file = one_line(file.to_string_lossy().as_bytes());
            match file.as_str() {
                "" => format!("the output {output} {how}"),
                file => format!("{file} of the output {output} {how}"),
            }
        };
        let error = self.look.red("error:");
        let name = self.look.bold(label(drv));
        let Verification { verdict, differences, quarantined, users, wrong } = verification;
        let steady: Vec<_> = differences.iter().filter(|difference| !difference.varies).collect();
        let Some(first) = steady.first().copied().or(differences.first()) else { return Vec::new() };
        if *verdict == VerificationVerdict::NotReproducible {
            return vec![format!(
                "{error} {name} is not reproducible: {}, and comes out differently in each clean build; `--json` lists \
                 all that does",
                named(first)
            )];
        }
        let more = match steady.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let mut lines =
            vec![format!("{error} {name} is not what a clean build gives: {}{more}", named(first))];
        lines.push(match wrong {
            true => "  the next build of it is clean, and replaces it".to_owned(),
            false => "  it was built clean, so it stays; what it was built with or on may have been another"
                .to_owned(),
        });
        if !users.is_empty() {
            let users: Vec<&str> = users.iter().map(label).collect();
            lines.push(format!("  so is that of what was built with it: {}", users.join(", ")));
        }
        if *quarantined > 0 {
            let (checkpoints, verb, them) = match quarantined {
                1 => ("checkpoint", "is", "it"),
                _ => ("checkpoints", "are", "them"),
            };
            lines.push(format!(
                "  {quarantined} {checkpoints} {verb} in quarantine; nothing starts from {them}"
            ));
        }
        lines
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

/// Whether anything was taken from an earlier build.
/// What an audit found, in a line.
fn audit(phase: &str, audited: &Audited) -> String {
    let first =
        audited.findings.first().map_or_else(String::new, |finding| one_line(finding.text.as_bytes()));
    let last = audited.findings.last().map_or_else(String::new, |finding| one_line(finding.text.as_bytes()));
    if audited.is_clean {
        return format!("{phase} runs from the beginning: {last}");
    }
    let files = audited.made_again.len();
    let more = match audited.findings.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let plural = if files == 1 { "" } else { "s" };
    format!("{phase} made {files} file{plural} again that its build tool had left alone: {first}{more}")
}

fn is_incremental(taken: &Taken) -> bool {
    taken.reused + taken.skipped + taken.seeded > 0
}

/// What was taken from an earlier build; `why` is the reason of the first verdict.
fn taken(taken: &Taken, why: Option<&str>) -> String {
    let Taken { base, added, changed, removed, reused, skipped, seeded, ran } = taken;
    let base = short_id(base);
    if !is_incremental(taken) {
        let why = why.map(|why| format!(": {}", one_line(why.as_bytes()))).unwrap_or_default();
        return format!("takes nothing from checkpoint {base}{why}");
    }
    let list = |counts: &[(&usize, &str)]| {
        let said = counts.iter().filter(|(count, _)| **count > 0);
        said.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    };
    let sources = match list(&[(changed, "changed"), (added, "added"), (removed, "removed")]) {
        none if none.is_empty() => "the same sources".to_owned(),
        some => format!("sources: {some}"),
    };
    let steps = list(&[(reused, "reused"), (skipped, "not concerned"), (seeded, "continued"), (ran, "run")]);
    format!("from checkpoint {base}; {sources}; steps: {steps}")
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
        RestartReason::SeedFailed { phase, .. } if phase.is_empty() => {
            "its outputs are not right after it went on from an earlier build, so it is built clean"
                .to_owned()
        }
        RestartReason::SeedFailed { phase, why, .. } => {
            let why = one_line(why.as_bytes());
            format!("{phase} failed going on from an earlier build, so it is built clean: {why}")
        }
        RestartReason::TimeInOutput { file, output } => format!(
            "{} of the output {output} has the time of a changed source in it, so it is built clean",
            one_line(file.to_string_lossy().as_bytes())
        ),
        RestartReason::TornLinks { phase, file } => format!(
            "{phase} may have written to another name of {}, so it is built in a copy of its tree",
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

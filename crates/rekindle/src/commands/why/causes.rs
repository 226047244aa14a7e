//! Why a file was or was not made again, in words. A list of lines, the root cause first.

use rekindle_plan::SourceChange;
use rekindle_plan::explain::cause::{Cause, Fate, Kept, Root};
use rekindle_plan::explain::{Lineage, TaskAt};

use super::{Subject, word};
use crate::commands::subject::shown;
use crate::commands::titles::brief;
use crate::report::{Look, one_line};

/// One line for the root, and one for each task that led from there to what was asked for.
pub(in crate::commands) fn lines(
    look: &Look,
    subject: &Subject,
    lineage: &Lineage<'_>,
    fate: &Fate,
) -> Vec<String> {
    match fate {
        Fate::Kept(kept) => vec![self::kept(subject, lineage, kept)],
        Fate::Made(Cause { root, links }) => {
            let mut lines =
                vec![self::root(look, subject, lineage, root, links.first().map(|link| link.task))];
            for link in links {
                let made = shown(&link.made);
                let command = brief(lineage, link.task, look.ellipsis());
                let arrow = look.arrow();
                lines.push(match &link.path {
                    Some(path) => format!("{arrow} `{command}` read {} and made {made}", shown(path)),
                    None => format!("{arrow} `{command}` made {made}"),
                });
            }
            lines
        }
    }
}

/// What all began with.
fn root(look: &Look, subject: &Subject, lineage: &Lineage<'_>, root: &Root, first: Option<TaskAt>) -> String {
    match root {
        Root::Source(change) => format!("the source {}", self::change(change)),
        Root::Step(step) => {
            let phase = lineage.steps()[*step].phase;
            let why = subject
                .told_of(phase)
                .map_or_else(String::new, |told| format!(": {}", one_line(told.why.as_bytes())));
            format!("{phase} ran from its beginning{why}")
        }
        Root::Decided { task, change } => format!(
            "the source {}, and `{}` decides by it what is made",
            self::change(change),
            brief(lineage, *task, look.ellipsis())
        ),
        Root::Command { before } => {
            format!(
                "it was started with another command: before it was `{}`",
                brief(lineage, *before, look.ellipsis())
            )
        }
        Root::SourcesUnknown => {
            "the checkpoint that the build went on from is gone, so it is not known which sources changed"
                .to_owned()
        }
        Root::Unknown => match first.and_then(|task| lineage.started_by(task)) {
            Some(above) => {
                let above = brief(lineage, above, look.ellipsis());
                format!("`{above}` started it, though nothing that was read for it changed")
            }
            None => "nothing that was read for it changed".to_owned(),
        },
    }
}

fn kept(subject: &Subject, lineage: &Lineage<'_>, kept: &Kept) -> String {
    match kept {
        Kept::StepDidNotRun(step) => {
            let phase = lineage.steps()[*step].phase;
            match subject.told_of(phase) {
                Some(told) => {
                    format!("{phase} was {}: {}", word(&told.verdict), one_line(told.why.as_bytes()))
                }
                None => format!("{phase} did not run"),
            }
        }
        Kept::NothingChanged(files) => {
            let plural = if *files == 1 { "file" } else { "files" };
            format!("none of the {files} {plural} that were read to make it is another one")
        }
        Kept::SameAgain(path) => {
            format!("{} was made again, but came out the same", shown(path))
        }
        Kept::NoDifference(change) => {
            format!("the source {}, but that makes no difference for it", self::change(change))
        }
    }
}

/// A change, as a clause.
pub(in crate::commands) fn change(change: &SourceChange) -> String {
    format!("{} {}", shown(&change.path), change.kind)
}

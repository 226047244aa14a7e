//! What a command takes over from what was there before it, without having read it: a mode, a name.

use super::marks::Marks;
use super::rules::{Auditor, RunId};
use crate::observation::ChangeKind;
use crate::trace::{Access, Move, Process, Touch};

impl Auditor<'_> {
    /// Whether what was left from before the round was given another name under which it is still there. No other look is needed for
    /// that.
    pub(super) fn moves_old_away(&self, run: RunId, round: usize, access: &Access) -> bool {
        let trace = self.trace(run);
        let path = trace.paths().get(access.path);
        access.touch.any(Touch::REMOVED)
            && self.facts.existed(round - 1, path)
            && !self.facts.is_source(round - 1, path)
            // A link to what was made in its place is none to it.
            && trace
                .moves()
                .iter()
                .any(|step| step.from == access.path && step.at <= access.changed && trace.left(step.to))
    }

    /// Whether a process emptied an old file, with the mode that this has, where a clean build might have made one with another.
    pub(super) fn keeps_old_mode(&self, run: RunId, process: &Process, access: &Access) -> bool {
        let trace = self.trace(run);
        let path = trace.paths().get(access.path);
        let round = run + 1 - self.evidence.then.len();
        // To rename something else onto it gives it the mode of that.
        let is_moved_to = |step: &Move| step.to == access.path;
        if !access.touch.any(Touch::REPLACED)
            || !access.touch.any(Touch::MODE_KEPT.and(Touch::PRESENT))
            || trace.moves().iter().any(is_moved_to)
            || !self.facts.exists(path)
            || self.facts.is_source(round - 1, path)
        {
            return false;
        }
        // Whoever then gives it a mode gives it the same one each time.
        let later = trace.processes().iter().skip_while(|other| !std::ptr::eq(*other, process));
        let gives =
            |other: &Process| other.access(access.path).is_some_and(|access| access.touch.any(Touch::MODE));
        if later.into_iter().any(gives) {
            return false;
        }
        // With which mode it would have been made is only known of some. Others (`cp`) take one from what they read, and the
        // same one if they are told the same.
        let Some((then, like)) = self.like(run, process) else { return true };
        let was = self.trace(then);
        let was_given = |id| {
            let mut changes = was.changes_to(id);
            changes.any(|(other, access)| other != like && access.touch.any(Touch::MODE))
        };
        if access.touch.any(Touch::MODE_KEPT) || was.paths().find(path).is_some_and(was_given) {
            return true;
        }
        let made_by = (1..round).rev().find(|round| {
            let trace = self.evidence.rounds[round - 1].trace();
            let found = trace.paths().find(path);
            found.is_some_and(|id| trace.changes_to(id).any(|(_, access)| access.touch.any(Touch::CREATED)))
        });
        let made_by = made_by.unwrap_or(0);
        let marks = Marks::new(trace, self.facts.changed_since(made_by), self.rules);
        let mut seen = process.accesses.iter().filter(|other| other.path != access.path);
        seen.any(|other| {
            marks.touched(other, self.rules).is_some_and(|change| {
                change.kind != ChangeKind::Content || !self.facts.has_same_mode(made_by, &change.path)
            })
        })
    }
}

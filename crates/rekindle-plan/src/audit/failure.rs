//! Whether a step that went on and failed would have failed in a clean build, too.
//!
//! A build tool stops at the first command that fails, so much of the tree may still be old: that says nothing. What
//! counts is the commands that failed. If all that they looked at is what a clean build would give them, it would run
//! them, as who started them decided by sources that are those of today, and they would fail there, too.
//!
//! The shell of the step has to have failed because its last command did, a build tool; and each build tool because something
//! did that it had started. Who failed by itself may have done so for what it keeps in its books: `make` does for a
//! header that is gone and that the compiler had told it of.

use std::collections::BTreeSet;

use super::groups::{GroupId, Kind};
use super::rules::{Auditor, RunId};
use crate::trace::ProcessId;

impl Auditor<'_> {
    /// Why a clean build may not fail as the last round did, in a clause; nothing if it would.
    pub(super) fn doubt(mut self) -> Option<String> {
        if let Err(finding) = self.judge() {
            return Some(finding.to_string());
        }
        let run = self.runs() - 1;
        let mut failed = BTreeSet::new();
        if !self.shell_is_explained(run, &mut failed) {
            return Some("what failed is not a command that a build tool had started".to_owned());
        }
        let hits = self.looks_now(run, self.evidence.rounds.len());
        let hits = self.passed_on(run, hits);
        if let Some((_, hit)) = hits.iter().find(|(group, _)| self.is_part_of(run, **group, &failed)) {
            let path = crate::quote::quote(&hit.change.path);
            return Some(format!("it had looked at an old {path}"));
        }
        let trace = self.trace(run);
        for (process, group) in trace.processes().iter().zip(&self.groups[run].of) {
            if !self.is_part_of(run, *group, &failed) {
                continue;
            }
            let paths = process.accesses.iter().map(|access| trace.paths().get(access.path));
            if let Some(path) = paths.into_iter().find(|path| self.failing.contains_key(*path)) {
                return Some(format!("it had looked at an old {}", crate::quote::quote(path)));
            }
        }
        None
    }

    /// Whether the last thing that the shell of the step started is a build tool that failed for a reason. Collects the
    /// commands that are the reason.
    fn shell_is_explained(&self, run: RunId, failed: &mut BTreeSet<GroupId>) -> bool {
        let groups = &self.groups[run].all;
        let is_shells =
            |group: GroupId| groups[group].parent.is_none_or(|above| groups[above].kind == Kind::Shell);
        let last = (1..groups.len()).rev().find(|id| groups[*id].kind != Kind::Shell && is_shells(*id));
        last.is_some_and(|last| {
            matches!(groups[last].kind, Kind::Orchestrator(_))
                && self.exit(run, last).is_some_and(|code| code != 0)
                && self.is_explained(run, last, failed)
        })
    }

    /// Whether a group that failed did so for a command, and not by itself.
    fn is_explained(&self, run: RunId, group: GroupId, failed: &mut BTreeSet<GroupId>) -> bool {
        let groups = &self.groups[run].all;
        let is_task = groups[group].kind == Kind::Task;
        if is_task {
            failed.insert(group);
        }
        let mut has_reason = is_task;
        for below in (0..groups.len()).filter(|id| groups[*id].parent == Some(group)) {
            match self.exit(run, below) {
                Some(0) => {}
                Some(_) if self.is_explained(run, below, failed) => has_reason = true,
                // It failed by itself, or nobody saw how it ended.
                _ => return false,
            }
        }
        has_reason
    }

    /// How the process ended that everything in a group comes from, if that was seen.
    fn exit(&self, run: RunId, group: GroupId) -> Option<u32> {
        let trace = self.trace(run);
        let mut last = self.groups[run].all[group].leader;
        // It is another one with each program that it executes.
        for (process, id) in trace.processes().iter().zip((0..).map(ProcessId)) {
            if process.before == Some(last) {
                last = id;
            }
        }
        trace.process(last).exit
    }

    /// Whether a group is one of these, or passed something on to one, or told it.
    fn is_part_of(&self, run: RunId, group: GroupId, failed: &BTreeSet<GroupId>) -> bool {
        let groups = self.groups[run];
        let mut pending: Vec<GroupId> = failed.iter().copied().collect();
        let mut seen = BTreeSet::new();
        while let Some(one) = pending.pop() {
            if one == group || self.speaker(run, group) == one {
                return true;
            }
            if seen.insert(one) {
                pending.extend(&groups.all[one].fed_by);
            }
        }
        false
    }
}

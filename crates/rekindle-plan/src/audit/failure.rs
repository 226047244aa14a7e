//! Whether a step that went on and failed would have failed in a clean build, too.
//!
//! A build tool stops at the first command that fails, so much of the tree may still be old: that says nothing. What
//! counts is the commands that failed. If all that they looked at is what a clean build would give them, it would run
//! them, as who started them decided by sources that are those of today, and they would fail there, too.
//!
//! The shell of the step has to have failed because its last command did, a build tool; and each build tool because something
//! did that it had started. Who failed by itself may have done so for what it keeps in its books: `make` does for a
//! header that is gone and that the compiler had told it of.

use std::collections::{BTreeMap, BTreeSet};

use super::groups::{GroupId, Kind};
use super::rules::{Auditor, RunId};
use super::said::Said;
use crate::quote::quote;
use crate::trace::{Touch, name_of};

/// What is known of the end of a step that failed, besides what its processes did.
#[derive(Debug, Clone, Default)]
pub struct HowItFailed {
    /// What the makes in it said.
    pub said: Vec<Said>,
    /// When all its processes were interrupted, if they were, in microseconds since it began.
    pub stopped_at: Option<u64>,
}

/// What failed, and what for.
pub(super) struct Failed {
    /// The commands that are the reason.
    pub(super) commands: BTreeSet<GroupId>,
    /// What makes had started and stopped for: commands, and other makes. With the level of the make.
    pub(super) of_makes: BTreeMap<GroupId, u32>,
}

/// How each group of a run ended: as the process that everything in it comes from did, if that was seen.
pub(super) type Ends = Vec<Option<u32>>;

impl Auditor<'_> {
    /// Why a clean build may not fail as the last round did, in a clause; nothing if it would.
    pub(super) fn doubt(mut self, how: &HowItFailed) -> Option<String> {
        if let Err(finding) = self.judge(true) {
            return Some(finding.to_string());
        }
        let run = self.runs() - 1;
        let failed = match self.failed(run, how) {
            Ok(failed) => failed.commands,
            Err(why) => return Some(why),
        };
        let concerned = self.with_what_told_them(run, failed);
        let hits = self.looks_now(run, self.evidence.rounds.len(), true);
        let hits = self.passed_on(run, hits);
        let old =
            hits.into_iter().find(|(group, _)| concerned.contains(group)).map(|(_, hit)| hit.change.path);
        let old = old.or_else(|| self.failing_of(run, &concerned)).or_else(|| self.missed(run, &concerned));
        old.map(|path| format!("what failed had looked at an old {}", quote(&path)))
    }

    /// What failed in a run, or why that is not certain. That it was interrupted is reason enough for a build tool to fail.
    pub(super) fn failed(&self, run: RunId, how: &HowItFailed) -> Result<Failed, String> {
        let (ends, running) = (self.ends(run), self.running(run, how.stopped_at));
        let mut commands = BTreeSet::new();
        if !self.shell_is_explained(run, (&ends, &running), &mut commands) {
            return Err("what failed is not just a command that a build tool had started".to_owned());
        }
        let of_makes = self.stopped_makes(run, (&ends, &running), &how.said)?;
        let is_of_make = |group: &GroupId| self.nearest_make(run, *group) == self.parent(run, *group);
        commands.retain(|group| !is_of_make(group) || of_makes.contains_key(group));
        let is_command = |group: &GroupId| self.groups[run].all[*group].kind == Kind::Task;
        commands.extend(running.into_iter().filter(is_command));
        Ok(Failed { commands, of_makes })
    }

    /// What had not ended at this moment.
    fn running(&self, run: RunId, at: Option<u64>) -> BTreeSet<GroupId> {
        let spans = self.spans(run).into_iter().enumerate();
        spans.filter(|(_, (_, ended))| at.is_some_and(|at| *ended >= at)).map(|(group, _)| group).collect()
    }

    /// Something that these groups looked at and that is not what a clean build makes.
    fn failing_of(&self, run: RunId, groups: &BTreeSet<GroupId>) -> Option<Vec<u8>> {
        let trace = self.trace(run);
        let members =
            trace.processes().iter().zip(&self.groups[run].of).filter(|(_, of)| groups.contains(of));
        let mut paths =
            members.flat_map(|(process, _)| &process.accesses).map(|access| trace.paths().get(access.path));
        paths.find(|path| self.failing.contains_key(*path)).map(<[u8]>::to_vec)
    }

    /// Something that these groups looked for and that is only missing because it was removed when the step failed before.
    fn missed(&self, run: RunId, groups: &BTreeSet<GroupId>) -> Option<Vec<u8>> {
        let trace = self.trace(run);
        let looked = |path: &[u8], touch: fn(Touch) -> bool| {
            let found = trace.paths().find(path);
            found.into_iter().flat_map(|id| trace.accesses_to(id)).any(|(process, access)| {
                groups.contains(&self.groups[run].of[process.at()])
                    && access.observed > 0
                    && touch(access.touch)
            })
        };
        let lost = self.evidence.open.lost.iter().map(|lost| &lost.path);
        let mut missing = lost.filter(|path| !self.facts.exists(path));
        let is_missed = |path: &&Vec<u8>| {
            let dir = &path[..path.len().saturating_sub(name_of(path).len() + 1)];
            looked(path, |touch| !touch.any(Touch::MAKES)) || looked(dir, |touch| touch.any(Touch::LISTED))
        };
        missing.find(is_missed).cloned()
    }

    /// Whether the last thing that the shell of the step started is a build tool that failed for a reason. Collects the
    /// commands that are the reason.
    fn shell_is_explained(
        &self,
        run: RunId,
        (ends, running): (&Ends, &BTreeSet<GroupId>),
        failed: &mut BTreeSet<GroupId>,
    ) -> bool {
        let groups = &self.groups[run].all;
        let is_shells =
            |group: GroupId| groups[group].parent.is_none_or(|above| groups[above].kind == Kind::Shell);
        let last = (1..groups.len()).rev().find(|id| groups[*id].kind != Kind::Shell && is_shells(*id));
        last.is_some_and(|last| {
            matches!(groups[last].kind, Kind::Orchestrator(_))
                && ends[last].is_some_and(|code| code != 0)
                && self.is_explained((run, last), (ends, running), failed)
        })
    }

    /// Whether a group that failed did so for a command, and not by itself.
    fn is_explained(
        &self,
        (run, group): (RunId, GroupId),
        (ends, running): (&Ends, &BTreeSet<GroupId>),
        failed: &mut BTreeSet<GroupId>,
    ) -> bool {
        let groups = &self.groups[run].all;
        let is_task = groups[group].kind == Kind::Task;
        if is_task {
            failed.insert(group);
        }
        let mut has_reason = is_task || running.contains(&group);
        for below in (0..groups.len()).filter(|id| groups[*id].parent == Some(group)) {
            match ends[below] {
                Some(0) => {}
                Some(_) if self.is_explained((run, below), (ends, running), failed) => has_reason = true,
                // It failed by itself, or nobody saw how it ended.
                _ => return false,
            }
        }
        has_reason
    }

    pub(super) fn ends(&self, run: RunId) -> Ends {
        let trace = self.trace(run);
        // A process is another one with each program that it executes.
        let mut next: Vec<Option<usize>> = vec![None; trace.processes().len()];
        for (at, process) in trace.processes().iter().enumerate() {
            if let Some(before) = process.before {
                next[before.at()] = Some(at);
            }
        }
        let end = |leader: usize| {
            let last = std::iter::successors(Some(leader), |at| next[*at]).last().unwrap_or(leader);
            trace.processes()[last].exit
        };
        self.groups[run].all.iter().map(|group| end(group.leader.at())).collect()
    }

    /// These groups, those that passed something on to them, and those that only inform any of them.
    fn with_what_told_them(&self, run: RunId, mut groups: BTreeSet<GroupId>) -> BTreeSet<GroupId> {
        let all = &self.groups[run].all;
        let mut pending: Vec<GroupId> = groups.iter().copied().collect();
        while let Some(one) = pending.pop() {
            pending.extend(all[one].fed_by.iter().copied().filter(|writer| groups.insert(*writer)));
        }
        let informers = (0..all.len()).filter(|id| groups.contains(&self.speaker(run, *id)));
        let informers: Vec<GroupId> = informers.collect();
        groups.extend(informers);
        groups
    }
}

//! What a command of a seeded run sees otherwise because the tree is not as old as it would be at that moment of a clean build.
//!
//! A clean build makes, changes and removes things in an order. A seeded run begins where the last one ended: all of that has
//! happened. So a command that runs again may find what in a clean build somebody makes or changes only after it; or miss what
//! somebody had removed after it, a source, or what was there for a while. When that was is known of the command itself, if it was
//! given the same to do in an earlier build, and else of all that had a part in what it makes.

use super::Run;
use super::groups::{GroupId, Kind};
use super::rules::{Auditor, Likes, RunId};
use crate::trace::{Access, Process, ProcessId, Touch, name_of};

const USES: Touch = Touch::READ.and(Touch::EXECUTED).and(Touch::UPDATED).and(Touch::LISTED);
const MAKES: Touch = Touch::CREATED.and(Touch::REPLACED);

impl Auditor<'_> {
    /// Whether a process finds what in an earlier build was not there when it looked.
    pub(super) fn is_too_early(&self, likes: &[(RunId, ProcessId)], path: &[u8], access: &Access) -> bool {
        finds_something(access)
            && self.facts.exists(path)
            && !self.facts.is_in_sources(path)
            && likes.iter().any(|like| self.saw_nothing_then(*like, path, goes_on_with(access)))
    }

    /// Whether a process of this round finds a source that somebody had changed only after it in an earlier build; or nothing where it
    /// then found a source that was removed later, or what others had left for a while. Nothing brings that moment back but a
    /// clean run.
    pub(super) fn is_at_another_moment(
        &self,
        likes: &[(RunId, ProcessId)],
        (round, path): (usize, &[u8]),
        access: &Access,
    ) -> bool {
        if access.touch.any(Touch::CREATED) && likes.iter().any(|like| self.could_not_make_then(*like, path))
        {
            return true;
        }
        if access.observed == 0 {
            return false;
        }
        if access.touch.any(Touch::ABSENT) {
            return !self.facts.existed(round - 1, path)
                && likes.iter().any(|like| self.found_what_went(*like, path));
        }
        access.touch.any(USES)
            && self.facts.is_in_sources(path)
            && likes.iter().any(|like| self.saw_the_source_then(*like, path))
    }

    /// The processes of the builds before that stand for one of now: the last one that was given the same to do; or, if it is
    /// told something else now, all that had a part in what its group has made.
    pub(super) fn likes_of(&self, run: RunId, group: GroupId, process: &Process) -> Vec<(RunId, ProcessId)> {
        if self.groups[run].all[group].kind != Kind::Task || process.exec.is_none() {
            return Vec::new();
        }
        if let Some(like) = self.like(run, process) {
            return vec![like];
        }
        let now = self.trace(run);
        let mut likes = Vec::new();
        for (then, trace) in self.evidence.then.iter().map(Run::trace).enumerate() {
            let of = &self.groups[then].of;
            let mut groups: Vec<GroupId> = Vec::new();
            let is_its = |(_, other): &(&Process, &GroupId)| **other == group;
            for (member, _) in now.processes().iter().zip(&self.groups[run].of).filter(is_its) {
                let made =
                    member.accesses.iter().filter(|access| access.touch.changes() && now.left(access.path));
                for path in made.filter_map(|access| trace.paths().find(now.paths().get(access.path))) {
                    groups.extend(trace.changes_to(path).map(|(process, _)| of[process.at()]));
                }
            }
            let members = (0..).map(ProcessId).zip(of);
            likes.extend(members.filter(|(_, group)| groups.contains(group)).map(|(id, _)| (then, id)));
        }
        likes
    }

    /// The last process of the builds before that was given the same to do.
    pub(super) fn like(&self, run: RunId, process: &Process) -> Option<(RunId, ProcessId)> {
        let cwd = self.trace(run).paths().get(process.exec.as_ref()?.cwd);
        let digest = process.exec.as_ref()?.argv_digest;
        let known = self.likes.get_or_init(|| {
            let mut likes = Likes::new();
            for (run, trace) in self.evidence.then.iter().map(Run::trace).enumerate() {
                for (process, id) in trace.processes().iter().zip((0..).map(ProcessId)) {
                    if let Some(exec) = &process.exec {
                        likes.entry(exec.argv_digest).or_default().push((run, id));
                    }
                }
            }
            likes
        });
        known.get(&digest)?.iter().rev().copied().find(|(run, id)| {
            let trace = self.trace(*run);
            trace.process(*id).exec.as_ref().is_some_and(|exec| trace.paths().get(exec.cwd) == cwd)
        })
    }

    /// Whether a process of an earlier build looked for something before it was there. What it then made itself only counts
    /// for one that `goes_on` with that.
    fn saw_nothing_then(&self, (run, id): (RunId, ProcessId), path: &[u8], goes_on: bool) -> bool {
        let trace = self.trace(run);
        let Some(found) = trace.paths().find(path) else { return false };
        let Some(then) = trace.process(id).access(found) else { return false };
        let makes = |access: &Access| access.touch.any(Touch::CREATED.and(Touch::REPLACED));
        let made = trace.changes_to(found).filter(|(_, access)| makes(access));
        if then.touch.any(Touch::CREATED) {
            // Whether there is nothing in it or nothing there is the same to who only writes (`touch`).
            return goes_on && then.touch.any(Touch::ABSENT) && !self.facts.is_empty(path);
        }
        then.observed > 0
            && made.map(|(_, access)| access.changed_last).max().is_some_and(|made| made > then.observed)
    }

    /// Whether a process of an earlier build looked at something before somebody changed or replaced it.
    fn saw_the_source_then(&self, (run, id): (RunId, ProcessId), path: &[u8]) -> bool {
        let trace = self.trace(run);
        let Some(found) = trace.paths().find(path) else { return false };
        let Some(then) = trace.process(id).access(found) else { return false };
        let writes = MAKES.and(Touch::UPDATED);
        let mut others = trace.changes_to(found).filter(|(other, _)| *other != id);
        let is_first = first_change(trace.changes_to(found).map(|(_, access)| access)) > then.observed;
        then.observed > 0
            && is_first
            && others.any(|(_, access)| access.touch.any(writes) && access.changed_last > then.observed)
    }

    /// Whether a process of an earlier build could not make something because the directory that it is in was made later.
    fn could_not_make_then(&self, (run, id): (RunId, ProcessId), path: &[u8]) -> bool {
        let trace = self.trace(run);
        let dir = &path[..path.len().saturating_sub(name_of(path).len() + 1)];
        let (Some(found), Some(dir)) = (trace.paths().find(path), trace.paths().find(dir)) else {
            return false;
        };
        let Some(then) = trace.process(id).access(found) else { return false };
        let made = trace.changes_to(dir).filter(|(_, access)| access.touch.any(Touch::CREATED));
        then.touch.any(Touch::ABSENT)
            && !then.touch.any(MAKES)
            && first_change(made.map(|(_, access)| access)) != u32::MAX
    }

    /// Whether a process of an earlier build used something that is not left, and that its own command had not made.
    fn found_what_went(&self, (run, id): (RunId, ProcessId), path: &[u8]) -> bool {
        let trace = self.trace(run);
        let of = &self.groups[run].of;
        let Some(found) = trace.paths().find(path) else { return false };
        let Some(then) = trace.process(id).access(found) else { return false };
        let mut makers = trace.changes_to(found).filter(|(_, access)| access.touch.any(MAKES));
        // To have removed it, and not to find it now, comes to the same; to have given it another name does not.
        let is_moved = || trace.moves().iter().any(|step| step.process == id && step.from == found);
        then.observed > 0
            && (then.touch.any(USES) || is_moved())
            && !trace.left(found)
            && !makers.any(|(maker, _)| of[maker.at()] == of[id.at()])
    }
}

/// Whether an access found something there and made use of it.
fn finds_something(access: &Access) -> bool {
    let used = Touch::READ.and(Touch::EXECUTED).and(Touch::UPDATED).and(Touch::LISTED);
    // What is found to be thrown away at once is as if it were not there.
    let is_cleared = access.touch.any(Touch::REMOVED.and(Touch::REPLACED));
    access.observed > 0 && (access.touch.any(used) || (access.touch.any(Touch::PRESENT) && !is_cleared))
}

/// Whether an access changed what it had found, and did not throw it away at once.
fn goes_on_with(access: &Access) -> bool {
    let is_used = access.touch.any(Touch::READ.and(Touch::EXECUTED)) && access.changed > access.observed;
    finds_something(access) && (is_used || access.touch.any(Touch::UPDATED))
}

/// When something was first changed; never is later than all.
fn first_change<'t>(changes: impl Iterator<Item = &'t Access>) -> u32 {
    changes.map(|access| access.changed).filter(|changed| *changed > 0).min().unwrap_or(u32::MAX)
}

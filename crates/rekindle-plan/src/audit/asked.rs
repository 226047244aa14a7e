//! What orchestrators were asked for, and what that means for what they told others.
//!
//! The shell of a step runs anew each time, and asks again. By what it decides to ask is not always seen (an exit code, a time), but what
//! it asks is. One that keeps book notices what it looks at, but not what it is not asked; a plain make does not even know what it was
//! asked before. And a plain make that is asked the same, and has looked at nothing that is another now, still tells its recipes one
//! thing that is not in any file: what is newer (`$?`).

use std::collections::{BTreeMap, BTreeSet};

use super::groups::{GroupId, Kind, is_make};
use super::rules::{Auditor, Hit, Invocation, RunId};
use super::trace_facts::describe;
use super::{Finding, Orchestrator, Rule};
use crate::observation::{ChangeKind, SourceChange};
use crate::trace::Arguments;

impl<'a> Auditor<'a> {
    /// The orchestrators that keep book and were started again in the last round as they were in this run: told the same, in the same
    /// environment, one after the other.
    pub(super) fn asked_again(&self, run: RunId) -> BTreeSet<GroupId> {
        let keepers = |run: RunId| {
            let all = self.groups[run].all.iter().enumerate();
            let tracked =
                all.filter(|(_, group)| matches!(group.kind, Kind::Orchestrator(Orchestrator::Tracked(_))));
            tracked.filter_map(move |(id, _)| Some((id, self.invocation(run, id)?)))
        };
        let now: Vec<_> = keepers(self.runs() - 1).map(|(_, invocation)| invocation).collect();
        in_turn(keepers(run), &now, |wanted, found| wanted == found)
    }

    /// Whether each make that nothing but the shell is above, and that has left something, was started in the last round as it was in this
    /// run, one after the other. If the step failed, those that would have come later do not count.
    pub(super) fn are_asked_as_before(&self, run: RunId, has_failed: bool) -> Result<(), Finding> {
        let makes = |run: RunId| {
            let (groups, trace) = (self.groups[run], self.trace(run));
            let all = groups.all.iter().enumerate();
            let plain = all.filter(move |(id, group)| {
                group.kind == Kind::Orchestrator(Orchestrator::Make)
                    && groups.started_by(*id).is_none()
                    && is_make(trace, trace.process(group.leader))
            });
            plain.filter_map(move |(id, _)| Some((id, self.question(run, id)?)))
        };
        let now: Vec<_> = makes(self.runs() - 1).map(|(_, question)| question).collect();
        let again = in_turn(makes(run), &now, Question::is_the_same);
        let is_later = |make: GroupId| again.last().is_none_or(|last| make > *last);
        for (make, _) in makes(run) {
            if again.contains(&make) || (has_failed && is_later(make)) {
                continue;
            }
            let mut below = BTreeSet::from([make]);
            for (id, group) in self.groups[run].all.iter().enumerate() {
                if group.parent.is_some_and(|parent| below.contains(&parent)) {
                    below.insert(id);
                }
            }
            if let Some((_, path)) = self.products_of(run, &below).into_iter().next() {
                let change = SourceChange { path, kind: ChangeKind::Content };
                let who =
                    describe(self.trace(run), self.trace(run).process(self.groups[run].all[make].leader));
                return Err(Finding { rule: Rule::AskedOtherwise, change, who, product: None });
            }
        }
        Ok(())
    }

    /// The commands of this round that a plain make gave otherwise than ever before, and that changed what was left from before. As it
    /// decides by the same, it told them of the state of the tree: in a clean build there would be nothing.
    pub(super) fn told_of_the_state(&self, run: RunId, round: usize) -> BTreeMap<GroupId, Hit<'a>> {
        let trace = self.trace(run);
        let groups = self.groups[run];
        let mut hits = BTreeMap::new();
        for (process, id) in trace.processes().iter().zip(&groups.of) {
            let group = &groups.all[*id];
            let is_makes = group
                .parent
                .is_some_and(|parent| groups.all[parent].kind == Kind::Orchestrator(Orchestrator::Make));
            if group.kind != Kind::Task || !is_makes || hits.contains_key(id) {
                continue;
            }
            let goes_on = process.accesses.iter().find(|access| {
                let path = trace.paths().get(access.path);
                access.touch.changes()
                    && trace.left(access.path)
                    && !path.starts_with(b"/")
                    && self.facts.existed(round - 1, path)
                    && !self.facts.was_prepared(round, path)
                    && !self.facts.is_in_sources(path)
                    && !self.facts.is_directory(path)
            });
            if let Some(access) = goes_on
                && self.like(run, trace.process(group.leader)).is_none()
            {
                let path = trace.paths().get(access.path).to_vec();
                let change = SourceChange { path, kind: ChangeKind::Content };
                hits.insert(*id, Hit::new(access, change, process));
            }
        }
        hits
    }

    fn question(&self, run: RunId, group: GroupId) -> Option<Question<'a>> {
        let invocation = self.invocation(run, group)?;
        let argv = &self.trace(run).process(self.groups[run].all[group].leader).exec.as_ref()?.argv;
        Some(Question { invocation, argv })
    }
}

/// What a make was asked.
#[derive(Clone, Copy)]
struct Question<'a> {
    invocation: Invocation<'a>,
    argv: &'a Arguments,
}

impl Question<'_> {
    /// Whether it is asked the same. With how many jobs at once makes no difference; where that is another number, it is
    /// in the environment as well.
    fn is_the_same(self, other: Question<'_>) -> bool {
        let ((_, cwd, _), (_, other_cwd, _)) = (self.invocation, other.invocation);
        let is_jobs = |word: &&[u8]| word.starts_with(b"-j");
        let words = |argv: &Arguments| {
            argv.iter().filter(|word| !is_jobs(word)).map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        let jobs = |argv: &Arguments| argv.iter().filter(is_jobs).map(<[u8]>::to_vec).collect::<Vec<_>>();
        self.invocation == other.invocation
            || (cwd == other_cwd
                && jobs(self.argv) != jobs(other.argv)
                && words(self.argv) == words(other.argv))
    }
}

/// Those that have one that is the same among `now`, each in its turn.
fn in_turn<T: Copy>(
    then: impl Iterator<Item = (GroupId, T)>,
    now: &[T],
    is_the_same: impl Fn(T, T) -> bool,
) -> BTreeSet<GroupId> {
    let mut left = now;
    let mut again = BTreeSet::new();
    for (id, wanted) in then {
        if let Some(at) = left.iter().position(|found| is_the_same(wanted, *found)) {
            left = &left[at + 1..];
            again.insert(id);
        }
    }
    again
}

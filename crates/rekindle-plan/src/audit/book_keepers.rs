//! What those that keep book do not notice by themselves: they know what they looked at, but neither for what else they would have
//! been asked, nor what they were told by others.

use std::collections::BTreeSet;

use super::Orchestrator;
use super::groups::{Book, GroupId, Kind};
use super::rules::{Auditor, RunId};

impl Auditor<'_> {
    /// The orchestrators that keep book and were started again in the last round as they were in this run: told the same, in the same
    /// environment, one after the other. They notice what they look at, but not what they are not asked.
    pub(super) fn asked_again(&self, run: RunId) -> BTreeSet<GroupId> {
        let keepers = |run: RunId| {
            let all = self.groups[run].all.iter().enumerate();
            let tracked =
                all.filter(|(_, group)| matches!(group.kind, Kind::Orchestrator(Orchestrator::Tracked(_))));
            tracked.filter_map(move |(id, _)| Some((id, self.invocation(run, id)?)))
        };
        let now: Vec<_> = keepers(self.runs() - 1).map(|(_, invocation)| invocation).collect();
        let mut left = &now[..];
        let mut again = BTreeSet::new();
        for (id, wanted) in keepers(run) {
            if let Some(at) = left.iter().position(|found| *found == wanted) {
                left = &left[at + 1..];
                again.insert(id);
            }
        }
        again
    }

    /// Whether a group only told something to one that keeps book of what it is told (a build script that only prints), and was not
    /// started again. Whether it has to be, that one knows from what it was told, too, which may not be all.
    pub(super) fn told_an_own_book(&self, run: RunId, group: GroupId) -> bool {
        let found = &self.groups[run].all[group];
        found.kind == Kind::Task
            && found.informs
            && self.rules.informer
            && self.groups[run].started_by(group) == Some(Orchestrator::Tracked(Book::Own))
            && !self.ran_now(run, group)
    }

    /// Whether one that was started to do the same ran in any round.
    fn ran_now(&self, run: RunId, group: GroupId) -> bool {
        let identity = self.identity(run, group);
        let mut now = self.evidence.then.len()..self.runs();
        identity.is_some()
            && now.any(|now| (0..self.groups[now].all.len()).any(|id| self.identity(now, id) == identity))
    }
}

//! What those that keep book of all they were told do not notice by themselves: what else they might have been told.

use super::Orchestrator;
use super::groups::{Book, GroupId, Kind};
use super::rules::{Auditor, RunId};

impl Auditor<'_> {
    /// Whether a group only told something to one that keeps book of what it is told (a build script that only prints), and was not
    /// started again. Whether it has to be, that one knows from what it was told, too, which may not be all.
    pub(super) fn told_an_own_book(&self, run: RunId, group: GroupId) -> bool {
        let found = &self.groups[run].all[group];
        found.kind == Kind::Task
            && found.informs
            && self.rules.informer
            && self.groups[run].started_by(group) == Some(Orchestrator::Tracked(Book::Own))
            && !self.ran_again(run, group, self.evidence.then.len())
    }
}

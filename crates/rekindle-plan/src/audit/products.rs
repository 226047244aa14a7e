//! What somebody left that is still what he left.
//!
//! A product that was made anew since is the later maker's. One that was only added to is not made anew: what was there before
//! is in it. But there is nothing before in what is empty.

use std::collections::BTreeSet;

use super::groups::GroupId;
use super::rules::{Auditor, RunId};
use crate::trace::{Access, PathId, Touch};

impl Auditor<'_> {
    /// What these groups left that is still what they left: nobody made it anew since.
    pub(super) fn products_of(&self, run: RunId, groups: &BTreeSet<GroupId>) -> Vec<(GroupId, Vec<u8>)> {
        let trace = self.trace(run);
        let all = self.groups[run];
        let moved: BTreeSet<PathId> = trace.moves().iter().map(|step| step.to).collect();
        let mut products = Vec::new();
        for group in groups {
            let accesses = all.members(*group).iter().flat_map(|id| &trace.process(*id).accesses);
            for access in accesses {
                let path = trace.paths().get(access.path);
                if access.touch.changes()
                    && trace.left(access.path)
                    && !path.starts_with(b"/")
                    && !self.is_made_later(run, *group, path)
                    && self.facts.exists(path)
                    && (moved.contains(&access.path) || !self.facts.is_directory(path))
                {
                    products.push((*group, path.to_vec()));
                }
            }
        }
        // Another name that it was given, by whomever, is its product, too.
        for step in trace.moves() {
            let [from, to] = [step.from, step.to].map(|id| trace.paths().get(id));
            let mut writers = trace.changes_to(step.from).map(|(process, _)| all.of[process.at()]);
            if let Some(group) = writers.find(|group| groups.contains(group))
                && from != to
                && trace.left(step.to)
                && !self.is_made_later(run, group, to)
                && self.facts.exists(to)
            {
                products.push((group, to.to_vec()));
            }
        }
        products.sort();
        products.dedup();
        products
    }

    /// Whether another command has changed it since.
    pub(super) fn is_taken_over(&self, run: RunId, maker: GroupId, path: &[u8]) -> bool {
        let identity = self.identity(run, maker);
        (run + 1..self.runs()).any(|later| {
            self.changes_in(later, path).any(|(_, group, _)| self.identity(later, group) != identity)
        })
    }

    fn is_made_later(&self, run: RunId, maker: GroupId, path: &[u8]) -> bool {
        let rounds_before = (run + 1).saturating_sub(self.evidence.then.len());
        // What was removed after a round was made by it or before it.
        let is_removed = self.evidence.removed.iter().skip(rounds_before.saturating_sub(1)).flatten();
        is_removed.into_iter().any(|removal| removal.path == path)
            || (run + 1..self.runs()).any(|later| {
                self.changes_in(later, path).any(|(_, group, access)| {
                    access.touch.defines() || self.is_touched(access, path, (run, maker), (later, group))
                })
            })
    }

    /// Whether the same command has opened a file for writing again in which there is nothing, as `touch` does: nothing of what it
    /// was before is left in it.
    fn is_touched(
        &self,
        access: &Access,
        path: &[u8],
        (run, maker): (RunId, GroupId),
        (later, group): (RunId, GroupId),
    ) -> bool {
        let identity = self.identity(run, maker);
        access.touch.any(Touch::UPDATED)
            && identity.is_some()
            && identity == self.identity(later, group)
            && self.facts.is_empty(path)
    }
}

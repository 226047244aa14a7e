//! What has to be there again, and what has to have run again.

use std::collections::{BTreeMap, BTreeSet};

use super::groups::{GroupId, Kind};
use super::rules::{Auditor, Hit, RunId};
use super::trace_facts::{self, describe};
use super::{Finding, Removal, Rule};
use crate::observation::{ChangeKind, SourceChange};
use crate::trace::{Access, Touch};

impl Auditor<'_> {
    /// What was removed has to be there again, or not to be needed for a reason that is known.
    pub(super) fn came_back(&self) -> Result<(), Finding> {
        let removed = self.evidence.removed.iter().flatten();
        self.are_back(removed.filter(|removal| !self.was_made_of_old(removal)))
    }

    /// Whether something was only made in a round, and not by who made it when that ran again: it was made of what was old (a backup).
    fn was_made_of_old(&self, removal: &Removal) -> bool {
        let (run, maker) = removal.maker;
        let Some(groups) = self.groups.get(run).filter(|groups| maker < groups.all.len()) else {
            return false;
        };
        run >= self.evidence.then.len()
            && groups.all[maker].kind == Kind::Task
            && !self.facts.existed(0, &removal.path)
            && self.ran_again(run, maker, run + 1)
    }

    /// What failed in the builds before has to have run again, and what was lost with it has to be there again.
    pub(super) fn is_over(&self) -> Result<(), Finding> {
        let open = self.evidence.open;
        if self.rules.not_made_again {
            self.are_back(open.lost.iter())?;
        }
        if !self.rules.not_run_again {
            return Ok(());
        }
        let then = self.evidence.then.len();
        for run in then.saturating_sub(open.runs)..then {
            if let Some(group) = trace_facts::not_run_again(run, &self.groups, |run| self.trace(run)) {
                let leader = self.trace(run).process(self.groups[run].all[group].leader);
                let change = SourceChange { path: Vec::new(), kind: ChangeKind::Removed };
                let who = describe(self.trace(run), leader);
                return Err(Finding { rule: Rule::NotRunAgain, change, who, product: None });
            }
        }
        Ok(())
    }

    /// What has to be made again because somebody who would perhaps not do so now has removed a part of it, and did not do so now: it is
    /// still missing.
    ///
    /// # Errors
    /// If nothing is left by which it would be made again.
    pub(super) fn what_went_with(
        &self,
        run: RunId,
        group: GroupId,
        hit: &Hit<'_>,
    ) -> Result<Vec<(GroupId, Vec<u8>)>, Finding> {
        let (trace, groups) = (self.trace(run), self.groups[run]);
        let mut missing = Vec::new();
        let accesses = groups.members(group).iter().flat_map(|id| &trace.process(*id).accesses);
        for access in accesses.filter(|access| access.touch.any(Touch::REMOVED)) {
            let path = trace.paths().get(access.path);
            if trace.left(access.path) || path.starts_with(b"/") || self.facts.exists(path) {
                continue;
            }
            let before = |made: &Access| {
                made.touch.any(Touch::MAKES) && made.changed > 0 && made.changed < access.changed_last
            };
            let made = trace.changes_to(access.path).filter(|(_, made)| before(made));
            let makers = made.map(|(maker, _)| groups.of[maker.at()]);
            let makers: BTreeSet<GroupId> =
                makers.filter(|maker| groups.all[*maker].kind == Kind::Task).collect();
            if makers.is_empty()
                || makers.contains(&group)
                || self.is_below_what_went(run, path)
                || self.was_removed_now(run, group, path)
            {
                continue;
            }
            let products = self.products_of(run, &makers);
            if products.is_empty() {
                let change = SourceChange { path: path.to_vec(), kind: ChangeKind::Removed };
                let who = describe(trace, hit.process);
                return Err(Finding { rule: Rule::NotMadeAgain, change, who, product: None });
            }
            missing.extend(products);
        }
        Ok(missing)
    }

    /// Whether something lies in a directory that the run made and that is not there any more: that was made for a while.
    fn is_below_what_went(&self, run: RunId, path: &[u8]) -> bool {
        let trace = self.trace(run);
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        ends.map(|end| &path[..end]).any(|dir| {
            trace.paths().find(dir).is_some_and(|id| {
                !trace.left(id)
                    && trace.changes_to(id).any(|(_, access)| access.touch.any(Touch::CREATED))
                    && !self.facts.exists(dir)
            })
        })
    }

    /// Whether one that was started to do the same removed something in a round, or looked for it.
    fn was_removed_now(&self, run: RunId, group: GroupId, path: &[u8]) -> bool {
        let identity = self.identity(run, group);
        (self.evidence.then.len()..self.runs()).any(|now| {
            let trace = self.trace(now);
            let of = &self.groups[now].of;
            let looked = trace.paths().find(path).into_iter().flat_map(|id| trace.accesses_to(id));
            let mut looked = looked.filter(|(_, access)| access.touch.any(Touch::REMOVED.and(Touch::ABSENT)));
            identity.is_some() && looked.any(|(process, _)| self.identity(now, of[process.at()]) == identity)
        })
    }

    fn are_back<'r>(&self, removed: impl Iterator<Item = &'r Removal>) -> Result<(), Finding> {
        let mut makers: BTreeMap<(usize, usize), Vec<(&Removal, bool)>> = BTreeMap::new();
        for removal in removed {
            let exists = self.facts.exists(&removal.path);
            makers.entry(removal.maker).or_default().push((removal, exists));
        }
        for removals in makers.values() {
            let some_exist = removals.iter().any(|(_, exists)| *exists);
            let missing =
                removals.iter().find(|(removal, exists)| !exists && (some_exist || !removal.is_tracked));
            if let Some((removal, _)) = missing {
                let change = SourceChange { path: removal.path.clone(), kind: ChangeKind::Removed };
                return Err(Finding::of_nobody(Rule::NotMadeAgain, change));
            }
        }
        Ok(())
    }
}

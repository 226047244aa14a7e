//! What follows from it that a group looked at something: what it left itself has to go, and what was started by it later.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use super::groups::{GroupId, Kind};
use super::rules::{Auditor, Hit, RunId};
use super::trace_facts::describe;
use super::{Finding, Orchestrator, Removal, Rule};
use crate::observation::ChangeKind;

impl<'a> Auditor<'a> {
    /// Has go what is not certain any more. A tracked orchestrator knows by itself, but for what it was told no more.
    ///
    /// # Errors
    /// With the reason, if nothing but a clean run helps.
    pub(super) fn follow(
        &mut self,
        run: RunId,
        group: GroupId,
        hit: Hit<'a>,
        rule: Rule,
    ) -> Result<(), Finding> {
        if let Kind::Orchestrator(Orchestrator::Tracked(book)) = self.groups[run].all[group].kind {
            if rule == Rule::Producer && self.rules.forgotten {
                return self.forget(run, group, &hit, book);
            }
            return Ok(());
        }
        let leader = self.trace(run).process(self.groups[run].all[group].leader);
        if rule == Rule::Producer && self.told_an_own_book(run, group) {
            // What it told is in its book, and nobody knows where.
            let who = describe(self.trace(run), leader);
            return Err(Finding { rule: Rule::Orchestrator, change: hit.change, who, product: None });
        }
        if hit.is_past {
            let who = describe(self.trace(run), hit.process);
            return Err(Finding { rule: Rule::Moment, change: hit.change, who, product: None });
        }
        let failing = self.doubtful(run, group, &hit, rule)?;
        let Some((_, product)) = failing.iter().find(|(_, path)| !self.is_private(path)) else {
            return Ok(());
        };
        let decides = self.decides(run, group);
        // Of a task it is told what was started, not which of its processes read.
        let who = describe(self.trace(run), if decides { hit.process } else { leader });
        let rule = if decides && rule == Rule::Producer { Rule::Orchestrator } else { rule };
        let mut finding = Finding { rule, change: hit.change.clone(), who, product: Some(product.clone()) };
        let groups = self.groups[run];
        // One that nothing but the shell is above decides about all.
        let is_top = decides && groups.started_by(group).is_none();
        let is_moved = failing.iter().any(|(_, path)| self.facts.is_directory(path));
        let makes_more = is_top && failing.iter().any(|(maker, _)| *maker != group);
        if makes_more || is_moved {
            finding.product = None;
            return Err(finding);
        }
        for (maker, path) in failing {
            // Who keeps book of its maker need not know of a file that several write.
            let is_tracked =
                rule != Rule::Overwritten && groups.started_by(maker).is_some_and(Orchestrator::is_tracked);
            let removal = Removal { path: path.clone(), is_tracked, maker: (run, maker) };
            self.failing.entry(path).or_insert(removal);
        }
        self.findings.push(finding);
        if hit.is_too_early {
            let path = hit.change.path;
            let removal = Removal { path: path.clone(), is_tracked: false, maker: (run, usize::MAX) };
            self.failing.entry(path).or_insert(removal);
        }
        Ok(())
    }

    fn decides(&self, run: RunId, group: GroupId) -> bool {
        matches!(self.groups[run].all[group].kind, Kind::Orchestrator(_) | Kind::Shell)
    }

    /// What may be another in a clean build, and who made it.
    fn doubtful(
        &self,
        run: RunId,
        group: GroupId,
        hit: &Hit<'a>,
        rule: Rule,
    ) -> Result<Vec<(GroupId, Vec<u8>)>, Finding> {
        let is_task = !self.decides(run, group);
        let mut doubtful = self.products_of(run, &self.concerned(run, group, hit, rule));
        if rule == Rule::Producer && is_task && self.rules.not_made_again {
            doubtful.extend(self.what_went_with(run, group, hit)?);
        }
        // Where there is nothing else by which it is started again, it is what was overwritten.
        if hit.is_overwritten && doubtful.is_empty() && self.facts.exists(&hit.change.path) {
            doubtful.push((group, hit.change.path.clone()));
        }
        // To compare contents says nothing about a mode.
        if rule == Rule::Producer && is_task && hit.change.kind != ChangeKind::Mode {
            doubtful.retain(|(maker, path)| !self.was_compared(run, *maker, path));
        }
        Ok(doubtful)
    }

    /// The group itself, as far as the rule is on, and those that were started by it later.
    fn concerned(&self, run: RunId, group: GroupId, hit: &Hit<'a>, rule: Rule) -> BTreeSet<GroupId> {
        let groups = self.groups[run];
        let mut concerned = BTreeSet::new();
        let is_on = if self.decides(run, group) { self.rules.orchestrator } else { self.rules.producer };
        if rule != Rule::Producer || is_on {
            concerned.insert(group);
        }
        if rule != Rule::OldProduct && !self.rules.orchestrator {
            return concerned;
        }
        let asked_again = OnceCell::new();
        let runs_beside = |teller: GroupId, this: GroupId| {
            let [teller, this] = [teller, this].map(|id| self.trace(run).process(groups.all[id].leader));
            this.ended > teller.started
        };
        for (id, below) in groups.all.iter().enumerate() {
            let Some(parent) = below.parent else { continue };
            let is_later = || {
                parent != group
                    || self.start_of(run, id) > hit.at
                    || hit.told_by.is_some_and(|teller| runs_beside(teller, id))
            };
            let decides_for_itself = || {
                matches!(below.kind, Kind::Orchestrator(found) if found.is_tracked())
                    && asked_again.get_or_init(|| self.asked_again(run)).contains(&id)
            };
            if concerned.contains(&parent) && is_later() && !decides_for_itself() {
                concerned.insert(id);
            }
        }
        concerned
    }
}

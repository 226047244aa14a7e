//! What has to be there again, and what has to have run again.

use std::collections::BTreeMap;

use super::rules::Auditor;
use super::trace_facts::{self, describe};
use super::{Finding, Removal, Rule};
use crate::observation::{ChangeKind, SourceChange};

impl Auditor<'_> {
    /// What was removed has to be there again, or not to be needed for a reason that is known.
    pub(super) fn came_back(&self) -> Result<(), Finding> {
        self.are_back(self.evidence.removed.iter().flatten())
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

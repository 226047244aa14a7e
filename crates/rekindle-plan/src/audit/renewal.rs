//! An end to what is carried along from build to build.
//!
//! What a build did is kept as long as anything that it made is still there, and is gone through in each later one. Who edits
//! one file after the other leaves something of each build, for years. So where there are too many, what the oldest ones
//! made is made again, and then nothing of them is left. It costs what those edits cost, once; half of them go at a time, so
//! that it is rare. The first run stays: what it made is the tree itself.

use super::groups::Kind;
use super::rules::Auditor;
use super::{Finding, Rule};
use crate::observation::{ChangeKind, SourceChange};

/// So many runs before this one are gone through. What an edit of the kernel did, which starts some fifteen hundred
/// programs that find nothing to do, takes 175 KB on disk, packed.
pub(super) const MOST_RUNS: usize = 64;

impl Auditor<'_> {
    /// Has go what is left of the oldest runs, if there are too many. Only once: what does not go by that stays.
    pub(super) fn renew(&mut self) {
        let then = self.evidence.then.len();
        if then <= MOST_RUNS || self.evidence.rounds.len() > 1 {
            return;
        }
        for run in 1..then - MOST_RUNS / 2 {
            let groups = self.groups[run].all.iter().enumerate();
            let tasks = groups.filter(|(_, group)| group.kind == Kind::Task).map(|(id, _)| id).collect();
            let products = self.products_of(run, &tasks);
            if let Some((_, path)) = products.iter().find(|(_, path)| !self.is_private(path)) {
                let change = SourceChange { path: path.clone(), kind: ChangeKind::Content };
                self.findings.push(Finding::of_nobody(Rule::Renewed, change));
            }
            for (group, path) in products {
                self.fail(path, (run, group));
            }
        }
    }
}

//! What becomes of a step: the facts that `rekindle_plan` judges by, found out.

use std::path::Path;
use std::rc::Rc;

use rekindle_layers::View;
use rekindle_plan::{
    BaseStep, Before, Chain, Effect, Facts, Judged, Reason, Seedable, Unusable, Verdict, judge,
};

use super::Attempt;
use crate::base::CHAIN_LIMIT;
use crate::error::Error;
use crate::recipes::Planned;
use crate::tree::{Changes, Stack, paths};
use crate::world::TREE_STORE;

/// With more runs than this of which something is left, a clean one begins again: the audit looks at all of them.
const MOST_RUNS: usize = 200;

impl Attempt<'_> {
    /// Finds out what can be done with a step. With a verdict to seed it come the changes to apply.
    pub(super) fn judge(
        &mut self,
        index: usize,
        phase: &str,
        planned: &Planned,
    ) -> Result<(Judged, Option<Rc<Changes>>), Error> {
        let base = match (&self.given.base, self.given.keeps) {
            (Ok(base), true) => base,
            (Err(unusable), _) => {
                let reason = if self.given.clean { Reason::Clean } else { Reason::Base(*unusable) };
                return Ok((Judged { verdict: Verdict::Run, reason }, None));
            }
            _ => return Ok((Judged { verdict: Verdict::Run, reason: Reason::Clean }, None)),
        };
        let Some(then) = base.steps.get(index) else {
            let reason = Reason::Base(Unusable::NotReached);
            return Ok((Judged { verdict: Verdict::Run, reason }, None));
        };
        if let Some(difference) = planned.recipe.difference(&then.recipe) {
            let since = self.given.world.toolchain.and_then(|toolchain| toolchain.since.as_deref());
            let difference = difference.of_toolchain(since);
            return Ok((Judged { verdict: Verdict::Run, reason: Reason::Recipe(difference) }, None));
        }
        let (tree_then, state_then) = match index.checked_sub(1) {
            Some(before) => (&base.steps[before].tree, &base.steps[before].state[..]),
            None => (&base.source, &b""[..]),
        };
        let changes = match (&self.sources, self.some_ran) {
            (Some(sources), false) => Rc::clone(sources),
            _ => {
                let bottom = self.bottom.upper();
                let (then, now) = if self.some_ran {
                    (paths(tree_then, bottom), paths(&self.tree, bottom))
                } else {
                    (paths(&base.source, bottom), paths(&self.given.source, bottom))
                };
                let changes = Rc::new(Changes::between(&then, &now)?);
                if !self.some_ran {
                    self.sources = Some(Rc::clone(&changes));
                }
                changes
            }
        };
        let effect = changes.effect(&then.observations);
        let state_now = self.kept.last().map_or(&b""[..], |kept| &kept.state[..]);
        let (before, sources) = if self.some_ran {
            let same_state = state_now == state_then;
            (Before::SomeRan { same_state, tree: effect }, Effect::Unchanged)
        } else {
            (Before::AllKept, effect)
        };
        let seedable = Seedable::default().allows(Some(phase));
        let observed = self.given.observes && then.traces.is_some();
        let runs = then.traces.as_ref().map_or(0, Vec::len);
        let depth = if runs < MOST_RUNS { base.depth } else { CHAIN_LIMIT };
        let can_go_on = seedable && observed && depth < CHAIN_LIMIT;
        let mut judged = judge(Facts {
            clean: self.given.clean,
            base: if then.open.is_some() { BaseStep::Failed } else { BaseStep::Succeeded },
            recipe: None,
            before,
            sources,
            seedable,
            observed,
            outputs_written: seedable && self.has_outputs(&then.tree)?,
            chain: Chain { depth, limit: CHAIN_LIMIT },
        });
        if judged.verdict == Verdict::Skip && then.own.is_none() {
            // What it left cannot be told from what it was given.
            judged.verdict = if can_go_on { Verdict::Seed } else { Verdict::Run };
        }
        if judged.verdict != Verdict::Seed {
            return Ok((judged, None));
        }
        // The changes of the sources alone are those of the tree only at its bottom.
        let changes = if self.some_ran {
            changes
        } else {
            let bottom = self.bottom.upper();
            Rc::new(Changes::between(&paths(tree_then, bottom), &paths(&self.tree, bottom))?)
        };
        Ok((judged, Some(changes)))
    }

    /// Sees to it that every tool sees the changes of a seeded step, by waiting if it has to be.
    pub(super) fn mark_differently(&mut self, index: usize, changes: &Changes) -> Result<(), Error> {
        let bottom = self.bottom.upper();
        let Ok(base) = &mut self.given.base else { return Ok(()) };
        let Some(mark) = base.mark else { return Ok(()) };
        let (now, onto) = (paths(&self.tree, bottom), paths(&base.steps[index].tree, bottom));
        if changes.look_the_same(&now, &onto, mark, &base.canaries)? {
            base.wait_for_another_second();
        }
        Ok(())
    }

    /// Whether a tree has something where an output is to come.
    fn has_outputs(&self, tree: &Stack) -> Result<bool, Error> {
        let view = View::of_layers(&paths(tree, self.bottom.upper()), Path::new(TREE_STORE))?;
        for output in self.given.outputs {
            if view.metadata(Path::new(output.scratch.base_name()))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

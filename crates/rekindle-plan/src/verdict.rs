//! What becomes of a step, given what an earlier build of it left: the cheapest thing that is right.
//!
//! Steps are judged in order, each when those before it are over, from facts that the caller found out. The first
//! row that fits decides, so every verdict has one reason, and what is doubtful ends in `Run`:
//!
//! | fact | verdict |
//! | --- | --- |
//! | a clean build was asked for | run |
//! | there is nothing to take from: no checkpoint, or not one that can be used | run |
//! | another recipe | run |
//! | the steps before left another state | run |
//! | the step failed in the checkpoint, or saw something that changed: it cannot go on from what it left, its processes were not observed, it would find its own outputs, or the chain is too deep | run |
//! | the same: it can | seed |
//! | something changed that it did not look at | skip |
//! | nothing changed | reuse |
//!
//! A step's recipe key holds that of the step before it. So once a step runs for its recipe, those after it do, too,
//! and no rule is needed for that. A step that runs for any other reason may leave what it left before, and then
//! those after it are reused.
//!
//! It must not know where a checkpoint lies or how a step is run.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::observation::{Observations, Seen, SourceChange};
use crate::recipe::Difference;

/// What is done with a step, from the cheapest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// What it left is taken as it is.
    Reuse,
    /// What it left still holds, although something that it does not look at changed.
    Skip,
    /// It runs on top of what it left, with the changes applied.
    Seed,
    /// It runs on the tree of the step before it.
    Run,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Reuse => "reuse",
            Verdict::Skip => "skip",
            Verdict::Seed => "seed",
            Verdict::Run => "run",
        })
    }
}

/// Why a checkpoint, or one step of it, can give nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unusable {
    /// There is none.
    Absent,
    /// Its build ended before this step, or what the step left was not worth keeping.
    NotReached,
    /// A comparison with a clean build found it wrong.
    Quarantined,
    /// It cannot be read, or not all of it.
    Damaged,
    /// It was written by another version of this program.
    OtherVersion,
    /// It was made on another architecture.
    OtherArchitecture,
    /// The step failed when it went on from it; the same may not happen without.
    SeedFailed,
    /// The step went on from it, and then an output held the file time by which changed sources are marked.
    TimeInOutput,
}

impl Unusable {
    /// A name for machines.
    pub fn name(self) -> &'static str {
        match self {
            Unusable::Absent => "no-checkpoint",
            Unusable::NotReached => "not-reached",
            Unusable::Quarantined => "quarantined",
            Unusable::Damaged => "damaged",
            Unusable::OtherVersion => "other-version",
            Unusable::OtherArchitecture => "other-architecture",
            Unusable::SeedFailed => "seed-failed",
            Unusable::TimeInOutput => "time-in-output",
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unusable::Absent => "there is no checkpoint",
            Unusable::NotReached => "the checkpoint has nothing of this step",
            Unusable::Quarantined => "the checkpoint is in quarantine",
            Unusable::Damaged => "the checkpoint is damaged",
            Unusable::OtherVersion => "the checkpoint is of another version",
            Unusable::OtherArchitecture => "the checkpoint was made on another architecture",
            Unusable::SeedFailed => "it failed when it went on from the checkpoint",
            Unusable::TimeInOutput => "an output holds the file time that marks changed sources",
        })
    }
}

/// What the checkpoint has for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseStep {
    /// What the step left when it ended well.
    Succeeded,
    /// What it left when it failed.
    Failed,
    /// Nothing.
    Unusable(Unusable),
}

/// What changes of the tree before a step mean for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// There are none.
    Unchanged,
    /// The step looked at none of them.
    Unseen,
    /// The step looked at this one, maybe at others, too.
    Seen(Seen),
}

impl Effect {
    /// Holds changes against what the step observed.
    pub fn of(changes: &[SourceChange], observations: &Observations) -> Effect {
        match observations.first_seen(changes) {
            Some(seen) => Effect::Seen(seen),
            None if changes.is_empty() => Effect::Unchanged,
            None => Effect::Unseen,
        }
    }
}

/// What became of the steps before.
///
/// It is all of them that count, not the last one only: a step may skip what an earlier one left differently, and
/// the step after it look at just that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// Each was reused or skipped, or there is none. The tree before this step differs by the sources alone.
    AllKept,
    /// One or more ran, seeded or not.
    SomeRan {
        /// Whether the state before this step is the same.
        same_state: bool,
        /// The differences between the tree before this step then and now, sources included.
        tree: Effect,
    },
}

/// How many builds went on from one another, up to the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// 0 for a checkpoint of a clean build.
    pub depth: u32,
    /// From this depth on none is added.
    pub limit: u32,
}

/// What is known of a step when its turn comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whether the user asked for a clean build.
    pub clean: bool,
    /// What the checkpoint has for it.
    pub base: BaseStep,
    /// How its recipe differs from the checkpoint's, or `None` if their keys are equal.
    pub recipe: Option<Difference>,
    /// What became of the steps before.
    pub before: Before,
    /// What the changes of the package's sources mean for it.
    pub sources: Effect,
    /// Whether it can go on from what it left; see [`Seedable`](crate::Seedable).
    pub seedable: bool,
    /// Whether it is known what its processes did, so that its result can be audited.
    pub observed: bool,
    /// Whether it had written into the outputs in the checkpoint.
    pub outputs_written: bool,
    /// Where in a chain the checkpoint stands.
    pub chain: Chain,
}

/// Why a verdict is what it is. `Display` is one clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Nothing changed.
    Unchanged,
    /// Steps before ran, and left what they left before.
    LeftTheSame,
    /// Something changed, and the step looked at none of it.
    Unobserved,
    /// A source that the step looked at changed.
    Source(Seen),
    /// The steps before left another tree, and this step looked at what differs.
    Tree(Seen),
    /// The steps before left another state.
    State,
    /// The recipe is another one.
    Recipe(Difference),
    /// The step failed in the checkpoint.
    FailedBefore,
    /// The checkpoint is at the end of a chain that is long enough.
    TooDeep {
        /// How many builds went on from one another.
        depth: u32,
    },
    /// In the checkpoint the step had written into the outputs, where a clean run finds nothing.
    OutputsWritten,
    /// What its processes did is not known, so that nobody could tell whether what came of it is right.
    NotObserved,
    /// The user asked for a clean build.
    Clean,
    /// There is nothing to take from.
    Base(Unusable),
}

impl Reason {
    /// A name for machines.
    pub fn name(&self) -> &'static str {
        match self {
            Reason::Unchanged => "unchanged",
            Reason::LeftTheSame => "left-the-same",
            Reason::Unobserved => "unobserved",
            Reason::Source(_) => "source",
            Reason::Tree(_) => "tree",
            Reason::State => "state",
            Reason::Recipe(_) => "recipe",
            Reason::FailedBefore => "failed-before",
            Reason::TooDeep { .. } => "too-deep",
            Reason::OutputsWritten => "outputs-written",
            Reason::NotObserved => "not-observed",
            Reason::Clean => "clean",
            Reason::Base(unusable) => unusable.name(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Unchanged => f.write_str("nothing changed"),
            Reason::LeftTheSame => f.write_str("steps before it ran and left the same"),
            Reason::Unobserved => f.write_str("it looked at nothing that changed"),
            Reason::Source(seen) => write!(f, "source {seen}"),
            Reason::Tree(seen) => write!(f, "the steps before it left another tree: {seen}"),
            Reason::State => f.write_str("the steps before it left another state"),
            Reason::Recipe(difference) => write!(f, "another recipe: {difference}"),
            Reason::FailedBefore => f.write_str("it failed in the checkpoint"),
            Reason::TooDeep { depth } => {
                write!(f, "{depth} builds went on from one another up to the checkpoint")
            }
            Reason::OutputsWritten => f.write_str("it writes into the outputs, and would find what it wrote"),
            Reason::NotObserved => f.write_str("what its processes did is not known"),
            Reason::Clean => f.write_str("a clean build was asked for"),
            Reason::Base(unusable) => fmt::Display::fmt(unusable, f),
        }
    }
}

/// A verdict and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What is done with the step.
    pub verdict: Verdict,
    /// Why not something cheaper.
    pub reason: Reason,
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.verdict, self.reason)
    }
}

/// Judges one step.
pub fn judge(facts: Facts) -> Judged {
    let Facts { clean, base, recipe, before, sources, seedable, observed, outputs_written, chain } = facts;
    let judged = |verdict, reason| Judged { verdict, reason };
    if clean {
        return judged(Verdict::Run, Reason::Clean);
    }
    if let BaseStep::Unusable(unusable) = base {
        return judged(Verdict::Run, Reason::Base(unusable));
    }
    if let Some(difference) = recipe {
        return judged(Verdict::Run, Reason::Recipe(difference));
    }
    let (before_ran, tree) = match before {
        Before::SomeRan { same_state: false, .. } => return judged(Verdict::Run, Reason::State),
        Before::SomeRan { same_state: true, tree } => (true, tree),
        Before::AllKept => (false, Effect::Unchanged),
    };
    let redo = match (base, sources, tree) {
        (BaseStep::Failed, ..) => Reason::FailedBefore,
        (_, Effect::Seen(seen), _) => Reason::Source(seen),
        (_, _, Effect::Seen(seen)) => Reason::Tree(seen),
        (_, Effect::Unseen, _) | (_, _, Effect::Unseen) => return judged(Verdict::Skip, Reason::Unobserved),
        _ if before_ran => return judged(Verdict::Reuse, Reason::LeftTheSame),
        _ => return judged(Verdict::Reuse, Reason::Unchanged),
    };
    if !seedable {
        judged(Verdict::Run, redo)
    } else if !observed {
        judged(Verdict::Run, Reason::NotObserved)
    } else if outputs_written {
        judged(Verdict::Run, Reason::OutputsWritten)
    } else if chain.depth >= chain.limit {
        judged(Verdict::Run, Reason::TooDeep { depth: chain.depth })
    } else {
        judged(Verdict::Seed, redo)
    }
}

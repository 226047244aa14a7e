//! The audit: whether a tree that a seeded step left is one that a clean build could have left.
//!
//! A seeded step runs on what it left last time. Its build tool decides what to do again, by its own idea of what depends
//! on what, and that may be wrong. The traces say what really depended on what. Let D be all that differs between the tree
//! that the step left then and the tree now. What is not in D went through the same moments then as it would in a
//! clean build now. So the tree is right if
//!
//! - **producer**: no product that is still there was made by someone who had looked at something in D;
//! - **old product**: no one who ran now looked at an old product that is in D: it saw what was then replaced;
//! - **orchestrator**: nobody who decides *what* is made (a makefile's `make`, a script) had looked at something in D, unless it
//!   is one that keeps book of what it was told to run, and does it again when that changes ([`groups`]), and that was started
//!   itself as it was then ([`asked`]). What a plain make left that is not asked for as
//!   it was then may not be what is asked for now (**asked otherwise**).
//!
//! Who looked is not one process but a *group*: all that one line of a makefile starts, say, because what one process of
//! it read may reach another through a pipe, an exit code or an argument. What a group reads counts against all that it left.
//! A group that left nothing can only have told something to who started it, and so counts against that (**informer**).
//! What passes from one group to another through a file that is gone, or a pipe, is followed (**handed on**); who made the pipe
//! has heard what was written to it, whatever the writer left besides (**heard**, [`streams`]). What is made of what a build tool prints is
//! not kept (**printed**): that is what it had to do this time. Nor is what a make told a recipe of what is newer (**newer**, [`asked`]).
//!
//! A line of a recipe that left nothing may leave something when what it had looked at is another, and has to have run again (**silent**).
//!
//! Who removed a part of what another one made, and has not done so again, has that made again ([`returns`]).
//!
//! Of several that write the same file, the one that wrote it last then has to have done so again if any of them has
//! (**overwritten**, [`overwritten`]).
//!
//! What a command makes in what it had made itself, as that was there already, is not where a clean build has it (**nested**,
//! [`nested`]).
//!
//! What ran now may also have found a file that in a clean build would not be there yet (**order**): that of another one that runs
//! later, or its own, if it changes it in place; or a source that somebody changes or removes later, or not find what is only there
//! for a while (**moment**, [`moments`]). And who empties an old file and writes it anew leaves it the mode that it had
//! (**old mode**), where a clean build would have made it with another.
//!
//! Where a link among the sources leads elsewhere, nobody knows who had asked where it leads (**link**).
//!
//! Files of a tool's own do not count: what orchestrators alone read to know what to look at is *advice*, and may be old ([`advice`]).
//! And no source may have been made by the build that was not then: to a build tool that goes by times, a changed source is newer than one beside it.
//!
//! A step that failed may be gone on from as well, without what its failed commands had made ([`unfinished`]). Then what was there
//! before and is not any more has to come back, and what failed has to run again.
//!
//! What was made too many builds ago is made again, so that this takes no longer the longer a chain of builds is ([`renewal`]).
//!
//! What breaks a rule is removed from the tree, and the step runs again: that is another *round*, of which the audit is told.
//! Where that cannot help, the step has to run clean. All that is asked of the trees is asked through [`Facts`]. It must not know
//! where traces and trees lie.

mod advice;
mod asked;
mod book_keepers;
mod companions;
mod compared;
mod consequences;
mod failure;
mod finding;
mod forgotten;
pub(crate) mod groups;
mod leftovers;
mod looks;
pub(crate) mod marks;
mod meant;
mod moments;
mod nested;
mod overwritten;
mod products;
mod renewal;
mod returns;
mod rules;
mod ruleset;
mod said;
mod streams;
#[cfg(test)]
mod tests;
mod told;
mod trace_facts;
mod undone;
mod unfinished;

use std::sync::OnceLock;

use crate::observation::SourceChange;
use crate::trace::{Exec, Trace};

pub use advice::Advice;
pub use failure::HowItFailed;
pub use finding::{Finding, Rule};
use groups::{Groups, Orchestrator};
pub use meant::LeftNames;
use rules::Auditor;
pub use ruleset::Rules;
pub use said::Said;
pub use unfinished::Unfinished;

/// What the audit has to know of the trees. Paths are those of the trace. Round 0 is what the checkpoint's step left; round 1
/// is what the seeded step left, and so on.
pub trait Facts {
    /// How the last tree differs from the tree after this round, in no order. Only called for rounds before the last.
    fn changed_since(&self, round: usize) -> &[SourceChange];
    /// Whether this path was given another content, or removed, between the end of the round before this one and its beginning.
    fn was_prepared(&self, round: usize, path: &[u8]) -> bool;
    /// Whether the tree after this round has just the same at this path as the tree before the step has.
    fn is_source(&self, round: usize, path: &[u8]) -> bool;
    /// Whether it is there in the last tree.
    fn exists(&self, path: &[u8]) -> bool;
    /// Whether it is in the tree after this round.
    fn existed(&self, round: usize, path: &[u8]) -> bool;
    /// Whether it is a directory in the last tree.
    fn is_directory(&self, path: &[u8]) -> bool;
    /// The names in a directory there.
    fn names_in(&self, path: &[u8]) -> Vec<Vec<u8>>;
    /// Whether it is a file with nothing in it there.
    fn is_empty(&self, path: &[u8]) -> bool;
    /// Whether it is in the tree after this round and in the last one, with the same mode.
    fn has_same_mode(&self, round: usize, path: &[u8]) -> bool;
    /// Whether the tree before the step has anything at this path.
    fn is_in_sources(&self, path: &[u8]) -> bool;
    /// Whether it is a build tool's own book, which nobody else reads.
    fn is_book(&self, path: &[u8]) -> bool;
    /// What this file says in the tree after this round, if that is nothing but rules about what depends on what. Where there is none,
    /// nothing is said.
    fn advice(&self, round: usize, path: &[u8]) -> Option<Advice>;
    /// Whether a make that read these makefiles may have meant this name when it listed the directory that it is in: it always
    /// lists directories, to be quicker than by asking for each name. `made` is what it, or another one, made.
    fn is_meant(&self, makefiles: &[&[u8]], path: &[u8], made: &LeftNames<'_>) -> bool;
    /// The first of these paths for which one of these makefiles has make ask by its name: it does not list a directory for that.
    fn asked_for<'p>(&self, makefiles: &[&[u8]], paths: &[&'p [u8]]) -> Option<&'p [u8]>;
    /// Whether this is a makefile in which make reads the same in the last tree as in that of round 0: only comments differ.
    fn reads_alike(&self, path: &[u8]) -> bool;
    /// Whether one of these makefiles tells a recipe what is newer than what it makes (`$?`).
    fn says_what_is_newer(&self, makefiles: &[&[u8]]) -> bool;
    /// Whether one of these makefiles has a recipe that speaks of all that it makes something from (`$^`), where the last component of that
    /// may be one of these.
    fn speaks_of_prerequisites(&self, makefiles: &[&[u8]], names: &[&[u8]]) -> bool;
    /// Whether the recipe for this path in one of these makefiles was another one in the tree of round 0.
    fn has_other_recipe(&self, makefiles: &[&[u8]], path: &[u8]) -> bool;
    /// Whether a ninja that is called so is told by this file of the tree after this round what to make.
    fn tells_ninja(&self, round: usize, call: Call<'_>, path: &[u8]) -> bool;
    /// Whether what such a ninja is told in the last tree has it make this path, and it would have noticed if it was told in the tree
    /// of round 0 to make it otherwise.
    fn is_asked_of_ninja(&self, call: Call<'_>, path: &[u8]) -> bool;
}

/// How a program was called.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// What it was told.
    pub exec: &'a Exec,
    /// Where, as a path of the trace.
    pub cwd: &'a [u8],
}

/// One run of the step, with what an audit works out about it by itself.
#[derive(Debug, Default)]
pub struct Run {
    trace: Trace,
    groups: OnceLock<Groups>,
}

impl Run {
    /// A run that did this.
    pub fn new(trace: Trace) -> Run {
        Run { trace, groups: OnceLock::new() }
    }

    /// What it did.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Works out all that takes time in proportion to the trace. Otherwise the first audit does.
    pub fn prepare(&self) {
        self.groups();
        self.trace.index();
    }

    fn groups(&self) -> &Groups {
        self.groups.get_or_init(|| Groups::new(&self.trace))
    }
}

/// What the step left and did, then and now.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What the step did in the builds up to the checkpoint, oldest first.
    pub then: &'a [Run],
    /// What it did now, one for each round.
    pub rounds: &'a [Run],
    /// What was removed after each round but the last.
    pub removed: &'a [Vec<Removal>],
    /// What the checkpoint's step left of itself, if it failed.
    pub open: Open<'a>,
}

/// What is not settled of the runs that failed since the step last ended well.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open<'a> {
    /// So many of the last runs of the builds before failed.
    pub runs: usize,
    /// Since so many of the last of these nothing has changed by which anybody decided what to run.
    pub alike: usize,
    /// What had been there before they failed, and has to come back.
    pub lost: &'a [Removal],
}

/// A product that has to go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Removal {
    /// Where it is.
    pub path: Vec<u8>,
    /// Whether who started its maker would make it again if it were needed, because it keeps book of it.
    pub is_tracked: bool,
    /// Equal for what was made by one group.
    pub maker: (usize, usize),
}

/// What the audit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A clean build could have left this tree.
    Settled,
    /// These products may not be what a clean build makes. They are to be removed (or to become the sources again that they
    /// are), and the step is to run again.
    Redo {
        /// Ascending, each once, never empty.
        remove: Vec<Removal>,
        /// Why, at most one for each rule and group.
        findings: Vec<Finding>,
    },
    /// The step has to run clean.
    Clean(Finding),
}

/// Why a clean build may not fail where the last round failed, in a clause; nothing if it fails there, too.
pub fn doubt(evidence: Evidence<'_>, facts: &dyn Facts, rules: Rules, how: &HowItFailed) -> Option<String> {
    Auditor::new(evidence, facts, rules).doubt(how)
}

/// Tells of each of these runs, oldest first, whether anything is left that no later one made anew. Of the last runs so many
/// failed with none since that ended well: such a one is needed, too, until all that failed in it ran again, and the last is
/// always.
pub fn needed(runs: &[&Run], open: usize) -> Vec<bool> {
    trace_facts::needed(runs, open)
}

/// What can be kept of the tree that the last round left, in which the step failed; or why nothing can be, in a clause.
///
/// # Errors
/// If it is not certain what the commands that failed have changed, or whether the rest is what a clean build makes.
pub fn unfinished(
    evidence: Evidence<'_>,
    facts: &dyn Facts,
    rules: Rules,
    how: &HowItFailed,
) -> Result<Unfinished, String> {
    Auditor::new(evidence, facts, rules).unfinished(how)
}

/// Audits what a seeded step left.
pub fn audit(evidence: Evidence<'_>, facts: &dyn Facts, rules: Rules) -> Verdict {
    Auditor::new(evidence, facts, rules).verdict()
}

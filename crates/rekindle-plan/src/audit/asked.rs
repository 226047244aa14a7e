//! What orchestrators were asked for, and what that means for what they told others.
//!
//! The shell of a step runs anew each time, and asks again. By what it decides to ask is not always seen (an exit code, a time), but what
//! it asks is. One that keeps book notices what it looks at, but not what it is not asked; a plain make does not even know what it was
//! asked before. And a plain make that is asked the same, and has looked at nothing that is another now, still tells its recipes one
//! thing that is not in any file: what is newer (`$?`).

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::groups::{GroupId, Kind, is_make};
use super::rules::{Auditor, Hit, RunId};
use super::trace_facts::describe;
use super::{Finding, Orchestrator, Rule};
use crate::observation::{ChangeKind, SourceChange};
use crate::trace::{Access, Arguments};

impl<'a> Auditor<'a> {
    /// The orchestrators that keep book and were started again in the last round as they were in this run: told the same, in the same
    /// environment, one after the other.
    pub(super) fn asked_again(&self, run: RunId) -> BTreeSet<GroupId> {
        let keepers = |run: RunId| {
            let all = self.groups[run].all.iter().enumerate();
            let tracked =
                all.filter(|(_, group)| matches!(group.kind, Kind::Orchestrator(Orchestrator::Tracked(_))));
            tracked.filter_map(move |(id, _)| Some((id, self.invocation(run, id)?)))
        };
        let now: Vec<_> = keepers(self.runs() - 1).map(|(_, invocation)| invocation).collect();
        in_turn(keepers(run), &now)
    }

    /// Whether each make that nothing but the shell is above, and that has left something, was started in the last round as it was in this
    /// run, one after the other. If the step failed, those that would have come later do not count.
    ///
    /// Environments are compared only where something that the shell started ended otherwise than then: who reads what is another now
    /// and leaves nothing is an informer, and many a build makes itself a new `HOME` each time.
    pub(super) fn are_asked_as_before(&self, run: RunId, has_failed: bool) -> Result<(), Finding> {
        let then = self.questions(run);
        if then.is_empty() {
            return Ok(());
        }
        let last = self.runs() - 1;
        let ended_otherwise = OnceCell::new();
        let is_same_environment = |one: &Question<'_>, other: &Question<'_>| {
            one.environment == other.environment
                || !*ended_otherwise.get_or_init(|| self.ended_otherwise(run, last))
        };
        let mut now: Vec<Option<Question<'_>>> = self.questions(last).into_iter().map(Some).collect();
        // What began before the one before it had ended has no order, then or now.
        let mut before: Option<(u64, u64)> = None;
        let answered = then.iter().map(|wanted| {
            let is_the_same = |found: &Option<Question<'_>>| {
                found
                    .as_ref()
                    .is_some_and(|found| found.is_the_same(wanted) && is_same_environment(found, wanted))
            };
            let found = now.iter().position(is_the_same).and_then(|at| now[at].take())?;
            let is_in_order =
                before.is_none_or(|(ended, began_now)| wanted.began < ended || found.ended >= began_now);
            before = Some((wanted.ended, found.began));
            is_in_order.then_some(())
        });
        let answered: Vec<bool> = answered.map(|answer| answer.is_some()).collect();
        let known = if has_failed {
            answered.iter().rposition(|is| *is).map_or(0, |last| last + 1)
        } else {
            then.len()
        };
        let others = then.iter().zip(&answered).take(known).filter(|(_, answered)| !**answered);
        for (question, _) in others {
            let mut below = BTreeSet::from([question.make]);
            for (id, group) in self.groups[run].all.iter().enumerate() {
                if group.parent.is_some_and(|parent| below.contains(&parent)) {
                    below.insert(id);
                }
            }
            if let Some((_, path)) = self.products_of(run, &below).into_iter().next() {
                let change = SourceChange { path, kind: ChangeKind::Content };
                let leader = self.groups[run].all[question.make].leader;
                let who = describe(self.trace(run), self.trace(run).process(leader));
                return Err(Finding { rule: Rule::AskedOtherwise, change, who, product: None });
            }
        }
        Ok(())
    }

    /// What plain makes were asked that nothing but the shell is above.
    fn questions(&self, run: RunId) -> Vec<Question<'a>> {
        let (groups, trace) = (self.groups[run], self.trace(run));
        let makes = (0..groups.all.len()).filter(|id| {
            groups.all[*id].kind == Kind::Orchestrator(Orchestrator::Make)
                && groups.started_by(*id).is_none()
                && is_make(trace, trace.process(groups.all[*id].leader))
        });
        makes
            .filter_map(|make| {
                let process = trace.process(groups.all[make].leader);
                let exec = process.exec.as_ref()?;
                Some(Question {
                    make,
                    words: without_jobs(&exec.argv),
                    cwd: trace.paths().get(exec.cwd),
                    environment: exec.env_digest,
                    began: process.started,
                    ended: process.ended,
                })
            })
            .collect()
    }

    /// Whether a command that the shell had started in both of two runs ended otherwise in the second, one after the other.
    fn ended_otherwise(&self, one: RunId, other: RunId) -> bool {
        let commands = |run: RunId| {
            let groups = self.groups[run];
            let ends = self.ends(run);
            let is_shells = move |id: &GroupId| {
                let parent = groups.all[*id].parent;
                groups.all[*id].kind == Kind::Task
                    && parent.is_some_and(|parent| groups.all[parent].kind == Kind::Shell)
            };
            let all = (0..groups.all.len()).filter(is_shells);
            all.filter_map(move |id| Some((self.identity(run, id)?, ends[id])))
        };
        let mut ends: BTreeMap<_, VecDeque<Option<u32>>> = BTreeMap::new();
        for (identity, end) in commands(other) {
            ends.entry(identity).or_default().push_back(end);
        }
        commands(one).any(|(identity, end)| {
            let now = ends.get_mut(&identity).and_then(VecDeque::pop_front).flatten();
            matches!((end, now), (Some(then), Some(now)) if then != now)
        })
    }

    /// The commands of this round that a plain make gave otherwise than ever before, and that changed what was left from before, where
    /// its makefiles speak of what is newer. As it decides by the same, that is what it told them: in a clean build there would
    /// be nothing.
    pub(super) fn told_what_is_newer(&self, run: RunId, round: usize) -> Vec<(GroupId, Hit<'a>)> {
        let (groups, trace) = (self.groups[run], self.trace(run));
        let mut speaks: BTreeMap<GroupId, bool> = BTreeMap::new();
        let mut hits = Vec::new();
        for (id, group) in groups.all.iter().enumerate() {
            let Some(make) = group.parent.filter(|_| group.kind == Kind::Task) else { continue };
            let maker = trace.process(groups.all[make].leader);
            let is_plain = groups.all[make].kind == Kind::Orchestrator(Orchestrator::Make);
            if !is_plain || !is_make(trace, maker) || self.like(run, trace.process(group.leader)).is_some() {
                continue;
            }
            let mut members = groups.members(id).iter().map(|member| trace.process(*member));
            let goes_on = members.find_map(|process| {
                let mut accesses = process.accesses.iter();
                Some((process, accesses.find(|access| self.goes_on_with_old(run, round, access))?))
            });
            let Some((process, access)) = goes_on else { continue };
            let says = || self.facts.says_what_is_newer(&self.descriptions(run, maker));
            if *speaks.entry(make).or_insert_with(says) {
                let path = trace.paths().get(access.path).to_vec();
                let change = SourceChange { path, kind: ChangeKind::Content };
                hits.push((id, Hit::new(access, change, process)));
            }
        }
        hits
    }

    /// Whether an access changed a product that was left from before the round.
    fn goes_on_with_old(&self, run: RunId, round: usize, access: &Access) -> bool {
        let trace = self.trace(run);
        let path = trace.paths().get(access.path);
        access.touch.changes()
            && trace.left(access.path)
            && !path.starts_with(b"/")
            && self.facts.existed(round - 1, path)
            && !self.facts.was_prepared(round, path)
            && !self.facts.is_in_sources(path)
            && !self.facts.is_directory(path)
    }
}

/// What a make was asked.
struct Question<'a> {
    make: GroupId,
    words: Vec<Vec<u8>>,
    cwd: &'a [u8],
    environment: [u8; 32],
    /// In microseconds from the beginning of the step.
    began: u64,
    ended: u64,
}

impl Question<'_> {
    /// Whether it is the same but for the environment.
    fn is_the_same(&self, other: &Question<'_>) -> bool {
        self.cwd == other.cwd && self.words == other.words
    }
}

/// The words of a command, but for how much it is to do at once.
fn without_jobs(argv: &Arguments) -> Vec<Vec<u8>> {
    let mut words = Vec::with_capacity(argv.len());
    let mut is_count = false;
    for word in argv.iter() {
        let is_jobs = word == b"--jobs" || word == b"-j";
        let is_joined = word.starts_with(b"--jobs=") || word.strip_prefix(b"-j").is_some_and(is_number);
        let is_of_jobs = is_jobs || is_joined || (is_count && is_number(word));
        if !is_of_jobs {
            words.push(word.to_vec());
        }
        is_count = is_jobs;
    }
    words
}

fn is_number(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

/// Those that have one that is the same among `now`, each in its turn.
fn in_turn<T: PartialEq>(then: impl Iterator<Item = (GroupId, T)>, now: &[T]) -> BTreeSet<GroupId> {
    let mut left = now;
    let mut again = BTreeSet::new();
    for (id, wanted) in then {
        if let Some(at) = left.iter().position(|found| *found == wanted) {
            left = &left[at + 1..];
            again.insert(id);
        }
    }
    again
}

//! The rules, applied: what follows from it that somebody looked at what changed.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::advice::Known;
use super::groups::{GroupId, Groups, Kind};
use super::trace_facts::{identity, starts};
use super::{Evidence, Facts, Finding, Removal, Rule, Rules, Run, Verdict};
use crate::observation::{ChangeKind, SourceChange};
use crate::trace::{Access, Process, ProcessId, Touch, Trace};

/// One of all runs: those of the builds before, then the rounds of this one.
pub(super) type RunId = usize;

/// What a group was started to do, where, and in what environment.
pub(super) type Invocation<'t> = ([u8; 32], &'t [u8], [u8; 32]);

/// Processes by the digest of what they were given to do.
pub(super) type Likes = HashMap<[u8; 32], Vec<(RunId, ProcessId)>>;

pub(super) struct Auditor<'a> {
    pub(super) evidence: Evidence<'a>,
    pub(super) facts: &'a dyn Facts,
    pub(super) rules: Rules,
    pub(super) groups: Vec<&'a Groups>,
    /// When each group of a run began, as far as anybody asked.
    starts: Vec<OnceCell<Vec<u32>>>,
    /// The processes of the builds before, by the digest of what they were given to do.
    pub(super) likes: OnceCell<Likes>,
    /// Whether those who decided in the builds before would decide the same.
    pub(super) decides_the_same: OnceCell<bool>,
    /// What was found out about advice.
    pub(super) advice: Known,
    /// What has to go, and who made it.
    pub(super) failing: BTreeMap<Vec<u8>, Removal>,
    pub(super) findings: Vec<Finding>,
}

/// The first look of a group at what changed.
#[derive(Clone)]
pub(super) struct Hit<'a> {
    pub(super) at: u32,
    pub(super) change: SourceChange,
    pub(super) process: &'a Process,
    /// Whether it is what was left from an earlier build, and in a clean one would be made later.
    pub(super) is_too_early: bool,
    /// Who looked in its place and may have told it: through a pipe what runs beside that, too.
    pub(super) told_by: Option<GroupId>,
    /// Whether it was overwritten by one that it had overwritten itself.
    pub(super) is_overwritten: bool,
    /// Whether it saw, or missed, what it would see in a clean build because that moment of it is past.
    pub(super) is_past: bool,
}

impl<'a> Auditor<'a> {
    pub(super) fn new(evidence: Evidence<'a>, facts: &'a dyn Facts, rules: Rules) -> Self {
        let runs = evidence.then.iter().chain(evidence.rounds);
        let groups: Vec<&Groups> = runs.map(Run::groups).collect();
        let starts = groups.iter().map(|_| OnceCell::new()).collect();
        Auditor {
            evidence,
            facts,
            rules,
            groups,
            starts,
            likes: OnceCell::new(),
            decides_the_same: OnceCell::new(),
            advice: Known::default(),
            failing: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    pub(super) fn verdict(mut self) -> Verdict {
        if let Err(finding) = self.judge(false).and_then(|()| self.is_over()) {
            return Verdict::Clean(finding);
        }
        self.renew();
        self.add_companions();
        if self.failing.is_empty() {
            return Verdict::Settled;
        }
        Verdict::Redo { remove: self.failing.into_values().collect(), findings: self.findings }
    }

    /// Finds what has to go. `has_failed` says whether the last round ended before it had done all.
    ///
    /// # Errors
    /// With the reason, if nothing but a clean run helps.
    pub(super) fn judge(&mut self, has_failed: bool) -> Result<(), Finding> {
        if self.rules.not_made_again {
            self.came_back()?;
        }
        if self.rules.source_made {
            self.left_sources_alone()?;
        }
        if self.rules.link {
            self.links_lead_as_before()?;
        }
        if self.rules.asked_otherwise {
            (0..self.evidence.then.len()).try_for_each(|run| self.are_asked_as_before(run, has_failed))?;
        }
        if self.rules.printed {
            self.keeps_nothing_printed()?;
        }
        if self.rules.nested {
            self.nests_nothing()?;
        }
        for run in 0..self.runs() {
            let hits = match run.checked_sub(self.evidence.then.len()) {
                None if self.rules.producer || self.rules.orchestrator || self.rules.forgotten => {
                    self.looks_then(run)?
                }
                Some(round) if self.rules.old_product => self.looks_now(run, round + 1, has_failed),
                _ => continue,
            };
            let rule = if run < self.evidence.then.len() { Rule::Producer } else { Rule::OldProduct };
            for (group, hit) in self.passed_on(run, hits) {
                self.follow(run, group, hit, rule)?;
            }
        }
        if self.rules.overwritten {
            for run in 0..self.runs() {
                for (group, hit) in self.overwritten(run) {
                    self.follow(run, group, hit, Rule::Overwritten)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn runs(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn trace(&self, run: RunId) -> &'a Trace {
        let Evidence { then, rounds, .. } = self.evidence;
        then.get(run).unwrap_or_else(|| &rounds[run - then.len()]).trace()
    }

    /// The group that answers for what a group did: itself, unless it only informs.
    pub(super) fn speaker(&self, run: RunId, group: GroupId) -> GroupId {
        if self.rules.informer { self.groups[run].speaker(group) } else { group }
    }

    /// To follow a link is observed, to read it is not: every compiler reads each part of each path, to find that it is none.
    fn links_lead_as_before(&self) -> Result<(), Finding> {
        let leads_elsewhere = |change: &&SourceChange| {
            change.kind == ChangeKind::Link && self.facts.is_in_sources(&change.path)
        };
        match self.facts.changed_since(0).iter().find(leads_elsewhere) {
            None => Ok(()),
            Some(change) => Err(Finding::of_nobody(Rule::Link, change.clone())),
        }
    }

    /// What is a source has to be what it is, unless it was made then, too.
    fn left_sources_alone(&self) -> Result<(), Finding> {
        let Evidence { then, rounds, .. } = self.evidence;
        let was_made = |runs: &[Run], path: &[u8]| {
            runs.iter().map(Run::trace).any(|trace| {
                // What was put there before the round is left by it, too.
                let found = trace.paths().find(path).filter(|id| trace.left(*id));
                found.is_some_and(|id| trace.changes_to(id).next().is_some())
            })
        };
        let made = self.facts.changed_since(0).iter().find(|change| {
            let path = &change.path;
            if change.kind == ChangeKind::Removed
                || !self.facts.is_in_sources(path)
                || self.facts.is_book(path)
            {
                return false;
            }
            let (is_other, was_made_then) = (!self.facts.is_source(rounds.len(), path), was_made(then, path));
            // Whoever wrote it: it may have another name.
            if is_other && !was_made_then {
                return true;
            }
            if is_other && was_made(rounds, path) {
                // What was the source then was not made then, but in an earlier build.
                return self.facts.is_source(0, path);
            }
            // It is the source of today, and a clean build would make something else of it.
            let prepared = (1..=rounds.len()).rev().find(|round| self.facts.was_prepared(*round, path));
            was_made_then && prepared.is_some_and(|round| !was_made(&rounds[round - 1..], path))
        });
        match made {
            None => Ok(()),
            Some(change) => Err(Finding::of_nobody(Rule::SourceMade, change.clone())),
        }
    }

    /// Those that changed a path in a run, in the order in which they began.
    pub(super) fn changes_in(
        &self,
        run: RunId,
        path: &[u8],
    ) -> impl Iterator<Item = (ProcessId, GroupId, &'a Access)> {
        let trace = self.trace(run);
        let of = &self.groups[run].of;
        let changes = trace.paths().find(path).into_iter().flat_map(|id| trace.changes_to(id));
        changes.map(move |(process, access)| (process, of[process.at()], access))
    }

    /// When a group was first seen to do something.
    pub(super) fn start_of(&self, run: RunId, group: GroupId) -> u32 {
        self.starts[run].get_or_init(|| starts(self.trace(run), self.groups[run]))[group]
    }

    /// What a group was started to do, and where.
    pub(super) fn identity(&self, run: RunId, group: GroupId) -> Option<([u8; 32], &'a [u8])> {
        identity(self.trace(run), self.groups[run], group)
    }

    /// Whether one that was started to do the same ran in the run `from` or a later one.
    pub(super) fn ran_again(&self, run: RunId, group: GroupId, from: RunId) -> bool {
        let identity = self.identity(run, group);
        identity.is_some()
            && (from..self.runs())
                .any(|later| (0..self.groups[later].all.len()).any(|id| self.identity(later, id) == identity))
    }

    /// What a group was started to do, where, and in what environment.
    pub(super) fn invocation(&self, run: RunId, group: GroupId) -> Option<Invocation<'a>> {
        let (argv, cwd) = self.identity(run, group)?;
        let exec = self.trace(run).process(self.groups[run].all[group].leader).exec.as_ref()?;
        Some((argv, cwd, exec.env_digest))
    }

    /// Adds those that got something from one that looked, through files that are gone or through pipes.
    pub(super) fn passed_on(
        &self,
        run: RunId,
        mut hits: BTreeMap<GroupId, Hit<'a>>,
    ) -> BTreeMap<GroupId, Hit<'a>> {
        let groups = &self.groups[run];
        if !self.rules.handed_on || hits.is_empty() || groups.all.iter().all(|group| group.fed_by.is_empty())
        {
            return hits;
        }
        let mut readers: BTreeMap<GroupId, Vec<GroupId>> = BTreeMap::new();
        for (id, group) in groups.all.iter().enumerate() {
            let writers = match group.kind {
                Kind::Orchestrator(found) if found.is_tracked() => continue,
                Kind::Orchestrator(_) => &group.piped_by,
                Kind::Shell | Kind::Task => &group.fed_by,
            };
            for writer in writers {
                readers.entry(*writer).or_default().push(id);
            }
        }
        let mut reached: BTreeSet<GroupId> = hits.keys().copied().collect();
        let mut pending: Vec<(GroupId, Hit<'a>)> = hits.iter().map(|(id, hit)| (*id, hit.clone())).collect();
        while let Some((writer, hit)) = pending.pop() {
            for reader in readers.get(&writer).into_iter().flatten() {
                if reached.insert(*reader) {
                    let hit = Hit { told_by: Some(writer), ..hit.clone() };
                    self.note(&mut hits, run, *reader, hit.clone());
                    pending.push((*reader, hit));
                }
            }
        }
        hits
    }
}

/// Whether an access used the content that was there.
pub(super) fn reads(access: &Access) -> bool {
    access.observed > 0 && access.touch.any(Touch::READ)
}

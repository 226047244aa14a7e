//! Who looked at what changed.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use super::groups::{Book, GroupId, Kind, is_ninjas_book};
use super::marks::Marks;
use super::meant::Makefiles;
use super::moments::Past;
use super::rules::{Auditor, Hit, RunId};
use super::told::Names;
use super::trace_facts::{describe, first_changes};
use super::{Finding, Orchestrator, Rule};
use crate::observation::{ChangeKind, SourceChange};
use crate::trace::{Access, PathId, Process, ProcessId, Touch};

impl<'a> Auditor<'a> {
    /// Who looked in an earlier build at something that is another now.
    ///
    /// # Errors
    /// Where one did that left nothing then, and that nobody has started again since: it may leave something now.
    pub(super) fn looks_then(&self, run: RunId) -> Result<BTreeMap<GroupId, Hit<'a>>, Finding> {
        let trace = self.trace(run);
        let marks = Marks::new(trace, self.facts.changed_since(0), self.rules);
        let mut hits = BTreeMap::new();
        let is_name = |change: &&SourceChange| matches!(change.kind, ChangeKind::Added | ChangeKind::Removed);
        let comes_later = |change: &SourceChange| self.comes_later(run, change);
        let names = self.facts.changed_since(0).iter().filter(is_name).filter(|change| !comes_later(change));
        let changes: HashMap<_, _> = names.map(|change| (&change.path[..], change)).collect();
        let names = Names::new(changes, |path| self.facts.was_prepared(1, path));
        if marks.concerned().is_empty() && names.changes.is_empty() {
            return Ok(hits);
        }
        let looks = marks.concerned().iter().flat_map(|path| {
            trace.accesses_to(*path).map(|(process, access)| (process, access.path, access))
        });
        let mut looks: Vec<(ProcessId, PathId, &Access)> = looks.collect();
        looks.sort_unstable_by_key(|(process, path, _)| (*process, *path));
        let mut looks = looks.into_iter().peekable();
        let made = OnceCell::new();
        let processes = (0..).map(ProcessId).zip(trace.processes());
        for ((id, process), group) in processes.zip(&self.groups[run].of) {
            let is_of_no_concern = self.is_of_no_concern(run, *group) && !self.told_an_own_book(run, *group);
            let makefiles = Makefiles::new(&made);
            while let Some((_, _, access)) = looks.next_if(|(looker, ..)| *looker == id) {
                if is_of_no_concern {
                    continue;
                }
                let means =
                    |change: &&SourceChange| self.can_mean((run, *group), process, &makefiles, change);
                let listed = marks.listed(access).filter(|change| !comes_later(change)).find(means);
                let finds = Touch::PRESENT.and(Touch::FOLLOWED).and(Touch::LISTED).and(Touch::USES);
                let touched = marks.touched(access, self.rules);
                let touched = touched.filter(|change| access.touch.any(finds) || !comes_later(change));
                for change in touched.into_iter().chain(listed) {
                    if self.is_silenced(run, *group) {
                        let who = describe(trace, trace.process(self.groups[run].all[*group].leader));
                        return Err(Finding {
                            rule: Rule::Silent,
                            change: change.clone(),
                            who,
                            product: None,
                        });
                    }
                    self.note(&mut hits, run, *group, Hit::new(access, change.clone(), process));
                }
            }
            if !is_of_no_concern
                && !names.changes.is_empty()
                && self.rules.absence
                && let Some(change) = self
                    .told(run, process, *group, &names)
                    .or_else(|| self.asked_for((run, *group), process, &makefiles, &names))
            {
                let hit = Hit { at: 1, ..Hit::of(change.clone(), process) };
                self.note(&mut hits, run, *group, hit);
            }
        }
        Ok(hits)
    }

    /// Whether a line of a recipe left nothing and was not run again. Nobody knows which recipe it is of.
    fn is_silenced(&self, run: RunId, group: GroupId) -> bool {
        let is_make = |above: GroupId| {
            matches!(
                self.groups[run].all[above].kind,
                Kind::Orchestrator(Orchestrator::Make | Orchestrator::Tracked(Book::Recipes))
            )
        };
        // What make itself wants to know (`$(shell …)`), and reads from a pipe of its own, it asks each time.
        self.rules.silent
            && self.prints_for(run, group).is_some_and(is_make)
            && !self.ran_again(run, group, run + 1)
    }

    /// Whether something was only not there yet when a run failed, because what makes it had not run. As long as those who decide
    /// have looked at nothing that is another now, they decide the same, and so it comes after this run in a clean build, too.
    fn comes_later(&self, run: RunId, change: &SourceChange) -> bool {
        let then = self.evidence.then.len();
        let is_open = run + self.evidence.open.alike >= then;
        let is_made_now = || {
            (then..self.runs()).any(|now| {
                let trace = self.trace(now);
                let found = trace.paths().find(&change.path).filter(|id| trace.left(*id));
                found.is_some_and(|id| trace.changes_to(id).next().is_some())
            })
        };
        is_open
            && change.kind == ChangeKind::Added
            && !self.facts.was_prepared(1, &change.path)
            && is_made_now()
            && self.decides_the_same()
    }

    /// Whether nobody who decided what earlier builds did had looked at a source that is another now.
    pub(super) fn decides_the_same(&self) -> bool {
        let all = || (0..self.evidence.then.len()).all(|run| self.decided_the_same(run));
        *self.decides_the_same.get_or_init(all)
    }

    /// Whether nobody who decided what a run did had looked at a source that is another now.
    fn decided_the_same(&self, run: RunId) -> bool {
        let trace = self.trace(run);
        let marks = Marks::new(trace, self.facts.changed_since(0), self.rules);
        let is_other = |access: &Access| {
            let mut seen = marks.touched(access, self.rules).into_iter().chain(marks.listed(access));
            seen.any(|change| self.facts.was_prepared(1, &change.path))
        };
        let mut deciders = trace
            .processes()
            .iter()
            .zip(&self.groups[run].of)
            .filter(|(_, group)| self.groups[run].all[self.speaker(run, **group)].kind != Kind::Task);
        !deciders.any(|(process, _)| process.accesses.iter().any(is_other))
    }

    /// Whether a group answers for nothing: it keeps book of all that it decides.
    fn is_of_no_concern(&self, run: RunId, group: GroupId) -> bool {
        let speaker = self.speaker(run, group);
        matches!(self.groups[run].all[speaker].kind, Kind::Orchestrator(found) if found.knows_all())
    }

    /// Who looked in this round at what was left from before it and is another now, or at what is another since. `has_failed` says
    /// whether the round ended before it had done all.
    pub(super) fn looks_now(&self, run: RunId, round: usize, has_failed: bool) -> BTreeMap<GroupId, Hit<'a>> {
        let trace = self.trace(run);
        let before = self.facts.changed_since(round - 1);
        let since: &[SourceChange] =
            if round < self.evidence.rounds.len() { self.facts.changed_since(round) } else { &[] };
        let (marks_before, marks_since) =
            (Marks::new(trace, before, self.rules), Marks::new(trace, since, self.rules));
        let mut hits = BTreeMap::new();
        let first_change = first_changes(trace);
        let pasts: Vec<OnceCell<Past>> = self.groups[run].all.iter().map(|_| OnceCell::new()).collect();
        for (process, group) in trace.processes().iter().zip(&self.groups[run].of) {
            if self.is_of_no_concern(run, *group) {
                continue;
            }
            let own_past = OnceCell::new();
            for access in &process.accesses {
                let mut hit = |hit| self.note(&mut hits, run, *group, hit);
                if let Some(change) = marks_since.seen_by(access, self.rules) {
                    hit(Hit::new(access, change.clone(), process));
                }
                // What it saw may be this round's own work, or what the sources have.
                let is_untouched = |id: Option<PathId>| {
                    let first = id.map_or(0, |id| first_change[id.at()]);
                    first == 0 || first >= when(access)
                };
                let is_left_from_before = |path: &[u8]| {
                    is_untouched(trace.paths().find(path)) && !self.facts.was_prepared(round, path)
                };
                let is_old = |change: &&SourceChange| {
                    change.kind != ChangeKind::Added
                        && is_left_from_before(&change.path)
                        && !self.facts.is_source(round - 1, &change.path)
                        && !(has_failed && self.was_given_up(run, change))
                };
                let touched = marks_before.touched(access, self.rules);
                let listed = marks_before.listed(access).find(is_old);
                let is_compared = || self.only_compares(run, *group, process, access);
                for change in touched.filter(is_old).filter(|_| !is_compared()).into_iter().chain(listed) {
                    hit(Hit::new(access, change.clone(), process));
                }
                let path = trace.paths().get(access.path);
                if path.starts_with(b"/")
                    || self.groups[run].all[*group].kind != Kind::Task
                    || !is_untouched(Some(access.path))
                    || self.facts.was_prepared(round, path)
                {
                    continue;
                }
                if self.rules.old_product && self.moves_old_away(run, round, access) {
                    let change = SourceChange { path: path.to_vec(), kind: ChangeKind::Content };
                    hit(Hit { is_too_early: true, ..Hit::new(access, change, process) });
                }
                if self.rules.old_mode && self.keeps_old_mode(run, process, access) {
                    let change = SourceChange { path: path.to_vec(), kind: ChangeKind::Mode };
                    hit(Hit::new(access, change, process));
                }
                let past = || self.past_of((run, *group), process, &own_past, &pasts[*group]);
                if touched.is_none() && self.rules.order && self.is_too_early(past(), path, access) {
                    let change = SourceChange { path: path.to_vec(), kind: ChangeKind::Added };
                    hit(Hit { is_too_early: true, ..Hit::new(access, change, process) });
                }
                if self.rules.moment && self.is_at_another_moment(past(), (round, path), access) {
                    let change = SourceChange { path: path.to_vec(), kind: ChangeKind::Content };
                    hit(Hit { is_past: true, ..Hit::new(access, change, process) });
                }
            }
        }
        if self.rules.moment {
            for (group, hit) in self.was_given_nothing(run, round) {
                self.note(&mut hits, run, group, hit);
            }
        }
        if self.rules.newer {
            for (group, hit) in self.told_what_is_newer(run, round) {
                self.note(&mut hits, run, group, hit);
            }
        }
        hits
    }

    /// Whether a build tool has removed what it could not make. That has to come back before anything counts.
    fn was_given_up(&self, run: RunId, change: &SourceChange) -> bool {
        let is_tools = |group: GroupId| matches!(self.groups[run].all[group].kind, Kind::Orchestrator(_));
        change.kind == ChangeKind::Removed
            && self
                .changes_in(run, &change.path)
                .any(|(_, group, access)| access.touch.any(Touch::REMOVED) && is_tools(group))
    }

    /// Remembers the first hit of whoever has to answer for it, and of who heard of it.
    pub(super) fn note(
        &self,
        hits: &mut BTreeMap<GroupId, Hit<'a>>,
        run: RunId,
        group: GroupId,
        hit: Hit<'a>,
    ) {
        if self.rules.heard
            && let Some(hearer) = self.groups[run].all[group].heard_by
            && hearer != self.speaker(run, group)
        {
            let heard = Hit { told_by: Some(group), ..hit.clone() };
            self.note_one(hits, run, hearer, heard);
        }
        self.note_one(hits, run, group, hit);
    }

    fn note_one(&self, hits: &mut BTreeMap<GroupId, Hit<'a>>, run: RunId, group: GroupId, hit: Hit<'a>) {
        let groups = &self.groups[run];
        let is_task = groups.all[group].kind == Kind::Task;
        if run < self.evidence.then.len() && self.told_an_own_book(run, group) {
            if self.facts.was_prepared(1, &hit.change.path) {
                hits.entry(group).or_insert(hit);
            }
            return;
        }
        // A build tool's own book is nobody else's reason.
        let path = &hit.change.path;
        let is_book = self.facts.is_book(path) || (is_task && is_ninjas_book(path));
        if is_book || (hit.is_too_early && self.only_prints(run, group)) {
            return;
        }
        let informer = group;
        let group = self.speaker(run, group);
        // What a shell hears through a pipe may reach what it has started before.
        let hit = match groups.all[group].kind {
            Kind::Shell if group != informer => Hit { told_by: Some(informer), ..hit },
            _ => hit,
        };
        match groups.all[group].kind {
            Kind::Orchestrator(found) if found.knows_all() => return,
            // What describes it is read as a source.
            Kind::Orchestrator(Orchestrator::Tracked(book))
                if is_task
                    || !(self.facts.was_prepared(1, &hit.change.path)
                        || (book == Book::Names && self.was_told_by(run, group, &hit.change.path))) =>
            {
                return;
            }
            Kind::Orchestrator(Orchestrator::Make)
                if !is_task
                    && hit.change.kind == ChangeKind::Content
                    && self.facts.reads_alike(&hit.change.path) =>
            {
                return;
            }
            // What an informer read is not read as advice.
            Kind::Orchestrator(_) if !is_task && self.is_advice(&hit.change.path) => return,
            _ => {}
        }
        let hit = match hits.remove(&group) {
            Some(known) => known.and(hit),
            None => hit,
        };
        hits.insert(group, hit);
    }
}

impl<'a> Hit<'a> {
    pub(super) fn new(access: &Access, change: SourceChange, process: &'a Process) -> Hit<'a> {
        Hit { at: when(access), ..Hit::of(change, process) }
    }

    /// The first of two looks. Whoever told of one may have told it before.
    fn and(self, other: Hit<'a>) -> Hit<'a> {
        let told_by = self.told_by.into_iter().chain(other.told_by).min();
        // What cannot be mended is what is to be told.
        let is_first = (self.is_past, other.at) >= (other.is_past, self.at);
        Hit { told_by, ..if is_first { self } else { other } }
    }

    pub(super) fn of(change: SourceChange, process: &'a Process) -> Hit<'a> {
        Hit {
            at: 0,
            change,
            process,
            is_too_early: false,
            told_by: None,
            is_overwritten: false,
            is_past: false,
        }
    }
}

/// When an access had to do with what was there before.
fn when(access: &Access) -> u32 {
    if access.observed > 0 { access.observed } else { access.changed }
}

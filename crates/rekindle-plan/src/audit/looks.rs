//! Who looked at what changed.

use std::collections::BTreeMap;

use super::Orchestrator;
use super::groups::{GroupId, Kind};
use super::marks::Marks;
use super::rules::{Auditor, Hit, RunId};
use super::trace_facts::{first_changes, has_kin};
use crate::observation::{ChangeKind, SourceChange};
use crate::trace::{Access, PathId, Process, Touch, Trace};

impl<'a> Auditor<'a> {
    /// Who looked in an earlier build at something that is another now.
    pub(super) fn looks_then(&self, run: RunId) -> BTreeMap<GroupId, Hit<'a>> {
        let trace = self.trace(run);
        let marks = Marks::new(trace, self.facts.changed_since(0), self.rules);
        let mut hits = BTreeMap::new();
        if marks.is_empty() {
            return hits;
        }
        for (process, group) in trace.processes().iter().zip(&self.groups[run].of) {
            for access in &process.accesses {
                let change = match marks.seen_by(access, self.rules) {
                    Some(change) if self.is_decided_by_list(run, *group, access, change) => {
                        self.meant(trace, process, *group, run, access.path)
                    }
                    change => change,
                };
                if let Some(change) = change {
                    let at = if access.observed > 0 { access.observed } else { access.changed };
                    self.note(&mut hits, run, *group, Hit { at, change, process });
                }
            }
        }
        hits
    }

    /// Whether all that is known is that who decides what is made has listed a directory.
    fn is_decided_by_list(&self, run: RunId, group: GroupId, access: &Access, change: &SourceChange) -> bool {
        let is_directory = self.trace(run).paths().get(access.path) != change.path;
        is_directory && access.touch.any(Touch::LISTED) && self.groups[run].all[group].kind != Kind::Task
    }

    /// A new or lost name that who decides what is made may have meant when it listed a directory. The products in it come and
    /// go in a clean build, too.
    fn meant(
        &self,
        trace: &'a Trace,
        process: &Process,
        group: GroupId,
        run: RunId,
        dir: PathId,
    ) -> Option<&'a SourceChange> {
        let dir = trace.paths().get(dir);
        let paths = trace.paths();
        let makefiles: Vec<&[u8]> = process
            .accesses
            .iter()
            .filter(|access| access.touch.any(Touch::READ))
            .map(|access| paths.get(access.path))
            .filter(|path| !path.starts_with(b"/") && !self.facts.is_advice(path))
            .collect();
        let is_make = matches!(self.groups[run].all[group].kind, Kind::Orchestrator(_));
        let is_in = |path: &[u8]| {
            path.strip_prefix(dir)
                .and_then(|rest| rest.strip_prefix(b"/"))
                .is_some_and(|name| !name.contains(&b'/'))
        };
        self.facts.changed_since(0).iter().find(|change| {
            is_in(&change.path)
                && matches!(change.kind, ChangeKind::Added | ChangeKind::Removed | ChangeKind::Kind)
                && self.facts.was_prepared(1, &change.path)
                && (!is_make || self.facts.is_meant(&makefiles, &change.path, has_kin(trace, &change.path)))
        })
    }

    /// Who looked in this round at what was left from before it and is another now, or at what is another since.
    pub(super) fn looks_now(&self, run: RunId, round: usize) -> BTreeMap<GroupId, Hit<'a>> {
        let trace = self.trace(run);
        let before = self.facts.changed_since(round - 1);
        let since: &[SourceChange] =
            if round < self.evidence.rounds.len() { self.facts.changed_since(round) } else { &[] };
        let (marks_before, marks_since) =
            (Marks::new(trace, before, self.rules), Marks::new(trace, since, self.rules));
        let mut hits = BTreeMap::new();
        if marks_before.is_empty() && marks_since.is_empty() {
            return hits;
        }
        let first_change = first_changes(trace);
        for (process, group) in trace.processes().iter().zip(&self.groups[run].of) {
            for access in &process.accesses {
                let at = if access.observed > 0 { access.observed } else { access.changed };
                let mut hit = |change| self.note(&mut hits, run, *group, Hit { at, change, process });
                if let Some(change) = marks_since.seen_by(access, self.rules) {
                    hit(change);
                }
                let Some(change) = marks_before.seen_by(access, self.rules) else { continue };
                // What it saw may be this round's own work, or what the sources have.
                let seen = trace.paths().find(&change.path);
                let is_own = seen.is_some_and(|path| {
                    let first = first_change[path.at()];
                    first != 0 && first < at
                });
                let is_new = change.kind == ChangeKind::Added;
                if !is_own
                    && !is_new
                    && !self.facts.was_prepared(round, &change.path)
                    && !self.facts.is_source(round - 1, &change.path)
                {
                    hit(change);
                }
            }
        }
        hits
    }

    /// Remembers the first hit of whoever has to answer for it.
    fn note(&self, hits: &mut BTreeMap<GroupId, Hit<'a>>, run: RunId, group: GroupId, hit: Hit<'a>) {
        let groups = &self.groups[run];
        let is_task = groups.all[group].kind == Kind::Task;
        let group = groups.speaker(group);
        if hits.get(&group).is_some_and(|known| known.at <= hit.at) {
            return;
        }
        match groups.all[group].kind {
            Kind::Orchestrator(Orchestrator::Tracked { names_all: false }) => return,
            // What describes it is read as a source.
            Kind::Orchestrator(Orchestrator::Tracked { .. })
                if is_task || !self.facts.was_prepared(1, &hit.change.path) =>
            {
                return;
            }
            // What an informer read is not read as advice.
            Kind::Orchestrator(_) | Kind::Shell if !is_task && self.facts.is_advice(&hit.change.path) => {
                return;
            }
            _ => {}
        }
        hits.insert(group, hit);
    }
}

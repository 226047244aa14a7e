//! The rules, applied: who looked at what changed, and what follows from it.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::groups::{GroupId, Groups, Kind};
use super::{Evidence, Facts, Finding, Orchestrator, Removal, Rule, Rules, Verdict};
use crate::observation::{ChangeKind, SourceChange};
use crate::trace::{Access, PathId, Process, Touch, Trace};

/// One of all runs: those of the builds before, then the rounds of this one.
type RunId = usize;

pub(super) struct Auditor<'a> {
    evidence: Evidence<'a>,
    facts: &'a dyn Facts,
    rules: Rules,
    groups: Vec<Groups>,
    /// When each group of a run began, as far as anybody asked.
    starts: Vec<OnceCell<Vec<u32>>>,
    /// What has to go, and who made it.
    failing: BTreeMap<Vec<u8>, Removal>,
    findings: Vec<Finding>,
}

/// The first look of a group at what changed.
#[derive(Clone, Copy)]
struct Hit<'a> {
    at: u32,
    change: &'a SourceChange,
    process: &'a Process,
}

impl<'a> Auditor<'a> {
    pub(super) fn new(evidence: Evidence<'a>, facts: &'a dyn Facts, rules: Rules) -> Self {
        let traces = evidence.then.iter().chain(evidence.rounds);
        let groups: Vec<Groups> = traces.map(|trace| Groups::new(trace, rules.informer)).collect();
        let starts = groups.iter().map(|_| OnceCell::new()).collect();
        Auditor { evidence, facts, rules, groups, starts, failing: BTreeMap::new(), findings: Vec::new() }
    }

    pub(super) fn verdict(mut self) -> Verdict {
        if let Err(finding) = self.judge() {
            return Verdict::Clean(finding);
        }
        if self.failing.is_empty() {
            return Verdict::Settled;
        }
        Verdict::Redo { remove: self.failing.into_values().collect(), findings: self.findings }
    }

    fn judge(&mut self) -> Result<(), Finding> {
        self.came_back()?;
        for run in 0..self.runs() {
            let hits = match run.checked_sub(self.evidence.then.len()) {
                None if self.rules.producer || self.rules.orchestrator => self.looks_then(run),
                Some(round) if self.rules.old_product => self.looks_now(run, round + 1),
                _ => continue,
            };
            let rule = if run < self.evidence.then.len() { Rule::Producer } else { Rule::OldProduct };
            for (group, hit) in self.passed_on(run, hits) {
                self.follow(run, group, hit, rule)?;
            }
        }
        Ok(())
    }

    fn runs(&self) -> usize {
        self.groups.len()
    }

    fn trace(&self, run: RunId) -> &'a Trace {
        let Evidence { then, rounds, .. } = self.evidence;
        then.get(run).unwrap_or_else(|| &rounds[run - then.len()])
    }

    /// What was removed has to be there again, or not to be needed for a reason that is known.
    fn came_back(&self) -> Result<(), Finding> {
        let mut makers: BTreeMap<(usize, usize), Vec<(&Removal, bool)>> = BTreeMap::new();
        for removal in self.evidence.removed.iter().flatten() {
            let exists = self.facts.exists(&removal.path);
            makers.entry(removal.maker).or_default().push((removal, exists));
        }
        for removals in makers.values() {
            let some_exist = removals.iter().any(|(_, exists)| *exists);
            let missing =
                removals.iter().find(|(removal, exists)| !exists && (some_exist || !removal.is_tracked));
            if let Some((removal, _)) = missing {
                return Err(Finding {
                    rule: Rule::NotMadeAgain,
                    change: SourceChange { path: removal.path.clone(), kind: ChangeKind::Removed },
                    who: String::new(),
                    product: None,
                });
            }
        }
        Ok(())
    }

    /// Who looked in an earlier build at something that is another now.
    fn looks_then(&self, run: RunId) -> BTreeMap<GroupId, Hit<'a>> {
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
    fn looks_now(&self, run: RunId, round: usize) -> BTreeMap<GroupId, Hit<'a>> {
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
            Kind::Orchestrator(Orchestrator::Tracked) => return,
            // What an informer read is not read as advice.
            Kind::Orchestrator(_) | Kind::Shell if !is_task && self.facts.is_advice(&hit.change.path) => {
                return;
            }
            _ => {}
        }
        hits.insert(group, hit);
    }

    /// Adds those that got something from one that looked.
    fn passed_on(&self, run: RunId, mut hits: BTreeMap<GroupId, Hit<'a>>) -> BTreeMap<GroupId, Hit<'a>> {
        let groups = &self.groups[run];
        if hits.is_empty() || groups.all.iter().all(|group| group.fed_by.is_empty()) {
            return hits;
        }
        loop {
            let mut more = Vec::new();
            for (id, group) in groups.all.iter().enumerate() {
                if !hits.contains_key(&id)
                    && group.kind == Kind::Task
                    && let Some(hit) = group.fed_by.iter().find_map(|writer| hits.get(writer))
                {
                    more.push((id, *hit));
                }
            }
            if more.is_empty() {
                return hits;
            }
            hits.extend(more);
        }
    }

    /// What follows from it that a group looked at something: what it left itself has to go, and what was started by it later.
    fn follow(&mut self, run: RunId, group: GroupId, hit: Hit<'a>, rule: Rule) -> Result<(), Finding> {
        let groups = &self.groups[run];
        let decides = matches!(groups.all[group].kind, Kind::Orchestrator(_) | Kind::Shell);
        let mut concerned: BTreeSet<GroupId> = BTreeSet::new();
        let is_on = |rules: Rules| if decides { rules.orchestrator } else { rules.producer };
        if rule == Rule::OldProduct || is_on(self.rules) {
            concerned.insert(group);
        }
        let starts = self.starts[run].get_or_init(|| starts(self.trace(run), groups));
        if rule == Rule::OldProduct || self.rules.orchestrator {
            for (id, below) in groups.all.iter().enumerate() {
                let Some(parent) = below.parent else { continue };
                let is_later = parent != group || starts[id] > hit.at;
                let is_tracked = below.kind == Kind::Orchestrator(Orchestrator::Tracked);
                if concerned.contains(&parent) && is_later && !is_tracked {
                    concerned.insert(id);
                }
            }
        }
        let failing = self.products_of(run, &concerned);
        let Some(product) = failing.iter().find(|(_, path)| !self.facts.is_advice(path)) else {
            return Ok(());
        };
        // Of a task it is told what was started, not which of its processes read.
        let speaker = match decides {
            true => hit.process,
            false => self.trace(run).process(groups.all[group].leader),
        };
        let who = describe(self.trace(run), speaker);
        let rule = if decides && rule == Rule::Producer { Rule::Orchestrator } else { rule };
        let mut finding = Finding { rule, change: hit.change.clone(), who, product: Some(product.1.clone()) };
        let groups = &self.groups[run];
        // One that nothing but the shell is above decides about all.
        let is_top = decides && groups.started_by(group).is_none();
        let is_moved = failing.iter().any(|(_, path)| self.facts.is_directory(path));
        let makes_more = is_top && failing.iter().any(|(maker, _)| *maker != group);
        if makes_more || is_moved {
            finding.product = None;
            return Err(finding);
        }
        for (maker, path) in failing {
            let is_tracked = groups.started_by(maker) == Some(Orchestrator::Tracked);
            let removal = Removal { path: path.clone(), is_tracked, maker: (run, maker) };
            self.failing.entry(path).or_insert(removal);
        }
        self.findings.push(finding);
        if rule == Rule::OldProduct {
            self.fail_like(run, group);
        }
        Ok(())
    }

    /// One that made something from what was old is the same that made other things before.
    fn fail_like(&mut self, run: RunId, group: GroupId) {
        let leader = |run: RunId, group: GroupId| {
            let trace = self.trace(run);
            let exec = trace.process(self.groups[run].all[group].leader).exec.as_ref()?;
            Some((exec.argv_digest, trace.paths().get(exec.cwd)))
        };
        let Some(identity) = leader(run, group) else { return };
        let mut more = Vec::new();
        for then in 0..self.evidence.then.len() {
            for other in 0..self.groups[then].all.len() {
                let is_task = self.groups[then].all[other].kind == Kind::Task;
                if is_task && leader(then, other) == Some(identity) {
                    let is_tracked = self.groups[then].started_by(other) == Some(Orchestrator::Tracked);
                    for (maker, path) in self.products_of(then, &BTreeSet::from([other])) {
                        more.push(Removal { path, is_tracked, maker: (then, maker) });
                    }
                }
            }
        }
        for removal in more {
            self.failing.entry(removal.path.clone()).or_insert(removal);
        }
    }

    /// What these groups left that is still what they left: nobody made it anew since.
    fn products_of(&self, run: RunId, groups: &BTreeSet<GroupId>) -> Vec<(GroupId, Vec<u8>)> {
        let trace = self.trace(run);
        let of = &self.groups[run].of;
        let moved: BTreeSet<PathId> = trace.moves().iter().map(|step| step.to).collect();
        let mut products = Vec::new();
        for (process, group) in trace.processes().iter().zip(of) {
            if !groups.contains(group) {
                continue;
            }
            for access in &process.accesses {
                let path = trace.paths().get(access.path);
                if access.touch.changes()
                    && trace.left(access.path)
                    && !path.starts_with(b"/")
                    && !self.is_made_later(run, path)
                    && self.facts.exists(path)
                    && (moved.contains(&access.path) || !self.facts.is_directory(path))
                {
                    products.push((*group, path.to_vec()));
                }
            }
        }
        products.sort();
        products.dedup();
        products
    }

    fn is_made_later(&self, run: RunId, path: &[u8]) -> bool {
        let rounds_before = (run + 1).saturating_sub(self.evidence.then.len());
        // What was removed after a round was made by it or before it.
        let is_removed = self.evidence.removed.iter().skip(rounds_before.saturating_sub(1)).flatten();
        is_removed.into_iter().any(|removal| removal.path == path)
            || (run + 1..self.runs()).any(|later| {
                let trace = self.trace(later);
                trace.paths().find(path).is_some_and(|id| {
                    let defines = |process: &Process| {
                        let at = process.accesses.binary_search_by_key(&id, |access| access.path);
                        at.is_ok_and(|at| process.accesses[at].touch.defines())
                    };
                    trace.processes().iter().any(defines)
                })
            })
    }
}

/// See [`super::needed`].
pub(super) fn needed(runs: &[&Trace]) -> Vec<bool> {
    let mut made_later: BTreeSet<&[u8]> = BTreeSet::new();
    let mut needed = vec![false; runs.len()];
    for (at, trace) in runs.iter().enumerate().rev() {
        let paths = trace.paths();
        let mut defined: Vec<PathId> = Vec::new();
        for access in trace.processes().iter().flat_map(|process| &process.accesses) {
            let is_left = access.touch.changes() && trace.left(access.path);
            needed[at] |= is_left && !made_later.contains(paths.get(access.path));
            if access.touch.defines() {
                defined.push(access.path);
            }
        }
        // The oldest has nothing before it.
        if at > 0 {
            made_later.extend(defined.into_iter().map(|path| paths.get(path)));
        }
    }
    needed
}

/// The changes, by the paths of a trace.
struct Marks<'a> {
    changes: &'a [SourceChange],
    /// For each path, one more than the place of a change of it.
    at: Vec<u32>,
    /// For each directory, one more than the place of a change of the names in it.
    names: Vec<u32>,
    some: bool,
}

impl<'a> Marks<'a> {
    fn new(trace: &Trace, changes: &'a [SourceChange], rules: Rules) -> Marks<'a> {
        let paths = trace.paths();
        let mut marks = Marks { changes, at: Vec::new(), names: Vec::new(), some: false };
        if changes.is_empty() {
            return marks;
        }
        (marks.at, marks.names) = (vec![0; paths.len()], vec![0; paths.len()]);
        for (change, place) in changes.iter().zip(1..) {
            let is_name = matches!(change.kind, ChangeKind::Added | ChangeKind::Removed | ChangeKind::Kind);
            if matches!(change.kind, ChangeKind::Kind | ChangeKind::Link) {
                for below in paths.below(&change.path) {
                    marks.at[below] = place;
                    marks.some = true;
                }
            }
            if let Some(id) = paths.find(&change.path) {
                marks.at[id.at()] = place;
                marks.some = true;
            }
            let dir = change.path.iter().rposition(|byte| *byte == b'/').map(|slash| &change.path[..slash]);
            if is_name
                && rules.listing
                && let Some(id) = dir.and_then(|dir| paths.find(dir))
            {
                marks.names[id.at()] = place;
                marks.some = true;
            }
        }
        marks
    }

    fn is_empty(&self) -> bool {
        !self.some
    }

    /// The change that an access has seen.
    fn seen_by(&self, access: &Access, rules: Rules) -> Option<&'a SourceChange> {
        let (at, touch) = (access.path.at(), access.touch);
        let change = |place: u32| (place as usize).checked_sub(1).map(|place| &self.changes[place]);
        if touch.any(Touch::LISTED)
            && let Some(change) = change(*self.names.get(at)?)
        {
            return Some(change);
        }
        let change = change(*self.at.get(at)?)?;
        let content = Touch::READ.and(Touch::EXECUTED).and(Touch::UPDATED);
        let whole = content.and(Touch::FOLLOWED).and(Touch::LISTED);
        // What is to be removed has to be there, which says nothing about what was in it.
        let is_present = touch.any(Touch::PRESENT) && !touch.any(Touch::REMOVED);
        let is_absent = touch.any(Touch::ABSENT) && rules.absence;
        let is_seen = match change.kind {
            ChangeKind::Content => touch.any(content),
            ChangeKind::Mode => touch.any(content) || is_present,
            ChangeKind::Removed => touch.any(whole) || is_present,
            ChangeKind::Added | ChangeKind::Kind | ChangeKind::Link => {
                touch.any(whole) || is_present || is_absent
            }
        };
        is_seen.then_some(change)
    }
}

/// Whether a run left something that begins as this name does.
fn has_kin(trace: &Trace, path: &[u8]) -> bool {
    let stem = |path: &[u8]| -> Vec<u8> {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let end = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0).unwrap_or(name.len());
        name[..end].to_vec()
    };
    let wanted = stem(path);
    (0..trace.paths().len() as u32)
        .map(PathId)
        .any(|id| trace.left(id) && stem(trace.paths().get(id)) == wanted)
}

/// When each path was first changed; 0 for never.
fn first_changes(trace: &Trace) -> Vec<u32> {
    let mut first = vec![0; trace.paths().len()];
    for access in trace.processes().iter().flat_map(|process| &process.accesses) {
        let known: &mut u32 = &mut first[access.path.at()];
        if access.touch.changes() && (*known == 0 || access.changed < *known) {
            *known = access.changed;
        }
    }
    first
}

/// When each group began, as far as it was seen to do something.
fn starts(trace: &Trace, groups: &Groups) -> Vec<u32> {
    let mut starts = vec![u32::MAX; groups.all.len()];
    for (process, group) in trace.processes().iter().zip(&groups.of) {
        for access in &process.accesses {
            for at in [access.observed, access.changed] {
                if at != 0 && at < starts[*group] {
                    starts[*group] = at;
                }
            }
        }
    }
    starts
}

/// What a process is, for a person: its command, or that of who started it.
fn describe(trace: &Trace, process: &Process) -> String {
    const LONGEST: usize = 60;
    let mut at = process;
    let argv = loop {
        match (&at.exec, at.before.or(at.parent)) {
            (Some(exec), _) => break &exec.argv[..],
            (None, Some(above)) => at = trace.process(above),
            (None, None) => break &[],
        }
    };
    let words: Vec<_> = argv.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let line: String = words.join(" ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("`{}…`", &line[..end]),
        None if line.is_empty() => "the shell of the step".to_owned(),
        None => format!("`{line}`"),
    }
}

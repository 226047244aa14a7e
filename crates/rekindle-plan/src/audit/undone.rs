//! What failed commands changed, and who goes with them because it may have looked at that.
//!
//! Cargo starts a command when half of what it needs is made, and lists one directory in all of them. So commands that ended well may have
//! looked at what one was making that failed in the end. If what they made goes, too, nothing is left of it. Only a build tool that
//! starts again whatever is missing makes it again, so where another one has started them, nothing can be kept.

use std::collections::{BTreeMap, BTreeSet};

use super::groups::{GroupId, Kind, Orchestrator};
use super::rules::{Auditor, RunId};
use super::trace_facts::describe;
use crate::quote::quote;
use crate::trace::{Access, Move, PathId, ProcessId, Touch};

/// How something was changed.
#[derive(Clone, Copy)]
pub(super) struct Change {
    pub(super) touch: Touch,
    /// Whose it is: one of those that changed it, or of whose it is another name.
    pub(super) group: GroupId,
    /// When it was changed first.
    at: u32,
    /// When the first of those that changed it began, and when the first of them ended.
    span: (u64, u64),
}

impl Change {
    fn add(&mut self, other: Change) {
        self.touch = self.touch.and(other.touch);
        self.at = self.at.min(other.at);
        self.span = (self.span.0.min(other.span.0), self.span.1.min(other.span.1));
    }
}

/// What is to be undone.
pub(super) struct Undone {
    /// Of these commands, of which some failed,
    pub(super) commands: BTreeSet<GroupId>,
    /// and these may have looked at what others of them had made.
    pub(super) spoiled: BTreeSet<GroupId>,
    pub(super) changed: BTreeMap<PathId, Change>,
}

impl Auditor<'_> {
    /// What these commands, which failed, made, and all that is made of it; or why that cannot be undone.
    pub(super) fn undone(&self, run: RunId, failed: BTreeSet<GroupId>) -> Result<Undone, String> {
        let spans = self.spans(run);
        let changed = self.changed(run, &failed, &spans)?;
        let mut undone = Undone { commands: failed, spoiled: BTreeSet::new(), changed };
        loop {
            let spoiled = self.spoiled(run, &undone)?;
            if spoiled.is_empty() {
                return Ok(undone);
            }
            undone.commands.extend(&spoiled);
            undone.spoiled.extend(&spoiled);
            undone.changed = self.changed(run, &undone.commands, &spans)?;
        }
    }

    /// What these commands changed in the tree, with the names that build tools gave it.
    fn changed(
        &self,
        run: RunId,
        commands: &BTreeSet<GroupId>,
        spans: &[(u64, u64)],
    ) -> Result<BTreeMap<PathId, Change>, String> {
        let trace = self.trace(run);
        let groups = &self.groups[run];
        let mut changed: BTreeMap<PathId, Change> = BTreeMap::new();
        let found = |touch, group: GroupId, at| Change { touch, group, at, span: spans[group] };
        let note = |changed: &mut BTreeMap<PathId, Change>, path: PathId, found: Change| {
            changed.entry(path).or_insert(found).add(found);
        };
        for (process, &group) in trace.processes().iter().zip(&groups.of) {
            for access in process.accesses.iter().filter(|_| commands.contains(&group)) {
                let changes = access.touch.changes() || access.touch.any(Touch::TIMES);
                if changes && !trace.paths().get(access.path).starts_with(b"/") {
                    note(&mut changed, access.path, found(access.touch, group, access.changed));
                }
            }
        }
        for step in trace.moves() {
            let group = groups.of[step.process.at()];
            if commands.contains(&group) {
                let makes = |(process, access): (ProcessId, &Access)| {
                    commands.contains(&groups.of[process.at()]) && access.touch.any(Touch::CREATED)
                };
                if !trace.changes_to(step.from).any(makes) || self.is_directory_move(run, step) {
                    let path = quote(trace.paths().get(step.from));
                    return Err(format!("a command that failed had given {path} another name"));
                }
                note(&mut changed, step.to, found(Touch::REPLACED, group, step.at));
            } else if matches!(groups.all[group].kind, Kind::Orchestrator(tool) if tool.forgets_what_failed())
                && let Some(named) = changed.get(&step.from).map(|change| change.group)
            {
                note(&mut changed, step.to, found(Touch::REPLACED, named, step.at));
            }
        }
        Ok(changed)
    }

    fn is_directory_move(&self, run: RunId, step: &Move) -> bool {
        let paths = self.trace(run).paths();
        [step.from, step.to]
            .iter()
            .any(|id| self.facts.is_directory(paths.get(*id)) || !paths.below(paths.get(*id)).is_empty())
    }

    /// Who else may have looked at it, and is made again if what it left is removed.
    fn spoiled(&self, run: RunId, undone: &Undone) -> Result<BTreeSet<GroupId>, String> {
        let groups = &self.groups[run];
        let mut spoiled = BTreeSet::new();
        for (path, change) in &undone.changed {
            for user in self.users(run, (*path, *change), undone) {
                if spoiled.contains(&user) {
                    continue;
                }
                // Who left nothing has told something, and nobody notices that this is missing.
                let is_made_again = groups.all[user].kind == Kind::Task
                    && groups.started_by(user).is_some_and(Orchestrator::forgets_what_failed)
                    && !self.products_of(run, &BTreeSet::from([user])).is_empty();
                if !is_made_again {
                    let trace = self.trace(run);
                    let who = describe(trace, trace.process(groups.all[user].leader));
                    let path = quote(trace.paths().get(*path));
                    return Err(format!("{who} may have looked at {path} of a command that failed"));
                }
                spoiled.insert(user);
            }
        }
        Ok(spoiled)
    }

    /// Who but those that are undone may have looked at something.
    fn users(
        &self,
        run: RunId,
        (path, change): (PathId, Change),
        undone: &Undone,
    ) -> impl Iterator<Item = GroupId> {
        let trace = self.trace(run);
        let groups = &self.groups[run];
        let text = trace.paths().get(path);
        let dir = text.iter().rposition(|byte| *byte == b'/').map(|slash| &text[..slash]);
        let dir = dir.and_then(|dir| trace.paths().find(dir));
        // The names that ended well come back.
        let dir = dir.filter(|_| change.touch.defines() && !undone.spoiled.contains(&change.group));
        let lists = |(_, access): &(ProcessId, &Access)| access.touch.any(Touch::LISTED);
        let listed = dir.into_iter().flat_map(|dir| trace.accesses_to(dir)).filter(lists);
        let users = trace.accesses_to(path).chain(listed).filter(move |(process, access)| {
            let is_itself = access.path == path;
            let group = groups.of[process.at()];
            let process = trace.process(*process);
            if undone.commands.contains(&group) {
                return false;
            }
            let is_later = access.observed > change.at || access.changed_last > change.at;
            match groups.all[group].kind {
                Kind::Task if is_itself => process.ended > change.span.0 || is_later,
                // Who ran beside it may see what it makes there in a clean build, too.
                Kind::Task => process.started >= change.span.1,
                // Its own book has nothing of what failed, and it removes what that left.
                Kind::Orchestrator(found) if found.forgets_what_failed() => false,
                Kind::Orchestrator(_) => is_later && !access.touch.any(Touch::REMOVED),
                Kind::Shell => is_later || is_itself,
            }
        });
        users.map(|(process, _)| groups.of[process.at()])
    }
}

//! What has to go along with what goes, so that its maker finds the tree as a clean build would have it.
//!
//! - One that was given the same to do, then and now, is the same: what it left then was there when it ran now, and it may have
//!   looked at that without opening it. So all of it goes, of both runs.
//! - A directory that it made goes if nothing stays in it. Who copies a tree does not replace a directory by a file, and who
//!   is not run any more would leave it empty.

use std::collections::BTreeSet;

use super::Removal;
use super::groups::{GroupId, Kind, Orchestrator};
use super::rules::{Auditor, RunId};
use crate::trace::Touch;

impl Auditor<'_> {
    pub(super) fn add_companions(&mut self) {
        let makers: BTreeSet<(RunId, GroupId)> =
            self.failing.values().map(|removal| removal.maker).filter(|maker| self.is_task(*maker)).collect();
        let alike: BTreeSet<_> = makers.iter().flat_map(|maker| self.alike(*maker)).collect();
        for (run, group) in alike.difference(&makers) {
            for (_, path) in self.products_of(*run, &BTreeSet::from([*group])) {
                self.fail(path, (*run, *group));
            }
        }
        let mut dirs: BTreeSet<(Vec<u8>, (RunId, GroupId))> = BTreeSet::new();
        for (run, group) in makers.union(&alike).copied() {
            dirs.extend(self.made_directories(run, group).into_iter().map(|dir| (dir, (run, group))));
        }
        // What is in a directory comes after it.
        for (dir, maker) in dirs.into_iter().rev() {
            let goes = |name: &Vec<u8>| {
                let path = [&dir[..], b"/", name].concat();
                self.failing.contains_key(&path)
            };
            if self.facts.names_in(&dir).iter().all(goes) {
                self.fail(dir, maker);
            }
        }
    }

    fn fail(&mut self, path: Vec<u8>, (run, group): (RunId, GroupId)) {
        let is_tracked = self.groups[run].started_by(group).is_some_and(Orchestrator::is_tracked);
        let removal = Removal { path: path.clone(), is_tracked, maker: (run, group) };
        self.failing.entry(path).or_insert(removal);
    }

    fn is_task(&self, (run, group): (RunId, GroupId)) -> bool {
        self.groups[run].all.get(group).is_some_and(|group| group.kind == Kind::Task)
    }

    /// Those of the other time, then or now, that were given the same to do.
    fn alike(&self, (run, group): (RunId, GroupId)) -> Vec<(RunId, GroupId)> {
        let Some(identity) = self.identity(run, group) else { return Vec::new() };
        let first_now = self.evidence.then.len();
        let others = if run < first_now { first_now..self.runs() } else { 0..first_now };
        let all = others.flat_map(|run| (0..self.groups[run].all.len()).map(move |group| (run, group)));
        all.filter(|other| self.is_task(*other) && self.identity(other.0, other.1) == Some(identity))
            .collect()
    }

    /// The directories that a group made and that are no sources.
    fn made_directories(&self, run: RunId, group: GroupId) -> Vec<Vec<u8>> {
        let trace = self.trace(run);
        let members = trace.processes().iter().zip(&self.groups[run].of).filter(|(_, of)| **of == group);
        let made = members
            .flat_map(|(process, _)| &process.accesses)
            .filter(|access| access.touch.any(Touch::CREATED))
            .map(|access| trace.paths().get(access.path));
        let is_its = |path: &&[u8]| {
            !path.starts_with(b"/") && self.facts.is_directory(path) && !self.facts.is_in_sources(path)
        };
        made.filter(is_its).map(<[u8]>::to_vec).collect()
    }
}

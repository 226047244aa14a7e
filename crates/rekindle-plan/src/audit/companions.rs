//! What has to go along with what goes, so that its maker finds the tree as a clean build would have it.
//!
//! - One that was given the same to do, then and now, is the same: what it left then was there when it ran now, and it may have
//!   looked at that without opening it. So all of it goes, of both runs.
//! - Who adds to what another one made has to find that. So what goes takes all with it that had a part in it.
//! - A directory that it made goes if nothing stays in it. Who copies a tree does not replace a directory by a file, and who
//!   is not run any more would leave it empty.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::Removal;
use super::groups::{GroupId, Kind, Orchestrator};
use super::rules::{Auditor, RunId};
use crate::trace::Touch;

/// To change what another one has made.
const ADDS: Touch = Touch::UPDATED.and(Touch::MODE);

/// Some groups of each run.
type Makers = BTreeMap<RunId, BTreeSet<GroupId>>;

impl Auditor<'_> {
    /// Adds them to what fails. Takes time by how much was done in all runs, not by how much fails.
    pub(super) fn add_companions(&mut self) {
        let mut makers = Makers::new();
        for (run, group) in self.failing.values().map(|removal| removal.maker) {
            if self.groups[run].all.get(group).is_some_and(|group| group.kind == Kind::Task) {
                makers.entry(run).or_default().insert(group);
            }
        }
        loop {
            let before = self.failing.len();
            for (run, groups) in self.alike(&makers).into_iter().chain(self.joint_makers()) {
                for (group, path) in self.products_of(run, &groups) {
                    self.fail(path, (run, group));
                }
                makers.entry(run).or_default().extend(groups);
            }
            if self.failing.len() == before {
                break;
            }
        }
        // What is in a directory comes after it.
        for (dir, maker) in self.made_directories(&makers).into_iter().rev() {
            let goes = |name: &Vec<u8>| {
                let path = [&dir[..], b"/", name].concat();
                self.failing.contains_key(&path)
            };
            if self.facts.names_in(&dir).iter().all(goes) {
                self.fail(dir, maker);
            }
        }
    }

    /// All that had a part in what goes and is one that is added to or given a mode, or that several write: who is left would find nothing to
    /// do that to, or make with a mode of its own what another one had made.
    fn joint_makers(&self) -> Makers {
        let mut joint = Makers::new();
        for path in self.failing.keys() {
            for run in 0..self.runs() {
                let is_left = self.trace(run).paths().find(path).is_some_and(|id| self.trace(run).left(id));
                let makers = self.changes_in(run, path).map(|(_, group, _)| group);
                let makers: BTreeSet<GroupId> =
                    makers.filter(|group| self.groups[run].all[*group].kind == Kind::Task).collect();
                let is_added_to = || self.changes_in(run, path).any(|(.., access)| access.touch.any(ADDS));
                if is_left && (makers.len() > 1 || is_added_to()) {
                    joint.entry(run).or_default().extend(makers);
                }
            }
        }
        joint
    }

    pub(super) fn fail(&mut self, path: Vec<u8>, (run, group): (RunId, GroupId)) {
        let is_tracked = self.groups[run].started_by(group).is_some_and(Orchestrator::is_tracked);
        let removal = Removal { path: path.clone(), is_tracked, maker: (run, group) };
        self.failing.entry(path).or_insert(removal);
    }

    /// Those of the other time, then or now, that were given the same to do.
    fn alike(&self, makers: &Makers) -> Makers {
        let is_now = |run: RunId| run >= self.evidence.then.len();
        let all = makers.iter().flat_map(|(run, groups)| groups.iter().map(|group| (*run, *group)));
        let wanted: HashSet<_> =
            all.filter_map(|(run, group)| Some((!is_now(run), self.identity(run, group)?))).collect();
        let mut alike = Makers::new();
        if wanted.is_empty() {
            return alike;
        }
        for (run, groups) in self.groups.iter().enumerate() {
            for (id, group) in groups.all.iter().enumerate() {
                let identity = || self.identity(run, id).map(|identity| (is_now(run), identity));
                if group.kind == Kind::Task
                    && identity().is_some_and(|identity| wanted.contains(&identity))
                    && !makers.get(&run).is_some_and(|known| known.contains(&id))
                {
                    alike.entry(run).or_default().insert(id);
                }
            }
        }
        alike
    }

    /// The directories that groups made and that are no sources.
    fn made_directories(&self, makers: &Makers) -> BTreeMap<Vec<u8>, (RunId, GroupId)> {
        let mut made = BTreeMap::new();
        for (run, groups) in makers {
            let trace = self.trace(*run);
            for (process, group) in trace.processes().iter().zip(&self.groups[*run].of) {
                if !groups.contains(group) {
                    continue;
                }
                for access in process.accesses.iter().filter(|access| access.touch.any(Touch::CREATED)) {
                    let path = trace.paths().get(access.path);
                    if !path.starts_with(b"/")
                        && self.facts.is_directory(path)
                        && !self.facts.is_in_sources(path)
                    {
                        made.insert(path.to_vec(), (*run, *group));
                    }
                }
            }
        }
        made
    }
}

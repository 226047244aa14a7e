//! What of the tree of a step that failed a later build may go on from: all but what its failed commands made.
//!
//! A command that failed may have left half a file, or a whole one of which its build tool would think that all is well. So
//! what it changed is removed, and what is left is a tree as a build leaves it that has come to this point, with these commands
//! still to be run. That has to be certain, so nothing is kept
//!
//! - unless the step failed because of commands that build tools had started ([`super::failure`]), and all ends were seen;
//! - if a failed command changed a source, gave another's file a new name, or removed a directory that it had not made;
//! - if somebody else may have looked at what a failed command had made, unless that one can be undone as well;
//! - if the step went on from an earlier tree, and the audit asks for a clean run.
//!
//! A step that was stopped is one that failed, in which all that ran at that moment was interrupted. Who ended well from then on
//! may have done so with half of it made, so all of them count as failed.
//!
//! A recipe of make's may have several lines, each a command of its own. If the second fails, the file that the first has made
//! is there, and make would take it as done. Which file that is only make knows, and it says so ([`Said`]). These are
//! removed as well.
//!
//! What is removed and had been there before the step has to come back, and each command that failed has to run again, before
//! what goes on from this counts ([`super::Open`]). All that the audit finds wrong in the tree is removed, too: how it was found
//! to be wrong would not be known any more.

use std::collections::{BTreeMap, BTreeSet};

use super::Removal;
use super::failure::{Failed, HowItFailed};
use super::groups::{GroupId, Kind, Orchestrator};
use super::rules::{Auditor, RunId};
use super::said::Said;
use super::undone::{Change, Undone};
use crate::quote::quote;
use crate::trace::{PathId, ProcessId, Touch, Trace, resolve};

/// What can be kept of a run that failed.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// What it did, as far as it counts.
    pub trace: Trace,
    /// What has to go from the tree, ascending.
    pub remove: Vec<Vec<u8>>,
    /// What was there before, is not or will not be any more, and has to come back.
    pub lost: Vec<Removal>,
    /// Whether nobody who decided what the builds before did had looked at something that was another one now.
    pub is_alike: bool,
}

/// What goes, and what of it has to come back.
#[derive(Default)]
struct Going {
    gone: BTreeSet<Vec<u8>>,
    lost: BTreeMap<Vec<u8>, Removal>,
}

impl Auditor<'_> {
    pub(super) fn unfinished(mut self, how: &HowItFailed) -> Result<Unfinished, String> {
        let run = self.runs() - 1;
        if !self.evidence.then.is_empty() {
            self.judge(true).map_err(|finding| finding.to_string())?;
            self.add_companions();
        }
        let ends = self.ends(run);
        if ends.iter().any(Option::is_none) {
            return Err("not all of its processes were seen to end".to_owned());
        }
        let Failed { commands: mut failed, of_makes } = self.failed(run, how)?;
        failed.retain(|group| !self.had_not_begun(run, *group));
        if failed.iter().any(|group| self.identity(run, *group).is_none()) {
            return Err("it is not known what failed".to_owned());
        }
        let undone = self.undone(run, failed)?;
        let mut going = Going::default();
        self.undo(run, &undone, &mut going)?;
        let made_by_failed = going.gone.clone();
        self.undo_targets(run, &of_makes, &how.said, &mut going)?;
        for group in (0..ends.len()).filter(|group| ends[*group] != Some(0)) {
            if matches!(self.groups[run].all[group].kind, Kind::Orchestrator(_)) {
                self.note_removed(run, group, &mut going);
            }
        }
        for removal in std::mem::take(&mut self.failing).into_values() {
            if self.facts.is_in_sources(&removal.path) {
                return Err(format!("{} is a source, and is not what it was", quote(&removal.path)));
            }
            if self.facts.exists(&removal.path) && going.gone.insert(removal.path.clone()) {
                going.lost.insert(removal.path.clone(), removal);
            }
        }
        let Going { gone, mut lost } = going;
        for earlier in self.evidence.open.lost {
            if !self.facts.exists(&earlier.path) || gone.contains(&earlier.path) {
                lost.insert(earlier.path.clone(), earlier.clone());
            }
        }
        let leaders: Vec<ProcessId> =
            undone.commands.iter().map(|group| self.groups[run].all[*group].leader).collect();
        // What others made that has to go was left by them all the same: who leaves nothing has told something.
        let trace = self.trace(run).without_failed(&leaders, |path| made_by_failed.contains(path));
        Ok(Unfinished {
            trace,
            remove: gone.into_iter().collect(),
            lost: lost.into_values().collect(),
            is_alike: self.decides_the_same(),
        })
    }

    /// Whether a process was interrupted before it executed anything, of a build tool that starts again what has not ended well.
    fn had_not_begun(&self, run: RunId, group: GroupId) -> bool {
        let groups = &self.groups[run];
        groups.started_by(group).is_some_and(Orchestrator::forgets_what_failed)
            && groups.members(group).iter().map(|id| self.trace(run).process(*id)).all(|process| {
                process.exec.is_none() && !process.accesses.iter().any(|access| access.touch.changes())
            })
    }

    /// Removes what failed commands changed.
    fn undo(&self, run: RunId, undone: &Undone, going: &mut Going) -> Result<(), String> {
        let trace = self.trace(run);
        let mut directories = Vec::new();
        for (id, Change { touch, group, .. }) in &undone.changed {
            let path = trace.paths().get(*id);
            if self.facts.is_in_sources(path) {
                return Err(format!("a command that failed had changed the source {}", quote(path)));
            }
            let was_there = self.was_there(run, *id, &undone.commands);
            if self.facts.is_directory(path) {
                if !touch.any(Touch::CREATED) && touch.any(Touch::MODE.and(Touch::TIMES)) {
                    return Err(format!("a command that failed had changed the directory {}", quote(path)));
                }
                directories.push((path, was_there));
                continue;
            }
            let is_there = self.facts.exists(path);
            if is_there {
                going.gone.insert(path.to_vec());
            }
            // Who ended well has noted it: nothing but that it is missing says that it has to be made again.
            if was_there || (is_there && undone.spoiled.contains(group)) {
                going.lost.insert(path.to_vec(), self.removal(run, *group, path));
            }
        }
        // What is in a directory comes after it.
        for (path, was_there) in directories.into_iter().rev() {
            let goes = |name: &Vec<u8>| going.gone.contains(&[path, b"/", name].concat());
            if !was_there && self.facts.names_in(path).iter().all(goes) {
                going.gone.insert(path.to_vec());
            }
        }
        Ok(())
    }

    /// Removes what make was to make by recipes that failed: an earlier line may have made it.
    fn undo_targets(
        &self,
        run: RunId,
        of_makes: &BTreeMap<GroupId, u32>,
        said: &[Said],
        going: &mut Going,
    ) -> Result<(), String> {
        for (group, level) in of_makes {
            let Some((_, dir)) = self.identity(run, *group) else {
                return Err("it is not known where a make ran".to_owned());
            };
            for target in said.iter().filter(|said| said.level == *level).map(|said| &said.target) {
                if target.contains(&b'(') {
                    return Err(format!("{} is part of an archive", quote(target)));
                }
                let path = resolve(dir, target);
                if !self.facts.exists(&path) || self.facts.is_directory(&path) {
                    continue;
                }
                if self.facts.is_in_sources(&path) {
                    if !self.facts.is_source(self.evidence.rounds.len(), &path) {
                        return Err(format!("{} is a source, and is made", quote(&path)));
                    }
                    continue;
                }
                if going.gone.insert(path.clone()) {
                    going.lost.insert(path.clone(), self.removal(run, *group, &path));
                }
            }
        }
        Ok(())
    }

    /// Notes what a build tool itself has removed, as make does with what it thinks is half made.
    fn note_removed(&self, run: RunId, group: GroupId, going: &mut Going) {
        let trace = self.trace(run);
        for (process, _) in trace.processes().iter().zip(&self.groups[run].of).filter(|(_, of)| **of == group)
        {
            for access in process.accesses.iter().filter(|access| access.touch.any(Touch::REMOVED)) {
                let path = trace.paths().get(access.path);
                if !path.starts_with(b"/")
                    && !self.facts.exists(path)
                    && self.facts.existed(self.evidence.rounds.len() - 1, path)
                {
                    going.lost.entry(path.to_vec()).or_insert_with(|| self.removal(run, group, path));
                }
            }
        }
    }

    fn removal(&self, run: RunId, group: GroupId, path: &[u8]) -> Removal {
        let is_tracked = self.groups[run].started_by(group).is_some_and(Orchestrator::is_tracked);
        Removal { path: path.to_vec(), is_tracked, maker: (run, group) }
    }

    /// Whether anything was at a path before failed commands changed it.
    fn was_there(&self, run: RunId, path: PathId, failed: &BTreeSet<GroupId>) -> bool {
        let trace = self.trace(run);
        let mut others = trace.changes_to(path).map(|(process, _)| self.groups[run].of[process.at()]);
        self.facts.existed(self.evidence.rounds.len() - 1, trace.paths().get(path))
            || others.any(|group| !failed.contains(&group))
    }
}

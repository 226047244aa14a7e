//! Whether a name that came or went can have meant anything to who listed its directory, or to a make that only asked for it.

use std::cell::OnceCell;
use std::collections::HashSet;

use super::Orchestrator;
use super::groups::{Book, GroupId, Kind, is_ninjas_book};
use super::rules::{Auditor, RunId};
use super::told::Names;
use crate::observation::SourceChange;
use crate::trace::{Access, PathId, Process, Touch, Trace, name_of};

/// The names of all that a run left.
#[derive(Debug, Default)]
pub struct LeftNames<'a> {
    names: HashSet<&'a [u8]>,
    stems: HashSet<&'a [u8]>,
}

impl<'a> LeftNames<'a> {
    pub(super) fn of(trace: &'a Trace) -> LeftNames<'a> {
        let ids = (0..trace.paths().len() as u32).map(PathId);
        ids.filter(|id| trace.left(*id)).map(|id| name_of(trace.paths().get(id))).collect()
    }

    /// Whether something has this name.
    #[must_use]
    pub fn has(&self, name: &[u8]) -> bool {
        self.names.contains(name)
    }

    /// Whether something begins as this name does, up to its last dot.
    #[must_use]
    pub fn has_kin(&self, name: &[u8]) -> bool {
        self.stems.contains(stem(name))
    }
}

impl<'a> FromIterator<&'a [u8]> for LeftNames<'a> {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(names: I) -> Self {
        let names: HashSet<&[u8]> = names.into_iter().collect();
        LeftNames { stems: names.iter().map(|name| stem(name)).collect(), names }
    }
}

/// A name up to its last dot.
fn stem(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0).unwrap_or(name.len());
    &name[..end]
}

/// What tells a make what it can mean, once that is known.
pub(super) struct Makefiles<'a, 'r> {
    /// What its run made.
    made: &'r OnceCell<LeftNames<'a>>,
    /// Those that it read.
    read: OnceCell<Vec<&'a [u8]>>,
}

impl<'a, 'r> Makefiles<'a, 'r> {
    pub(super) fn new(made: &'r OnceCell<LeftNames<'a>>) -> Self {
        Makefiles { made, read: OnceCell::new() }
    }
}

impl<'a> Auditor<'a> {
    /// Whether a name that came or went can have meant anything to a process that listed its directory.
    pub(super) fn can_mean(
        &self,
        (run, group): (RunId, GroupId),
        process: &Process,
        makefiles: &Makefiles<'a, '_>,
        change: &SourceChange,
    ) -> bool {
        let groups = &self.groups[run];
        match (groups.all[group].kind, groups.all[self.speaker(run, group)].kind) {
            // What came and went then may be there longer now: it was there when the directory was listed.
            (_, Kind::Task) => !self.was_transient(run, &change.path),
            // The products in it come and go in a clean build, too.
            _ if !self.facts.was_prepared(1, &change.path) => false,
            (Kind::Orchestrator(_), _) => {
                let read = makefiles.read.get_or_init(|| self.descriptions(run, process));
                let made = makefiles.made.get_or_init(|| LeftNames::of(self.trace(run)));
                self.facts.is_meant(read, &change.path, made)
            }
            _ => true,
        }
    }

    /// A path that came or went and that a make asked for by its name, as its makefiles say.
    pub(super) fn asked_for(
        &self,
        (run, group): (RunId, GroupId),
        process: &Process,
        makefiles: &Makefiles<'a, '_>,
        names: &Names<'a>,
    ) -> Option<&'a SourceChange> {
        let is_make = matches!(
            self.groups[run].all[group].kind,
            Kind::Orchestrator(Orchestrator::Make | Orchestrator::Tracked(Book::Recipes))
        );
        if !is_make || process.exec.is_none() {
            return None;
        }
        let read = makefiles.read.get_or_init(|| self.descriptions(run, process));
        let asked = self.facts.asked_for(read, &names.prepared)?;
        names.changes.get(asked).copied()
    }

    /// The files of the tree that tell an orchestrator what to do.
    pub(super) fn descriptions(&self, run: RunId, process: &Process) -> Vec<&'a [u8]> {
        let paths = self.trace(run).paths();
        let reads = process.accesses.iter().filter(|access| access.touch.any(Touch::READ));
        let files = reads.map(|access| paths.get(access.path));
        // What compilers write is full of names that mean nothing. None of it is a source.
        let is_written = |path: &[u8]| !self.facts.is_source(0, path) && self.is_depfile(path);
        let describes = |path: &&[u8]| {
            !path.starts_with(b"/") && !is_ninjas_book(path) && !self.facts.is_book(path) && !is_written(path)
        };
        files.filter(describes).collect()
    }

    /// Whether a run made something at this path and did not leave it.
    fn was_transient(&self, run: RunId, path: &[u8]) -> bool {
        let trace = self.trace(run);
        let Some(id) = trace.paths().find(path) else { return false };
        let makes = |access: &Access| access.touch.any(Touch::MAKES);
        !trace.left(id) && trace.changes_to(id).any(|(_, access)| makes(access))
    }
}

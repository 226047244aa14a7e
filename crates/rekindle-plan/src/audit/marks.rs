//! Which accesses of a trace have seen which changes.

use std::collections::HashMap;

use super::Rules;
use crate::observation::{ChangeKind, SourceChange};
use crate::trace::{Access, PathId, Touch, Trace, name_of};

/// The changes, by the paths of a trace.
#[derive(Debug)]
pub(crate) struct Marks<'a> {
    changes: &'a [SourceChange],
    /// For each path, one more than the place of a change of it.
    at: Vec<u32>,
    /// Of directories, the places of the changes of the names in them.
    names: HashMap<PathId, Vec<u32>>,
    /// The paths of the trace that are concerned, ascending, each once.
    concerned: Vec<PathId>,
}

impl<'a> Marks<'a> {
    pub(crate) fn new(trace: &Trace, changes: &'a [SourceChange], rules: Rules) -> Marks<'a> {
        let paths = trace.paths();
        let mut marks = Marks { changes, at: Vec::new(), names: HashMap::new(), concerned: Vec::new() };
        if changes.is_empty() {
            return marks;
        }
        marks.at = vec![0; paths.len()];
        for (change, place) in changes.iter().zip(1..) {
            let is_name = matches!(change.kind, ChangeKind::Added | ChangeKind::Removed | ChangeKind::Kind);
            if matches!(change.kind, ChangeKind::Kind | ChangeKind::Link) {
                for below in paths.below(&change.path) {
                    marks.at[below] = place;
                    marks.concerned.push(PathId(below as u32));
                }
            }
            if let Some(id) = paths.find(&change.path) {
                marks.at[id.at()] = place;
                marks.concerned.push(id);
            }
            let dir = parent(&change.path);
            // Python lists the directory that a package is in, and then only asks whether there is this file in the package.
            let above = dir.filter(|_| name_of(&change.path).starts_with(b"__init__.")).and_then(parent);
            for dir in [dir, above].into_iter().flatten() {
                if is_name
                    && rules.listing
                    && let Some(id) = paths.find(dir)
                {
                    marks.names.entry(id).or_default().push(place - 1);
                    marks.concerned.push(id);
                }
            }
        }
        marks.concerned.sort_unstable();
        marks.concerned.dedup();
        marks
    }

    /// The paths of the trace that any change is of, ascending, each once.
    pub(crate) fn concerned(&self) -> &[PathId] {
        &self.concerned
    }

    /// A change that an access has seen.
    pub(crate) fn seen_by(&self, access: &Access, rules: Rules) -> Option<&'a SourceChange> {
        self.touched(access, rules).or_else(|| self.listed(access).next())
    }

    /// The names that came or went in a directory, or are of another kind, if the access listed it.
    pub(crate) fn listed(&self, access: &Access) -> impl Iterator<Item = &'a SourceChange> + use<'a, '_> {
        let lists = access.touch.any(Touch::LISTED);
        let names = lists.then(|| self.names.get(&access.path)).flatten();
        names.into_iter().flatten().map(|place| &self.changes[*place as usize])
    }

    /// The change of the path itself, or of one above it that is of another kind now, if the access has seen it.
    pub(crate) fn touched(&self, access: &Access, rules: Rules) -> Option<&'a SourceChange> {
        let touch = access.touch;
        let place = (*self.at.get(access.path.at())? as usize).checked_sub(1)?;
        let change = &self.changes[place];
        let content = Touch::READ.and(Touch::EXECUTED).and(Touch::UPDATED);
        // What it threw away in the same call in which it first saw it, it has made itself since.
        let threw_away = access.changed != 0 && access.observed == access.changed && touch.defines();
        let reads = touch.any(content) && !threw_away;
        let whole = content.and(Touch::FOLLOWED).and(Touch::LISTED);
        // What is to be removed has to be there, which says nothing about what was in it.
        let is_present = touch.any(Touch::PRESENT) && !touch.any(Touch::REMOVED);
        let is_absent = touch.any(Touch::ABSENT) && rules.absence;
        let is_seen = match change.kind {
            ChangeKind::Content => reads,
            ChangeKind::Mode => reads || is_present,
            ChangeKind::Removed => touch.any(whole) || is_present,
            ChangeKind::Added | ChangeKind::Kind | ChangeKind::Link => {
                touch.any(whole) || is_present || is_absent
            }
        };
        is_seen.then_some(change)
    }
}

/// The directory that a path is in.
fn parent(path: &[u8]) -> Option<&[u8]> {
    path.iter().rposition(|byte| *byte == b'/').map(|slash| &path[..slash])
}

//! One run, indexed: who wrote a path, who moved it, and which processes belong together.

use crate::audit::groups::Groups;
use crate::trace::{Access, Move, PathId, ProcessId, Touch, Trace};

/// What gives a path its content.
pub(super) const WRITES: Touch = Touch::CREATED.and(Touch::REPLACED).and(Touch::UPDATED);
/// See the module's header.
#[derive(Debug)]
pub(super) struct Indexed<'a> {
    pub(super) trace: &'a Trace,
    pub(super) groups: Groups,
    /// The processes of each group.
    pub(super) members: Vec<Vec<ProcessId>>,
    /// Who gave a path its content or took it away, by path, then by time.
    writes: Vec<Write>,
    /// By the new name, then by time.
    moves: Vec<Move>,
    /// The new names that each group gave.
    pub(super) moved: Vec<Vec<PathId>>,
}

/// The changes that one process made to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Write {
    path: PathId,
    first: u32,
    pub(super) last: u32,
    pub(super) process: ProcessId,
}

impl<'a> Indexed<'a> {
    pub(super) fn new(trace: &'a Trace) -> Indexed<'a> {
        let groups = Groups::new(trace);
        let mut members = vec![Vec::new(); groups.all.len()];
        let mut writes = Vec::new();
        for (at, process) in trace.processes().iter().enumerate() {
            let id = ProcessId(at as u32);
            members[groups.of[at]].push(id);
            let written = process.accesses.iter().filter(|access| access.touch.any(WRITES));
            writes.extend(written.map(|access| Write {
                path: access.path,
                first: access.changed,
                last: access.changed_last,
                process: id,
            }));
        }
        writes.sort_unstable();
        let mut moves = trace.moves().to_vec();
        moves.sort_unstable_by_key(|step| (step.to, step.at));
        let mut moved = vec![Vec::new(); groups.all.len()];
        moves.iter().for_each(|step| moved[groups.of[step.process.at()]].push(step.to));
        Indexed { trace, groups, members, writes, moves, moved }
    }

    pub(super) fn accesses(&self, group: usize) -> impl Iterator<Item = &'a Access> {
        let trace = self.trace;
        self.members[group].iter().flat_map(move |id| &trace.process(*id).accesses)
    }

    pub(super) fn last_write(&self, path: PathId, before: u32) -> Option<Write> {
        let start = self.writes.partition_point(|write| write.path < path);
        let of_path = self.writes[start..].iter().take_while(|write| write.path == path);
        of_path.filter(|write| write.first < before).max_by_key(|write| write.last.min(before)).copied()
    }

    /// The last move that gave a path its name, of itself or of a directory above, and its name before.
    pub(super) fn last_move(&self, path: &[u8], before: u32) -> Option<(Move, Vec<u8>)> {
        if self.moves.is_empty() {
            return None;
        }
        let paths = self.trace.paths();
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let steps = ends.chain([path.len()]).filter_map(|end| {
            let to = paths.find(&path[..end])?;
            let start = self.moves.partition_point(|step| step.to < to);
            let of_path = self.moves[start..].iter().take_while(|step| step.to == to);
            of_path.take_while(|step| step.at < before).last()
        });
        let step = *steps.max_by_key(|step| step.at)?;
        let rest = &path[paths.get(step.to).len()..];
        Some((step, [paths.get(step.from), rest].concat()))
    }

    /// Whether a path came to its name with a directory above it, which was left.
    pub(super) fn came_along(&self, path: &[u8]) -> bool {
        self.last_move(path, u32::MAX)
            .is_some_and(|(step, from)| self.trace.left(step.to) && self.trace.paths().find(&from).is_some())
    }
}

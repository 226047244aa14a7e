//! Who did something to a path: the accesses of a trace the other way round.
//!
//! An audit asks for the few paths that changed, and a build has a million accesses. It follows from the processes, so it is
//! worked out when it is first asked for and has no part in whether two traces are equal.

use std::sync::OnceLock;

use super::{PathId, Process, ProcessId};

/// The processes that did something to each path.
#[derive(Debug, Default)]
pub(super) struct ByPath(OnceLock<Index>);

#[derive(Debug)]
struct Index {
    /// Where those of each path begin, and where those of the last one end.
    starts: Vec<u32>,
    processes: Vec<ProcessId>,
    /// Those that changed it, ascending: they are few, and hardly a path has any.
    changes: Vec<(PathId, ProcessId)>,
}

impl ByPath {
    pub(super) fn prepare(&self, paths: usize, processes: &[Process]) {
        self.0.get_or_init(|| index(paths, processes));
    }

    /// Ascending, each once. `paths` is how many there are, and all that the processes speak of.
    pub(super) fn get(&self, path: PathId, paths: usize, processes: &[Process]) -> &[ProcessId] {
        let Index { starts, processes, .. } = self.0.get_or_init(|| index(paths, processes));
        &processes[starts[path.at()] as usize..starts[path.at() + 1] as usize]
    }

    /// Those that changed it, with it, ascending, each once.
    pub(super) fn changes(
        &self,
        path: PathId,
        paths: usize,
        processes: &[Process],
    ) -> &[(PathId, ProcessId)] {
        let Index { changes, .. } = self.0.get_or_init(|| index(paths, processes));
        let start = changes.partition_point(|(other, _)| *other < path);
        let count = changes[start..].iter().take_while(|(other, _)| *other == path).count();
        &changes[start..start + count]
    }
}

fn index(paths: usize, processes: &[Process]) -> Index {
    let accesses = || {
        let ids = (0..).map(ProcessId).zip(processes);
        ids.flat_map(|(id, process)| process.accesses.iter().map(move |access| (access, id)))
    };
    let mut starts = vec![0u32; paths + 1];
    accesses().for_each(|(access, _)| starts[access.path.at() + 1] += 1);
    for path in 0..paths {
        starts[path + 1] += starts[path];
    }
    let mut next = starts.clone();
    let mut sorted = vec![ProcessId(0); starts[paths] as usize];
    let mut changes = Vec::new();
    for (access, id) in accesses() {
        let next = &mut next[access.path.at()];
        sorted[*next as usize] = id;
        *next += 1;
        if access.touch.changes() {
            changes.push((access.path, id));
        }
    }
    changes.sort_unstable();
    Index { starts, processes: sorted, changes }
}

impl Clone for ByPath {
    fn clone(&self) -> ByPath {
        ByPath::default()
    }
}

impl PartialEq for ByPath {
    fn eq(&self, _: &ByPath) -> bool {
        true
    }
}

impl Eq for ByPath {}

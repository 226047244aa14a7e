//! What passes from one group to another through standard input and output.
//!
//! A pipe of which nobody has the other end as standard input is read by who made it: the nearest one above that writes to
//! something else (`$(shell …)`, `$(…)`). What a group writes there it tells that one, whatever else it does.
//!
//! What a build tool prints is what it had to do this time. So what is made of that in a run that goes on is not what a clean
//! build makes of it.

use std::collections::{BTreeMap, BTreeSet};

use super::groups::{GroupId, Kind, is_make};
use super::rules::{Auditor, RunId};
use super::trace_facts::describe;
use super::{Finding, Rule};
use crate::observation::{ChangeKind, SourceChange};
use crate::trace::{Access, ProcessId, Stream, Trace};

/// Who has something else than its parent as standard output, as far as that tells somebody something.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// From whom to whom that reads it as standard input.
    pub(crate) fed: Vec<(GroupId, GroupId)>,
    /// From whom to whom that had it started to hear of it.
    pub(crate) heard: BTreeMap<GroupId, GroupId>,
}

/// Follows what the processes of a trace write to pipes. `of` is the group of each.
pub(crate) fn told(trace: &Trace, of: &[GroupId]) -> Told {
    let mut told = Told::default();
    let readers = readers(trace);
    for (id, process) in (0..).map(ProcessId).zip(trace.processes()) {
        let Stream::Pipe(pipe) = process.output else { continue };
        let group = of[id.at()];
        match readers.get(&pipe) {
            Some(readers) => told.fed.extend(readers.iter().map(|reader| (group, of[reader.at()]))),
            None => {
                let hears = hears(trace, id).map(|hearer| of[hearer.at()]);
                if let Some(hearer) = hears.filter(|hearer| *hearer != group) {
                    told.heard.entry(group).or_insert(hearer);
                }
            }
        }
    }
    told.fed.retain(|(writer, reader)| writer != reader);
    told.fed.sort_unstable();
    told.fed.dedup();
    told
}

/// Who has a pipe as standard input.
fn readers(trace: &Trace) -> BTreeMap<u32, Vec<ProcessId>> {
    let mut readers: BTreeMap<u32, Vec<ProcessId>> = BTreeMap::new();
    for (id, process) in (0..).map(ProcessId).zip(trace.processes()) {
        if let Stream::Pipe(pipe) = process.input {
            readers.entry(pipe).or_default().push(id);
        }
    }
    readers
}

/// The nearest one above a process that is known to write to something else. Nobody, if it is what the step itself writes to.
fn hears(trace: &Trace, id: ProcessId) -> Option<ProcessId> {
    let output = trace.process(id).output;
    let above = |id: ProcessId| {
        let process = trace.process(id);
        process.before.or(process.parent)
    };
    let mut all = std::iter::successors(above(id), |id| above(*id));
    // What executes no program is not known to write to anything else.
    all.find(|id| trace.process(*id).exec.is_some() && trace.process(*id).output != output)
}

impl Auditor<'_> {
    /// Whether nothing that the rounds left is made of what a build tool printed that had something to do.
    pub(super) fn keeps_nothing_printed(&self) -> Result<(), Finding> {
        for run in self.evidence.then.len()..self.runs() {
            if let Some((id, path)) = self.kept_of_printed(run) {
                let who = describe(self.trace(run), self.trace(run).process(id));
                let change = SourceChange { path, kind: ChangeKind::Content };
                return Err(Finding { rule: Rule::Printed, change, who, product: None });
            }
        }
        Ok(())
    }

    /// What is still there of that, and who wrote it.
    fn kept_of_printed(&self, run: RunId) -> Option<(ProcessId, Vec<u8>)> {
        let trace = self.trace(run);
        let of = &self.groups[run].of;
        let log = trace.processes().first().map(|shell| shell.output);
        let prints = |id: ProcessId| {
            let group = of[id.at()];
            self.groups[run].all[group].kind != Kind::Task
                && self.groups[run].all[group].kind != Kind::Shell
                && Some(trace.process(id).output) != log
                && self.has_something_to_do(run, group)
        };
        let mut writers: BTreeSet<ProcessId> = BTreeSet::new();
        let mut pipes: BTreeSet<u32> = BTreeSet::new();
        for (id, process) in (0..).map(ProcessId).zip(trace.processes()) {
            if process.output == Stream::Other || !prints(id) {
                continue;
            }
            match process.output {
                Stream::Pipe(pipe) => pipes.extend([pipe]),
                _ => writers.extend([id]),
            }
        }
        if writers.is_empty() && pipes.is_empty() {
            return None;
        }
        // Who reads it passes it on.
        loop {
            let before = writers.len();
            for (id, process) in (0..).map(ProcessId).zip(trace.processes()) {
                if !matches!(process.input, Stream::Pipe(pipe) if pipes.contains(&pipe)) {
                    continue;
                }
                writers.insert(id);
                if let Stream::Pipe(pipe) = process.output
                    && Some(process.output) != log
                {
                    pipes.insert(pipe);
                }
            }
            if writers.len() == before {
                break;
            }
        }
        let products = self.products_of(run, &writers.iter().map(|id| of[id.at()]).collect());
        let wrote = |id: ProcessId, path: &[u8]| {
            let process = trace.process(id);
            let is_its = |access: &Access| access.touch.changes() && trace.paths().get(access.path) == path;
            match (process.output, self.groups[run].all[of[id.at()]].kind) {
                // All else that a build tool writes is its own.
                (output, Kind::Orchestrator(_)) => {
                    matches!(output, Stream::File(file) if trace.paths().get(file) == path)
                }
                _ => process.accesses.iter().any(is_its),
            }
        };
        products.into_iter().find_map(|(_, path)| {
            let writer = writers.iter().find(|id| wrote(**id, &path))?;
            Some((*writer, path))
        })
    }

    /// Whether an orchestrator, or one that was started to do the same in an earlier build, started anything, or is a make that knows of
    /// something to do (`make -n`): `make --version` prints what it always does.
    fn has_something_to_do(&self, run: RunId, group: GroupId) -> bool {
        let leader = self.trace(run).process(self.groups[run].all[group].leader);
        if is_make(self.trace(run), leader) && !self.descriptions(run, leader).is_empty() {
            return true;
        }
        let identity = self.identity(run, group);
        (0..self.runs()).any(|other| {
            let groups = self.groups[other];
            let mut parents = groups.all.iter().filter_map(|group| group.parent);
            parents.any(|parent| {
                (other == run && parent == group)
                    || (identity.is_some() && self.identity(other, parent) == identity)
            })
        })
    }
}

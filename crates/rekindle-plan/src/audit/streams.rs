//! What passes from one group to another through standard input and output.
//!
//! What is started to write to a pipe tells something to who reads from that. If nobody was started to read from it, that is who made
//! it: the nearest one above (`$(shell …)`, `$(…)`). Who only has the same output as the one that started it prints messages: what
//! `make | cat` reads of a compiler decides nothing.
//!
//! What a build tool prints is what it had to do this time. So what is made of that in a run that goes on is not what a clean
//! build makes of it.

use std::collections::{BTreeMap, BTreeSet};

use super::groups::{Book, GroupId, Groups, Kind, Orchestrator, is_make};
use super::rules::{Auditor, RunId};
use super::trace_facts::describe;
use super::{Finding, Rule};
use crate::observation::{ChangeKind, SourceChange};
use crate::trace::{Access, Arguments, ProcessId, Stream, Touch, Trace};

/// If more pass something through one pipe to more others than this, who made it has heard it all: that is less to keep, and counts
/// for more.
const MOST_PAIRS: usize = 1 << 16;

/// Who begins to write to a pipe, who begins to read from it, and who made it.
#[derive(Debug, Default)]
struct Pipe {
    writers: Vec<ProcessId>,
    readers: Vec<ProcessId>,
    makers: Vec<ProcessId>,
}

/// What passed through the pipes of a trace.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// From whom to whom that was started to read it, ascending, each once.
    pub(crate) fed: Vec<(GroupId, GroupId)>,
    /// From whom to whom that made the pipe.
    pub(crate) heard: BTreeMap<GroupId, GroupId>,
}

/// Follows the pipes of a trace. `of` is the group of each process.
pub(crate) fn passed(trace: &Trace, of: &[GroupId]) -> Passed {
    let mut passed = Passed::default();
    for pipe in pipes(trace).values() {
        let group = |id: &ProcessId| of[id.at()];
        let readers: BTreeSet<GroupId> = pipe.readers.iter().map(group).collect();
        let is_told = !readers.is_empty() && pipe.writers.len() * readers.len() <= MOST_PAIRS;
        for (writer, maker) in pipe.writers.iter().map(group).zip(pipe.makers.iter().map(group)) {
            if is_told {
                let others = readers.iter().filter(|reader| **reader != writer);
                passed.fed.extend(others.map(|reader| (writer, *reader)));
            } else if writer != maker {
                passed.heard.entry(writer).or_insert(maker);
            }
        }
    }
    passed.fed.sort_unstable();
    passed.fed.dedup();
    passed
}

fn pipes(trace: &Trace) -> BTreeMap<u32, Pipe> {
    let processes = trace.processes();
    // The nearest one above that executed a program: only of those it is known what they read and write.
    let mut above: Vec<Option<ProcessId>> = Vec::with_capacity(processes.len());
    let mut pipes: BTreeMap<u32, Pipe> = BTreeMap::new();
    for (id, process) in (0..).map(ProcessId).zip(processes) {
        let starter = process.before.or(process.parent);
        let near = starter.and_then(|starter| match trace.process(starter).exec {
            Some(_) => Some(starter),
            None => above[starter.at()],
        });
        above.push(near);
        let Some(near) = near else { continue };
        if let Stream::Pipe(number) = process.output
            && trace.process(near).output != process.output
        {
            let pipe = pipes.entry(number).or_default();
            pipe.writers.push(id);
            pipe.makers.push(near);
        }
        if let Stream::Pipe(number) = process.input
            && trace.process(near).input != process.input
        {
            // What a part of a shell reads, all that it starts has as its input.
            let is_part = |id: &ProcessId| trace.process(*id).exec.is_none();
            let up = |id: &ProcessId| trace.process(*id).before.or(trace.process(*id).parent);
            let part = std::iter::successors(starter.filter(is_part), |id| up(id).filter(is_part)).last();
            let readers = &mut pipes.entry(number).or_default().readers;
            let reader = part.unwrap_or(id);
            if readers.last() != Some(&reader) {
                readers.push(reader);
            }
        }
    }
    pipes
}

impl Groups {
    /// Finds what passed from one group to another through pipes.
    pub(super) fn listen(&mut self, trace: &Trace) {
        let passed = passed(trace, &self.of);
        for (writer, reader) in passed.fed {
            self.all[reader].fed_by.push(writer);
            self.all[reader].piped_by.push(writer);
        }
        for group in &mut self.all {
            group.fed_by.sort_unstable();
            group.fed_by.dedup();
        }
        for (writer, hearer) in passed.heard {
            // What keeps book takes what it is told for a message, or for a part of its book.
            let keeps_book = matches!(self.all[hearer].kind, Kind::Orchestrator(found) if found.is_tracked());
            self.all[writer].heard_by = Some(hearer).filter(|_| !keeps_book);
        }
    }
}

impl Auditor<'_> {
    /// Whether a command leaves nothing, ended well, and prints where the make prints that started it: so it told that one nothing that it had
    /// not told in the run in which it did leave something (a recipe that writes its flags down, if they are others).
    pub(super) fn only_prints(&self, run: RunId, group: GroupId) -> bool {
        let groups = self.groups[run];
        let leader = self.trace(run).process(groups.all[group].leader);
        let is_make = |above: GroupId| groups.all[above].kind == Kind::Orchestrator(Orchestrator::Make);
        leader.exit == Some(0)
            && leader.output != Stream::Other
            && self.prints_for(run, group).is_some_and(is_make)
    }

    /// Who started a command that leaves nothing, if both print to the same place.
    pub(super) fn prints_for(&self, run: RunId, group: GroupId) -> Option<GroupId> {
        let (groups, trace) = (self.groups[run], self.trace(run));
        let found = &groups.all[group];
        let above = found.parent.filter(|_| found.kind == Kind::Task && found.informs)?;
        let [mine, its] = [found.leader, groups.all[above].leader].map(|leader| trace.process(leader).output);
        (mine == its).then_some(above)
    }

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
        let groups = self.groups[run];
        let mut pipes = pipes(trace);
        let into_files = (0..).map(ProcessId).zip(trace.processes()).filter_map(|(id, process)| {
            let Stream::File(file) = process.output else { return None };
            process.access(file).is_some_and(|access| access.touch.any(Touch::MAKES)).then_some(id)
        });
        let into_pipes = pipes.values().flat_map(|pipe| pipe.writers.iter().copied());
        let printers: Vec<ProcessId> = into_files
            .chain(into_pipes)
            .filter(|id| self.had_something_to_do(run, groups.of[id.at()]))
            .collect();
        let mut printed: BTreeSet<ProcessId> = printers.iter().copied().collect();
        let mut pending = printers;
        while let Some(writer) = pending.pop() {
            let Stream::Pipe(number) = trace.process(writer).output else { continue };
            let Some(Pipe { readers, makers, .. }) = pipes.remove(&number) else { continue };
            // A part of a shell reads it that starts nothing.
            let readers = if readers.is_empty() { parts_beside(trace, &makers, writer) } else { readers };
            pending.extend(readers.into_iter().filter(|reader| printed.insert(*reader)));
        }
        printed.into_iter().find_map(|id| {
            let process = trace.process(id);
            let group = groups.of[id.at()];
            let is_its = |path: &[u8]| {
                let access = trace.paths().find(path).and_then(|path| process.access(path));
                // All else that a build tool writes is its own.
                let is_output = |access: &Access| process.output == Stream::File(access.path);
                let writes = |access: &Access| access.touch.any(Touch::MAKES);
                match groups.all[group].kind {
                    Kind::Orchestrator(_) => access.is_some_and(|access| is_output(access) && writes(access)),
                    _ => access.is_some_and(|access| access.touch.changes()),
                }
            };
            let products = self.products_of(run, &BTreeSet::from([group]));
            let (_, path) = products.into_iter().find(|(_, path)| is_its(path))?;
            Some((id, path))
        })
    }

    /// Whether a build tool that prints what it does, or one that was started to do the same in an earlier build, started anything that
    /// left something, or is a make that only says what it would do.
    fn had_something_to_do(&self, run: RunId, group: GroupId) -> bool {
        let Kind::Orchestrator(found) = self.groups[run].all[group].kind else { return false };
        // What these print is the same whether it was done now or before.
        if found == Orchestrator::Tracked(Book::Own) {
            return false;
        }
        let leader = self.trace(run).process(self.groups[run].all[group].leader);
        if is_make(self.trace(run), leader) && leader.exec.as_ref().is_some_and(|exec| only_says(&exec.argv))
        {
            return true;
        }
        let identity = self.identity(run, group);
        (0..self.runs()).any(|other| {
            let groups = self.groups[other];
            let mut parents =
                groups.all.iter().filter(|below| !below.informs).filter_map(|below| below.parent);
            parents.any(|parent| {
                (other == run && parent == group)
                    || (identity.is_some() && self.identity(other, parent) == identity)
            })
        })
    }
}

/// The parts of these processes that execute no program of their own, and were there while another one was.
fn parts_beside(trace: &Trace, of: &[ProcessId], beside: ProcessId) -> Vec<ProcessId> {
    let mut all: BTreeSet<ProcessId> = of.iter().copied().collect();
    let mut parts = Vec::new();
    for (id, process) in (0..).map(ProcessId).zip(trace.processes()) {
        if process.exec.is_none() && process.parent.is_some_and(|parent| all.contains(&parent)) {
            all.insert(id);
            if process.ended > trace.process(beside).started {
                parts.push(id);
            }
        }
    }
    parts
}

/// Whether a make is to say what it would do, and to do nothing.
fn only_says(argv: &Arguments) -> bool {
    let long: [&[u8]; 3] = [b"--dry-run", b"--just-print", b"--recon"];
    argv.iter().skip(1).any(|word| {
        let letters = word.strip_prefix(b"-").unwrap_or_default();
        let are_flags = letters.iter().all(|letter| b"BdeiknqrRsStvw".contains(letter));
        long.contains(&word) || (are_flags && letters.contains(&b'n'))
    })
}

//! Where a path of the tree came from, read from the traces of the builds that made it.
//!
//! The tree that a checkpoint holds was made by many runs: those of its own build, and those of the builds that it went on
//! from, of which only a part was done again. A [`Lineage`] puts them in a row and answers, for what is there in the end,
//! who made it, from what, who started that, and who used it. *Who* is a task: all that one line of a makefile starts, as
//! in the audit ([`groups`](crate::audit)), because the compiler driver that a person knows is rarely the process
//! that wrote the file. [`cause`] says why it was, or was not, made again.
//!
//! What was made by a run before the last one is explained by what there is now: if an earlier step was done again since,
//! its files are taken for those that were read then. The answer takes time in proportion to the traces, once.
//! It must not know where traces lie, or how anything is shown to a person.

pub mod cause;
mod index;
mod nearest;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use crate::audit::groups::Kind;
use crate::trace::{Access, Exec, PathId, ProcessId, Touch, Trace};
use index::{Indexed, WRITES};

/// What is known of one step.
#[derive(Debug, Clone, Copy)]
pub struct StepRuns<'a> {
    /// The name of its phase.
    pub phase: &'a str,
    /// What it did, oldest first. None if it was not observed.
    pub runs: &'a [Trace],
    /// How many of the last runs are of the last build.
    pub now: usize,
    /// Whether the last build ran it from its beginning, and not on top of what it had left.
    pub whole: bool,
}

/// A run of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunAt {
    /// The place of the step.
    pub step: usize,
    /// The place of the run in it.
    pub run: usize,
}

/// What was started as one: a line of a makefile, a command of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskAt {
    /// In which run.
    pub at: RunAt,
    group: usize,
}

/// Who left something at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maker {
    /// The task.
    pub task: TaskAt,
    /// The process of it that wrote it last.
    pub process: ProcessId,
    /// The name that it had before, if this process did nothing but give it another one.
    pub from: Option<Vec<u8>>,
    /// When, in calls of the run.
    pub moment: u32,
}

/// Something that a task found as others had left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Which path of the run's trace.
    pub path: PathId,
    /// How it was looked at.
    pub touch: Touch,
    /// When first, in calls of the run.
    pub moment: u32,
}

/// All runs of all steps, with an index.
#[derive(Debug)]
pub struct Lineage<'a> {
    steps: Vec<StepRuns<'a>>,
    runs: Vec<Vec<Indexed<'a>>>,
}

const LOOKS: Touch = Touch::READ
    .and(Touch::EXECUTED)
    .and(Touch::LISTED)
    .and(Touch::ABSENT)
    .and(Touch::PRESENT)
    .and(Touch::FOLLOWED)
    .and(Touch::UPDATED);

impl Input {
    /// Whether its content was used, not only its name or what is in a directory.
    pub fn is_content(&self) -> bool {
        self.touch.any(Touch::READ.and(Touch::EXECUTED).and(Touch::UPDATED).and(Touch::FOLLOWED))
    }
}

impl<'a> Lineage<'a> {
    /// Makes an index of the steps, in their order.
    pub fn new(steps: Vec<StepRuns<'a>>) -> Lineage<'a> {
        let index = |step: &StepRuns<'a>| step.runs.iter().map(Indexed::new).collect();
        let runs = steps.iter().map(index).collect();
        Lineage { steps, runs }
    }

    /// The steps.
    pub fn steps(&self) -> &[StepRuns<'a>] {
        &self.steps
    }

    /// What a run did.
    pub fn trace(&self, at: RunAt) -> &'a Trace {
        self.indexed(at).trace
    }

    /// Whether it is one of the last build.
    pub fn is_now(&self, at: RunAt) -> bool {
        let step = &self.steps[at.step];
        at.run + step.now >= step.runs.len()
    }

    /// Who made what is at a path in the end. `None` if nobody did: it is a source, or not known at all.
    ///
    /// If it is gone since, it is who made it last.
    pub fn maker(&self, path: &[u8]) -> Option<Maker> {
        let runs = || self.all_runs().rev();
        runs()
            .find_map(|at| self.maker_in(at, path, u32::MAX, true))
            .or_else(|| runs().find_map(|at| self.maker_in(at, path, u32::MAX, false)))
    }

    /// Who made what a run found at a path at some moment.
    pub fn maker_before(&self, at: RunAt, moment: u32, path: &[u8]) -> Option<Maker> {
        self.maker_in(at, path, moment, false).or_else(|| {
            let earlier = self.all_runs().rev().skip_while(|run| *run >= at);
            earlier.into_iter().find_map(|run| self.maker_in(run, path, u32::MAX, true))
        })
    }

    /// Who made what a task found.
    pub fn maker_of(&self, task: TaskAt, input: Input) -> Option<Maker> {
        self.maker_before(task.at, input.moment, self.trace(task.at).paths().get(input.path))
    }

    /// What a task looked at that it had not made itself, ascending by path.
    pub fn inputs(&self, task: TaskAt) -> Vec<Input> {
        let indexed = self.indexed(task.at);
        // When the task itself first changed a path: what it finds there later is its own.
        let mut made: BTreeMap<PathId, u32> = BTreeMap::new();
        for access in indexed.accesses(task.group).filter(|access| access.touch.changes()) {
            let first = made.entry(access.path).or_insert(u32::MAX);
            *first = access.changed.min(*first);
        }
        let mut inputs: BTreeMap<PathId, Input> = BTreeMap::new();
        for access in indexed.accesses(task.group) {
            let made = made.get(&access.path).copied().unwrap_or(u32::MAX);
            let Some((touch, moment)) = found(access, made) else { continue };
            let input = Input { path: access.path, touch, moment };
            let known = inputs.entry(access.path).or_insert(input);
            known.touch = known.touch.and(touch);
            known.moment = known.moment.min(moment);
        }
        inputs.into_values().collect()
    }

    /// What a task left in the tree, ascending by path.
    pub fn products(&self, task: TaskAt) -> Vec<PathId> {
        let indexed = self.indexed(task.at);
        let is_product = |access: &&Access| access.touch.any(WRITES) && indexed.trace.left(access.path);
        let written = indexed.accesses(task.group).filter(is_product).map(|access| access.path);
        let moved = indexed.moved[task.group].iter().copied().filter(|to| indexed.trace.left(*to));
        let mut products: Vec<PathId> = written.chain(moved).collect();
        products.sort_unstable();
        products.dedup();
        products
    }

    /// The process that all others of a task come from.
    pub fn leader(&self, task: TaskAt) -> ProcessId {
        self.indexed(task.at).groups.all[task.group].leader
    }

    /// All processes of a task.
    pub fn members(&self, task: TaskAt) -> &[ProcessId] {
        &self.indexed(task.at).members[task.group]
    }

    /// Whether a task is one that decides what is run: a build tool, or the shell of the step.
    pub fn decides(&self, task: TaskAt) -> bool {
        self.indexed(task.at).groups.all[task.group].kind != Kind::Task
    }

    /// The task that started a task.
    pub fn started_by(&self, task: TaskAt) -> Option<TaskAt> {
        let group = self.indexed(task.at).groups.all[task.group].parent?;
        Some(TaskAt { at: task.at, group })
    }

    /// The task of a process.
    pub fn task_of(&self, at: RunAt, process: ProcessId) -> TaskAt {
        TaskAt { at, group: self.indexed(at).groups.of[process.at()] }
    }

    /// All tasks of a run.
    pub fn tasks(&self, at: RunAt) -> impl Iterator<Item = TaskAt> + use<> {
        (0..self.indexed(at).groups.all.len()).map(move |group| TaskAt { at, group })
    }

    /// All runs, in the order of the steps, oldest first in each.
    pub fn all_runs(&self) -> impl DoubleEndedIterator<Item = RunAt> + use<'_, 'a> {
        self.runs
            .iter()
            .enumerate()
            .flat_map(|(step, runs)| (0..runs.len()).map(move |run| RunAt { step, run }))
    }

    /// The programs from which a process comes, its own first, then who started it, up to the step's shell.
    pub fn ancestry(&self, at: RunAt, process: ProcessId) -> Vec<ProcessId> {
        let trace = self.trace(at);
        let mut found = Vec::new();
        let mut next = Some(process);
        while let Some(id) = next {
            let process = trace.process(id);
            if process.exec.is_some() {
                found.push(id);
            }
            next = process.before.or(process.parent);
        }
        found
    }

    /// What a process executed, or who started it.
    pub fn exec(&self, at: RunAt, process: ProcessId) -> Option<&'a Exec> {
        exec_of(self.trace(at), process)
    }

    /// The tasks that used what is at a path, in the order of the runs.
    pub fn users(&self, path: &[u8]) -> Vec<TaskAt> {
        let mut found = Vec::new();
        for at in self.all_runs() {
            let indexed = self.indexed(at);
            let Some(id) = indexed.trace.paths().find(path) else { continue };
            let looks = indexed.trace.accesses_to(id).filter(|(_, access)| access.touch.any(LOOKS));
            found.extend(looks.map(|(process, _)| self.task_of(at, process)));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The tasks that used the content of what is at a path, those that decide what is run left out; the last ones first.
    pub fn readers(&self, path: &[u8]) -> Vec<TaskAt> {
        let reads = |task: &TaskAt| {
            let found = self.trace(task.at).paths().find(path);
            let is_it = |input: &Input| Some(input.path) == found && input.is_content();
            !self.decides(*task) && self.inputs(*task).iter().any(is_it)
        };
        self.users(path).into_iter().rev().filter(reads).collect()
    }

    /// Whether any run did something to a path.
    pub fn knows(&self, path: &[u8]) -> bool {
        self.all_runs().any(|at| self.trace(at).paths().find(path).is_some())
    }

    /// Whether something lies below a path, as far as is known.
    pub fn is_directory(&self, path: &[u8]) -> bool {
        self.all_runs().any(|at| !self.trace(at).paths().below(path).is_empty())
    }

    /// Paths of the tree whose name is like that of this one, the likeliest first.
    pub fn nearest(&self, path: &[u8], most: usize) -> Vec<Vec<u8>> {
        let paths = self.all_runs().flat_map(|at| self.trace(at).paths().iter());
        nearest::nearest(path, paths.filter(|other| !other.starts_with(b"/")), most)
    }

    /// The paths of the tree that end in `/` and this, each once.
    pub fn ending_in(&self, end: &[u8]) -> Vec<Vec<u8>> {
        let ends = |path: &&[u8]| {
            path.strip_suffix(end).is_some_and(|rest| rest.ends_with(b"/") && !path.starts_with(b"/"))
        };
        let paths = self.all_runs().flat_map(|at| self.trace(at).paths().iter());
        let mut found: Vec<Vec<u8>> = paths.filter(ends).map(<[u8]>::to_vec).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn indexed(&self, at: RunAt) -> &Indexed<'a> {
        &self.runs[at.step][at.run]
    }

    /// Who gave a path what was there before a moment of a run.
    fn maker_in(&self, at: RunAt, path: &[u8], before: u32, must_be_left: bool) -> Option<Maker> {
        let indexed = self.indexed(at);
        let id = indexed.trace.paths().find(path);
        if must_be_left && !id.is_some_and(|id| indexed.trace.left(id)) && !indexed.came_along(path) {
            return None;
        }
        let write = id.and_then(|id| indexed.last_write(id, before));
        let step = indexed.last_move(path, before);
        let maker = |process: ProcessId, from, moment| Maker {
            task: self.task_of(at, process),
            process,
            from,
            moment,
        };
        match (write, step) {
            // Giving a name is a change of the new name, too.
            (write, Some((step, from))) if write.is_none_or(|write| write.last <= step.at) => {
                let mover = maker(step.process, Some(from.clone()), step.at);
                // Who writes beside and then renames is just one who writes.
                match self.maker_in(at, &from, step.at, false) {
                    Some(writer) if writer.task == mover.task && writer.from.is_none() => Some(writer),
                    _ => Some(mover),
                }
            }
            (Some(write), _) => Some(maker(write.process, None, write.last)),
            (None, _) => None,
        }
    }
}

/// What a process found at a path that its task first changed at `made`: how, and when first.
fn found(access: &Access, made: u32) -> Option<(Touch, u32)> {
    let touch = access.touch.only(LOOKS);
    // Writing into what is there uses it.
    let is_update = access.touch.any(Touch::UPDATED) && !access.touch.defines();
    let moment = if access.observed == 0 && is_update { access.changed } else { access.observed };
    if moment == 0 || moment > made || touch == Touch::default() {
        return None;
    }
    // One that looked for it in vain, or made it with the same call, has read its own work afterwards.
    let was_there = !access.touch.any(Touch::ABSENT) && (moment < made || is_update);
    let touch =
        if made == u32::MAX || was_there { touch } else { touch.only(Touch::ABSENT.and(Touch::PRESENT)) };
    (touch != Touch::default()).then_some((touch, moment))
}

fn exec_of(trace: &Trace, process: ProcessId) -> Option<&Exec> {
    let mut process = trace.process(process);
    loop {
        match (&process.exec, process.before.or(process.parent)) {
            (Some(exec), _) => return Some(exec),
            (None, above) => process = trace.process(above?),
        }
    }
}

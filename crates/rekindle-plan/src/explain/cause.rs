//! Why something was made again in the last build, or why it was not: the root cause first.
//!
//! A task is looked at because it made what the user asks about. If it looked at a source that changed, that is the cause. If
//! it looked at what was made in this build, its maker is the next to look at, and so on: the nearest cause is found
//! first. A step that ran from its beginning is a cause by itself, of which its verdict says more. Where no task on the way saw a
//! change, whoever started it may have (`make` and its makefile), or may have started it with another command.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use super::{Input, Lineage, Maker, RunAt, TaskAt};
use crate::audit::Rules;
use crate::audit::marks::Marks;
use crate::observation::SourceChange;
use crate::trace::{Access, Touch};

/// What became of a path in the last build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It was made, for the first time or again.
    Made(Cause),
    /// It was taken over.
    Kept(Kept),
}

/// Why something was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What all began with.
    pub root: Root,
    /// What led from there to what was asked for.
    pub links: Vec<Link>,
}

/// A task looked at something, and made the next thing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it looked at; `None` for one that began without looking at anything that is new.
    pub path: Option<Vec<u8>>,
    /// The task.
    pub task: TaskAt,
    /// What it made, which the next one looked at, or what was asked for.
    pub made: Vec<u8>,
}

/// What a making began with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// This source changed, and the first link looked at it.
    Source(SourceChange),
    /// The step of this place ran from its beginning.
    Step(usize),
    /// Who starts the first link looked at a source that changed.
    Decided {
        /// Who.
        task: TaskAt,
        /// What changed.
        change: SourceChange,
    },
    /// The first link was started with another command than before.
    Command {
        /// Who made the same in an earlier run.
        before: TaskAt,
    },
    /// It is not known which sources changed.
    SourcesUnknown,
    /// Nothing that was observed says why.
    Unknown,
}

/// Why something was not made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// The step of this place did not run.
    StepDidNotRun(usize),
    /// So many things were looked at to make it, and none of them is another one.
    NothingChanged(usize),
    /// This, which was looked at to make it, was written anew, but is the same as it was.
    SameAgain(Vec<u8>),
    /// This source, which was looked at to make it, changed, but that made no difference for it.
    NoDifference(SourceChange),
}

/// Says what became of what `maker` made. `changes` are the sources that changed, by their paths in the tree, if that is known.
pub fn fate(lineage: &Lineage<'_>, maker: &Maker, path: &[u8], changes: Option<&[SourceChange]>) -> Fate {
    Causes::new(lineage, changes).fate(maker, path)
}

/// Looks for the causes of several things. What it found of a task it remembers.
#[derive(Debug)]
pub struct Causes<'l, 'a> {
    lineage: &'l Lineage<'a>,
    changes: &'l [SourceChange],
    known: bool,
    marks: RefCell<BTreeMap<RunAt, Marks<'l>>>,
    seen: RefCell<BTreeMap<TaskAt, Option<SourceChange>>>,
}

impl<'l, 'a> Causes<'l, 'a> {
    /// See [`fate`].
    pub fn new(lineage: &'l Lineage<'a>, changes: Option<&'l [SourceChange]>) -> Causes<'l, 'a> {
        Causes {
            lineage,
            changes: changes.unwrap_or_default(),
            known: changes.is_some(),
            marks: RefCell::default(),
            seen: RefCell::default(),
        }
    }

    /// Says what became of what `maker` made.
    pub fn fate(&self, maker: &Maker, path: &[u8]) -> Fate {
        if self.lineage.is_now(maker.task.at) {
            Fate::Made(self.cause(maker, path))
        } else {
            Fate::Kept(self.kept(maker))
        }
    }

    fn cause(&self, maker: &Maker, path: &[u8]) -> Cause {
        if self.ran_whole(maker.task.at) {
            let link = Link { path: None, task: maker.task, made: path.to_vec() };
            return Cause { root: Root::Step(maker.task.at.step), links: vec![link] };
        }
        // Of each task, what it made that was wanted, and by whom.
        let mut wanted: BTreeMap<TaskAt, (Vec<u8>, Option<TaskAt>)> = BTreeMap::new();
        let mut queue = VecDeque::from([(maker.clone(), path.to_vec(), None)]);
        let mut order = Vec::new();
        while let Some((maker, made, by)) = queue.pop_front() {
            let task = maker.task;
            if wanted.contains_key(&task) {
                continue;
            }
            wanted.insert(task, (made, by));
            order.push(task);
            if self.ran_whole(task.at) {
                return self.finish(Root::Step(task.at.step), None, task, &wanted);
            }
            if let Some(change) = self.first_seen(task) {
                let path = change.path.clone();
                return self.finish(Root::Source(change), Some(path), task, &wanted);
            }
            // What was written anew or executed counts before what was only looked for.
            let inputs = self.lineage.inputs(task);
            let (content, names): (Vec<Input>, Vec<Input>) = inputs.iter().partition(|it| it.is_content());
            let trace = self.lineage.trace(task.at);
            if let Some(from) = &maker.from
                && let Some(before) = self.lineage.maker_before(task.at, maker.moment, from)
                && self.lineage.is_now(before.task.at)
            {
                queue.push_back((before, from.clone(), Some(task)));
            }
            for input in content.into_iter().chain(names) {
                if let Some(maker) = self.lineage.maker_of(task, input)
                    && self.lineage.is_now(maker.task.at)
                {
                    queue.push_back((maker, trace.paths().get(input.path).to_vec(), Some(task)));
                }
            }
        }
        for task in order.iter().rev() {
            if let Some(root) = self.decided(*task).or_else(|| self.other_command(*task)) {
                return self.finish(root, None, *task, &wanted);
            }
        }
        let root = if self.known { Root::Unknown } else { Root::SourcesUnknown };
        self.finish(root, None, maker.task, &wanted)
    }

    fn finish(
        &self,
        root: Root,
        path: Option<Vec<u8>>,
        task: TaskAt,
        wanted: &BTreeMap<TaskAt, (Vec<u8>, Option<TaskAt>)>,
    ) -> Cause {
        let mut links: Vec<Link> = Vec::new();
        let (mut path, mut next) = (path, Some(task));
        while let Some(task) = next {
            let (made, by) = wanted[&task].clone();
            links.push(Link { path, task, made: made.clone() });
            (path, next) = (Some(made), by);
        }
        Cause { root, links }
    }

    fn kept(&self, maker: &Maker) -> Kept {
        let task = maker.task;
        if self.lineage.steps()[task.at.step].now == 0 {
            return Kept::StepDidNotRun(task.at.step);
        }
        let inputs = self.lineage.inputs(task);
        let trace = self.lineage.trace(task.at);
        if let Some(change) = self.first_seen(task) {
            return Kept::NoDifference(change);
        }
        for input in inputs.iter().filter(|input| input.is_content()) {
            // What is there in the end, not what it was made from then.
            let path = trace.paths().get(input.path);
            let is_new =
                |maker: &Maker| maker.task.at.step <= task.at.step && self.lineage.is_now(maker.task.at);
            if !path.starts_with(b"/") && self.lineage.maker(path).is_some_and(|maker| is_new(&maker)) {
                return Kept::SameAgain(path.to_vec());
            }
        }
        Kept::NothingChanged(inputs.iter().filter(|input| input.is_content()).count())
    }

    fn ran_whole(&self, at: RunAt) -> bool {
        self.lineage.steps()[at.step].whole
    }

    /// The change that a task has seen, what it read before what it looked for.
    fn first_seen(&self, task: TaskAt) -> Option<SourceChange> {
        if self.changes.is_empty() {
            return None;
        }
        if let Some(known) = self.seen.borrow().get(&task) {
            return known.clone();
        }
        let mut marks = self.marks.borrow_mut();
        let marks = marks
            .entry(task.at)
            .or_insert_with(|| Marks::new(self.lineage.trace(task.at), self.changes, Rules::ALL));
        let seen = |input: &Input| {
            let access =
                Access { path: input.path, touch: input.touch, observed: 1, changed: 0, changed_last: 0 };
            marks.seen_by(&access, Rules::ALL).map(|change| (!input.touch.any(Touch::READ), change))
        };
        let inputs = if marks.concerned().is_empty() { Vec::new() } else { self.lineage.inputs(task) };
        let found = inputs.iter().filter_map(seen).min_by_key(|(rank, _)| *rank);
        let found = found.map(|(_, change)| change.clone());
        self.seen.borrow_mut().insert(task, found.clone());
        found
    }

    /// Whether one of those that started a task had seen a change.
    fn decided(&self, task: TaskAt) -> Option<Root> {
        let mut above = self.lineage.started_by(task);
        while let Some(task) = above {
            if let Some(change) = self.first_seen(task) {
                return Some(Root::Decided { task, change });
            }
            above = self.lineage.started_by(task);
        }
        None
    }

    /// Whether what a task made was made by another command before.
    fn other_command(&self, task: TaskAt) -> Option<Root> {
        let trace = self.lineage.trace(task.at);
        let command = self.lineage.exec(task.at, self.lineage.leader(task))?;
        self.lineage.products(task).into_iter().find_map(|product| {
            let path = trace.paths().get(product);
            let before = self.lineage.maker_before(RunAt { run: task.at.run, ..task.at }, 0, path)?.task;
            let is_before = before.at.step == task.at.step && !self.lineage.is_now(before.at);
            let other = self.lineage.exec(before.at, self.lineage.leader(before))?;
            (is_before && other.argv_digest != command.argv_digest).then_some(Root::Command { before })
        })
    }
}

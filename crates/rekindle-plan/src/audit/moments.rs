//! What a command of a seeded run sees otherwise because the tree is not as old as it would be at that moment of a clean build.
//!
//! A clean build makes, changes and removes things in an order. A seeded run begins where the last one ended: all of that has
//! happened. So a command that runs again may find what in a clean build somebody makes or changes only after it; or miss what
//! somebody had removed after it, a source, or what was there for a while. When that was is known of the command itself, if it was
//! given the same to do in an earlier build, and else of all that had a part in what it makes.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::Run;
use super::groups::{Group, GroupId, Kind};
use super::rules::{Auditor, Hit, Likes, RunId};
use crate::observation::{ChangeKind, SourceChange};
use crate::trace::{Access, Move, PathId, Process, ProcessId, Touch, Trace, name_of};

const USES: Touch = Touch::USES.and(Touch::LISTED);

/// The processes of the builds before that stand for one of now, by their runs.
pub(super) type Past = Vec<(RunId, Vec<ProcessId>)>;

/// Who gave what another name, by their groups.
type Moves<'a> = HashMap<GroupId, Vec<&'a Move>>;

/// One that stands for a process of now, and what it did to a path.
struct Then<'a> {
    trace: &'a Trace,
    run: RunId,
    id: ProcessId,
    path: PathId,
    access: &'a Access,
}

impl<'a> Auditor<'a> {
    /// Whether a process finds what in an earlier build was not there when it looked.
    pub(super) fn is_too_early(&self, past: &Past, path: &[u8], access: &Access) -> bool {
        finds_something(access)
            && self.any_then(past, path, |then| self.saw_nothing(then, path, goes_on_with(access)))
            && self.facts.exists(path)
            && !self.facts.is_in_sources(path)
    }

    /// Whether a process of this round finds a source that somebody had changed only after it in an earlier build; or nothing where it
    /// then found a source that was removed later, or what others had left for a while; or makes something in a directory that
    /// was made later. Nothing brings that moment back but a clean run.
    pub(super) fn is_at_another_moment(
        &self,
        past: &Past,
        (round, path): (usize, &[u8]),
        access: &Access,
    ) -> bool {
        let touch = access.touch;
        if touch.any(Touch::CREATED) && self.any_then(past, path, |then| could_not_make(then, path)) {
            return true;
        }
        match access.observed {
            0 => false,
            _ if touch.any(Touch::ABSENT) => {
                self.any_then(past, path, |then| self.found_what_went(then))
                    && !self.facts.existed(round - 1, path)
            }
            _ => {
                touch.any(USES)
                    && self.any_then(past, path, |then| saw_the_source(then))
                    && self.facts.is_in_sources(path)
            }
        }
    }

    /// The one that stands for a process of now: the last one that was given the same to do; or, if it is told something else
    /// now, all that had a part in what its group has made.
    pub(super) fn past_of<'p>(
        &self,
        (run, group): (RunId, GroupId),
        process: &Process,
        own: &'p OnceCell<Past>,
        of_group: &'p OnceCell<Past>,
    ) -> &'p Past {
        if self.groups[run].all[group].kind != Kind::Task || process.exec.is_none() {
            return own.get_or_init(Past::new);
        }
        match self.like(run, process) {
            Some((run, id)) => own.get_or_init(|| vec![(run, vec![id])]),
            None => of_group.get_or_init(|| self.makers_then(run, group)),
        }
    }

    /// All that had a part in an earlier build in what a group has made now.
    fn makers_then(&self, run: RunId, group: GroupId) -> Past {
        let now = self.trace(run);
        let members = self.groups[run].members(group).iter().map(|member| now.process(*member));
        let accesses = members.flat_map(|member| &member.accesses);
        let made: Vec<&[u8]> = accesses
            .filter(|access| access.touch.changes() && now.left(access.path))
            .map(|access| now.paths().get(access.path))
            .collect();
        let makers = |(then, trace): (RunId, &Trace)| {
            let groups = self.groups[then];
            let paths = made.iter().filter_map(|path| trace.paths().find(path));
            let changes = paths.flat_map(|path| trace.changes_to(path));
            let mut makers: Vec<GroupId> = changes.map(|(process, _)| groups.of[process.at()]).collect();
            makers.sort_unstable();
            makers.dedup();
            let members: Vec<ProcessId> =
                makers.into_iter().flat_map(|maker| groups.members(maker)).copied().collect();
            (!members.is_empty()).then_some((then, members))
        };
        self.evidence.then.iter().map(Run::trace).enumerate().filter_map(makers).collect()
    }

    /// Those of this round that were given the same to do in an earlier build, and did not get this time what somebody else had
    /// handed to them then in a file that is gone. Who only asks whether it is there is not seen to miss it.
    pub(super) fn was_given_nothing(&self, run: RunId, round: usize) -> Vec<(GroupId, Hit<'a>)> {
        let is_fed = |group: &Group| group.fed_by.iter().any(|writer| !group.piped_by.contains(writer));
        let earlier = &self.groups[..self.evidence.then.len()];
        if !earlier.iter().any(|groups| groups.all.iter().any(is_fed)) {
            return Vec::new();
        }
        let trace = self.trace(run);
        let groups = self.groups[run];
        let tasks = (0..groups.all.len()).filter(|id| groups.all[*id].kind == Kind::Task);
        let moves: Vec<OnceCell<Moves<'_>>> = self.groups.iter().map(|_| OnceCell::new()).collect();
        let moves = |(run, group): (RunId, GroupId)| {
            let moves = moves[run].get_or_init(|| self.moves_by_group(run));
            moves.get(&group).map(Vec::as_slice).unwrap_or_default()
        };
        let misses = |group: GroupId| {
            let leader = trace.process(groups.all[group].leader);
            // The same may have been started by a part of another group.
            let leads = |run: RunId, id: ProcessId| {
                let groups = self.groups[run];
                groups.all[groups.of[id.at()]].leader == id
            };
            let (then, like) = self.like_one(run, leader, leads)?;
            let group_then = self.groups[then].of[like.at()];
            let is_missed = |path: &&[u8]| !self.finds((run, group), path, (round, moves((run, group))));
            let path = self.handed_to((then, group_then), moves((then, group_then))).find(is_missed)?;
            let change = SourceChange { path: path.to_vec(), kind: ChangeKind::Removed };
            Some((group, Hit { at: 1, is_past: true, ..Hit::of(change, leader) }))
        };
        tasks.filter_map(misses).collect()
    }

    fn moves_by_group(&self, run: RunId) -> Moves<'a> {
        let mut moves = Moves::new();
        for step in self.trace(run).moves() {
            moves.entry(self.groups[run].of[step.process.at()]).or_default().push(step);
        }
        moves
    }

    /// What a group was handed by what others had been started to do, in files that are gone: it used them, or gave them or a directory
    /// that they were in another name. What it starts itself hands to it what it asks for, and it may know that from the last time.
    fn handed_to(
        &self,
        (run, group): (RunId, GroupId),
        moves: &[&'a Move],
    ) -> impl Iterator<Item = &'a [u8]> {
        let (trace, groups) = (self.trace(run), self.groups[run]);
        let accesses = groups.members(group).iter().flat_map(move |member| &trace.process(*member).accesses);
        let used = accesses.filter(|access| access.observed > 0 && access.touch.any(USES));
        let used = used.map(|access| (access.path, u32::MAX));
        let moved = moves.iter().flat_map(move |step| {
            let below = trace.paths().below(trace.paths().get(step.from)).map(|at| PathId(at as u32));
            std::iter::once(step.from).chain(below).map(|path| (path, step.at))
        });
        let is_handed = move |(path, before): &(PathId, u32)| {
            let makers = || {
                let is_maker = |access: &Access| access.touch.any(Touch::MAKES) && access.changed < *before;
                let makers = trace.changes_to(*path).filter(move |(_, access)| is_maker(access));
                makers.map(|(maker, _)| groups.of[maker.at()])
            };
            !trace.left(*path)
                && makers().all(|maker| maker != group)
                && makers()
                    .any(|maker| groups.all[maker].kind == Kind::Task && !groups.is_below(maker, group))
        };
        used.chain(moved).filter(is_handed).map(move |(path, _)| trace.paths().get(path))
    }

    /// Whether a group of this round finds something at a path, or gives it another name. Of what lies in a directory that is given
    /// one, nothing is seen but who made it.
    fn finds(&self, (run, group): (RunId, GroupId), path: &[u8], (round, moves): (usize, &[&Move])) -> bool {
        let trace = self.trace(run);
        let found = |access: &Access| access.observed > 0 && !access.touch.any(Touch::ABSENT);
        let is_found = |id| {
            let mut members = self.groups[run].members(group).iter();
            members.any(|member| trace.process(*member).access(id).is_some_and(found))
        };
        let is_there = || {
            let mut changes = self.changes_in(run, path);
            self.facts.existed(round - 1, path)
                || changes.any(|(_, _, access)| access.touch.any(Touch::MAKES) && access.changed > 0)
        };
        let is_moved = |step: &&Move| {
            let below = path.strip_prefix(trace.paths().get(step.from));
            below.is_some_and(|below| below.is_empty() || (below[0] == b'/' && is_there()))
        };
        trace.paths().find(path).is_some_and(is_found) || moves.iter().any(is_moved)
    }

    /// Whether any of these did something to a path for which this holds.
    fn any_then(&self, past: &Past, path: &[u8], test: impl Fn(&Then<'a>) -> bool) -> bool {
        past.iter().any(|(run, ids)| {
            let trace = self.trace(*run);
            let Some(path) = trace.paths().find(path) else { return false };
            ids.iter().any(|id| {
                let access = trace.process(*id).access(path);
                access.is_some_and(|access| test(&Then { trace, run: *run, id: *id, path, access }))
            })
        })
    }

    /// The last process of the builds before that was given the same to do.
    pub(super) fn like(&self, run: RunId, process: &Process) -> Option<(RunId, ProcessId)> {
        self.like_one(run, process, |_, _| true)
    }

    /// The last one of these.
    pub(super) fn like_one(
        &self,
        run: RunId,
        process: &Process,
        is_one: impl Fn(RunId, ProcessId) -> bool,
    ) -> Option<(RunId, ProcessId)> {
        let cwd = self.trace(run).paths().get(process.exec.as_ref()?.cwd);
        let digest = process.exec.as_ref()?.argv_digest;
        let known = self.likes.get_or_init(|| {
            let mut likes = Likes::new();
            for (run, trace) in self.evidence.then.iter().map(Run::trace).enumerate() {
                for (process, id) in trace.processes().iter().zip((0..).map(ProcessId)) {
                    if let Some(exec) = &process.exec {
                        likes.entry(exec.argv_digest).or_default().push((run, id));
                    }
                }
            }
            likes
        });
        known.get(&digest)?.iter().rev().copied().find(|(run, id)| {
            let trace = self.trace(*run);
            let exec = trace.process(*id).exec.as_ref();
            exec.is_some_and(|exec| trace.paths().get(exec.cwd) == cwd) && is_one(*run, *id)
        })
    }

    /// Whether one looked for something before it was there. What it then made itself only counts for one that `goes_on` with that.
    fn saw_nothing(&self, then: &Then<'_>, path: &[u8], goes_on: bool) -> bool {
        let made = then.changes().filter(|(_, access)| access.touch.any(Touch::MAKES));
        if then.access.touch.any(Touch::CREATED) {
            // Whether there is nothing in it or nothing there is the same to who only writes (`touch`).
            return goes_on && then.access.touch.any(Touch::ABSENT) && !self.facts.is_empty(path);
        }
        let made = made.map(|(_, access)| access.changed_last).max();
        then.access.observed > 0 && made.is_some_and(|made| made > then.access.observed)
    }

    /// Whether one used something that was gone later, and that its own command had not made.
    fn found_what_went(&self, then: &Then<'_>) -> bool {
        let of = &self.groups[then.run].of;
        // To have removed it, and not to find it now, comes to the same; to have given it another name does not.
        let is_moved =
            || then.trace.moves().iter().any(|step| step.process == then.id && step.from == then.path);
        let went = |(_, access): (ProcessId, &Access)| {
            access.touch.any(Touch::REMOVED) && access.changed_last >= then.access.observed
        };
        let is_its_own = |(maker, access): (ProcessId, &Access)| {
            access.touch.any(Touch::MAKES) && of[maker.at()] == of[then.id.at()]
        };
        // A new name is given without a look at what is there.
        let is_used = then.access.observed > 0 && then.access.touch.any(USES) && then.changes().any(went);
        !then.trace.left(then.path) && !then.changes().any(is_its_own) && (is_used || is_moved())
    }
}

impl<'a> Then<'a> {
    /// Who changed the path in that run.
    fn changes(&self) -> impl Iterator<Item = (ProcessId, &'a Access)> {
        self.trace.changes_to(self.path)
    }
}

/// Whether one looked at something before somebody else changed or replaced it, and before it was changed at all.
fn saw_the_source(then: &Then<'_>) -> bool {
    let is_later = |(other, access): (ProcessId, &Access)| {
        other != then.id && access.touch.any(Touch::WRITES) && access.changed_last > then.access.observed
    };
    then.access.observed > 0
        && then.changes().any(is_later)
        && first_change(then.changes()) > then.access.observed
}

/// Whether one could not make something at `path` because the directory that it is in was made later.
fn could_not_make(then: &Then<'_>, path: &[u8]) -> bool {
    let dir = &path[..path.len().saturating_sub(name_of(path).len() + 1)];
    let touch = then.access.touch;
    touch.any(Touch::ABSENT)
        && !touch.any(Touch::MAKES)
        && then.trace.paths().find(dir).is_some_and(|dir| {
            let made = then.trace.changes_to(dir).filter(|(_, access)| access.touch.any(Touch::CREATED));
            let made = first_change(made);
            made != u32::MAX && made > then.access.observed
        })
}

/// Whether an access found something there and made use of it.
fn finds_something(access: &Access) -> bool {
    // What is found to be thrown away at once is as if it were not there.
    let is_cleared = access.touch.any(Touch::REMOVED.and(Touch::REPLACED));
    access.observed > 0 && (access.touch.any(USES) || (access.touch.any(Touch::PRESENT) && !is_cleared))
}

/// Whether an access changed what it had found, and did not throw it away at once.
fn goes_on_with(access: &Access) -> bool {
    let is_used = access.touch.any(Touch::READ.and(Touch::EXECUTED)) && access.changed > access.observed;
    finds_something(access) && (is_used || access.touch.any(Touch::UPDATED))
}

/// When something was first changed; never is later than all.
fn first_change<'t>(changes: impl Iterator<Item = (ProcessId, &'t Access)>) -> u32 {
    changes.map(|(_, access)| access.changed).filter(|changed| *changed > 0).min().unwrap_or(u32::MAX)
}

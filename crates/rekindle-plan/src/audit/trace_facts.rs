//! What a trace says by itself, before anything is compared: first changes, beginnings, names for people.

use std::collections::BTreeSet;

use super::Run;
use super::groups::{GroupId, Groups, Orchestrator};
use crate::trace::{Arguments, Process, Touch, Trace};

/// What a group was started to do, and where.
pub(super) fn identity<'t>(
    trace: &'t Trace,
    groups: &Groups,
    group: GroupId,
) -> Option<([u8; 32], &'t [u8])> {
    let exec = trace.process(groups.all[group].leader).exec.as_ref()?;
    Some((exec.argv_digest, trace.paths().get(exec.cwd)))
}

/// A command that failed in a run and did not run again in any later one. Who keeps book has no note of it, and so runs it
/// again if it is needed; make only looks whether a file is there.
pub(super) fn not_run_again<'t>(
    run: usize,
    groups: &[&Groups],
    trace: impl Fn(usize) -> &'t Trace,
) -> Option<GroupId> {
    let is_asked = |group: &GroupId| {
        let started_by = groups[run].started_by(*group);
        groups[run].all[*group].failed && !started_by.is_some_and(Orchestrator::forgets_what_failed)
    };
    let asked: Vec<GroupId> = (0..groups[run].all.len()).filter(is_asked).collect();
    if asked.is_empty() {
        return None;
    }
    let mut later = BTreeSet::new();
    for (run, groups) in groups.iter().enumerate().skip(run + 1) {
        later.extend((0..groups.all.len()).filter_map(|group| identity(trace(run), groups, group)));
    }
    asked.into_iter().find(|group| {
        identity(trace(run), groups[run], *group).is_none_or(|identity| !later.contains(&identity))
    })
}

/// See [`super::needed`].
pub(super) fn needed(runs: &[&Run], open: usize) -> Vec<bool> {
    let mut needed = are_left(runs);
    let groups: Vec<&Groups> = runs.iter().map(|run| run.groups()).collect();
    for (run, needed) in needed.iter_mut().enumerate().skip(runs.len().saturating_sub(open)) {
        *needed = *needed || not_run_again(run, &groups, |run| runs[run].trace()).is_some();
    }
    // What is said of the last one is said of what changed since it, and so of no other.
    if let Some(last) = needed.last_mut() {
        *last |= open > 0;
    }
    needed
}

/// Tells of each run whether anything is left of it that no later one made anew.
fn are_left(runs: &[&Run]) -> Vec<bool> {
    let mut made_later: BTreeSet<&[u8]> = BTreeSet::new();
    let mut needed = vec![false; runs.len()];
    for (at, run) in runs.iter().enumerate().rev() {
        let trace = run.trace();
        let (paths, groups) = (trace.paths(), run.groups());
        needed[at] = trace.processes().iter().zip(&groups.of).any(|(process, group)| {
            let keeps_book = groups.all[*group].kind.notes_what_ended_well();
            process.accesses.iter().any(|access| {
                let is_left = access.touch.changes() && trace.left(access.path);
                // What is only written to is its lock, its database, its log: never made anew, and nobody else reads it.
                let is_noted = keeps_book && !access.touch.defines() && !access.touch.any(Touch::MODE);
                is_left && !is_noted && !made_later.contains(paths.get(access.path))
            })
        });
        // The oldest has nothing before it.
        if at > 0 {
            let accesses = trace.processes().iter().flat_map(|process| &process.accesses);
            let defined = accesses.filter(|access| access.touch.defines());
            made_later.extend(defined.map(|access| paths.get(access.path)));
        }
    }
    needed
}

/// When the content or name of each path was first changed; 0 for never. Other rights and times have no moment: who reads a
/// source that was given some still reads a source.
pub(super) fn first_changes(trace: &Trace) -> Vec<u32> {
    let mut first = vec![0; trace.paths().len()];
    for access in trace.processes().iter().flat_map(|process| &process.accesses) {
        let known: &mut u32 = &mut first[access.path.at()];
        if access.changed != 0 && (*known == 0 || access.changed < *known) {
            *known = access.changed;
        }
    }
    first
}

/// When each group began, as far as it was seen to do something.
pub(super) fn starts(trace: &Trace, groups: &Groups) -> Vec<u32> {
    let mut starts = vec![u32::MAX; groups.all.len()];
    for (process, group) in trace.processes().iter().zip(&groups.of) {
        for access in &process.accesses {
            for at in [access.observed, access.changed] {
                if at != 0 && at < starts[*group] {
                    starts[*group] = at;
                }
            }
        }
    }
    starts
}

/// What a process is, for a person: its command, or that of who started it.
pub(super) fn describe(trace: &Trace, process: &Process) -> String {
    const LONGEST: usize = 60;
    let mut at = process;
    let argv = loop {
        match (&at.exec, at.before.or(at.parent)) {
            (Some(exec), _) => break Some(&exec.argv),
            (None, Some(above)) => at = trace.process(above),
            (None, None) => break None,
        }
    };
    let words: Vec<_> = argv.into_iter().flat_map(Arguments::iter).map(String::from_utf8_lossy).collect();
    let line: String = words.join(" ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("`{}…`", &line[..end]),
        None if line.is_empty() => "the shell of the step".to_owned(),
        None => format!("`{line}`"),
    }
}

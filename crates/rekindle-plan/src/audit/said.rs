//! What makes say of recipes that failed, and what failed of what they had started.
//!
//! Of a make's commands some fail without harm: `$(shell …)`, a line that begins with `-`. They have told make something,
//! and it went on. Others are what it stopped for, and for each of these it prints a line. So as many lines have to have
//! been read as commands failed, at each level of makes in makes; or as many as failed after which nothing else was started.

use std::collections::{BTreeMap, BTreeSet};

use super::failure::Ends;
use super::groups::{GroupId, Kind, is_make};
use super::rules::{Auditor, RunId};
use crate::trace::Stream;

/// A line of a make about a recipe that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// How many makes the one that said it is below.
    pub level: u32,
    /// What it was to make.
    pub target: Vec<u8>,
}

impl Said {
    /// Reads a line that a build printed: `make[1]: *** [Makefile:12: a.o] Error 1`. Older ones name no makefile.
    pub fn read(line: &[u8]) -> Option<Said> {
        const MARK: &[u8] = b": *** [";
        let at = line.windows(MARK.len()).position(|window| window == MARK)?;
        let (name, rest) = (&line[..at], &line[at + MARK.len()..]);
        let (name, level) = match name.strip_suffix(b"]") {
            None => (name, 0),
            Some(name) => {
                let open = name.iter().rposition(|byte| *byte == b'[')?;
                (&name[..open], std::str::from_utf8(&name[open + 1..]).ok()?.parse().ok()?)
            }
        };
        let inside = &rest[..rest.windows(2).rposition(|window| window == b"] ")?];
        name.ends_with(b"make").then(|| Said { level, target: without_place(inside).to_vec() })
    }
}

/// A target without the place of its recipe before it.
fn without_place(inside: &[u8]) -> &[u8] {
    let Some(at) = inside.windows(2).position(|window| window == b": ") else { return inside };
    let place = &inside[..at];
    let line = place.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    let has_line = line.len() < place.len() && !line.is_empty() && line.iter().all(u8::is_ascii_digit);
    if has_line || place == b"<builtin>" { &inside[at + 2..] } else { inside }
}

impl Auditor<'_> {
    /// What makes had started directly that failed and that they stopped for, or were stopped at. Gives for each the level of the make.
    /// `running` is what was interrupted.
    pub(super) fn stopped_makes(
        &self,
        run: RunId,
        (ends, running): (&Ends, &BTreeSet<GroupId>),
        said: &[Said],
    ) -> Result<BTreeMap<GroupId, u32>, String> {
        let mut levels = self.failing_of_makes(run, ends);
        for failing in levels.values_mut() {
            failing.retain(|group| !(running.contains(group) && self.is_asked(run, *group)));
        }
        let spans = self.spans(run);
        let count = |level: u32| said.iter().filter(|said| said.level == level).count();
        let unlike = || "what make says of it is not what was seen to fail".to_owned();
        if said.iter().any(|said| !levels.contains_key(&said.level)) {
            return Err(unlike());
        }
        let mut stopped = BTreeMap::new();
        for (level, failing) in &levels {
            // What make went on after had told it something, and that is all.
            let last: Vec<GroupId> =
                failing.iter().copied().filter(|group| !self.is_followed(run, *group, &spans)).collect();
            let stopped_here = match count(*level) {
                some if some == failing.len() => failing,
                some if some == last.len() => &last,
                _ => return Err(unlike()),
            };
            stopped.extend(stopped_here.iter().map(|group| (*group, *level)));
        }
        // What failed in something that ended well was no harm.
        let is_harmless = |group: GroupId| {
            let mut above = std::iter::successors(self.parent(run, group), |group| self.parent(run, *group));
            above.any(|group| ends[group] == Some(0))
        };
        stopped.retain(|group, _| !is_harmless(*group));
        // A make that failed and was let go on after is no reason for anything above it.
        for group in stopped.keys() {
            let mut inner = self.parent(run, *group);
            while let Some(make) = inner {
                let above = self.nearest_make(run, make);
                if let Some(above) = above.filter(|_| !self.is_make_again(run, make)) {
                    let started = std::iter::successors(Some(make), |group| self.parent(run, *group));
                    let started = started.take_while(|group| *group != above).last();
                    if started.is_none_or(|started| !stopped.contains_key(&started)) {
                        return Err("a make failed that another one goes on without".to_owned());
                    }
                }
                inner = above;
            }
        }
        // A make that became another one had ended well until then.
        let again = (0..ends.len()).filter(|group| self.is_make_again(run, *group));
        let again: BTreeSet<GroupId> = again.filter_map(|group| self.parent(run, group)).collect();
        let makes: BTreeSet<_> = stopped.keys().map(|group| self.parent(run, *group)).collect();
        let has_no_reason = |make: &GroupId| {
            self.is_make(run, *make)
                && ends[*make] != Some(0)
                && !running.contains(make)
                && !again.contains(make)
                && !makes.contains(&Some(*make))
                && !is_harmless(*make)
        };
        if (0..ends.len()).any(|group| has_no_reason(&group)) {
            return Err("a make failed by itself".to_owned());
        }
        Ok(stopped)
    }

    /// For each level what its makes, where they failed, had started directly and failed as well.
    fn failing_of_makes(&self, run: RunId, ends: &Ends) -> BTreeMap<u32, Vec<GroupId>> {
        let groups = &self.groups[run].all;
        let mut failing: BTreeMap<u32, Vec<GroupId>> = BTreeMap::new();
        let mut above: Vec<u32> = vec![0; groups.len()];
        for (id, group) in groups.iter().enumerate() {
            let Some(parent) = group.parent else { continue };
            let is_of_make = self.is_make(run, parent) && !self.is_make_again(run, id);
            above[id] = above[parent] + u32::from(is_of_make);
            if is_of_make && ends[parent] != Some(0) && ends[id] != Some(0) {
                failing.entry(above[parent]).or_default().push(id);
            }
        }
        failing
    }

    /// Whether who started it reads what it prints from a pipe of its own, as make does of `$(shell …)`. No recipe is interrupted
    /// with it, so make says nothing of it.
    fn is_asked(&self, run: RunId, group: GroupId) -> bool {
        let trace = self.trace(run);
        let output = |group: GroupId| trace.process(self.groups[run].all[group].leader).output;
        let above = self.parent(run, group).map(output);
        matches!(output(group), Stream::Pipe(_)) && above != Some(output(group))
    }

    fn is_make(&self, run: RunId, group: GroupId) -> bool {
        let group = &self.groups[run].all[group];
        let trace = self.trace(run);
        matches!(group.kind, Kind::Orchestrator(_)) && is_make(trace, trace.process(group.leader))
    }

    /// Whether a group is a make that has executed itself once more, as it does when it has made a makefile.
    fn is_make_again(&self, run: RunId, group: GroupId) -> bool {
        let leader = self.trace(run).process(self.groups[run].all[group].leader);
        let parent = self.parent(run, group);
        let is_same = leader.before.is_some_and(|before| Some(self.groups[run].of[before.at()]) == parent);
        is_same && self.is_make(run, group) && parent.is_some_and(|parent| self.is_make(run, parent))
    }

    pub(super) fn parent(&self, run: RunId, group: GroupId) -> Option<GroupId> {
        self.groups[run].all[group].parent
    }

    /// The make that a group is below.
    pub(super) fn nearest_make(&self, run: RunId, group: GroupId) -> Option<GroupId> {
        let above = std::iter::successors(self.parent(run, group), |group| self.parent(run, *group));
        above.into_iter().find(|group| self.is_make(run, *group))
    }

    /// Whether who started a group started another one after that had ended.
    fn is_followed(&self, run: RunId, group: GroupId, spans: &[(u64, u64)]) -> bool {
        let parent = self.parent(run, group);
        let others = group + 1..self.groups[run].all.len();
        others.into_iter().any(|other| self.parent(run, other) == parent && spans[other].0 >= spans[group].1)
    }

    /// When each group began and ended.
    pub(super) fn spans(&self, run: RunId) -> Vec<(u64, u64)> {
        let mut spans = vec![(u64::MAX, 0); self.groups[run].all.len()];
        for (process, group) in self.trace(run).processes().iter().zip(&self.groups[run].of) {
            let span = &mut spans[*group];
            *span = (span.0.min(process.started), span.1.max(process.ended));
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_make_says_is_read() {
        let check = |line: &str, expected: Option<(u32, &str)>| {
            let read = Said::read(line.as_bytes());
            let read = read.map(|said| (said.level, String::from_utf8(said.target).expect("text")));
            assert_eq!(read, expected.map(|(level, target)| (level, target.to_owned())), "{line}");
        };
        check("make: *** [Makefile:12: a.o] Error 1", Some((0, "a.o")));
        check("make[3]: *** [../scripts/x.mk:250: d/a.o] Error 1", Some((3, "d/a.o")));
        check("gmake: *** [a.o] Error 2", Some((0, "a.o")));
        check("make: *** [<builtin>: a.o] Error 1", Some((0, "a.o")));
        check("/usr/bin/make: *** [GNUmakefile:1: a: b] Error 1", Some((0, "a: b")));
        check("make: *** [m:1: a.o] Segmentation fault (core dumped)", Some((0, "a.o")));
        check("make: [Makefile:3: clean] Error 1 (ignored)", None);
        check("make: *** No rule to make target 'x'.  Stop.", None);
        check("make: *** Waiting for unfinished jobs....", None);
        check("cook: *** [a.o] Error 1", None);
        check("make[x]: *** [a.o] Error 1", None);
        check("make: *** [a.o", None);
    }
}

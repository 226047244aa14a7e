//! What one wrote and another has written again since: whose word is the last.
//!
//! Where several write the same file, a clean build leaves what the last of them wrote. Here the last one is who had a reason to run
//! again, which may be the first. Neither has to have looked at anything for that, so nothing of the other rules is about
//! it. Whose word was the last in a run has to have spoken again since; or who has spoken since is one that did so after it in the
//! oldest run in which both did; or all that it made then is made anew. Otherwise it has to run once more.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use super::groups::{GroupId, Kind};
use super::rules::{Auditor, Hit, Invocation, RunId};
use crate::observation::{ChangeKind, SourceChange};
use crate::trace::{Access, PathId, ProcessId, Touch};

/// Who changed one path in each run, by what they were started to do: who of them was first, and who was last.
type Changers<'a> = Vec<FirstAndLast<'a>>;
type FirstAndLast<'a> = HashMap<Invocation<'a>, [(ProcessId, &'a Access); 2]>;

impl<'a> Auditor<'a> {
    /// Those who had the last word about something in a run, and do not have it any more.
    pub(super) fn overwritten(&self, run: RunId) -> BTreeMap<GroupId, Hit<'a>> {
        let mut hits = BTreeMap::new();
        if run + 1 == self.runs() {
            return hits;
        }
        let trace = self.trace(run);
        for change in self.written_since(run) {
            let Some(path) = trace.paths().find(&change.path) else { continue };
            if self.facts.is_book(&change.path) {
                continue;
            }
            let changers = OnceCell::new();
            let of_all_runs = || (0..self.runs()).map(|run| self.changers_by_invocation(run, &change.path));
            for (writer, access) in self.last_words(run, path) {
                let group = self.groups[run].of[writer.at()];
                if self.groups[run].all[group].kind != Kind::Task {
                    continue;
                }
                let changers = changers.get_or_init(|| of_all_runs().collect());
                if let Some(is_known) = self.is_overwritten(run, group, &change.path, changers) {
                    let process = trace.process(writer);
                    let hit =
                        || Hit { is_overwritten: is_known, ..Hit::new(access, change.clone(), process) };
                    hits.entry(group).or_insert_with(hit);
                }
            }
        }
        hits
    }

    /// What a run left or took away and is otherwise now; and what is the same, if it was not there for who wrote it in an earlier
    /// round.
    fn written_since(&self, run: RunId) -> Vec<SourceChange> {
        let trace = self.trace(run);
        let is_left = |path: &[u8]| trace.paths().find(path).is_some_and(|id| trace.left(id));
        let round = (run + 1).saturating_sub(self.evidence.then.len());
        let changed = self.facts.changed_since(round).iter();
        let changed = changed.filter(|change| is_left(&change.path) != (change.kind == ChangeKind::Added));
        let mut all: Vec<SourceChange> = changed.cloned().collect();
        if round > 0 {
            let accesses = trace.processes().iter().flat_map(|process| &process.accesses);
            let made = accesses.filter(|access| access.touch.any(Touch::CREATED) && trace.left(access.path));
            let made =
                made.map(|access| trace.paths().get(access.path)).filter(|path| self.facts.exists(path));
            all.extend(made.map(|path| SourceChange { path: path.to_vec(), kind: ChangeKind::Content }));
        }
        all
    }

    /// Who wrote to a path last in a run, or took it away, and who gave it a mode: nothing tells when that was.
    fn last_words(&self, run: RunId, path: PathId) -> impl Iterator<Item = (ProcessId, &'a Access)> {
        let changes = || self.trace(run).changes_to(path);
        let last =
            changes().filter(|(_, access)| writes(access)).max_by_key(|(_, access)| access.changed_last);
        let is_left = self.trace(run).left(path);
        let modes = changes().filter(move |(_, access)| is_left && access.touch.any(Touch::MODE));
        last.into_iter().chain(modes)
    }

    /// Whether others have written since what is not known to be written after this, and it was not written again; and then whether
    /// the last one of them is known to have been before it.
    fn is_overwritten(
        &self,
        run: RunId,
        group: GroupId,
        path: &[u8],
        changers: &Changers<'a>,
    ) -> Option<bool> {
        let mine = self.invocation(run, group);
        let (mut is_overwritten, mut is_first_last) = (false, false);
        for later in run + 1..self.runs() {
            let mut last = 0;
            for (invocation, _, access) in self.changers(later, path) {
                if invocation.is_some() && invocation == mine {
                    return None;
                }
                if writes(access) {
                    is_overwritten |= !is_written_after(changers, mine, invocation);
                    if access.changed_last >= last {
                        last = access.changed_last;
                        is_first_last = is_written_after(changers, invocation, mine);
                    }
                }
            }
        }
        is_overwritten.then_some(is_first_last)
    }

    /// Those that changed a path in a run, by what they were started to do.
    fn changers(
        &self,
        run: RunId,
        path: &[u8],
    ) -> impl Iterator<Item = (Option<Invocation<'a>>, ProcessId, &'a Access)> {
        let changes = self.changes_in(run, path);
        changes.map(move |(process, group, access)| (self.invocation(run, group), process, access))
    }

    fn changers_by_invocation(&self, run: RunId, path: &[u8]) -> FirstAndLast<'a> {
        let mut changers = HashMap::new();
        for (invocation, process, access) in self.changers(run, path) {
            let Some(invocation) = invocation else { continue };
            let now = (process, access);
            changers.entry(invocation).and_modify(|known: &mut [_; 2]| known[1] = now).or_insert([now; 2]);
        }
        changers
    }
}

/// Whether in the oldest run in which both of these changed a path, the second did so after the first.
fn is_written_after(
    changers: &Changers<'_>,
    one: Option<Invocation<'_>>,
    other: Option<Invocation<'_>>,
) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return false };
    let mut both = changers.iter().filter_map(|run| Some((run.get(&one)?[1], run.get(&other)?[0])));
    both.next().is_some_and(|((first, was), (second, is))| {
        // Other modes have no moment. Processes are in the order of their beginnings.
        let has_moments = writes(was) && writes(is);
        if has_moments { was.changed_last < is.changed_last } else { first < second }
    })
}

fn writes(access: &Access) -> bool {
    access.touch.any(Touch::WRITES.and(Touch::REMOVED))
}

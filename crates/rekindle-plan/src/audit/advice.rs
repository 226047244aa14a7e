//! What may be old: what orchestrators alone read to know what depends on what.
//!
//! Such a file tells make when to make something, which may be told wrongly, as the audit finds what was not made again. But it also
//! tells a recipe what there is to make it from (`$^`), and has made what nobody else asks for. So it is advice only if all of its
//! targets are what a clean build makes of it in spite of that:
//!
//! - it is a *depfile*: who wrote it wrote its targets as well, as compilers do, then and now. They are as old as it is, and were made
//!   from what that compiler had found. So is what a compiler wrote without them (of many at once, `gcc -MM *.c`, or as it failed), if
//!   each target is an object of the source that comes first, or the list itself, and no recipe for one speaks of all that it is made from: that only tells
//!   when to make it;
//! - or it is *followed*: each target for which it says something else now was made again by a make that had read it as it is, and of what is
//!   not listed any more nothing is there that the build has made. All that is no rule has to be the same, as make can read that by other
//!   means (`$(file)`).
//!
//! For a shell nothing is advice: it may take from a file what it likes.
//!
//! In doubt it is none: that costs another round, or a clean step. It must not know how such files are written.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use super::groups::{Group, GroupId, Kind};
use super::rules::{Auditor, RunId, reads};
use crate::trace::{PathId, Touch, name_of, resolve};

/// What a file says that is nothing but rules about what depends on what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advice {
    /// The prerequisites of each target that has any, in order.
    pub rules: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    /// What is said to nobody: comments, or all of a file without rules.
    pub remarks: Vec<u8>,
}

/// What a file is to those who read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Data,
    Depfile,
    Followed,
}

/// What an audit has found out about advice.
#[derive(Default)]
pub(super) struct Known {
    standings: RefCell<HashMap<Vec<u8>, Standing>>,
    /// Where the orchestrators of each run work, if they started anything.
    places: OnceCell<Vec<HashMap<GroupId, PathId>>>,
}

impl<'a> Auditor<'a> {
    /// Whether a file may be old, as far as those who decide have read it.
    pub(super) fn is_advice(&self, path: &[u8]) -> bool {
        self.facts.is_book(path) || self.standing(path) != Standing::Data
    }

    /// Whether a compiler wrote it beside what it compiled.
    pub(super) fn is_depfile(&self, path: &[u8]) -> bool {
        self.standing(path) == Standing::Depfile
    }

    /// Whether a product is of no concern to anybody but those who decide what is made, and may stay as it is.
    pub(super) fn is_private(&self, path: &[u8]) -> bool {
        if self.facts.is_book(path) {
            return true;
        }
        let mut is_read = false;
        for run in 0..self.runs() {
            let trace = self.trace(run);
            let Some(id) = trace.paths().find(path) else { continue };
            let groups = self.groups[run];
            for (process, _) in trace.accesses_to(id).filter(|(_, access)| reads(access)) {
                if !matches!(groups.all[groups.of[process.at()]].kind, Kind::Orchestrator(_)) {
                    return false;
                }
                is_read = true;
            }
        }
        // What else would say something else today may be what something is made from, and be installed. Of a compiler's
        // the targets go with it, if that looked at what is another now.
        is_read && self.is_depfile(path)
    }

    fn standing(&self, path: &[u8]) -> Standing {
        if let Some(known) = self.advice.standings.borrow().get(path) {
            return *known;
        }
        let found = self.find_standing(path);
        self.advice.standings.borrow_mut().insert(path.to_vec(), found);
        found
    }

    fn find_standing(&self, path: &[u8]) -> Standing {
        let last = self.evidence.rounds.len();
        // A source that is another one today. What configures makes such files empty, for make to have something to read.
        if self.facts.was_prepared(1, path) || !(self.facts.existed(0, path) || self.facts.exists(path)) {
            return Standing::Data;
        }
        let (Some(then), Some(now)) = (self.facts.advice(0, path), self.facts.advice(last, path)) else {
            return Standing::Data;
        };
        let directories = self.directories_of_readers(path);
        let sides = [(&then, 0..self.evidence.then.len()), (&now, 0..self.runs())];
        let mut told = sides.into_iter().filter(|(said, _)| !said.rules.is_empty()).peekable();
        let is_compilers = |(said, mut runs): (&Advice, Range<RunId>)| {
            // Who wrote it last in these runs.
            runs.rfind(|run| self.last_maker(*run, path).is_some()).is_some_and(|run| {
                self.is_written_with_targets((run, path), said, &directories)
                    || self.is_list_of_compiler((run, path), said, &directories)
            })
        };
        if told.peek().is_some() && told.all(is_compilers) {
            return Standing::Depfile;
        }
        let is_done = then.remarks == now.remarks && self.is_done(path, &then, &now, &directories);
        if is_done { Standing::Followed } else { Standing::Data }
    }

    /// Whether the command that wrote a file last in a run had a compiler list what objects are made from.
    fn is_list_of_compiler(
        &self,
        (run, path): (RunId, &[u8]),
        said: &Advice,
        directories: &BTreeSet<&[u8]>,
    ) -> bool {
        const OBJECTS: [&[u8]; 3] = [b".o", b".lo", b".obj"];
        let is_object = |(target, names): (&Vec<u8>, &Vec<Vec<u8>>)| {
            let name = name_of(target);
            let stem = OBJECTS.iter().find_map(|end| name.strip_suffix(*end));
            let source = names.first().map(|first| name_of(first));
            stem.zip(source).is_some_and(|(stem, source)| {
                source.strip_prefix(stem).is_some_and(|rest| rest.starts_with(b"."))
            })
        };
        // When the list is to be made again (`a.o a.d: a.c a.h`).
        let is_itself = |target: &[u8]| {
            !directories.is_empty() && directories.iter().all(|directory| resolve(directory, target) == path)
        };
        if !said.rules.iter().all(|rule| is_object(rule) || is_itself(rule.0)) {
            return false;
        }
        let (trace, groups) = (self.trace(run), self.groups[run]);
        let lists = |group: &GroupId| {
            let mut execs = groups.members(*group).iter().filter_map(|id| trace.process(*id).exec.as_ref());
            groups.all[*group].kind == Kind::Task && execs.any(|exec| exec.argv.iter().any(has_listed))
        };
        self.writers(run, path).iter().any(lists) && !self.is_spoken_of(path, said)
    }

    /// Whether a recipe for a target of a list may take from it what there is to make that from.
    fn is_spoken_of(&self, path: &[u8], said: &Advice) -> bool {
        let names: Vec<&[u8]> = said.rules.keys().map(|target| name_of(target)).collect();
        (0..self.runs()).any(|run| {
            let (trace, groups) = (self.trace(run), self.groups[run]);
            let accesses = trace.paths().find(path).into_iter().flat_map(|id| trace.accesses_to(id));
            let readers = accesses.filter(|(process, access)| {
                reads(access) && matches!(groups.all[groups.of[process.at()]].kind, Kind::Orchestrator(_))
            });
            let mut readers = readers.map(|(process, _)| trace.process(process));
            readers.any(|reader| {
                let read = reader.accesses.iter().filter(|access| access.touch.any(Touch::READ));
                let files = read.map(|access| trace.paths().get(access.path));
                // Without those of who installed make: they have no recipes for what a package compiles.
                let files = files.filter(|file| *file != path && !file.starts_with(b"/"));
                let makefiles: Vec<&[u8]> = files.filter(|file| !self.facts.is_book(file)).collect();
                self.facts.speaks_of_prerequisites(&makefiles, &names)
            })
        })
    }

    /// Whether the command that wrote a file last in a run wrote all of its targets as well.
    fn is_written_with_targets(
        &self,
        (run, path): (RunId, &[u8]),
        said: &Advice,
        directories: &BTreeSet<&[u8]>,
    ) -> bool {
        let writes_all = |group: &GroupId| {
            // What the target is called there has to be what make takes it for.
            let here = self.trace(run).process(self.groups[run].all[*group].leader).exec.as_ref();
            let Some(here) = here.map(|exec| self.trace(run).paths().get(exec.cwd)) else { return false };
            let writes = |target: &[u8]| {
                let target = resolve(here, target);
                target == path || self.writers(run, &target).contains(group)
            };
            self.groups[run].all[*group].kind == Kind::Task
                && directories.iter().all(|directory| *directory == here)
                && said.rules.keys().all(|target| writes(target))
        };
        self.writers(run, path).iter().any(writes_all)
    }

    /// Whether all for which a file says something else now was made as it says.
    fn is_done(&self, path: &[u8], then: &Advice, now: &Advice, directories: &BTreeSet<&[u8]>) -> bool {
        let last = self.evidence.rounds.len();
        let other = then.rules.keys().chain(now.rules.keys());
        let mut other = other.filter(|target| then.rules.get(*target) != now.rules.get(*target));
        let listed: HashSet<&Vec<u8>> = now.rules.values().flatten().collect();
        // What only it had asked for.
        let is_left_over = |name: &[u8]| self.facts.exists(name) && !self.facts.is_source(last, name);
        let is_right = |directory: &[u8], target: &Vec<u8>| {
            let mut dropped =
                then.rules.get(target).into_iter().flatten().filter(|name| !listed.contains(name));
            self.is_made_by(path, &resolve(directory, target))
                && !dropped.any(|name| is_left_over(&resolve(directory, name)))
        };
        other.all(|target| {
            !directories.is_empty() && directories.iter().all(|directory| is_right(directory, target))
        })
    }

    /// Whether a target was made again by one who had read this file as it is now.
    fn is_made_by(&self, path: &[u8], target: &[u8]) -> bool {
        let mut rounds = self.evidence.then.len()..self.runs();
        let Some((run, (maker, _))) =
            rounds.clone().rev().find_map(|run| Some((run, self.last_maker(run, target)?)))
        else {
            return false;
        };
        let changed = |run: RunId| self.changes_in(run, path).map(|(.., access)| access.changed_last).max();
        let said = rounds.rfind(|run| changed(*run).is_some()).map(|run| (run, changed(run)));
        let groups = self.groups[run];
        let above =
            groups.all[maker].parent.filter(|id| matches!(groups.all[*id].kind, Kind::Orchestrator(_)));
        let (Some(above), Some(id)) = (above, self.trace(run).paths().find(path)) else { return false };
        let look = self.trace(run).process(groups.all[above].leader).access(id);
        look.is_some_and(|access| {
            access.touch.any(Touch::READ.and(Touch::ABSENT))
                && access.observed > 0
                && said.is_none_or(|said| said < (run, Some(access.observed)))
        })
    }

    /// Who left a path as it is after a run, and when.
    fn last_maker(&self, run: RunId, path: &[u8]) -> Option<(GroupId, u32)> {
        let trace = self.trace(run);
        trace.paths().find(path).filter(|id| trace.left(*id))?;
        let writes = self.changes_in(run, path).filter(|(.., access)| access.touch.any(Touch::WRITES));
        let last = writes.max_by_key(|(.., access)| access.changed_last);
        last.map(|(_, group, access)| (group, access.changed_last))
    }

    /// The same, and who wrote what was given this name.
    fn writers(&self, run: RunId, path: &[u8]) -> BTreeSet<GroupId> {
        let trace = self.trace(run);
        let Some((group, at)) = self.last_maker(run, path) else { return BTreeSet::new() };
        let named = trace.moves().iter().rfind(|step| trace.paths().get(step.to) == path);
        let from = named.filter(|step| step.at >= at).map(|step| trace.paths().get(step.from));
        let before = from.into_iter().flat_map(|from| self.changes_in(run, from));
        let before = before.filter(|(.., access)| access.touch.any(Touch::WRITES)).map(|(_, group, _)| group);
        before.chain([group]).collect()
    }

    /// The directories in which those work who decide, and have looked for a file.
    fn directories_of_readers(&self, path: &[u8]) -> BTreeSet<&'a [u8]> {
        let places =
            self.advice.places.get_or_init(|| (0..self.runs()).map(|run| self.places(run)).collect());
        let mut directories = BTreeSet::new();
        for (run, places) in places.iter().enumerate() {
            let trace = self.trace(run);
            let Some(id) = trace.paths().find(path) else { continue };
            let looks = trace.accesses_to(id).filter(|(_, access)| access.observed > 0);
            let found = looks.filter_map(|(process, _)| places.get(&self.groups[run].of[process.at()]));
            directories.extend(found.map(|place| trace.paths().get(*place)));
        }
        directories
    }

    /// The directory of each orchestrator: that of what it starts, as it may have gone there itself (`make -C`).
    fn places(&self, run: RunId) -> HashMap<GroupId, PathId> {
        let groups = self.groups[run];
        let tasks = groups.all.iter().filter(|group| group.kind == Kind::Task);
        let place = |group: &Group| {
            let parent = group.parent.filter(|id| matches!(groups.all[*id].kind, Kind::Orchestrator(_)))?;
            Some((parent, self.trace(run).process(group.leader).exec.as_ref()?.cwd))
        };
        tasks.filter_map(place).collect()
    }
}

/// Whether a word has a compiler list what it reads. Others take options that begin so, too: `perl -MFile::Basename`.
fn has_listed(word: &[u8]) -> bool {
    matches!(word, b"-M" | b"-MM" | b"-MD" | b"-MMD") || word.starts_with(b"-Wp,-M")
}

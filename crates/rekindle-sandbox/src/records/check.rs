//! Records against what inotify saw in the same run, where both were asked for.
//!
//! The kernel reads the path of a call once more after the observer has read it. A thread that changes the text in
//! between has another file opened than the one that is recorded; inotify tells of that file, as it is told by whatever
//! leads to it. Only what lay in a watched directory before the command started can be checked so.

use std::path::{Path, PathBuf};

use super::{MoveKind, Records, Touch};
use crate::observed::Observed;

const OPENED: Touch =
    Touch(Touch::READ.0 | Touch::EXECUTED.0 | Touch::CREATED.0 | Touch::REPLACED.0 | Touch::UPDATED.0);

impl Records {
    /// These records, or ones that are not complete if inotify saw something opened below `roots` that no process is
    /// recorded to have opened. No roots are all there can be.
    pub(crate) fn checked(self, observed: &Observed, roots: &[PathBuf]) -> Self {
        if !self.complete || !observed.complete {
            return self;
        }
        let files = observed.opened.iter().map(|path| (path, OPENED));
        let dirs = observed.listed.iter().map(|path| (path, Touch::LISTED));
        let index = self.index();
        let is_recorded = |path: &Path, touch: Touch| {
            let Some(id) = self.paths.id(path) else { return false };
            let accesses = index.processes(id).iter().filter_map(|process| self.access(*process, id));
            accesses.into_iter().any(|access| access.touch.any(touch))
        };
        let lost = files.chain(dirs).find(|(path, touch)| {
            let concerned = roots.is_empty() || roots.iter().any(|root| path.starts_with(root));
            concerned
                && !is_recorded(path, *touch)
                && !self.later_names(path).iter().any(|name| is_recorded(name, *touch))
        });
        match lost {
            None => self,
            Some((path, _)) => Records::unknown(format!(
                "{} was opened, and no process was seen to open it: a thread changes paths while calls read them, or \
                 something outside of the sandbox opened it",
                path.display()
            )),
        }
    }

    /// What a thing was called after it, or a directory that it lies in, was moved.
    fn later_names(&self, path: &Path) -> Vec<PathBuf> {
        let mut names = vec![path.to_owned()];
        for step in &self.moves {
            let (from, to) = (self.paths.path(step.from), self.paths.path(step.to));
            let ways: &[_] = match step.kind {
                MoveKind::Rename => &[(&from, &to)],
                MoveKind::Exchange => &[(&from, &to), (&to, &from)],
                MoveKind::Link => &[],
            };
            let moved = |name: &PathBuf| {
                let below = |(from, to): &(&PathBuf, &PathBuf)| {
                    let rest = name.strip_prefix(from).ok()?;
                    // Not to end with a slash.
                    Some(if rest.as_os_str().is_empty() { (*to).clone() } else { to.join(rest) })
                };
                ways.iter().find_map(below)
            };
            let more: Vec<PathBuf> = names.iter().filter_map(moved).collect();
            names.extend(more.into_iter().take(MOST_NAMES.saturating_sub(names.len())));
        }
        names
    }
}

/// So that endless moves to and fro take no memory.
const MOST_NAMES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Access, Move, Paths, Process, ProcessId};

    /// Records of one process that did this to these paths, and of the moves between them.
    fn records(did: &[(&str, Touch)], moved: &[(&str, &str)]) -> Records {
        let mut paths = Paths::default();
        let mut id = |path: &str| paths.add(path.as_bytes()).0;
        let mut accesses: Vec<Access> = did
            .iter()
            .map(|(path, touch)| Access {
                path: id(path),
                touch: *touch,
                observed: 1,
                changed: 0,
                changed_last: 0,
            })
            .collect();
        accesses.sort_by_key(|access| access.path);
        let moves = moved.iter().map(|(from, to)| Move {
            process: ProcessId(0),
            from: id(from),
            to: id(to),
            kind: MoveKind::Rename,
            at: 2,
        });
        let moves = moves.collect();
        let processes = vec![Process { accesses, ..Process::default() }];
        Records { processes, moves, paths, complete: true, ..Records::default() }
    }

    fn check(records: &Records, opened: &[&str], listed: &[&str], roots: &[&str], expect: bool) {
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
        let observed =
            Observed { opened: paths(opened), listed: paths(listed), complete: true, ..Observed::default() };
        let checked = records.clone().checked(&observed, &paths(roots));
        assert_eq!(checked.complete, expect, "{opened:?} {listed:?}: {}", checked.reason);
    }

    #[test]
    fn what_was_opened_must_be_recorded() {
        let records =
            records(&[("/b/a", Touch::READ), ("/b/d", Touch::LISTED), ("/b/look", Touch::PRESENT)], &[]);
        check(&records, &["/b/a"], &["/b/d"], &[], true);
        check(&records, &[], &[], &[], true);
        check(&records, &["/b/a", "/b/none"], &[], &[], false);
        check(&records, &["/b/look"], &[], &[], false);
        check(&records, &["/b/d"], &[], &[], false);
        check(&records, &[], &["/b/a"], &[], false);
        check(&records, &["/b/none"], &[], &["/b/elsewhere"], true);
    }

    #[test]
    fn what_was_moved_is_found_again() {
        let did = [("/b/new/x", Touch::READ), ("/b/last/y", Touch::READ)];
        let moved = records(&did, &[("/b/old", "/b/new"), ("/b/new", "/b/last")]);
        check(&moved, &["/b/old/x", "/b/old/y"], &[], &[], true);
        check(&moved, &["/b/old/z"], &[], &[], false);
    }
}

//! What a program was told of, by name, that came or went.
//!
//! A compiler looks for a directory that it is told of (`-I../over`) without opening it, and for nothing in it if it is not there.
//! So a name among its arguments counts as looked for, and so does a directory that it looks for below one of them (`--sysroot`, `-B`).
//! What it is told by the environment (`CPATH`) or in a file of arguments (`@file`) does not.

use std::collections::{HashMap, HashSet};

use super::Orchestrator;
use super::groups::{Book, GroupId, Kind};
use super::rules::{Auditor, RunId};
use crate::observation::SourceChange;
use crate::trace::{Process, name_of, resolve};

/// Options of compilers that go before the name of a directory without a space.
const LONG_OPTIONS: &[&[u8]] = &[b"-isystem", b"-iquote", b"-idirafter"];

/// Options of compilers that name a directory, and where below it they look for headers.
const ROOTS: [(&[u8], &[&[u8]]); 3] = [
    (b"--sysroot", &[b"/usr/include", b"/usr/local/include"]),
    (b"-isysroot", &[b"/usr/include", b"/usr/local/include"]),
    (b"-B", &[b"/include"]),
];

/// Paths that came or went.
pub(super) struct Names<'a> {
    pub(super) changes: HashMap<&'a [u8], &'a SourceChange>,
    /// Their last components.
    pub(super) lasts: HashSet<&'a [u8]>,
    /// Those that did so before the first round, in order.
    pub(super) prepared: Vec<&'a [u8]>,
}

impl<'a> Names<'a> {
    pub(super) fn new(
        changes: HashMap<&'a [u8], &'a SourceChange>,
        was_prepared: impl Fn(&[u8]) -> bool,
    ) -> Names<'a> {
        let lasts = changes.keys().map(|path| name_of(path)).collect();
        let mut prepared: Vec<&[u8]> = changes.keys().copied().filter(|path| was_prepared(path)).collect();
        prepared.sort_unstable();
        Names { changes, lasts, prepared }
    }
}

impl<'a> Auditor<'a> {
    /// A path that came or went and that a program was told of: it may have looked for it and not at it, as compilers do with
    /// directories that are not there, and make with those of `-I`.
    pub(super) fn told(
        &self,
        run: RunId,
        process: &Process,
        group: GroupId,
        names: &Names<'a>,
    ) -> Option<&'a SourceChange> {
        let is_task = match self.groups[run].all[group].kind {
            Kind::Task => true,
            Kind::Orchestrator(Orchestrator::Make | Orchestrator::Tracked(Book::Recipes)) => false,
            Kind::Orchestrator(_) | Kind::Shell => return None,
        };
        // The products that a make is told of come and go in a clean build, too.
        let counts = |change: &&SourceChange| is_task || self.facts.was_prepared(1, &change.path);
        let exec = process.exec.as_ref()?;
        let cwd = self.trace(run).paths().get(exec.cwd);
        let find = |word: &[u8]| {
            let change = || names.changes.get(&resolve(cwd, word)[..]).copied().filter(counts);
            names.lasts.contains(last_of(word)).then(change).flatten()
        };
        let roots = roots(exec.argv.iter());
        let find_below = |below: &[u8]| roots.iter().find_map(|(root, _)| find(&[root, below].concat()));
        let told = exec.argv.iter().skip(1).find_map(|word| {
            // `dir`, `-Idir`, `-isystemdir`, `--from=dir`, `-Wl,-rpath,dir`, `dir:other`.
            let option = word.strip_prefix(b"-").and_then(|rest| rest.get(1..));
            let long = LONG_OPTIONS.iter().find_map(|option| word.strip_prefix(*option));
            let parts = || word.split(|byte| matches!(byte, b'=' | b',' | b':'));
            let found = std::iter::once(word).chain(option).chain(long).chain(parts()).find_map(find);
            // `-I=/dir` is one of the sysroot.
            found.or_else(|| parts().filter(|part| part.starts_with(b"/")).find_map(find_below))
        });
        told.or_else(|| {
            roots.iter().find_map(|(root, places)| {
                let mut places = places.iter().map(|place| [root, *place].concat());
                std::iter::once(root.to_vec()).chain(&mut places).find_map(|place| find(&place))
            })
        })
    }
}

/// The directories that a command names by such options, and where below them it looks.
fn roots<'a>(argv: impl Iterator<Item = &'a [u8]>) -> Vec<(&'a [u8], &'static [&'static [u8]])> {
    let mut roots = Vec::new();
    let mut before = None;
    for word in argv {
        if let Some(places) = before.take() {
            roots.push((word, places));
            continue;
        }
        let Some((option, places)) = ROOTS.into_iter().find(|(option, _)| word.starts_with(option)) else {
            continue;
        };
        // `--sysroot=dir`, `-isysrootdir`, `-B dir`.
        match word[option.len()..].strip_prefix(b"=").unwrap_or(&word[option.len()..]) {
            b"" => before = Some(places),
            root => roots.push((root, places)),
        }
    }
    roots
}

/// The last component of a path that may end in slashes and dots.
fn last_of(mut path: &[u8]) -> &[u8] {
    while let Some(shorter) = path.strip_suffix(b"/").or_else(|| path.strip_suffix(b"/.")) {
        path = shorter;
    }
    name_of(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_options_name_roots() {
        let check = |command: &str, expected: &[(&str, usize)]| {
            let roots: Vec<_> = roots(command.split(' ').map(str::as_bytes))
                .into_iter()
                .map(|(root, places)| (String::from_utf8_lossy(root), places.len()))
                .collect();
            let expected: Vec<_> = expected.iter().map(|(root, places)| ((*root).into(), *places)).collect();
            assert_eq!(roots, expected, "{command}");
        };
        check("cc --sysroot=a -isysroot b -isysrootc --sysroot d", &[("a", 2), ("b", 2), ("c", 2), ("d", 2)]);
        check("cc -B a/ -Bb -I c -B", &[("a/", 1), ("b", 1)]);
        check("cc -I=/a -c a.c", &[]);
    }
}

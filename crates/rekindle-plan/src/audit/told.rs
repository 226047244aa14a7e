//! What a program was told of, by name, that came or went.
//!
//! A compiler looks for a directory that it is told of (`-I../over`) without opening it, and for nothing in it if it is not there.
//! So a name among its arguments counts as looked for.

use std::collections::{HashMap, HashSet};

use super::Orchestrator;
use super::groups::{Book, GroupId, Kind};
use super::rules::{Auditor, RunId};
use crate::observation::SourceChange;
use crate::trace::{Process, name_of, resolve};

/// Options of compilers that go before the name of a directory without a space.
const LONG_OPTIONS: &[&[u8]] = &[b"-isystem", b"-iquote", b"-idirafter"];

/// Paths that came or went.
pub(super) struct Names<'a> {
    pub(super) changes: HashMap<&'a [u8], &'a SourceChange>,
    /// Their last components.
    pub(super) lasts: HashSet<&'a [u8]>,
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
        exec.argv.iter().skip(1).find_map(|word| {
            // `dir`, `-Idir`, `-isystemdir`, `--from=dir`, `-Wl,-rpath,dir`, `dir:other`.
            let option = word.strip_prefix(b"-").and_then(|rest| rest.get(1..));
            let long = LONG_OPTIONS.iter().find_map(|option| word.strip_prefix(*option));
            let parts = word.split(|byte| matches!(byte, b'=' | b',' | b':'));
            std::iter::once(word).chain(option).chain(long).chain(parts).find_map(find)
        })
    }
}

/// The last component of a path that may end in slashes and dots.
fn last_of(mut path: &[u8]) -> &[u8] {
    while let Some(shorter) = path.strip_suffix(b"/").or_else(|| path.strip_suffix(b"/.")) {
        path = shorter;
    }
    name_of(path)
}

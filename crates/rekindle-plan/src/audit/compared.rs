//! Products that their maker, started again, found to be what it would have made, and left alone.
//!
//! What a program compares is its content, byte by byte. `diff` can be told to pass over something, and `cmp` to compare less than all.

use super::Orchestrator;
use super::groups::{Book, GroupId};
use super::rules::{Auditor, RunId, reads};
use crate::trace::{Access, Move, Process, ProcessId, Touch, Trace, name_of};

impl Auditor<'_> {
    /// Whether the one that made a product by giving a file its name was started again by a build tool, made that file anew,
    /// looked at the product, and left it as it is: it gives it the name only if there is a difference. That somebody looked at
    /// what he made himself and went on says nothing: he would not have found it in a clean build.
    pub(super) fn was_compared(&self, run: RunId, maker: GroupId, path: &[u8]) -> bool {
        let Some(above) = self.groups[run].started_by(maker).filter(|_| !self.facts.is_in_sources(path))
        else {
            return false;
        };
        if above == Orchestrator::Tracked(Book::Commands) {
            return self.was_run_again(run, maker, path);
        }
        let Some(identity) = self.identity(run, maker) else { return false };
        let then = self.trace(run);
        let is_its = |step: &&Move| {
            self.groups[run].of[step.process.at()] == maker && then.paths().get(step.to) == path
        };
        let names = then.moves().iter().filter(is_its).map(|step| then.paths().get(step.from));
        let names: Vec<&[u8]> = names.collect();
        (self.evidence.then.len()..self.runs()).any(|now| {
            let trace = self.trace(now);
            let of = &self.groups[now].of;
            let doers = |path: &[u8], does: fn(&Access) -> bool| {
                let accesses = trace.paths().find(path).into_iter().flat_map(|id| trace.accesses_to(id));
                let doers = accesses.filter(move |(_, access)| does(access)).map(|(process, _)| process);
                doers.filter(|process| self.identity(now, of[process.at()]) == Some(identity))
            };
            let makes = |access: &Access| access.touch.any(Touch::MAKES);
            let mut readers = doers(path, reads).peekable();
            readers.peek().is_some()
                && readers.all(|reader| {
                    let reader = trace.process(reader);
                    // A recipe of a plain make may look at it for another reason.
                    !passes_over(reader) && (above.is_tracked() || is_comparison(reader))
                })
                && names.iter().any(|name| doers(name, makes).next().is_some())
        })
    }

    /// Whether a process only compares a product with what it may be replaced by, and its group then replaces it: what is there then
    /// does not depend on what was there.
    pub(super) fn only_compares(
        &self,
        run: RunId,
        group: GroupId,
        process: &Process,
        access: &Access,
    ) -> bool {
        let trace = self.trace(run);
        let is_replaced = || {
            let is_its = |id: ProcessId| self.groups[run].of[id.at()] == group;
            let mut changes = trace.changes_to(access.path);
            changes.any(|(id, change)| {
                is_its(id) && change.touch.any(Touch::MAKES) && change.changed > access.observed
            })
        };
        is_comparison(process) && !passes_over(process) && !access.touch.changes() && is_replaced()
    }

    /// Whether the program that made a product was told the same again, looked at the product, and ended well.
    fn was_run_again(&self, run: RunId, maker: GroupId, path: &[u8]) -> bool {
        let then = self.trace(run);
        let Some(id) = then.paths().find(path) else { return false };
        let told = |trace: &Trace, process: ProcessId| {
            let exec = trace.process(process).exec.as_ref()?;
            Some((exec.argv_digest, trace.paths().get(exec.cwd).to_vec()))
        };
        let makers = then.changes_to(id).filter(|(process, _)| self.groups[run].of[process.at()] == maker);
        let makers: Vec<_> = makers.filter_map(|(process, _)| told(then, process)).collect();
        (self.evidence.then.len()..self.runs()).any(|now| {
            let trace = self.trace(now);
            let Some(id) = trace.paths().find(path) else { return false };
            let mut readers = trace.accesses_to(id).filter(|(_, access)| reads(access));
            readers.any(|(process, _)| {
                trace.process(process).exit == Some(0)
                    && told(trace, process).is_some_and(|told| makers.contains(&told))
            })
        })
    }
}

/// Whether a process does nothing but compare.
fn is_comparison(process: &Process) -> bool {
    let name = process.exec.as_ref().and_then(|exec| exec.argv.first()).map_or(&b""[..], name_of);
    matches!(name, b"cmp" | b"diff")
}

/// Whether a process is a comparison for which what differs may be equal.
fn passes_over(process: &Process) -> bool {
    let Some(exec) = &process.exec else { return false };
    let mut words = exec.argv.iter();
    match words.next().map(name_of) {
        Some(b"cmp") => compares_parts(words),
        Some(name) if name.ends_with(b"diff") => words.any(ignores),
        _ => false,
    }
}

/// Whether a word tells a `diff` to pass over something.
fn ignores(word: &[u8]) -> bool {
    match word.strip_prefix(b"--") {
        Some(long) => long.starts_with(b"ignore") || long.starts_with(b"strip"),
        None => word.starts_with(b"-") && word.iter().any(|letter| b"IiwbBEZ".contains(letter)),
    }
}

/// Whether a `cmp` that is told this compares less than all: `-n 4`, `--bytes=4`, `-i 4`, or how much to skip behind the files. All
/// options that do not only say what to print count.
fn compares_parts<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut files = 0;
    let mut are_files = false;
    words.any(|word| {
        let long = word.strip_prefix(b"--").filter(|_| !are_files);
        let short = word.strip_prefix(b"-").filter(|short| !are_files && !short.is_empty());
        match (long, short) {
            (Some(b""), _) => are_files = true,
            (Some(long), _) => return !matches!(long, b"silent" | b"quiet" | b"verbose" | b"print-bytes"),
            (None, Some(letters)) => return letters.iter().any(|letter| !b"slb".contains(letter)),
            (None, None) => files += 1,
        }
        files > 2
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_may_be_of_parts() {
        let check = |command: &str, expected: bool| {
            let words = command.split(' ').map(str::as_bytes);
            assert_eq!(compares_parts(words), expected, "{command}");
        };
        for all in [
            "a b",
            "-s a b",
            "-sl a b",
            "a b --quiet",
            "a",
            "- a",
            "-s -- -n b",
            "--silent --print-bytes a b",
        ] {
            check(all, false);
        }
        let parts = [
            "-n 4 a b",
            "-n4 a b",
            "-sn4 a b",
            "--bytes=4 a b",
            "--by=4 a b",
            "-i 4:0 a b",
            "a b --ignore-initial 4",
        ];
        for part in parts.into_iter().chain(["a b 4", "a b 0 4", "-s a b 4", "-- a b 4"]) {
            check(part, true);
        }
    }
}

//! Products that their maker, started again, found to be what it would have made, and left alone.

use super::Orchestrator;
use super::groups::{Book, GroupId};
use super::rules::{Auditor, RunId, reads};
use crate::trace::{Access, Move, ProcessId, Touch, Trace};

impl Auditor<'_> {
    /// Whether the one that made a product by giving a file its name was started again by who keeps book, made that file anew,
    /// looked at the product, and left it as it is: it gives it the name only if there is a difference. That somebody looked at
    /// what he made himself and went on says nothing: he would not have found it in a clean build.
    pub(super) fn was_compared(&self, run: RunId, maker: GroupId, path: &[u8]) -> bool {
        let book = match self.groups[run].started_by(maker) {
            Some(Orchestrator::Tracked(book)) if !self.facts.is_in_sources(path) => book,
            _ => return false,
        };
        if book == Book::Commands {
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
            let does = |path: &[u8], does: &dyn Fn(&Access) -> bool| {
                trace.paths().find(path).is_some_and(|id| {
                    let mut doers = trace.accesses_to(id).filter(|(_, access)| does(access));
                    doers.any(|(process, _)| self.identity(now, of[process.at()]) == Some(identity))
                })
            };
            let makes = Touch::CREATED.and(Touch::REPLACED);
            does(path, &reads) && names.iter().any(|name| does(name, &|access| access.touch.any(makes)))
        })
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

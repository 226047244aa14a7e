//! What a command puts into what it had made itself.
//!
//! `cp -r a b`, `mv a b` and `ln -s a b` make `b`; where there is one already, as a directory or a link to one, they make `b/a`. They
//! only look at `b` for that, which is not observed. So one that is started as it was in an earlier build, in which it made
//! what its last argument names, and that now makes something called as another of its arguments instead, has found what
//! it had left itself. In a clean build there is none.

use super::groups::Kind;
use super::rules::{Auditor, RunId};
use super::trace_facts::describe;
use super::{Finding, Rule};
use crate::observation::{ChangeKind, SourceChange};
use crate::trace::{Access, Process, Touch, name_of, resolve};

impl Auditor<'_> {
    /// Nobody has put anything into what he had made.
    pub(super) fn nests_nothing(&self) -> Result<(), Finding> {
        for run in self.evidence.then.len()..self.runs() {
            for (process, group) in self.trace(run).processes().iter().zip(&self.groups[run].of) {
                if self.groups[run].all[*group].kind != Kind::Task {
                    continue;
                }
                if let Some(path) = self.nested(run, process) {
                    let change = SourceChange { path: path.to_vec(), kind: ChangeKind::Added };
                    let who = describe(self.trace(run), process);
                    return Err(Finding { rule: Rule::Nested, change, who, product: None });
                }
            }
        }
        Ok(())
    }

    /// What a process put into what it had made.
    fn nested(&self, run: RunId, process: &Process) -> Option<&[u8]> {
        let paths = self.trace(run).paths();
        let exec = process.exec.as_ref()?;
        let operands = exec.argv.iter().skip(1).filter(|word| !word.starts_with(b"-"));
        let operands: Vec<&[u8]> = operands.collect();
        let (last, others) = operands.split_last().filter(|(_, others)| !others.is_empty())?;
        let place = resolve(paths.get(exec.cwd), last);
        let is_called_so = |path: &[u8]| others.iter().any(|other| name_of(other) == name_of(path));
        let made = process.accesses.iter().filter(|access| makes(access));
        let made = made.map(|access| paths.get(access.path));
        let path = made.clone().find(|path| *path != place && is_called_so(path))?;
        if !self.facts.exists(&place) || made.into_iter().any(|path| *path == place[..]) {
            return None;
        }
        self.like_one(run, process, |then, id| {
            let trace = self.trace(then);
            let made_then = |path: &[u8]| {
                let access = trace.paths().find(path).and_then(|path| trace.process(id).access(path));
                access.is_some_and(makes)
            };
            made_then(&place) && !made_then(path)
        })?;
        Some(path)
    }
}

fn makes(access: &Access) -> bool {
    access.touch.any(Touch::MAKES)
}

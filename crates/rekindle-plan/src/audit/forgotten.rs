//! What those that keep book made, and are told no more to make, or otherwise without noticing it.

use std::collections::{BTreeMap, BTreeSet};

use super::groups::{Book, GroupId, Kind, is_ninjas_book};
use super::rules::{Auditor, Hit, RunId};
use super::trace_facts::describe;
use super::{Call, Finding, Removal, Rule};

impl<'a> Auditor<'a> {
    /// What a tracked orchestrator made and is told no more to make is made by nobody.
    ///
    /// # Errors
    /// If that is what tells it what to make: without it nothing could be made again.
    pub(super) fn forget(
        &mut self,
        run: RunId,
        group: GroupId,
        hit: &Hit<'a>,
        book: Book,
    ) -> Result<(), Finding> {
        let commands = self.commands(run, group, book);
        let mut products: BTreeMap<GroupId, Vec<(GroupId, Vec<u8>)>> = BTreeMap::new();
        for (maker, path) in self.products_of(run, &commands.keys().copied().collect()) {
            products.entry(commands[&maker]).or_default().push((maker, path));
        }
        let descriptions = self.descriptions(run, hit.process);
        let (call, now) = (self.call(run, group), self.evidence.rounds.len());
        let is_asked = |path: &[u8]| call.is_some_and(|call| self.facts.is_asked_of_ninja(call, path));
        let tells_ninja = |path: &[u8]| call.is_some_and(|call| self.facts.tells_ninja(now, call, path));
        let made_manifests = match book {
            Book::Names => self.makers_of(run, &commands, &tells_ninja),
            _ => BTreeSet::new(),
        };
        for (command, mut products) in products {
            // What another command has touched since is that one's: that it is described says nothing about this one.
            products.retain(|(maker, path)| !self.is_taken_over(run, *maker, path));
            let any = |test: &dyn Fn(&[u8]) -> bool| products.iter().any(|(_, path)| test(path));
            let made_manifest = made_manifests.contains(&command);
            let is_kept = match book {
                Book::Own | Book::Commands => true,
                // If what it tells ninja was made anew, so was all that this does not leave alone for a reason.
                Book::Names => any(&is_asked) || (made_manifest && !any(&tells_ninja)),
                Book::Recipes => !any(&|path| self.facts.has_other_recipe(&descriptions, path)),
            };
            if is_kept {
                continue;
            }
            if book == Book::Names {
                products.retain(|(maker, path)| !self.was_compared(run, *maker, path));
            }
            let Some((_, product)) = products.first() else { continue };
            let finding = Finding {
                rule: Rule::Forgotten,
                change: hit.change.clone(),
                who: describe(self.trace(run), hit.process),
                product: (!made_manifest).then(|| product.clone()),
            };
            if made_manifest {
                return Err(finding);
            }
            self.findings.push(finding);
            for (maker, path) in products {
                let removal = Removal { path: path.clone(), is_tracked: true, maker: (run, maker) };
                self.failing.entry(path).or_insert(removal);
            }
        }
        Ok(())
    }

    /// Whether a ninja was told by this file what to make, however it came to be what it is.
    pub(super) fn was_told_by(&self, run: RunId, group: GroupId, path: &[u8]) -> bool {
        !is_ninjas_book(path)
            && !self.is_advice(path)
            && self.call(run, group).is_some_and(|call| self.facts.tells_ninja(0, call, path))
    }

    /// Of each group that a command of an orchestrator has started, that command: another `make`, say, and what that started.
    fn commands(&self, run: RunId, group: GroupId, book: Book) -> BTreeMap<GroupId, GroupId> {
        let mut commands: BTreeMap<GroupId, GroupId> = BTreeMap::new();
        for (id, below) in self.groups[run].all.iter().enumerate() {
            let Some(parent) = below.parent else { continue };
            let has_own_book = matches!(below.kind, Kind::Orchestrator(found) if found.is_tracked());
            if has_own_book && book != Book::Names {
                continue;
            }
            match commands.get(&parent) {
                _ if parent == group => commands.insert(id, id),
                Some(command) => commands.insert(id, *command),
                None => None,
            };
        }
        commands
    }

    /// Those commands that made one of these, whatever has become of it.
    fn makers_of(
        &self,
        run: RunId,
        commands: &BTreeMap<GroupId, GroupId>,
        is_one: &dyn Fn(&[u8]) -> bool,
    ) -> BTreeSet<GroupId> {
        let (trace, of) = (self.trace(run), &self.groups[run].of);
        let mut makers = BTreeSet::new();
        for (process, group) in trace.processes().iter().zip(of) {
            let Some(command) = commands.get(group) else { continue };
            let mut changed = process.accesses.iter().filter(|access| access.touch.changes());
            if changed.any(|access| is_one(trace.paths().get(access.path))) {
                makers.insert(*command);
            }
        }
        for step in trace.moves() {
            if let Some(command) = commands.get(&of[step.process.at()])
                && is_one(trace.paths().get(step.to))
            {
                makers.insert(*command);
            }
        }
        makers
    }

    /// How an orchestrator was called.
    fn call(&self, run: RunId, group: GroupId) -> Option<Call<'a>> {
        let trace = self.trace(run);
        let exec = trace.process(self.groups[run].all[group].leader).exec.as_ref()?;
        Some(Call { exec, cwd: trace.paths().get(exec.cwd) })
    }
}

//! What was built with an output that turned out to be another than a clean build gives.
//!
//! Its path stays the same when it is replaced, so neither the store nor a recipe key shows that its users saw something else. They
//! are found by their derivations: what is valid of theirs is noted to be wrong, and their checkpoints go into quarantine. The next
//! build that wants them makes them again, clean.
//!
//! Users whose derivation is not remembered, because nothing of theirs was left at a collection, are not found.

use std::collections::{BTreeMap, BTreeSet};

use rekindle_nix::{Derivation, StorePath};

use crate::continuation::package_of;
use crate::engine::Engine;
use crate::error::Error;
use crate::provenance::Provenance;

/// What became of the users of something.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct RefutedUsers {
    /// Their derivations, of which an output is wrong now.
    pub(crate) drvs: Vec<StorePath>,
    /// How many of their checkpoints went into quarantine.
    pub(crate) quarantined: usize,
}

impl Engine {
    /// Notes that what used this derivation's outputs, directly or not, is wrong. `base` is the checkpoint that those went on from.
    pub(crate) fn refute_users(&self, of: &StorePath, base: &str) -> Result<RefutedUsers, Error> {
        let mut refuted = RefutedUsers::default();
        let noted = self.provenances();
        let mut packages = BTreeSet::new();
        for (path, drv) in self.users(of) {
            let mut is_wrong = false;
            for output in drv.outputs.values().filter_map(|output| output.path()) {
                // Of what came from elsewhere nothing is known, and so it stays.
                if self.store().is_valid(output)? && noted.read(output).is_some() {
                    noted.write(output, &Provenance::Wrong { base: base.to_owned() })?;
                    is_wrong = true;
                }
            }
            refuted.drvs.extend(is_wrong.then_some(path));
            packages.insert(package_of(&drv));
        }
        for (package, system) in packages {
            refuted.quarantined += self.checkpoints().quarantine(&package, &system)?;
        }
        Ok(refuted)
    }

    /// The derivations that are known and need this one, directly or not.
    fn users(&self, of: &StorePath) -> BTreeMap<StorePath, Derivation> {
        let remembered = self.remembered();
        let read = |path: StorePath| Some((remembered.read(&path, self.store().store_dir())?, path));
        let mut others: Vec<(Derivation, StorePath)> =
            remembered.all().into_iter().filter(|path| path != of).filter_map(read).collect();
        let mut users: BTreeMap<StorePath, Derivation> = BTreeMap::new();
        loop {
            let uses =
                |drv: &Derivation| drv.input_drvs.keys().any(|path| path == of || users.contains_key(path));
            let (found, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|(drv, _)| uses(drv));
            if found.is_empty() {
                return users;
            }
            others = rest;
            users.extend(found.into_iter().map(|(drv, path)| (path, drv)));
        }
    }
}

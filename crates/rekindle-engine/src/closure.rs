//! The derivations that a build has to go through, with what they need of each other.
//!
//! A derivation whose wanted outputs are valid is a leaf that needs nothing. Only what is to be built is read and
//! checked: `.drv` files are hostile input, and one with a wrong output path would put one thing under the name of
//! another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rekindle_nix::{Derivation, DerivationKind, ModuloMemo, OutputName, StorePath};
use rekindle_plan::{Graph, GraphBuilder, UnitId};
use rekindle_store::Store;

use crate::engine::Engine;
use crate::error::Error;
use crate::fetch::FetchRequest;
use crate::provenance::Trust;

/// A derivation to be built or fetched.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) path: StorePath,
    pub(crate) drv: Arc<Derivation>,
}

/// All of them, and their order.
#[derive(Debug)]
pub(crate) struct Closure {
    pub(crate) units: Vec<Unit>,
    pub(crate) graph: Graph,
    /// How many derivations needed nothing, as far as they were looked at.
    pub(crate) valid: usize,
}

impl Closure {
    pub(crate) fn unit(&self, id: UnitId) -> &Unit {
        &self.units[id.index()]
    }

    /// Finds what has to be done for all outputs of `goals`.
    pub(crate) fn load(engine: &Engine, goals: &[StorePath], trust: Trust) -> Result<Closure, Error> {
        let store = engine.store();
        let mut loader = Loader { engine, units: Vec::new(), ids: BTreeMap::new(), valid: BTreeSet::new() };
        let mut builder = GraphBuilder::new();
        let mut pending: Vec<(Option<UnitId>, StorePath, Option<BTreeSet<OutputName>>)> =
            goals.iter().rev().map(|goal| (None, goal.clone(), None)).collect();
        while let Some((user, path, wanted)) = pending.pop() {
            let unit = match loader.ids.get(&path) {
                Some(unit) => *unit,
                None => {
                    let drv = engine.derivation(&path)?;
                    if all_valid(engine, (&path, &drv), wanted.as_ref(), trust)? {
                        loader.valid.insert(path);
                        continue;
                    }
                    check_supported(store, &path, &drv)?;
                    let unit = builder.add_unit();
                    for (input, outputs) in &drv.input_drvs {
                        pending.push((Some(unit), input.clone(), Some(outputs.clone())));
                    }
                    loader.ids.insert(path.clone(), unit);
                    loader.units.push(Unit { path, drv });
                    unit
                }
            };
            if let Some(user) = user {
                builder.add_need(user, unit);
            }
        }
        loader.check_output_paths()?;
        let graph = builder
            .finish()
            .map_err(|cycle| Error::usage("the derivations need each other in a ring").caused_by(cycle))?;
        Ok(Closure { units: loader.units, graph, valid: loader.valid.len() })
    }
}

impl Closure {
    /// These derivations and nothing that they need, whether or not their outputs are valid.
    pub(crate) fn alone(engine: &Engine, goals: &[StorePath]) -> Result<Closure, Error> {
        let mut loader = Loader { engine, units: Vec::new(), ids: BTreeMap::new(), valid: BTreeSet::new() };
        for path in goals {
            if loader.units.iter().all(|unit| unit.path != *path) {
                let drv = engine.derivation(path)?;
                check_supported(engine.store(), path, &drv)?;
                loader.units.push(Unit { path: path.clone(), drv });
            }
        }
        loader.check_output_paths()?;
        Closure::of_units(loader.units)
    }

    /// Derivations that were checked and need nothing of each other.
    pub(crate) fn of_units(units: Vec<Unit>) -> Result<Closure, Error> {
        let mut builder = GraphBuilder::new();
        units.iter().for_each(|_| _ = builder.add_unit());
        let graph = builder
            .finish()
            .map_err(|cycle| Error::usage("the derivations need each other in a ring").caused_by(cycle))?;
        Ok(Closure { units, graph, valid: 0 })
    }
}

struct Loader<'a> {
    engine: &'a Engine,
    units: Vec<Unit>,
    ids: BTreeMap<StorePath, UnitId>,
    valid: BTreeSet<StorePath>,
}

impl Loader<'_> {
    fn check_output_paths(&self) -> Result<(), Error> {
        let mut memo = ModuloMemo::new();
        let store_dir = self.engine.store().store_dir();
        let mut load = |path: &StorePath| -> Result<Derivation, Problem> {
            Ok(Derivation::clone(&*self.engine.derivation(path).map_err(Problem::Engine)?))
        };
        for unit in &self.units {
            unit.drv
                .check_output_paths(store_dir, &mut |input| memo.hash_as_input(store_dir, input, &mut load))
                .map_err(|problem| match problem {
                    Problem::Engine(error) => error,
                    Problem::Format(error) => {
                        Error::usage(format!("the derivation {} is not sound", store_dir.display(&unit.path)))
                            .caused_by(error)
                    }
                })?;
        }
        Ok(())
    }
}

enum Problem {
    Engine(Error),
    Format(rekindle_nix::Error),
}

impl From<rekindle_nix::Error> for Problem {
    fn from(error: rekindle_nix::Error) -> Problem {
        Problem::Format(error)
    }
}

fn all_valid(
    engine: &Engine,
    (path, drv): (&StorePath, &Derivation),
    wanted: Option<&BTreeSet<OutputName>>,
    trust: Trust,
) -> Result<bool, Error> {
    if let Some(unknown) = wanted.into_iter().flatten().find(|output| !drv.outputs.contains_key(*output)) {
        let drv = engine.store().store_dir().display(path);
        return Err(Error::usage(format!("{drv} has no output called \"{unknown}\"")));
    }
    for (name, output) in &drv.outputs {
        if wanted.is_some_and(|wanted| !wanted.contains(name)) {
            continue;
        }
        match output.path() {
            Some(path) if engine.is_good(path, trust)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// The platform of this program: what a derivation must say to be built here.
pub(crate) fn this_system() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

fn check_supported(store: &Store, path: &StorePath, drv: &Derivation) -> Result<(), Error> {
    let shown = store.store_dir().display(path);
    let kind = drv.kind().map_err(|error| Error::usage(format!("cannot build {shown}")).caused_by(error))?;
    if !matches!(kind, DerivationKind::InputAddressed | DerivationKind::Fixed) {
        return Err(Error::usage(format!(
            "cannot build {shown}: its output paths are not known beforehand (content-addressed derivations are \
             not supported yet)"
        )));
    }
    if drv.has_structured_attrs() {
        return Err(Error::usage(format!(
            "cannot build {shown}: structured attributes are not supported yet"
        )));
    }
    let fetched = FetchRequest::of(drv).is_some();
    if fetched && kind != DerivationKind::Fixed {
        return Err(Error::usage(format!(
            "cannot build {shown}: a fetch must say the hash of what it fetches"
        )));
    }
    let system = this_system();
    if !fetched && drv.system != system.as_bytes() {
        return Err(Error::usage(format!(
            "cannot build {shown}: it is for {}, and this machine is {system}",
            String::from_utf8_lossy(&drv.system)
        )));
    }
    Ok(())
}

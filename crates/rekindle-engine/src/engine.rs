//! The engine: one store, and everything that is done with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rekindle_layers::LayerStore;
use rekindle_nix::{Derivation, OutputName, StorePath};
use rekindle_plan::audit::Rules;
use rekindle_plan::{Finish, Queue, UnitId};
use rekindle_sandbox::{Cancel, Sandbox};
use rekindle_store::{Mode, Store};

use crate::canary;
use crate::checkpoint::{Checkpoints, NamedBase};
use crate::closure::Closure;
use crate::continuation::package_of;
use crate::error::Error;
use crate::event::{BuildResult, Event};
use crate::fetch::{FetchRequest, Fetcher};
use crate::host::Hosts;
use crate::job::{Job, Purpose};
use crate::offered::Offered;
use crate::owner::check_owner;
use crate::provenance::{Provenances, Trust};
use crate::recipes::Sight;
use crate::remembered::Remembered;
use crate::source::SourceMemory;
use crate::toolchain::Toolchain;

/// Rekindle's own directory beside `nix`, with the version of what is in it.
pub(crate) const OWN_DIR: &str = "rekindle-1";

/// Where an engine works.
#[derive(Debug, Clone)]
pub struct Config {
    /// The root of the store: what lies above `nix/store`.
    pub store_root: PathBuf,
    /// The program that the sandbox executes again as its helper; its `main` begins with
    /// [`rekindle_sandbox::child_main`].
    pub helper: PathBuf,
}

/// How to build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// How many derivations at a time; at least one.
    pub jobs: usize,
    /// What each builder is told about how many processes it may run at a time.
    pub cores: usize,
    /// Whether the tree of a build that failed is kept.
    pub keep_failed: bool,
    /// Whether a failure stops only what needs it.
    pub keep_going: bool,
    /// Whether the outputs lie at their final paths from the start.
    pub exact_path: bool,
    /// Whether derivations that have phases are built phase by phase.
    pub phased: bool,
    /// Whether nothing of an earlier build is taken, nor an output that did so for one that is there.
    pub clean: bool,
    /// The checkpoint that the build of its package starts from, instead of the best one.
    pub base: Option<NamedBase>,
    /// Whether the processes of steps are observed. Without it no step goes on from what it left.
    pub observe: bool,
    /// By which rules a step is audited that went on: all of them.
    pub rules: Rules,
    /// How much of an attribute each phase sees; without it, everything.
    pub sight: Option<Sight>,
    /// The host's toolchains, for derivations that ask for one of them by its identity.
    pub toolchains: Vec<Toolchain>,
    /// The longest time that one step may take.
    pub time_limit: Option<Duration>,
    /// The longest time that a step may print nothing.
    pub idle_limit: Option<Duration>,
}

impl BuildOptions {
    pub(crate) fn trust(&self) -> Trust {
        Trust::of_build(self.clean)
    }
}

/// What a build would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Derivations to build, each after what it needs.
    pub to_build: Vec<StorePath>,
    /// Derivations to fetch.
    pub to_fetch: Vec<StorePath>,
    /// How many derivations need nothing, as far as they were looked at.
    pub valid: usize,
}

/// What a build did.
#[derive(Debug, Clone)]
pub struct Report {
    /// Each derivation that was not valid, in the order in which they ended.
    pub results: Vec<(StorePath, BuildResult)>,
    /// The outputs of each goal that is valid now.
    pub outputs: BTreeMap<StorePath, BTreeMap<OutputName, StorePath>>,
}

/// A store, and what is needed to build into it.
#[derive(Debug)]
pub struct Engine {
    store: Store,
    layers: LayerStore,
    sandbox: Sandbox,
    memory: SourceMemory,
    checkpoints: Checkpoints,
    /// Sources and derivations that need not be in the store.
    offered: Mutex<Offered>,
    /// Whether it turned out that overlays cannot be mounted here.
    cannot_stack: AtomicBool,
    own_dir: PathBuf,
}

impl Engine {
    /// Opens the store and makes it if it is not there. Sweeps what killed processes left.
    ///
    /// # Errors
    /// A store of an unknown version, a disk that is full or that may not be written.
    pub fn open(config: Config) -> Result<Engine, Error> {
        check_owner(&config.store_root.join(OWN_DIR))?;
        let store = Store::open(&config.store_root, Mode::ReadWrite)?;
        let own_dir = store.root().join(OWN_DIR);
        fs::create_dir_all(&own_dir).map_err(|error| Error::io("make the directory", &own_dir, error))?;
        let layers = LayerStore::open(&own_dir.join("layers"))?;
        layers.sweep()?;
        let memory = SourceMemory::open(&own_dir.join("sources"))?;
        let checkpoints = Checkpoints::open(own_dir.join("checkpoints"))?;
        let sandbox = Sandbox::with_helper(config.helper);
        Ok(Engine {
            store,
            layers,
            sandbox,
            memory,
            checkpoints,
            offered: Mutex::default(),
            cannot_stack: AtomicBool::new(false),
            own_dir,
        })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Says what [`Engine::build`] would do; `clean` is as in [`BuildOptions`].
    ///
    /// # Errors
    /// As for [`Engine::build`].
    pub fn plan(&self, goals: &[StorePath], clean: bool) -> Result<Planned, Error> {
        let closure = Closure::load(self, goals, Trust::of_build(clean))?;
        let mut planned = Planned { to_build: Vec::new(), to_fetch: Vec::new(), valid: closure.valid };
        let mut queue = Queue::new(&closure.graph, true);
        while let Some(id) = queue.start_next() {
            let unit = closure.unit(id);
            match FetchRequest::of(&unit.drv) {
                Some(_) => planned.to_fetch.push(unit.path.clone()),
                None => planned.to_build.push(unit.path.clone()),
            }
            queue.finish(id, Finish::Done);
        }
        Ok(planned)
    }

    /// Builds all outputs of `goals`, which are `.drv` files in the store. A derivation that fails is part of the
    /// report, not an error.
    ///
    /// # Errors
    /// A goal that is not there, a derivation that is not sound or cannot be built on this machine.
    pub fn build(
        &self,
        goals: &[StorePath],
        options: &BuildOptions,
        fetcher: &dyn Fetcher,
        events: &(dyn Fn(Event) + Sync),
        cancel: &Cancel,
    ) -> Result<Report, Error> {
        for goal in goals {
            self.store.add_temp_root(goal)?;
        }
        let closure = self.closure(goals, options.trust())?;
        self.check_base(goals, &closure, options)?;
        let to_build = closure.units.iter().map(|unit| unit.path.clone()).collect();
        events(Event::Planned { to_build, valid: closure.valid });
        let results = self.run_queue(&closure, Purpose::Build, options, fetcher, events, cancel);
        Ok(Report { results, outputs: self.valid_outputs(goals)? })
    }

    /// What has to be built for `goals`, kept from being collected.
    pub(crate) fn closure(&self, goals: &[StorePath], trust: Trust) -> Result<Closure, Error> {
        let closure = Closure::load(self, goals, trust)?;
        for unit in &closure.units {
            for path in unit.drv.outputs.values().filter_map(|output| output.path()) {
                self.store.add_temp_root(path)?;
            }
        }
        Ok(closure)
    }

    /// Looks whether the checkpoint that the user named is of anything that the user asked for.
    pub(crate) fn check_base(
        &self,
        goals: &[StorePath],
        closure: &Closure,
        options: &BuildOptions,
    ) -> Result<(), Error> {
        let Some(base) = &options.base else { return Ok(()) };
        let is_of = |drv: &Derivation| package_of(drv) == (base.package.clone(), base.system.clone());
        let mut found = closure.units.iter().any(|unit| is_of(&unit.drv));
        for goal in goals {
            let drv = self.derivation(goal)?;
            found |= is_of(&drv);
        }
        if found {
            return Ok(());
        }
        let NamedBase { id, package, system } = base;
        Err(Error::usage(format!(
            "the checkpoint {id} is of {package} for {system}, which is not what is to be built; \
             `rekindle checkpoint list` says which there are"
        )))
    }

    pub(crate) fn run_queue(
        &self,
        closure: &Closure,
        purpose: Purpose,
        options: &BuildOptions,
        fetcher: &dyn Fetcher,
        events: &(dyn Fn(Event) + Sync),
        cancel: &Cancel,
    ) -> Vec<(StorePath, BuildResult)> {
        if !closure.units.is_empty() {
            // It waits for the disk. The build does not wait for it, nor does the end of the program.
            let checkpoints = self.checkpoints.clone();
            thread::spawn(move || checkpoints.settle(canary::now().secs));
        }
        let mut results = Vec::new();
        let mut queue = Queue::new(&closure.graph, options.keep_going);
        let (sender, receiver) = mpsc::channel::<(UnitId, BuildResult)>();
        thread::scope(|scope| {
            loop {
                if cancel.is_cancelled() {
                    queue.stop();
                }
                while queue.running() < options.jobs.max(1)
                    && let Some(id) = queue.start_next()
                {
                    let (unit, sender) = (closure.unit(id), sender.clone());
                    scope.spawn(move || {
                        let job = Job { engine: self, unit, purpose, options, fetcher, events, cancel };
                        // The loop below waits for exactly one message of each job that it started.
                        let _ = sender.send((id, job.run()));
                    });
                }
                if queue.is_over() {
                    break;
                }
                let Ok((id, result)) = receiver.recv() else { break };
                let failed = matches!(result, BuildResult::Failed(_));
                results.push((closure.unit(id).path.clone(), result));
                let finish = if failed { Finish::Failed } else { Finish::Done };
                for abandoned in queue.finish(id, finish) {
                    results.push((closure.unit(abandoned).path.clone(), BuildResult::Abandoned));
                }
            }
        });
        results
    }

    pub(crate) fn valid_outputs(
        &self,
        goals: &[StorePath],
    ) -> Result<BTreeMap<StorePath, BTreeMap<OutputName, StorePath>>, Error> {
        let mut outputs = BTreeMap::new();
        for goal in goals {
            let drv = self.derivation(goal)?;
            let mut valid = BTreeMap::new();
            for (name, output) in &drv.outputs {
                if let Some(path) = output.path()
                    && self.is_good(path, Trust::Unrefuted)?
                {
                    valid.insert(name.clone(), path.clone());
                }
            }
            if valid.len() == drv.outputs.len() {
                outputs.insert(goal.clone(), valid);
            }
        }
        Ok(outputs)
    }

    pub(crate) fn remembered(&self) -> Remembered {
        Remembered::of(self.store.root())
    }

    /// What need not be in the store.
    pub(crate) fn offered(&self) -> MutexGuard<'_, Offered> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn memory(&self) -> &SourceMemory {
        &self.memory
    }

    pub(crate) fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Whether an output is valid, and taken as it is.
    pub(crate) fn is_good(&self, output: &StorePath, trust: Trust) -> Result<bool, Error> {
        Ok(self.store.is_valid(output)? && !self.provenances().is_to_be_replaced(output, trust))
    }

    /// How outputs came about.
    pub fn provenances(&self) -> Provenances {
        Provenances::of(self.store.root())
    }

    /// Whether it turned out that overlays cannot be mounted here.
    pub(crate) fn cannot_stack(&self) -> bool {
        self.cannot_stack.load(Ordering::Relaxed)
    }

    /// Notes that they cannot; true for the first to do so.
    pub(crate) fn note_cannot_stack(&self) -> bool {
        !self.cannot_stack.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn layers(&self) -> &LayerStore {
        &self.layers
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// What is kept of the host.
    pub(crate) fn hosts(&self) -> Hosts {
        Hosts::of(&self.own_dir)
    }

    pub(crate) fn failed_dir(&self) -> PathBuf {
        self.own_dir.join("failed")
    }
}

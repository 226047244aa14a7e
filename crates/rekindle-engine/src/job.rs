//! One derivation, from the lock on its outputs to their registration.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rekindle_layers::{MaterialiseOptions, View, materialise, remove_tree};
use rekindle_nix::{Derivation, DerivationKind, StorePath};
use rekindle_sandbox::{Cancel, Limits};
use rekindle_store::OutputLocks;

use crate::attempt::{Attempt, Mode, Outcome, Watch};
use crate::closure::Unit;
use crate::engine::{BuildOptions, Engine};
use crate::error::Error;
use crate::event::{BuildResult, Event, Failure, FailureKind, RestartReason, StepUsage};
use crate::fetch::{FetchRequest, Fetcher};
use crate::outputs::{Collected, Collector};
use crate::scratch::OutputPaths;
use crate::transcript::Transcript;
use crate::world::{TREE_BUILD, TREE_STORE, World};

/// How often to look whether another process is done with the same outputs.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// A derivation that is being built, and what it takes.
pub(crate) struct Job<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) unit: &'a Unit,
    pub(crate) options: &'a BuildOptions,
    pub(crate) fetcher: &'a dyn Fetcher,
    pub(crate) events: &'a (dyn Fn(Event) + Sync),
    pub(crate) cancel: &'a Cancel,
}

impl Job<'_> {
    /// Does it all. Whatever stands in the way is part of the result.
    pub(crate) fn run(&self) -> BuildResult {
        let started = Instant::now();
        let result = self.try_run().unwrap_or_else(|error| {
            let kind = FailureKind::Environment(error.one_line());
            BuildResult::Failed(Failure { phase: None, kind, tail: Vec::new(), log: None, kept: None })
        });
        let wall = started.elapsed();
        self.tell(Event::Finished { drv: self.drv_path().clone(), result: result.clone(), wall });
        result
    }

    fn try_run(&self) -> Result<BuildResult, Error> {
        let store = self.engine.store();
        let outputs = self.output_paths()?;
        let paths: Vec<StorePath> = outputs.iter().map(|output| output.final_path.clone()).collect();
        let Some(locks) = self.lock(&paths)? else {
            let kind = FailureKind::Cancelled;
            let failure = Failure { phase: None, kind, tail: Vec::new(), log: None, kept: None };
            return Ok(BuildResult::Failed(failure));
        };
        let mut valid = true;
        for path in &paths {
            valid &= store.is_valid(path)?;
        }
        if valid {
            return Ok(BuildResult::AlreadyValid);
        }
        let request = FetchRequest::of(self.drv());
        self.tell(Event::Started { drv: self.drv_path().clone(), fetch: request.is_some() });
        let inputs = self.input_closure()?;
        let collector = Collector {
            store,
            locks: &locks,
            drv_path: self.drv_path(),
            drv: self.drv(),
            outputs: &outputs,
            inputs: &inputs,
        };
        let done = match request {
            Some(request) => self.fetch(&request, &collector)?,
            None => self.build(&collector, &outputs, &inputs)?,
        };
        let registrations = match done {
            Done::Installed(registrations) => registrations,
            Done::Failed(failure) => return Ok(BuildResult::Failed(failure)),
        };
        if let Err(error) = store.register(registrations) {
            // Outputs that refer to each other in a ring: nothing is wrong with the store.
            if error.kind() != rekindle_store::ErrorKind::Malformed {
                return Err(error.into());
            }
            let kind = FailureKind::Refused(Error::from(error).one_line());
            let failure = Failure { phase: None, kind, tail: Vec::new(), log: None, kept: None };
            return Ok(BuildResult::Failed(failure));
        }
        Ok(if request.is_some() { BuildResult::Fetched } else { BuildResult::Built })
    }

    fn fetch(&self, request: &FetchRequest<'_>, collector: &Collector<'_>) -> Result<Done, Error> {
        let staging = self.engine.store().staging()?;
        let dest = staging.path().join("output");
        let failed = |kind| Failure { phase: None, kind, tail: Vec::new(), log: None, kept: None };
        if let Err(message) = self.fetcher.fetch(request, &dest, self.cancel) {
            return Ok(Done::Failed(failed(FailureKind::Refused(message))));
        }
        match collector.take_fetched(staging)? {
            Collected::Installed(registrations) => Ok(Done::Installed(registrations)),
            Collected::Failed(kind) => Ok(Done::Failed(failed(kind))),
            Collected::Restart(_) => unreachable!("a fetch knows no scratch path"),
        }
    }

    fn build(
        &self,
        collector: &Collector<'_>,
        outputs: &[OutputPaths],
        inputs: &[StorePath],
    ) -> Result<Done, Error> {
        let toolchain = self.engine.toolchain_for(self.drv(), self.options)?;
        // Only what is checked against a hash may see the network, and it has only its final path.
        let fixed = self.drv().kind().is_ok_and(|kind| kind == DerivationKind::Fixed);
        let world = World {
            store: self.engine.store(),
            drv: self.drv(),
            inputs,
            toolchain,
            cores: self.options.cores,
            limits: Limits { time: self.options.time_limit, idle: self.options.idle_limit },
            network: fixed,
        };
        let mut mode = Mode {
            phased: self.options.phased && follows_phases(self.drv()),
            exact: self.options.exact_path || fixed,
        };
        loop {
            let log = self.engine.store().log_writer(self.drv_path())?;
            let transcript = Transcript::new(log, |line| {
                self.tell(Event::Output { drv: self.drv_path().clone(), line });
            });
            let mut attempt =
                Attempt::new(&world, self.engine.layers(), self.engine.sandbox(), outputs, mode)?;
            let mut watcher = Watcher { job: self, transcript: RefCell::new(transcript) };
            let outcome = attempt.run(&mut watcher, self.cancel);
            let (log, tail) = watcher.transcript.into_inner().finish()?;
            let failure = |phase, kind, attempt: &Attempt<'_>| -> Result<Done, Error> {
                let kept = if self.options.keep_failed { Some(self.keep(attempt)?) } else { None };
                Ok(Done::Failed(Failure { phase, kind, tail: tail.clone(), log: Some(log.clone()), kept }))
            };
            match outcome? {
                Outcome::Restart { reason, mode: other } => {
                    mode = other;
                    if let Some(reason) = reason {
                        self.restarted(reason);
                    }
                }
                Outcome::Failed { phase, kind } => return failure(phase, kind, &attempt),
                Outcome::Built => {
                    attempt.unlock(TREE_STORE)?;
                    match collector.take_from_tree(&attempt.tree(), attempt.placement(), mode.exact)? {
                        Collected::Installed(registrations) => return Ok(Done::Installed(registrations)),
                        Collected::Failed(kind) => return failure(None, kind, &attempt),
                        Collected::Restart(reason) => {
                            mode.exact = true;
                            self.restarted(reason);
                        }
                    }
                }
            }
        }
    }

    /// Writes the build tree of a failed attempt out, with the environment of the builder beside it.
    fn keep(&self, attempt: &Attempt<'_>) -> Result<PathBuf, Error> {
        let kept = self.engine.failed_dir().join(self.drv_path().base_name());
        remove_tree(&kept)?;
        fs::create_dir_all(&kept).map_err(|error| Error::io("make the directory", &kept, error))?;
        attempt.unlock(TREE_BUILD)?;
        let view = View::of_layers(&attempt.tree(), Path::new(TREE_BUILD))?;
        materialise(&view, &kept.join("build"), &MaterialiseOptions { substitute: Vec::new() })?;
        let variables = kept.join("env-vars");
        let mut script = Vec::new();
        for (name, value) in attempt.environment() {
            let is_name = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
            if is_name && !name.first().is_none_or(u8::is_ascii_digit) {
                script.extend(b"declare -x ");
                script.extend(&name);
                script.push(b'=');
                script.extend(crate::shell_state::single_quoted(&value));
                script.push(b'\n');
            }
        }
        fs::write(&variables, script).map_err(|error| Error::io("write", &variables, error))?;
        Ok(kept)
    }

    /// Waits until nobody else makes the outputs; `None` if the build was stopped meanwhile.
    fn lock(&self, paths: &[StorePath]) -> Result<Option<OutputLocks>, Error> {
        let mut told = false;
        loop {
            if let Some(locks) = self.engine.store().try_lock_outputs(paths)? {
                return Ok(Some(locks));
            }
            if !std::mem::replace(&mut told, true) {
                self.tell(Event::Waiting { drv: self.drv_path().clone() });
            }
            if self.cancel.is_cancelled() {
                return Ok(None);
            }
            thread::sleep(LOCK_POLL);
        }
    }

    fn output_paths(&self) -> Result<Vec<OutputPaths>, Error> {
        let paths = self.drv().outputs.iter().map(|(name, output)| {
            let unknown = || Error::usage(format!("the path of output {name} is not known"));
            let path = output.path().ok_or_else(unknown)?;
            OutputPaths::new(name.clone(), path.clone())
        });
        paths.collect()
    }

    /// All store paths that the builder may see.
    fn input_closure(&self) -> Result<Vec<StorePath>, Error> {
        let store = self.engine.store();
        let mut direct: Vec<StorePath> = self.drv().input_srcs.iter().cloned().collect();
        for (path, wanted) in &self.drv().input_drvs {
            let input = store.read_derivation(path)?;
            for output in wanted {
                let path = input.output_path(output).ok_or_else(|| {
                    Error::usage(format!("{} has no output \"{output}\"", store.store_dir().display(path)))
                })?;
                direct.push(path.clone());
            }
        }
        Ok(store.closure(&direct)?.into_iter().collect())
    }

    fn restarted(&self, reason: RestartReason) {
        self.tell(Event::Restarted { drv: self.drv_path().clone(), reason });
    }

    fn tell(&self, event: Event) {
        (self.events)(event);
    }

    fn drv_path(&self) -> &StorePath {
        &self.unit.path
    }

    fn drv(&self) -> &Derivation {
        &self.unit.drv
    }
}

/// What came of a derivation, before it is registered.
enum Done {
    Installed(Vec<rekindle_store::Registration>),
    Failed(Failure),
}

struct Watcher<'a> {
    job: &'a Job<'a>,
    transcript: RefCell<Transcript<'a>>,
}

impl Watch for Watcher<'_> {
    fn steps(&mut self, phases: &[String]) {
        self.job.tell(Event::Steps { drv: self.job.drv_path().clone(), phases: phases.to_vec() });
    }

    fn step_started(&mut self, phase: Option<&str>) {
        let phase = phase.map(str::to_owned);
        self.job.tell(Event::StepStarted { drv: self.job.drv_path().clone(), phase });
    }

    fn output(&mut self, bytes: &[u8]) {
        self.transcript.borrow_mut().write(bytes);
    }

    fn step_finished(&mut self, phase: Option<&str>, usage: StepUsage) {
        let phase = phase.map(str::to_owned);
        self.job.tell(Event::StepFinished { drv: self.job.drv_path().clone(), phase, usage });
    }
}

/// Whether a derivation follows stdenv's protocol without changes of its own: its builder is bash, which sources
/// `$stdenv/setup` and calls `genericBuild`. A custom builder script may do anything in between, and a
/// `buildCommand` has no phases.
fn follows_phases(drv: &Derivation) -> bool {
    let has = |name: &str| drv.env.get(name.as_bytes()).is_some_and(|value| !value.is_empty());
    let is_bash = drv.builder.ends_with(b"/bash");
    // Ours lies in the same directory as `setup`, that of nixpkgs is a store path of its own.
    let is_default = drv.args.last().is_some_and(|script| {
        script.ends_with(b"/default-builder.sh") || script.ends_with(b"-default-builder.sh")
    });
    is_bash && is_default && has("stdenv") && !has("buildCommand") && !has("buildCommandPath")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_stdenv_without_changes_has_phases() {
        let check = |builder: &str, args: &[&str], env: &[(&str, &str)], expected| {
            let env: BTreeMap<Vec<u8>, Vec<u8>> = env
                .iter()
                .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
                .collect();
            let drv = Derivation {
                name: rekindle_nix::StorePathName::new("x").expect("a name"),
                outputs: BTreeMap::new(),
                input_drvs: BTreeMap::new(),
                input_srcs: std::collections::BTreeSet::new(),
                system: b"x86_64-linux".to_vec(),
                builder: builder.into(),
                args: args.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
                env,
            };
            assert_eq!(follows_phases(&drv), expected, "{builder} {args:?}");
        };
        let default = &["-e", "/nix/store/8csd16i46h5njyb3wj4k4i0s4z6hd6np-default-builder.sh"];
        let stdenv = ("stdenv", "/nix/store/8csd16i46h5njyb3wj4k4i0s4z6hd6np-stdenv");
        check("/bin/bash", default, &[stdenv], true);
        let ours = &["-e", "/nix/store/8csd16i46h5njyb3wj4k4i0s4z6hd6np-stdenv/default-builder.sh"];
        check("/bin/bash", ours, &[stdenv], true);
        check(
            "/bin/bash",
            &["-e", "/nix/store/8csd16i46h5njyb3wj4k4i0s4z6hd6np-builder.sh"],
            &[stdenv],
            false,
        );
        check("/bin/bash", default, &[], false);
        check("/bin/bash", default, &[stdenv, ("buildCommand", "mkdir $out")], false);
        check("/bin/python", default, &[stdenv], false);
    }
}

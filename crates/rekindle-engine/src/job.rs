//! One derivation, from the lock on its outputs to their registration.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rekindle_layers::{MaterialiseOptions, View, materialise, remove_tree};
use rekindle_nix::{Derivation, StorePath};
use rekindle_sandbox::Cancel;
use rekindle_store::{OutputLocks, Staging};

use crate::attempt::Attempt;
use crate::building::Building;
use crate::closure::Unit;
use crate::engine::{BuildOptions, Engine};
use crate::error::Error;
use crate::event::{BuildResult, Event, Failure, FailureKind, RestartReason};
use crate::fetch::{FetchRequest, Fetcher};
use crate::mounted::Mounted;
use crate::outputs::{Collected, Collector};
use crate::scratch::OutputPaths;
use crate::world::TREE_BUILD;

/// How often to look whether another process is done with the same outputs.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// A derivation that is being built, and what it takes.
pub(crate) struct Job<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) unit: &'a Unit,
    pub(crate) purpose: Purpose,
    pub(crate) options: &'a BuildOptions,
    pub(crate) fetcher: &'a dyn Fetcher,
    pub(crate) events: &'a (dyn Fn(Event) + Sync),
    pub(crate) cancel: &'a Cancel,
}

/// What a derivation is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Its outputs.
    Build,
    /// A checkpoint before anything is installed.
    Prepare,
    /// Comparing its valid outputs with those of a clean build.
    Verify,
}

impl Job<'_> {
    /// Does it all. Whatever stands in the way is part of the result.
    pub(crate) fn run(&self) -> BuildResult {
        let started = Instant::now();
        let result = self.try_run().unwrap_or_else(|error| {
            let kind = FailureKind::Environment(error.one_line());
            BuildResult::Failed(Failure::before_all(kind))
        });
        if let Err(error) = self.engine.checkpoints().prune(self.engine.layers()) {
            let message = format!("old checkpoints could not be removed: {}", error.one_line());
            self.tell(Event::Warning { message });
        }
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
            let failure = Failure::before_all(kind);
            return Ok(BuildResult::Failed(failure));
        };
        let mut valid = true;
        for path in &paths {
            valid &= self.engine.is_good(path, self.options.trust())?;
        }
        if valid && self.purpose == Purpose::Build {
            return Ok(BuildResult::AlreadyValid);
        }
        let request = FetchRequest::of(self.drv());
        self.tell(Event::Started { drv: self.drv_path().clone(), fetch: request.is_some() });
        let mounted = match request {
            Some(_) => None,
            None => Mounted::of(self.drv(), store, |source| self.engine.directory(source))?,
        };
        let source = mounted.as_ref().map(|mounted| &mounted.paths.final_path);
        let inputs = self.input_closure(source)?;
        let moved: Vec<OutputPaths> =
            outputs.iter().chain(mounted.as_ref().map(|mounted| &mounted.paths)).cloned().collect();
        let collector = Collector {
            store,
            locks: &locks,
            drv_path: self.drv_path(),
            drv: self.drv(),
            outputs: &outputs,
            moved: &moved,
            inputs: &inputs,
            source,
            provenances: &self.engine.provenances(),
            trust: self.options.trust(),
        };
        let done = match request {
            Some(_) if self.purpose != Purpose::Build => {
                // It is what its hash says, or it would not be valid.
                let kind = FailureKind::Refused("it is fetched, and not built".to_owned());
                Done::failed(kind)
            }
            None if self.purpose == Purpose::Verify => {
                return self.verify(&collector, &inputs, mounted.as_ref());
            }
            Some(request) => self.fetch(&request, &collector)?,
            None => Building::new(self, &collector, &inputs, mounted.as_ref())?.run()?,
        };
        let registrations = match done {
            Done::Installed(registrations) => registrations,
            done => return Ok(done.into_result()),
        };
        // Hardly an output refers to its source. One that does needs it in the store.
        if let Some(source) = source
            && registrations.iter().any(|registration| registration.references.contains(source))
        {
            self.engine.ensure_valid(source)?;
        }
        if let Err(error) = store.register(registrations) {
            // Outputs that refer to each other in a ring: nothing is wrong with the store.
            if error.kind() != rekindle_store::ErrorKind::Malformed {
                return Err(error.into());
            }
            let kind = FailureKind::Refused(Error::from(error).one_line());
            let failure = Failure::before_all(kind);
            return Ok(BuildResult::Failed(failure));
        }
        if let Err(error) = self.engine.remembered().note(self.drv_path(), self.drv(), store.store_dir()) {
            let message = format!("it cannot be built again by its path: {}", error.one_line());
            self.tell(Event::Warning { message });
        }
        Ok(if request.is_some() { BuildResult::Fetched } else { BuildResult::Built })
    }

    fn fetch(&self, request: &FetchRequest<'_>, collector: &Collector<'_>) -> Result<Done, Error> {
        let staging = self.engine.store().staging()?;
        let dest = staging.path().join("output");
        let failed = |kind| Failure::before_all(kind);
        if let Err(message) = self.fetcher.fetch(request, &dest, self.cancel) {
            return Ok(Done::Failed(failed(FailureKind::Refused(message))));
        }
        match collector.take_fetched(staging)? {
            Collected::Installed(installed) => Ok(Done::Installed(installed.new)),
            Collected::Failed(kind) => Ok(Done::Failed(failed(kind))),
            Collected::Restart(_) => unreachable!("a fetch knows no scratch path"),
        }
    }

    /// Writes the build tree of a failed attempt out, with the environment of the builder beside it.
    pub(crate) fn keep_tree(&self, attempt: &Attempt<'_>) -> Result<PathBuf, Error> {
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
            Ok((name.clone(), output.path().ok_or_else(unknown)?.clone()))
        });
        OutputPaths::of_outputs(paths.collect::<Result<Vec<_>, Error>>()?)
    }

    /// All store paths that the builder may see, but for the source that is mounted.
    fn input_closure(&self, mounted: Option<&StorePath>) -> Result<Vec<StorePath>, Error> {
        let store = self.engine.store();
        let sources = self.drv().input_srcs.iter().filter(|source| mounted != Some(*source));
        let mut direct: Vec<StorePath> = sources.cloned().collect();
        direct.iter().try_for_each(|source| self.engine.ensure_valid(source))?;
        for (path, wanted) in &self.drv().input_drvs {
            let input = self.engine.derivation(path)?;
            for output in wanted {
                let path = input.output_path(output).ok_or_else(|| {
                    Error::usage(format!("{} has no output \"{output}\"", store.store_dir().display(path)))
                })?;
                direct.push(path.clone());
            }
        }
        Ok(store.closure(&direct)?.into_iter().collect())
    }

    pub(crate) fn restarted(&self, reason: RestartReason) {
        self.tell(Event::Restarted { drv: self.drv_path().clone(), reason });
    }

    pub(crate) fn tell(&self, event: Event) {
        (self.events)(event);
    }

    pub(crate) fn drv_path(&self) -> &StorePath {
        &self.unit.path
    }

    pub(crate) fn drv(&self) -> &Derivation {
        &self.unit.drv
    }
}

/// What came of a derivation, before it is registered.
pub(crate) enum Done {
    Installed(Vec<rekindle_store::Registration>),
    /// The outputs lie where nobody else looks, each as `output` in its place.
    Staged(Vec<Staging>),
    /// There is a checkpoint.
    Prepared {
        checkpoint: String,
        existed: bool,
    },
    Failed(Failure),
}

impl Done {
    pub(crate) fn failed(kind: FailureKind) -> Done {
        Done::Failed(Failure::before_all(kind))
    }

    /// What is to be told of it.
    pub(crate) fn into_result(self) -> BuildResult {
        match self {
            Done::Installed(_) | Done::Staged(_) => BuildResult::Built,
            Done::Prepared { checkpoint, existed } => BuildResult::Prepared { checkpoint, existed },
            Done::Failed(failure) => BuildResult::Failed(failure),
        }
    }
}

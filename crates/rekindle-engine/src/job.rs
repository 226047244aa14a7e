//! One derivation, from the lock on its outputs to their registration.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rekindle_layers::{ChangeKind, MaterialiseOptions, View, materialise, remove_tree};
use rekindle_nix::{Derivation, DerivationKind, StorePath};
use rekindle_plan::{Judged, Placement, Seedable, StepList, Unusable, Verdict};
use rekindle_sandbox::{Cancel, Limits};
use rekindle_store::OutputLocks;

use crate::attempt::{Attempt, Given, Mode, Outcome, Watch, phases_with_args};
use crate::base::Base;
use crate::canary;
use crate::checkpoint::{Record, boot_id, new_id};
use crate::closure::Unit;
use crate::engine::{BuildOptions, Engine};
use crate::error::Error;
use crate::event::{BuildResult, Event, Failure, FailureKind, RestartReason, StepUsage, Taken};
use crate::fetch::{FetchRequest, Fetcher};
use crate::mounted::{Mounted, speaks_in_files};
use crate::outputs::{Collected, Collector};
use crate::recipes::Recipes;
use crate::scratch::{OutputPaths, placed};
use crate::transcript::Transcript;
use crate::tree::{Layer, Stack};
use crate::world::{TREE_BUILD, TREE_STORE, World};

/// How often to look whether another process is done with the same outputs.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// After so many layers of a source all of it is written again.
const MOST_SOURCE_LAYERS: usize = 40;

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
        let mounted = match request {
            Some(_) => None,
            None => Mounted::of(self.drv(), store, |source| self.engine.observed(source))?,
        };
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
        };
        let done = match request {
            Some(request) => self.fetch(&request, &collector)?,
            None => self.build(&collector, &outputs, &inputs, mounted.as_ref())?,
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
        mounted: Option<&Mounted>,
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
            source: mounted,
        };
        let speaks_in_files = speaks_in_files(self.drv());
        let mut mode = Mode {
            phased: self.options.phased && follows_phases(self.drv()),
            exact: self.options.exact_path || fixed,
            late: !speaks_in_files,
        };
        let mut clean = self.options.clean;
        let mut in_use = Some(self.engine.checkpoints().use_them()?);
        loop {
            let log = self.engine.store().log_writer(self.drv_path())?;
            let transcript = Transcript::new(log, |line| {
                self.tell(Event::Output { drv: self.drv_path().clone(), line });
            });
            let recipes = self.recipes(&world, collector.moved, mode);
            let keeps = mode.is_kept() && !speaks_in_files;
            let base = match (keeps, clean) {
                (true, false) => self.choose_base(&recipes, mounted),
                _ => Err(Unusable::Absent),
            };
            let source = match mounted {
                Some(mounted) if mode.is_kept() => self.source_layers(mounted, base.as_ref().ok())?,
                _ => Vec::new(),
            };
            let mut attempt = Attempt::new(Given {
                world: &world,
                layers: self.engine.layers(),
                sandbox: self.engine.sandbox(),
                outputs,
                moved: collector.moved,
                recipes: &recipes,
                mode,
                clean,
                keeps,
                base,
                source,
            })?;
            let mut watcher =
                Watcher { job: self, transcript: RefCell::new(transcript), verdicts: RefCell::default() };
            let outcome = attempt.run(&mut watcher, self.cancel);
            let (log, tail) = watcher.transcript.into_inner().finish()?;
            let verdicts = watcher.verdicts.into_inner();
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
                Outcome::Failed { phase, kind } => {
                    if attempt.is_seeded() && kind != FailureKind::Cancelled {
                        let phase = phase.unwrap_or_default();
                        self.restarted(RestartReason::SeedFailed { phase });
                        clean = true;
                        continue;
                    }
                    // To be looked at, its layers are made readable, and so are not what the steps left.
                    if keeps && !self.options.keep_failed {
                        self.checkpoint(&attempt, mounted, phase.clone().or(Some(String::new())));
                    }
                    return failure(phase, kind, &attempt);
                }
                Outcome::Built => {
                    attempt.unlock(TREE_STORE)?;
                    let canaries = attempt.canaries();
                    let (tree, placement) = (attempt.tree(), attempt.placement());
                    match collector.take_from_tree(&tree, placement, mode.exact, &canaries)? {
                        Collected::Installed(registrations) => {
                            if keeps {
                                self.tell_taken(&attempt, &verdicts);
                                self.checkpoint(&attempt, mounted, None);
                            }
                            self.note_provenance(outputs, &attempt, &verdicts)?;
                            drop(in_use.take());
                            return Ok(Done::Installed(registrations));
                        }
                        Collected::Failed(kind) if attempt.is_seeded() && kind != FailureKind::Cancelled => {
                            self.restarted(RestartReason::SeedFailed { phase: String::new() });
                            clean = true;
                        }
                        Collected::Failed(kind) => return failure(None, kind, &attempt),
                        Collected::Restart(reason @ RestartReason::TimeInOutput { .. }) => {
                            clean = true;
                            self.restarted(reason);
                        }
                        Collected::Restart(reason) => {
                            mode.exact = true;
                            self.restarted(reason);
                        }
                    }
                }
            }
        }
    }

    fn recipes<'w>(&'w self, world: &'w World<'w>, moved: &[OutputPaths], mode: Mode) -> Recipes<'w> {
        let kernel = fs::read("/proc/sys/kernel/osrelease").unwrap_or_default();
        Recipes {
            placed: placed(self.drv(), moved, world.store.store_dir(), Placement::Scratch),
            sight: self.options.sight.filter(|_| mode.late && mode.is_kept()),
            system: &self.drv().system,
            builder: &self.drv().builder,
            toolchain: world.toolchain,
            inputs: world.inputs,
            source: world.source.map(|source| &source.paths),
            cores: world.cores,
            kernel,
        }
    }

    /// What the build starts from. Whatever is wrong with checkpoints, there is still the clean build.
    fn choose_base(&self, recipes: &Recipes<'_>, mounted: Option<&Mounted>) -> Result<Base, Unusable> {
        let (package, system) = self.package();
        self.engine.checkpoints().settle(canary::now().secs);
        let (found, wrong) = self.engine.checkpoints().of_package(&package, &system, self.engine.layers());
        for message in wrong {
            self.tell(Event::Warning { message });
        }
        let base =
            Base::choose(found, self.engine.layers(), mounted.map(|mounted| &*mounted.manifest), |phases| {
                let planned = recipes.plan(phases_with_args(phases));
                let list = StepList::phased(phases, false);
                let scratch = list.steps().iter().filter(|step| step.placement == Placement::Scratch).count();
                let keys = planned.iter().take(scratch + 1).map(|planned| planned.key).collect();
                (keys, (list.decisive(&Seedable::default()) + 1).min(scratch + 1))
            });
        if let Ok(base) = &base
            && base.mark.is_none()
        {
            let message = format!(
                "the clock is behind the files of the checkpoint {}; nothing goes on from it",
                base.id
            );
            self.tell(Event::Warning { message });
        }
        base
    }

    /// The layers of the mounted source: those of the base, with what differs on top.
    fn source_layers(&self, mounted: &Mounted, base: Option<&Base>) -> Result<Stack, Error> {
        let (store, layers) = (self.engine.store(), self.engine.layers());
        if let Some(base) = base
            && let Some(manifest) = &base.manifest
            && base.source.len() < MOST_SOURCE_LAYERS
            && base.source_dir.as_deref() == Some(mounted.dir.as_path())
        {
            if manifest.root() == mounted.manifest.root() {
                return Ok(base.source.clone());
            }
            let draft = mounted.capture(store, layers, Some(manifest))?;
            return Ok([Layer::draft(draft)].into_iter().chain(base.source.iter().cloned()).collect());
        }
        Ok(vec![Layer::draft(mounted.capture(store, layers, None)?)])
    }

    /// Keeps what the steps left. That it could not be kept is no reason for a build to fail.
    fn checkpoint(&self, attempt: &Attempt<'_>, mounted: Option<&Mounted>, failed: Option<String>) {
        let write = || -> Result<(), Error> {
            let Some(record) = attempt.keep()? else { return Ok(()) };
            let (package, system) = self.package();
            let record = Record {
                id: new_id()?,
                package,
                system,
                drv: self.drv_path().base_name().to_owned(),
                failed,
                created: canary::now().secs,
                boot: boot_id(),
                source_dir: mounted.map(|mounted| mounted.paths.final_path.name().to_owned()),
                ..record
            };
            self.engine.checkpoints().write(&record, mounted.map(|mounted| &*mounted.manifest))
        };
        if let Err(error) = write() {
            let message = format!("no checkpoint was made: {}", error.one_line());
            self.tell(Event::Warning { message });
        }
    }

    fn tell_taken(&self, attempt: &Attempt<'_>, verdicts: &[Verdict]) {
        let Some((base, changes)) = attempt.taken() else { return };
        let count = |verdict| verdicts.iter().filter(|other| **other == verdict).count();
        let kinds = |kind| changes.iter().filter(|change| change.kind == kind).count();
        let taken = Taken {
            base: base.to_owned(),
            added: kinds(ChangeKind::Added),
            changed: kinds(ChangeKind::Changed),
            removed: kinds(ChangeKind::Removed),
            reused: count(Verdict::Reuse),
            skipped: count(Verdict::Skip),
            seeded: count(Verdict::Seed),
            ran: count(Verdict::Run),
        };
        self.tell(Event::Taken { drv: self.drv_path().clone(), taken });
    }

    /// Writes down how each output came about.
    fn note_provenance(
        &self,
        outputs: &[OutputPaths],
        attempt: &Attempt<'_>,
        verdicts: &[Verdict],
    ) -> Result<(), Error> {
        let dir = self.engine.provenance_dir();
        fs::create_dir_all(&dir).map_err(|error| Error::io("make the directory", &dir, error))?;
        let is_clean = verdicts.iter().all(|verdict| *verdict == Verdict::Run);
        let text = match attempt.base_id() {
            Some(base) if !is_clean => format!("incremental {base}\n"),
            _ => "clean\n".to_owned(),
        };
        for output in outputs {
            let file = dir.join(output.final_path.hash_part());
            fs::write(&file, &text).map_err(|error| Error::io("write", &file, error))?;
        }
        Ok(())
    }

    /// What checkpoints are of: the package, whatever its version, and the platform.
    fn package(&self) -> (String, String) {
        let env = &self.drv().env;
        let name = env.get(b"pname".as_slice()).or_else(|| env.get(b"name".as_slice()));
        let name = name.map(|name| String::from_utf8_lossy(name).into_owned());
        let system = String::from_utf8_lossy(&self.drv().system).into_owned();
        (name.unwrap_or_else(|| self.drv().name.to_string()), system)
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
    /// What became of each step.
    verdicts: RefCell<Vec<Verdict>>,
}

impl Watch for Watcher<'_> {
    fn steps(&mut self, phases: &[String]) {
        self.job.tell(Event::Steps { drv: self.job.drv_path().clone(), phases: phases.to_vec() });
    }

    fn step_judged(&mut self, phase: &str, judged: &Judged) {
        self.verdicts.borrow_mut().push(judged.verdict);
        let verdict = match judged.verdict {
            Verdict::Reuse => "reuse",
            Verdict::Skip => "skip",
            Verdict::Seed => "seed",
            Verdict::Run => "run",
        };
        self.job.tell(Event::StepJudged {
            drv: self.job.drv_path().clone(),
            phase: phase.to_owned(),
            verdict,
            reason: judged.reason.name(),
            why: judged.reason.to_string(),
        });
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

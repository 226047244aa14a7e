//! One step of an attempt: its tree, its sandbox, and the layer of what it changed.

use std::fs;
use std::path::{Path, PathBuf};

use rekindle_layers::Draft;
use rekindle_plan::audit::HowItFailed;
use rekindle_plan::{Observations, Placement, Seedable, Trace};
use rekindle_sandbox::{Cancel, ErrorKind, Exit, Overlay, Status, TreeRoot};

use super::{Attempt, Watch};
use crate::checkpoint::TraceFile;
use crate::copied::Copied;
use crate::error::Error;
use crate::event::{FailureKind, RestartReason, StepUsage};
use crate::links::Links;
use crate::mounted::Mounted;
use crate::observing::{self, Places};
use crate::saying::Saying;
use crate::shell_state::write_rest;
use crate::tree::{Layer, layer_paths, observations, paths};
use crate::world::{Command, Seeing, StepDirs};

pub(super) const NOT_OBSERVED: &str = "processes were not to be observed";

/// What the processes of a step did, as it is and packed, or why that is not known.
type WhatRan = Result<(Trace, TraceFile), String>;

/// How a step ended, with what is known of it.
pub(super) enum Ended<T> {
    Well {
        state: PathBuf,
        seen: T,
    },
    Badly {
        kind: FailureKind,
        /// Of one that ended by itself, and that can be gone on from.
        seen: Option<T>,
    },
    /// It tore hard links apart.
    Torn(RestartReason),
}

impl<T> Ended<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Ended<U> {
        match self {
            Ended::Well { state, seen } => Ended::Well { state, seen: change(seen) },
            Ended::Badly { kind, seen } => Ended::Badly { kind, seen: seen.map(change) },
            Ended::Torn(reason) => Ended::Torn(reason),
        }
    }
}

/// What was seen of one run of a step.
pub(super) struct Seen {
    pub(super) observations: Observations,
    pub(super) run: WhatRan,
    /// Of no use if it did not fail.
    pub(super) how: HowItFailed,
}

impl Attempt<'_> {
    /// Runs it. `prepared` is on top of what the steps before left, and becomes part of its layer.
    pub(super) fn step(
        &mut self,
        phase: Option<&str>,
        command: &Command,
        prepared: Option<Draft>,
        watch: &mut dyn Watch,
        cancel: &Cancel,
    ) -> Result<Ended<Seen>, Error> {
        let seeing = self.seeing(phase);
        let state = self.states.upper().join(self.steps_run.to_string());
        self.steps_run += 1;
        fs::create_dir(&state).map_err(|error| Error::io("make the directory", &state, error))?;
        if let Some(shell) = &self.shell {
            shell.write(&state).map_err(|error| Error::io("write the shell state to", &state, error))?;
        }
        if self.placement == Placement::Final && !self.rest.is_empty() {
            write_rest(&state, &self.rest).map_err(|error| Error::io("write to", &state, error))?;
        }
        let world = self.given.world;
        watch.step_started(phase);
        let goes_on = prepared.is_some();
        let mut prepared = prepared;
        let mut saying = Saying::default();
        let (draft, mut exit, source_path) = loop {
            let found = prepared.is_some();
            let draft = match prepared.take() {
                Some(draft) => draft,
                None => self.given.layers.begin()?,
            };
            let dirs = StepDirs {
                tree: self.tree_root(&draft, found)?,
                state: state.clone(),
                source: self.source_parts()?,
                in_place: self.given.mode.is_kept(),
                placement: self.placement,
                seeing,
            };
            let source_path = world.scratch_source(&dirs);
            let spec = world
                .spec(command.clone(), dirs)
                .map_err(|error| Error::environment("cannot prepare the sandbox").caused_by(error))?;
            let mut output = |bytes: &[u8]| {
                saying.hear(bytes);
                watch.output(bytes);
            };
            match self.given.sandbox.run(&spec, &mut output, cancel) {
                Ok(exit) => {
                    let draft = if self.copies { self.captured(draft, found)? } else { draft };
                    break (draft, exit, source_path);
                }
                Err(error) if error.kind() == ErrorKind::NoOverlay && !self.copies => {
                    self.copies = true;
                    let error = Error::environment("trees cannot be stacked").caused_by(error);
                    watch.cannot_stack(&error.one_line());
                    prepared = found.then_some(draft);
                }
                Err(error) => {
                    return Err(Error::environment("cannot run the builder in a sandbox").caused_by(error));
                }
            }
        };
        let usage = exit.usage;
        let cpu = usage.user + usage.system;
        watch.step_finished(phase, StepUsage { wall: usage.wall, cpu, peak_rss: usage.peak_rss_bytes });
        let kind = match exit.status {
            Status::Code(0) => {
                self.look(&exit);
                let source = world.source.zip(source_path.as_deref());
                let (observations, run) = self.seen((seeing, goes_on), &mut exit, draft.upper(), source);
                let seen = Seen { observations, run, how: HowItFailed::default() };
                if !self.copies {
                    let links = self.links(&draft);
                    if let Some(file) = links.torn {
                        let phase = phase.unwrap_or_default().to_owned();
                        return Ok(Ended::Torn(RestartReason::TornLinks { phase, file }));
                    }
                    self.links_below |= links.some;
                }
                self.tree.insert(0, Layer::draft(draft));
                if let Some(copied) = &mut self.copied {
                    copied.is_now(&self.tree);
                }
                return Ok(Ended::Well { state, seen });
            }
            Status::Code(code) => FailureKind::Exit(code),
            Status::Signal(signal) => FailureKind::Signal(signal),
            Status::TimedOut => FailureKind::TimedOut(world.limits.time.unwrap_or_default()),
            Status::Silent => FailureKind::Silent(world.limits.idle.unwrap_or_default()),
            Status::Cancelled => FailureKind::Cancelled,
        };
        let mut seen = None;
        if goes_on || Seedable::default().allows(phase) {
            let source = world.source.zip(source_path.as_deref());
            let how = HowItFailed { said: saying.said(), stopped_at: stopped_at(&exit) };
            let (observations, run) = self.seen((seeing, goes_on), &mut exit, draft.upper(), source);
            seen = Some(Seen { observations, run, how });
        }
        self.failed = Some(draft);
        Ok(Ended::Badly { kind, seen })
    }

    /// The hard links that a step left in its layer.
    pub(super) fn links(&self, draft: &Draft) -> Links {
        let below = paths(&self.tree, self.bottom.upper());
        // What cannot be read was left so by the step.
        Links::of(draft.upper(), self.links_below.then_some(&below[..])).unwrap_or_default()
    }

    /// How to see what a step looks at.
    fn seeing(&self, phase: Option<&str>) -> Seeing {
        let given = &self.given;
        let is_seedable = Seedable::default().allows(phase);
        // After a seeded one there is hardly a step that the next build could do without.
        let is_judged = phase.is_some()
            && given.keeps
            && self.placement == Placement::Scratch
            && (is_seedable || !self.seeded);
        match (given.observes, is_judged) {
            // Build tools look at every file that there is, again and again; all other steps are judged by it.
            (true, true) => Seeing::Processes { lookups: !is_seedable },
            (true, false) if given.world.toolchain.is_some() => Seeing::Host { lookups: !is_seedable },
            (false, true) => Seeing::Marks,
            _ => Seeing::Nothing,
        }
    }

    /// Keeps what a step looked at of the host.
    fn look(&mut self, exit: &Exit) {
        let Some(toolchain) = self.given.world.toolchain else { return };
        match (&mut self.looks, &exit.records) {
            (Some(looks), Some(records)) if records.complete => looks.add(records, &toolchain.paths),
            _ => self.looks = None,
        }
    }

    fn seen(
        &self,
        (seeing, goes_on): (Seeing, bool),
        exit: &mut Exit,
        upper: &Path,
        source: Option<(&Mounted, &Path)>,
    ) -> (Observations, WhatRan) {
        let unknown = |why: String| (Observations::everything(), Err(why));
        match (seeing, exit.records.take()) {
            (Seeing::Processes { lookups }, Some(records)) => {
                let store_dir = self.given.world.store.store_dir().as_str();
                let places = Places::new(store_dir, self.given.moved, source);
                let trace = match observing::trace(&records, &places, &self.tree(), upper) {
                    Ok(trace) => trace,
                    Err(why) => return unknown(why),
                };
                // Both, and the trace once more packed, would be most of what a build takes.
                drop(records);
                // What it looked at in former builds counts, too.
                let observed = (!goes_on).then(|| observing::observations(&trace, upper, lookups));
                let observations = observed.and_then(Result::ok).unwrap_or_else(Observations::everything);
                if trace.orphans().next().is_some() {
                    let why = "a process did something after the one that had started it had ended";
                    return (observations, Err(why.to_owned()));
                }
                let run = match TraceFile::pack(&trace) {
                    Ok(packed) => Ok((trace, packed)),
                    Err(error) => Err(format!("what its processes did cannot be packed: {error}")),
                };
                (observations, run)
            }
            (Seeing::Marks, _) => {
                let observed = observations(exit.observed.as_ref(), upper, source);
                let observations = observed.unwrap_or_else(|_| Observations::everything());
                (observations, Err(NOT_OBSERVED.to_owned()))
            }
            _ => unknown(NOT_OBSERVED.to_owned()),
        }
    }

    /// Where the mounted source lies in its layers.
    fn source_parts(&mut self) -> Result<Vec<PathBuf>, Error> {
        let mut layers = layer_paths(&self.given.source);
        if self.copied.is_none() {
            layers.extend(self.order.iter().map(|order| order.upper().to_owned()));
        }
        let parts = self.given.world.source.map(|source| source.parts(&layers)).unwrap_or_default();
        match &mut self.copied {
            Some(copied) => copied.source(parts),
            None => Ok(parts),
        }
    }

    /// The tree for a step. With `found` the draft holds something that lies on top of what the steps before left.
    fn tree_root(&mut self, draft: &Draft, found: bool) -> Result<TreeRoot, Error> {
        if !self.copies {
            let (upper, work) = (draft.upper().to_owned(), draft.work().to_owned());
            let mut lowers = self.tree();
            lowers.extend(self.order.iter().map(|order| order.upper().to_owned()));
            return Ok(TreeRoot::Overlay(Overlay { lowers, upper, work }));
        }
        let bottom = self.bottom.upper();
        let mut copied = Copied::of(self.copied.take(), &self.tree, bottom, self.given.layers)?;
        if found {
            copied.prepare(draft)?;
        }
        let root = copied.root().to_owned();
        self.copied = Some(copied);
        Ok(TreeRoot::Plain(root))
    }

    /// What a step changed in the copy, as a layer.
    fn captured(&mut self, draft: Draft, found: bool) -> Result<Draft, Error> {
        let copied = self.copied.as_mut().expect("it was made for the step");
        let left = copied.capture(found.then_some(draft), self.bottom.upper(), self.given.layers)?;
        self.unreadable |= left.unlocked;
        Ok(left.draft)
    }
}

/// When the processes of a step were interrupted, in microseconds since it began.
fn stopped_at(exit: &Exit) -> Option<u64> {
    let since = exit.interrupted?.saturating_sub(exit.records.as_ref()?.began);
    u64::try_from(since.as_micros()).ok()
}

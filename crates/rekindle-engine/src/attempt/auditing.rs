//! A step that goes on from what it left in the base, until the audit has nothing to say against the tree.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rekindle_layers::{Cursor, Draft, Timestamp, TreeChange, TreeChangeKind, View, difference, merge};
use rekindle_plan::SourceChange;
use rekindle_plan::audit::{self, Evidence, HowItFailed, Removal, Run, Verdict, audit};
use rekindle_sandbox::Cancel;

use super::kept::Runs;
use super::step::{Ended, NOT_OBSERVED, Seen};
use super::unfinished::Unfinished;
use super::{Attempt, Watch};
use crate::checkpoint::{Open, TraceFile};
use crate::error::Error;
use crate::event::{Audited, FailureKind, Finding};
use crate::evidence::{Ninjas, Trees};
use crate::regeneration;
use crate::tree::{Changes, Stack, paths};
use crate::world::{Command, TREE_TMP};

/// So often a step runs before it is done clean. What is still wrong then hardly ever comes right.
const MOST_ROUNDS: usize = 4;

/// How a step came to what it left.
pub(super) enum Made {
    /// From what the steps before it left.
    Clean(Box<Seen>),
    /// From what it left in the base, and all that these runs did.
    Seeded(Runs),
    /// As far as it came before it failed.
    Unfinished(Result<Unfinished, String>),
}

/// What it means that a step failed which went on from a checkpoint.
enum Failing {
    /// It may end well if it runs clean, for this reason, in a clause.
    Doubtful(String),
    /// It would fail then, too. What is kept of it, or why nothing is, in a clause.
    Certain(Result<Unfinished, String>),
}

impl Made {
    pub(super) fn clean(seen: Seen) -> Made {
        Made::Clean(Box::new(seen))
    }
}

/// A step that goes on, and what is known of it.
struct GoingOn {
    /// What the step would start from if it ran clean.
    before: Stack,
    /// What the runs of the builds before did.
    then: Vec<TraceFile>,
    then_runs: Earlier,
    /// What each round did, as it is and packed.
    rounds: Vec<Run>,
    files: Vec<TraceFile>,
    /// What was removed after each round.
    removed: Vec<Vec<Removal>>,
    /// The stack that the step left in the base, and what each round left.
    after: Vec<Vec<PathBuf>>,
    /// What ninjas are told in those.
    ninjas: Ninjas,
    /// What is another before the step than it was then.
    sources: Vec<SourceChange>,
    /// What was changed before each round.
    prepared: Vec<BTreeSet<Vec<u8>>>,
    /// What was as it is and got a new time before the first: see `regeneration`.
    renewed: BTreeSet<Vec<u8>>,
    findings: Vec<Finding>,
    took: Duration,
    /// What is not settled of the runs before, as the base has it.
    open: Open,
}

impl Attempt<'_> {
    /// Runs a step on top of what it left in the base, with the changes since then applied. Where the audit finds that
    /// nothing right comes of that, the step has been run clean.
    pub(super) fn go_on(
        &mut self,
        index: usize,
        (phase, command): (&str, &Command),
        (changes, mark): (&Changes, Timestamp),
        watch: &mut dyn Watch,
        cancel: &Cancel,
    ) -> Result<Ended<Made>, Error> {
        let base = self.given.base.as_ref().expect("a verdict to seed something comes from a base");
        let then = base.steps[index].traces.clone().unwrap_or_default();
        let onto = base.steps[index].tree.clone();
        let open = base.steps[index].open.clone().unwrap_or_default();
        let before = self.tree.clone();
        let (was_seeded, had_links) = (self.seeded, self.links_below);
        let stack = |attempt: &Self, stack: &Stack| paths(stack, attempt.bottom.upper());
        let mut going = GoingOn {
            then_runs: Earlier::begin(&then),
            then,
            rounds: Vec::new(),
            files: Vec::new(),
            removed: Vec::new(),
            after: vec![stack(self, &onto)],
            ninjas: Ninjas::default(),
            sources: changes.seen().to_vec(),
            prepared: Vec::new(),
            renewed: BTreeSet::new(),
            findings: Vec::new(),
            took: Duration::ZERO,
            open,
            before,
        };
        let now = stack(self, &going.before);
        let mut applied = changes.to_apply(&now, &going.after[0])?;
        let again = regeneration::written_again(&self.ran_clean(), &now, &going.after[0], &applied)?;
        going.prepared.push(names(&applied));
        going.renewed = names(&again);
        applied.extend(again);
        self.tree = onto;
        self.seeded = true;
        self.links_below = true;
        let mut draft = self.merged(&going, &applied, mark)?;
        let why = loop {
            let (state, seen) = match self.step(Some(phase), command, Some(draft), watch, cancel)? {
                Ended::Well { state, seen } => (state, seen),
                // What was removed may be what its build tool never makes again.
                Ended::Badly { kind, .. } if !going.removed.is_empty() && kind != FailureKind::Cancelled => {
                    self.failed = None;
                    let text = "it failed after the audit had removed what may be wrong".to_owned();
                    break Finding { rule: "failed", text };
                }
                Ended::Badly { kind, seen } => {
                    let began = Instant::now();
                    let failing = self.failing(&mut going, seen, &kind)?;
                    going.took += began.elapsed();
                    let seen = match failing {
                        Failing::Certain(unfinished) => {
                            self.tell_audited(phase, &going.told(None), watch);
                            Some(Made::Unfinished(unfinished))
                        }
                        Failing::Doubtful(why) => {
                            self.doubt = Some(why);
                            None
                        }
                    };
                    return Ok(Ended::Badly { kind, seen });
                }
                Ended::Torn(reason) => return Ok(Ended::Torn(reason)),
            };
            let (trace, file) = match seen.run {
                Ok(run) => run,
                Err(text) => break Finding { rule: "not-observed", text },
            };
            going.rounds.push(Run::new(trace));
            going.files.push(file);
            going.after.push(paths(&self.tree, self.bottom.upper()));
            let began = Instant::now();
            let verdict = self.audited(&mut going)?;
            going.took += began.elapsed();
            match verdict {
                Verdict::Settled => {
                    let before = paths(&going.before, self.bottom.upper());
                    let marked = (&going.prepared[..], &going.renewed);
                    self.give_times_back(marked, mark, (&going.after[0], &before))?;
                    self.tell_audited(phase, &going.told(None), watch);
                    going.open = Open::default();
                    let (runs, _) = going.runs()?;
                    return Ok(Ended::Well { state, seen: Made::Seeded(runs) });
                }
                Verdict::Clean(finding) => break Finding::of(&finding),
                Verdict::Redo { remove, findings } => {
                    going.findings.extend(findings.iter().map(Finding::of));
                    if going.rounds.len() == MOST_ROUNDS {
                        let text = format!("something is still wrong after {MOST_ROUNDS} rounds");
                        break Finding { rule: "unsettled", text };
                    }
                    draft = self.without(&mut going, remove, mark)?;
                }
            }
        };
        self.tell_audited(phase, &going.told(Some(why)), watch);
        self.tree = going.before;
        (self.seeded, self.links_below) = (was_seeded, had_links);
        Ok(self.step(Some(phase), command, None, watch, cancel)?.map(Made::clean))
    }

    fn tell_audited(&mut self, phase: &str, audited: &Audited, watch: &mut dyn Watch) {
        if let Some(told) = self.told.last_mut() {
            told.audited(audited);
        }
        watch.step_audited(phase, audited);
    }

    fn audited(&self, going: &mut GoingOn) -> Result<Verdict, Error> {
        let trees = self.trees(going)?;
        Ok(audit(going.evidence()?, &trees, self.given.rules))
    }

    fn trees(&self, going: &GoingOn) -> Result<Trees, Error> {
        let before = paths(&going.before, self.bottom.upper());
        Trees::new(&before, &going.after, &going.prepared, &going.sources, &going.ninjas)
    }

    /// What the failure of a step that went on means.
    fn failing(&self, going: &mut GoingOn, seen: Option<Seen>, kind: &FailureKind) -> Result<Failing, Error> {
        let Some(Seen { run, how, .. }) = seen else {
            return Ok(Failing::Doubtful(NOT_OBSERVED.to_owned()));
        };
        let trace = match run {
            Ok((trace, _)) => trace,
            Err(why) => return Ok(Failing::Doubtful(why)),
        };
        going.rounds.push(Run::new(trace));
        going.after.push(self.tree());
        let trees = self.trees(going)?;
        if *kind == FailureKind::Cancelled {
            // Nobody claims that a clean build would fail.
            return self.left_unfinished(going, &trees, &how).map(Failing::Certain);
        }
        match audit::doubt(going.evidence()?, &trees, self.given.rules, &how) {
            Some(why) => Ok(Failing::Doubtful(why)),
            None => self.left_unfinished(going, &trees, &how).map(Failing::Certain),
        }
    }

    /// What is kept of a step that went on and failed for certain, or why nothing is.
    fn left_unfinished(
        &self,
        going: &mut GoingOn,
        trees: &Trees,
        how: &HowItFailed,
    ) -> Result<Result<Unfinished, String>, Error> {
        let left = audit::unfinished(going.evidence()?, trees, self.given.rules, how);
        let left = match left.and_then(|left| self.can_go_on_without(&left.remove).map(|()| left)) {
            Ok(left) => left,
            Err(why) => return Ok(Err(why)),
        };
        let file = match TraceFile::pack(&left.trace) {
            Ok(file) => file,
            Err(error) => return Ok(Err(error.to_string())),
        };
        // The rounds before it ended well, but nothing came of them that counts.
        let is_only_round = going.rounds.len() == 1;
        going.open.runs += u32::try_from(going.rounds.len()).unwrap_or(u32::MAX);
        going.open.alike = if is_only_round && left.is_alike { going.open.alike + 1 } else { 1 };
        going.open.lost = left.lost;
        going.rounds.pop();
        going.rounds.push(Run::new(left.trace));
        going.files.push(file);
        let (runs, open) = going.runs()?;
        Ok(Ok(Unfinished { runs, remove: left.remove, open, is_clean: false }))
    }

    /// Begins a layer in which products are gone, or are the sources again that they are.
    fn without(&self, going: &mut GoingOn, remove: Vec<Removal>, mark: Timestamp) -> Result<Draft, Error> {
        let bottom = self.bottom.upper();
        let (now, onto) = (paths(&going.before, bottom), paths(&self.tree, bottom));
        let mut sources = Cursor::new(View::of_layers(&now, Path::new(""))?);
        let mut kind = |path: &Path| match sources.metadata(path) {
            Ok(Some(_)) => TreeChangeKind::Content,
            // What cannot be looked at is not there.
            _ => TreeChangeKind::Removed,
        };
        let mut changes: Vec<TreeChange> = remove
            .iter()
            .map(|removal| PathBuf::from(OsStr::from_bytes(&removal.path)))
            .map(|path| TreeChange { kind: kind(&path), path })
            .collect();
        let tmp = Path::new(TREE_TMP);
        changes.retain(|change| !change.path.starts_with(tmp));
        changes.extend(difference(&onto, &now, tmp)?.into_iter().map(|change| TreeChange {
            path: tmp.join(change.path).components().collect(),
            kind: change.kind,
        }));
        going.removed.push(remove);
        going.prepared.push(names(&changes));
        self.merged(going, &changes, mark)
    }

    /// Begins the layer of a round, with these changes in it.
    fn merged(&self, going: &GoingOn, changes: &[TreeChange], mark: Timestamp) -> Result<Draft, Error> {
        let draft = self.given.layers.begin()?;
        let bottom = self.bottom.upper();
        let (now, onto) = (paths(&going.before, bottom), paths(&self.tree, bottom));
        merge(changes, &now, &onto, draft.upper(), Path::new(""), mark)?;
        Ok(draft)
    }
}

fn names(changes: &[TreeChange]) -> BTreeSet<Vec<u8>> {
    changes.iter().map(|change| change.path.as_os_str().as_bytes().to_vec()).collect()
}

impl GoingOn {
    fn evidence(&mut self) -> Result<Evidence<'_>, Error> {
        let Open { runs, alike, lost } = &self.open;
        let open = audit::Open { runs: *runs as usize, alike: *alike as usize, lost };
        Ok(Evidence { then: self.then_runs.wait()?, rounds: &self.rounds, removed: &self.removed, open })
    }

    /// What is told of the audit; with a reason if the step has to run clean.
    fn told(&self, clean: Option<Finding>) -> Audited {
        Audited {
            rounds: self.rounds.len(),
            took: self.took,
            made_again: self.removed.iter().flatten().map(|removal| removal.path.clone()).collect(),
            is_clean: clean.is_some(),
            findings: self.findings.iter().cloned().chain(clean).collect(),
        }
    }

    /// The runs of which something is left, or that are not settled: all that was made by the others was made again since. With
    /// what is not settled of these.
    fn runs(&mut self) -> Result<(Runs, Open), Error> {
        let all: Vec<&Run> = self.then_runs.wait()?.iter().chain(&self.rounds).collect();
        let before = |last: u32| all.len().saturating_sub(last as usize);
        let (settled, others) = (before(self.open.runs), before(self.open.alike));
        let files =
            self.then.iter().map(|file| (file, false)).chain(self.files.iter().map(|file| (file, true)));
        let mut runs = Runs::default();
        let mut open = Open { runs: 0, alike: 0, lost: self.open.lost.clone() };
        for (at, ((file, is_now), is_needed)) in
            files.zip(audit::needed(&all, self.open.runs as usize)).enumerate()
        {
            if is_needed {
                runs.files.push(file.clone());
                runs.now += usize::from(is_now);
                open.runs += u32::from(at >= settled);
                open.alike += u32::from(at >= others);
            }
        }
        Ok((runs, open))
    }
}

/// What the runs of the builds before did, read and prepared beside the build tool, which hardly ever needs all processors
/// for an edit.
enum Earlier {
    Loading(JoinHandle<Result<Vec<Run>, Error>>),
    Loaded(Vec<Run>),
}

impl Earlier {
    fn begin(files: &[TraceFile]) -> Earlier {
        let files = files.to_vec();
        let load = move || {
            // The build tool starts meanwhile, and everybody waits for it. Where this may not be, it is just as fast.
            let _ = rustix::process::nice(5);
            let load = |file: &TraceFile| {
                let run = Run::new(file.load()?);
                run.prepare();
                Ok(run)
            };
            files.iter().map(load).collect()
        };
        Earlier::Loading(thread::spawn(load))
    }

    fn wait(&mut self) -> Result<&[Run], Error> {
        if let Earlier::Loading(_) = self {
            let Earlier::Loading(loading) = mem::replace(self, Earlier::Loaded(Vec::new())) else {
                unreachable!("it was a moment ago")
            };
            let loaded = loading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            *self = Earlier::Loaded(loaded?);
        }
        match self {
            Earlier::Loaded(runs) => Ok(runs),
            Earlier::Loading(_) => unreachable!("it has been waited for"),
        }
    }
}

//! What a build tells whoever watches it.
//!
//! The engine emits; the program renders. A watcher cannot influence the build: events are plain facts, sent in
//! the order in which they happened for one derivation. Those of different derivations interleave.

use std::path::PathBuf;
use std::time::Duration;

use rekindle_nix::{OutputName, StorePath};

use crate::verify::Verification;

/// One fact about a build.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// What the whole build consists of, once it is known.
    Planned {
        /// Derivations that will be built or fetched.
        to_build: Vec<StorePath>,
        /// Derivations that need nothing, because their outputs are valid.
        valid: usize,
    },
    /// Another process builds the same outputs; this one waits for it.
    Waiting {
        /// Whose outputs.
        drv: StorePath,
    },
    /// A derivation starts.
    Started {
        /// Which.
        drv: StorePath,
        /// The steps are not known yet; they follow with [`Event::Steps`].
        fetch: bool,
    },
    /// The steps of a derivation that has phases.
    Steps {
        /// Which derivation.
        drv: StorePath,
        /// The names of its phases, in order.
        phases: Vec<String>,
    },
    /// What becomes of a step, and why.
    StepJudged {
        /// Which derivation.
        drv: StorePath,
        /// The phase; `setup` for what comes before all phases.
        phase: String,
        /// `reuse`, `skip`, `seed` or `run`.
        verdict: &'static str,
        /// A name for the reason.
        reason: &'static str,
        /// The reason in words, one clause.
        why: String,
    },
    /// What the audit came to of a step that went on from an earlier run.
    Audited {
        /// Which derivation.
        drv: StorePath,
        /// The phase.
        phase: String,
        /// What was found, and what became of it.
        audited: Audited,
    },
    /// What a build took from an earlier one.
    Taken {
        /// Which derivation.
        drv: StorePath,
        /// How much.
        taken: Taken,
    },
    /// A step starts. A derivation without phases has one step, without a name.
    StepStarted {
        /// Which derivation.
        drv: StorePath,
        /// The phase.
        phase: Option<String>,
    },
    /// The builder printed a line (without its line break).
    Output {
        /// Which derivation.
        drv: StorePath,
        /// The bytes, as printed.
        line: Vec<u8>,
    },
    /// A step ended.
    StepFinished {
        /// Which derivation.
        drv: StorePath,
        /// The phase.
        phase: Option<String>,
        /// What it used.
        usage: StepUsage,
    },
    /// The derivation is built another way than it began: it starts again from the beginning.
    Restarted {
        /// Which derivation.
        drv: StorePath,
        /// Why.
        reason: RestartReason,
    },
    /// A derivation is over.
    Finished {
        /// Which derivation.
        drv: StorePath,
        /// How it ended.
        result: BuildResult,
        /// How long it took, waiting for others not counted.
        wall: Duration,
    },
    /// Something that does not stop the build, said in one line.
    Warning {
        /// The line.
        message: String,
    },
}

/// What a build took from an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// The checkpoint.
    pub base: String,
    /// How many source files, directories and links are in it that were not there before.
    pub added: usize,
    /// How many are other ones.
    pub changed: usize,
    /// How many are gone.
    pub removed: usize,
    /// Steps that were taken as they are.
    pub reused: usize,
    /// Steps that nothing changed for.
    pub skipped: usize,
    /// Steps that went on from what was there.
    pub seeded: usize,
    /// Steps that ran from the beginning.
    pub ran: usize,
}

/// What one step used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepUsage {
    /// From start to end.
    pub wall: Duration,
    /// Processor time of all its processes, user and system.
    pub cpu: Duration,
    /// The largest resident set of any one of its processes, in bytes.
    pub peak_rss: u64,
}

/// Why a derivation was started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestartReason {
    /// The scratch path is inside a compressed part of an output, where it cannot be replaced.
    HiddenScratchPath {
        /// The file, relative to the output.
        file: PathBuf,
        /// The output.
        output: OutputName,
    },
    /// A compiler has cut the scratch path into pieces, which cannot be replaced.
    ScratchPathInPieces {
        /// The file, relative to the output.
        file: PathBuf,
        /// The output.
        output: OutputName,
    },
    /// The scratch path is still in an output after the last phase.
    ScratchPathLeft {
        /// The file, relative to the output.
        file: PathBuf,
        /// The output.
        output: OutputName,
    },
    /// A step went on from an earlier build and failed, or the outputs are not right after it. It may be better without.
    SeedFailed {
        /// The phase; empty if it is the outputs.
        phase: String,
        /// Why it may be better without, in a clause.
        why: String,
        /// The last lines that the builder printed. Most likely it fails again, and who reads them need not wait.
        tail: Vec<Vec<u8>>,
    },
    /// A step went on from an earlier build, and an output holds the file time by which changed sources are marked.
    TimeInOutput {
        /// The file, relative to the output.
        file: PathBuf,
        /// The output.
        output: OutputName,
    },
    /// A phase wrote to, or replaced, a file of an earlier phase, and left other names of it behind.
    TornLinks {
        /// The phase.
        phase: String,
        /// A name that was left behind, below the root of the build.
        file: PathBuf,
    },
    /// A process was still alive when this phase ended.
    SurvivingProcess {
        /// The phase.
        phase: String,
    },
    /// This phase left its shell before its end.
    LostState {
        /// The phase.
        phase: String,
    },
}

/// How a derivation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildResult {
    /// Built here and registered.
    Built,
    /// Fetched and registered.
    Fetched,
    /// Another process registered the outputs while this one waited.
    AlreadyValid,
    /// There is a checkpoint of it; nothing was installed.
    Prepared {
        /// The checkpoint.
        checkpoint: String,
        /// Whether it was there before.
        existed: bool,
    },
    /// Built again and compared; nothing was registered.
    Verified(Verification),
    /// It failed.
    Failed(Failure),
    /// Not tried, because something it needs failed or the build was stopped.
    Abandoned,
}

impl BuildResult {
    /// Whether it came to a good end.
    pub fn is_good(&self) -> bool {
        !matches!(self, BuildResult::Failed(_) | BuildResult::Abandoned)
    }
}

/// What failed, for the person who reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The phase, if it failed in one.
    pub phase: Option<String>,
    /// What happened.
    pub kind: FailureKind,
    /// The last lines that the builder printed, at most 25.
    pub tail: Vec<Vec<u8>>,
    /// Where the whole log is.
    pub log: Option<PathBuf>,
    /// Where the build tree was kept, if that was asked for.
    pub kept: Option<PathBuf>,
    /// What became of what the step that failed had built so far.
    pub progress: Progress,
}

impl Failure {
    /// One before anything ran.
    pub(crate) fn before_all(kind: FailureKind) -> Failure {
        Failure { phase: None, kind, tail: Vec::new(), log: None, kept: None, progress: Progress::None }
    }
}

/// What becomes of what a step has built that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It was not a step that the next build could go on from.
    None,
    /// It is kept, and the next build goes on from it.
    Kept,
    /// It is not kept for this reason, in a clause: the next build goes on from what there was before, if there was anything.
    NotKept(String),
}

/// The ways to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureKind {
    /// The builder ended with this exit code.
    Exit(i32),
    /// The builder was ended by this signal.
    Signal(i32),
    /// It took longer than allowed.
    TimedOut(Duration),
    /// It printed nothing for longer than allowed.
    Silent(Duration),
    /// It was stopped from outside (Ctrl-C).
    Cancelled,
    /// It ended well but did not make this output.
    MissingOutput(OutputName),
    /// A fixed output has another hash than the derivation says.
    HashMismatch {
        /// What the derivation says, as `sha256-…`.
        expected: String,
        /// What came out.
        got: String,
    },
    /// The checkpoint that the user named cannot be the base of this build.
    UnusableBase(String),
    /// What came out cannot be taken into the store (a socket, say), or a fetch failed.
    Refused(String),
    /// This machine or Rekindle's own files stood in the way; nothing is wrong with the package as far as is known.
    Environment(String),
}

/// What the audit of a step found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audited {
    /// How often the step ran on top of what it had left.
    pub rounds: usize,
    /// How long the audit itself took, in all rounds.
    pub took: Duration,
    /// What was removed from its tree to be made again, in the order of the rounds; paths in the tree.
    pub made_again: Vec<Vec<u8>>,
    /// Whether the step had to be run clean; the last finding is why.
    pub is_clean: bool,
    /// Why, in the order in which it was found.
    pub findings: Vec<Finding>,
}

/// One finding of an audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A name for the rule that was broken.
    pub rule: &'static str,
    /// In words, one clause.
    pub text: String,
}

impl Finding {
    pub(crate) fn of(finding: &rekindle_plan::audit::Finding) -> Finding {
        Finding { rule: finding.rule.name(), text: finding.to_string() }
    }
}

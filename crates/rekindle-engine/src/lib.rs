//! Composes the capabilities of the other crates into a build: observe sources, plan, run, capture, register.
//!
//! ```text
//! observe ── Source ──► ingest ─┐
//! (rekindle-layers)             ├─► build: closure ─► queue ─► for each derivation: steps ─► outputs ─► register
//! Derivation ──► add_derivation ┘   (plan)  (plan)             (sandbox, layers)    (store)     (store)
//! ```
//!
//! Data goes one way, each stage takes the one before by value, and registration is the only commit point: whatever
//! stops a build before it leaves objects that nobody refers to, which the next start sweeps away.
//!
//! This is the one crate that knows all of formats, plan, layers, sandbox and store; they do not know each other. It
//! must never know terminals, arguments or HTTP: it emits [`Event`]s and asks a [`Fetcher`].
#![forbid(unsafe_code)]

mod attempt;
mod base;
mod beside;
mod building;
mod canary;
mod checkpoint;
mod closure;
mod continuation;
mod copied;
mod depfile;
mod engine;
mod error;
mod event;
mod evidence;
mod fetch;
mod fragments;
mod hidden;
mod host;
mod job;
mod left_by_builds;
mod links;
mod listing_order;
mod makefile;
mod mounted;
mod ninja;
mod observing;
mod offered;
mod outputs;
mod owner;
mod prepare;
mod provenance;
mod reader;
mod recipes;
mod refuted;
mod regeneration;
mod remembered;
mod rewriting;
mod saying;
mod scratch;
mod scratch_hash;
mod shell_state;
mod source;
mod stat_indexes;
mod toolchain;
mod transcript;
mod tree;
mod tree_reader;
mod unlock;
mod verify;
mod world;

pub use checkpoint::{
    CheckpointDetails, CheckpointInfo, CheckpointStore, CollectPolicy, CollectedCheckpoints, LayerInfo, Made,
    NamedBase, Observed, SourceCounts, StepInfo, StepTraces, Told,
};
pub use engine::{BuildOptions, Config, Engine, Planned, Report};
pub use error::{Error, ErrorKind};
pub use event::{
    Audited, BuildResult, Event, Failure, FailureKind, Finding, Progress, RestartReason, StepUsage, Taken,
};
pub use fetch::{FetchRequest, Fetcher};
pub use left_by_builds::PAGE_START;
pub use owner::check_own_dir;
pub use provenance::{Provenance, Provenances};
pub use recipes::{Sight, Visibility};
pub use rekindle_plan::Trace;
pub use rekindle_plan::audit::Rules;
pub use rekindle_sandbox::Cancel;
pub use source::{EmbeddedFile, Source, SourceRules};
pub use toolchain::{Toolchain, programs_in};
pub use verify::{OutputDifference, Verification, VerificationVerdict};

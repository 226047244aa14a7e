//! The plan of a build: which units there are, in which order they may run, how one unit is cut into steps, and what
//! a step may take from an earlier build.
//!
//! A *unit* is what the caller wants run as a whole (a derivation, say); a *step* is one phase of it. Both are
//! known here by number and by name only. The crate is a purity wall: it must not know Nix, paths on disk,
//! threads, or time, so that every decision about order and reuse can be tested as a table.
//!
//! - [`graph`]: units and what they need, as an arena; finds cycles.
//! - [`queue`]: the states that the units of a graph go through while they run, as a pure state machine.
//! - [`steps`]: the steps of one unit, and where its outputs move from their scratch path to their final one.
//! - [`recipe`]: all that decides what a step does but its sources, as a key and as an explanation.
//! - [`observation`]: what a step looked at of the tree before it, and whether a change is among it.
//! - [`base`]: which checkpoint a build starts from.
//! - [`verdict`]: what becomes of a step, and why.
//! - [`quote`]: names and values as people read them.
//! - [`explain`]: after the fact, who made what, and why again; [`process_graph`] is all of that at once.
//!
//! A build asks in that order: it makes the recipes, chooses the base by their keys, and judges each step when those
//! before it are over.
#![forbid(unsafe_code)]

pub mod audit;
pub mod base;
mod disk;
mod error;
pub mod explain;
pub mod graph;
pub mod observation;
pub mod process_graph;
pub mod queue;
pub mod quote;
pub mod recipe;
pub mod steps;
pub mod trace;
pub mod verdict;

pub use base::{Candidate, Choice, Distance, Refusal, choose, choose_by_id};
pub use error::Error;
pub use graph::{Cycle, Graph, GraphBuilder, UnitId};
pub use observation::{ChangeKind, How, Observations, ObservationsBuilder, Seen, SourceChange};
pub use queue::{Finish, Queue, UnitState};
pub use recipe::{Attribute, Difference, Field, KeyWriter, Recipe, RecipeKey, differences};
pub use steps::{Placement, Seedable, Step, StepList};
pub use trace::Trace;
pub use verdict::{BaseStep, Before, Chain, Effect, Facts, Judged, Reason, Unusable, Verdict, judge};

//! The plan of a build: which units there are, in which order they may run, and how one unit is cut into steps.
//!
//! A *unit* is what the caller wants run as a whole (a derivation, say); a *step* is one phase of it. Both are
//! known here by number and by name only. The crate is a purity wall: it must not know Nix, paths on disk,
//! threads, or time, so that every decision about order can be tested as a table.
//!
//! - [`graph`]: units and what they need, as an arena; finds cycles.
//! - [`queue`]: the states that the units of a graph go through while they run, as a pure state machine.
//! - [`steps`]: the steps of one unit, and where its outputs move from their scratch path to their final one.
#![forbid(unsafe_code)]

pub mod graph;
pub mod queue;
pub mod steps;

pub use graph::{Cycle, Graph, GraphBuilder, UnitId};
pub use queue::{Finish, Queue, UnitState};
pub use steps::{Placement, Step, StepList};

//! What the user sees of a build.
//!
//! The engine's events go three ways, each a small pure machine that is fed events and gives text or values:
//! [`History`] remembers what happened (for the report in JSON and the summary), [`Transcript`] turns
//! single events into lines that stay, and [`board::Board`] is what runs now, drawn again and again at the foot of a
//! terminal. [`Console`] holds them together and owns standard error. None can influence the build.

mod board;
mod console;
mod failure;
mod history;
mod json;
mod line;
mod look;
pub(crate) mod page;
mod transcript;

pub(crate) use console::{Console, Verbosity};
pub(crate) use failure::{Advice, exit_code};
pub(crate) use history::{Build, History};
pub(crate) use json::{Goal, LinkedOutput, about, provenance, report};
pub(crate) use line::{counted, fit, one_line, shell_word, short_id, spoken_bytes, spoken_short};
pub(crate) use look::Look;
pub(crate) use transcript::Transcript;

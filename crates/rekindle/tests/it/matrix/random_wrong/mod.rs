//! Random edits in projects that do not say what they depend on: left alone, the build tools are wrong after many of
//! them, and each build has to give what a clean one gives nevertheless.
//!
//! Like [`super::random`], with the same variables; `REKINDLE_FULL` means five thousand of each.

mod crates;
mod gadget;
mod project;

use super::random::{self, Seeds};
use crates::Crates;
use project::{Parts, Tool};

#[test]
fn make() {
    random::run_all("make, wrong", &Seeds::from_environment(5, 5000), |seed| Parts::new(Tool::Make, seed));
}

#[test]
fn ninja() {
    random::run_all("ninja, wrong", &Seeds::from_environment(5, 5000), |seed| Parts::new(Tool::Ninja, seed));
}

#[test]
fn script() {
    random::run_all("script, wrong", &Seeds::from_environment(5, 5000), |seed| {
        Parts::new(Tool::Script, seed)
    });
}

#[test]
fn cargo() {
    random::run_all("cargo, wrong", &Seeds::from_environment(1, 1000), |_| Crates);
}

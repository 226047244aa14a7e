//! What is not known of a build because its processes were not observed.

use super::{FileName, INSTALL, Subject};
use crate::cli_error::CliError;
use crate::report::{one_line, short_id};

/// Phases that put the sources in their place. It says little that they were not observed, and they are seldom run again.
const BEFORE: [&str; 3] = ["setup", "unpackPhase", "patchPhase"];

impl Subject {
    /// The phases that build and whose processes were not observed. Those behind a phase that went on never are, and do
    /// not count.
    pub(in crate::commands) fn unobserved(&self) -> Vec<&str> {
        let (mut found, mut went_on) = (Vec::new(), false);
        let failed = self.made.failed.as_ref();
        let is_asked = |phase: &String| !BEFORE.contains(&phase.as_str()) && Some(phase) != failed;
        for told in self.told.iter().filter(|told| is_asked(&told.phase)) {
            went_on |= told.verdict == "seed";
            match self.traces.iter().find(|step| step.phase == told.phase) {
                Some(step) => went_on |= step.runs.len() > 1,
                None if went_on => {}
                None => found.push(told.phase.as_str()),
            }
        }
        found
    }

    /// Says that they were not observed, and in which build; nothing if all were.
    pub(in crate::commands) fn said_unobserved(&self) -> Option<String> {
        self.say(&self.unobserved())
    }

    /// Why it may be that a file is not known, although somebody made or read it.
    pub(super) fn not_known(&self, name: &FileName, shown: &str) -> Option<CliError> {
        let mut phases = self.unobserved();
        let is_installed = matches!(name, FileName::InOutput(..));
        if is_installed && !phases.contains(&INSTALL) && self.traces.iter().all(|step| step.phase != INSTALL)
        {
            phases.push(INSTALL);
        }
        let why = self.say(&phases)?;
        Some(CliError::user(format!("who made or read {shown} is not known: {why}")).hint(ANOTHER))
    }

    fn say(&self, phases: &[&str]) -> Option<String> {
        let phases: Vec<String> = phases.iter().map(|phase| one_line(phase.as_bytes())).collect();
        let verb = if phases.len() == 1 { "was" } else { "were" };
        let id = short_id(&self.info.id);
        let said = format!("{} {verb} not observed in the build of the checkpoint {id}", phases.join(", "));
        (!phases.is_empty()).then_some(said)
    }
}

/// What to do about it.
pub(in crate::commands) const ANOTHER: &str =
    "--checkpoint asks about another build; `rekindle checkpoint list` says which there are";

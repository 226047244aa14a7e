//! Building up to the last step before something is installed, for the sake of the checkpoint alone.
//!
//! What the packages need is built in full first. They themselves then run as in any build, but stop where
//! `installPhase` would come, or where the outputs would move; nothing is installed and nothing registered. If every
//! step could be taken from a checkpoint as it is, that one is the answer, and no other is made.

use std::collections::BTreeSet;

use rekindle_nix::StorePath;
use rekindle_plan::Verdict;
use rekindle_sandbox::Cancel;

use crate::closure::Closure;
use crate::engine::{BuildOptions, Engine, Report};
use crate::error::Error;
use crate::event::{BuildResult, Event};
use crate::fetch::Fetcher;
use crate::job::Purpose;
use crate::provenance::Trust;

impl Engine {
    /// Makes a checkpoint of each of `goals`, which are `.drv` files in the store. Each that came to a good end is in the
    /// report as [`BuildResult::Prepared`].
    ///
    /// # Errors
    /// As for [`Engine::build`].
    pub fn prepare(
        &self,
        goals: &[StorePath],
        options: &BuildOptions,
        fetcher: &dyn Fetcher,
        events: &(dyn Fn(Event) + Sync),
        cancel: &Cancel,
    ) -> Result<Report, Error> {
        self.for_themselves(goals, Purpose::Prepare, options, fetcher, events, cancel)
    }

    /// Builds what `goals` need, and then does with each of them what is wanted, whether or not its outputs are valid.
    pub(crate) fn for_themselves(
        &self,
        goals: &[StorePath],
        purpose: Purpose,
        options: &BuildOptions,
        fetcher: &dyn Fetcher,
        events: &(dyn Fn(Event) + Sync),
        cancel: &Cancel,
    ) -> Result<Report, Error> {
        for goal in goals {
            self.store().add_temp_root(goal)?;
        }
        let mut wanted = Closure::alone(self, goals)?;
        self.check_base(goals, &wanted, options)?;
        let inputs: BTreeSet<StorePath> =
            wanted.units.iter().flat_map(|unit| unit.drv.input_drvs.keys().cloned()).collect();
        // What is compared was built with what is there, whatever that is.
        let trust = if purpose == Purpose::Verify { Trust::All } else { options.trust() };
        let needed = self.closure(&inputs.into_iter().collect::<Vec<_>>(), trust)?;
        let to_build = needed.units.iter().chain(&wanted.units).map(|unit| unit.path.clone()).collect();
        events(Event::Planned { to_build, valid: needed.valid });
        // What others need is built by now: its checkpoint is there, whichever of the others fails then.
        wanted.units.sort_by_key(|unit| needed.units.iter().all(|needed| needed.path != unit.path));
        let mut results = self.run_queue(&needed, Purpose::Build, options, fetcher, events, cancel);
        let complete = results.iter().all(|(_, result)| result.is_good());
        let goes_on = complete || options.keep_going;
        let (able, unable): (Vec<_>, Vec<_>) = wanted.units.into_iter().partition(|unit| {
            let needs = |result: &&(StorePath, BuildResult)| unit.drv.input_drvs.contains_key(&result.0);
            let is_it = |result: &&(StorePath, BuildResult)| result.0 == unit.path;
            match goes_on {
                true => results.iter().filter(needs).all(|(_, result)| result.is_good()),
                // After a failure nothing new begins; what was built is merely told.
                false => {
                    let is_told = purpose == Purpose::Prepare && !options.clean;
                    is_told && results.iter().filter(is_it).any(|(_, result)| result.is_good())
                }
            }
        });
        results.extend(unable.into_iter().map(|unit| (unit.path, BuildResult::Abandoned)));
        let able = Closure::of_units(able)?;
        results.extend(self.run_queue(&able, purpose, options, fetcher, events, cancel));
        Ok(Report { results, outputs: self.valid_outputs(goals)? })
    }
}

/// Whether all that was done was to take what is there.
pub(crate) fn is_all_there(verdicts: &[Verdict]) -> bool {
    !verdicts.is_empty() && verdicts.iter().all(|verdict| *verdict == Verdict::Reuse)
}

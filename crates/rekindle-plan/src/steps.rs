//! The steps of one unit.
//!
//! A unit that follows a phase protocol is a list of phases; any other is one step. Steps run in order, each on
//! what the one before it left. While they run, the outputs lie at a scratch path that is the same for every
//! version of the sources; from `fixupPhase` on they lie at their final path. [`Placement`] says which, so the
//! move between the two happens at exactly one place of the list.
//!
//! [`Seedable`] says which steps may run on top of what they left last time. It must not know how that is done.

use crate::Error;
use crate::error::Kind;

/// Where the outputs lie while a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// At the path derived from the names of package and output alone.
    Scratch,
    /// At the path where they will be registered.
    Final,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The name of its phase, or `None` for a unit that is one step.
    pub phase: Option<String>,
    /// Where the outputs lie while it runs.
    pub placement: Placement,
}

/// The steps of a unit, in order. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepList {
    steps: Vec<Step>,
}

impl StepList {
    /// A unit that runs as a whole, at `placement`.
    pub fn whole(placement: Placement) -> Self {
        StepList { steps: vec![Step { phase: None, placement }] }
    }

    /// A unit with phases, in the order in which they run. With `exact`, its outputs never lie at a scratch path.
    /// Without any phase it is a unit that runs as a whole.
    ///
    /// The outputs move before the first phase that follows `installPhase`; a unit without `installPhase` keeps
    /// them at the scratch path until `fixupPhase`, or to its end.
    pub fn phased(phases: &[String], exact: bool) -> Self {
        let scratch_until = if exact {
            0
        } else {
            let position = |name: &str| phases.iter().position(|phase| phase == name);
            let installed = position("installPhase").map(|index| index + 1);
            installed.or_else(|| position("fixupPhase")).unwrap_or(phases.len())
        };
        let steps: Vec<_> = phases
            .iter()
            .enumerate()
            .map(|(index, phase)| Step {
                phase: Some(phase.clone()),
                placement: if index < scratch_until { Placement::Scratch } else { Placement::Final },
            })
            .collect();
        if steps.is_empty() {
            return StepList::whole(if exact { Placement::Final } else { Placement::Scratch });
        }
        StepList { steps }
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How many of the first steps decide from which checkpoint to start: those up to the last one that can go on
    /// from what it left; all of them if none can.
    pub fn decisive(&self, seedable: &Seedable) -> usize {
        self.steps
            .iter()
            .rposition(|step| seedable.allows(step.phase.as_deref()))
            .map_or(self.steps.len(), |last| last + 1)
    }
}

/// What may run on top of what it left last time: phases whose tool knows what it has done already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seedable {
    phases: Vec<String>,
}

impl Seedable {
    /// Phases that read what they left before, but not to go on from it: patches would be applied twice, and
    /// `configure` answers from a cache that a clean run does not have.
    const NEVER: [&str; 4] = ["unpackPhase", "patchPhase", "autoreconfPhase", "configurePhase"];

    /// The phases that a package chose, instead of the default.
    ///
    /// # Errors
    /// If one of them can never go on from what it left.
    pub fn of(phases: &[String]) -> Result<Seedable, Error> {
        match phases.iter().find(|phase| Self::NEVER.contains(&phase.as_str())) {
            Some(phase) => Err(Kind::NotSeedable { phase: phase.clone() }.into()),
            None => Ok(Seedable { phases: phases.to_vec() }),
        }
    }

    /// Whether the step of a phase may. A unit that is one step has none and may not: it unpacks and configures, too.
    pub fn allows(&self, phase: Option<&str>) -> bool {
        phase.is_some_and(|phase| self.phases.iter().any(|allowed| allowed == phase))
    }
}

/// Only `buildPhase`.
impl Default for Seedable {
    fn default() -> Self {
        Seedable { phases: vec!["buildPhase".to_owned()] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outputs_move_once() {
        let check = |phases: &[&str], exact, scratch: usize| {
            let phases: Vec<String> = phases.iter().map(ToString::to_string).collect();
            let list = StepList::phased(&phases, exact);
            let placed: Vec<_> = list.steps().iter().map(|step| step.placement).collect();
            let expected: Vec<_> = (0..phases.len())
                .map(|index| if index < scratch { Placement::Scratch } else { Placement::Final })
                .collect();
            assert_eq!(placed, expected, "{phases:?}");
        };
        let usual = ["unpackPhase", "buildPhase", "installPhase", "fixupPhase", "installCheckPhase"];
        check(&usual, false, 3);
        check(&usual, true, 0);
        check(&["installPhase", "preFixupThing", "fixupPhase"], false, 1);
        check(&["buildPhase", "fixupPhase"], false, 1);
        check(&["buildPhase"], false, 1);
    }

    #[test]
    fn a_unit_without_phases_is_one_step() {
        assert_eq!(StepList::phased(&[], false), StepList::whole(Placement::Scratch));
        let of_final = StepList::phased(&[], true);
        assert!(of_final.steps().iter().all(|step| step.placement == Placement::Final));
    }

    #[test]
    fn building_goes_on_and_configuring_never() {
        let phases = ["unpackPhase", "configurePhase", "buildPhase", "checkPhase", "installPhase"];
        let list = StepList::phased(&phases.map(str::to_owned), false);
        let check = |choice: Option<&[&str]>, expect: &[&str], decisive| {
            let choice = choice.map(|choice| choice.iter().map(ToString::to_string).collect::<Vec<_>>());
            let seedable =
                choice.map_or_else(Seedable::default, |choice| Seedable::of(&choice).expect("allowed"));
            let allowed = list.steps().iter().filter(|step| seedable.allows(step.phase.as_deref()));
            assert_eq!(allowed.filter_map(|step| step.phase.as_deref()).collect::<Vec<_>>(), expect);
            assert_eq!(list.decisive(&seedable), decisive);
        };
        check(None, &["buildPhase"], 3);
        check(Some(&["buildPhase", "checkPhase", "docPhase"]), &["buildPhase", "checkPhase"], 4);
        check(Some(&[]), &[], 5);
        for phase in Seedable::NEVER {
            let error = Seedable::of(&["buildPhase".to_owned(), phase.to_owned()]).expect_err(phase);
            assert!(error.to_string().starts_with(phase), "{error}");
        }
        let whole = StepList::whole(Placement::Scratch);
        assert!(!Seedable::default().allows(whole.steps()[0].phase.as_deref()));
        assert_eq!(whole.decisive(&Seedable::default()), 1);
    }
}

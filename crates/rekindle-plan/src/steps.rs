//! The steps of one unit.
//!
//! A unit that follows a phase protocol is a list of phases; any other is one step. Steps run in order, each on
//! what the one before it left. While they run, the outputs lie at a scratch path that is the same for every
//! version of the sources; from `fixupPhase` on they lie at their final path. [`Placement`] says which, so the
//! move between the two happens at exactly one place of the list.

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

    /// Whether the outputs still lie at the scratch path when the last step is over.
    pub fn ends_at_scratch(&self) -> bool {
        self.steps.last().is_some_and(|step| step.placement == Placement::Scratch)
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
        assert!(StepList::phased(&[], false).ends_at_scratch());
        assert!(!StepList::phased(&[], true).ends_at_scratch());
    }
}

//! Which checkpoint a build starts from: the one whose content fits best, wherever it comes from.
//!
//! Names, branches and slots do not count, so the choice is right after a rebase or a switch of branches, and the
//! same whatever the order in which the checkpoints are found. Better is, in this order:
//!
//! 1. more steps with the recipes that are wanted, of those that decide: up to the last step that can go on from what
//!    it left. Further steps cost little to run, and must not outweigh the sources;
//! 2. the same sources, or a chain that may go on;
//! 3. fewer differences of the sources, in number, then in bytes;
//! 4. a build that succeeded;
//! 5. newer; and of the same age, the smaller identity. Who edits one file again and again has the newest build go on,
//!    and what a build tool does only after a clean build it does once.
//!
//! To compare sources costs something, so only those that tie for the first place are compared, in the order of the
//! other rules, and an equal one ends it. It must not know what an identity is or where a checkpoint lies.

use std::cmp::Reverse;

use crate::recipe::RecipeKey;
use crate::verdict::Unusable;

/// A checkpoint that a build may start from.
#[derive(Debug, Clone)]
pub struct Candidate<'a, I> {
    /// Its identity; no other candidate has it.
    pub id: I,
    /// The recipe keys of its steps, in order, that of the step that failed included.
    pub keys: &'a [RecipeKey],
    /// Whether its build succeeded.
    pub succeeded: bool,
    /// Whether so many builds went on from one another up to it that no further one may.
    pub is_last: bool,
    /// Its rank by age: 0 for the newest.
    pub age: u64,
    /// Why it cannot be used, if this is known.
    pub unusable: Option<Unusable>,
}

/// How far a checkpoint's sources are from those of the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Distance {
    /// How many paths differ.
    pub differences: u64,
    /// How many bytes the paths that differ have.
    pub bytes: u64,
}

/// A checkpoint that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Its place in the list of candidates.
    pub index: usize,
    /// How many steps, from the first on, have the wanted recipes. With 0 nothing can be taken from it, and it
    /// serves only to explain how its recipe differs.
    pub steps: usize,
    /// How far its sources are, if others had to be compared with it.
    pub distance: Option<Distance>,
}

/// Why the checkpoint that the user named cannot be the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not among the candidates.
    #[error("this package has no such checkpoint")]
    Unknown,
    /// It cannot be used at all.
    #[error("{0}")]
    Unusable(Unusable),
    /// None of its steps has the recipe that is wanted.
    #[error("its first step already has another recipe")]
    OtherRecipe,
}

/// Chooses the base among the candidates, for a build whose steps have the keys `wanted`, of which the first
/// `decisive` decide ([`StepList::decisive`](crate::StepList::decisive)).
///
/// `distance` is called at most once for a candidate, and for few. One for which it fails is passed over.
///
/// # Errors
/// If there is no candidate that can be used: why the best of them cannot.
pub fn choose<I: Ord>(
    wanted: &[RecipeKey],
    decisive: usize,
    candidates: &[Candidate<'_, I>],
    mut distance: impl FnMut(&I) -> Result<Distance, Unusable>,
) -> Result<Choice, Unusable> {
    let mut ranks: Vec<_> =
        (0..candidates.len()).map(|at| Rank::of(at, candidates, wanted, decisive)).collect();
    ranks.sort_unstable();
    let mut refused = None;
    for tied in ranks.chunk_by(|a, b| a.decisive == b.decisive) {
        let mut usable = Vec::with_capacity(tied.len());
        for rank in tied {
            match candidates[rank.index].unusable {
                Some(unusable) => _ = refused.get_or_insert(unusable),
                None => usable.push(rank),
            }
        }
        let Some(first) = usable.first() else { continue };
        if usable.len() == 1 || first.decisive == Reverse(0) {
            return Ok(first.choice(None));
        }
        let mut best: Option<((bool, Distance), &Rank<'_, I>)> = None;
        for rank in usable {
            match distance(rank.id) {
                Err(unusable) => _ = refused.get_or_insert(unusable),
                Ok(distance) => {
                    let ends = candidates[rank.index].is_last && distance.differences > 0;
                    if best.as_ref().is_none_or(|best| (ends, distance) < best.0) {
                        best = Some(((ends, distance), rank));
                    }
                    if distance.differences == 0 {
                        break;
                    }
                }
            }
        }
        if let Some(((_, distance), rank)) = best {
            return Ok(rank.choice(Some(distance)));
        }
    }
    Err(refused.unwrap_or(Unusable::Absent))
}

/// Takes the base that the user named.
///
/// # Errors
/// Why it cannot be the base.
pub fn choose_by_id<I: Eq>(
    wanted: &[RecipeKey],
    candidates: &[Candidate<'_, I>],
    id: &I,
) -> Result<Choice, Refusal> {
    let index = candidates.iter().position(|candidate| candidate.id == *id).ok_or(Refusal::Unknown)?;
    if let Some(unusable) = candidates[index].unusable {
        return Err(Refusal::Unusable(unusable));
    }
    match matching(wanted, candidates[index].keys) {
        0 => Err(Refusal::OtherRecipe),
        steps => Ok(Choice { index, steps, distance: None }),
    }
}

/// What is known of a candidate without comparing sources. The least is the best.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank<'a, I> {
    decisive: Reverse<usize>,
    failed: bool,
    age: u64,
    id: &'a I,
    index: usize,
    steps: usize,
}

impl<'a, I> Rank<'a, I> {
    fn of(index: usize, candidates: &'a [Candidate<'_, I>], wanted: &[RecipeKey], decisive: usize) -> Self {
        let Candidate { id, keys, succeeded, age, .. } = &candidates[index];
        let steps = matching(wanted, keys);
        Rank {
            decisive: Reverse(steps.min(decisive.max(1))),
            failed: !succeeded,
            steps,
            age: *age,
            id,
            index,
        }
    }

    fn choice(&self, distance: Option<Distance>) -> Choice {
        Choice { index: self.index, steps: self.steps, distance }
    }
}

/// How many keys are the same, from the first on.
fn matching(wanted: &[RecipeKey], keys: &[RecipeKey]) -> usize {
    wanted.iter().zip(keys).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(n: u8) -> RecipeKey {
        RecipeKey::from_bytes([n; 32])
    }

    const WANTED: usize = 6;

    fn wanted() -> Vec<RecipeKey> {
        (0..WANTED as u8).map(key).collect()
    }

    /// What a candidate is, and what is found when its sources are compared.
    #[derive(Debug, Clone)]
    struct Given {
        id: u32,
        steps: usize,
        succeeded: bool,
        is_last: bool,
        age: u64,
        unusable: Option<Unusable>,
        distance: Result<Distance, Unusable>,
    }

    fn given(id: u32, steps: usize, differences: u64) -> Given {
        let distance = Ok(Distance { differences, bytes: 10 * differences });
        Given { id, steps, succeeded: true, is_last: false, age: 0, unusable: None, distance }
    }

    /// The identity of the base, and those whose sources were compared.
    fn chosen(given: &[Given], decisive: usize) -> (Result<u32, Unusable>, Vec<u32>) {
        let wanted = wanted();
        let keys = |given: &Given| [&wanted[..given.steps], &[key(99)]].concat();
        let all_keys: Vec<_> = given.iter().map(keys).collect();
        let candidates: Vec<_> = given
            .iter()
            .zip(&all_keys)
            .map(|(given, keys)| Candidate {
                id: given.id,
                keys,
                succeeded: given.succeeded,
                is_last: given.is_last,
                age: given.age,
                unusable: given.unusable,
            })
            .collect();
        let mut compared = Vec::new();
        let choice = choose(&wanted, decisive, &candidates, |id| {
            compared.push(*id);
            given.iter().find(|given| given.id == *id).expect("one of them").distance
        });
        (choice.map(|choice| candidates[choice.index].id), compared)
    }

    #[track_caller]
    fn check(given: &[Given], decisive: usize, expect: Result<u32, Unusable>, compared: &[u32]) {
        assert_eq!(chosen(given, decisive), (expect, compared.to_vec()));
    }

    #[test]
    fn recipes_come_first_then_sources() {
        check(&[given(1, 3, 0), given(2, 5, 9)], WANTED, Ok(2), &[]);
        // Beyond the steps that decide, sources weigh more.
        check(&[given(1, 3, 0), given(2, 5, 9)], 3, Ok(1), &[1]);
        check(&[given(1, 3, 7), given(2, 5, 7)], 3, Ok(1), &[1, 2]);
        check(&[given(1, 4, 5), given(2, 4, 3), given(3, 4, 4), given(4, 3, 0)], 4, Ok(2), &[1, 2, 3]);
        // The same sources cannot be outdone.
        check(&[given(1, 4, 0), given(2, 4, 0), given(3, 4, 0)], 4, Ok(1), &[1]);
        let bytes = |id, bytes| Given { distance: Ok(Distance { differences: 1, bytes }), ..given(id, 4, 1) };
        check(&[bytes(1, 30), bytes(2, 20)], 4, Ok(2), &[1, 2]);
    }

    #[test]
    fn then_success_and_age() {
        let base = given(5, 4, 2);
        let failed = Given { succeeded: false, id: 1, ..base.clone() };
        check(&[failed.clone(), base.clone()], 4, Ok(5), &[5, 1]);
        let nearer = Given { distance: given(1, 4, 1).distance, ..failed };
        check(&[nearer, base.clone()], 4, Ok(1), &[5, 1]);
        let last = Given { is_last: true, id: 1, ..base.clone() };
        check(&[last.clone(), base.clone()], 4, Ok(5), &[1, 5]);
        check(
            &[last.clone(), Given { distance: given(5, 4, 9).distance, ..base.clone() }],
            4,
            Ok(5),
            &[1, 5],
        );
        check(&[Given { distance: given(1, 4, 0).distance, ..last }, base.clone()], 4, Ok(1), &[1]);
        check(&[Given { age: 1, id: 1, ..base.clone() }, base.clone()], 4, Ok(5), &[5, 1]);
        check(&[Given { id: 6, ..base.clone() }, base], 4, Ok(5), &[5, 6]);
    }

    #[test]
    fn what_cannot_be_used_is_passed_over() {
        let quarantined = Given { unusable: Some(Unusable::Quarantined), ..given(1, 6, 0) };
        let damaged = |id| Given { distance: Err(Unusable::Damaged), ..given(id, 5, 0) };
        check(&[quarantined.clone(), given(2, 2, 9)], WANTED, Ok(2), &[]);
        check(&[damaged(1), given(2, 5, 9)], WANTED, Ok(2), &[1, 2]);
        check(&[damaged(1), damaged(2), given(3, 4, 9)], WANTED, Ok(3), &[1, 2]);
        check(&[damaged(3), damaged(2), quarantined], WANTED, Err(Unusable::Quarantined), &[2, 3]);
        check(&[], WANTED, Err(Unusable::Absent), &[]);
        // Nothing in common: one is named, to explain, and nothing is compared.
        check(&[given(2, 0, 1), given(1, 0, 2)], WANTED, Ok(1), &[]);
    }

    #[test]
    fn a_base_that_is_named_is_taken_or_refused() {
        let wanted = wanted();
        let candidate = |id: u32, keys, unusable| Candidate {
            id,
            keys,
            succeeded: true,
            is_last: false,
            age: 0,
            unusable,
        };
        let other = [key(99)];
        let candidates = [
            candidate(1, &wanted[..], None),
            candidate(2, &wanted[..2], None),
            candidate(3, &wanted[..], Some(Unusable::Quarantined)),
            candidate(4, &other[..], None),
        ];
        let check = |id, expect: Result<(usize, usize), &str>| {
            let choice = choose_by_id(&wanted, &candidates, &id);
            let choice =
                choice.map(|choice| (choice.index, choice.steps)).map_err(|refusal| refusal.to_string());
            assert_eq!(choice, expect.map_err(str::to_owned));
        };
        check(1, Ok((0, 6)));
        check(2, Ok((1, 2)));
        check(3, Err("the checkpoint is in quarantine"));
        check(4, Err("its first step already has another recipe"));
        check(5, Err("this package has no such checkpoint"));
    }

    fn any_given() -> impl Strategy<Value = Vec<Given>> {
        let unusable = proptest::option::weighted(0.2, Just(Unusable::Damaged));
        let distance = (0u64..3, 0u64..3).prop_map(|(differences, more)| Distance {
            differences,
            bytes: if differences == 0 { 0 } else { more },
        });
        let distance = proptest::result::maybe_err_weighted(0.2, distance, Just(Unusable::Damaged));
        let one = (0..=WANTED, any::<bool>(), any::<bool>(), 0u64..2, unusable, distance);
        proptest::collection::vec(one, 0..8).prop_map(|list| {
            let one = |(id, one)| {
                let (steps, succeeded, is_last, age, unusable, distance) = one;
                Given { id, steps, succeeded, is_last, age, unusable, distance }
            };
            (0..).zip(list).map(one).collect()
        })
    }

    proptest! {
        /// The order in which candidates are found does not matter, and nobody is asked twice.
        #[test]
        fn the_choice_does_not_depend_on_the_order(
            (given, shuffled) in any_given().prop_flat_map(|given| (Just(given.clone()), Just(given).prop_shuffle())),
            decisive in 0..=WANTED + 1,
        ) {
            let (choice, compared) = chosen(&given, decisive);
            prop_assert_eq!(&(choice, compared.clone()), &chosen(&shuffled, decisive));
            let mut once = compared.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), compared.len());
        }

        /// The choice beats each other candidate by itself, too: it is the first of a total order.
        #[test]
        fn the_choice_beats_each_other(given in any_given(), decisive in 0..=WANTED) {
            let readable: Vec<_> = given.into_iter().filter(|given| given.distance.is_ok()).collect();
            if let Ok(best) = chosen(&readable, decisive).0 {
                for other in &readable {
                    let pair: Vec<_> =
                        readable.iter().filter(|one| one.id == best || one.id == other.id).cloned().collect();
                    prop_assert_eq!(chosen(&pair, decisive).0, Ok(best));
                }
            } else {
                prop_assert!(readable.iter().all(|given| given.unusable.is_some()));
            }
        }

        /// Only those that tie on the recipes are compared.
        #[test]
        fn only_ties_are_compared(given in any_given(), decisive in 1..=WANTED) {
            let readable: Vec<_> = given.into_iter().filter(|given| given.distance.is_ok()).collect();
            let (choice, compared) = chosen(&readable, decisive);
            let steps = |id: u32| {
                readable.iter().find(|given| given.id == id).map(|given| given.steps.min(decisive))
            };
            if let Ok(choice) = choice {
                prop_assert!(compared.iter().all(|id| steps(*id) == steps(choice)));
                prop_assert!(compared.is_empty() || steps(choice) > Some(0));
            }
        }
    }
}

//! A sequence: a project, and what happens to it before each build, all from one number.

use std::fmt::{Debug, Write as _};

use super::super::Built;
use super::super::edit::{self, Edit};
use super::native::{self, Native};
use super::numbers::Numbers;
use crate::project::Place;
use crate::tree;

/// Builds in a sequence, after the first.
const BUILDS: u64 = 4;

/// One in so many builds is compared with a clean build through the program, too. It must agree with the one by hand.
const THROUGH_PROGRAM: u64 = 10;

/// What edits are made in.
pub(in super::super) trait Project: Clone + Debug + Send + Sync {
    /// The edits that make it.
    fn files(&self) -> Vec<Edit>;

    /// One edit.
    fn edit(&self, numbers: &mut Numbers) -> Edit;

    /// One that most likely breaks the build, and one that mends it.
    fn slip(&self, numbers: &mut Numbers) -> (Edit, Edit);

    /// The commands that build it clean and install it into `$out`.
    fn script(&self) -> &'static str;

    /// The same without one of its parts, for each part.
    fn smaller(&self) -> Vec<Self> {
        Vec::new()
    }
}

/// Where sequences are run. Each thread has its own.
pub(super) struct Ground {
    clean: Place,
    native: Native,
}

impl Ground {
    pub(super) fn new() -> Ground {
        let clean = Place::new();
        let native = Native::new(&[("CARGO_HOME", clean.cargo_home())]);
        Ground { clean, native }
    }
}

/// How many builds went how.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) sequences: usize,
    pub(super) built: usize,
    pub(super) failed: usize,
    pub(super) seeded: usize,
    /// Those of them that went on from a build that had failed.
    pub(super) gone_on: usize,
    /// Those of which an audit had something to say.
    pub(super) audited: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.sequences += other.sequences;
        self.built += other.built;
        self.failed += other.failed;
        self.seeded += other.seeded;
        self.gone_on += other.gone_on;
        self.audited += other.audited;
    }
}

#[derive(Clone)]
pub(super) struct Sequence<P> {
    project: P,
    seed: u64,
    /// What is done before the first build, which may fail for it.
    before: Vec<Edit>,
    rounds: Vec<Vec<Edit>>,
}

impl<P: Project> Sequence<P> {
    pub(super) fn new(project: P, seed: u64) -> Sequence<P> {
        let mut numbers = Numbers::new(seed);
        let some = |numbers: &mut Numbers| {
            let count = 1 + numbers.below(3);
            (0..count).map(|_| project.edit(numbers)).collect()
        };
        let mut rounds: Vec<Vec<Edit>> = (0..BUILDS).map(|_| some(&mut numbers)).collect();
        // From numbers of their own: what is broken here and mended before the build after it, or the one after that.
        let mut numbers = Numbers::new(!seed);
        let mut before = Vec::new();
        for broken in 0..rounds.len() {
            if numbers.below(4) == 0 {
                let (slip, mended) = project.slip(&mut numbers);
                let at = broken + numbers.below(2) as usize;
                match broken.checked_sub(1) {
                    None => before.push(slip),
                    Some(broken) => rounds[broken].push(slip),
                }
                if let Some(round) = rounds.get_mut(at) {
                    round.insert(0, mended);
                }
            }
        }
        Sequence { project, seed, before, rounds }
    }

    /// Builds, edits, builds.
    pub(super) fn run(&self, ground: &Ground) -> Result<Tally, String> {
        let place = Place::new();
        let root = place.path().join("project");
        let mut tally = Tally { sequences: 1, ..Tally::default() };
        edit::make(&root, &self.project.files());
        edit::write("round", "first\n").apply(&root);
        self.before.iter().for_each(|edit| edit.apply(&root));
        let first = Built::of(&place, &root, &[]);
        if self.before.is_empty() && first.outputs(&place).is_none() {
            return Err(format!("the first build fails\n{}", first.told));
        }
        let mut last = first;
        for (number, round) in self.rounds.iter().enumerate() {
            round.iter().for_each(|edit| edit.apply(&root));
            // Nobody reads it, but each build has its own, so that none is there already.
            edit::write("round", format!("{} {number}\n", self.seed)).apply(&root);
            // Left to itself it goes on from the last build that ended well, if that is as near.
            let failed = last.kept_by_failure(&place);
            let from: Vec<&str> = failed.iter().flat_map(|id| ["--from", id]).collect();
            let ours = Built::of(&place, &root, &from);
            let theirs = ground.native.build(&root, self.project.script());
            if (self.seed.wrapping_mul(BUILDS) + number as u64).is_multiple_of(THROUGH_PROGRAM) {
                agree(&ground.clean, &root, &theirs).map_err(|what| format!("build {number}: {what}"))?;
            }
            match (ours.outputs(&place), theirs) {
                (Some(outputs), Ok(listing)) => {
                    let [output] = &outputs[..] else { panic!("one output: {outputs:?}") };
                    let differs = tree::different(&native::built(output), &listing);
                    tally.built += 1;
                    let is_seeded = ours.verdict("buildPhase") == "seed";
                    tally.seeded += usize::from(is_seeded);
                    tally.gone_on += usize::from(is_seeded && ours.reason("buildPhase") == "failed-before");
                    tally.audited += usize::from(ours.is_audited());
                    if !differs.is_empty() {
                        return Err(format!("build {number} differs in {differs:?}\n{}", ours.told));
                    }
                }
                (None, Err(_)) => tally.failed += 1,
                (None, Ok(_)) => return Err(format!("only build {number} fails\n{}", ours.told)),
                (Some(_), Err(told)) => {
                    return Err(format!("only the clean build {number} fails\n{told}\n{}", ours.told));
                }
            }
            last = ours;
        }
        if !place.leftovers().is_empty() {
            return Err(format!("left behind: {:?}", place.leftovers()));
        }
        Ok(tally)
    }

    /// Leaves out one edit, or part of the project, after the other, as long as it still fails.
    pub(super) fn shortest(&self, ground: &Ground, mut what: String) -> (Sequence<P>, String) {
        let mut shortest = self.clone();
        loop {
            let found = shortest
                .shorter()
                .into_iter()
                .find_map(|shorter| shorter.run(ground).err().map(|what| (shorter, what)));
            let Some((shorter, still)) = found else { return (shortest, what) };
            (shortest, what) = (shorter, still);
        }
    }

    fn shorter(&self) -> Vec<Sequence<P>> {
        let smaller = self.project.smaller().into_iter().map(|project| Sequence { project, ..self.clone() });
        let mut all: Vec<Sequence<P>> = smaller.collect();
        for edit in 0..self.before.len() {
            let mut shorter = self.clone();
            shorter.before.remove(edit);
            all.push(shorter);
        }
        // A round of its own is a build less, the last one first.
        for round in (0..self.rounds.len()).rev() {
            let mut rounds = self.rounds.clone();
            rounds.remove(round);
            all.push(Sequence { rounds, ..self.clone() });
        }
        for (round, edits) in self.rounds.iter().enumerate().filter(|(_, edits)| edits.len() > 1) {
            for edit in 0..edits.len() {
                let mut shorter = self.clone();
                shorter.rounds[round].remove(edit);
                all.push(shorter);
            }
        }
        all
    }

    pub(super) fn told(&self) -> String {
        let mut text = format!("{:?}\nthe first build after {:?}\n", self.project, self.before);
        for (number, round) in self.rounds.iter().enumerate() {
            let _ = writeln!(text, "build {number} after:");
            for edit in round {
                let _ = writeln!(text, "    {edit:?}");
            }
        }
        text
    }
}

/// Whether a clean build through the program gives the same as the one by hand. Otherwise the oracle is wrong.
fn agree(
    clean: &Place,
    root: &std::path::Path,
    by_hand: &Result<tree::Listing, String>,
) -> Result<(), String> {
    let built = Built::of(clean, root, &["--clean"]);
    match (built.outputs(clean), by_hand) {
        (None, Err(_)) => Ok(()),
        (Some(outputs), Ok(listing)) => {
            let differs = tree::different(&native::built(&outputs[0]), listing);
            if differs.is_empty() { Ok(()) } else { Err(format!("by hand {differs:?} are other than clean")) }
        }
        (_, by_hand) => {
            Err(format!("clean and by hand do not end alike: {:?}\n{}", by_hand.as_ref().err(), built.told))
        }
    }
}

//! Random edits: whatever is done to a project, build by build, each build gives what a clean one gives.
//!
//! A sequence is some edits, a build, some more edits, and so on, all from one number. One that fails is made shorter
//! as long as it still fails, and printed with its number. `REKINDLE_SEED` has that one run again,
//! `REKINDLE_SEQUENCES` says how many are run from there; `REKINDLE_FULL` means a thousand of each tool.

mod generated;

use std::fmt::Write as _;

use super::edit::{self, Edit};
use super::{Built, tree};
use crate::project::{Place, full_run};
use generated::{Numbers, Tool};

/// Builds in a sequence, after the first.
const BUILDS: u64 = 4;

#[test]
fn make() {
    run_all(Tool::Make, 5);
}

#[test]
fn ninja() {
    run_all(Tool::Ninja, 5);
}

#[test]
fn cargo() {
    run_all(Tool::Cargo, 2);
}

#[expect(clippy::print_stdout, reason = "how much was tried is what one wants to know of a long run")]
fn run_all(tool: Tool, bounded: u64) {
    let variable = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, count) = match variable("REKINDLE_SEED") {
        Some(seed) => (seed, 1),
        None => (0, if full_run() { 1000 } else { bounded }),
    };
    let seeds = first..first + variable("REKINDLE_SEQUENCES").unwrap_or(count);
    let many = seeds.end - seeds.start > 1;
    let clean = Place::new();
    let mut tally = Tally::default();
    for seed in seeds {
        let sequence = Sequence::new(tool, seed);
        if let Err(what) = sequence.run(&clean, &mut tally) {
            let (shortest, what) = sequence.shortest(&clean, what);
            panic!("{tool:?}, REKINDLE_SEED={seed}: {what}\n{}", shortest.told());
        }
    }
    // Otherwise clean builds were compared with clean builds.
    assert!(!many || tally.seeded * 2 > tally.built && tally.built > tally.failed, "{tally:?}");
    println!("{tool:?}: {tally:?}");
}

/// How many builds went how.
#[derive(Debug, Default)]
struct Tally {
    built: usize,
    failed: usize,
    seeded: usize,
}

/// What a project is, and what happens to it before each build.
#[derive(Clone)]
struct Sequence {
    tool: Tool,
    seed: u64,
    rounds: Vec<Vec<Edit>>,
}

impl Sequence {
    fn new(tool: Tool, seed: u64) -> Sequence {
        let mut numbers = Numbers::new(seed);
        let some = |numbers: &mut Numbers| {
            let count = 1 + numbers.below(3);
            (0..count).map(|_| tool.edit(numbers)).collect()
        };
        Sequence { tool, seed, rounds: (0..BUILDS).map(|_| some(&mut numbers)).collect() }
    }

    /// Builds, edits, builds.
    fn run(&self, clean: &Place, tally: &mut Tally) -> Result<(), String> {
        let place = Place::new();
        let root = place.path().join("project");
        edit::make(&root, &self.tool.project());
        Built::of(&place, &root, &[]).good();
        for (number, round) in self.rounds.iter().enumerate() {
            round.iter().for_each(|edit| edit.apply(&root));
            // Nobody reads it, but each build has its own, so that none is there already.
            edit::write("round", format!("{} {number}\n", self.seed)).apply(&root);
            let ours = Built::of(&place, &root, &[]);
            let theirs = Built::of(clean, &root, &["--clean"]);
            match (ours.outputs(&place), theirs.outputs(clean)) {
                (Some(one), Some(other)) => {
                    let differs = tree::differences(&one, &other);
                    tally.built += 1;
                    tally.seeded += usize::from(ours.verdict("buildPhase") == "seed");
                    if !differs.is_empty() {
                        return Err(format!("build {number} differs in {differs:?}\n{}", ours.told));
                    }
                }
                (None, None) => tally.failed += 1,
                (None, _) => return Err(format!("only build {number} fails\n{}", ours.told)),
                (_, None) => return Err(format!("only the clean build {number} fails\n{}", theirs.told)),
            }
        }
        if !place.leftovers().is_empty() {
            return Err(format!("left behind: {:?}", place.leftovers()));
        }
        Ok(())
    }

    /// Leaves out one edit after the other, as long as it still fails.
    fn shortest(&self, clean: &Place, mut what: String) -> (Sequence, String) {
        let mut shortest = self.clone();
        loop {
            let all: Vec<(usize, usize)> = shortest
                .rounds
                .iter()
                .enumerate()
                .flat_map(|(round, edits)| (0..edits.len()).map(move |edit| (round, edit)))
                .collect();
            let shorter = all.into_iter().find_map(|(round, edit)| {
                let mut shorter = shortest.clone();
                shorter.rounds[round].remove(edit);
                shorter.run(clean, &mut Tally::default()).err().map(|what| (shorter, what))
            });
            let Some((shorter, still)) = shorter else { return (shortest, what) };
            (shortest, what) = (shorter, still);
        }
    }

    fn told(&self) -> String {
        let mut text = String::new();
        for (number, round) in self.rounds.iter().enumerate() {
            let _ = writeln!(text, "build {number} after:");
            for edit in round {
                let _ = writeln!(text, "    {edit:?}");
            }
        }
        text
    }
}

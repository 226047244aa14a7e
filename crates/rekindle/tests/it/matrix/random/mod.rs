//! Random edits: whatever is done to a project, build by build, each build gives what a clean one gives.
//!
//! A sequence is some edits, a build, some more edits, and so on, all from one number. One that fails is made shorter
//! as long as it still fails, and printed with its number. `REKINDLE_SEED` has that one run again,
//! `REKINDLE_SEQUENCES` says how many are run from there; `REKINDLE_FULL` means a thousand of each tool.

mod generated;
mod native;
mod numbers;
mod sequence;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::project::full_run;
use generated::Tool;
pub(super) use numbers::Numbers;
pub(super) use sequence::Project;
use sequence::{Ground, Sequence, Tally};

/// Sequences that run at a time.
const THREADS: usize = 2;

/// After so many that fail, no more are tried.
const MOST_FAILURES: usize = 5;

#[test]
fn make() {
    run_all("make", &Seeds::from_environment(4, 1000), |_| Tool::Make);
}

#[test]
fn ninja() {
    run_all("ninja", &Seeds::from_environment(4, 1000), |_| Tool::Ninja);
}

#[test]
fn cargo() {
    run_all("cargo", &Seeds::from_environment(1, 1000), |_| Tool::Cargo);
}

/// The numbers of the sequences that are run.
pub(super) struct Seeds(std::ops::Range<u64>);

impl Seeds {
    /// Those that are asked for, or else the first few, or many in a full run.
    pub(super) fn from_environment(bounded: u64, full: u64) -> Seeds {
        let variable = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let (first, count) = match variable("REKINDLE_SEED") {
            Some(seed) => (seed, 1),
            None => (0, if full_run() { full } else { bounded }),
        };
        Seeds(first..first + variable("REKINDLE_SEQUENCES").unwrap_or(count))
    }
}

/// Runs all sequences, and panics with the shortest form of the first that fails, and the numbers of the next few.
#[expect(clippy::print_stdout, reason = "how much was tried is what one wants to know of a long run")]
pub(super) fn run_all<P: Project>(name: &str, seeds: &Seeds, project: impl Fn(u64) -> P + Sync) {
    let many = seeds.0.end - seeds.0.start >= 4;
    let failed: Mutex<Vec<(u64, String)>> = Mutex::default();
    let lock = || failed.lock().expect("no thread panics with it");
    let next = AtomicU64::new(seeds.0.start);
    let work = || {
        let ground = Ground::new();
        let mut sum = Tally::default();
        while lock().len() < MOST_FAILURES {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.0.end {
                break;
            }
            match Sequence::new(project(seed), seed).run(&ground) {
                Ok(tally) => sum += tally,
                Err(what) => lock().push((seed, what)),
            }
        }
        sum
    };
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            match thread.join() {
                Ok(sum) => tally += sum,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    println!("{name}: {tally:?}");
    let failed = failed.into_inner().expect("no thread panics with it");
    if let Some((seed, what)) = failed.first() {
        let sequence = Sequence::new(project(*seed), *seed);
        let (shortest, what) = sequence.shortest(&Ground::new(), what.clone());
        let seeds: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
        panic!("{name}, REKINDLE_SEED={seed} (and {seeds:?}): {what}\n{}", shortest.told());
    }
    // Otherwise clean builds were compared with clean builds.
    assert!(
        !many || (tally.seeded + tally.audited) * 3 > tally.built && tally.built > tally.failed,
        "{tally:?}"
    );
}

//! A build may be killed at any moment: the store verifies, and the next build succeeds.

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::nix::Nix;
use crate::project::{Place, example, full_run};

/// Whom the killer aims at.
#[derive(Clone, Copy, Debug)]
enum Victim {
    /// The program that the user started.
    Program,
    /// A process of the sandbox: one of its descendants.
    Sandbox,
}

/// A small generator with a seed that is printed (xorshift): the moments must differ, and be told when a test fails.
struct Moments(u64);

impl Moments {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

#[test]
fn a_build_killed_at_any_moment_leaves_a_good_store() {
    let (nix, source) = (Nix::new(), example("hello-make"));
    let started = Instant::now();
    Place::new().build(&source, &[]);
    // How long a build takes now: the moments are chosen within it. It changes with what else the machine does.
    let mut whole = started.elapsed();

    let wanted = if full_run() { 1000 } else { 50 };
    let seed = u64::from(std::process::id()) | 1 << 40;
    let mut moments = Moments(seed);
    let (mut interrupted, mut rounds) = (0, 0);
    while interrupted < wanted {
        let place = Place::new();
        for _ in 0..10 {
            rounds += 1;
            assert!(rounds < 20 * wanted, "only {interrupted} of {rounds} builds were interrupted");
            let victim = if moments.next(2) == 0 { Victim::Program } else { Victim::Sandbox };
            let moment = Duration::from_micros(moments.next(whole.as_micros() as u64));
            let mut build = place.rekindle(&["build", "--no-link"]).arg(&source).command();
            let started = Instant::now();
            let mut child =
                build.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
            let ended = wait_until(&mut child, started + moment);
            if ended.is_none() {
                kill(&child, victim);
            }
            let status = child.wait().expect("a child to wait for");
            interrupted += u32::from(!status.success());
            let what = format!("round {rounds}, {victim:?} killed after {moment:?} (seed {seed})");
            wait_for_silence(&place, &what);
            if place.store().join("nix/var/nix/db/db.sqlite").exists() {
                nix.verify(place.store());
                let found = place.rekindle(&["store", "verify"]).run();
                assert!(found.success(), "{what}: {}", found.stderr());
            }
            if let Some(ended) = ended {
                // It was built before the moment came; in this place there is nothing left to interrupt.
                whole = ended - started;
                break;
            }
        }
        place.build(&source, &[]);
        nix.verify(place.store());
        assert_eq!(place.leftovers(), Vec::<String>::new(), "round {rounds} (seed {seed})");
    }
}

/// Waits for a moment, or for the end of the child if that comes first: then says when.
fn wait_until(child: &mut Child, moment: Instant) -> Option<Instant> {
    while Instant::now() < moment {
        if child.try_wait().expect("a child to wait for").is_some() {
            return Some(Instant::now());
        }
        thread::sleep(Duration::from_micros(500).min(moment.saturating_duration_since(Instant::now())));
    }
    None
}

fn kill(child: &Child, victim: Victim) {
    let program = child.id();
    let target = match victim {
        Victim::Program => Some(program),
        Victim::Sandbox => descendants(program).pop(),
    };
    if let Some(pid) = target.and_then(|pid| rustix::process::Pid::from_raw(pid as i32)) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

fn descendants(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut found: Vec<u32> = threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .chain([children])
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect();
    found.sort_unstable();
    found.dedup();
    let below: Vec<u32> = found.iter().flat_map(|child| descendants(*child)).collect();
    found.extend(below);
    found
}

/// Every process that works in the place goes by itself.
fn wait_for_silence(place: &Place, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !place.processes().is_empty() {
        assert!(Instant::now() < deadline, "{what}: processes are left: {:?}", place.processes());
        thread::sleep(Duration::from_millis(5));
    }
}

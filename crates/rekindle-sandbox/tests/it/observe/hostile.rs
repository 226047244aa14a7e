//! Commands that misbehave: the run ends as ever, and what cannot be known is said.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rekindle_sandbox::{Cancel, End, Limits, Observe, Spec, Status, Touch, Watch};

use super::{Place, doubtful, family, observe, seen, ways};
use crate::fixture::{run, sandbox, shell, tag, tagged};

#[test]
fn bad_manners_are_recorded_too() {
    let records =
        ways(&["forks", "repeats", "names", "descriptors", "deep", "long-name", "left-behind", "racing"]);
    assert_eq!(family(&records, "forks").len(), 301);
    let count =
        |way: &str| family(&records, way).iter().map(|(_, process)| process.accesses.len()).sum::<usize>();
    assert_eq!(seen(&records, "repeats"), "a: read; none: absent");
    assert!(count("names") >= 20_000);
    assert_eq!(seen(&records, "descriptors"), "a: inherited read");
    assert!(seen(&records, "deep").contains(&format!("{}bottom: absent created", "deep/".repeat(200))));
    assert_eq!(seen(&records, "long-name"), format!("{}: absent created", "n".repeat(255)));
    assert!(seen(&records, "left-behind").contains("a: read"));
    // Which of the two was opened each time nobody can tell, but at least one of them was.
    assert!(seen(&records, "racing").contains(": read"));
}

#[test]
fn what_cannot_be_followed_is_said() {
    for (way, memory_bytes, reason) in [
        ("by-handle", 1 << 30, "handle"),
        ("in-root", 1 << 30, "RESOLVE_IN_ROOT"),
        ("own-mount", 1 << 30, "mounted"),
        ("own-root", 1 << 30, "root"),
        ("own-rights", 1 << 30, "namespace"),
        ("too-deep", 1 << 30, "too long"),
        ("too-long", 1 << 30, "too long"),
        ("names", 1 << 20, "memory"),
        ("forks", 1 << 16, "memory"),
    ] {
        let place = Place::new(&[way]);
        let mut spec = place.spec("static", &[way]);
        spec.observe = Some(Observe { memory_bytes, ..Observe::new() });
        let records = doubtful(&spec);
        assert!(!records.complete && records.reason.contains(reason), "{way}: {}", records.reason);
        assert!(records.processes.is_empty() && records.paths.is_empty(), "{way}");
    }
}

#[test]
fn what_is_killed_is_not_complete_and_leaves_nothing() {
    let tag = tag();
    let script = format!("sleep {tag} & while :; do cat /none /etc/passwd; done 2> /dev/null");
    let limits = Limits { time: Some(Duration::from_millis(700)), ..Limits::default() };
    let spec = Spec { observe: Some(Observe::new()), limits, ..shell(script) };
    let ran = run(&spec);
    assert_eq!(ran.exit.status, Status::TimedOut);
    let records = ran.exit.records.expect("it was asked for");
    assert!(!records.complete && records.reason.contains("killed"), "{}", records.reason);
    assert!(tagged(&tag).is_empty());
}

#[test]
fn a_program_that_is_not_there_is_an_error_as_ever() {
    let spec = Spec { observe: Some(Observe::new()), ..Spec::new("/none") };
    let result = sandbox().run(&spec, &mut |_| {}, &Cancel::new().expect("descriptors are left"));
    assert!(result.expect_err("it cannot run").to_string().contains("/none"));
}

/// The program that ran, and the observed one in it: there is room for one listener only.
#[test]
fn filters_of_the_command_work_and_listeners_do_not() {
    let records = ways(&["filter", "listener"]);
    assert_eq!(seen(&records, "filter"), "a: read");
    assert_eq!(seen(&records, "listener"), "a: read");
}

/// A process changes the path that another one opens, at any moment. Inotify, asked in the same run, tells what was
/// opened in truth; where that is not what is recorded, the records say so.
#[test]
fn paths_that_change_between_two_looks_are_found_out() {
    let way = "racing-many";
    let mut found_out = false;
    for _ in 0..5 {
        let place = Place::new(&[way]);
        let dir = place.0.path().join(way);
        for index in 0..1000 {
            for first in ["a", "b"] {
                fs::write(dir.join(format!("{first}{index}")), "").expect("room");
            }
        }
        let mut spec = place.spec("static", &[way]);
        spec.watch = Some(Watch { roots: vec!["/build".into()] });
        let ran = run(&spec);
        let observed = ran.exit.observed.expect("asked for");
        assert!(observed.complete && observed.opened.len() >= 1000, "{}", observed.reason);
        let records = ran.exit.records.expect("asked for");
        let is_recorded = |path: &PathBuf| {
            records.paths.id(path).is_some_and(|id| {
                let index = records.index();
                let accesses = index.processes(id).iter().filter_map(|process| records.access(*process, id));
                accesses.into_iter().any(|access| access.touch.any(Touch::READ | Touch::EXECUTED))
            })
        };
        match records.complete {
            true => assert!(observed.opened.iter().all(is_recorded), "it was missed"),
            false => assert!(records.reason.contains("no process was seen to open it"), "{}", records.reason),
        }
        found_out |= !records.complete;
        if found_out {
            return;
        }
    }
    crate::fixture::skipped("nobody won the race; are there two processors?");
}

/// Each of these costs the observer most of what there is of something.
#[test]
fn what_is_much_ends_all_the_same() {
    let records = ways(&["threads", "many-descriptors", "closes-all", "stubborn", "dumps-core", "deep-list"]);
    assert_eq!(seen(&records, "threads"), "a: read; none: absent");
    assert_eq!(seen(&records, "many-descriptors"), "a: inherited read");
    assert_eq!(seen(&records, "closes-all"), "a: read; d/x: read");
    assert_eq!(seen(&records, "stubborn"), "a: read");
    assert_eq!(seen(&records, "dumps-core"), "a: read");
    let of_dead = family(&records, "dumps-core");
    assert!(
        of_dead.iter().any(|(_, process)| matches!(process.end, End::Signal(6) | End::Unseen)),
        "{of_dead:?}"
    );
}

/// Thousands of processes at once, which all have to be killed.
#[test]
fn forks_without_end_end() {
    let place = Place::new(&["bomb"]);
    let mut spec = place.spec("static", &["bomb"]);
    spec.limits = Limits { time: Some(Duration::from_millis(500)), ..Limits::default() };
    let ran = run(&spec);
    assert_eq!(ran.exit.status, Status::TimedOut);
    assert!(!ran.exit.records.expect("asked for").complete);
}

/// What is kept of look-ups takes no more memory than it may, however many paths lead to a file.
#[test]
fn millions_of_opens_take_no_memory() {
    const LIMIT_KB: u64 = 256 << 10;
    let count: u64 = if full_run() { 2_000_000 } else { 200_000 };
    // Leading zeroes make it a name that only this run has.
    let way = format!("opens-{count:0>20}");
    let place = Place::new(&[&way]);
    let spec = place.spec("static", &[&way]);
    let finished = AtomicBool::new(false);
    let (records, peak) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak = 0;
            while !finished.load(Ordering::SeqCst) {
                peak = peak.max(supervisor_of(&way).and_then(peak_kb).unwrap_or(0));
                std::thread::sleep(Duration::from_millis(20));
            }
            peak
        });
        let records = observe(&spec);
        finished.store(true, Ordering::SeqCst);
        (records, watcher.join().expect("it only looks"))
    });
    assert!(records.events >= count);
    assert_eq!(seen(&records, &way), "a: read");
    assert!((1..LIMIT_KB).contains(&peak), "the observer took {peak} kB");
}

/// The process that is this one's own child above the one with this argument.
fn supervisor_of(argument: &str) -> Option<i32> {
    let own = i32::try_from(std::process::id()).ok()?;
    tagged(argument).into_iter().find_map(|mut process| {
        loop {
            let parent = status_of(process, "PPid")?;
            if parent == own {
                return Some(process);
            }
            process = parent;
        }
    })
}

fn peak_kb(process: i32) -> Option<u64> {
    status_of(process, "VmHWM").and_then(|peak| u64::try_from(peak).ok())
}

fn status_of(process: i32, field: &str) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[expect(clippy::disallowed_methods, reason = "long runs are asked for by the environment")]
fn full_run() -> bool {
    std::env::var_os("REKINDLE_FULL").is_some()
}

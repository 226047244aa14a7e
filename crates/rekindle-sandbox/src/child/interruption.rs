//! Init's part in interrupting a command: all its processes, in an order in which each of them can still tell what it was at.
//!
//! Ctrl-C at a terminal reaches all at once. A build tool may then hear of the end of what it had started before, or while, it hears
//! that it is interrupted itself: it takes that for a failure, or loses count (GNU make does, of some 18 in 100 on a busy machine), and does not
//! say what it was at. So first all are stopped, and nobody can start anything. Then all are interrupted, which waits for
//! them to go on, and they go on one after the other:
//!
//! 1. those that handle it, those that started others first: a build tool waits for its commands before these end;
//! 2. those that it ends, those that were started by others first: a compiler ends before the shell that waits for it.
//!
//! What has not reacted within [`PATIENCE`] is not waited for. The times are for processes that answer in microseconds, on a machine
//! that has a hundred other things to do; whoever ignores it all is killed by the caller in the end.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::str::FromStr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::clock;
use crate::sys;

/// How long processes of one generation may take to be stopped, or to react, before the next one goes on.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long all generations may take together.
const PATIENCE_WITH_ALL: Duration = Duration::from_secs(1);

/// How often to look whether they have.
const GLANCE: Duration = Duration::from_micros(500);

/// Interrupts all processes of this pid namespace, whose init this process has to be. Calls `told` with the moment: who had not ended
/// by then was interrupted.
pub(super) fn interrupt_all(told: impl FnOnce(Duration)) {
    let end = Instant::now() + PATIENCE_WITH_ALL;
    let wait_for = |pids: &[Pid], is_done: fn(&Status) -> bool| {
        let end = end.min(Instant::now() + PATIENCE);
        let is_pending = |pid: &Pid| Status::read(*pid).is_some_and(|status| !is_done(&status));
        while pids.iter().any(is_pending) && Instant::now() < end {
            sleep(GLANCE);
        }
    };
    sys::signal_all(Signal::STOP);
    let pids = others();
    wait_for(&pids, Status::is_stopped);
    told(clock::now());
    let family: HashMap<Pid, Status> =
        pids.into_iter().filter_map(|pid| Some((pid, Status::read(pid)?))).collect();
    sys::signal_all(Signal::INT);
    for generation in generations(&family) {
        for pid in &generation {
            let _ = kill_process(*pid, Signal::CONT);
        }
        wait_for(&generation, Status::has_reacted);
    }
    // Who was not seen.
    sys::signal_all(Signal::CONT);
}

/// Who is to go on together, in this order.
fn generations(family: &HashMap<Pid, Status>) -> Vec<Vec<Pid>> {
    let mut generations: BTreeMap<(bool, i64), Vec<Pid>> = BTreeMap::new();
    for (pid, status) in family {
        let above = std::iter::successors(Some(status), |status| family.get(&status.parent?));
        let depth = i64::try_from(above.take(family.len()).count()).unwrap_or(i64::MAX);
        let order = if status.handles { (false, depth) } else { (true, -depth) };
        generations.entry(order).or_default().push(*pid);
    }
    generations.into_values().collect()
}

/// All processes but init, by what `/proc` shows; none if it cannot be read.
fn others() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| i32::from_str(entry.file_name().to_str()?).ok());
    numbers.filter(|number| *number != 1).filter_map(Pid::from_raw).collect()
}

/// What counts here of `/proc/PID/status`, see `proc_pid_status(5)`.
struct Status {
    state: char,
    parent: Option<Pid>,
    /// It runs code of its own when interrupted.
    handles: bool,
    /// It was interrupted and has not heard of it yet, though it will.
    is_pending: bool,
}

impl Status {
    fn read(pid: Pid) -> Option<Self> {
        Status::parse(&fs::read(format!("/proc/{pid}/status")).ok()?)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let field = |name: &str| {
            let mut lines = text.split(|byte| *byte == b'\n');
            let value = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))?;
            std::str::from_utf8(value).ok().map(str::trim)
        };
        let has_interruption = |name: &str| {
            let set = field(name).and_then(|set| u64::from_str_radix(set, 16).ok());
            set.is_some_and(|set| set >> (Signal::INT.as_raw() - 1) & 1 != 0)
        };
        Some(Status {
            state: field("State")?.chars().next()?,
            parent: field("PPid")?.parse().ok().and_then(Pid::from_raw),
            handles: has_interruption("SigCgt"),
            is_pending: (has_interruption("SigPnd") || has_interruption("ShdPnd"))
                && !has_interruption("SigBlk"),
        })
    }

    fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't' | 'Z' | 'X')
    }

    /// Whether it has heard of the interruption, and waits for something, or has ended.
    fn has_reacted(&self) -> bool {
        matches!(self.state, 'Z' | 'X') || (self.state != 'R' && !self.is_pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).expect("a number of a process")
    }

    #[test]
    fn a_build_tool_goes_on_before_its_commands_and_a_shell_after_them() {
        let family = |members: &[(i32, i32, bool)]| -> HashMap<Pid, Status> {
            let status = |parent, handles| Status {
                state: 'T',
                parent: Pid::from_raw(parent),
                handles,
                is_pending: true,
            };
            members.iter().map(|(own, parent, handles)| (pid(*own), status(*parent, *handles))).collect()
        };
        // A shell, a make, another make, two shells, a compiler's driver in one, and its compiler.
        let family = family(&[
            (2, 1, false),
            (3, 2, true),
            (9, 3, true),
            (5, 9, false),
            (6, 9, false),
            (7, 6, true),
            (8, 7, false),
        ]);
        let mut order: Vec<Vec<i32>> = generations(&family)
            .into_iter()
            .map(|pids| pids.into_iter().map(Pid::as_raw_pid).collect())
            .collect();
        order.iter_mut().for_each(|generation| generation.sort_unstable());
        assert_eq!(order, [vec![3], vec![9], vec![7], vec![8], vec![5, 6], vec![2]]);
    }

    #[test]
    fn what_the_kernel_says_of_a_process_is_read() {
        let text = "Name:\tState:\tZ\nUmask:\t0022\nState:\tT (stopped)\nTgid:\t12\nPPid:\t7\nSigQ:\t1/2\n\
                    SigPnd:\t0000000000000000\nShdPnd:\t0000000000000002\nSigBlk:\t0000000000010000\n\
                    SigIgn:\t0000000000000000\nSigCgt:\t0000000180010002\n";
        let status = Status::parse(text.as_bytes()).expect("all fields are there");
        assert_eq!((status.state, status.parent), ('T', Some(pid(7))));
        assert!(status.handles && status.is_pending && status.is_stopped() && !status.has_reacted());
        let own = Status::read(rustix::process::getpid()).expect("there is a /proc");
        assert!(!own.is_pending && !own.is_stopped());
        assert!(Status::parse(b"Name:\tx\n").is_none());
    }
}

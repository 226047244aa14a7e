//! Who gets a processor when the observer and those that it observes wake each other.
//!
//! One that makes a call sleeps from then on, and so does the observer as soon as it has answered. So it is best that both use one
//! processor by turns: nothing has to be woken elsewhere. But to answer like that puts who called on the observer's
//! processor even if others wait for it already, and as nobody is idle for long where so much sleeps and wakes, it takes the kernel
//! milliseconds to notice that another processor has nothing to do. With two jobs on two processors, that was most of
//! what observing cost.
//!
//! So how many want to run is looked up before each answer. If it is only the observer, who called goes on here; if there are more, the
//! kernel looks for a place. The number is the whole machine's, as nothing tells that of one processor. It was measured where there are
//! two; where many processors are busy with something else, the kernel always looks, as it does for others who observe like this.
//!
//! To look costs a tenth of what a call costs, and who calls without a pause does so many times in a moment. So what was seen holds for
//! [`HOLDS`], but for that caller only: another one is a sign that somebody has begun to wait, or has ended.

use std::cell::Cell;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::procs::Procs;
use crate::sys;

/// Answers calls.
pub(super) struct Turns<'a> {
    listener: BorrowedFd<'a>,
    /// What tells how many want to run; `None` where the kernel (before 6.6) always looks for a place, or nothing tells.
    load: Option<Load>,
}

struct Load {
    file: OwnedFd,
    /// When it was looked at for whom, and whether others wanted to run.
    seen: Cell<(Instant, u32, bool)>,
}

/// Less than it takes the kernel to give a processor to somebody else.
const HOLDS: Duration = Duration::from_micros(50);

/// How long the observer wants to run at a time, in nanoseconds: as short as can be asked for. Who wants less gets its turn earlier,
/// and others wait for it.
const TURN: u64 = 100_000;

impl<'a> Turns<'a> {
    pub(super) fn new(listener: BorrowedFd<'a>, procs: &Procs) -> Self {
        // Where this cannot be asked for (before 6.12), it waits for its turn like others.
        let _ = sys::ask_for_turns_of(TURN);
        let sync = sys::set_sync_wake_up(listener, true);
        let load = procs.load().ok().filter(|_| sync).map(Load::new);
        Turns { listener, load }
    }

    /// Lets a call of a thread go on.
    pub(super) fn answer(&self, id: u64, tid: u32) {
        let place = self.load.as_ref().is_some_and(|load| load.others_want_to_run(tid));
        // It is about both ways, and who calls next is to be heard here.
        if place {
            sys::set_sync_wake_up(self.listener, false);
        }
        sys::let_go_on(self.listener, id);
        if place {
            sys::set_sync_wake_up(self.listener, true);
        }
    }
}

impl Load {
    fn new(file: OwnedFd) -> Load {
        let now = Instant::now();
        Load { file, seen: Cell::new((now, 0, false)) }
    }

    fn others_want_to_run(&self, tid: u32) -> bool {
        let (at, caller, others) = self.seen.get();
        let now = Instant::now();
        if caller == tid && now.duration_since(at) < HOLDS {
            return others;
        }
        let mut text = [0; 64];
        let count = rustix::io::pread(&self.file, &mut text, 0).unwrap_or(0);
        let others = running(&text[..count]).is_some_and(|count| count > 1);
        self.seen.set((now, tid, others));
        others
    }
}

/// How many run or want to, of `/proc/loadavg`: three averages, then this number, a slash, and how many there are.
fn running(load: &[u8]) -> Option<u32> {
    let word = load.split(|&byte| byte == b' ').nth(3)?;
    let count = word.split(|&byte| byte == b'/').next()?;
    std::str::from_utf8(count).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_how_many_run() {
        assert_eq!(running(b"0.74 2.29 2.98 1/123 4567\n"), Some(1));
        assert_eq!(running(b"30.74 22.29 2.98 12/1230 4567\n"), Some(12));
        assert_eq!(running(b"0.74 2.29 2.98"), None);
        assert_eq!(running(b""), None);
        let load = std::fs::read("/proc/loadavg").expect("there is a /proc");
        // This test does.
        assert!(running(&load).is_some_and(|count| count >= 1));
    }
}

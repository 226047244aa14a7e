//! The processes that are alive, by the numbers that the kernel gives notice with.
//!
//! A number means another process as soon as the one that had it has ended. So each process is held by a pid descriptor, by which its end is
//! noticed, long before the kernel comes round to its number again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::exec::Pending;
use super::lookup::is_below;
use super::numbers::ByNumber;
use super::open::Doubt;
use super::{Caller, Recorder, unreadable};
use crate::records::{End, ProcessId};
use crate::sys::{self, Notice};

/// A process that is alive, as far as is known.
pub(super) struct Task {
    pub(super) record: ProcessId,
    handle: OwnedFd,
    /// The program that it runs; empty if that is not known.
    pub(super) program: Rc<[u8]>,
    /// It is about to execute another one.
    pub(super) pending: Option<Pending>,
    /// Changes that it asked for, of which it is not known yet whether they happened.
    pub(super) doubts: Vec<Doubt>,
    /// The working directory, while that is known.
    pub(super) cwd: Option<Rc<[u8]>>,
    /// It has, or had, more threads than one.
    pub(super) threads: bool,
    /// Another process may change its working directory.
    pub(super) cwd_shared: bool,
    /// Another process may open and close its descriptors.
    pub(super) descriptors_shared: bool,
    /// Its descriptors have to be looked at before anything else is made of it.
    pub(super) scan: bool,
    /// `/proc` has told its environment at this very call, so it would tell its descriptors, too.
    pub(super) is_open: bool,
    /// It has said that it exits with this code.
    pub(super) exit: Option<(i32, Duration)>,
}

impl Task {
    /// A copy of one of its descriptors.
    pub(super) fn descriptor(&self, fd: i32) -> Result<OwnedFd, Errno> {
        pidfd_getfd(&self.handle, fd, PidfdGetfdFlags::empty())
    }

    pub(super) fn forget_cwd(&mut self) {
        self.cwd = None;
    }

    /// Whether it is known how a process ended that has, or will never be. Of one that was killed the kernel tells when its
    /// parent has heard of it.
    fn is_told_how_it_ended(&self) -> bool {
        self.exit.is_some() || sys::pid_info(self.handle.as_fd()).is_none_or(|info| info.status.is_some())
    }
}

#[derive(Default)]
pub(super) struct Tasks {
    live: ByNumber<u32, Task>,
    /// Threads that are not the first of their process.
    threads: ByNumber<u32, u32>,
    /// Some process has made one that shares its working directory.
    pub(super) cwds_are_shared: bool,
    /// Some process has made one that shares its descriptors.
    pub(super) descriptors_are_shared: bool,
    /// How many processes were met since their ends were last looked for.
    met: usize,
}

/// How many processes may be met at once because one below them is.
const HIGHEST: usize = 256;

/// How many processes are met before ends are looked for: fewer than there are numbers by far, and so many that it costs nothing.
const BETWEEN: usize = 64;

impl Tasks {
    /// A process that [`Recorder::identify`] has identified.
    pub(super) fn get(&mut self, process: u32) -> &mut Task {
        self.live.get_mut(&process).expect("it was identified by this very call")
    }

    pub(super) fn find(&self, process: u32) -> Option<&Task> {
        self.live.get(&process)
    }

    /// A directory moves: what is known of working directories may not be so any more.
    pub(super) fn forget_cwds(&mut self, dir: &[u8]) {
        let inside = |task: &&mut Task| task.cwd.as_ref().is_some_and(|cwd| is_below(cwd, dir));
        for task in self.live.values_mut().filter(inside) {
            task.forget_cwd();
            // Until it has moved, the old one would be found again.
            task.cwd_shared = true;
        }
    }

    pub(super) fn processes(&self) -> Vec<u32> {
        self.live.keys().copied().collect()
    }
}

impl Recorder<'_> {
    /// Who makes a call. `None` if it is dead by now.
    pub(super) fn identify(
        &mut self,
        listener: BorrowedFd<'_>,
        notice: &Notice,
    ) -> Result<Option<Caller>, String> {
        let tid = notice.tid;
        if self.tasks.live.contains_key(&tid) {
            return Ok(Some(Caller { tid, process: tid }));
        }
        if let Some(&process) = self.tasks.threads.get(&tid) {
            if self.tasks.live.contains_key(&process) && sys::is_thread_of(tid, process) {
                return Ok(Some(Caller { tid, process }));
            }
            self.tasks.threads.remove(&tid);
        }
        // A pid descriptor is to be had of the first thread only.
        let (process, handle) = match open_process(tid) {
            Ok(handle) => (tid, handle),
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => return Err(TOO_MANY.to_owned()),
            Err(_) => match self.procs.ids(tid) {
                Ok(ids) if self.tasks.live.contains_key(&ids.process) => {
                    let process = ids.process;
                    if !sys::still_waits(listener, notice.id) {
                        return Ok(None);
                    }
                    self.note_thread(tid, process);
                    return Ok(Some(Caller { tid, process }));
                }
                Ok(ids) => match open_process(ids.process) {
                    Ok(handle) => (ids.process, handle),
                    Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => return Err(TOO_MANY.to_owned()),
                    Err(_) => return Ok(None),
                },
                Err(Errno::NOENT | Errno::SRCH) => return Ok(None),
                Err(errno) => return Err(unreadable(errno)),
            },
        };
        let parent = self.parent_of(&handle, process);
        if !sys::still_waits(listener, notice.id) {
            return Ok(None);
        }
        self.bury(false);
        let parent = self.meet_above(&handle, process, parent)?;
        self.meet(process, handle, parent)?;
        if tid != process {
            self.note_thread(tid, process);
        }
        Ok(Some(Caller { tid, process }))
    }

    fn parent_of(&self, handle: &OwnedFd, process: u32) -> u32 {
        match sys::pid_info(handle.as_fd()) {
            Some(info) => info.parent,
            None => self.procs.ids(process).map_or(0, |ids| ids.parent),
        }
    }

    /// Meets those above a process that have made no call so far, as a shell that only forks, so that it is known who started
    /// it. Returns its parent; 0 if that has ended.
    fn meet_above(&mut self, handle: &OwnedFd, process: u32, parent: u32) -> Result<u32, String> {
        let mut unknown: Vec<(u32, OwnedFd)> = Vec::new();
        let mut at = parent;
        while !self.tasks.live.contains_key(&at) {
            // Above the command are its init and what is outside, and nobody above those is known.
            if at <= 1 || unknown.len() == HIGHEST {
                return Ok(0);
            }
            let Ok(above) = open_process(at) else { return Ok(0) };
            let (below, number) =
                unknown.last().map_or((handle, process), |(number, handle)| (handle, *number));
            if self.parent_of(below, number) != at {
                return Ok(0);
            }
            let next = self.parent_of(&above, at);
            unknown.push((at, above));
            at = next;
        }
        while let Some((number, handle)) = unknown.pop() {
            self.meet(number, handle, at)?;
            at = number;
        }
        Ok(at)
    }

    fn note_thread(&mut self, tid: u32, process: u32) {
        let task = self.tasks.get(process);
        task.threads = true;
        task.forget_cwd();
        self.tasks.threads.insert(tid, process);
    }

    fn meet(&mut self, process: u32, handle: OwnedFd, parent: u32) -> Result<(), String> {
        let parent = self.tasks.find(parent);
        let id = parent.map(|task| task.record);
        let program = parent.map_or_else(|| Rc::from(&b""[..]), |task| task.program.clone());
        // Of an orphan nobody can tell with whom it shares.
        let cwd_shared = parent.map_or(self.tasks.cwds_are_shared, |task| task.cwd_shared);
        let descriptors_shared =
            parent.map_or(self.tasks.descriptors_are_shared, |task| task.descriptors_shared);
        let ledger = self.ledger()?;
        let record = ledger.begin(id, None, ledger.now())?;
        if descriptors_shared {
            self.ledger()?.process(record).shares = true;
        }
        let task = Task {
            record,
            handle,
            program,
            pending: None,
            doubts: Vec::new(),
            cwd: None,
            threads: false,
            cwd_shared,
            descriptors_shared,
            scan: false,
            is_open: false,
            exit: None,
        };
        self.tasks.live.insert(process, task);
        Ok(())
    }

    /// Looks which processes have ended, now and then.
    pub(super) fn bury(&mut self, now: bool) {
        self.tasks.met += 1;
        if !now && self.tasks.met < BETWEEN.max(self.tasks.live.len() / 4) {
            return;
        }
        self.tasks.met = 0;
        let (processes, mut fds): (Vec<u32>, Vec<PollFd<'_>>) = self
            .tasks
            .live
            .iter()
            .map(|(process, task)| (*process, PollFd::new(&task.handle, PollFlags::IN)))
            .unzip();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut fds, Some(&at_once)).is_err() {
            return;
        }
        let dead: Vec<u32> = processes
            .into_iter()
            .zip(&fds)
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|(process, _)| process)
            .filter(|process| self.tasks.live.get(process).is_some_and(Task::is_told_how_it_ended))
            .collect();
        dead.into_iter().for_each(|process| self.end(process));
        let Recorder { tasks, lookup, .. } = self;
        tasks.threads.retain(|_, process| tasks.live.contains_key(process));
        lookup.settle_dead(|tid, process| {
            tasks.live.contains_key(&process) && (tid == process || sys::is_thread_of(tid, process))
        });
    }

    /// Ends the record of a process.
    pub(super) fn end(&mut self, process: u32) {
        let Some(mut task) = self.tasks.live.remove(&process) else { return };
        self.resolve_doubts(&mut task.doubts, None);
        if let Some(pending) = task.pending.take() {
            self.give_benefit(&pending, task.record);
        }
        let Ok(ledger) = &mut self.ledger else { return };
        let told = task.exit.map(|(code, _)| End::Code(code));
        let at = task.exit.map_or_else(|| ledger.now(), |(_, at)| at);
        let status = || sys::pid_info(task.handle.as_fd())?.status.map(end_of);
        // A process that says that it exits may yet be killed before it does; nobody could tell the difference.
        ledger.end(task.record, told.or_else(status), at);
    }
}

const TOO_MANY: &str =
    "there were more processes at once than descriptors to hold them; raise the limit of open files";

fn open_process(process: u32) -> Result<OwnedFd, Errno> {
    let pid = Pid::from_raw(process.cast_signed()).ok_or(Errno::SRCH)?;
    pidfd_open(pid, PidfdFlags::empty())
}

/// From what `wait` gives.
fn end_of(status: i32) -> End {
    match status & 0x7f {
        0 => End::Code(status >> 8 & 0xff),
        signal => End::Signal(signal),
    }
}

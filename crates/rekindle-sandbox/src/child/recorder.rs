//! The supervisor's part in observing: hears of each call that the filter of [`crate::calls`] picks, looks up what it
//! is about, writes it down, and lets it go on.
//!
//! # Why this way
//!
//! Of the mechanisms that need no privilege, this is the fastest that misses nothing: a traced process stops twice and longer,
//! and a preloaded library is not there in static programs. The supervisor does it, as it is outside of the sandbox's pid namespace,
//! where no observed process can see it, but in its user namespace, in which it keeps one capability: to look
//! into processes. It shares their root and mounts, so that paths mean to it what they mean to them.
//!
//! It never decides anything: every call goes on as it was made, and returns what it would have returned. What a command can notice is
//! time; that a handler without `SA_RESTART` may see `EINTR` where a signal arrives before the call was heard of; that it cannot install
//! a listener of its own (`EBUSY`); and that a seccomp tracer of its own does not hear of these calls.
//!
//! # Ends
//!
//! A call that waits for an answer is ended by the death of its process, which a waiting supervisor notices as nothing, and
//! one that is about to answer as an error that does not matter. When the supervisor dies, so does all else. When it can follow no
//! longer, it goes on answering and tells why its records are worth nothing: it must not let go of the
//! listener, as all calls would fail.
//!
//! # Speed
//!
//! A call that is heard of costs two switches between processes, 6 to 7 µs on the (busy) machine where this was
//! measured, and 2 µs more if its path is known from before, 4 to 6 if not. A process
//! that executes a program and ends costs 150 to 350 µs: its arguments, environment and descriptors are read from `/proc`,
//! each by calls of its own. `benches/observe` measures it, and notes what it came to.
//!
//! All processes are observed by one thread. Where many make calls at once, they wait for each other. Who gets a processor
//! when matters more than what the observer does ([`turns`]).

mod exec;
mod inherited;
mod ledger;
mod lookup;
mod memory;
mod numbers;
mod open;
mod procs;
mod sharing;
mod start;
mod target;
mod tasks;
mod turns;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::calls::{self, Call, Place};
use crate::records::{Records, Touch};
use crate::spec::{Mount, Observe, Spec, TreeRoot};
use crate::sys::{self, Notice, NoticeBuffer};
use ledger::Ledger;
use lookup::{Area, Change, Effect, Found, Kind, Lookup};
use open::Flags;
use procs::Procs;
use start::{GLANCE, look_for_end};
use target::{Base, Target};
use tasks::Tasks;
use turns::Turns;

pub(super) use start::{Ended, Preparation};

/// Records, or has given up and tells why.
struct Recorder<'a> {
    spec: &'a Spec,
    procs: Procs,
    lookup: Lookup,
    tasks: Tasks,
    programs: exec::Programs,
    ledger: Result<Ledger, String>,
    /// The user namespace of the sandbox.
    namespace: Vec<u8>,
}

/// Who makes a call.
#[derive(Clone, Copy)]
struct Caller {
    tid: u32,
    /// The process that it is a thread of.
    process: u32,
}

impl<'a> Recorder<'a> {
    fn new(spec: &'a Spec, observe: &Observe, procs: Procs) -> Self {
        let namespace = procs.own_link("ns/user").unwrap_or_default();
        Recorder {
            spec,
            procs,
            lookup: Lookup::new(areas(spec)),
            tasks: Tasks::default(),
            programs: exec::Programs::default(),
            ledger: Ok(Ledger::new(observe)),
            namespace,
        }
    }

    fn give_up(&mut self, reason: String) {
        if self.ledger.is_ok() {
            self.ledger = Err(reason);
            // What it took to observe is of no use any more.
            self.tasks = Tasks::default();
            self.lookup = Lookup::new(Vec::new());
        }
    }

    /// Hears of calls until init or the caller has ended; `None` if there is nobody left to make any.
    ///
    /// It waits in the very call that receives: to wait for several things at once first would make each call a quarter
    /// slower. So signals interrupt it: init's death, and now and then a timer, as one may come a moment too early.
    fn listen(&mut self, listener: &OwnedFd, caller: BorrowedFd<'_>, init: &OwnedFd) -> Option<Ended> {
        let turns = Turns::new(listener.as_fd(), &self.procs);
        let _interruptions = sys::Interruptions::every(GLANCE);
        let mut buffer = NoticeBuffer::new();
        let mut glance = Instant::now() + GLANCE;
        let mut heard = 0u32;
        loop {
            let received = buffer.receive(listener.as_fd());
            if let Ok(notice) = &received {
                self.hear(listener.as_fd(), notice);
                turns.answer(notice.id, notice.tid);
                heard += 1;
                // A command that calls without a pause leaves no moment to be interrupted in.
                if !heard.is_multiple_of(1024) || Instant::now() < glance {
                    continue;
                }
            }
            // It failed as a call was given up meanwhile, as a signal came, or as nobody is left.
            if let Some(ended) = look_for_end(caller, init) {
                return Some(ended);
            }
            glance = Instant::now() + GLANCE;
            // So that the end of who was killed is not put too late.
            self.bury(true);
            if received.is_err() && has(listener, PollFlags::empty()) {
                return None;
            }
        }
    }

    /// Records one call, if it can.
    fn hear(&mut self, listener: BorrowedFd<'_>, notice: &Notice) {
        if self.ledger.is_ok()
            && let Err(reason) = self.record(listener, notice)
        {
            self.give_up(reason);
        }
    }

    fn finish(mut self) -> Records {
        let processes: Vec<u32> = self.tasks.processes();
        for process in processes {
            self.end(process);
        }
        match self.ledger {
            Ok(ledger) => ledger.finish(),
            Err(reason) => Records::unknown(reason),
        }
    }

    /// The ledger; only to be called while there is one.
    fn ledger(&mut self) -> Result<&mut Ledger, String> {
        self.ledger.as_mut().map_err(|reason| reason.clone())
    }

    fn record(&mut self, listener: BorrowedFd<'_>, notice: &Notice) -> Result<(), String> {
        let Some((arch, call)) = calls::find(notice.arch, notice.number) else { return Ok(()) };
        self.ledger()?.tick();
        self.lookup.settle(notice.tid);
        if notice.tid == 0 {
            return Err("a process of the command cannot be seen from outside".to_owned());
        }
        let Some(who) = self.identify(listener, notice)? else { return Ok(()) };
        self.settle(who)?;
        let args = &notice.args;
        match call {
            Call::Exec(place) => self.exec(who, place, args)?,
            Call::Open(place, flags) => {
                self.open(who, place, args, Flags::new(args[flags], args[flags + 1]))?;
            }
            Call::OpenHow(place, how) => {
                let mut wanted = [0; 24];
                if self.read(who, args[how], &mut wanted)? == 24 {
                    let word =
                        |at: usize| u64::from_le_bytes(wanted[at..at + 8].try_into().expect("eight bytes"));
                    if word(16) & libc::RESOLVE_IN_ROOT != 0 {
                        return Err(
                            "a process opened a path in a root of its own (RESOLVE_IN_ROOT)".to_owned()
                        );
                    }
                    self.open(who, place, args, Flags::new(word(0), word(8)))?;
                }
            }
            Call::Creat(place) => {
                let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
                let mode = place.path.map_or(0, |path| args[path + 1]);
                self.open(who, place, args, Flags::new(flags.cast_unsigned().into(), mode))?;
            }
            Call::OpenHandle => self.open_handle()?,
            Call::Truncate(place) => {
                let whole = arch.wide && args[1] == 0;
                let whole = if whole { Touch::REPLACED | Touch::PRESENT } else { Touch::UPDATED };
                self.change(who, place, args, whole)?;
            }
            Call::Make(place) => self.make(who, place, args)?,
            Call::Bind(address, length) => self.bind(who, args[address], args[length])?,
            Call::Remove(place) => self.change(who, place, args, Touch::REMOVED | Touch::PRESENT)?,
            Call::Rename(from, to, flags) => {
                self.rename(who, from, to, args, flags.map_or(0, |flags| args[flags] as u32))?;
            }
            Call::Link(from, to) => self.link(who, from, to, args)?,
            Call::Mode(place) => self.change(who, place, args, Touch::MODE)?,
            Call::Times(place) => {
                let unnamed = place.path.is_some_and(|path| args[path] == 0);
                let place = if unnamed { Place { path: None, ..place } } else { place };
                self.change(who, place, args, Touch::TIMES)?;
            }
            Call::ChangeDir(place) => {
                let is_told = self.spec.observe.as_ref().is_some_and(|observe| observe.lookups);
                if let Some(place) = place.filter(|_| is_told) {
                    self.look(who, place, args, Touch::PRESENT)?;
                }
                self.tasks.get(who.process).forget_cwd();
            }
            Call::ChangeView => self.change_view(who)?,
            Call::Clone => self.share(who, args[0])?,
            Call::Clone3 => {
                let mut flags = [0; 8];
                if self.read(who, args[0], &mut flags)? == 8 {
                    self.share(who, u64::from_le_bytes(flags))?;
                }
            }
            Call::Receive => {
                let mut header = [0; 56];
                let end = if arch.wide { 48 } else { 24 };
                let control = if arch.wide { &40..&48 } else { &20..&24 };
                if self.read(who, args[1], &mut header[..end])? == end
                    && header[*control.start..*control.end].iter().any(|&byte| byte != 0)
                {
                    self.take(who)?;
                }
            }
            Call::Take => self.take(who)?,
            Call::Exit => {
                let now = self.ledger()?.now();
                self.tasks.get(who.process).exit = Some((args[0] as i32 & 0xff, now));
            }
            Call::Look(place) => self.look(who, place, args, Touch::PRESENT)?,
            Call::ReadLink(place) => self.look(who, place, args, Touch::FOLLOWED)?,
            Call::Sockets => self.socket_call(who, arch, args)?,
        }
        Ok(())
    }

    fn touch(&mut self, who: Caller, found: &Found, touch: Touch) -> Result<(), String> {
        let record = self.tasks.get(who.process).record;
        let ledger = self.ledger()?;
        for link in &found.links {
            ledger.touch(record, link, Touch::FOLLOWED)?;
        }
        if found.kind == Kind::Nameless {
            return Ok(());
        }
        let touch = if found.kind == Kind::Dir { touch | Touch::DIRECTORY } else { touch };
        let place = match found.place.get() {
            Some(place) => place,
            None => {
                let place = ledger.place(&found.path)?;
                found.place.set(Some(place));
                place
            }
        };
        ledger.touch_at(record, place, touch)
    }
}

/// Whether there are such events right now; of none in particular, whether nobody is left to make calls.
fn has(listener: &OwnedFd, events: PollFlags) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(listener, events)], Some(&at_once)).is_ok_and(|ready| ready > 0)
}

fn unreadable(errno: Errno) -> String {
    let why = std::io::Error::from(errno);
    let mend = match errno {
        Errno::PERM | Errno::ACCESS => "; is `sysctl kernel.yama.ptrace_scope` 3? 2 or less will do",
        _ => "",
    };
    format!("a process of the command could not be looked into: {why}{mend}")
}

/// Who may change what while the command runs: an area goes as far as the next one inside of it.
fn areas(spec: &Spec) -> Vec<Area> {
    let normal = |path: &Path| {
        // `components` leaves out what does not count: doubled slashes, single dots.
        path.components().collect::<PathBuf>().as_os_str().as_bytes().into()
    };
    let area = |change| move |path: &Path| Area { dir: normal(path), change };
    let own = [("/tmp", Change::Heard), ("/dev", Change::Unheard), ("/proc", Change::Unheard)];
    let own = own.map(|(path, change)| area(change)(Path::new(path)));
    // What has two names is changed by one and looked up by the other.
    let written = spec.tree.as_ref().map(|tree| match &tree.root {
        TreeRoot::Plain(dir) => dir.as_path(),
        TreeRoot::Overlay(overlay) => overlay.upper.as_path(),
    });
    let overlap = |one: &Path, other: &Path| one.starts_with(other) || other.starts_with(one);
    let shows_tree = |mount: &Mount| written.is_some_and(|written| overlap(written, &mount.source));
    let binds: Vec<_> = spec.tree.iter().flat_map(|tree| &tree.binds).collect();
    let twice = spec.mounts.iter().any(|mount| !mount.read_only && shows_tree(mount))
        || binds
            .iter()
            .enumerate()
            .any(|(at, one)| binds[..at].iter().any(|other| overlap(&one.dir, &other.dir)));
    let change = if twice { Change::Unheard } else { Change::Heard };
    let trees = binds.iter().map(|bind| area(change)(&bind.target));
    let stacks = spec.stacks.iter().map(|stack| area(Change::Never)(&stack.target));
    // What may not be there at all changes nothing of where it would lie.
    let mounts = spec.mounts.iter().filter(|mount| !(mount.optional && mount.read_only));
    let mounts = mounts.map(|mount| {
        let lasts = mount.read_only && !shows_tree(mount);
        area(if lasts { Change::Never } else { Change::Unheard })(&mount.target)
    });
    own.into_iter().chain(trees).chain(stacks).chain(mounts).collect()
}

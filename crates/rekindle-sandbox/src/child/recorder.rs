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
//! measured, and 2 µs more if it is about what is mounted read-only, 4 to 6 if it is about what can change. A process
//! that executes a program and ends costs 200 to 350 µs. `benches/observe.rs` measures it, and notes what it came to.
//!
//! All processes are observed by one thread. Where many make calls at once, they wait for each other.

mod exec;
mod inherited;
mod ledger;
mod lookup;
mod open;
mod procs;
mod tasks;

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Stat;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg,
    socketpair,
};
use rustix::process::{Signal, pidfd_send_signal};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::calls::{self, Arch, Call, Last, Place};
use crate::error::Error;
use crate::records::{Records, Touch};
use crate::spec::{Observe, Spec};
use crate::sys::{self, Notice, NoticeBuffer};
use ledger::Ledger;
use lookup::{Area, Found, Kind, Lookup};
use procs::{Opened, Procs};
use tasks::Tasks;

/// What has to be made before there is an init, to observe later.
pub(super) struct Preparation {
    procs: Procs,
    /// What the caller reads the records from.
    sink: OwnedFd,
    post: OwnedFd,
    /// The command's end.
    pub(super) post_end: OwnedFd,
}

/// How following a command ended.
#[derive(PartialEq, Eq)]
pub(super) enum Ended {
    /// Init has ended.
    Init,
    /// The caller has had enough; init was killed.
    Caller,
}

impl Preparation {
    /// Takes standard input, where the caller left its order, to write the records to in the end.
    pub(super) fn make() -> Result<Self, Error> {
        let failed = |errno: Errno| Error::failed("cannot prepare to observe", errno);
        let sink = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3).map_err(failed)?;
        let procs = Procs::open().map_err(failed)?;
        let (post, post_end) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(failed)?;
        Ok(Preparation { procs, sink, post, post_end })
    }

    /// Follows the command until init ends, or kills init when the caller is gone or has had enough. Gives what was recorded.
    pub(super) fn follow(
        self,
        spec: &Spec,
        observe: &Observe,
        caller: BorrowedFd<'_>,
        init: &OwnedFd,
    ) -> (Ended, Outcome) {
        let Preparation { procs, sink, post, post_end } = self;
        drop(post_end);
        keep_one_capability();
        let mut recorder = Recorder::new(spec, observe, procs);
        let ended = match receive_listener(&post, caller, init) {
            Ok(listener) => recorder.listen(&listener, caller, init),
            Err(reason) => {
                recorder.give_up(reason);
                None
            }
        };
        // Nobody makes calls any more.
        let ended = ended.unwrap_or_else(|| wait_for_end(caller, init));
        (ended, Outcome { records: recorder.finish(), sink })
    }
}

/// How long it may take until the end of the caller is noticed, while calls are waited for.
const GLANCE: Duration = Duration::from_millis(50);

/// Waits until init has ended; ends it when the caller is gone, or has closed its side to say that it is enough.
fn wait_for_end(caller: BorrowedFd<'_>, init: &OwnedFd) -> Ended {
    loop {
        let mut fds =
            [PollFd::new(init, PollFlags::IN), PollFd::new(&caller, PollFlags::IN | PollFlags::RDHUP)];
        let _ = poll(&mut fds, None);
        if let Some(ended) = look_for_end(caller, init) {
            return ended;
        }
    }
}

/// The same, without waiting.
fn look_for_end(caller: BorrowedFd<'_>, init: &OwnedFd) -> Option<Ended> {
    let mut fds = [PollFd::new(init, PollFlags::IN), PollFd::new(&caller, PollFlags::IN | PollFlags::RDHUP)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).ok()?;
    if !fds[0].revents().is_empty() {
        return Some(Ended::Init);
    }
    if fds[1].revents().is_empty() {
        return None;
    }
    // It can only fail when init is gone already.
    let _ = pidfd_send_signal(init, Signal::KILL);
    Some(Ended::Caller)
}

/// What was recorded, on its way to the caller.
pub(super) struct Outcome {
    records: Records,
    sink: OwnedFd,
}

impl Outcome {
    /// Writes it to where the caller looks for it.
    pub(super) fn hand_over(self) -> Result<(), String> {
        let failed = |errno: Errno| format!("cannot hand the records over: {}", std::io::Error::from(errno));
        let bytes = self.records.to_bytes();
        drop(self.records);
        rustix::fs::ftruncate(&self.sink, 0).map_err(failed)?;
        let mut done = 0;
        while done < bytes.len() {
            done += rustix::io::pwrite(&self.sink, &bytes[done..], done as u64).map_err(failed)?;
        }
        Ok(())
    }
}

/// The descriptor that the command sends; or why it cannot, as text.
fn receive_listener(post: &OwnedFd, caller: BorrowedFd<'_>, init: &OwnedFd) -> Result<OwnedFd, String> {
    let ended = || "the command ended before it could be observed".to_owned();
    let mut fds = [
        PollFd::new(post, PollFlags::IN),
        PollFd::new(init, PollFlags::IN),
        PollFd::new(&caller, PollFlags::IN | PollFlags::RDHUP),
    ];
    while poll(&mut fds, None).is_err() {}
    if fds[0].revents().is_empty() {
        return Err(ended());
    }
    let mut text = [0; 512];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(post, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC);
    let count =
        received.map_err(|errno| format!("cannot begin to observe: {}", std::io::Error::from(errno)))?.bytes;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message
            && let Some(fd) = fds.next()
        {
            return Ok(fd);
        }
    }
    Err(match count {
        0 => ended(),
        _ => String::from_utf8_lossy(&text[..count]).into_owned(),
    })
}

/// What the command may not open, it must not find either, so all other capabilities have to go.
fn keep_one_capability() {
    let one = CapabilitySet::SYS_PTRACE;
    let none = CapabilitySet::empty();
    // Without it, what cannot be looked into is said to be so.
    let _ = set_capabilities(None, CapabilitySets { effective: one, permitted: one, inheritable: none });
}

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

/// The text of a link to an open file, and what is known of the file already.
type OpenFile = (Vec<u8>, Option<Stat>);

/// What a path or descriptor of a call means.
enum Target {
    Found(Rc<Found>),
    /// The call fails whatever there is.
    Nothing,
}

/// Where relative paths begin: a directory, without a slash at the end.
enum Base {
    At(Rc<[u8]>),
    /// It was removed, and this is what it was called. It is empty, but a path leads out of it by `..`.
    Removed(Rc<[u8]>),
    /// It is no directory.
    Nowhere,
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
        sys::set_sync_wake_up(listener.as_fd());
        let _interruptions = sys::Interruptions::every(GLANCE);
        let mut buffer = NoticeBuffer::new();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut glance = Instant::now() + GLANCE;
        let mut heard = 0u32;
        loop {
            let received = buffer.receive(listener.as_fd());
            if let Ok(notice) = &received {
                self.hear(listener.as_fd(), notice);
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
            let mut fds = [PollFd::new(listener, PollFlags::empty())];
            if received.is_err() && poll(&mut fds, Some(&at_once)).is_ok_and(|ended| ended > 0) {
                return None;
            }
        }
    }

    /// Records one call, and lets it go on.
    fn hear(&mut self, listener: BorrowedFd<'_>, notice: &Notice) {
        if self.ledger.is_ok()
            && let Err(reason) = self.record(listener, notice)
        {
            self.give_up(reason);
        }
        sys::let_go_on(listener, notice.id);
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
        if notice.tid == 0 {
            return Err("a process of the command cannot be seen from outside".to_owned());
        }
        let Some(who) = self.identify(listener, notice)? else { return Ok(()) };
        self.settle(who)?;
        let args = &notice.args;
        match call {
            Call::Exec(place) => self.exec(who, place, args)?,
            Call::Open(place, flags) => self.open(who, place, args, args[flags] as u32)?,
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
                    self.open(who, place, args, word(0) as u32)?;
                }
            }
            Call::Creat(place) => {
                let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
                self.open(who, place, args, flags.cast_unsigned())?;
            }
            Call::OpenHandle => self.open_handle()?,
            Call::Truncate(place) => {
                let whole = arch.wide && args[1] == 0;
                self.change(who, place, args, if whole { Touch::REPLACED } else { Touch::UPDATED })?;
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
            Call::ChangeDir => self.tasks.get(who.process).forget_cwd(),
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
            Call::Look(place) => self.look(who, place, args)?,
            Call::Sockets => self.socket_call(who, arch, args)?,
        }
        Ok(())
    }

    /// Mounts and roots of one's own are beyond what can be followed. In the sandbox's own user namespace nobody has
    /// the right to any.
    fn change_view(&mut self, who: Caller) -> Result<(), String> {
        match self.procs.link(who.tid, "ns/user") {
            Ok(namespace) if namespace == self.namespace => Ok(()),
            Err(Errno::NOENT | Errno::SRCH) => Ok(()),
            _ => {
                Err("a process mounted file systems, or changed its root, in a namespace of its own"
                    .to_owned())
            }
        }
    }

    /// A thread or process that shares something comes into being.
    fn share(&mut self, who: Caller, flags: u64) -> Result<(), String> {
        let has = |flag: i32| flags & u64::from(flag.cast_unsigned()) != 0;
        let task = self.tasks.get(who.process);
        let record = task.record;
        if has(libc::CLONE_THREAD) {
            task.threads = true;
            task.forget_cwd();
        } else {
            if has(libc::CLONE_FS) {
                task.cwd_shared = true;
                task.forget_cwd();
                self.tasks.cwds_are_shared = true;
            }
            if has(libc::CLONE_FILES) {
                self.tasks.get(who.process).descriptors_shared = true;
                self.tasks.descriptors_are_shared = true;
                self.ledger()?.process(record).shares = true;
            }
        }
        Ok(())
    }

    /// Descriptors may come in from another process.
    fn take(&mut self, who: Caller) -> Result<(), String> {
        let task = self.tasks.get(who.process);
        task.scan = true;
        let record = task.record;
        self.ledger()?.process(record).shares = true;
        Ok(())
    }

    fn socket_call(&mut self, who: Caller, arch: &Arch, args: &[u64; 6]) -> Result<(), String> {
        const BIND: u64 = 2;
        const RECVMSG: u64 = 17;
        const RECVMMSG: u64 = 19;
        debug_assert!(!arch.wide, "there is no such call");
        let mut inner = [0; 12];
        match args[0] {
            RECVMSG | RECVMMSG => self.take(who),
            BIND if self.read(who, args[1], &mut inner)? == 12 => {
                let [_, address, length] = [0, 4, 8].map(|at| {
                    u64::from(u32::from_le_bytes(inner[at..at + 4].try_into().expect("four bytes are four")))
                });
                self.bind(who, address, length)
            }
            _ => Ok(()),
        }
    }

    /// What a place means that a call names.
    fn resolve(
        &mut self,
        who: Caller,
        place: Place,
        args: &[u64; 6],
        follow: Option<bool>,
    ) -> Result<Target, String> {
        const AT_EMPTY_PATH: u64 = 0x1000;
        const NOFOLLOW: u64 = libc::AT_SYMLINK_NOFOLLOW as u64;
        const FOLLOW: u64 = libc::AT_SYMLINK_FOLLOW as u64;
        let (mut follows, flags) = match place.last {
            Last::Follow => (true, 0),
            Last::Keep => (false, 0),
            Last::FollowUnless(flags) => (args[flags] & NOFOLLOW == 0, args[flags]),
            Last::KeepUnless(flags) => (args[flags] & FOLLOW != 0, args[flags]),
        };
        follows = follow.unwrap_or(follows);
        let dir = place.dir.map_or(libc::AT_FDCWD, |dir| args[dir] as i32);
        let Some(address) = place.path.map(|path| args[path]) else {
            return self.descriptor(who, dir);
        };
        let path = match self.first_program(who) {
            Some(program) => program,
            None => match self.text(who, address)? {
                Some(path) => path,
                // Some calls take no path for an empty one.
                None if address == 0 && flags & AT_EMPTY_PATH != 0 => Vec::new(),
                None => return Ok(Target::Nothing),
            },
        };
        if path.is_empty() {
            return if flags & AT_EMPTY_PATH != 0 { self.descriptor(who, dir) } else { Ok(Target::Nothing) };
        }
        let base = match path.starts_with(b"/") {
            true => Base::At(Rc::from(&b""[..])),
            false => self.base(who, dir)?,
        };
        match base {
            Base::At(base) => self.find(who, &base, &path, follows).map(Target::Found),
            Base::Removed(base) => match out_of(&base, &path) {
                Some((base, path)) => self.find(who, base, path, follows).map(Target::Found),
                None => Ok(Target::Nothing),
            },
            Base::Nowhere => Ok(Target::Nothing),
        }
    }

    fn find(&mut self, who: Caller, base: &[u8], path: &[u8], follow: bool) -> Result<Rc<Found>, String> {
        let Recorder { lookup, procs, .. } = self;
        let own = || {
            let process = procs.ids(who.process).ok()?.inner?;
            let thread = if who.tid == who.process { process } else { procs.ids(who.tid).ok()?.inner? };
            Some((process, thread))
        };
        Ok(lookup.find(base, path, follow, own))
    }

    /// Where relative paths begin.
    fn base(&mut self, who: Caller, dir: i32) -> Result<Base, String> {
        if dir != libc::AT_FDCWD {
            return self.directory(who, dir);
        }
        let task = self.tasks.get(who.process);
        if let Some(cwd) = &task.cwd {
            return Ok(Base::At(cwd.clone()));
        }
        let keeps = !task.threads && !task.cwd_shared;
        if self.is_first(who) {
            return Ok(Base::At(self.first_cwd(who)?));
        }
        let base = self.directory(who, dir)?;
        if let (true, Base::At(cwd)) = (keeps, &base) {
            self.tasks.get(who.process).cwd = Some(cwd.clone());
        }
        Ok(base)
    }

    /// A directory that a process has open.
    fn directory(&mut self, who: Caller, fd: i32) -> Result<Base, String> {
        let Some((path, stat)) = self.opened(who, fd)? else { return Ok(Base::Nowhere) };
        Ok(match Opened::of(&path, || stat.or_else(|| self.procs.stat(who.tid, &link_name(fd)).ok())) {
            Opened::At(b"/") => Base::At(Rc::from(&b""[..])),
            Opened::At(path) => Base::At(path.into()),
            Opened::Nameless(path) => Base::Removed(path.into()),
            Opened::NoFile => Base::Nowhere,
        })
    }

    /// What a process has open.
    fn descriptor(&mut self, who: Caller, fd: i32) -> Result<Target, String> {
        let Some((text, stat)) = self.opened(who, fd)? else { return Ok(Target::Nothing) };
        let stat = stat.or_else(|| self.procs.stat(who.tid, &link_name(fd)).ok());
        let (path, kind) = match Opened::of(&text, || stat) {
            Opened::At(path) => (path, stat.map_or(Kind::Other, |stat| Kind::of(stat.st_mode))),
            Opened::Nameless(path) => (path, Kind::Nameless),
            Opened::NoFile => return Ok(Target::Nothing),
        };
        let found = Found { path: path.into(), kind, links: Vec::new(), lasting: false };
        Ok(Target::Found(Rc::new(found)))
    }

    /// The text of the link to what a process has open, and what is known of it already. `None` if it is not open, or
    /// the thread is gone.
    fn opened(&mut self, who: Caller, fd: i32) -> Result<Option<OpenFile>, String> {
        let mut opened = self.procs.link(who.tid, &link_name(fd)).map(|text| (text, None));
        if matches!(opened, Err(Errno::ACCESS)) && fd >= 0 {
            // A process may keep others out of its part of `/proc`, but not of itself.
            opened = self
                .tasks
                .get(who.process)
                .descriptor(fd)
                .and_then(|copy| Ok((self.procs.descriptor(&copy)?, Some(rustix::fs::fstat(&copy)?))));
        }
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(Errno::NOENT | Errno::SRCH | Errno::BADF) => Ok(None),
            Err(Errno::NAMETOOLONG) => {
                Err("a process uses a file or directory whose path is too long".to_owned())
            }
            Err(errno) => Err(unreadable(errno)),
        }
    }

    /// A path in a process's memory; `None` where the call will fail for it.
    fn text(&self, who: Caller, address: u64) -> Result<Option<Vec<u8>>, String> {
        const PAGE: u64 = 4096;
        const LONGEST: usize = libc::PATH_MAX as usize;
        let mut text = Vec::with_capacity(256);
        let mut piece = 256;
        while text.len() < LONGEST {
            // Never across the end of a page: the next one may not be there.
            let at = address.wrapping_add(text.len() as u64);
            let length = piece.min((PAGE - at % PAGE) as usize);
            let start = text.len();
            text.resize(start + length, 0);
            let count = self.read(who, at, &mut text[start..])?;
            if count == 0 {
                return Ok(None);
            }
            if let Some(end) = text[start..start + count].iter().position(|&byte| byte == 0) {
                text.truncate(start + end);
                return Ok(Some(text));
            }
            text.truncate(start + count);
            piece = PAGE as usize;
        }
        Ok(None)
    }

    /// Copies from a process's memory; 0 where there is none, or no process any more.
    fn read(&self, who: Caller, address: u64, to: &mut [u8]) -> Result<usize, String> {
        let refusal = match sys::read_memory(who.tid, address, to) {
            Ok(count) => return Ok(count),
            Err(error) => error.raw_os_error(),
        };
        if matches!(refusal, Some(libc::EFAULT | libc::ESRCH | libc::EINVAL)) {
            return Ok(0);
        }
        match self.procs.read_memory(who.tid, address, to) {
            Ok(count) => Ok(count),
            Err(Errno::IO | Errno::FAULT | Errno::NOENT | Errno::SRCH) => Ok(0),
            Err(errno) => Err(unreadable(errno)),
        }
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
        ledger.touch(record, &found.path, touch)
    }
}

/// The directory above one that was removed, and what is left of a path that begins with `..`.
fn out_of<'a>(base: &'a [u8], path: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut rest = path;
    loop {
        let end = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        let (name, left) = rest.split_at(end);
        let left = &left[left.iter().position(|&byte| byte != b'/').unwrap_or(left.len())..];
        match name {
            b"." if !left.is_empty() => rest = left,
            b".." => {
                let above = &base[..base.iter().rposition(|&byte| byte == b'/')?];
                return Some((above, if left.is_empty() { b"." } else { left }));
            }
            _ => return None,
        }
    }
}

fn link_name(fd: i32) -> String {
    if fd == libc::AT_FDCWD { "cwd".to_owned() } else { format!("fd/{fd}") }
}

fn unreadable(errno: Errno) -> String {
    format!("a process of the command could not be looked into: {}", std::io::Error::from(errno))
}

/// Where something may change while the command runs, and where not: an area goes as far as the next one inside of it.
fn areas(spec: &Spec) -> Vec<Area> {
    let normal = |path: &Path| {
        // `components` leaves out what does not count: doubled slashes, single dots.
        path.components().collect::<std::path::PathBuf>().as_os_str().as_bytes().into()
    };
    let area = |writable| move |path: &Path| Area { dir: normal(path), writable };
    let own = ["/tmp", "/dev", "/proc"].map(Path::new).into_iter().map(area(true));
    let trees = spec.tree.iter().flat_map(|tree| &tree.binds).map(|bind| area(true)(&bind.target));
    let stacks = spec.stacks.iter().map(|stack| area(false)(&stack.target));
    // What may not be there at all changes nothing of where it would lie.
    let mounts = spec.mounts.iter().filter(|mount| !(mount.optional && mount.read_only));
    let mounts = mounts.map(|mount| area(!mount.read_only)(&mount.target));
    own.chain(trees).chain(stacks).chain(mounts).collect()
}

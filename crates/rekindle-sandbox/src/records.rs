//! What every process of a command did: plain data, and ways to ask it.
//!
//! # What is recorded, and how far it can be trusted
//!
//! A call is recorded when it is made, before the kernel carries it out: what was there then is looked up by the
//! observer, in the view of the process, and the process goes on with the very call that it made. So a record of a change
//! says that it was asked for. Where a lack of permission shows, it is no change; and a file that is still there when
//! whoever removed or moved it makes its next call was not ([`Access::changed`] is 0 then). A refusal for other reasons
//! (a full disk, a program that is being executed) is not noticed. Rather too much is recorded than too little: a directory opened for
//! reading counts as listed, a descriptor inherited through an `execve` counts as used by the program executed.
//!
//! Recorded are all ways to open, execute, create, rename, link, remove and to change modes, owners, times and attributes, for
//! programs of any kind, as they are caught in the kernel: static ones, raw calls, calls by i386 numbers. Files
//! that the kernel opens itself are recorded too: the interpreter of a script, the loader of a program.
//!
//! Not recorded: looking without opening (unless [`Observe::lookups`](crate::Observe::lookups) asks for it; symbolic links that lead
//! to what is opened are recorded always); `ioctl`s that change a file's flags; opens in `/proc` and `/dev`.
//! The interpreter that `binfmt_misc` adds is seen by its own opens only.
//!
//! # What a hostile command could hide
//!
//! The kernel reads the path of a call once more after the observer has read it. A thread, or a process that shares
//! memory or traces another, that changes the text in between opens one file while another is recorded. No compiler
//! does that, and a command could only deceive about its own work. So records may decide what of a command's own results is
//! used again in place of running the same command; they must not decide what one user takes from another.
//!
//! Nothing that is cheap closes this gap: to open files on behalf of a process changes who opens them, and to read the
//! text again later finds every program that uses a buffer twice. But where [`Spec::watch`](crate::Spec::watch) is asked for too, a file or directory that was there before the
//! command and that inotify saw opened in a watched directory, though no process is recorded to have opened it, makes the records incomplete. Not
//! found out is what lies outside of the watched directories, or was made by the command, which of two recorded processes
//! opened a file, and all that is not opening.
//!
//! Where the observer notices that it cannot follow (a process that mounts something in a namespace of its own, memory that cannot be
//! read, a file opened by handle, more than [`Observe::memory_bytes`](crate::Observe::memory_bytes)), [`Records::complete`] is false:
//! nothing is ever left out in silence.
//!
//! A process may also get descriptors over a socket, or share them with another. What was open when it next made
//! a call is put down to it; but as it may have been closed by then, [`Process::shares`] tells that it may have read
//! what other processes had opened.

mod check;
mod input;
mod paths;
pub(crate) mod wire;

use std::ffi::OsString;
use std::time::Duration;

pub use input::Inputs;
pub use paths::{PathId, Paths};

/// What every process of a command did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// In the order in which they were first seen; a [`ProcessId`] is a place in this list.
    pub processes: Vec<Process>,
    /// New names given to files, in order.
    pub moves: Vec<Move>,
    /// All paths that the rest speaks of.
    pub paths: Paths,
    /// How many calls were looked at.
    pub events: u64,
    /// When the command began, to which all times here are relative, by the clock `CLOCK_MONOTONIC`.
    pub began: Duration,
    /// Whether nothing was missed. If not, the rest is empty, and the caller has to assume that anything happened.
    pub complete: bool,
    /// Why it is not complete, and what to do about it, in one line; empty if it is.
    pub reason: String,
}

/// A process, by its place in [`Records::processes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u32);

/// One process between two `execve`s: all its threads, and the time from the fork to its first `execve`.
///
/// A process that executes several programs one after the other is several of these, linked by `before`. Processes
/// that did nothing worth recording may be missing, unless they executed something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Who started it; `None` for the first, and for one whose parent, or one above that, had ended before its first recorded
    /// call.
    pub parent: Option<ProcessId>,
    /// What the same process was before it executed this program, if it had executed another one before.
    pub before: Option<ProcessId>,
    /// The program; `None` for one that was forked and executed nothing: it runs the program of its parent.
    pub exec: Option<Exec>,
    /// How it ended.
    pub end: End,
    /// When it was first heard of, or when it executed this program, since the command began. A process is heard of by
    /// its first recorded call, as a rule within a millisecond of its fork.
    pub started: Duration,
    /// When it said that it exits, or executed another program, since the command began. Of one that was killed it is when that was
    /// noticed, up to a tenth of a second later; of one that outlived the command, when all was over.
    pub ended: Duration,
    /// It was given descriptors over a socket, or shares them with another process: it may have used what others opened.
    pub shares: bool,
    /// What its standard input was when it executed its program.
    pub input: Stream,
    /// What its standard output was then.
    pub output: Stream,
    /// What it did to each path, sorted by path.
    pub accesses: Vec<Access>,
}

/// What a process reads from or writes to by a descriptor that it had from the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// Something else, nothing, or it was not looked at.
    #[default]
    Other,
    /// A pipe, by a number that no other one of the same command has.
    Pipe(u64),
    /// A file that is recorded.
    File(PathId),
}

/// The execution of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The file that was executed: for a script, the script.
    pub program: PathId,
    /// The working directory then.
    pub cwd: PathId,
    /// Arguments from `argv[0]` on; for a script they begin with its interpreter. Where they are longer than 64 KiB together, the rest is left out.
    pub argv: Vec<OsString>,
    /// BLAKE3 of all arguments, each ended by a NUL byte.
    pub argv_digest: [u8; 32],
    /// BLAKE3 of the environment, `NAME=value` each ended by a NUL byte, in its order.
    pub env_digest: [u8; 32],
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// It was not seen: the process was killed, and the kernel (before 6.15) does not tell by what; or it executed
    /// another program.
    #[default]
    Unseen,
    /// It exited with this code.
    Code(i32),
    /// It died of this signal.
    Signal(i32),
}

/// What one process did to one path. The path is resolved: no component but the last is a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The path.
    pub path: PathId,
    /// All that was done to it.
    pub touch: Touch,
    /// When the process first observed it, counted in calls of the whole command from 1; 0 for never. The same as `changed`
    /// only if it was thrown away at once, and so no content of it was observed. Looking at what
    /// it made itself, and no other has changed since, is not told.
    pub observed: u32,
    /// When the process first changed its content or its name, counted likewise; 0 for never. Other attributes and
    /// times do not count, nor does an attempt that was seen to fail.
    pub changed: u32,
    /// When the process last did so.
    pub changed_last: u32,
}

/// A set of things that can be done to a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touch(u16);

impl Touch {
    /// Opened for reading its content.
    pub const READ: Touch = Touch(1);
    /// Executed, as program, as interpreter of a script, or as loader of a program; it was read, too.
    pub const EXECUTED: Touch = Touch(1 << 1);
    /// A directory that was opened, which comes before listing it.
    pub const LISTED: Touch = Touch(1 << 2);
    /// Looked for, and not there.
    pub const ABSENT: Touch = Touch(1 << 3);
    /// Found to be there, without its content: `O_EXCL`, `mkdir`, `stat`.
    pub const PRESENT: Touch = Touch(1 << 4);
    /// A symbolic link that was followed, or read.
    pub const FOLLOWED: Touch = Touch(1 << 5);
    /// Made where nothing was: a file, directory, link, socket or device.
    pub const CREATED: Touch = Touch(1 << 6);
    /// Its old content was thrown away: truncated by opening, or replaced by a rename. With [`Touch::PRESENT`], it was
    /// truncated in a way that does nothing where there is no file.
    pub const REPLACED: Touch = Touch(1 << 7);
    /// Opened for writing with its content kept, or truncated to a length: what was in it may still be.
    pub const UPDATED: Touch = Touch(1 << 8);
    /// Removed or moved away.
    pub const REMOVED: Touch = Touch(1 << 9);
    /// Given another mode, owner or attribute.
    pub const MODE: Touch = Touch(1 << 10);
    /// Given other times.
    pub const TIMES: Touch = Touch(1 << 11);
    /// It is a directory, at least once it was.
    pub const DIRECTORY: Touch = Touch(1 << 12);
    /// Reading or updating was possible through a descriptor that it had when it began, or that it was given.
    pub const INHERITED: Touch = Touch(1 << 13);
    /// It was truncated by a call that would have made it with another mode than it has, and so keeps.
    pub const MODE_KEPT: Touch = Touch(1 << 14);

    const OBSERVES: Touch = Touch(0b0100_0001_0011_1111);
    const CHANGES: Touch = Touch(0b1111_1100_0000);
    const REMAKES: Touch = Touch(0b0011_1100_0000);

    /// Whether it has any of these.
    pub fn any(self, of: Touch) -> bool {
        self.0 & of.0 != 0
    }

    /// Whether anything of it depends on what was there before: content, presence, absence, names, a link's target.
    pub fn observes(self) -> bool {
        self.any(Self::OBSERVES)
    }

    /// Whether anything of it changes the path.
    pub fn changes(self) -> bool {
        self.any(Self::CHANGES)
    }

    /// Whether anything of it changes what is found there: the content, or whether there is anything.
    pub fn remakes(self) -> bool {
        self.any(Self::REMAKES)
    }

    pub(crate) fn only_changes(self) -> Touch {
        Touch(self.0 & !Self::OBSERVES.0)
    }

    pub(crate) fn without(self, other: Touch) -> Touch {
        Touch(self.0 & !other.0)
    }

    /// The names of what it has, for a person to read.
    pub fn names(self) -> Vec<&'static str> {
        let all = [
            "read",
            "executed",
            "listed",
            "absent",
            "present",
            "followed",
            "created",
            "replaced",
            "updated",
            "removed",
            "mode",
            "times",
            "directory",
            "inherited",
            "mode-kept",
        ];
        all.into_iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 != 0).map(|(_, name)| name).collect()
    }

    pub(crate) fn bits(self) -> u16 {
        self.0
    }

    pub(crate) fn from_bits(bits: u16) -> Option<Touch> {
        (bits < 1 << 15).then_some(Touch(bits))
    }
}

impl std::ops::BitOr for Touch {
    type Output = Touch;

    fn bitor(self, other: Touch) -> Touch {
        Touch(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Touch {
    fn bitor_assign(&mut self, other: Touch) {
        self.0 |= other.0;
    }
}

/// A new name for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Who asked for it.
    pub process: ProcessId,
    /// The name that it had; for a link made of a file without a name, the same as `to`.
    pub from: PathId,
    /// The name that it got.
    pub to: PathId,
    /// Whether the old one stays, goes, or comes to be the other's.
    pub kind: MoveKind,
    /// When, counted in calls of the whole command from 1.
    pub at: u32,
}

/// What becomes of the old name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveKind {
    /// It goes. Of a directory, with all that is below it.
    Rename,
    /// It becomes the name of the other.
    Exchange,
    /// It stays.
    Link,
}

impl Records {
    /// Records of nothing, for this reason.
    pub(crate) fn unknown(reason: impl Into<String>) -> Self {
        Records { reason: reason.into(), ..Records::default() }
    }

    /// The process of this id.
    ///
    /// # Panics
    ///
    /// If it is from other records.
    pub fn process(&self, id: ProcessId) -> &Process {
        &self.processes[id.0 as usize]
    }

    /// The processes with their ids.
    pub fn each_process(&self) -> impl Iterator<Item = (ProcessId, &Process)> {
        (0..).map(ProcessId).zip(&self.processes)
    }

    /// What the process did to this path, if anything.
    pub fn access(&self, process: ProcessId, path: PathId) -> Option<&Access> {
        let accesses = &self.process(process).accesses;
        accesses.binary_search_by_key(&path, |access| access.path).ok().map(|at| &accesses[at])
    }

    /// An index from paths to the processes that did something to them.
    pub fn index(&self) -> Index {
        let mut starts = vec![0u32; self.paths.len() + 1];
        let all = || {
            self.each_process().flat_map(|(id, process)| process.accesses.iter().map(move |a| (id, a.path)))
        };
        all().for_each(|(_, path)| starts[path.0 as usize + 1] += 1);
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut processes = vec![ProcessId(0); starts.last().copied().unwrap_or(0) as usize];
        for (id, path) in all() {
            let place = &mut next[path.0 as usize];
            processes[*place as usize] = id;
            *place += 1;
        }
        Index { starts, processes }
    }
}

/// Which processes did something to a path.
#[derive(Clone, Debug)]
pub struct Index {
    starts: Vec<u32>,
    processes: Vec<ProcessId>,
}

impl Index {
    /// The processes that did something to this path, in order; [`Records::access`] says what.
    pub fn processes(&self, path: PathId) -> &[ProcessId] {
        let place =
            |id: u32| self.starts.get(id as usize).map_or(self.processes.len(), |&start| start as usize);
        &self.processes[place(path.0)..place(path.0.saturating_add(1))]
    }
}

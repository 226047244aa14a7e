//! Writes down what was observed: each path of each process once, however often it is touched.

use std::collections::HashSet;
use std::time::Duration;

use super::lookup::is_below;
use super::numbers::ByNumber;
use crate::clock;
use crate::records::{Access, End, Exec, Move, MoveKind, PathId, Process, ProcessId, Records, Touch};
use crate::spec::Observe;

pub(super) struct Ledger {
    records: Records,
    /// Of each process, until it has ended.
    open: ByNumber<ProcessId, ByNumber<PathId, Access>>,
    /// Who changed each path last.
    changers: ByNumber<PathId, ProcessId>,
    /// Moves that did not happen after all.
    void: HashSet<usize>,
    roots: Vec<Box<[u8]>>,
    clock: u32,
    room: u64,
}

/// What is known of a path before a process changes it.
pub(super) struct Memory {
    who: ProcessId,
    path: PathId,
    times: (u32, u32),
    changer: Option<ProcessId>,
    at: u32,
}

/// Where a path is in the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    At(PathId),
    /// What is done to it is of no interest.
    Nowhere,
}

/// What an access, a process and a move cost in memory, roughly: more than their size, for the tables that they are in.
const PER_ACCESS: u64 = 96;
const PER_PROCESS: u64 = 512;

const FULL: &str = "the command did more than there is memory for in the records";

impl Ledger {
    pub(super) fn new(observe: &Observe) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let roots = observe.roots.iter().map(|root| {
            let root = root.as_os_str().as_bytes();
            root.strip_suffix(b"/").unwrap_or(root).into()
        });
        Ledger {
            records: Records { began: clock::now(), ..Records::default() },
            open: ByNumber::default(),
            changers: ByNumber::default(),
            void: HashSet::new(),
            roots: roots.collect(),
            clock: 0,
            room: observe.memory_bytes,
        }
    }

    /// Begins another call.
    pub(super) fn tick(&mut self) {
        self.records.events += 1;
        self.clock = self.clock.saturating_add(1);
    }

    /// Since the command began.
    pub(super) fn now(&self) -> Duration {
        clock::now().saturating_sub(self.records.began)
    }

    pub(super) fn is_of_interest(&self, path: &[u8]) -> bool {
        match self.roots.is_empty() {
            // Of all these, only here files are kept.
            true => is_below(path, b"/dev/shm") || (!is_below(path, b"/proc") && !is_below(path, b"/dev")),
            false => self.roots.iter().any(|root| is_below(path, root)),
        }
    }

    pub(super) fn begin(
        &mut self,
        parent: Option<ProcessId>,
        before: Option<ProcessId>,
        started: Duration,
    ) -> Result<ProcessId, String> {
        self.pay(PER_PROCESS)?;
        let id = ProcessId(u32::try_from(self.records.processes.len()).map_err(|_| FULL)?);
        self.records.processes.push(Process { parent, before, started, ..Process::default() });
        self.open.insert(id, ByNumber::default());
        Ok(id)
    }

    pub(super) fn process(&mut self, id: ProcessId) -> &mut Process {
        &mut self.records.processes[id.0 as usize]
    }

    pub(super) fn set_exec(&mut self, id: ProcessId, exec: Exec) -> Result<(), String> {
        self.pay(exec.argv.iter().map(|arg| arg.len() as u64 + 24).sum())?;
        self.process(id).exec = Some(exec);
        Ok(())
    }

    pub(super) fn end(&mut self, id: ProcessId, end: Option<End>, ended: Duration) {
        self.process(id).ended = ended;
        if let Some(end) = end {
            self.process(id).end = end;
        }
        if let Some(accesses) = self.open.remove(&id) {
            self.process(id).accesses = sorted(accesses);
        }
    }

    pub(super) fn path(&mut self, path: &[u8]) -> Result<PathId, String> {
        let (id, cost) = self.records.paths.add(path);
        self.pay(cost as u64)?;
        Ok(id)
    }

    /// Notes what a process does to a path, if that is of interest.
    pub(super) fn touch(&mut self, who: ProcessId, path: &[u8], touch: Touch) -> Result<(), String> {
        let place = self.place(path)?;
        self.touch_at(who, place, touch)
    }

    pub(super) fn place(&mut self, path: &[u8]) -> Result<Place, String> {
        Ok(if self.is_of_interest(path) { Place::At(self.path(path)?) } else { Place::Nowhere })
    }

    pub(super) fn touch_at(&mut self, who: ProcessId, place: Place, touch: Touch) -> Result<(), String> {
        let Place::At(path) = place else { return Ok(()) };
        let own = self.changers.get(&path) == Some(&who);
        let inherited = touch.any(Touch::INHERITED);
        // What is read by a descriptor is known to be read only if it can be.
        let observes = if inherited { touch.any(Touch::READ) } else { touch.observes() };
        if own && !touch.changes() {
            return Ok(());
        }
        // Looking at what it made itself is not told.
        let touch = if own { touch.only_changes() } else { touch };
        let clock = self.clock;
        let Some(accesses) = self.open.get_mut(&who) else { return Ok(()) };
        let fresh = !accesses.contains_key(&path);
        let access = accesses.entry(path).or_insert(Access {
            path,
            touch: Touch::default(),
            observed: 0,
            changed: 0,
            changed_last: 0,
        });
        // What it writes into what it made itself was not there before.
        let makes = Touch::CREATED | Touch::REPLACED;
        let is_own_work = own && (access.touch.any(makes | Touch::REMOVED) || touch.any(makes));
        access.touch |= if is_own_work { touch.without(Touch::UPDATED) } else { touch };
        if observes && !own && access.observed == 0 {
            access.observed = clock;
        }
        if access.observed == clock && !touch.any(makes | Touch::REMOVED) {
            // What it may keep it has looked at before; what it throws away, at the same time.
            self.clock = self.clock.saturating_add(1);
        }
        let clock = self.clock;
        if touch.remakes() {
            if access.changed == 0 {
                access.changed = clock;
            }
            access.changed_last = clock;
            self.changers.insert(path, who);
        }
        if fresh { self.pay(PER_ACCESS) } else { Ok(()) }
    }

    /// Whether the process has used this path by itself, so that a descriptor to it is no news.
    pub(super) fn has_touched(&self, who: ProcessId, path: &[u8]) -> bool {
        use std::os::unix::ffi::OsStrExt;
        let id = self.records.paths.id(std::path::Path::new(std::ffi::OsStr::from_bytes(path)));
        let known = id.and_then(|id| self.open.get(&who)?.get(&id));
        known.is_some_and(|access| {
            access.touch.any(Touch::READ | Touch::CREATED | Touch::REPLACED | Touch::UPDATED)
        })
    }

    pub(super) fn step(
        &mut self,
        who: ProcessId,
        from: &[u8],
        to: &[u8],
        kind: MoveKind,
    ) -> Result<Option<usize>, String> {
        if !self.is_of_interest(from) && !self.is_of_interest(to) {
            return Ok(None);
        }
        self.pay(PER_ACCESS)?;
        let (from, to) = (self.path(from)?, self.path(to)?);
        self.records.moves.push(Move { process: who, from, to, kind, at: self.clock });
        Ok(Some(self.records.moves.len() - 1))
    }

    /// What is known of a path before it is changed, so that it can be known again. `None` if nothing is recorded of it.
    pub(super) fn remember(&mut self, who: ProcessId, path: &[u8]) -> Result<Option<Memory>, String> {
        if !self.is_of_interest(path) {
            return Ok(None);
        }
        self.pay(PER_ACCESS)?;
        let path = self.path(path)?;
        let access = self.open.get(&who).and_then(|accesses| accesses.get(&path));
        let times = access.map_or((0, 0), |access| (access.changed, access.changed_last));
        let changer = self.changers.get(&path).copied();
        Ok(Some(Memory { who, path, times, changer, at: self.clock }))
    }

    /// It is known now whether the change happened, and what was remembered is of no use any more.
    pub(super) fn forget(&mut self, memories: &[Memory]) {
        self.room += PER_ACCESS * memories.len() as u64;
    }

    /// The change did not happen.
    pub(super) fn take_back(&mut self, memory: &Memory) {
        let &Memory { who, path, times, changer, at } = memory;
        let Some(access) = self.open.get_mut(&who).and_then(|accesses| accesses.get_mut(&path)) else {
            return;
        };
        if access.changed_last == at {
            (access.changed, access.changed_last) = times;
        } else if access.changed == at {
            // Another thread has changed it since.
            access.changed = access.changed_last;
        }
        if self.changers.get(&path) == Some(&who) {
            match changer {
                Some(changer) => self.changers.insert(path, changer),
                None => self.changers.remove(&path),
            };
        }
    }

    pub(super) fn take_back_step(&mut self, step: usize) {
        self.void.insert(step);
    }

    pub(super) fn finish(mut self) -> Records {
        for (id, accesses) in std::mem::take(&mut self.open) {
            self.process(id).accesses = sorted(accesses);
        }
        let mut index = 0..;
        self.records.moves.retain(|_| index.next().is_none_or(|index| !self.void.contains(&index)));
        self.records.complete = true;
        self.records
    }

    fn pay(&mut self, bytes: u64) -> Result<(), String> {
        self.room = self.room.checked_sub(bytes).ok_or(FULL)?;
        Ok(())
    }
}

fn sorted(accesses: ByNumber<PathId, Access>) -> Vec<Access> {
    let mut accesses: Vec<Access> = accesses.into_values().collect();
    accesses.sort_unstable_by_key(|access| access.path);
    accesses
}

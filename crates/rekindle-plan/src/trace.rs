//! What the processes of one run of a step did to its tree: the facts that an audit and an explanation rest on.
//!
//! A trace is made once, when the step has run, and never changed. A seeded step leaves a short one, which only counts
//! together with those of the builds before it. Processes and paths are numbers; a path that does not begin with a slash
//! is one of the tree, all others lie outside of it. It must not know how processes are observed.

mod arguments;
mod by_path;
mod disk;

pub use arguments::Arguments;
use by_path::ByPath;

/// One run of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    paths: Paths,
    /// In the order in which they were first seen.
    processes: Vec<Process>,
    moves: Vec<Move>,
    /// Of each path, whether the run left something there that it made or changed.
    left: Vec<bool>,
    by_path: ByPath,
}

/// A process, by its place in [`Trace::processes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u32);

/// A path, by its place in [`Trace::paths`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub u32);

impl ProcessId {
    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}

impl PathId {
    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}

/// One process between two programs that it executes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// Who started it. It comes before it in the list.
    pub parent: Option<ProcessId>,
    /// What the same process was before it executed this program. It comes before it in the list.
    pub before: Option<ProcessId>,
    /// The program; `None` if it executed none of its own.
    pub exec: Option<Exec>,
    /// How it ended, if that was seen: the exit code, or 128 and the number of a signal.
    pub exit: Option<u32>,
    /// When it began, in microseconds from the beginning of the step.
    pub started: u64,
    /// When it ended, likewise.
    pub ended: u64,
    /// Whether it began a command that failed, and of which nothing was kept. See [`Trace::without_failed`].
    pub failed: bool,
    /// What its standard input was when it executed its program.
    pub input: Stream,
    /// What its standard output was then.
    pub output: Stream,
    /// What it did, ascending by path, one for each.
    pub accesses: Vec<Access>,
}

/// What a process reads from or writes to without having opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stream {
    /// Something else, or it is not known.
    #[default]
    Other,
    /// A pipe, by a number that no other one of the same trace has.
    Pipe(u32),
    /// A file.
    File(PathId),
}

impl Process {
    /// What it did to this path, if anything.
    pub fn access(&self, path: PathId) -> Option<&Access> {
        let at = self.accesses.binary_search_by_key(&path, |access| access.path);
        at.ok().map(|at| &self.accesses[at])
    }
}

/// The execution of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The file that was executed.
    pub program: PathId,
    /// The working directory.
    pub cwd: PathId,
    /// The arguments; not all, if they are very long.
    pub argv: Arguments,
    /// BLAKE3 over all arguments.
    pub argv_digest: [u8; 32],
    /// BLAKE3 over the environment.
    pub env_digest: [u8; 32],
}

/// What one process did to one path. Times are counted in calls of the whole step from 1; 0 is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The path.
    pub path: PathId,
    /// All that was done to it.
    pub touch: Touch,
    /// When the process first looked at what others had left there. The same as `changed` if it threw that away at once.
    pub observed: u32,
    /// When it first changed its content or name. Other rights and times do not count.
    pub changed: u32,
    /// When it last changed it.
    pub changed_last: u32,
}

/// A new name for a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Who gave it.
    pub process: ProcessId,
    /// The name before.
    pub from: PathId,
    /// The name since then.
    pub to: PathId,
    /// When, counted as in [`Access`].
    pub at: u32,
}

/// A set of things that can be done to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Touch(u16);

impl Touch {
    /// Its content was opened for reading.
    pub const READ: Touch = Touch(1);
    /// It was executed, as a program or as what runs it.
    pub const EXECUTED: Touch = Touch(1 << 1);
    /// A directory whose names were listed.
    pub const LISTED: Touch = Touch(1 << 2);
    /// It was looked for, and not there.
    pub const ABSENT: Touch = Touch(1 << 3);
    /// It was found to be there.
    pub const PRESENT: Touch = Touch(1 << 4);
    /// A symbolic link that was followed.
    pub const FOLLOWED: Touch = Touch(1 << 5);
    /// It was made where nothing was.
    pub const CREATED: Touch = Touch(1 << 6);
    /// Its old content was thrown away.
    pub const REPLACED: Touch = Touch(1 << 7);
    /// It was written to, and what was in it may still be.
    pub const UPDATED: Touch = Touch(1 << 8);
    /// It was removed or moved away.
    pub const REMOVED: Touch = Touch(1 << 9);
    /// It got another mode, owner or attribute.
    pub const MODE: Touch = Touch(1 << 10);
    /// It got other times.
    pub const TIMES: Touch = Touch(1 << 11);
    /// It was emptied by a call that would have made it with another mode than it had and has kept.
    pub const MODE_KEPT: Touch = Touch(1 << 12);
    /// All by which something is there that was not there, or not as it is.
    pub const MAKES: Touch = Touch::CREATED.and(Touch::REPLACED);
    /// All by which its content may be another.
    pub const WRITES: Touch = Touch::MAKES.and(Touch::UPDATED);
    /// All that needs its content, or keeps it.
    pub const USES: Touch = Touch::READ.and(Touch::EXECUTED).and(Touch::UPDATED);
    const ALL: u16 = (1 << 13) - 1;

    /// Whether it has any of these.
    pub const fn any(self, of: Touch) -> bool {
        self.0 & of.0 != 0
    }

    /// Both together.
    pub const fn and(self, other: Touch) -> Touch {
        Touch(self.0 | other.0)
    }

    /// Those of it that are among these.
    pub const fn only(self, of: Touch) -> Touch {
        Touch(self.0 & of.0)
    }

    /// Whether what is there now came from this: it was made, or nothing of what was there before is left.
    pub const fn defines(self) -> bool {
        self.any(Touch::MAKES.and(Touch::REMOVED))
    }

    /// Whether content, name or mode of it may be another since.
    pub const fn changes(self) -> bool {
        self.defines() || self.any(Touch::UPDATED.and(Touch::MODE))
    }
}

/// Paths, ascending, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Paths {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One of them.
    ///
    /// # Panics
    /// If it is of another trace.
    pub fn get(&self, id: PathId) -> &[u8] {
        let start = id.at().checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[id.at()]]
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len() as u32).map(|id| self.get(PathId(id)))
    }

    /// Which one this is.
    pub fn find(&self, path: &[u8]) -> Option<PathId> {
        let at = self.first_from(path);
        (at < self.len() && self.get(PathId(at as u32)) == path).then_some(PathId(at as u32))
    }

    /// All that lie below a directory.
    pub fn below(&self, dir: &[u8]) -> std::ops::Range<usize> {
        if dir.is_empty() {
            return 0..self.len();
        }
        let (first, end) = ([dir, b"/"].concat(), [dir, b"0"].concat());
        self.first_from(&first)..self.first_from(&end)
    }

    fn first_from(&self, path: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(PathId(middle as u32)) < path { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn push(&mut self, path: &[u8]) {
        self.bytes.extend_from_slice(path);
        self.ends.push(self.bytes.len());
    }
}

/// The last component of a path.
pub fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Where a path leads from a directory of the tree, in the tree, if nothing in it is a symbolic link. What begins with a slash begins at
/// the tree's root.
pub fn resolve(directory: &[u8], path: &[u8]) -> Vec<u8> {
    let from: &[u8] = if path.starts_with(b"/") { b"" } else { directory };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in from.split(|byte| *byte == b'/').chain(path.split(|byte| *byte == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

impl Trace {
    /// Makes a trace. `paths` may be in any order, and several may be the same; the processes and moves speak of them by
    /// their place there. `left` says whether a path that was changed is there after the run.
    ///
    /// # Panics
    /// If a number is beyond its list, or a process comes before who started it.
    pub fn new(
        paths: &[Vec<u8>],
        mut processes: Vec<Process>,
        mut moves: Vec<Move>,
        mut left: impl FnMut(&[u8]) -> bool,
    ) -> Trace {
        let mut order: Vec<u32> = (0..paths.len() as u32).collect();
        order.sort_unstable_by(|a, b| paths[*a as usize].cmp(&paths[*b as usize]));
        let mut sorted = Paths::default();
        let mut new = vec![PathId(0); paths.len()];
        for old in order {
            let path = &paths[old as usize];
            if sorted.len().checked_sub(1).is_none_or(|last| sorted.get(PathId(last as u32)) != path) {
                sorted.push(path);
            }
            new[old as usize] = PathId(sorted.len() as u32 - 1);
        }
        let mut changed = vec![false; sorted.len()];
        for (at, process) in processes.iter_mut().enumerate() {
            let comes_after = |other: Option<ProcessId>| other.is_none_or(|other| other.at() < at);
            assert!(comes_after(process.parent) && comes_after(process.before), "who starts comes first");
            if let Some(exec) = &mut process.exec {
                (exec.program, exec.cwd) = (new[exec.program.at()], new[exec.cwd.at()]);
            }
            for stream in [&mut process.input, &mut process.output] {
                if let Stream::File(path) = stream {
                    *path = new[path.at()];
                }
            }
            process.accesses.iter_mut().for_each(|access| access.path = new[access.path.at()]);
            process.accesses.sort_unstable_by_key(|access| access.path);
            process.accesses.dedup_by(|b, a| {
                let same = a.path == b.path;
                if same {
                    *a = a.with(*b);
                }
                same
            });
            for access in &process.accesses {
                changed[access.path.at()] |= access.touch.changes();
            }
        }
        for step in &mut moves {
            (step.from, step.to) = (new[step.from.at()], new[step.to.at()]);
            changed[step.to.at()] = true;
        }
        let left = changed.iter().zip(sorted.iter()).map(|(changed, path)| *changed && left(path)).collect();
        Trace { paths: sorted, processes, moves, left, by_path: ByPath::default() }
    }

    /// All paths that it speaks of.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// All processes.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// Processes of which nobody knows who started them, and that did something in the tree.
    pub fn orphans(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().skip(1).filter(|process| {
            let has_touched = |access: &Access| !self.paths.get(access.path).starts_with(b"/");
            process.parent.is_none() && process.before.is_none() && process.accesses.iter().any(has_touched)
        })
    }

    /// One of them.
    ///
    /// # Panics
    /// If it is of another trace.
    pub fn process(&self, id: ProcessId) -> &Process {
        &self.processes[id.at()]
    }

    /// Who did something to a path, and what: in the order of the processes.
    ///
    /// # Panics
    /// If it is of another trace.
    pub fn accesses_to(&self, path: PathId) -> impl Iterator<Item = (ProcessId, &Access)> {
        let ids = self.by_path.get(path, self.paths.len(), &self.processes);
        ids.iter().map(move |id| (*id, self.process(*id).access(path).expect("the index was made from it")))
    }

    /// Who changed content, name or mode of a path, and what it did to it: in the order of the processes. Quick however
    /// many read it.
    ///
    /// # Panics
    /// If it is of another trace.
    pub fn changes_to(&self, path: PathId) -> impl Iterator<Item = (ProcessId, &Access)> {
        let found = self.by_path.changes(path, self.paths.len(), &self.processes);
        found
            .iter()
            .map(|(path, id)| (*id, self.process(*id).access(*path).expect("the index was made from it")))
    }

    /// Works out the index behind [`Trace::accesses_to`], if that was not done.
    pub(crate) fn index(&self) {
        self.by_path.prepare(self.paths.len(), &self.processes);
    }

    /// New names, in order.
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// Whether the run left something at a path that it made or changed.
    pub fn left(&self, path: PathId) -> bool {
        self.left[path.at()]
    }

    /// The same of a run that failed, and of which the tree is kept but for what the commands that failed had made: these
    /// processes began such a command, and what it made at these paths is `gone`.
    ///
    /// # Panics
    /// If a process is of another trace.
    pub fn without_failed(&self, leaders: &[ProcessId], gone: impl Fn(&[u8]) -> bool) -> Trace {
        let mut trace = Trace { by_path: ByPath::default(), ..self.clone() };
        leaders.iter().for_each(|leader| trace.processes[leader.at()].failed = true);
        for (left, path) in trace.left.iter_mut().zip(self.paths.iter()) {
            *left = *left && !gone(path);
        }
        trace
    }

    /// Encodes it for the disk. What it takes is proportional to the accesses, three to six bytes for each.
    pub fn encode(&self) -> Vec<u8> {
        disk::encode(self)
    }

    /// Reads what [`Trace::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are damaged or of another version. Never panics.
    pub fn decode(bytes: &[u8]) -> Result<Trace, crate::Error> {
        disk::decode(bytes)
    }
}

impl Access {
    /// Both, done by one process.
    fn with(self, other: Access) -> Access {
        let first = |a: u32, b: u32| if a == 0 || b == 0 { a.max(b) } else { a.min(b) };
        Access {
            path: self.path,
            touch: self.touch.and(other.touch),
            observed: first(self.observed, other.observed),
            changed: first(self.changed, other.changed),
            changed_last: self.changed_last.max(other.changed_last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_put_together() {
        let check = |dir: &str, path: &str, expected: &str| {
            assert_eq!(resolve(dir.as_bytes(), path.as_bytes()), expected.as_bytes(), "{dir} {path}");
        };
        check("b/lib", "a.o", "b/lib/a.o");
        check("b/lib", "./../x//a.o", "b/x/a.o");
        check("b/lib", "/b/a.o", "b/a.o");
        check("b", "../../..", "");
    }
}

//! Which processes belong together: a group is what can have passed something on without leaving a file.
//!
//! Orchestrators start groups, and so does the shell of the step. Every program that one of these starts begins a group, with
//! all that it starts itself, down to another orchestrator, which begins one of its own.
//!
//! Programs count as orchestrators by what they are called, because they decide by file times alone whether to start
//! something; and as *tracked* ones, who also start it again if its command is another one, by what they were seen to do:
//!
//! | orchestrator | called | seen to | tracked, because |
//! | --- | --- | --- | --- |
//! | make | `make`, `gmake`, `bmake` | – | it is not: another recipe or a shorter list is no reason for it |
//! | kbuild | the same | read `scripts/Kbuild.include`, in a build that reads or writes a `.NAME.cmd` | `if_changed` compares the command in `.NAME.cmd` |
//! | CMake's make | the same | read `CMakeFiles/Makefile2`, `Makefile.cmake` or `*.dir/build.make` | objects depend on `flags.make`, links on `link.txt`; recipes of the package's own are compared |
//! | ninja | `ninja`, `ninja-build`, `samu` | change `.ninja_log` | the log has a hash of each command |
//! | cargo | `cargo` | change what is in a `.fingerprint` | fingerprints are hashes of profile, features, flags and sources |
//! | go | `go` | change what is in its cache | actions are named by a hash over all inputs |
//!
//! What a tracked orchestrator writes itself is its own book, and what it reads of that is advice. A product that its maker,
//! started again, looked at and left alone counts as compared if the maker made it anew beside it first (move if changed), or is one
//! of kbuild's programs, which compare in memory.

use std::cell::OnceCell;

use crate::trace::{Access, PathId, Process, ProcessId, Touch, Trace, name_of};

/// Who decides what is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Orchestrator {
    /// It starts what is older than what it is made from, and looks at nothing else.
    Make,
    /// It also starts again what it was told to run otherwise.
    Tracked(Book),
}

/// How a tracked orchestrator knows what it was told to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Book {
    /// By itself.
    Own,
    /// By the command of each file, kept beside it (kbuild). Its own programs (`modpost`, what `filechk` does) compare what they
    /// come to in memory with what is there, and write it only if it is another.
    Commands,
    /// By itself, and all that it makes stands in what describes it. What does not stand there any more is made by nobody.
    Names,
    /// By makefiles in which everything depends on a file with its flags, but for commands of the package's own: what a recipe
    /// of these makes that is another one now, or there no more, is not made again.
    Recipes,
}

impl Orchestrator {
    /// Whether it keeps book of what it was told to run.
    pub(crate) fn is_tracked(self) -> bool {
        matches!(self, Orchestrator::Tracked(_))
    }

    /// Whether it notes only what ended well, and so starts again what did not, whatever that left.
    pub(crate) fn forgets_what_failed(self) -> bool {
        matches!(self, Orchestrator::Tracked(Book::Own | Book::Names))
    }

    /// Whether it notices by itself whatever it decides by.
    pub(crate) fn knows_all(self) -> bool {
        matches!(self, Orchestrator::Tracked(Book::Own | Book::Commands))
    }
}

/// What a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The step's own shell, or a part of it in a process of its own. It runs anew each time.
    Shell,
    /// One orchestrator process.
    Orchestrator(Orchestrator),
    /// What an orchestrator started.
    Task,
}

impl Kind {
    /// Whether it is an orchestrator that keeps a book of its own of what ended well.
    pub(crate) fn notes_what_ended_well(self) -> bool {
        matches!(self, Kind::Orchestrator(found) if found.forgets_what_failed())
    }
}

/// A group, by its place in [`Groups::all`].
pub(crate) type GroupId = usize;

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) kind: Kind,
    pub(crate) parent: Option<GroupId>,
    /// The process that everything in it comes from.
    pub(crate) leader: ProcessId,
    /// Whether it counts as part of its parent, because it left nothing of its own and passed nothing on to others.
    pub(crate) informs: bool,
    /// Whether it failed in a run of which the rest is kept. Who started it stopped for that, and was told nothing else.
    pub(crate) failed: bool,
    /// Those that passed something on to it through files that are gone, or through pipes.
    pub(crate) fed_by: Vec<GroupId>,
    /// Those of them that did so through pipes. What a build tool finds in a file, it finds as it was left.
    pub(crate) piped_by: Vec<GroupId>,
    /// Who hears what it prints, if that is one above it.
    pub(crate) heard_by: Option<GroupId>,
}

/// The groups of one trace.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(crate) all: Vec<Group>,
    /// Of each process.
    pub(crate) of: Vec<GroupId>,
    /// The processes, by group.
    by_group: Vec<ProcessId>,
    /// Where those of each group end in that list.
    ends: Vec<usize>,
}

impl Groups {
    pub(crate) fn new(trace: &Trace) -> Groups {
        let mut groups = Groups {
            all: Vec::new(),
            of: Vec::with_capacity(trace.processes().len()),
            by_group: Vec::new(),
            ends: Vec::new(),
        };
        groups.all.push(Group::new(Kind::Shell, None, ProcessId(0)));
        let keeps_commands = OnceCell::new();
        let keeps_commands = || *keeps_commands.get_or_init(|| keeps_commands_of_kbuild(trace));
        for (at, process) in trace.processes().iter().enumerate() {
            let id = ProcessId(at as u32);
            // Another program of the same process was started by nobody else.
            let above = process.before.or(process.parent).map_or(0, |above| groups.of[above.at()]);
            let group = match orchestrator(trace, process, &keeps_commands) {
                Some(found) => groups.add(Group::new(Kind::Orchestrator(found), Some(above), id)),
                None if at == 0 => above,
                None => match groups.all[above].kind {
                    // A part of the shell that executes nothing goes on as the shell; so does one that executes another shell
                    // only when it is done.
                    Kind::Shell if process.exec.is_none() => {
                        groups.add(Group::new(Kind::Shell, Some(above), id))
                    }
                    Kind::Shell | Kind::Orchestrator(_) => {
                        groups.add(Group::new(Kind::Task, Some(above), id))
                    }
                    Kind::Task => above,
                },
            };
            groups.all[group].failed |= process.failed;
            groups.of.push(group);
        }
        groups.collect_members();
        groups.connect(trace);
        groups.listen(trace);
        groups.find_informers(trace);
        groups
    }

    /// The processes of a group, ascending.
    pub(crate) fn members(&self, group: GroupId) -> &[ProcessId] {
        let start = group.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.by_group[start..self.ends[group]]
    }

    fn collect_members(&mut self) {
        self.ends = vec![0; self.all.len()];
        self.of.iter().for_each(|group| self.ends[*group] += 1);
        let mut end = 0;
        for count in &mut self.ends {
            end += *count;
            *count = end;
        }
        self.by_group = (0..self.of.len() as u32).map(ProcessId).collect();
        self.by_group.sort_by_key(|process| self.of[process.at()]);
    }

    /// The one that decides in its place: itself, unless it only informs.
    pub(crate) fn speaker(&self, mut group: GroupId) -> GroupId {
        while let Group { informs: true, parent: Some(parent), .. } = self.all[group] {
            group = parent;
        }
        group
    }

    /// Whether a group comes of another one.
    pub(crate) fn is_below(&self, group: GroupId, other: GroupId) -> bool {
        std::iter::successors(self.all[group].parent, |above| self.all[*above].parent)
            .any(|above| above == other)
    }

    /// The nearest orchestrator above a group.
    pub(crate) fn started_by(&self, group: GroupId) -> Option<Orchestrator> {
        let mut above = self.all[group].parent;
        while let Some(id) = above {
            if let Kind::Orchestrator(orchestrator) = self.all[id].kind {
                return Some(orchestrator);
            }
            above = self.all[id].parent;
        }
        None
    }

    fn add(&mut self, group: Group) -> GroupId {
        self.all.push(group);
        self.all.len() - 1
    }

    /// Finds what passed from one group to another through files that are gone.
    fn connect(&mut self, trace: &Trace) {
        let mut writers: Vec<(PathId, GroupId)> = Vec::new();
        let mut is_written = vec![false; trace.paths().len()];
        for (process, group) in trace.processes().iter().zip(&self.of) {
            for access in &process.accesses {
                if access.touch.any(Touch::WRITES) && !trace.left(access.path) {
                    writers.push((access.path, *group));
                    is_written[access.path.at()] = true;
                }
            }
        }
        if writers.is_empty() {
            return;
        }
        writers.sort_unstable();
        writers.dedup();
        let from = |first: usize, end: usize| {
            let start = writers.partition_point(|(other, _)| other.at() < first);
            writers[start..].iter().take_while(move |(other, _)| other.at() < end).map(|(_, group)| *group)
        };
        let mut edges: Vec<(GroupId, GroupId)> = Vec::new();
        for (process, reader) in trace.processes().iter().zip(&self.of) {
            for access in &process.accesses {
                let at = access.path.at();
                if is_written[at] && access.touch.any(Touch::USES) {
                    edges.extend(from(at, at + 1).map(|writer| (*reader, writer)));
                }
            }
        }
        // Who gives a file another name passes it on, and a directory with all that is in it.
        for step in trace.moves() {
            let mover = self.of[step.process.at()];
            let at = step.from.at();
            let below = trace.paths().below(trace.paths().get(step.from));
            edges.extend(from(at, at + 1).chain(from(below.start, below.end)).map(|writer| (mover, writer)));
        }
        edges.sort_unstable();
        edges.dedup();
        for (reader, writer) in edges {
            if reader != writer {
                self.all[reader].fed_by.push(writer);
            }
        }
    }

    fn find_informers(&mut self, trace: &Trace) {
        let mut gives = vec![false; self.all.len()];
        for (at, process) in trace.processes().iter().enumerate() {
            gives[self.of[at]] |= process.accesses.iter().any(|access| {
                // To remove what others made is something, too; what it made itself for a while is not.
                let clears = access.touch.any(Touch::REMOVED) && !access.touch.any(Touch::WRITES);
                access.touch.changes() && (clears || trace.left(access.path))
            });
        }
        for step in trace.moves() {
            gives[self.of[step.process.at()]] |= trace.left(step.to);
        }
        for group in &self.all {
            group.fed_by.iter().for_each(|writer| gives[*writer] = true);
        }
        // Who starts something that gives something has given.
        for group in (1..self.all.len()).rev() {
            if gives[group]
                && let Some(parent) = self.all[group].parent
            {
                gives[parent] = true;
            }
        }
        for (group, gives) in self.all.iter_mut().zip(gives) {
            // The step's own shell has nobody to inform.
            group.informs = !gives && group.parent.is_some() && !group.failed;
        }
    }
}

impl Group {
    fn new(kind: Kind, parent: Option<GroupId>, leader: ProcessId) -> Group {
        Group {
            kind,
            parent,
            leader,
            informs: false,
            failed: false,
            fed_by: Vec::new(),
            piped_by: Vec::new(),
            heard_by: None,
        }
    }
}

/// Whether a process is a make, of whatever kind.
pub(super) fn is_make(trace: &Trace, process: &Process) -> bool {
    let name = process.exec.as_ref().map_or(&b""[..], |exec| name_of(trace.paths().get(exec.program)));
    ["make", "gmake", "bmake"].iter().any(|known| is_called(name, known))
}

/// Whether a program is this one. Names may carry a version: `bmake-20200710`, `go-1.19`. A `make-deps` is another one: what it reads
/// it may take for data.
fn is_called(name: &[u8], known: &str) -> bool {
    name.strip_prefix(known.as_bytes()).is_some_and(|rest| {
        let version = rest.strip_prefix(b"-");
        rest.is_empty() || version.and_then(<[u8]>::first).is_some_and(u8::is_ascii_digit)
    })
}

/// Whether somebody reads or writes one of the files in which kbuild keeps the command of what it makes.
fn keeps_commands_of_kbuild(trace: &Trace) -> bool {
    let mut accesses = trace.processes().iter().flat_map(|process| &process.accesses);
    accesses.any(|access| {
        let name = name_of(trace.paths().get(access.path));
        access.touch.any(Touch::READ.and(Touch::WRITES)) && name.starts_with(b".") && name.ends_with(b".cmd")
    })
}

/// Whether a process decides what is run.
fn orchestrator(trace: &Trace, process: &Process, keeps_commands: &dyn Fn() -> bool) -> Option<Orchestrator> {
    let exec = process.exec.as_ref()?;
    let program = trace.paths().get(exec.program);
    let name = name_of(program);
    let is = |known: &str| is_called(name, known);
    let changed = |test: &dyn Fn(&[u8]) -> bool| {
        process.accesses.iter().any(|access| access.touch.changes() && test(trace.paths().get(access.path)))
    };
    if is_make(trace, process) {
        let reads = |end: &[u8]| {
            let is_read = |access: &Access| access.touch.any(Touch::READ);
            let reads = |access: &Access| is_read(access) && trace.paths().get(access.path).ends_with(end);
            process.accesses.iter().any(reads)
        };
        let is_cmakes = || {
            let files: [&[u8]; 3] =
                [b"/CMakeFiles/Makefile2", b"/CMakeFiles/Makefile.cmake", b".dir/build.make"];
            files.into_iter().any(reads)
        };
        return Some(if reads(b"/scripts/Kbuild.include") && keeps_commands() {
            Orchestrator::Tracked(Book::Commands)
        } else if is_cmakes() {
            Orchestrator::Tracked(Book::Recipes)
        } else {
            Orchestrator::Make
        });
    }
    let is_ninja = is("ninja") || is("ninja-build") || is("samu");
    let keeps_book = if is_ninja {
        changed(&|path| name_of(path) == b".ninja_log")
    } else if is("cargo") {
        changed(&|path| path.windows(14).any(|part| part == b"/.fingerprint/"))
    } else if is("go") {
        // `…/ab/ab12…-a` are what was done, `-d` what came of it.
        changed(&|path| {
            let name = name_of(path);
            name.len() == 66 && (name.ends_with(b"-a") || name.ends_with(b"-d"))
        })
    } else {
        return None;
    };
    // One that has nothing to do writes nothing; but then nothing that is there was started by it.
    Some(if keeps_book {
        Orchestrator::Tracked(if is_ninja { Book::Names } else { Book::Own })
    } else {
        Orchestrator::Make
    })
}

/// What ninja knows of what it did. It names all that was ever made, and so says nothing about what is to be made.
pub(super) fn is_ninjas_book(path: &[u8]) -> bool {
    matches!(name_of(path), b".ninja_log" | b".ninja_deps")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_carry_a_version() {
        for name in ["make", "make-4.3"] {
            assert!(is_called(name.as_bytes(), "make"), "{name}");
        }
        for name in ["make-deps", "make-", "makedepend", "cmake", "mak"] {
            assert!(!is_called(name.as_bytes(), "make"), "{name}");
        }
    }
}

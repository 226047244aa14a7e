use super::cause::{Cause, Fate, Kept, Root, fate};
use super::*;
use crate::observation::{ChangeKind, SourceChange};
use crate::trace::Move;
use crate::trace::Process;

/// A trace that is being written down. Each call takes one tick.
pub(crate) struct Script {
    paths: Vec<Vec<u8>>,
    processes: Vec<Process>,
    moves: Vec<Move>,
    gone: Vec<Vec<u8>>,
    clock: u32,
}

impl Script {
    /// A step whose shell has number 0.
    pub(crate) fn new() -> Script {
        let (paths, processes, moves, gone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut script = Script { paths, processes, moves, gone, clock: 0 };
        script.push(None, "bash phase");
        script
    }

    fn path(&mut self, path: &str) -> PathId {
        self.paths.push(path.into());
        PathId(self.paths.len() as u32 - 1)
    }

    fn push(&mut self, parent: Option<u32>, command: &str) -> u32 {
        let argv = command.split(' ').collect();
        let program = self.path(&format!("/usr/bin/{}", command.split(' ').next().expect("a word")));
        let cwd = self.path("build/source");
        let mut digest = [0; 32];
        command.bytes().enumerate().for_each(|(at, byte)| digest[at % 32] ^= byte.rotate_left(at as u32 % 7));
        let exec = Exec { program, cwd, argv, argv_digest: digest, env_digest: [0; 32] };
        let parent = parent.map(ProcessId);
        self.processes.push(Process { parent, exec: Some(exec), exit: Some(0), ..Process::default() });
        self.processes.len() as u32 - 1
    }

    pub(crate) fn run(&mut self, parent: u32, command: &str) -> u32 {
        self.push(Some(parent), command)
    }

    fn touch(&mut self, process: u32, path: &str, touch: Touch) {
        self.clock += 1;
        let (path, at) = (self.path(path), self.clock);
        let observed = if touch.any(LOOKS) { at } else { 0 };
        let changed = if touch.changes() { at } else { 0 };
        let access = Access { path, touch, observed, changed, changed_last: changed };
        self.processes[process as usize].accesses.push(access);
    }

    pub(crate) fn read(&mut self, process: u32, paths: &str) {
        paths.split(' ').for_each(|path| self.touch(process, &in_tree(path), Touch::READ));
    }

    pub(crate) fn write(&mut self, process: u32, paths: &str) {
        paths.split(' ').for_each(|path| self.touch(process, &in_tree(path), Touch::CREATED));
    }

    fn list(&mut self, process: u32, path: &str) {
        self.touch(process, &in_tree(path), Touch::LISTED);
    }

    fn look_for(&mut self, process: u32, path: &str) {
        self.touch(process, &in_tree(path), Touch::ABSENT);
    }

    /// A file that is gone in the end.
    fn remove(&mut self, process: u32, path: &str) {
        self.touch(process, &in_tree(path), Touch::REMOVED);
        self.gone.push(in_tree(path).into_bytes());
    }

    fn rename(&mut self, process: u32, from: &str, to: &str) {
        self.remove(process, from);
        let (from, to) = (self.path(&in_tree(from)), self.path(&in_tree(to)));
        self.moves.push(Move { process: ProcessId(process), from, to, at: self.clock });
    }

    pub(crate) fn trace(self) -> Trace {
        let gone = self.gone;
        Trace::new(&self.paths, self.processes, self.moves, |path| !gone.iter().any(|gone| gone == path))
    }
}

/// `/` and what begins with `store/` is as it is, all else lies in the sources.
pub(crate) fn in_tree(path: &str) -> String {
    if path.starts_with('/') || path.starts_with("store/") {
        path.to_owned()
    } else {
        format!("build/source/{path}")
    }
}

/// `gcc` with a compiler proper and an assembler, and a temporary file between them.
fn compile(script: &mut Script, make: u32, name: &str, headers: &str) {
    let gcc = script.run(make, &format!("gcc -c {name}.c"));
    script.look_for(gcc, "/tmp/x.s");
    script.write(gcc, "/tmp/x.s");
    let (cc1, assembler) = (script.run(gcc, "cc1"), script.run(gcc, "as"));
    script.read(cc1, &format!("{name}.c /usr/include/stdio.h {headers}"));
    script.write(cc1, "/tmp/x.s");
    script.read(assembler, "/tmp/x.s");
    script.write(assembler, &format!("{name}.o"));
}

/// Two objects, an archive that is indexed by a command of its own, a program, and a log that `make` itself wrote.
pub(crate) fn clean_build() -> Trace {
    let mut script = Script::new();
    let make = script.run(0, "make -j2");
    script.read(make, "Makefile");
    compile(&mut script, make, "a", "x.h");
    compile(&mut script, make, "b", "y.h");
    let ar = script.run(make, "ar cr lib.a b.o");
    script.read(ar, "b.o");
    script.write(ar, "lib.tmp");
    script.rename(ar, "lib.tmp", "lib.a");
    let ranlib = script.run(make, "ranlib lib.a");
    script.read(ranlib, "lib.a");
    script.write(ranlib, "lib.a");
    let link = script.run(make, "gcc -o prog a.o lib.a");
    script.read(link, "a.o lib.a");
    script.look_for(link, "libfast.a");
    script.write(link, "prog");
    let shell = script.run(make, "sh -c");
    script.list(shell, "docs");
    script.write(shell, "index");
    script.trace()
}

fn install() -> Trace {
    let mut script = Script::new();
    let install = script.run(0, "install -D prog");
    script.read(install, "prog");
    script.write(install, "store/abc-p/bin/prog");
    let mv = script.run(0, "mv store/abc-p/bin store/abc-p/sbin");
    script.rename(mv, "store/abc-p/bin", "store/abc-p/sbin");
    script.trace()
}

/// Only `b.o` and what follows from it.
fn second_build() -> Trace {
    let mut script = Script::new();
    let make = script.run(0, "make -j2");
    script.read(make, "Makefile");
    compile(&mut script, make, "b", "y.h");
    let ar = script.run(make, "ar cr lib.a b.o");
    script.read(ar, "b.o");
    script.write(ar, "lib.a");
    let link = script.run(make, "gcc -o prog a.o lib.a");
    script.read(link, "a.o lib.a");
    script.write(link, "prog");
    script.trace()
}

/// All runs of a step, of which the last `now` are of the last build.
pub(crate) fn runs<'a>(phase: &'a str, runs: &'a [Trace], now: usize) -> StepRuns<'a> {
    StepRuns { phase, runs, now, whole: now > 0 && now == runs.len() }
}

fn changed(path: &str, kind: ChangeKind) -> SourceChange {
    SourceChange { path: in_tree(path).into_bytes(), kind }
}

fn command(lineage: &Lineage<'_>, task: TaskAt) -> String {
    let exec = lineage.exec(task.at, lineage.leader(task)).expect("all execute something");
    String::from_utf8(exec.argv.iter().collect::<Vec<_>>().join(&b' ')).expect("text")
}

fn maker(lineage: &Lineage<'_>, path: &str) -> Option<String> {
    let maker = lineage.maker(in_tree(path).as_bytes())?;
    Some(format!("{}:{} {}", maker.task.at.step, maker.task.at.run, command(lineage, maker.task)))
}

fn paths(lineage: &Lineage<'_>, task: TaskAt, ids: impl Iterator<Item = PathId>) -> Vec<String> {
    let paths = lineage.trace(task.at).paths();
    ids.map(|id| String::from_utf8_lossy(paths.get(id)).replace("build/source/", "")).collect()
}

#[test]
fn whoever_wrote_last_is_the_maker() {
    let (build, install) = ([clean_build(), second_build()], [install()]);
    let lineage = Lineage::new(vec![runs("buildPhase", &build, 1), runs("installPhase", &install, 1)]);
    let check = |path: &str, expected: Option<&str>| {
        assert_eq!(maker(&lineage, path).as_deref(), expected, "{path}");
    };
    check("a.o", Some("0:0 gcc -c a.c"));
    check("b.o", Some("0:1 gcc -c b.c"));
    check("lib.a", Some("0:1 ar cr lib.a b.o"));
    check("prog", Some("0:1 gcc -o prog a.o lib.a"));
    check("a.c", None);
    check("nothing", None);
    check("store/abc-p/bin/prog", Some("1:0 install -D prog"));
    // It came to its name with the directory that it is in.
    check("store/abc-p/sbin/prog", Some("1:0 mv store/abc-p/bin store/abc-p/sbin"));
    let moved = lineage.maker(b"store/abc-p/sbin/prog").expect("a maker");
    assert_eq!(moved.from.as_deref(), Some(b"store/abc-p/bin/prog".as_slice()));
    let before = lineage.maker_before(moved.task.at, moved.moment, b"store/abc-p/bin/prog").expect("one");
    assert_eq!(command(&lineage, before.task), "install -D prog");
}

#[test]
fn in_one_run_the_moment_tells_who_made_it() {
    let build = [clean_build()];
    let lineage = Lineage::new(vec![runs("buildPhase", &build, 1)]);
    let ranlib = lineage.maker(b"build/source/lib.a").expect("a maker");
    assert_eq!(command(&lineage, ranlib.task), "ranlib lib.a");
    let inputs = lineage.inputs(ranlib.task);
    assert_eq!(paths(&lineage, ranlib.task, inputs.iter().map(|input| input.path)), ["lib.a"]);
    let ar = lineage.maker_of(ranlib.task, inputs[0]).expect("a maker");
    // That it wrote beside and then gave it its name is no maker of its own.
    assert_eq!((command(&lineage, ar.task), ar.from), ("ar cr lib.a b.o".to_owned(), None));
}

#[test]
fn a_task_is_all_that_one_line_starts() {
    let build = [clean_build()];
    let lineage = Lineage::new(vec![runs("buildPhase", &build, 1)]);
    let object = lineage.maker(b"build/source/a.o").expect("a maker");
    let inputs = lineage.inputs(object.task);
    // What one part of it leaves for another is not from outside.
    let contents = inputs.iter().filter(|input| input.is_content()).map(|input| input.path);
    assert_eq!(paths(&lineage, object.task, contents), ["/usr/include/stdio.h", "a.c", "x.h"]);
    let products = lineage.products(object.task);
    assert_eq!(paths(&lineage, object.task, products.into_iter()), ["/tmp/x.s", "a.o"]);
    assert_eq!(lineage.members(object.task).len(), 3);
    let names = |id: &ProcessId| {
        lineage.exec(object.task.at, *id).expect("executed").argv.first().expect("a name").to_vec()
    };
    let line: Vec<_> = lineage.ancestry(object.task.at, object.process).iter().map(names).collect();
    assert_eq!(line, [b"as".to_vec(), b"gcc".to_vec(), b"make".to_vec(), b"bash".to_vec()]);
    let users = lineage.users(b"build/source/a.o");
    assert_eq!(
        users.iter().map(|task| command(&lineage, *task)).collect::<Vec<_>>(),
        ["gcc -o prog a.o lib.a"]
    );
}

fn told(lineage: &Lineage<'_>, path: &str, changes: Option<&[SourceChange]>) -> String {
    let maker = lineage.maker(in_tree(path).as_bytes()).expect("a maker");
    match fate(lineage, &maker, in_tree(path).as_bytes(), changes) {
        Fate::Kept(kept) => format!("{kept:?}"),
        Fate::Made(Cause { root, links }) => {
            let links = links.iter().map(|link| {
                let seen = link.path.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                let made = String::from_utf8_lossy(&link.made);
                format!("; {seen} -> {} -> {made}", command(lineage, link.task)).replace("build/source/", "")
            });
            let root = match root {
                Root::Decided { task, change } => {
                    format!("{} saw {}", command(lineage, task), String::from_utf8_lossy(&change.path))
                }
                Root::Source(change) => format!("source {:?}", change.kind),
                Root::Command { before } => format!("was {}", command(lineage, before)),
                root => format!("{root:?}"),
            };
            root + &links.collect::<String>()
        }
    }
}

#[test]
fn the_root_cause_comes_first() {
    let build = [clean_build(), second_build()];
    let lineage = Lineage::new(vec![runs("buildPhase", &build, 1)]);
    let header = [changed("y.h", ChangeKind::Content)];
    let check = |path: &str, changes: Option<&[SourceChange]>, expected: &str| {
        assert_eq!(told(&lineage, path, changes), expected);
    };
    check("b.o", Some(&header), "source Content; y.h -> gcc -c b.c -> b.o");
    check(
        "prog",
        Some(&header),
        "source Content; y.h -> gcc -c b.c -> b.o; b.o -> ar cr lib.a b.o -> lib.a; \
         lib.a -> gcc -o prog a.o lib.a -> prog",
    );
    // The link saw it itself: that is nearer.
    let nearer = [changed("y.h", ChangeKind::Content), changed("a.o", ChangeKind::Content)];
    check("prog", Some(&nearer), "source Content; a.o -> gcc -o prog a.o lib.a -> prog");
    let makefile = [changed("Makefile", ChangeKind::Content)];
    check("b.o", Some(&makefile), "make -j2 saw build/source/Makefile;  -> gcc -c b.c -> b.o");
    check("b.o", None, "SourcesUnknown;  -> gcc -c b.c -> b.o");
    check("b.o", Some(&[]), "Unknown;  -> gcc -c b.c -> b.o");
}

#[test]
fn names_that_came_and_went_are_causes() {
    let mut again = Script::new();
    let make = again.run(0, "make -j2");
    let shell = again.run(make, "sh -c");
    again.list(shell, "docs");
    again.write(shell, "index");
    let link = again.run(make, "gcc -o prog a.o lib.a");
    again.look_for(link, "libfast.a");
    again.write(link, "prog");
    let build = [clean_build(), again.trace()];
    let lineage = Lineage::new(vec![runs("buildPhase", &build, 1)]);
    let added = [changed("docs/new", ChangeKind::Added)];
    assert_eq!(told(&lineage, "index", Some(&added)), "source Added; docs/new -> sh -c -> index");
    let found = [changed("libfast.a", ChangeKind::Added)];
    assert_eq!(
        told(&lineage, "prog", Some(&found)),
        "source Added; libfast.a -> gcc -o prog a.o lib.a -> prog"
    );
}

#[test]
fn another_command_is_a_cause() {
    let mut again = Script::new();
    let make = again.run(0, "make CFLAGS=-O2");
    let gcc = again.run(make, "gcc -O2 -c a.c");
    again.read(gcc, "a.c");
    again.write(gcc, "a.o");
    let build = [clean_build(), again.trace()];
    let lineage = Lineage::new(vec![runs("buildPhase", &build, 1)]);
    assert_eq!(told(&lineage, "a.o", Some(&[])), "was gcc -c a.c;  -> gcc -O2 -c a.c -> a.o");
}

#[test]
fn a_step_that_ran_from_the_beginning_is_a_cause() {
    let mut configure = Script::new();
    let shell = configure.run(0, "sh configure");
    configure.write(shell, "y.h");
    let (configure, build) = ([configure.trace()], [clean_build(), second_build()]);
    let lineage = Lineage::new(vec![runs("configurePhase", &configure, 1), runs("buildPhase", &build, 1)]);
    assert_eq!(
        told(&lineage, "b.o", Some(&[])),
        "Step(0);  -> sh configure -> y.h; y.h -> gcc -c b.c -> b.o"
    );
    assert_eq!(told(&lineage, "y.h", Some(&[])), "Step(0);  -> sh configure -> y.h");
}

#[test]
fn what_is_kept_is_explained_too() {
    let build = [clean_build(), second_build()];
    let mut lineage = Lineage::new(vec![runs("buildPhase", &build, 1)]);
    let header = [changed("y.h", ChangeKind::Content)];
    assert_eq!(told(&lineage, "a.o", Some(&header)), "NothingChanged(3)");
    let seen = [changed("x.h", ChangeKind::Mode)];
    assert!(matches!(
        fate(&lineage, &lineage.maker(b"build/source/a.o").expect("one"), b"build/source/a.o", Some(&seen)),
        Fate::Kept(Kept::NoDifference(change)) if change == seen[0]
    ));
    lineage = Lineage::new(vec![runs("buildPhase", &build, 0)]);
    assert_eq!(told(&lineage, "prog", Some(&header)), "StepDidNotRun(0)");
    let mut again = Script::new();
    let generator = again.run(0, "gen");
    again.write(generator, "x.h");
    let build = [clean_build(), again.trace()];
    lineage = Lineage::new(vec![runs("buildPhase", &build, 1)]);
    assert!(matches!(
        fate(&lineage, &lineage.maker(b"build/source/a.o").expect("one"), b"build/source/a.o", Some(&[])),
        Fate::Kept(Kept::SameAgain(path)) if path == b"build/source/x.h"
    ));
}

#[test]
fn what_is_not_known_has_names_that_are_like_it() {
    let build = [clean_build()];
    let lineage = Lineage::new(vec![runs("buildPhase", &build, 1)]);
    assert!(lineage.knows(b"build/source/x.h") && !lineage.knows(b"build/source/z.h"));
    assert_eq!(lineage.nearest(b"build/source/porg", 2), Vec::<Vec<u8>>::new(), "two letters of four");
    assert_eq!(lineage.nearest(b"build/source/Makefil", 2), [b"build/source/Makefile".to_vec()]);
    assert_eq!(lineage.ending_in(b"stdio.h"), Vec::<Vec<u8>>::new(), "not of the tree");
    assert_eq!(lineage.ending_in(b"a.o"), [b"build/source/a.o".to_vec()]);
}

#[test]
fn without_runs_nothing_is_known() {
    let lineage = Lineage::new(vec![runs("buildPhase", &[], 0)]);
    assert_eq!(lineage.maker(b"build/source/a.o"), None);
    assert!(!lineage.knows(b"build/source/a.o") && lineage.users(b"x").is_empty());
}

//! What is recorded of processes: every way to deal with files, against what it is known to do and against `strace`.

mod worlds;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rekindle_sandbox::{
    Cancel, End, Limits, Mount, MoveKind, Observe, Process, ProcessId, Records, Spec, Status, Touch, Tree,
    TreeBind, TreeRoot,
};
use tempfile::{TempDir, tempdir};

use crate::fixture::{run, sandbox, shell, tag, tagged, view};

/// `observe.c`, built static and dynamic.
fn programs() -> &'static Path {
    static BUILT: OnceLock<TempDir> = OnceLock::new();
    let dir = BUILT.get_or_init(|| {
        let dir = tempdir().expect("a directory");
        let source = dir.path().join("observe.c");
        fs::write(&source, include_str!("observe.c")).expect("room");
        for (name, flags) in [("static", &["-static"][..]), ("dynamic", &["-no-pie"])] {
            let built = Command::new("cc")
                .args(["-O", "-pthread"])
                .args(flags)
                .arg("-o")
                .args([dir.path().join(name), source.clone()])
                .status()
                .expect("a C compiler is installed");
            assert!(built.success(), "the program does not compile");
        }
        dir
    });
    dir.path()
}

/// Directories that are alike, one for each way, in a tree that appears as `/build`.
struct Place(TempDir);

impl Place {
    fn new(ways: &[&str]) -> Self {
        let place = Place(tempdir().expect("a directory"));
        for way in ways {
            let dir = place.0.path().join(way);
            fs::create_dir_all(dir.join("d")).expect("room");
            fs::create_dir(dir.join("empty")).expect("room");
            for (name, content) in [
                ("a", "aaa"),
                ("b", "bbb"),
                ("d/x", "xxx"),
                ("broken", "#!/none/interpreter\n"),
                ("script", "#!/bin/probe openat\n"),
            ] {
                fs::write(dir.join(name), content).expect("room");
            }
            for (name, mode) in [("broken", 0o755), ("script", 0o755)] {
                fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).expect("ours");
            }
            for (name, to) in [("la", "a"), ("ld", "d"), ("lost", "found"), ("loop", "loop")] {
                symlink(to, dir.join(name)).expect("room");
            }
        }
        place
    }

    fn tree(&self) -> Tree {
        let binds = vec![TreeBind { dir: PathBuf::new(), target: "/build".into() }];
        Tree { root: TreeRoot::Plain(self.0.path().into()), binds }
    }

    /// Runs a build of the program for these ways.
    fn spec(&self, program: &str, ways: &[&str]) -> Spec {
        let source = programs().join(program);
        Spec {
            args: ["all"].iter().chain(ways).map(Into::into).collect(),
            cwd: "/build".into(),
            tree: Some(self.tree()),
            mounts: vec![
                Mount { source, target: "/bin/probe".into(), read_only: true, optional: false },
                view("/usr"),
                view("/lib"),
                view("/lib64"),
            ],
            observe: Some(Observe::new()),
            ..Spec::new("/bin/probe")
        }
    }
}

/// Runs a command that must exit with 0, and gives what was recorded, whole or not.
fn doubtful(spec: &Spec) -> Records {
    let ran = run(spec);
    assert_eq!((ran.exit.status, ran.output.as_str()), (Status::Code(0), ""));
    ran.exit.records.expect("it was asked for")
}

fn observe(spec: &Spec) -> Records {
    let records = doubtful(spec);
    assert!(records.complete, "{}", records.reason);
    assert_eq!(records.reason, "");
    records
}

/// All processes that executed the program for this way, and what came out of them.
fn family<'a>(records: &'a Records, way: &str) -> Vec<(ProcessId, &'a Process)> {
    let mut ids: BTreeSet<ProcessId> = BTreeSet::new();
    for (id, process) in records.each_process() {
        let is_root = process.exec.as_ref().is_some_and(|exec| {
            exec.argv.get(1).is_some_and(|arg| arg == way) && records.paths.path(exec.cwd).ends_with(way)
        });
        let related = [process.parent, process.before].into_iter().flatten().any(|id| ids.contains(&id));
        if is_root || related {
            ids.insert(id);
        }
    }
    records.each_process().filter(|(id, _)| ids.contains(id)).collect()
}

/// What a way did in its directory: path and touches, as text, without what only `DIRECTORY` says.
fn seen(records: &Records, way: &str) -> String {
    let mut touches: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (_, process) in family(records, way) {
        for access in &process.accesses {
            let path = records.paths.path(access.path);
            let Ok(name) = path.strip_prefix(Path::new("/build").join(way)) else { continue };
            let names = access.touch.names().into_iter().filter(|name| *name != "directory");
            touches.entry(name.display().to_string()).or_default().extend(names);
        }
    }
    let line = |(path, names): (String, BTreeSet<&str>)| {
        format!("{path}: {}", names.into_iter().collect::<Vec<_>>().join(" "))
    };
    touches.into_iter().map(line).collect::<Vec<_>>().join("; ")
}

const WAYS: &[(&str, &str)] = &[
    ("none", ""),
    ("openat", "a: read"),
    ("openat2", "a: read"),
    ("update", "a: read updated"),
    ("append", "a: updated"),
    ("open-trunc", "a: replaced"),
    ("create", "new: absent created"),
    ("create-old", "a: replaced"),
    ("create-read", "new: absent created"),
    ("exclusive", "new: absent created"),
    ("exclusive-old", "a: present"),
    ("missing", "none: absent"),
    ("missing-below", "none/x: absent"),
    ("missing-in-file", "a/x: absent"),
    ("list", "d: listed"),
    ("path-only", ""),
    ("path-reopen", "a: read"),
    ("thread-self", "a: read"),
    ("dev-fd", "a: read"),
    ("by-cwd-link", "d/x: read"),
    ("at-descriptor", "d/x: read"),
    ("chdir", "a: read; d/x: read"),
    ("fchdir", "a: read; d/x: read"),
    ("up", "a: read"),
    ("back", "a: read"),
    ("back-link", "a: read; ld: followed"),
    ("link-read", "a: read; la: followed"),
    ("link-dir", "d/x: read; ld: followed"),
    ("link-missing", "d/none: absent; ld: followed"),
    ("link-nofollow", "la: present"),
    ("link-dangling", "found: absent; lost: followed"),
    ("link-dangling-create", "found: absent created; lost: followed"),
    ("link-loop", "loop: absent followed"),
    ("map", "a: read"),
    ("deleted", "a: present read removed"),
    ("descriptors-gone", "a: read"),
    ("not-dumpable", "a: read"),
    ("bad-address", ""),
    ("page-end", "a: read"),
    ("mkdirat", "new: absent created"),
    ("mkdir-old", "d: present"),
    ("mknodat", "new: absent created"),
    ("symlinkat", "d: listed; d/new: absent created"),
    ("bind", "new: absent created"),
    ("linkat", "a: present; new: absent created"),
    ("linkat-link", "la: present; new: absent created"),
    ("linkat-follow", "a: present; la: followed; new: absent created"),
    ("linkat-old", "a: present; b: present"),
    ("nameless", "new: absent created"),
    ("renameat", "a: removed; d: listed; d/new: created"),
    ("rename-over", "a: removed; b: replaced"),
    ("rename-missing", "b: present; none: absent"),
    ("rename-noreplace", "a: present; b: present"),
    ("rename-exchange", "a: replaced; b: replaced"),
    (
        "rename-dir",
        "new: absent created removed; new/one: absent created; newer: created; newer/two: absent created",
    ),
    ("unlinkat", "a: present removed"),
    ("unlinkat-link", "la: present removed"),
    ("unlinkat-missing", "none: absent"),
    ("rmdir", "empty: present removed"),
    ("truncate", "a: replaced"),
    ("truncate-part", "a: updated"),
    ("fchmod", "a: mode read"),
    ("fchmodat", "a: mode; la: followed"),
    ("fchmodat2", "a: mode"),
    ("fchmod-path", "a: mode"),
    ("fchownat", "la: mode"),
    ("fchownat-follow", "a: mode; la: followed"),
    ("fchown", "d: listed mode"),
    ("utimensat", "a: times"),
    ("utimensat-link", "la: times"),
    ("futimens", "a: read times"),
    ("removexattr", "a: mode"),
    ("fremovexattr", "a: mode read"),
    ("thread", "a: read; d/x: read"),
    ("thread-exec", "a: read"),
    ("fork-exec", "a: read"),
    ("fork-only", "a: read"),
    ("vfork", "a: read"),
    ("spawn", "a: read"),
    ("exec-missing", "a: read; none: absent"),
    ("exec-refused", "a: present"),
    ("exec-broken", "a: read; broken: present"),
    ("exec-script", "a: read; script: executed read"),
    ("execveat", "a: read"),
    ("exec-memory", "a: read"),
    ("inherited", "a: inherited read; new: absent created inherited updated"),
    ("passed", "a: inherited read"),
    // It was closed before the process was heard of again; that it may have been read shows otherwise.
    ("passed-on", "a: read"),
    ("code", "a: read"),
    ("signal", "a: read"),
    ("look", ""),
];

/// The calls that newer architectures do without.
const OLD_WAYS: &[(&str, &str)] = &[
    ("open", "a: read"),
    ("creat", "new: absent created"),
    ("creat-old", "a: replaced"),
    ("mkdir", "new: absent created"),
    ("mknod", "new: absent created"),
    ("symlink", "new: absent created"),
    ("link", "a: present; new: absent created"),
    ("rename", "a: removed; new: created"),
    ("unlink", "a: present removed"),
    ("rmdir-old", "empty: present removed"),
    ("chmod", "a: mode"),
    ("chown", "a: mode; la: followed"),
    ("lchown", "la: mode"),
    ("utime", "a: times"),
    ("utimes", "a: times"),
    ("futimesat", "a: times"),
    ("i386-open", "a: read"),
    ("i386-openat", "d/x: read"),
    ("i386-creat", "new: absent created"),
    ("i386-rename", "a: removed; new: created"),
    ("i386-unlinkat", "a: present removed"),
];

#[test]
fn every_way_to_deal_with_files_is_recorded() {
    let mut expect = WAYS.to_vec();
    if cfg!(target_arch = "x86_64") {
        expect.extend(OLD_WAYS);
    }
    let ways: Vec<&str> = expect.iter().map(|(way, _)| *way).collect();
    for program in ["static", "dynamic"] {
        let place = Place::new(&ways);
        let records = observe(&place.spec(program, &ways));
        let wrong: Vec<String> = expect
            .iter()
            .filter_map(|(way, expect)| {
                let seen = seen(&records, way);
                (seen != *expect).then(|| format!("{way}: expected `{expect}`, saw `{seen}`"))
            })
            .collect();
        assert!(wrong.is_empty(), "{program}:\n{}", wrong.join("\n"));
    }
}

/// Runs these ways, statically linked.
fn ways(ways: &[&str]) -> Records {
    observe(&Place::new(ways).spec("static", ways))
}

#[test]
fn processes_are_told_apart() {
    let records = ways(&[
        "fork-exec",
        "fork-only",
        "vfork",
        "spawn",
        "code",
        "signal",
        "passed-on",
        "none",
        "exec-script",
        "exec-memory",
    ]);
    let [all, ..] = &records.processes[..] else { panic!("there is no process") };
    assert_eq!((all.parent, all.before, all.end), (None, None, End::Code(0)));
    let exec = all.exec.as_ref().expect("it is the program");
    assert_eq!(records.paths.path(exec.program), Path::new("/bin/probe"));
    assert_eq!(records.paths.path(exec.cwd), Path::new("/build"));
    assert_eq!(exec.argv[..3], ["/bin/probe", "all", "fork-exec"]);

    for way in ["fork-exec", "vfork", "spawn"] {
        let family = family(&records, way);
        let [(id, parent), (_, child)] = &family[..] else { panic!("{way}: {family:?}") };
        assert_eq!((parent.parent, child.parent), (Some(ProcessId(0)), Some(*id)), "{way}");
        let exec = child.exec.as_ref().expect("it executed");
        assert_eq!(exec.argv, ["/bin/probe", "openat"], "{way}");
        assert!(child.end == End::Code(0) && child.before.is_none() && !child.shares, "{way}");
    }
    for (way, end) in [("fork-only", End::Code(0)), ("code", End::Code(7)), ("signal", End::Signal(9))] {
        let family = family(&records, way);
        let [_, (id, child)] = &family[..] else { panic!("{way}: {family:?}") };
        // Old kernels do not tell signals.
        assert!(child.end == end || (way == "signal" && child.end == End::Unseen), "{way} {child:?}");
        assert!(child.exec.is_none());
        let path = records.paths.id(&Path::new("/build").join(way).join("a")).expect("it was opened");
        assert!(records.access(*id, path).is_some_and(|access| access.touch == Touch::READ), "{way}");
        assert_eq!(records.index().processes(path), [*id], "{way}");
    }
    assert!(family(&records, "passed-on")[1].1.shares);
    assert!(!family(&records, "none")[0].1.shares);

    let family_of_script = family(&records, "exec-script");
    let [(id, _), (_, script)] = &family_of_script[..] else { panic!("{family_of_script:?}") };
    assert_eq!((script.before, script.parent), (Some(*id), Some(ProcessId(0))));
    let exec = script.exec.as_ref().expect("it executed");
    assert_eq!(records.paths.path(exec.program), Path::new("/build/exec-script/script"));
    assert_eq!(exec.argv, ["/bin/probe", "openat", "script"]);
    let probe = records.paths.id(Path::new("/bin/probe")).expect("it was executed");
    let touch = script.accesses.iter().find(|access| access.path == probe).expect("as interpreter").touch;
    assert_eq!(touch, Touch::EXECUTED | Touch::READ);
}

#[test]
fn arguments_and_environment_are_digested() {
    let long = "x".repeat(100 << 10);
    let place = Place::new(&[]);
    let spec = Spec {
        argv0: Some("other".into()),
        args: vec!["none".into(), long.clone().into()],
        env: vec![("A".into(), "1".into()), ("EMPTY".into(), "".into())],
        ..place.spec("static", &[])
    };
    let records = observe(&spec);
    let exec = records.processes[0].exec.as_ref().expect("it executed");
    let expect = |text: &str| *blake3::hash(text.as_bytes()).as_bytes();
    assert_eq!(exec.argv_digest, expect(&format!("other\0none\0{long}\0")));
    assert_eq!(exec.env_digest, expect("A=1\0EMPTY=\0"));
    assert_eq!(exec.argv[..2], ["other", "none"]);
    assert!(exec.argv[2].len() < 64 << 10 && exec.argv.len() == 3);
}

#[test]
fn what_keeps_others_out_is_observed_all_the_same() {
    let records = ways(&["not-dumpable", "openat"]);
    let digest = |way: &str| family(&records, way)[0].1.exec.as_ref().expect("it executed").env_digest;
    assert_eq!(digest("not-dumpable"), digest("openat"));
    // Its descriptors cannot be listed.
    assert!(family(&records, "not-dumpable")[0].1.shares || crate::fixture::is_root());
}

#[test]
fn programs_bring_their_loaders_and_libraries() {
    let place = Place::new(&["openat"]);
    let records = observe(&place.spec("dynamic", &["openat"]));
    let touched = |touch: Touch, name: &str| {
        let accesses = records.processes.iter().flat_map(|process| &process.accesses);
        accesses.filter(|access| access.touch.any(touch)).any(|access| {
            records
                .paths
                .path(access.path)
                .file_name()
                .is_some_and(|file| file.to_string_lossy().starts_with(name))
        })
    };
    assert!(touched(Touch::EXECUTED, "ld-"));
    assert!(touched(Touch::READ, "libc."));
}

#[test]
fn names_that_files_are_given_are_listed_in_order() {
    let records = ways(&["renameat", "linkat", "rename-exchange", "nameless", "rename-noreplace"]);
    let told: Vec<(String, String, MoveKind)> = records
        .moves
        .iter()
        .map(|step| {
            let [from, to] = [step.from, step.to].map(|path| {
                records.paths.path(path).strip_prefix("/build").expect("there").display().to_string()
            });
            (from, to, step.kind)
        })
        .collect();
    let expect = [
        ("renameat/a", "renameat/d/new", MoveKind::Rename),
        ("linkat/a", "linkat/new", MoveKind::Link),
        ("rename-exchange/a", "rename-exchange/b", MoveKind::Exchange),
        ("nameless/new", "nameless/new", MoveKind::Link),
    ];
    assert_eq!(told, expect.map(|(from, to, kind)| (from.to_owned(), to.to_owned(), kind)));
}

#[test]
fn looking_is_recorded_where_it_is_asked_for() {
    let place = Place::new(&["look", "path-only"]);
    let mut spec = place.spec("static", &["look", "path-only"]);
    spec.observe = Some(Observe { lookups: true, ..Observe::new() });
    let records = observe(&spec);
    let expect = "a: present; b: present; d/x: present; la: present; ld: present; none: absent";
    assert_eq!(seen(&records, "look"), expect);
    assert_eq!(seen(&records, "path-only"), "a: present");
}

#[test]
fn roots_bound_what_is_recorded() {
    let place = Place::new(&["openat", "chdir"]);
    let mut spec = place.spec("dynamic", &["openat", "chdir"]);
    spec.observe = Some(Observe { roots: vec!["/build/chdir/d".into()], ..Observe::new() });
    let records = observe(&spec);
    assert_eq!((seen(&records, "openat").as_str(), seen(&records, "chdir").as_str()), ("", "d/x: read"));
    assert_eq!(records.processes.iter().map(|process| process.accesses.len()).sum::<usize>(), 1);
}

#[test]
fn what_a_command_takes_from_the_world_is_not_its_own_work() {
    let place = Place::new(&["x"]);
    let script =
        "cd /build/x; cat a > made; cat made > again; cat made; ls d; rm b; test -f none || . ./none";
    let spec = Spec { tree: Some(place.tree()), observe: Some(Observe::new()), ..shell(script) };
    let ran = run(&spec);
    let records = ran.exit.records.expect("it was asked for");
    assert!(records.complete, "{}", records.reason);
    let inputs = records.inputs();
    let names = |ids: &[rekindle_sandbox::PathId]| -> Vec<String> {
        let paths = ids.iter().map(|id| records.paths.path(*id));
        let mut names: Vec<String> = paths
            .filter_map(|path| Some(path.strip_prefix("/build/x").ok()?.display().to_string()))
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&inputs.opened), ["a"]);
    assert_eq!(names(&inputs.listed), ["d"]);
    assert_eq!(names(&inputs.present), ["b"]);
    assert_eq!(names(&inputs.absent), ["again", "made", "none"]);
    assert_eq!(names(&inputs.changed), ["again", "b", "made"]);
    let made = records.paths.id(Path::new("/build/x/made")).expect("it was made");
    // The shell opened it (or a child of it, which is one with the first `cat` then), the first `cat` had it as its
    // output, and two more read it.
    let index = records.index();
    let did = |touch: Touch| {
        let of = |id: &&ProcessId| records.access(**id, made).is_some_and(|access| access.touch.any(touch));
        index.processes(made).iter().filter(of).count()
    };
    assert_eq!((did(Touch::CREATED), did(Touch::READ)), (1, 2));
    assert!(did(Touch::UPDATED) <= 1);
}

#[test]
fn nothing_is_noticed_of_being_observed() {
    let place = Place::new(&[]);
    let script = "cd /tmp; ls -l /proc/self/fd | sed 's/.* //' | grep -vE 'proc|pipe'; cat /proc/self/limits | md5sum;
        (ulimit -n 20; cat none none/x . 2>&1); grep -E 'Sig|Cap|NoNew' /proc/self/status; ps 2>/dev/null; echo";
    let plain = Spec { tree: Some(place.tree()), ..shell(script) };
    let observed = Spec { observe: Some(Observe::new()), ..plain.clone() };
    let [plain, observed] = [plain, observed].map(|spec| run(&spec).output);
    assert_eq!(plain, observed);
}

#[test]
fn it_goes_with_the_other_watch() {
    let place = Place::new(&["openat"]);
    let mut spec = place.spec("static", &["openat"]);
    spec.watch = Some(rekindle_sandbox::Watch { roots: vec!["/build".into()] });
    let ran = run(&spec);
    assert!(ran.exit.records.expect("asked for").complete);
    let observed = ran.exit.observed.expect("asked for");
    assert_eq!(observed.opened, [Path::new("/build/openat/a")]);
}

#[test]
fn bad_manners_are_recorded_too() {
    let records =
        ways(&["forks", "repeats", "names", "descriptors", "deep", "long-name", "left-behind", "racing"]);
    assert_eq!(family(&records, "forks").len(), 301);
    let count =
        |way: &str| family(&records, way).iter().map(|(_, process)| process.accesses.len()).sum::<usize>();
    assert_eq!(seen(&records, "repeats"), "a: read; none: absent");
    assert!(count("names") >= 20_000);
    assert_eq!(seen(&records, "descriptors"), "a: inherited read");
    assert!(seen(&records, "deep").contains(&format!("{}bottom: absent created", "deep/".repeat(200))));
    assert_eq!(seen(&records, "long-name"), format!("{}: absent created", "n".repeat(255)));
    assert!(seen(&records, "left-behind").contains("a: read"));
    // Which of the two was opened each time nobody can tell, but at least one of them was.
    assert!(seen(&records, "racing").contains(": read"));
}

#[test]
fn what_cannot_be_followed_is_said() {
    for (way, memory_bytes, reason) in [
        ("by-handle", 1 << 30, "handle"),
        ("too-deep", 1 << 30, "too long"),
        ("names", 1 << 20, "memory"),
        ("forks", 1 << 16, "memory"),
    ] {
        let place = Place::new(&[way]);
        let mut spec = place.spec("static", &[way]);
        spec.observe = Some(Observe { memory_bytes, ..Observe::new() });
        let records = doubtful(&spec);
        assert!(!records.complete && records.reason.contains(reason), "{way}: {}", records.reason);
        assert!(records.processes.is_empty() && records.paths.is_empty(), "{way}");
    }
}

#[test]
fn what_is_killed_is_not_complete_and_leaves_nothing() {
    let tag = tag();
    let script = format!("sleep {tag} & while :; do cat /none /etc/passwd; done 2> /dev/null");
    let limits = Limits { time: Some(Duration::from_millis(700)), idle: None };
    let spec = Spec { observe: Some(Observe::new()), limits, ..shell(script) };
    let ran = run(&spec);
    assert_eq!(ran.exit.status, Status::TimedOut);
    let records = ran.exit.records.expect("it was asked for");
    assert!(!records.complete && records.reason.contains("killed"), "{}", records.reason);
    assert!(tagged(&tag).is_empty());
}

#[test]
fn a_program_that_is_not_there_is_an_error_as_ever() {
    let spec = Spec { observe: Some(Observe::new()), ..Spec::new("/none") };
    let result = sandbox().run(&spec, &mut |_| {}, &Cancel::new().expect("descriptors are left"));
    assert!(result.expect_err("it cannot run").to_string().contains("/none"));
}

/// The program that ran, and the observed one in it: there is room for one listener only.
#[test]
fn filters_of_the_command_work_and_listeners_do_not() {
    let records = ways(&["filter", "listener"]);
    assert_eq!(seen(&records, "filter"), "a: read");
    assert_eq!(seen(&records, "listener"), "a: read");
}

/// What `strace` says of the same run: every file that was opened, every one that was not there.
#[test]
fn strace_sees_the_same() {
    if !Path::new("/usr/bin/strace").exists() {
        crate::fixture::skipped("strace is not installed");
        return;
    }
    let place = Place::new(&["x"]);
    let dir = place.0.path().join("x");
    fs::write(
        dir.join("t.c"),
        "#include <stdio.h>\n#include \"d/t.h\"\nint main(void) { return puts(T); }\n",
    )
    .expect("room");
    fs::write(dir.join("d/t.h"), "#define T \"t\"\n").expect("room");
    fs::write(dir.join("Makefile"), "t: t.o\n\t$(CC) -o t t.o\nt.o: t.c\n\t$(CC) -Inone -I. -c t.c\n")
        .expect("room");
    let script = "cd /build/x; strace -f -qq -s 4096 -o /build/trace -e trace=open,openat,openat2,creat,execve,chdir sh -c \
        'make > log; sed s/a/b/ < a > c; ls -R . > /dev/null; cat la ld/x none; cd d && cat ../b; sort a b | tee e; find . -name x; ar rc ../l.a ../t.o; ar t ../l.a' > /dev/null 2>&1";
    let mut spec = shell(script);
    spec.tree = Some(place.tree());
    spec.env.push(("TMPDIR".into(), "/tmp".into()));
    spec.mounts.extend(["/etc/ld.so.cache", "/etc/alternatives"].map(view));
    spec.mounts.dedup_by(|a, b| a.target == b.target);
    spec.observe = Some(Observe::new());
    let ran = run(&spec);
    assert_eq!(ran.exit.status, Status::Code(0), "{}", ran.output);
    let records = ran.exit.records.expect("asked for");
    assert!(records.complete, "{}", records.reason);

    let trace = fs::read_to_string(place.0.path().join("trace")).expect("strace has run");
    let (mut opened, mut absent) = (BTreeSet::new(), BTreeSet::new());
    for line in trace.lines() {
        // Only what is plain to read: absolute paths, and names in the first directory.
        let Some((call, result)) = line.rsplit_once(" = ") else { continue };
        let Some(path) = call.split('"').nth(1) else { continue };
        if !path.starts_with('/') || path.contains("/../") || path.contains("/./") || path.contains("//") {
            continue;
        }
        match result.split(' ').next() {
            Some(number) if number.parse::<u32>().is_ok() && !call.contains("chdir") => {
                opened.insert(path.to_owned())
            }
            _ if result.contains("ENOENT") => absent.insert(path.to_owned()),
            _ => false,
        };
    }
    assert!(opened.len() > 50 && absent.len() > 50, "{} {}", opened.len(), absent.len());
    let all = |touch: Touch| -> BTreeSet<PathBuf> {
        let accesses = records.processes.iter().flat_map(|process| &process.accesses);
        accesses
            .filter(|access| access.touch.any(touch))
            .map(|access| records.paths.path(access.path))
            .collect()
    };
    let touched = all(Touch::READ | Touch::LISTED | Touch::CREATED | Touch::REPLACED | Touch::UPDATED);
    let missing = all(Touch::ABSENT);
    // The same files are mounted at the same place, so the host can say what a link leads to.
    let real = |path: &String| -> Option<PathBuf> {
        let path = Path::new(path);
        if path.starts_with("/build")
            || path.starts_with("/tmp")
            || path.starts_with("/dev")
            || path.starts_with("/proc")
        {
            return None;
        }
        path.canonicalize().ok()
    };
    let lost: Vec<_> = opened.iter().filter_map(real).filter(|path| !touched.contains(path)).collect();
    assert!(lost.is_empty(), "opened and not recorded: {lost:?}");
    let resolved = |path: &String| -> PathBuf {
        // The nearest directory that is there is what can be resolved.
        let path = Path::new(path);
        let there =
            path.ancestors().find(|dir| dir.exists() && !dir.starts_with("/build")).unwrap_or(Path::new("/"));
        let rest = path.strip_prefix(there).expect("it is an ancestor");
        there.canonicalize().expect("it is there").join(rest)
    };
    let lost: Vec<_> = absent
        .iter()
        .filter(|path| {
            !path.starts_with("/build")
                && !path.starts_with("/tmp")
                && !path.starts_with("/proc")
                && !path.starts_with("/dev")
        })
        .filter(|path| !missing.contains(&resolved(path)) && !missing.contains(Path::new(path)))
        .collect();
    assert!(lost.is_empty(), "absent and not recorded: {lost:?}");
}

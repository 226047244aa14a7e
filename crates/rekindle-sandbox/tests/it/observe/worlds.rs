//! Observing goes with every kind of world, and with every end that the caller makes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rekindle_sandbox::{
    Cancel, Limits, Mount, Observe, Process, ProcessId, Records, Spec, Stack, Status, Stream, Touch, Tree,
    TreeBind, TreeRoot,
};
use tempfile::tempdir;

use super::{Place, observe, seen};
use crate::fixture::{eventually, run, sandbox, shell, tag, tagged};
use crate::tree::{Layers, with_tree};

fn observed(spec: Spec) -> Records {
    let ran = run(&Spec { observe: Some(Observe::new()), ..spec });
    assert_eq!(ran.exit.status, Status::Code(0), "{}", ran.output);
    let records = ran.exit.records.expect("it was asked for");
    assert!(records.complete, "{}", records.reason);
    records
}

/// All that was done to a path, by whomever.
fn touches(records: &Records, path: &str) -> Vec<&'static str> {
    let Some(id) = records.paths.id(Path::new(path)) else { return Vec::new() };
    let index = records.index();
    let accesses = index.processes(id).iter().filter_map(|who| records.access(*who, id));
    accesses.map(|access| access.touch).fold(Touch::default(), |all, touch| all | touch).names()
}

#[test]
fn trees_of_both_kinds_stacks_and_mounts() {
    let mut layers = Layers::new();
    layers.add("0", &[("build/kept", "kept"), ("build/old", "old"), ("build/source/.keep", "")]);
    layers.add("1", &[("build/kept", "newer"), ("build/mounted", "")]);
    let plain = tempdir().expect("a directory");
    fs::create_dir_all(plain.path().join("source")).expect("room");
    for name in ["kept", "old", "mounted"] {
        fs::write(plain.path().join(name), name).expect("room");
    }
    let binds = vec![TreeBind { dir: "".into(), target: "/build".into() }];
    let plain_tree = Tree { root: TreeRoot::Plain(plain.path().into()), binds };

    let [mut one, mut two] = [Layers::new(), Layers::new()];
    one.add("0", &[("a", "one"), ("b", "one")]);
    two.add("0", &[("a", "two"), ("c/d", "two")]);
    let file = plain.path().join("of-the-host");
    fs::write(&file, "host").expect("room");

    let script =
        "cat kept source/a source/c/d mounted > made; cat made > again; rm old; mv again moved; ls source;
        cat source/none /in/none; touch source/a; echo more >> kept; exit 0";
    for tree in [plain_tree, layers.tree()] {
        let mut spec = with_tree(script, tree);
        spec.stacks = vec![Stack {
            layers: vec![two.lowers[0].clone(), one.lowers[0].clone()],
            target: "/build/source".into(),
        }];
        let mount = |target: &str| Mount {
            source: file.clone(),
            target: target.into(),
            read_only: true,
            optional: false,
        };
        spec.mounts.extend([mount("/build/mounted"), mount("/in/file")]);
        let records = observed(spec);
        for (path, expect) in [
            ("/build/kept", &["read", "updated"][..]),
            ("/build/source/a", &["read", "present"]),
            ("/build/source/c/d", &["read"]),
            ("/build/mounted", &["read"]),
            ("/build/source", &["listed", "directory"]),
            ("/build/old", &["removed"]),
            ("/build/source/none", &["absent"]),
            ("/in/none", &["absent"]),
            ("/build/again", &["absent", "created", "removed"]),
            ("/build/moved", &["created"]),
        ] {
            let seen = touches(&records, path);
            assert!(expect.iter().all(|touch| seen.contains(touch)), "{path}: {seen:?} lacks of {expect:?}");
        }
        let inputs = records.inputs();
        let id = |path: &str| records.paths.id(Path::new(path)).expect("it was touched");
        assert!(inputs.opened.contains(&id("/build/kept")) && inputs.opened.contains(&id("/build/mounted")));
        assert!(!inputs.opened.contains(&id("/build/made")), "it is the command's own work");
        assert!(inputs.changed.contains(&id("/build/moved")));
        assert!(!inputs.changed.contains(&id("/build/source/a")), "it is read-only");
    }
}

#[test]
fn a_timeline_can_be_drawn() {
    let script = "sleep 0.1; (sleep 0.2; exit 3); exec cat /dev/null";
    let ran = run(&Spec { observe: Some(Observe::new()), ..shell(script) });
    let records = ran.exit.records.expect("it was asked for");
    let with = |arg: &str| -> &Process {
        let is_it = |process: &&Process| {
            let exec = process.exec.as_ref();
            exec.is_some_and(|exec| exec.argv.last().is_some_and(|last| last == arg))
        };
        records.processes.iter().find(is_it).expect("it was executed")
    };
    let [short, long, cat] = ["0.1", "0.2", "/dev/null"].map(with);
    let ms = Duration::from_millis;
    assert!(short.ended - short.started >= ms(90), "{short:?}");
    assert!(long.ended - long.started >= ms(190), "{long:?}");
    assert!(short.ended <= long.started && long.ended <= cat.started);
    let shell = &records.processes[0];
    assert_eq!(cat.before, Some(ProcessId(0)));
    assert_eq!(shell.ended, cat.started, "the one becomes the other");
    for process in &records.processes {
        assert!(process.started <= process.ended && process.ended <= ran.exit.usage.wall, "{process:?}");
        let parent = process.parent.map(|id| records.process(id));
        assert!(parent.is_none_or(|parent| parent.started <= process.started), "{process:?}");
    }
}

#[test]
fn what_passes_through_pipes_and_into_files() {
    let script =
        "echo | cat /dev/null - | cat - > kept; V=$(cat /etc/hostname); cat < kept /dev/zero | head -c1";
    let spec = Spec { cwd: "/tmp".into(), observe: Some(Observe::new()), ..shell(script) };
    let records = observed(spec);
    let cat = |word: &str| {
        let is_it = |process: &&Process| {
            let exec = process.exec.as_ref();
            exec.is_some_and(|exec| exec.argv[0] == "cat" && exec.argv.iter().any(|arg| arg == word))
        };
        records.processes.iter().find(is_it).unwrap_or_else(|| panic!("{word}"))
    };
    let [first, told, copied] = ["/dev/null", "/etc/hostname", "/dev/zero"].map(cat);
    let pipe = |stream| matches!(stream, Stream::Pipe(_));
    let file = |stream| match stream {
        Stream::File(path) => Some(records.paths.path(path)),
        _ => None,
    };
    assert!(pipe(first.input) && pipe(first.output) && first.input != first.output, "{first:?}");
    assert!(pipe(told.output) && told.output != records.processes[0].output, "{told:?}");
    assert_eq!(file(copied.input).as_deref(), Some(Path::new("/tmp/kept")), "{copied:?}");
    let shell = &records.processes[0];
    let head = records
        .processes
        .iter()
        .find(|process| process.exec.as_ref().is_some_and(|exec| exec.argv[0] == "head"));
    let head = head.expect("it ran");
    assert_eq!((head.input, head.output), (copied.output, shell.output));
    let into =
        records.processes.iter().find(|process| process.input == first.output).expect("who reads from it");
    assert_eq!(file(into.output).as_deref(), Some(Path::new("/tmp/kept")), "{into:?}");
}

#[test]
fn who_was_killed_ended_when_it_was() {
    let script = "sleep 600 & sleep 0.2; kill -9 $!; wait $!; sleep 0.5";
    let records = observed(shell(script));
    let is_it = |process: &&Process| {
        process.exec.as_ref().is_some_and(|exec| exec.argv.last().is_some_and(|last| last == "600"))
    };
    let killed = records.processes.iter().find(is_it);
    let killed = killed.expect("it was heard of");
    let last = records.processes.last().expect("there are some");
    assert!(killed.ended < last.ended, "{:?} {:?}", killed.ended, last.ended);
}

const STUBBORN: &str =
    "trap '' TERM INT HUP; setsid sleep TAG & cat /none /etc/passwd; echo ready; sleep TAG; sleep TAG";

#[test]
fn silence_and_cancellation_end_it_as_ever() {
    for busy in [false, true] {
        let tag = tag();
        let script =
            if busy { "sleep TAG & echo ready; while :; do cat /none; done 2>/dev/null" } else { STUBBORN };
        let mut spec = Spec { observe: Some(Observe::new()), ..shell(script.replace("TAG", &tag)) };
        spec.limits = Limits { idle: Some(Duration::from_millis(200)), ..Limits::default() };
        let ran = run(&spec);
        assert_eq!(ran.exit.status, Status::Silent);
        assert!(!ran.exit.records.expect("it was asked for").complete);
        assert!(tagged(&tag).is_empty());

        spec.limits = Limits::default();
        let cancel = Cancel::new().expect("descriptors are left");
        let exit = std::thread::scope(|scope| {
            scope.spawn(|| {
                eventually("its start", || (!tagged(&tag).is_empty()).then_some(()));
                cancel.cancel();
            });
            sandbox().run(&spec, &mut |_| {}, &cancel).expect("it can run")
        });
        assert_eq!(exit.status, Status::Cancelled);
        assert!(!exit.records.expect("it was asked for").complete);
        assert!(tagged(&tag).is_empty());
    }
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

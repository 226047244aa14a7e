//! Who did it: processes, what they execute, and what they are given.

use std::path::Path;

use rekindle_sandbox::{End, ProcessId, Spec, Touch};

use super::{Place, family, observe, ways};

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
fn what_was_killed_before_it_made_a_call_was_executed() {
    let records = ways(&["executed-and-killed"]);
    let family = family(&records, "executed-and-killed");
    let [(_, parent), (id, child)] = &family[..] else { panic!("{family:?}") };
    let probe = records.paths.id(Path::new("/bin/probe")).expect("it was executed");
    let access = records.access(*id, probe).expect("it was executed");
    assert_eq!(access.touch, Touch::EXECUTED | Touch::READ);
    assert!(child.exec.is_none(), "its arguments are lost");
    assert!(child.ended > child.started && child.started >= parent.started);
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

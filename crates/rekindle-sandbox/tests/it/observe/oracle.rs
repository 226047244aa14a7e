//! What others say of the same run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rekindle_sandbox::{Observe, Status, Touch};

use super::Place;
use crate::fixture::{run, shell, view};

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

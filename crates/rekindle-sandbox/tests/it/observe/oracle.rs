//! What others say of the same run.

use std::collections::{BTreeMap, BTreeSet};
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

/// The same for changes: each that succeeds is recorded as what it is, and no other.
#[test]
fn strace_sees_the_same_changes() {
    if !Path::new("/usr/bin/strace").exists() {
        crate::fixture::skipped("strace is not installed");
        return;
    }
    const CALLS: &[(&str, usize, Touch)] = &[
        ("rename", 0, Touch::REMOVED),
        ("unlink", 0, Touch::REMOVED),
        ("rmdir", 0, Touch::REMOVED),
        ("mkdir", 0, Touch::CREATED),
        ("mknod", 0, Touch::CREATED),
        ("symlink", 1, Touch::CREATED),
        ("link", 1, Touch::CREATED),
        ("chmod", 0, Touch::MODE),
        ("fchmodat", 0, Touch::MODE),
        ("fchownat", 0, Touch::MODE),
        ("utimensat", 0, Touch::TIMES),
        ("truncate", 0, Touch::UPDATED),
    ];
    let place = Place::new(&["x"]);
    let script = "set -e; T=/build/x; strace -f -qq -s 4096 -o /build/trace -e trace=open,openat,creat,rename,renameat,renameat2,\
        unlink,unlinkat,rmdir,mkdir,mkdirat,mknod,mknodat,symlink,symlinkat,link,linkat,chmod,fchmodat,?fchmodat2,fchownat,\
        utimensat,truncate sh -c 'cd /;
        mkdir $0/new $0/new/deep; cp $0/a $0/new/copy; cp -p $0/b $0/new/kept; mv $0/new/copy $0/new/moved; ln $0/a $0/new/hard;
        ln -s ../a $0/new/soft; mkfifo $0/new/pipe; rm $0/new/hard; rmdir $0/new/deep; chmod 600 $0/new/moved;
        mv -f $0/new/kept $0/new/moved; touch -h -d @1 $0/new/soft; echo x >> $0/b; echo y > $0/new/made; sed -i s/a/b/ $0/a;
        sort -o $0/new/sorted $0/a; tee $0/new/tee < $0/b; install -m 755 $0/a $0/new/installed; rm -r $0/d; cp -r $0/new $0/tree;
        mv $0/tree $0/forest; rm -f $0/none; mv $0/none $0/nowhere; mkdir $0/new; ln $0/a $0/b; exit 0' $T > /dev/null 2>&1";
    let mut spec = shell(script);
    spec.tree = Some(place.tree());
    spec.observe = Some(Observe::new());
    let ran = run(&spec);
    assert_eq!(ran.exit.status, Status::Code(0), "{}", ran.output);
    let records = ran.exit.records.expect("asked for");
    assert!(records.complete, "{}", records.reason);

    // Each path that was changed, and all that was done to it.
    let mut told: BTreeMap<PathBuf, Touch> = BTreeMap::new();
    let trace = fs::read_to_string(place.0.path().join("trace")).expect("strace has run");
    for line in trace.lines() {
        let Some((call, result)) = line.rsplit_once(" = ") else { continue };
        if result.starts_with('-') || result.starts_with('?') {
            continue;
        }
        let Some((name, args)) = call.split_once(' ').and_then(|(_, call)| call.trim().split_once('('))
        else {
            continue;
        };
        let paths: Vec<&str> = args.split('"').skip(1).step_by(2).collect();
        let mut tell = |path: &str, touch: Touch| {
            if path.starts_with("/build/x/") {
                *told.entry(path.trim_end_matches('/').into()).or_default() |= touch;
            }
        };
        if name.starts_with("open") && (args.contains("O_WRONLY") || args.contains("O_RDWR")) {
            tell(paths[0], Touch::CREATED | Touch::REPLACED | Touch::UPDATED);
        }
        // The longest name that it begins with: `unlinkat` is a way to `unlink`.
        if let Some((_, path, touch)) = CALLS.iter().find(|(known, ..)| name.starts_with(known)) {
            // By a descriptor, it has none.
            paths.get(*path).into_iter().for_each(|path| tell(path, *touch));
        }
        if name.starts_with("rename") {
            tell(paths[1], Touch::CREATED | Touch::REPLACED);
        }
    }
    assert!(told.len() > 20, "{told:?}");
    let index = records.index();
    let recorded = |path: &Path| {
        let Some(id) = records.paths.id(path) else { return Touch::default() };
        let accesses = index.processes(id).iter().filter_map(|process| records.access(*process, id));
        accesses.fold(Touch::default(), |all, access| all | access.touch)
    };
    for (path, touch) in &told {
        let seen = recorded(path);
        assert!(
            seen.any(*touch),
            "{}: {:?}, but recorded is {:?}",
            path.display(),
            touch.names(),
            seen.names()
        );
    }
    for id in records.paths.ids() {
        let path = records.paths.path(id);
        let below = path.starts_with("/build/x") && path != Path::new("/build/x");
        let is_told = told.contains_key(&path)
            || index
                .processes(id)
                .iter()
                .filter_map(|process| records.access(*process, id))
                .all(|access| access.changed == 0);
        // What lies in a directory that is removed whole is named from within it.
        let within = path
            .parent()
            .is_some_and(|dir| dir == Path::new("/build/x/d") || dir.starts_with("/build/x/tree"));
        assert!(
            !below || is_told || within,
            "{}: {:?}, says nobody else",
            path.display(),
            recorded(&path).names()
        );
    }
}

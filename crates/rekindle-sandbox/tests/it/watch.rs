//! What is seen of a command's dealings with files.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rekindle_sandbox::{Limits, Mount, Observed, Spec, Status, Tree, TreeRoot, Watch};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::tempdir;

use crate::filter::probe;
use crate::fixture::{is_root, run, sandbox, tag, tagged};
use crate::lifetime::{caller, sandbox_of};
use crate::tree::{Layers, bind, with_tree};

fn watched(spec: Spec, root: &str) -> Spec {
    Spec { watch: Some(Watch { roots: vec![root.into()] }), ..spec }
}

/// Runs a command that must exit with 0, and gives what was seen of it, which must be all.
fn observe(spec: &Spec) -> Observed {
    let observed = doubtful(spec);
    assert!(observed.complete, "{}", observed.reason);
    assert_eq!(observed.reason, "");
    observed
}

/// Runs a command that must exit with 0, and gives what was seen of it.
fn doubtful(spec: &Spec) -> Observed {
    let ran = run(spec);
    assert_eq!(ran.exit.status, Status::Code(0), "{}", ran.output);
    ran.exit.observed.expect("it was asked for")
}

fn strings(paths: &[PathBuf]) -> Vec<&str> {
    paths.iter().map(|path| path.to_str().expect("plain names")).collect()
}

const FILES: &[(&str, &str)] = &[
    ("build/src/a", "aaa"),
    ("build/src/b", "bbb"),
    ("build/src/sub/c", "ccc"),
    ("build/src/gone/d", "ddd"),
];

/// A way to have these files in the sandbox, below `/build/src`.
fn trees() -> Vec<(&'static str, Layers, Tree)> {
    let program = probe("").mounts.remove(0).source;
    let complete = |dir: &Path| {
        fs::copy(&program, dir.join("build/src/prog")).expect("room");
        fs::hard_link(dir.join("build/src/a"), dir.join("build/src/hard")).expect("room");
        symlink("sub/c", dir.join("build/src/soft")).expect("room");
        fs::remove_file(dir.join("build/src/gone/d")).expect("it is there");
    };
    let mut lower = Layers::new();
    lower.add("0", FILES);
    complete(&lower.lowers[0]);

    let mut upper = Layers::new();
    upper.add("0", FILES);
    complete(&upper.lowers[0]);
    fs::rename(upper.lowers[0].join("build"), upper.upper().join("build")).expect("the same file system");

    // Every directory has a part in each of three layers.
    let mut merged = Layers::new();
    merged.add("0", FILES);
    merged.add("1", FILES);
    complete(&merged.lowers[0]);
    fs::create_dir_all(merged.upper().join("build/src/sub")).expect("room");
    fs::create_dir_all(merged.lowers[0].join("build/src/gone/sub")).expect("room");
    fs::remove_dir_all(merged.lowers[1].join("build/src/gone")).expect("it is there");
    fs::remove_dir(merged.lowers[0].join("build/src/gone/sub")).expect("it is there");

    let mut plain = Layers::new();
    plain.add("0", FILES);
    complete(&plain.lowers[0]);
    let root = TreeRoot::Plain(plain.lowers[0].clone());
    let plain_tree = Tree { root, ..plain.tree() };

    let overlays = [("lower", lower), ("upper", upper), ("merged", merged)];
    let mut trees: Vec<_> = overlays
        .into_iter()
        .map(|(name, layers)| {
            let tree = layers.tree();
            (name, layers, tree)
        })
        .collect();
    trees.push(("plain", plain, plain_tree));
    trees
}

/// A call of the probe in `/build/src`; the files there that are opened, listed, written by it.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a [&'a str]);

/// Makes the calls in every kind of tree, one after the other in the same, and compares what is seen.
#[track_caller]
fn check(cases: &[Case<'_>]) {
    for (kind, _layers, tree) in trees() {
        for (call, opened, listed, written) in cases {
            let probe = probe(&format!("file {call}"));
            let spec = Spec { tree: Some(tree.clone()), cwd: "/build/src".into(), ..probe };
            let observed = observe(&watched(spec, "/build/src"));
            let full = |names: &[&str]| -> Vec<PathBuf> {
                names.iter().map(|name| Path::new("/build/src").join(name)).collect()
            };
            let expect = (full(opened), full(listed), full(written));
            assert_eq!((observed.opened, observed.listed, observed.written), expect, "{call}, {kind}");
        }
    }
}

#[test]
fn what_reads_a_file_is_an_open() {
    check(&[
        ("read prog", &["prog"], &[], &[]),
        ("map prog", &["prog"], &[], &[]),
        ("exec prog", &["prog"], &[], &[]),
        ("path-exec prog", &["prog"], &[], &[]),
        ("path-read prog", &["prog"], &[], &[]),
        ("read hard", &["hard"], &[], &[]),
        ("read soft", &["sub/c"], &[], &[]),
        ("child-read sub c", &["sub/c"], &[], &[]),
        ("read /proc/self/cwd/../src/a", &["a"], &[], &[]),
    ]);
}

#[test]
fn what_lists_a_directory_is_an_open() {
    check(&[
        ("list sub", &[], &["sub"], &[]),
        ("list .", &[], &[""], &[]),
        ("list gone", &[], &["gone"], &[]),
    ]);
}

#[test]
fn what_changes_a_file_is_seen() {
    check(&[
        ("write a", &["a"], &[], &["a"]),
        // It has been copied up by now.
        ("write a", &["a"], &[], &["a"]),
        ("map-write b", &["b"], &[], &["b"]),
        ("chmod b", &[], &[], &["b"]),
        ("remake b", &["b"], &[], &["b"]),
        ("chmod sub", &[], &[], &["sub"]),
        ("open-trunc sub/c", &["sub/c"], &[], &["sub/c"]),
        ("write hard", &["hard"], &[], &["hard"]),
        ("unlink hard", &[], &[], &["hard"]),
        ("chmod .", &[], &[], &[""]),
        ("rmdir gone", &[], &[], &["gone"]),
        ("rename a sub/x", &[], &[], &["a", "sub/x"]),
        ("rename b sub/c", &[], &[], &["b", "sub/c"]),
        ("replace new sub/c", &[], &[], &["sub/c"]),
        ("unlink sub/c", &[], &[], &["sub/c"]),
    ]);
}

#[test]
fn what_the_command_makes_is_its_own() {
    check(&[
        ("create new", &[], &[], &[]),
        ("create sub/new", &[], &[], &[]),
        ("mkdir dir", &[], &[], &[]),
        ("symlink a link", &[], &[], &[]),
    ]);
}

/// These limits are documented; the caller counts on their being just these.
#[test]
fn what_does_not_open_is_not_seen() {
    check(&[
        ("look a missing", &[], &[], &[]),
        ("look soft missing", &[], &[], &[]),
        ("link a new", &[], &[], &[]),
        ("truncate b", &[], &[], &[]),
        ("utime sub/c", &[], &[], &[]),
    ]);
    // And this way to get at a file without its name is closed.
    let mut layers = Layers::new();
    layers.add("0", FILES);
    let handle = probe("file handle /build/src/a");
    let spec = watched(Spec { tree: Some(layers.tree()), ..handle }, "/build");
    let ran = run(&spec);
    let denied = rustix::io::Errno::PERM.raw_os_error();
    assert_eq!(ran.output, format!("handle {denied}\n"));

    // What is done to a file without opening it has it copied up, where the caller finds it.
    for (call, file) in [("link", "a"), ("truncate", "b"), ("utime", "sub/c")] {
        let probe = probe(&format!("file {call} /build/src/{file} /build/src/new"));
        observe(&watched(Spec { tree: Some(layers.tree()), ..probe }, "/build"));
        assert!(layers.upper().join("build/src").join(file).exists(), "{call}");
    }
}

/// A watch must outlast what the kernel forgets when memory is short, also for a directory that was copied up before.
/// Only root can make it forget, and the whole machine is slow for a moment: so only in a full run.
#[test]
#[expect(clippy::disallowed_methods, reason = "a full run is asked for by a variable")]
fn dropped_caches_do_not_matter() {
    if !rustix::process::geteuid().is_root() || std::env::var_os("REKINDLE_FULL").is_none() {
        return;
    }
    for (kind, _layers, tree) in trees() {
        let host = tempdir().expect("a directory");
        let text = "echo x > src/sub/new; echo ready; while [ ! -e /host/go ]; do sleep 0.01; done
            cat src/a src/sub/c; ls src/sub";
        let mut spec = watched(with_tree(text, tree), "/build");
        let target = "/host".into();
        spec.mounts.push(Mount { source: host.path().into(), target, read_only: true, optional: false });
        let mut output = |_: &[u8]| {
            if !host.path().join("go").exists() {
                fs::write("/proc/sys/vm/drop_caches", "2").expect("root may");
                fs::write(host.path().join("go"), "").expect("room");
            }
        };
        let cancel = rekindle_sandbox::Cancel::new().expect("descriptors are left");
        let exit = sandbox().run(&spec, &mut output, &cancel).expect("it runs");
        let observed = exit.observed.expect("it was asked for");
        assert_eq!(strings(&observed.opened), ["/build/src/a", "/build/src/sub/c"], "{kind}");
        assert_eq!(strings(&observed.listed), ["/build/src/sub"], "{kind}");
    }
}

#[test]
fn other_ways_to_the_same_directory() {
    let mut layers = Layers::new();
    layers.add("0", FILES);
    let mut tree = layers.tree();
    tree.binds.push(bind("build/src/sub", "/other"));
    let text =
        "cat /other/c && ls /other && unshare -Urm sh -c 'mount --bind /build/src/b /tmp/b && cat /tmp/b'";
    let spec = with_tree(&format!("touch /tmp/b && {text}"), tree.clone());
    let observed = observe(&watched(spec, "/build"));
    assert_eq!(strings(&observed.opened), ["/build/src/b", "/build/src/sub/c"]);
    assert_eq!(strings(&observed.listed), ["/build/src/sub"]);

    // Told by the path below the root that comes first.
    let roots = vec!["/other".into(), "/build/src/".into(), "/build".into()];
    let spec = Spec { watch: Some(Watch { roots }), ..with_tree("cat src/a src/sub/c; ls .", tree) };
    let observed = observe(&spec);
    assert_eq!(strings(&observed.opened), ["/build/src/a", "/other/c"]);
    assert_eq!(strings(&observed.listed), ["/build"]);
}

#[test]
fn a_scripts_and_a_compilers_files() {
    let mut layers = Layers::new();
    layers.add(
        "0",
        &[
            ("build/main.c", "#include \"inc/x.h\"\nint main(void) { return X; }\n"),
            ("build/inc/x.h", "#define X 0\n"),
            ("build/inc/unused.h", ""),
            ("build/run", "#!/bin/sh\ncc -Iinc -o /tmp/main main.c && /tmp/main && ./inner\n"),
            ("build/inner", "#!/bin/cat\n"),
        ],
    );
    for name in ["run", "inner"] {
        let path = layers.lowers[0].join("build").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let observed = observe(&watched(with_tree("./run", layers.tree()), "/build"));
    assert_eq!(strings(&observed.opened), ["/build/inc/x.h", "/build/inner", "/build/main.c", "/build/run"]);
    assert_eq!((observed.listed, observed.written), (Vec::new(), Vec::new()));
}

#[test]
fn what_is_left_behind_is_seen_to_its_end() {
    let mut layers = Layers::new();
    layers.add("0", FILES);
    // The first closes its file only when it is killed; of the second, nobody knows how far it comes.
    let text = "sh -c 'exec 3>>src/b; echo x >&3; : > /tmp/open; exec sleep 1000' &
        while [ ! -e /tmp/open ]; do sleep 0.01; done
        (setsid sh -c 'cat src/sub/c; exec sleep 1000' &) ; cat src/a";
    let observed = observe(&watched(with_tree(text, layers.tree()), "/build"));
    assert_eq!(strings(&observed.written), ["/build/src/b"]);
    let mut opened = strings(&observed.opened);
    opened.retain(|path| *path != "/build/src/sub/c");
    assert_eq!(opened, ["/build/src/a", "/build/src/b"]);
}

#[test]
fn directories_that_come_and_go() {
    let mut layers = Layers::new();
    layers.add("0", FILES);
    let text = "rm -r src/gone && mkdir src/gone && echo x > src/gone/d && cat src/gone/d
        mkdir new && echo y > new/file && cat new/file && ls new && mv new moved && cat moved/file";
    let observed = observe(&watched(with_tree(text, layers.tree()), "/build"));
    assert_eq!(observed.opened, [""; 0].map(PathBuf::from));
    assert_eq!(strings(&observed.listed), ["/build/src/gone"]);
    // That `moved` was not there before, inotify does not say.
    assert_eq!(strings(&observed.written), ["/build/moved", "/build/src/gone", "/build/src/gone/d"]);

    // In a plain tree a directory can be moved, and keeps its name in what is told.
    let root = TreeRoot::Plain(layers.lowers[0].clone());
    let tree = Tree { root, ..layers.tree() };
    let text = "mv src/sub src/moved && cat src/moved/c";
    let observed = observe(&watched(with_tree(text, tree), "/build"));
    assert_eq!(strings(&observed.opened), ["/build/src/sub/c"]);
    assert_eq!(strings(&observed.written), ["/build/src/moved", "/build/src/sub"]);
}

#[test]
fn names_are_bytes() {
    let mut layers = Layers::new();
    layers.add("0", &[("build/x", "")]);
    let odd = OsString::from_vec(b"\xff\xfe \n%s".to_vec());
    let dir = layers.lowers[0].join("build").join(&odd);
    fs::create_dir(&dir).expect("room");
    fs::write(dir.join(OsString::from_vec(vec![b'\x80'; 255])), "").expect("room");
    let observed = observe(&watched(with_tree("cat /build/*/*", layers.tree()), "/build"));
    assert_eq!(observed.opened.len(), 1, "{observed:?}");
    assert!(observed.opened[0].as_os_str().as_bytes().ends_with(&[b'\x80'; 255]));
    assert!(observed.listed.contains(&Path::new("/build").join(odd)));
}

#[test]
fn mounts_and_links_are_not_entered() {
    let host = tempdir().expect("a directory");
    fs::create_dir(host.path().join("dir")).expect("room");
    fs::write(host.path().join("dir/file"), "").expect("room");
    let mut layers = Layers::new();
    layers.add("0", FILES);
    symlink("/usr/share", layers.lowers[0].join("build/share")).expect("room");
    let mut spec = with_tree("cat src/sub/dir/file src/a; ls src/sub share/", layers.tree());
    let target = "/build/src/sub".into();
    spec.mounts.push(Mount { source: host.path().into(), target, read_only: false, optional: false });
    let observed = observe(&watched(spec.clone(), "/build"));
    assert_eq!(strings(&observed.opened), ["/build/src/a"]);
    assert_eq!(observed.listed, [""; 0].map(PathBuf::from));

    // A mount can be a root of its own.
    let roots = vec!["/build".into(), "/build/src/sub".into()];
    let observed = observe(&Spec { watch: Some(Watch { roots }), ..spec });
    assert_eq!(strings(&observed.opened), ["/build/src/a", "/build/src/sub/dir/file"]);
    assert_eq!(strings(&observed.listed), ["/build/src/sub"]);
}

#[test]
fn deep_trees() {
    let mut layers = Layers::new();
    layers.add("0", FILES);
    let at = |depth: usize| {
        let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        let none = rustix::fs::Mode::empty();
        let mut dir = rustix::fs::open(layers.lowers[0].join("build"), flags, none).expect("it is there");
        for _ in 0..depth {
            let _ = rustix::fs::mkdirat(&dir, "down", 0o755.into());
            dir = rustix::fs::openat(&dir, "down", flags, none).expect("it was just made");
        }
        dir
    };
    // The path to the file is longer than any path that the kernel takes.
    let depth = 900;
    let create = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::openat(at(depth), "file", create, 0o644.into()).expect("room");
    let down = probe(&format!("file down file {depth}"));
    let spec = Spec { tree: Some(layers.tree()), cwd: "/build".into(), ..down };
    let observed = observe(&watched(spec, "/build"));
    let dir = format!("/build{}", "/down".repeat(depth));
    assert!(observed.opened == [PathBuf::from(format!("{dir}/file"))]);
    assert!(observed.listed == [PathBuf::from(dir)]);

    // There is an end to it, which is said.
    let (longest, name) = (33 << 10, "n".repeat(255));
    let mut dir = at(0);
    for _ in 0..longest / name.len() + 1 {
        rustix::fs::mkdirat(&dir, &name, 0o755.into()).expect("room");
        let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        dir = rustix::fs::openat(&dir, &name, flags, rustix::fs::Mode::empty()).expect("just made");
    }
    let observed = doubtful(&watched(with_tree("true", layers.tree()), "/build"));
    assert!(!observed.complete && observed.reason.contains("nested too deeply"), "{observed:?}");
}

#[test]
fn many_files_in_many_directories() {
    let mut layers = Layers::new();
    layers.add("0", FILES);
    let mut expect = Vec::new();
    for dir in 0..40 {
        let inside = PathBuf::from(format!("/build/dir{dir:03}"));
        let outside = layers.lowers[0].join(inside.strip_prefix("/").expect("absolute"));
        fs::create_dir(&outside).expect("room");
        for file in 0..50 {
            let name = format!("some-rather-long-name-of-a-file-{file:02}");
            fs::write(outside.join(&name), "x").expect("room");
            expect.push(inside.join(name));
        }
    }
    let text = "find dir* -type f -print0 | xargs -0 -n 100 -P 4 cat > /tmp/all && wc -c < /tmp/all";
    let observed = observe(&watched(with_tree(text, layers.tree()), "/build"));
    assert_eq!(observed.opened, expect);
    // With `.`, where `find` starts from.
    assert_eq!(observed.listed.len(), 41);
}

#[test]
fn nothing_is_observed_unless_asked_for() {
    let mut layers = Layers::new();
    layers.add("0", FILES);
    let spec = with_tree("cat src/a", layers.tree());
    assert_eq!(run(&spec).exit.observed, None);
    let nothing = Spec { watch: Some(Watch { roots: Vec::new() }), ..spec };
    assert_eq!(observe(&nothing), Observed { complete: true, ..Observed::default() });
}

#[test]
fn the_command_sees_no_difference() {
    let mut layers = Layers::new();
    layers.add("0", FILES);
    let text = "ls /proc/$$/fd; cut -d' ' -f1,4-6 /proc/$$/stat; grep -E 'Sig|Shd|Cap' /proc/self/status; ls -l src; exit 7";
    let spec = with_tree(text, layers.tree());
    let (plain, seen) = (run(&spec), run(&watched(spec, "/build")));
    assert_eq!((plain.output, plain.exit.status), (seen.output, seen.exit.status));
    assert_eq!(seen.exit.status, Status::Code(7));
    assert_eq!(strings(&seen.exit.observed.expect("asked for").listed), ["/build/src"]);
}

#[test]
fn a_root_that_cannot_be_watched_leaves_all_in_doubt() {
    let mut layers = Layers::new();
    layers.add("0", FILES);
    symlink("src", layers.lowers[0].join("build/link")).expect("room");
    for root in ["/none", "/build/src/a", "/build/link", "/build/link/sub"] {
        let observed = doubtful(&watched(with_tree("cat src/a", layers.tree()), root));
        assert!(!observed.complete && observed.opened.is_empty(), "{observed:?}");
        assert!(observed.reason.starts_with(&format!("cannot watch {root}: ")), "{observed:?}");
    }
    let text = crate::fixture::chain(&crate::fixture::refusal(&watched(crate::fixture::shell("true"), "a")));
    assert!(text.contains("watched directory a is not an absolute path"), "{text}");
}

#[test]
fn directories_without_permissions() {
    let mut layers = Layers::new();
    layers.add("0", FILES);
    let sub = layers.lowers[0].join("build/src/sub");
    fs::set_permissions(&sub, fs::Permissions::from_mode(0o111)).expect("it is ours");
    let observed = observe(&watched(with_tree("cat src/sub/c", layers.tree()), "/build"));
    assert_eq!(strings(&observed.opened), ["/build/src/sub/c"]);
    if is_root() {
        // What belongs to somebody else, init cannot list any more than the command can.
        std::os::unix::fs::chown(&sub, Some(1), Some(1)).expect("root may");
        let observed = doubtful(&watched(with_tree("cat src/sub/c", layers.tree()), "/build"));
        assert!(observed.reason.starts_with("cannot watch /build/src/sub: "), "{observed:?}");
        std::os::unix::fs::chown(&sub, Some(0), Some(0)).expect("root may");
    }
    fs::set_permissions(&sub, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
fn a_killed_command_is_in_doubt() {
    let mut layers = Layers::new();
    layers.add("0", FILES);
    let spec = with_tree("cat src/a; exec sleep 1000", layers.tree());
    let limits = Limits { time: Some(Duration::from_millis(300)), ..Limits::default() };
    let exit = run(&watched(Spec { limits, ..spec }, "/build")).exit;
    assert_eq!(exit.status, Status::TimedOut);
    let observed = exit.observed.expect("it was asked for");
    assert!(!observed.complete && observed.reason.contains("killed"), "{observed:?}");
}

#[test]
fn an_overflow_is_noticed() {
    let mut layers = Layers::new();
    layers.add("0", FILES);
    let host = tempdir().expect("a directory");
    let tag = tag();
    let text = format!(
        "sleep {tag} & echo ready; while [ ! -e /host/go ]; do sleep 0.01; done
         /probe/probe file flood src/a src/b; kill $!; echo done"
    );
    let mut spec = with_tree(&text, layers.tree());
    let mount = |source: &Path, target: &str| Mount {
        source: source.into(),
        target: target.into(),
        read_only: true,
        optional: false,
    };
    spec.mounts.push(mount(host.path(), "/host"));
    spec.mounts.push(mount(&probe("").mounts[0].source, "/probe/probe"));
    let mut text = String::new();
    let mut init = None;
    let mut output = |bytes: &[u8]| {
        text.push_str(&String::from_utf8_lossy(bytes));
        if init.is_none() && text.contains("ready") {
            let pid = crate::fixture::eventually("the tag is there", || {
                Some(tagged(&tag)).filter(|pids| !pids.is_empty())
            });
            let pid = Pid::from_raw(sandbox_of(&pid).1).expect("not 0");
            kill_process(pid, Signal::STOP).expect("it is ours");
            init = Some(pid);
            fs::write(host.path().join("go"), "").expect("room");
        }
        if let Some(pid) = init.filter(|_| text.contains("done")) {
            kill_process(pid, Signal::CONT).expect("it is ours");
        }
    };
    let cancel = rekindle_sandbox::Cancel::new().expect("descriptors are left");
    let exit = sandbox().run(&watched(spec, "/build"), &mut output, &cancel).expect("it runs");
    assert_eq!(exit.status, Status::Code(0), "{text}");
    let observed = exit.observed.expect("it was asked for");
    assert!(observed.reason.contains("fs.inotify.max_queued_events"), "{observed:?}");
    assert!(!observed.complete && observed.opened.is_empty());
}

/// Not a test of its own, see below.
#[test]
fn caller_process() {
    if !caller_is_child() {
        return;
    }
    let dir = tempdir().expect("a directory");
    fs::create_dir_all(dir.path().join("build/1/2/3/4/5/6/7/8")).expect("room");
    let tree = Tree { root: TreeRoot::Plain(dir.path().into()), binds: vec![bind("build", "/build")] };
    let observed = doubtful(&watched(with_tree("true", tree), "/build"));
    panic!("observed: {} {}", observed.complete, observed.reason);
}

#[expect(clippy::disallowed_methods, reason = "this is a program in a test's clothes")]
fn caller_is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

const CHILD: &str = "REKINDLE_TEST_WATCH";

#[test]
fn limits_of_the_machine_are_named() {
    let with_limit = |limit: &str| {
        let inner = format!("echo 5 > /proc/sys/user/max_inotify_watches && {limit} && exec \"$@\"");
        let mut command = caller(&["unshare", "-Ur", "sh", "-c", &inner, "sh"], "", "watch::caller_process");
        let output = command.env(CHILD, "1").output().expect("unshare is installed");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let text = with_limit("true");
    assert!(text.contains("observed: false cannot watch /build/1/2/3/4/5: "), "{text}");
    assert!(text.contains("sysctl fs.inotify.max_user_watches"), "{text}");
    let text = with_limit("echo 0 > /proc/sys/user/max_inotify_instances");
    assert!(text.contains("observed: false cannot watch directories: "), "{text}");
    assert!(text.contains("sysctl fs.inotify.max_user_instances"), "{text}");
}

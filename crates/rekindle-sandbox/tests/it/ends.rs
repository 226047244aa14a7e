//! How commands end, and what is left of them then: nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rekindle_sandbox::{ErrorKind, Mount, Spec, Status};
use tempfile::tempdir;

use crate::fixture::{chain, output, refusal, run, script, shell, tag, tagged};

#[test]
fn codes_and_signals() {
    for (text, expect) in [
        ("exit 0", Status::Code(0)),
        ("exit 3", Status::Code(3)),
        ("exit 255", Status::Code(255)),
        ("kill -9 $$", Status::Signal(9)),
        ("kill -SEGV $$", Status::Signal(11)),
        ("kill -TERM $$; sleep 60", Status::Signal(15)),
        ("kill -PIPE $$", Status::Signal(13)),
        ("sh -c 'kill -SEGV $$'", Status::Code(139)),
    ] {
        assert_eq!(run(&shell(text)).exit.status, expect, "{text}");
    }
}

#[test]
fn closing_the_output_is_not_the_end() {
    for text in
        ["echo a; exec >&- 2>&-; sleep 0.3; exit 7", "echo a; exec >/dev/null 2>&1; sleep 0.3; exit 7"]
    {
        let ran = run(&shell(text));
        assert_eq!((ran.exit.status, ran.output.as_str()), (Status::Code(7), "a\n"), "{text}");
    }
    // As programs of coreutils do it: the last to hold the output closes it, then exits.
    for _ in 0..20 {
        assert_eq!(script("echo a; cp /bin/sh /tmp/x"), "a\n");
    }
}

#[test]
fn all_output_arrives() {
    let ran = run(&shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end >&2; kill -9 $$"));
    assert_eq!(ran.exit.status, Status::Signal(9));
    assert_eq!(ran.output.len(), 3_000_000 + 5);
    assert!(ran.output.ends_with("x\nend\n"));
}

#[test]
fn nothing_survives() {
    let tag = tag();
    for daemon in [
        "sleep TAG &",
        "setsid sleep TAG &",
        "(setsid sh -c 'sleep TAG & sleep TAG' &) ",
        "(trap '' TERM HUP INT; exec sleep TAG) &",
        "(trap '' TERM HUP INT; exec setsid sleep TAG) >/dev/null 2>&1 </dev/null &",
        "unshare -Urpf sleep TAG &",
        "sleep TAG & kill -STOP $! &",
    ] {
        // It must have been there, so that there is something to be gone: its name is seen in the sandbox first.
        let wait = "until grep -qs TAG /proc/[0-9]*/cmdline; do sleep 0.01; done; exit 5";
        let ran = run(&shell(format!("{daemon}\n{wait}").replace("TAG", &tag)));
        assert_eq!(tagged(&tag), [0; 0], "{daemon}");
        assert_eq!(ran.exit.status, Status::Code(5), "{daemon}: {}", ran.output);
    }
}

#[test]
fn a_fork_bomb_ends_with_its_shell() {
    let tag = tag();
    run(&shell(format!("i=0; while [ $i -lt 200 ]; do setsid sleep {tag} & i=$((i+1)); done; kill -9 $$")));
    assert_eq!(tagged(&tag), [0; 0]);
}

#[test]
fn orphans_are_reaped() {
    let text = "i=0; while [ $i -lt 50 ]; do (true &); i=$((i+1)); done; sleep 0.3; grep -l 'State:.Z' /proc/[0-9]*/status";
    assert_eq!(run(&shell(text)).output, "");
}

#[test]
fn usage_covers_children() {
    let ran = run(&shell(
        "sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; head -c 60000000 /dev/zero | tail -c 50000000 | wc -c",
    ));
    let usage = ran.exit.usage;
    assert_eq!(ran.output, "50000000\n");
    assert!(usage.user.as_millis() >= 20, "{usage:?}");
    assert!(usage.peak_rss_bytes >= 45_000_000 && usage.peak_rss_bytes < 1 << 30, "{usage:?}");
    assert!(usage.wall >= usage.user / 64, "{usage:?}");
}

#[test]
fn what_cannot_be_executed_is_told_apart() {
    let host = tempdir().expect("a directory");
    let file = |name: &str, content: &str, mode| {
        let path = host.path().join(name);
        fs::write(&path, content).expect("room");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    file("script", "#!/no/such/interpreter\n", 0o755);
    file("text", "#!/bin/sh\n", 0o644);
    file("garbage", "\u{1}\u{2}", 0o755);
    for (name, expect) in [
        ("missing", "it is not there"),
        ("script", "the loader or interpreter that it names is not"),
        ("text", "is it an executable file?"),
        ("garbage", "neither a program for this machine"),
    ] {
        let mut spec = Spec { program: format!("/in/{name}").into(), ..shell("") };
        let (source, target) = (host.path().to_owned(), "/in".into());
        spec.mounts.push(Mount { source, target, read_only: true, optional: false });
        let error = refusal(&spec);
        assert_eq!(error.kind(), ErrorKind::NotExecutable);
        let text = chain(&error);
        assert!(text.contains(&format!("cannot execute /in/{name}")) && text.contains(expect), "{text}");
    }
}

#[test]
fn many_at_once() {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for round in 0..10 {
                    assert_eq!(script(&format!("echo {thread}.{round}")), format!("{thread}.{round}\n"));
                }
            });
        }
    });
}

#[test]
fn a_run_needs_no_thread_that_stays() {
    // The kernel's parent-death signal is bound to a thread; a run must not be bound to the one that started another.
    let first = std::thread::spawn(|| run(&shell("echo first")).output);
    assert_eq!(first.join().expect("no panic"), "first\n");
    assert_eq!(output(&shell("sleep 0.1; echo second")), "second\n");
}

//! Death of the sandbox's own processes and of its caller, and machines that forbid sandboxes.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use rekindle_sandbox::{ErrorKind, Sandbox, Spec, Status};
use rustix::process::{Pid, Signal, getpgid, kill_process};

use crate::fixture::{chain, eventually, refusal, run, sandbox, script, shell, tag, tagged, try_run};

/// Has the value of a script for [`caller_process`] to run.
const SCRIPT: &str = "REKINDLE_TEST_SCRIPT";

/// Not a test of its own: the others start this program again with just this one, to have a caller that can die.
#[test]
#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "this is a program in a test's clothes")]
fn caller_process() {
    let Some(text) = std::env::var_os(SCRIPT) else { return };
    match try_run(&shell(text)) {
        Ok(ran) => println!("ran: {ran:?}"),
        Err(error) => println!("refused: {:?}: {}", error.kind(), chain(&error)),
    }
}

/// The name of the test above.
const CALLER: &str = "lifetime::caller_process";

/// This program once more, with just one of its tests.
pub(crate) fn caller(prefix: &[&str], text: &str, test: &str) -> Command {
    let this = std::env::current_exe().expect("this program has a path");
    let mut words = prefix.iter().map(|word| (*word).into()).chain([this.into_os_string()]);
    let mut command = Command::new(words.next().expect("at least this program"));
    command.args(words).args(["--exact", test, "--nocapture"]).env(SCRIPT, text);
    command
}

fn busy(tag: &str) -> String {
    format!("trap '' TERM INT HUP; setsid sleep {tag} & sleep {tag}; sleep {tag}")
}

fn running(tag: &str) -> Vec<i32> {
    eventually("the command starts", || Some(tagged(tag)).filter(|pids| pids.len() >= 2))
}

fn parent(pid: i32) -> i32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("the kernel tells");
    line.trim().parse().expect("a number")
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("not 0"), Signal::KILL).expect("it is ours");
}

/// Supervisor and init of the sandbox that a tagged process lives in.
pub(crate) fn sandbox_of(tagged: &[i32]) -> (i32, i32) {
    let mut chain: Vec<i32> =
        std::iter::successors(Some(tagged[0]), |&pid| Some(parent(pid)).filter(|&pid| pid > 1)).collect();
    let is_ours =
        |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"rekindle-sandbox\0");
    chain.retain(is_ours);
    let &[init, supervisor] = &chain[..] else { panic!("not two processes of the sandbox: {chain:?}") };
    (supervisor, init)
}

#[test]
fn a_killed_caller_takes_all_with_it() {
    let tag = tag();
    let mut caller = caller(&[], &busy(&tag), CALLER).stdout(Stdio::null()).spawn().expect("it starts");
    let (supervisor, init) = sandbox_of(&running(&tag));
    caller.kill().expect("it lives");
    caller.wait().expect("it is our child");
    eventually("the command dies", || tagged(&tag).is_empty().then_some(()));
    for pid in [supervisor, init] {
        eventually("the sandbox dies", || (!fs::exists(format!("/proc/{pid}/ns")).ok()?).then_some(()));
    }
}

#[test]
fn death_at_any_moment_leaves_nothing() {
    for moment in 0..40 {
        let tag = tag();
        let mut caller = caller(&[], &busy(&tag), CALLER)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let pid = i32::try_from(caller.id()).expect("a process number");
        // From before the helper is started until the command runs: that takes a few milliseconds.
        let supervisor = (moment % 2 == 1).then(|| eventually("the helper starts", || helper_of(pid)));
        std::thread::sleep(Duration::from_micros(moment * 200));
        kill(supervisor.unwrap_or(pid));
        caller.wait().expect("it is our child");
        // The helper has the caller's environment, and with it the tag.
        eventually("everything dies", || (tagged(&tag).is_empty() && !in_an_environment(&tag)).then_some(()));
    }
}

/// The helper that one of a process's threads has started.
fn helper_of(caller: i32) -> Option<i32> {
    let threads = fs::read_dir(format!("/proc/{caller}/task")).ok()?;
    let children = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    children.collect::<String>().split_whitespace().next()?.parse().ok()
}

fn in_an_environment(tag: &str) -> bool {
    let processes = fs::read_dir("/proc").expect("/proc is mounted");
    let mut environments = processes.filter_map(|entry| fs::read(entry.ok()?.path().join("environ")).ok());
    environments.any(|environment| environment.windows(tag.len()).any(|part| part == tag.as_bytes()))
}

#[test]
fn a_killed_helper_takes_all_with_it() {
    for victim in ["supervisor", "init"] {
        let tag = tag();
        let spec = shell(busy(&tag));
        let error = std::thread::scope(|scope| {
            let run = scope.spawn(|| refusal(&spec));
            let (supervisor, init) = sandbox_of(&running(&tag));
            kill(if victim == "init" { init } else { supervisor });
            run.join().expect("no panic")
        });
        assert_eq!(tagged(&tag), [0; 0], "{victim}");
        assert!(chain(&error).contains("killed from outside"), "{victim}: {error}");
    }
}

#[test]
fn a_stopped_helper_does_not_keep_the_command() {
    let tag = tag();
    let cancel = rekindle_sandbox::Cancel::new().expect("descriptors are left");
    let spec = shell(busy(&tag));
    let exit = std::thread::scope(|scope| {
        let run = scope.spawn(|| sandbox().run(&spec, &mut |_| {}, &cancel));
        let (supervisor, _) = sandbox_of(&running(&tag));
        kill_process(Pid::from_raw(supervisor).expect("not 0"), Signal::STOP).expect("it is ours");
        cancel.cancel();
        run.join().expect("no panic")
    });
    assert_eq!(exit.expect("cancelling is no error").status, Status::Cancelled);
    assert_eq!(tagged(&tag), [0; 0]);
}

#[test]
fn signals_of_the_terminal_do_not_reach_the_helper() {
    // Ctrl-C goes to the caller's process group. The caller alone decides what comes of it.
    let tag = tag();
    let cancel = rekindle_sandbox::Cancel::new().expect("descriptors are left");
    let spec = shell(busy(&tag));
    std::thread::scope(|scope| {
        let run = scope.spawn(|| sandbox().run(&spec, &mut |_| {}, &cancel));
        let (supervisor, init) = sandbox_of(&running(&tag));
        for pid in [supervisor, init] {
            let group = getpgid(Pid::from_raw(pid)).expect("it lives");
            assert_eq!(group.as_raw_nonzero().get(), supervisor);
        }
        cancel.cancel();
        run.join().expect("no panic").expect("cancelling is no error");
    });
}

#[test]
fn nothing_stays_mounted() {
    let mounts = || fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
    let before = mounts();
    script("true");
    run(&shell("kill -9 $$"));
    refusal(&Spec { program: "/none".into(), ..shell("") });
    assert_eq!(mounts(), before);
}

#[test]
fn forbidden_namespaces_are_one_clear_error() {
    let inner = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let output = caller(&["unshare", "-Ur", "sh", "-c", inner, "sh"], "echo ran", CALLER)
        .output()
        .expect("unshare is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("refused: Forbidden: cannot make namespaces"), "{text}");
    assert!(text.contains("sysctl user.max_user_namespaces"), "{text}");
    assert!(!text.contains("ran:"), "{text}");
}

#[test]
fn a_program_that_is_no_helper_is_told_apart() {
    let run = |helper: &str| {
        let cancel = rekindle_sandbox::Cancel::new().expect("descriptors are left");
        let error =
            Sandbox::with_helper(helper).run(&shell("true"), &mut |_| {}, &cancel).expect_err("it cannot");
        assert_eq!(error.kind(), ErrorKind::Failed);
        chain(&error)
    };
    assert!(run("/bin/true").contains("/bin/true is no sandbox helper"));
    assert!(run("/nonexistent").contains("cannot start /nonexistent"));
    let text = run("/bin/sh");
    assert!(
        text.contains("the sandbox helper /bin/sh said") || text.contains("is no sandbox helper"),
        "{text}"
    );
    assert!(Sandbox::new().expect_err("this test does not begin with it").to_string().contains("child_main"));
}

#[test]
fn the_helper_by_itself_does_nothing() {
    let run = |arg0: &str| {
        use std::os::unix::process::CommandExt;
        let mut child = Command::new(crate::fixture::helper())
            .arg0(arg0)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut text = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut text).expect("text");
        (child.wait().expect("our child").code(), text)
    };
    assert_eq!(run("helper"), (Some(2), String::new()));
    assert_eq!(run("rekindle-sandbox"), (Some(2), String::new()));
}

/// What a caller tells the dynamic linker is not for the helper: its complaints would come where reports are expected.
#[test]
fn variables_of_the_caller_do_not_reach_the_helper() {
    for (name, value) in [("LD_PRELOAD", "/nowhere.so"), ("LD_DEBUG", "libs")] {
        let output = caller(&[], "true", CALLER).env(name, value).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("ran: ") && !said.contains("refused"), "{name}: {said}");
    }
}

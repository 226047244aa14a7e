//! Ends that the caller makes: limits, cancellation, a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rekindle_sandbox::{Cancel, Exit, Limits, Observe, Spec, Status};

use crate::fixture::{eventually, run, sandbox, shell, tag, tagged};

const STUBBORN: &str = "trap '' TERM INT HUP; setsid sleep TAG & echo ready; sleep TAG; sleep TAG";

fn stubborn(tag: &str) -> Spec {
    shell(STUBBORN.replace("TAG", tag))
}

#[test]
fn time_runs_out() {
    let tag = tag();
    let limits = Limits { time: Some(Duration::from_millis(300)), ..Limits::default() };
    let ran = run(&Spec { limits, ..stubborn(&tag) });
    assert_eq!((ran.exit.status, ran.output.as_str()), (Status::TimedOut, "ready\n"));
    assert_eq!(tagged(&tag), [0; 0]);
    assert!(ran.exit.usage.wall >= Duration::from_millis(300));
    assert!(ran.exit.usage.peak_rss_bytes > 0);
}

#[test]
fn time_runs_out_while_it_writes() {
    let limits = Limits { time: Some(Duration::from_millis(300)), ..Limits::default() };
    let ran = run(&Spec { limits, ..shell("while :; do echo x; done") });
    assert_eq!(ran.exit.status, Status::TimedOut);
}

#[test]
fn silence_ends_a_command() {
    let tag = tag();
    let (time, idle) = (Some(Duration::from_secs(600)), Some(Duration::from_millis(300)));
    let limits = Limits { time, idle, ..Limits::default() };
    let ran = run(&Spec { limits, ..stubborn(&tag) });
    assert_eq!((ran.exit.status, ran.output.as_str()), (Status::Silent, "ready\n"));
    assert_eq!(tagged(&tag), [0; 0]);
}

#[test]
fn output_breaks_the_silence() {
    let limits = Limits { idle: Some(Duration::from_secs(3)), ..Limits::default() };
    let ran = run(&Spec { limits, ..shell("for i in 1 2 3 4 5 6 7; do sleep 0.5; echo $i; done; exit 4") });
    assert_eq!(ran.exit.status, Status::Code(4));
}

#[test]
fn limits_that_are_never_reached_do_nothing() {
    let limits = Limits { time: Some(Duration::MAX), idle: Some(Duration::MAX), ..Limits::default() };
    assert_eq!(run(&Spec { limits, ..shell("exit 4") }).exit.status, Status::Code(4));
}

fn run_cancelled_when(spec: &Spec, cancel: &Cancel, when: impl FnOnce() + Send) -> Exit {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            when();
            cancel.cancel();
        });
        sandbox().run(spec, &mut |_| {}, cancel).expect("cancelling is no error")
    })
}

#[test]
fn cancelling_ends_every_run() {
    let tag = tag();
    let cancel = Cancel::new().expect("descriptors are left");
    let exit = run_cancelled_when(&stubborn(&tag), &cancel.clone(), || {
        eventually("the command starts", || (tagged(&tag).len() >= 2).then_some(()));
    });
    assert_eq!(exit.status, Status::Cancelled);
    assert_eq!(tagged(&tag), [0; 0]);

    // And those that begin later.
    let exit = sandbox().run(&stubborn(&tag), &mut |_| {}, &cancel).expect("cancelling is no error");
    assert_eq!(exit.status, Status::Cancelled);
    assert_eq!(tagged(&tag), [0; 0]);
}

#[test]
fn cancelling_at_any_moment_leaves_nothing() {
    for micros in (0..6000).step_by(150) {
        let tag = tag();
        let exit = run_cancelled_when(&stubborn(&tag), &Cancel::new().expect("descriptors are left"), || {
            std::thread::sleep(Duration::from_micros(micros));
        });
        assert_eq!(exit.status, Status::Cancelled, "after {micros} us");
        assert_eq!(tagged(&tag), [0; 0], "after {micros} us");
    }
}

#[test]
fn an_interrupted_command_may_end_itself() {
    let tag = tag();
    let script = "trap 'echo bye; exit 0' INT; (trap '' INT; setsid sleep TAG) & sleep TAG";
    let grace = Duration::from_secs(60);
    let limits = Limits { time: Some(Duration::from_millis(500)), grace, ..Limits::default() };
    let ran = run(&Spec { limits, observe: Some(Observe::new()), ..shell(script.replace("TAG", &tag)) });
    // That it ended well says nothing of what it left undone.
    assert_eq!((ran.exit.status, ran.output.as_str()), (Status::TimedOut, "bye\n"));
    let records = ran.exit.records.expect("it was observed");
    assert!(records.complete, "{}", records.reason);
    // What ignores it ends with it.
    assert_eq!(tagged(&tag), [0; 0]);
}

#[test]
fn who_does_not_end_in_time_is_killed() {
    let tag = tag();
    let time = Some(Duration::from_millis(300));
    let limits = Limits { time, grace: Duration::from_millis(300), ..Limits::default() };
    let ran = run(&Spec { limits, observe: Some(Observe::new()), ..stubborn(&tag) });
    assert_eq!((ran.exit.status, ran.output.as_str()), (Status::TimedOut, "ready\n"));
    assert_eq!(tagged(&tag), [0; 0]);
    assert!(ran.exit.usage.wall >= Duration::from_millis(600));
    assert!(ran.exit.records.is_some_and(|records| !records.complete));
}

#[test]
fn interrupting_at_any_moment_ends_a_command() {
    for micros in (0..6000).step_by(150) {
        let tag = tag();
        let limits = Limits { grace: Duration::from_secs(3600), ..Limits::default() };
        // A shell loses an interruption that comes just before it starts something.
        let spec = Spec { limits, program: "/bin/sleep".into(), args: vec![tag.clone().into()], ..shell("") };
        let exit = run_cancelled_when(&spec, &Cancel::new().expect("descriptors are left"), || {
            std::thread::sleep(Duration::from_micros(micros));
        });
        assert_eq!(exit.status, Status::Cancelled, "after {micros} us");
        assert_eq!(tagged(&tag), [0; 0], "after {micros} us");
    }
}

#[test]
fn a_panic_of_the_caller_ends_the_command() {
    let tag = tag();
    let cancel = Cancel::new().expect("descriptors are left");
    let result = catch_unwind(AssertUnwindSafe(|| {
        sandbox().run(&stubborn(&tag), &mut |_| std::panic::panic_any("on purpose"), &cancel)
    }));
    assert_eq!(result.expect_err("it panicked").downcast_ref(), Some(&"on purpose"));
    assert_eq!(tagged(&tag), [0; 0]);
}

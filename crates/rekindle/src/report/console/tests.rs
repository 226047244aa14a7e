use std::path::PathBuf;

use rekindle_engine::{Failure, FailureKind, Progress, RestartReason, StepUsage};

use super::super::failure::Advice;
use super::super::look::Look;
use super::*;

/// What was written so far.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("UTF-8")
    }
}

fn drv() -> StorePath {
    StorePath::new(&[7; 20], &"hello-2.10.drv".parse().expect("a name"))
}

fn console(verbosity: Verbosity, board: bool, logs: bool) -> (Console, Written) {
    let written = Written::default();
    let advice = Advice { program: "rekindle".into(), targets: vec![".".into()] };
    let transcript = Transcript { look: Look::PLAIN, verbosity, board, logs, advice };
    (Console::with_output(transcript, Box::new(written.clone()), || (60, 10)), written)
}

fn usage() -> StepUsage {
    StepUsage { wall: Duration::from_secs(3), cpu: Duration::from_secs(61), peak_rss: 5 << 20 }
}

fn success() -> Vec<Event> {
    let phase = || Some("buildPhase".to_owned());
    vec![
        Event::Planned { to_build: vec![drv()], valid: 0 },
        Event::Started { drv: drv(), fetch: false },
        Event::Steps { drv: drv(), phases: vec!["buildPhase".into()] },
        Event::StepStarted { drv: drv(), phase: phase() },
        Event::Output { drv: drv(), line: b"gcc\x1b[1m hello.c".to_vec() },
        Event::StepFinished { drv: drv(), phase: phase(), usage: usage() },
        Event::Finished { drv: drv(), result: BuildResult::Built, wall: Duration::from_secs(4) },
    ]
}

fn failed(kind: FailureKind) -> Event {
    let failure = Failure {
        phase: Some("checkPhase".into()),
        kind,
        tail: vec![b"one".to_vec(), b"t\x1b[31mwo".to_vec()],
        log: Some(PathBuf::from("/s/log.bz2")),
        kept: None,
        progress: Progress::None,
    };
    Event::Finished { drv: drv(), result: BuildResult::Failed(failure), wall: Duration::from_secs(4) }
}

fn told(verbosity: Verbosity, logs: bool, events: &[Event]) -> String {
    let (console, written) = console(verbosity, false, logs);
    for event in events {
        console.event(event);
    }
    console.close(&[]);
    written.text()
}

#[test]
fn without_a_terminal_each_phase_is_a_line() {
    assert_eq!(
        told(Verbosity::Normal, false, &success()),
        "hello-2.10: buildPhase\nhello-2.10: built in 4.0 s\n"
    );
    assert_eq!(
        told(Verbosity::Normal, true, &success()),
        "hello-2.10: buildPhase\nhello-2.10> gcc hello.c\nhello-2.10: built in 4.0 s\n"
    );
    assert_eq!(told(Verbosity::Quiet, false, &success()), "");
}

#[test]
fn a_failure_says_what_where_and_what_to_do() {
    let path = drv();
    assert_eq!(
        told(Verbosity::Quiet, false, &[failed(FailureKind::Exit(2))]),
        format!(
            "error: hello-2.10 failed in checkPhase: the builder ended with exit code 2\n  \
             the last 2 lines that it printed:\n  | one\n  | two\n  \
             the whole log: /s/log.bz2\n  \
             to read it:    rekindle log /nix/store/{path}\n  \
             to look closer, with its tree kept: rekindle build --keep-failed .\n"
        )
    );
    let mismatch = FailureKind::HashMismatch { expected: "sha256-a".into(), got: "sha256-b".into() };
    let text = told(Verbosity::Quiet, true, &[failed(mismatch)]);
    assert!(text.contains("expected: sha256-a\n  got:      sha256-b\n"), "{text}");
    assert!(!text.contains("| one") && !text.contains("--keep-failed"), "{text}");
    assert_eq!(
        told(Verbosity::Quiet, false, &[failed(FailureKind::Cancelled)]),
        "error: hello-2.10 was stopped in checkPhase\n"
    );
    assert!(told(Verbosity::Quiet, false, &[failed(FailureKind::Signal(9))]).contains("killed by SIGKILL"));
}

#[test]
fn a_warning_is_one_line() {
    let warning = Event::Warning { message: "first\nsecond \x1b[1m".into() };
    assert_eq!(told(Verbosity::Quiet, false, &[warning]), "warning: first second\n");
}

#[test]
fn a_restart_says_why() {
    let reason = RestartReason::HiddenScratchPath {
        file: "share/a.gz".into(),
        output: "out".parse().expect("a name"),
    };
    let text = told(Verbosity::Normal, false, &[Event::Restarted { drv: drv(), reason }]);
    assert!(text.starts_with("hello-2.10: begins again: share/a.gz of the output out "), "{text}");
}

#[test]
fn the_board_is_drawn_below_and_taken_away() {
    let (console, written) = console(Verbosity::Normal, true, false);
    let events = success();
    for event in &events[..5] {
        console.event(event);
    }
    console.warn("a line");
    let text = written.text();
    assert!(text.contains("warning: a line\nhello-2.10  buildPhase  0 s  gcc hello.c\n"), "{text:?}");
    console.event(&events[6]);
    console.close(&[]);
    let text = written.text();
    assert!(text.ends_with("\x1b[1A\r\x1b[Jhello-2.10: built in 4.0 s\n"), "{text:?}");
}

#[test]
fn the_board_is_not_drawn_for_every_line_of_output() {
    let (console, written) = console(Verbosity::Normal, true, false);
    for event in &success()[..4] {
        console.event(event);
    }
    let mut drawings = 0;
    let began = Instant::now();
    for number in 0..5000 {
        console.event(&Event::Output { drv: drv(), line: format!("line {number}").into_bytes() });
    }
    let most = began.elapsed().as_millis() / PACE.as_millis() + 3;
    drawings += written.text().matches("buildPhase").count();
    assert!(drawings as u128 <= most, "{drawings} drawings, at most {most} were due");
}

#[test]
fn history_remembers_steps_and_ends() {
    let (console, _) = console(Verbosity::Quiet, false, false);
    for event in &success()[..6] {
        console.event(event);
    }
    let (history, transcript) = console.close(&[(drv(), BuildResult::Abandoned)]);
    let [build] = history.builds() else { panic!("one build") };
    assert_eq!(build.steps.len(), 1);
    assert_eq!(build.end, Some((BuildResult::Abandoned, Duration::ZERO)));
    let summary = transcript.summary(build);
    assert_eq!(summary[0], "hello-2.10:");
    assert_eq!(
        summary[1].split_whitespace().collect::<Vec<_>>().join(" "),
        "buildPhase 3.0 s 1 min 1 s cpu 5.0 MiB peak"
    );
}

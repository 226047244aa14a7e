//! What is printed where: on a terminal, into a pipe, to nobody.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::project::{Place, example};

/// A package that prints lines, some with escape sequences.
fn talkative(place: &Place) -> PathBuf {
    let manifest = "[package]\nname = \"x\"\nversion = \"1\"\nbuild-system = \"custom\"\n[phases]\n\
                    build = \"\"\"printf 'a \\\\033[31mred\\\\033[0m line\\\\n\\\\033[2J\\\\033[H cleared\\\\r\\\\n'; sleep 1\"\"\"\n\
                    install = \"touch $out\"\n";
    place.write("x", "file", "");
    place.write("x", "rekindle.toml", manifest)
}

/// Runs the program on a terminal of 60 columns and returns what came to it, and the exit code.
fn on_terminal(place: &Place, args: &[&str], env: &[(&str, &str)]) -> (String, Option<i32>) {
    const SCRIPT: &str = "
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 60, 0, 0))
while True:
    try:
        data = os.read(fd, 65536)
    except OSError:
        break
    if not data:
        break
    sys.stdout.buffer.write(data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
    let command = place.rekindle(args).command();
    let mut python = Command::new("python3");
    python.args(["-c", SCRIPT]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => python.env(name, value),
            None => python.env_remove(name),
        };
    }
    let dir = command.get_current_dir().expect("a directory");
    let python =
        python.env("TERM", "xterm").env("LC_ALL", "C.UTF-8").envs(env.iter().copied()).current_dir(dir);
    let output = python.stdin(Stdio::null()).output().expect("python3");
    (String::from_utf8(output.stdout).expect("UTF-8"), output.status.code())
}

#[test]
fn in_a_pipe_each_phase_is_a_line() {
    let place = Place::new();
    let finished = place.rekindle(&["build", "--no-link"]).arg(talkative(&place)).run();
    assert!(finished.success());
    let stderr = finished.stderr();
    let lines: Vec<_> = stderr.lines().collect();
    assert!(lines.contains(&"x-1: buildPhase") && lines.contains(&"x-1: installPhase"), "{stderr}");
    assert!(lines.last().expect("a line").starts_with("x-1: built in "), "{stderr}");
    assert!(!stderr.contains("red") && !stderr.contains('\u{1b}'), "{stderr}");
    assert_eq!(finished.stdout(), "");
}

#[test]
fn what_builders_print_is_shown_without_its_escapes() {
    let place = Place::new();
    let finished = place.rekindle(&["build", "--no-link", "-L"]).arg(talkative(&place)).run();
    let stderr = finished.stderr();
    assert!(stderr.contains("x-1> a red line\n") && stderr.contains("x-1>  cleared\n"), "{stderr}");
    assert!(!stderr.contains('\u{1b}'), "{stderr}");
}

#[test]
fn a_terminal_shows_what_runs_and_is_clean_in_the_end() {
    let place = Place::new();
    let dir = talkative(&place);
    let (shown, code) = on_terminal(&place, &["build", "--no-link", dir.to_str().expect("UTF-8")], &[]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("\u{1b}[1A\r\u{1b}[J"), "it is drawn again: {shown:?}");
    assert!(shown.contains("buildPhase") && shown.contains("cleared"), "{shown:?}");
    assert!(!shown.contains("\u{1b}[2J"), "the builder's own escapes do not get through: {shown:?}");
    let last = shown.rsplit("\u{1b}[J").next().expect("an end");
    assert!(
        last.contains("built in") && last.ends_with("\r\n") && last.matches('\n').count() == 1,
        "{shown:?}"
    );
}

#[test]
fn a_terminal_can_be_asked_for_less() {
    let place = Place::new();
    let dir = example("hello-make");
    let args = ["build", "--no-link", dir.to_str().expect("UTF-8")];
    let (dumb, _) = on_terminal(&place, &args, &[("TERM", "dumb")]);
    assert!(dumb.contains("buildPhase") && !dumb.contains('\u{1b}'), "{dumb:?}");
    let place = Place::new();
    let (plain, _) = on_terminal(&place, &args, &[("NO_COLOR", "1")]);
    assert!(
        plain.contains("\u{1b}[J") && !plain.contains("\u{1b}[1m") && !plain.contains("\u{1b}[36m"),
        "{plain:?}"
    );
}

#[test]
fn color_can_be_forced_into_a_pipe() {
    let place = Place::new();
    let build =
        |name: &str| place.rekindle(&["build", "--no-link", "/nonexistent"]).env(name, "1").run().stderr();
    assert!(build("CLICOLOR_FORCE").starts_with("\u{1b}["));
    assert!(build("NO_COLOR").starts_with("error:"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new();
    place.build(&example("hello-make"), &[]);
    for args in
        [["store", "path-info", "--all"].as_slice(), &["completions", "bash"], &["--help"], &["doctor"]]
    {
        let mut child = place
            .rekindle(args)
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("a child to wait for");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{args:?}: {:?}: {stderr}", output.status);
    }
}

#[test]
fn progress_that_nobody_reads_does_not_stop_a_build() {
    let place = Place::new();
    let mut child = place
        .rekindle(&["build", "--no-link", "--print-out-paths", "-L"])
        .arg(example("hello-make"))
        .command()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stderr.take());
    let mut stdout = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut stdout).expect("text");
    assert!(child.wait().expect("a child").success());
    assert!(stdout.starts_with("/nix/store/"), "{stdout}");
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let place = Place::new();
    let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let output =
        place.rekindle(&["completions", "bash"]).command().stdout(full).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output"), "{output:?}");
}

#[test]
fn usage_errors_have_exit_code_one() {
    let place = Place::new();
    for args in [["biuld"].as_slice(), &["build", "--jbos", "3"], &[]] {
        let finished = place.rekindle(args).run();
        assert_eq!((finished.code(), finished.stdout().as_str()), (Some(1), ""), "{args:?}");
        assert!(!finished.stderr().is_empty() && finished.status().signal().is_none());
    }
    assert_eq!(place.rekindle(&["--version"]).run().code(), Some(0));
    assert!(!Path::new(place.store()).exists(), "nothing was made");
}

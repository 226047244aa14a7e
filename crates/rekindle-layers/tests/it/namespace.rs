//! Running a part of a test in a process and namespaces of its own.
//!
//! The part is a test that is ignored, so that it runs only when it is asked for by name, here.

use std::process::{Command, Stdio};

/// Set for the processes that run a part.
const PART: &str = "REKINDLE_TEST_PART";

/// Whether this process runs a part. Not so when all tests run: then a part must do nothing, for the test that calls it runs it.
#[expect(clippy::disallowed_methods, reason = "there is no other way to tell a test where it runs")]
pub(crate) fn is_part() -> bool {
    std::env::var_os(PART).is_some()
}

/// Makes the command that runs a part, a test of this binary, by `unshare` with these arguments.
pub(crate) fn part(unshare: &[&str], name: &str) -> Command {
    let mut command = Command::new("unshare");
    let exe = std::env::current_exe().expect("a test has a program");
    command.env(PART, "1").args(unshare).arg("--").arg(exe).args(["--exact", "--nocapture", name]);
    command
}

/// Runs a part as root of a user namespace with its own mounts, as a rootless build is.
pub(crate) fn with_mounts(name: &str) {
    run(part(&["--user", "--map-root-user", "--mount"], name));
}

/// Runs a part as an ordinary user, without any privilege, whoever runs the tests.
pub(crate) fn as_ordinary_user(name: &str) {
    run(part(&["--user", "--map-user=1000", "--map-group=1000"], name));
}

fn run(mut command: Command) {
    let output = command.stdin(Stdio::null()).output().expect("these tests need unshare (util-linux)");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}

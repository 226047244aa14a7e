//! Running a part of a test in a process and namespaces of its own.
//!
//! The part is a test that is ignored, so that it runs only when it is asked for by name, here.

use std::process::{Command, Stdio};

/// Makes the command that runs an ignored test of this binary, by `unshare` with these arguments.
pub(crate) fn part(unshare: &[&str], name: &str) -> Command {
    let mut command = Command::new("unshare");
    let exe = std::env::current_exe().expect("a test has a program");
    command.args(unshare).arg("--").arg(exe).args(["--ignored", "--exact", "--nocapture", name]);
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

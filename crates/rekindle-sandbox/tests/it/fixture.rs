//! Sandboxes with the host's shell and tools in them, and ways to look for what they leave behind.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rekindle_sandbox::{Cancel, Error, Exit, Mount, Sandbox, Spec, Status};

/// Names another copy of the helper, one that the user of this process can read.
pub(crate) const HELPER: &str = "REKINDLE_TEST_HELPER";

#[expect(clippy::disallowed_methods, reason = "the suite starts itself again as another user")]
pub(crate) fn helper() -> PathBuf {
    match std::env::var_os(HELPER) {
        Some(path) => path.into(),
        None => env!("CARGO_BIN_EXE_rekindle-sandbox-helper").into(),
    }
}

pub(crate) fn sandbox() -> Sandbox {
    Sandbox::with_helper(helper())
}

/// A read-only view of something of the host, if it has it.
pub(crate) fn view(path: &str) -> Mount {
    Mount { source: path.into(), target: path.into(), read_only: true, optional: true }
}

/// `sh -c script`, with the host's programs.
pub(crate) fn shell(script: impl Into<OsString>) -> Spec {
    Spec {
        args: vec!["-c".into(), script.into()],
        env: vec![("PATH".into(), "/usr/bin:/bin:/usr/sbin:/sbin".into())],
        mounts: ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/alternatives"].map(view).into(),
        ..Spec::new("/bin/sh")
    }
}

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) output: String,
}

pub(crate) fn try_run(spec: &Spec) -> Result<Ran, Error> {
    let mut output = Vec::new();
    let cancel = Cancel::new().expect("descriptors are left");
    let exit = sandbox().run(spec, &mut |bytes| output.extend_from_slice(bytes), &cancel)?;
    Ok(Ran { exit, output: String::from_utf8_lossy(&output).into_owned() })
}

pub(crate) fn run(spec: &Spec) -> Ran {
    try_run(spec).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// Runs a command that must exit with 0, and gives its output.
pub(crate) fn output(spec: &Spec) -> String {
    let ran = run(spec);
    assert_eq!(ran.exit.status, Status::Code(0), "{}", ran.output);
    ran.output
}

/// Output of a script that must exit with 0.
pub(crate) fn script(text: &str) -> String {
    output(&shell(text))
}

/// Runs a command that cannot be run, and gives the error.
pub(crate) fn refusal(spec: &Spec) -> Error {
    match try_run(spec) {
        Ok(ran) => panic!("it ran: {ran:?}"),
        Err(error) => error,
    }
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// A number that no other command line on this machine has in it; `sleep` takes it as a time.
pub(crate) fn tag() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("98{:07}{:04}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Processes of this machine with the tag in an argument of its own.
pub(crate) fn tagged(tag: &str) -> Vec<i32> {
    let processes = fs::read_dir("/proc").expect("/proc is mounted");
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|&byte| byte == 0).any(|arg| arg == tag.as_bytes())
    })
    .collect()
}

/// Waits for something that must happen, for long enough on any machine.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: it never happened");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests should know")]
pub(crate) fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

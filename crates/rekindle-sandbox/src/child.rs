//! The helper process: how it knows that it is one, and what it becomes.
//!
//! Nothing here returns to the program's own `main` once it is clear that this process is a helper.

mod command;
mod devices;
mod init;
mod interruption;
mod marks;
mod namespaces;
mod observer;
mod overlay;
mod recorder;
mod root;
mod stack;
mod supervisor;
mod tree;

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::SocketType;

use crate::wire;

pub(crate) use command::MISSING;

/// The name that a helper is started under.
pub(crate) const NAME: &str = "rekindle-sandbox";

/// Set when this process has passed [`child_main`], so that it may be its own helper.
static PASSED: AtomicBool = AtomicBool::new(false);

/// The helper's part. It must be the very first call in `main` of the helper executable, before there are threads.
///
/// It returns at once unless this process was started by a [`Sandbox`](crate::Sandbox): that is, by the name in
/// `argv[0]` and by the descriptors that it inherited, nothing that a user could set by accident. In a helper it never
/// returns.
pub fn child_main() {
    PASSED.store(true, Ordering::Relaxed);
    let named = std::env::args_os().next().is_some_and(|name| name.as_bytes() == NAME.as_bytes());
    if let Some((spec, probe)) = named.then(inherited).flatten() {
        supervisor::main(&spec, probe);
    }
}

/// Whether `main` of this process began with [`child_main`].
pub(crate) fn has_passed() -> bool {
    PASSED.load(Ordering::Relaxed)
}

/// Reads the spec from standard input, if that and standard error are what a [`Sandbox`](crate::Sandbox) leaves there.
fn inherited() -> Option<(crate::Spec, wire::Probe)> {
    let (stdin, stderr) = (std::io::stdin(), std::io::stderr());
    let socket = rustix::net::sockopt::socket_type(&stderr).ok()?;
    (socket == SocketType::STREAM).then_some(())?;
    let mut bytes = vec![0; usize::try_from(rustix::fs::fstat(&stdin).ok()?.st_size).ok()?];
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pread(stdin.as_fd(), &mut bytes[done..], done as u64).ok()? {
            0 => return None,
            count => done += count,
        }
    }
    wire::decode(&bytes)
}

/// Runs `body` with the socket to the caller, which is standard error in every process but the command.
fn with_caller<T>(body: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
    body(std::io::stderr().as_fd())
}

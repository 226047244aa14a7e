//! Calls that are denied, made by a program of ours that makes them without the C library's help.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;

use rekindle_sandbox::{Mount, Spec};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::fixture::output;

/// Runs `probe.c` with these arguments, in a sandbox with nothing else in it.
pub(crate) fn probe(args: &str) -> Spec {
    static BUILT: OnceLock<TempDir> = OnceLock::new();
    let dir = BUILT.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let source = dir.path().join("probe.c");
        std::fs::write(&source, include_str!("probe.c")).expect("room");
        let built = Command::new("cc")
            .args(["-static", "-O", "-o"])
            .args([dir.path().join("probe"), source])
            .status()
            .expect("a C compiler is installed");
        assert!(built.success(), "the probe does not compile");
        dir
    });
    let source = dir.path().join("probe");
    Spec {
        args: args.split(' ').map(Into::into).collect(),
        files: vec![("/probe/mark".into(), Vec::new())],
        mounts: vec![Mount { source, target: "/probe/probe".into(), read_only: true, optional: false }],
        ..Spec::new("/probe/probe")
    }
}

fn check(args: &str, expect: &[(&str, Errno)]) {
    let output = output(&probe(args));
    let mut results: BTreeMap<&str, i32> = output
        .lines()
        .map(|line| {
            let (name, errno) = line.split_once(' ').expect("two words");
            (name, errno.parse().expect("a number"))
        })
        .collect();
    for (name, errno) in expect {
        if let Some(result) = results.remove(name) {
            assert_eq!(result, errno.raw_os_error(), "{name}");
        }
    }
    results.retain(|_, errno| *errno != 0);
    assert!(results.is_empty(), "these should succeed: {results:?}");
}

#[test]
fn denies_calls() {
    check(
        "calls",
        &[
            ("chmod", Errno::PERM),
            ("fchmod", Errno::PERM),
            ("fchmodat", Errno::PERM),
            ("fchmodat2", Errno::PERM),
            ("setxattr", Errno::NOTSUP),
            ("lsetxattr", Errno::NOTSUP),
            ("fsetxattr", Errno::NOTSUP),
            ("setxattrat", Errno::NOTSUP),
            ("io_uring_setup", Errno::NOSYS),
            ("io_uring_enter", Errno::NOSYS),
            ("io_uring_register", Errno::NOSYS),
            ("add_key", Errno::PERM),
            ("request_key", Errno::PERM),
            ("keyctl", Errno::PERM),
            ("vsock", Errno::AFNOSUPPORT),
        ],
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn denies_calls_by_other_numbers() {
    check(
        "foreign-calls",
        &[
            ("i386-chmod", Errno::PERM),
            ("i386-fchmodat", Errno::PERM),
            ("i386-setxattr", Errno::NOTSUP),
            ("i386-io_uring_setup", Errno::NOSYS),
            ("i386-keyctl", Errno::PERM),
            ("x32-getpid", Errno::NOSYS),
            ("x32-chmod", Errno::NOSYS),
        ],
    );
}

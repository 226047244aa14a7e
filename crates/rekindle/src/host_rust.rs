//! The user's own Rust: where its compiler lies.
//!
//! `cargo` and `rustc` on the `PATH` are often proxies that choose a toolchain by the directory they are called in and
//! by the user's configuration. A build has neither, so it gets the toolchain that the proxy would choose. The question
//! is asked in an empty directory: the project's own files are not to be trusted with choosing a program.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli_error::CliError;
use crate::environment::Environment;
use crate::scratch_dir::ScratchDir;

/// Where the host's own programs are, which every build sees anyway.
const SEEN_ANYWAY: [&str; 3] = ["/usr", "/bin", "/lib"];

/// The directory of the Rust toolchain that builds have to be shown: `None` if it is the system's.
///
/// `scratch` is a directory of the user's in which an empty directory may be made.
pub(crate) fn toolchain(environment: &Environment, scratch: &Path) -> Result<Option<PathBuf>, CliError> {
    let Some(rustc) = environment.find_program("rustc") else {
        return Err(CliError::user("a Cargo project needs Rust, and there is no `rustc` on the PATH")
            .hint("install it with rustup, or the package `cargo` of the system"));
    };
    let sysroot = ask_sysroot(&rustc, scratch)?;
    if SEEN_ANYWAY.iter().any(|seen| sysroot.starts_with(seen)) {
        return Ok(None);
    }
    for program in ["bin/cargo", "bin/rustc"] {
        let path = sysroot.join(program);
        if !path.is_file() {
            return Err(CliError::user(format!("the Rust toolchain {} has no {program}", sysroot.display())));
        }
    }
    Ok(Some(sysroot))
}

fn ask_sysroot(rustc: &Path, scratch: &Path) -> Result<PathBuf, CliError> {
    let empty =
        ScratchDir::below(scratch).map_err(|error| CliError::io("make a directory in", scratch, &error))?;
    let asked = Command::new(rustc)
        .args(["--print", "sysroot"])
        .current_dir(empty.path())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| CliError::io("run", rustc, &error))?;
    let answer = asked.stdout.trim_ascii();
    if !asked.status.success() || answer.is_empty() {
        // What follows the first line is a backtrace, or advice for those who installed it by hand.
        let first = asked.stderr.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let complaint = crate::report::one_line(first.trim_ascii());
        return Err(CliError::environment(format!(
            "{} --print sysroot failed: {complaint}",
            rustc.display()
        )));
    }
    let sysroot = PathBuf::from(std::ffi::OsStr::from_bytes(answer));
    fs::canonicalize(&sysroot).map_err(|error| CliError::io("use the Rust toolchain", &sysroot, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An environment with one directory on its `PATH`, with a `rustc` in it that is this script.
    fn environment(dir: &Path, script: &str) -> Environment {
        // Written by another process: were the file open for writing here while another test starts a program, that
        // program would keep it open for a moment, and a file that is open for writing cannot be executed.
        let status = Command::new("sh")
            .args([
                "-c",
                "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$2/rustc\" && chmod +x \"$2/rustc\"",
                "sh",
                script,
            ])
            .arg(dir)
            .status()
            .expect("sh");
        assert!(status.success());
        Environment { path: dir.into(), ..Environment::default() }
    }

    #[test]
    fn the_toolchain_is_what_rustc_says_in_an_empty_directory() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let real = dir.path().canonicalize().expect("there");
        fs::create_dir_all(real.join("rust/bin")).expect("made");
        fs::write(real.join("rust/bin/cargo"), "").expect("written");
        fs::write(real.join("rust/bin/rustc"), "").expect("written");
        let script = format!("[ -z \"$(ls -A)\" ] && echo {}/rust", real.display());
        let found = toolchain(&environment(&real, &script), &real.join("scratch")).expect("an answer");
        assert_eq!(found, Some(real.join("rust")));
        assert_eq!(toolchain(&environment(&real, "echo /usr"), &real).expect("an answer"), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let check = |environment: &Environment, part: &str| {
            let error = toolchain(environment, dir.path()).expect_err("an error");
            let text = error.render(&crate::report::Look::PLAIN);
            assert!(text.contains(part), "{text}");
        };
        check(&Environment { path: "/nonexistent".into(), ..Environment::default() }, "no `rustc`");
        check(&environment(dir.path(), "echo broken >&2; exit 1"), "broken");
        check(&environment(dir.path(), "echo /nonexistent/rust"), "/nonexistent/rust");
    }
}

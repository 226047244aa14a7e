//! Runs what continuous integration runs, step by step, so that a green run here is a green run there.
//!
//! Each step is a child `cargo`, so that it sees the same arguments as when typed by hand; only tidy runs in this
//! process. It must not know what a step checks.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::tidy;

/// The test command: the one that the README gives and that `.ci/run` runs. Tidy holds both to it.
pub const TEST: &[&str] = &["test", "--workspace"];

/// One thing that continuous integration does.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// A cargo command that must succeed.
    Cargo(&'static [&'static str]),
    /// A cargo subcommand that is installed separately: told and passed over where it is missing.
    Optional(&'static [&'static str]),
    /// The checks of [`crate::tidy`].
    Tidy,
}

/// All but the tests.
pub const LINT: &[Step] = &[
    Step::Cargo(&["fmt", "--all", "--check"]),
    Step::Cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    Step::Tidy,
    Step::Optional(&["deny", "check", "licenses", "bans", "sources"]),
];

/// All of it.
pub const ALL: &[Step] = &[Step::Cargo(TEST), LINT[0], LINT[1], LINT[2], LINT[3]];

/// Runs the steps in order, all of them even when one fails, and tells each one's result on `out`.
///
/// Returns whether all of them passed. A closed `out` does not stop the steps.
pub fn run(root: &Path, steps: &[Step], out: &mut dyn Write) -> bool {
    let mut failed = Vec::new();
    for step in steps {
        let name = name(*step);
        tell(out, &format!("==> {name}"));
        let begun = Instant::now();
        let ok = match step {
            Step::Cargo(args) => cargo(root, args),
            Step::Optional(args) if !is_installed(root, args[0]) => {
                tell(out, &format!("    skipped: `cargo {}` is not installed", args[0]));
                true
            }
            Step::Optional(args) => cargo(root, args),
            Step::Tidy => report_tidy(root, out),
        };
        tell(
            out,
            &format!("    {} in {:.1} s", if ok { "ok" } else { "FAILED" }, begun.elapsed().as_secs_f64()),
        );
        if !ok {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        tell(out, &format!("failed: {}", failed.join(", ")));
    }
    failed.is_empty()
}

/// Runs tidy on the workspace and writes its findings to `out`, one per line. Returns whether there were none.
pub fn report_tidy(root: &Path, out: &mut dyn Write) -> bool {
    match tidy::check_workspace(root) {
        Ok(findings) => {
            for finding in &findings {
                tell(out, &finding.to_string());
            }
            findings.is_empty()
        }
        Err(error) => {
            tell(out, &format!("error: {error}"));
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                tell(out, &format!("  because {cause}"));
                source = cause.source();
            }
            false
        }
    }
}

fn name(step: Step) -> String {
    match step {
        Step::Cargo(args) | Step::Optional(args) => format!("cargo {}", args.join(" ")),
        Step::Tidy => "tidy".to_owned(),
    }
}

fn cargo(root: &Path, args: &[&str]) -> bool {
    cargo_command(root).args(args).status().is_ok_and(|status| status.success())
}

fn is_installed(root: &Path, subcommand: &str) -> bool {
    let status = cargo_command(root)
        .args([subcommand, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the edge: cargo speaks to its children by environment"
)]
fn cargo_command(root: &Path) -> Command {
    // Cargo tells its children which cargo they run under, so all steps use the same toolchain.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root);
    command
}

fn tell(out: &mut dyn Write, line: &str) {
    // Nothing is left to be told when the output itself is closed.
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_fails_the_run_and_is_named_at_the_end() {
        let root = crate::workspace_root();
        let mut out = Vec::new();
        let ok = run(&root, &[Step::Cargo(&["--no-such-flag"]), Step::Cargo(&["--version"])], &mut out);
        assert!(!ok);
        let told = String::from_utf8(out).expect("the report is text");
        assert!(told.ends_with("failed: cargo --no-such-flag\n"), "{told}");
        assert!(told.contains("==> cargo --version\n    ok"), "later steps run all the same: {told}");
    }

    #[test]
    fn a_missing_optional_step_is_told_and_passes() {
        let mut out = Vec::new();
        let ok = run(&crate::workspace_root(), &[Step::Optional(&["no-such-subcommand"])], &mut out);
        assert!(ok);
        let told = String::from_utf8(out).expect("the report is text");
        assert!(told.contains("skipped: `cargo no-such-subcommand` is not installed"), "{told}");
    }
}

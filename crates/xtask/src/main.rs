//! `cargo xtask tidy | lint | ci`: the command line in front of the checks.
//!
//! It must not know what a check looks for: it prints findings and turns them into an exit code.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND

  tidy   check the source tree against the project's own rules
  lint   format, clippy, tidy, licences
  ci     the tests, then lint
";

fn main() -> ExitCode {
    let mut err = std::io::stderr().lock();
    let root = xtask::workspace_root();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let command: Vec<&str> = args.iter().map(String::as_str).collect();
    let ok = match command.as_slice() {
        ["tidy"] => tidy(&root, &mut err),
        ["lint"] => xtask::ci::run(&root, xtask::ci::LINT, &mut err),
        ["ci"] => xtask::ci::run(&root, xtask::ci::ALL, &mut err),
        _ => {
            // Nothing is left to be told when standard error itself is closed.
            let _ = err.write_all(USAGE.as_bytes());
            return ExitCode::from(2);
        }
    };
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tidy(root: &Path, err: &mut dyn std::io::Write) -> bool {
    xtask::ci::report_tidy(root, err)
}

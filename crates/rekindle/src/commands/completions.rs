//! `rekindle completions`.

use std::process::ExitCode;

use clap::CommandFactory as _;

use super::print;
use crate::args::{Args, CompletionsArgs};
use crate::cli_error::CliError;

pub(super) fn run(args: &CompletionsArgs) -> Result<ExitCode, CliError> {
    // Collected first, because the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "rekindle", &mut script);
    print(script)?;
    Ok(ExitCode::SUCCESS)
}

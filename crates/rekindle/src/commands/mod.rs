//! The commands: each takes its arguments to its end, and gives back the exit code.

mod build;
mod checkpoint;
mod completions;
mod doctor;
mod drv;
mod gc;
mod goals;
mod graph;
mod init;
mod links;
mod log;
mod page;
mod prepare;
mod store;
mod subject;
mod titles;
mod verify;
mod why;

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::Value;

use crate::args::{Args, Command, DrvCommand};
use crate::cli_error::CliError;
use crate::environment::Environment;
use crate::session::Session;

/// The exit code of a build that the user stopped: what a shell says of a command that SIGINT ended.
pub(crate) const INTERRUPTED: u8 = 130;

/// Does what the arguments ask for.
pub(crate) fn run(args: &Args, environment: &Environment) -> Result<ExitCode, CliError> {
    let session = Session::new(environment, args.store.as_deref());
    match &args.command {
        Command::Build(args) => build::run(&session, args),
        Command::Prepare(args) => prepare::run(&session, args),
        Command::Verify(args) => verify::run(&session, args),
        Command::Why(args) => why::run(&session, args),
        Command::Graph(args) => graph::run(&session, args),
        Command::Checkpoint(command) => checkpoint::run(&session, command),
        Command::Gc(args) => gc::run(&session, args),
        Command::Init(args) => init::run(args),
        Command::Log(args) => log::run(&session, args),
        Command::Drv(DrvCommand::Show(args)) => drv::show(&session, args),
        Command::Store(command) => store::run(&session, command),
        Command::Doctor(args) => doctor::run(&session, args),
        Command::Completions(args) => completions::run(args),
    }
}

/// Writes a text to standard output.
fn print(text: impl AsRef<[u8]>) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()).map_err(|error| CliError::stdout(&error))
}

/// Writes a JSON value to standard output, indented, with a line break at its end.
fn print_json(value: &Value) -> Result<(), CliError> {
    print(format!("{value:#}\n"))
}

//! `rekindle`: arguments, configuration, wiring, rendering, exit codes.
//!
//! ```text
//! args ──► Project (manifests read, inputs followed) ──► Recipes (sources observed, derivations made)
//!                                                            │ nothing is written to the store before all of it is right
//!                                                            ▼
//!                       Engine::ingest, add_derivation, build ──► Events ──► report::Console ──► terminal, JSON
//! ```
//!
//! This is the only crate that reads the environment, the clock of the terminal and the user's arguments; the engine
//! below must never know them. It holds no rule of how a build works.
#![forbid(unsafe_code)]

mod args;
mod cli_error;
mod commands;
mod environment;
mod fetch;
mod host_rust;
mod interrupt;
mod project;
mod recipes;
mod report;
mod scratch_dir;
mod session;
mod source_rules;
mod target;
mod toolchain;

use std::io::Write as _;
use std::process::ExitCode;

use rustix::fs::Mode;

use crate::args::Args;
use crate::environment::Environment;

fn main() -> ExitCode {
    // The sandbox executes this program again as its helper. Nothing may happen before.
    rekindle_sandbox::child_main();
    rekindle_sandbox::raise_descriptor_limit();
    // What we make has to be open to ourselves. What others may do with it stays the caller's to say.
    let masked = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(masked - Mode::RWXU);
    let environment = Environment::of_process();
    let args = match Args::of_process() {
        Ok(args) => args,
        Err(error) => {
            // To a reader that went away there is nothing to say.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    match commands::run(&args, &environment) {
        Ok(code) => code,
        Err(error) => {
            let look = environment.look_of_stderr();
            let _ = std::io::stderr().lock().write_all(error.render(&look).as_bytes());
            error.exit_code()
        }
    }
}

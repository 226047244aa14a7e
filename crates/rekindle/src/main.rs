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
    // What a store holds is for all to read, and our own directories have to be open to ourselves, whatever the caller wants of new files.
    rustix::process::umask(Mode::from_raw_mode(0o022));
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

//! `rekindle init`.

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use rekindle_units::manifest::FILE_NAME;

use super::print;
use crate::args::InitArgs;
use crate::cli_error::CliError;
use crate::project;

pub(super) fn run(args: &InitArgs) -> Result<ExitCode, CliError> {
    let dir = project::directory(&args.dir)?;
    let path = args.dir.join(FILE_NAME);
    if !args.force && path.symlink_metadata().is_ok() {
        return Err(
            CliError::user(format!("there is a {} already", path.display())).hint("--force overwrites it")
        );
    }
    let inferred = project::recognise(&dir)?;
    let mut options = fs::OpenOptions::new();
    options.write(true);
    // Without --force, nothing that appeared meanwhile is overwritten either.
    if args.force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let written: io::Result<()> =
        options.open(&path).and_then(|mut file| file.write_all(inferred.to_toml().as_bytes()));
    written.map_err(|error| CliError::io("write", &path, &error))?;
    let name = inferred.package.full_name();
    let mut text =
        format!("{} now says how {name} is built, as told by {}\n", path.display(), inferred.decided_by);
    for note in &inferred.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

//! `rekindle why`.

pub(super) mod causes;
mod file;
pub(super) mod json;
mod package;

use std::process::ExitCode;

use super::subject::{self, Asked, Found, Subject};
use super::{print, print_json};
use crate::args::WhyArgs;
use crate::cli_error::CliError;
use crate::session::Session;

pub(super) fn run(session: &Session<'_>, args: &WhyArgs) -> Result<ExitCode, CliError> {
    let which = &args.which;
    let (subject, asked) =
        subject::find(session, args.what.as_deref(), which.package.as_deref(), which.checkpoint.as_deref())?;
    let look = session.environment.look_of_stdout();
    match asked {
        Asked::Package if args.json => print_json(&json::package(&subject))?,
        Asked::Package => print(package::text(&look, &subject))?,
        Asked::File(name) => {
            let lineage = subject.lineage()?;
            match subject.locate(&lineage, &name)? {
                Found::Known(path) if args.json => print_json(&json::file(&subject, &lineage, &path))?,
                Found::Known(path) => print(file::text(&look, &subject, &lineage, &path))?,
                Found::Untouched if args.json => print_json(&json::untouched(&subject))?,
                Found::Untouched => {
                    print(format!(
                        "a source of {} that no process of its build looked at\n",
                        subject.name()
                    ))?;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a verdict is called where people read it.
fn word(verdict: &str) -> &str {
    match verdict {
        "reuse" => "reused",
        "skip" => "not concerned",
        "seed" => "continued",
        other => other,
    }
}

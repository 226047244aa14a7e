//! `rekindle why`.

pub(super) mod causes;
mod file;
pub(super) mod json;
mod package;

use std::process::ExitCode;

use rekindle_plan::explain::{Lineage, RunAt, TaskAt};
use rekindle_plan::trace::ProcessId;

use super::subject::{self, Asked, Found, Subject};
use super::{print, print_json};
use crate::args::WhyArgs;
use crate::cli_error::CliError;
use crate::report::{fit, one_line, shell_word};
use crate::session::Session;

/// So wide is a command line where it is one among others.
const COLUMNS: usize = 76;

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

/// A command line as a shell takes it; the whole of it.
fn command(lineage: &Lineage<'_>, at: RunAt, process: ProcessId) -> String {
    let Some(exec) = lineage.exec(at, process) else { return String::new() };
    // The shell of a step is started with the names of files of ours.
    let is_step = lineage.task_of(at, process) == lineage.task_of(at, ProcessId(0))
        && lineage.started_by(lineage.task_of(at, process)).is_none();
    if is_step {
        return format!("the shell of {}", lineage.steps()[at.step].phase);
    }
    let words: Vec<String> = exec.argv.iter().map(|word| shell_word(&one_line(word)).into_owned()).collect();
    words.join(" ")
}

/// The command line that a task was started with, cut to one line.
fn brief(lineage: &Lineage<'_>, task: TaskAt, ellipsis: &str) -> String {
    let whole = command(lineage, task.at, lineage.leader(task));
    fit(&whole, COLUMNS, ellipsis).into_owned()
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

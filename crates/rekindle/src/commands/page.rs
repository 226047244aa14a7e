//! `rekindle build --report`: gathers what is known of a build, and writes the page.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use rekindle_engine::{CheckpointStore, PAGE_START};
use rekindle_plan::explain::cause::Causes;
use rekindle_plan::explain::{Lineage, RunAt};
use rekindle_plan::process_graph::products;
use rekindle_plan::trace::{ProcessId, name_of};
use rustix::fs::Access;

use super::subject::{Subject, shown};
use super::titles::command;
use super::why;
use crate::cli_error::CliError;
use crate::report::page::timeline::Ran;
use crate::report::page::{Observed, Page, write};
use crate::report::{Build, Goal, History, Look, one_line};
use crate::session::Session;

/// Of so many files it is told why they were made again.
const MOST_REASONS: usize = 60;
/// A process without a program of its own.
const NAMELESS: &str = "(part of a shell)";
/// How it looks in a page: no colors of a terminal.
const LOOK: Look = Look { color: false, unicode: true };

/// Says at once that a page could not be written, before a build that may take hours.
pub(super) fn check(path: &Path) -> Result<(), CliError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        let message = format!("cannot write {}: there is no directory {}", path.display(), parent.display());
        return Err(CliError::user(message).hint("make it first, or name another file"));
    }
    if path.is_dir() {
        let message = format!("cannot write {}: it is a directory", path.display());
        return Err(CliError::user(message).hint("name a file in it"));
    }
    check_replaceable(path)?;
    let is_page = |end: &OsStr| end == "html" || end == "htm";
    // In a pipe or a device nothing stays.
    if (path.is_file() || !path.exists()) && !path.extension().is_some_and(is_page) {
        let message = format!("cannot write {}: a page has a name that ends in .html", path.display());
        return Err(CliError::user(message).hint(format!("is it `--report {}.html`?", path.display())));
    }
    let (written, access) = match path.exists() {
        true => (path, Access::WRITE_OK),
        false => (parent, Access::WRITE_OK | Access::EXEC_OK),
    };
    rustix::fs::access(written, access).map_err(|errno| CliError::io("write", path, &errno.into()))
}

/// Refuses what somebody wrote: who leaves the name of the page out names the next word, which may be a source.
fn check_replaceable(path: &Path) -> Result<(), CliError> {
    let failed = |error| CliError::io("read", path, &error);
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        // There is none, or it is a pipe or a device, in which nothing is overwritten.
        _ => return Ok(()),
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(PAGE_START.len() as u64).read_to_end(&mut start).map_err(failed)?;
    if start.is_empty() || start == PAGE_START.as_bytes() {
        return Ok(());
    }
    Err(CliError::user(format!("cannot write {}: what is there is no page of a build", path.display()))
        .hint("remove it, or name another file"))
}

/// Writes the page of a build that is over. `since` is when it began, in seconds since 1970.
pub(super) fn make(
    session: &Session<'_>,
    path: &Path,
    goals: &[Goal],
    history: &History,
    (since, wall): (i64, Duration),
    exit_code: u8,
) -> Result<(), CliError> {
    let store = session.checkpoints()?;
    let observed = history.builds().iter().map(|build| observed(&store, build, since)).collect();
    let text = write(&Page { goals, history, observed, wall, exit_code });
    fs::write(path, text).map_err(|error| CliError::io("write", path, &error))
}

/// What the checkpoint says that a build has just left. Whatever is wrong with it, there is still the rest of the page.
fn observed(store: &CheckpointStore, build: &Build, since: i64) -> Option<Observed> {
    let is_its = |info: &rekindle_engine::CheckpointInfo| {
        info.made.as_ref().is_some_and(|made| made.drv == build.drv.base_name() && made.created >= since)
    };
    let info = store.list().into_iter().find(is_its)?;
    let subject = Subject::of(store, &info.id, None).ok()?;
    let changes = subject.changes.iter().flatten().map(why::causes::change).collect();
    let Ok(lineage) = subject.lineage() else { return Some(Observed { changes, ..Observed::default() }) };
    let causes = Causes::new(&lineage, subject.changes.as_deref());
    let (mut made, mut kept, mut reasons) = (0, 0, Vec::new());
    for path in products(&lineage) {
        let Some(maker) = lineage.maker(&path) else { continue };
        if !lineage.is_now(maker.task.at) {
            kept += 1;
            continue;
        }
        made += 1;
        // Of a step that ran from its beginning there is nothing to say of each file.
        if !lineage.steps()[maker.task.at.step].whole && reasons.len() < MOST_REASONS {
            let fate = causes.fate(&maker, &path);
            reasons.push((shown(&path), why::causes::lines(&LOOK, &subject, &lineage, &fate)));
        }
    }
    Some(Observed { processes: processes(&lineage, build), changes, made, kept, reasons })
}

/// The processes of the last build, on the clock of the derivation.
fn processes(lineage: &Lineage<'_>, build: &Build) -> Vec<Ran> {
    let mut all = Vec::new();
    for (step, runs) in lineage.steps().iter().enumerate() {
        let phase = runs.phase;
        let times: Vec<Duration> = build
            .steps
            .iter()
            .filter(|step| step.phase.as_deref() == Some(phase))
            .map(|step| step.at)
            .collect();
        for run in runs.runs.len().saturating_sub(runs.now)..runs.runs.len() {
            // A step that was audited ran several times; the last runs are those that count.
            let from_end = runs.runs.len() - run;
            let Some(begin) = times.len().checked_sub(from_end).map(|at| times[at]) else { continue };
            add(lineage, RunAt { step, run }, begin.as_micros() as u64, &mut all);
        }
    }
    all
}

fn add(lineage: &Lineage<'_>, at: RunAt, begin: u64, all: &mut Vec<Ran>) {
    let trace = lineage.trace(at);
    let (first, phase) = (all.len(), lineage.steps()[at.step].phase);
    let mut above: Vec<Option<usize>> = Vec::with_capacity(trace.processes().len());
    for (place, process) in trace.processes().iter().enumerate() {
        // Another program of the same process was started by whoever started the process.
        let starter = match process.before {
            Some(before) => above[before.0 as usize],
            None => process.parent.map(|parent| first + parent.0 as usize),
        };
        above.push(starter);
        let id = ProcessId(place as u32);
        let exec = lineage.exec(at, id);
        // As it was called: `gcc` is better known than the file that a chain of links leads to.
        let program = exec.and_then(|exec| exec.argv.first()).unwrap_or_default();
        let program = name_of(program);
        // Of a process that executed nothing it may not be known of whom it is a part.
        let or_part = |name: String| if name.is_empty() { NAMELESS.to_owned() } else { name };
        all.push(Ran {
            above: starter,
            program: or_part(one_line(program)),
            command: or_part(command(lineage, at, id)),
            phase: phase.to_owned(),
            exit: process.exit,
            start: begin + process.started,
            end: begin + process.ended.max(process.started),
        });
    }
}

//! What processes and tasks are called where people read of them.
//!
//! A line of a makefile often reaches a compiler through `sh -c`, with a message printed before. Who asks what made a file wants to
//! read of the compiler. So a shell that did nothing but start one program is called by that program, and any other, such as one
//! that wrote something itself, by its script.

use std::collections::BTreeSet;

use rekindle_plan::explain::{Lineage, RunAt, TaskAt};
use rekindle_plan::quote::hidden_word;
use rekindle_plan::trace::{Access, Arguments, ProcessId, Stream, Touch, name_of};

use crate::report::{fit, one_line, shell_word};

/// So wide is a command line where it is one among others.
pub(super) const COLUMNS: usize = 76;

/// The process after which a task is called: the one that all others come from, or the only one that it started, if it is
/// a shell that wrote nothing itself.
pub(super) fn head(lineage: &Lineage<'_>, task: TaskAt) -> ProcessId {
    let leader = lineage.leader(task);
    let script = lineage.exec(task.at, leader).and_then(|exec| script(&exec.argv));
    if script.is_none() || lineage.started_by(task).is_none() {
        return leader;
    }
    let trace = lineage.trace(task.at);
    let is_direct = |id: &&ProcessId| {
        trace.process(**id).exec.is_some() && lineage.ancestry(task.at, **id).get(1) == Some(&leader)
    };
    let mut direct = lineage.members(task).iter().filter(is_direct);
    match (direct.next(), direct.next()) {
        (Some(one), None) if !writes(lineage, task, leader, *one) => *one,
        _ => leader,
    }
}

/// Whether a shell has written something itself, or a part of it that executed nothing. What it opens for the program that it
/// started is the program's.
fn writes(lineage: &Lineage<'_>, task: TaskAt, shell: ProcessId, program: ProcessId) -> bool {
    let trace = lineage.trace(task.at);
    let output = trace.process(program).output;
    let is_write = |access: &Access| {
        access.touch.any(Touch::WRITES)
            && output != Stream::File(access.path)
            && !trace.paths().get(access.path).starts_with(b"/")
    };
    let members = || lineage.members(task).iter().copied();
    let executed: BTreeSet<u32> = members().filter_map(|id| Some(trace.process(id).before?.0)).collect();
    members().any(|id| {
        let process = trace.process(id);
        let is_shell = id == shell
            || (process.exec.is_none()
                && !executed.contains(&id.0)
                && lineage.ancestry(task.at, id).first() == Some(&shell));
        is_shell && process.accesses.iter().any(is_write)
    })
}

/// The command line of a process, as a shell takes it; the whole of it.
pub(super) fn command(lineage: &Lineage<'_>, at: RunAt, process: ProcessId) -> String {
    let Some(exec) = lineage.exec(at, process) else { return String::new() };
    // The shell of a step is started with the names of files of ours.
    if lineage.started_by(lineage.task_of(at, process)).is_none() {
        return format!("the shell of {}", lineage.steps()[at.step].phase);
    }
    if let Some(script) = script(&exec.argv) {
        return one_line(script.replace(|char: char| char.is_ascii_whitespace(), " ").as_bytes());
    }
    let words: Vec<String> = exec.argv.iter().map(self::word).collect();
    words.join(" ")
}

/// A word of a command line, as a shell takes it.
fn word(word: &[u8]) -> String {
    hidden_word(word).unwrap_or_else(|| shell_word(&String::from_utf8_lossy(word)).into_owned())
}

/// The whole command line of a task.
pub(super) fn title(lineage: &Lineage<'_>, task: TaskAt) -> String {
    command(lineage, task.at, head(lineage, task))
}

/// The command line of a task, cut to one line.
pub(super) fn brief(lineage: &Lineage<'_>, task: TaskAt, ellipsis: &str) -> String {
    fit(&title(lineage, task), COLUMNS, ellipsis).into_owned()
}

/// The script of a shell that was given one.
fn script(argv: &Arguments) -> Option<String> {
    if argv.len() != 3 {
        return None;
    }
    let mut words = argv.iter();
    let (program, option, script) = (words.next()?, words.next()?, words.next()?);
    let name = name_of(program);
    let is_shell = [&b"sh"[..], b"bash", b"dash"].contains(&name);
    let is_script = option.starts_with(b"-") && option.ends_with(b"c");
    (is_shell && is_script).then(|| String::from_utf8_lossy(script).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_known_by_its_script() {
        let check = |argv: &[&str], expected: Option<&str>| {
            let argv = argv.iter().collect();
            assert_eq!(script(&argv).as_deref(), expected);
        };
        check(&["/bin/sh", "-c", "gcc -c a.c"], Some("gcc -c a.c"));
        check(&["bash", "-ec", "true"], Some("true"));
        check(&["sh", "gen.sh"], None);
        check(&["sh", "-c", "echo $0", "name"], None);
        check(&["gcc", "-c", "a.c"], None);
    }
}

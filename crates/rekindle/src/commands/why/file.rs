//! Where a file came from, as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use rekindle_plan::explain::cause::{Fate, fate};
use rekindle_plan::explain::{Input, Lineage, Maker, TaskAt};
use rekindle_plan::quote::name;
use rekindle_plan::trace::{Touch, name_of};

use super::{Subject, causes};
use crate::commands::subject::{ANOTHER, shown};
use crate::commands::titles::{COLUMNS, brief, command, head, title};
use crate::report::{Look, counted, fit, one_line, short_id, spoken_short};

/// Of so many files it is told that each is a copy of the next: names may go in a circle.
pub(super) const MOST_COPIES: usize = 4;
/// So many files are named one by one.
const MOST_NAMED: usize = 12;

/// All that is known of a file of the tree.
pub(super) fn text(look: &Look, subject: &Subject, lineage: &Lineage<'_>, path: &[u8]) -> String {
    let copies = std::iter::successors(Some(path.to_vec()), |path| original(lineage, path));
    let texts = copies.take(MOST_COPIES).map(|path| one(look, subject, lineage, &path));
    texts.collect::<Vec<_>>().join("\n")
}

fn one(look: &Look, subject: &Subject, lineage: &Lineage<'_>, path: &[u8]) -> String {
    let mut text = format!("{}\n", look.bold(shown(path)));
    match lineage.maker(path) {
        None => source(look, subject, lineage, path, &mut text),
        Some(maker) => made(look, subject, lineage, path, &maker, &mut text),
    }
    let users = users(look, lineage, path);
    entries(look, "used by", &users, &mut text);
    text
}

/// What a file was before it got this name. What a file of an output is a copy of: the only one that was read to make it, or
/// the one of the same name.
pub(super) fn original(lineage: &Lineage<'_>, path: &[u8]) -> Option<Vec<u8>> {
    let maker = lineage.maker(path)?;
    if let Some(from) = maker.from {
        return Some(from).filter(|from| from != path && lineage.knows(from));
    }
    if !path.starts_with(b"store/") {
        return None;
    }
    let paths = lineage.trace(maker.task.at).paths();
    let inputs = lineage.inputs(maker.task);
    let read = inputs.iter().filter(|input| input.is_content()).map(|input| paths.get(input.path));
    let read: Vec<&[u8]> = read.filter(|read| !read.starts_with(b"/") && *read != path).collect();
    match read[..] {
        [one] => Some(one.to_vec()),
        _ => read.into_iter().find(|read| name_of(read) == name_of(path)).map(<[u8]>::to_vec),
    }
}

fn source(look: &Look, subject: &Subject, lineage: &Lineage<'_>, path: &[u8], text: &mut String) {
    let changes = subject.changes.as_deref().unwrap_or_default();
    let changed = changes.iter().find(|change| change.path == path);
    let is_there = lineage.users(path).iter().any(|task| {
        let found = lineage.trace(task.at).paths().find(path);
        lineage.inputs(*task).iter().any(|input| Some(input.path) == found && input.touch.any(LOOKED_AT))
    });
    let kind = match (is_there, changed) {
        (_, Some(change)) => format!(
            "a source; since the build before it {}",
            causes::change(change).replacen(&shown(path), "", 1).trim_start()
        ),
        (true, None) if path.starts_with(b"/nix/") => "a file of another package".to_owned(),
        (true, None) if path.starts_with(b"/") => {
            "a file of the host, which the build saw as it is".to_owned()
        }
        (true, None) => match subject.said_unobserved() {
            None => "a source: no process made it".to_owned(),
            Some(why) => format!("a source, or nobody saw who made it: {why}"),
        },
        (false, None) => "was looked for, and is not there".to_owned(),
    };
    line(look, "is", &kind, text);
    if changed.is_none() && !path.starts_with(b"/") && subject.said_unobserved().is_some() {
        line(look, "", ANOTHER, text);
    }
}

const LOOKED_AT: Touch = Touch::READ
    .and(Touch::EXECUTED)
    .and(Touch::LISTED)
    .and(Touch::PRESENT)
    .and(Touch::FOLLOWED)
    .and(Touch::UPDATED);

fn made(
    look: &Look,
    subject: &Subject,
    lineage: &Lineage<'_>,
    path: &[u8],
    maker: &Maker,
    text: &mut String,
) {
    let task = maker.task;
    let (at, trace) = (task.at, lineage.trace(task.at));
    let leader = lineage.leader(task);
    let head = head(lineage, task);
    line(look, "made by", &title(lineage, task), text);
    if let Some(exec) = lineage.exec(at, leader) {
        let process = trace.process(leader);
        let took = Duration::from_micros(process.ended.saturating_sub(process.started));
        let exit = match process.exit {
            Some(0) | None => String::new(),
            Some(code) => format!(", exit code {code}"),
        };
        let place = match shown(trace.paths().get(exec.cwd)) {
            dir if dir == "." => String::new(),
            dir => format!(", in {dir}"),
        };
        line(look, "took", &format!("{}{exit}{place}", spoken_short(took)), text);
    }
    let phase = lineage.steps()[at.step].phase;
    let is_borrowed = subject.borrowed.as_deref() == Some(phase);
    let build = match is_borrowed {
        true => "of an earlier build; that of the last one was not observed".to_owned(),
        false => build(subject, lineage, maker),
    };
    line(look, "during", &format!("{phase} {build}"), text);
    if ![lineage.exec(at, head), lineage.exec(at, leader)].contains(&lineage.exec(at, maker.process)) {
        let writer = command(lineage, at, maker.process);
        line(look, "written by", &fit(&writer, COLUMNS, look.ellipsis()), text);
    }
    let starters: Vec<String> = lineage
        .ancestry(at, leader)
        .into_iter()
        .filter(|id| *id != leader)
        .map(|id| command(lineage, at, id))
        .collect();
    entries(look, "started by", &starters, text);
    if let Some(from) = &maker.from {
        line(look, "same as", &shown(from), text);
    }
    // Who decides what is run reads its own books; they say nothing about what it only gave a name.
    if maker.from.is_none() || !lineage.decides(task) {
        inputs(look, lineage, task, text);
    }
    if is_borrowed {
        return;
    }
    let fate = fate(lineage, maker, path, subject.changes.as_deref());
    let title = match fate {
        Fate::Kept(_) => "not made again, because",
        Fate::Made(_) if at.run == 0 => "made, because",
        Fate::Made(_) => "made again, because",
    };
    let _ = writeln!(text, "{}", look.bold(title));
    for line in causes::lines(look, subject, lineage, &fate) {
        let _ = writeln!(text, "  {line}");
    }
    let was_removed = |told: &&rekindle_engine::Told| told.made_again.iter().any(|other| other == path);
    if let Some(told) = subject.told.iter().find(was_removed) {
        let why =
            told.findings.first().map_or_else(String::new, |why| format!(": {}", one_line(why.as_bytes())));
        let _ = writeln!(text, "  its build tool had left it alone; the audit had it made again{why}");
    }
}

/// In which build.
fn build(subject: &Subject, lineage: &Lineage<'_>, maker: &Maker) -> String {
    match (&subject.made.base, lineage.is_now(maker.task.at)) {
        (_, true) => format!("of the last build ({})", short_id(&subject.info.id)),
        (Some(base), false) => format!("of an earlier build; taken over from {}", short_id(base)),
        (None, false) => "of an earlier build".to_owned(),
    }
}

/// What it was made from: sources, then products, then in brief all else.
fn inputs(look: &Look, lineage: &Lineage<'_>, task: TaskAt, text: &mut String) {
    let paths = lineage.trace(task.at).paths();
    let (mut sources, mut products) = (Vec::new(), Vec::new());
    let (mut outside, mut listed, mut absent) = (BTreeMap::<String, usize>::new(), 0, 0);
    for input in lineage.inputs(task) {
        let path = paths.get(input.path);
        if !input.is_content() {
            listed += usize::from(input.touch.any(Touch::LISTED));
            absent += usize::from(input.touch.any(Touch::ABSENT) && !input.touch.any(Touch::PRESENT));
        } else if path.starts_with(b"/") {
            *outside.entry(group(path)).or_default() += 1;
        } else {
            match lineage.maker_of(task, input) {
                None => sources.push(shown(path)),
                Some(maker) => products.push(product(look, lineage, input, &maker, task)),
            }
        }
    }
    entries(look, "from", &sources, text);
    entries(look, "and from", &products, text);
    let outside: Vec<String> = outside.iter().map(|(dir, count)| format!("{dir} ({count})")).collect();
    if !outside.is_empty() {
        line(look, "also read", &outside.join(", "), text);
    }
    if listed > 0 {
        line(look, "and", &format!("{} listed", counted(listed, "directory", "directories")), text);
    }
    if absent > 0 {
        let (one, more) = ("name looked for that is not there", "names looked for that are not there");
        line(look, "and", &counted(absent, one, more), text);
    }
}

fn product(look: &Look, lineage: &Lineage<'_>, input: Input, maker: &Maker, task: TaskAt) -> String {
    let path = shown(lineage.trace(task.at).paths().get(input.path));
    format!("{path}  {}", look.dim(format_args!("made by `{}`", brief(lineage, maker.task, look.ellipsis()))))
}

/// Under which heading a file outside of the tree is counted.
pub(super) fn group(path: &[u8]) -> String {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').skip(1).collect();
    let depth = match parts.first() {
        Some(first) if *first == b"nix" => 3,
        Some(first) if *first == b"usr" => 2,
        _ => 1,
    };
    let dirs = depth.min(parts.len().saturating_sub(1)).max(1);
    name(&[b"/", &parts[..dirs].join(&b'/')[..]].concat())
}

/// The commands that used it, each once, the last ones first.
fn users(look: &Look, lineage: &Lineage<'_>, path: &[u8]) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for task in lineage.readers(path) {
        let command = brief(lineage, task, look.ellipsis());
        if !seen.contains(&command) {
            seen.push(command);
        }
    }
    seen
}

fn line(look: &Look, key: &str, value: &str, text: &mut String) {
    let _ = writeln!(text, "  {} {value}", look.cyan(format_args!("{key:<10}")));
}

fn entries(look: &Look, key: &str, values: &[String], text: &mut String) {
    for (at, value) in values.iter().take(MOST_NAMED).enumerate() {
        line(look, if at == 0 { key } else { "" }, value, text);
    }
    if values.len() > MOST_NAMED {
        let more = values.len() - MOST_NAMED;
        line(look, "", &format!("and {more} more"), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_is_counted_by_its_place() {
        let check = |path: &str, expected: &str| assert_eq!(group(path.as_bytes()), expected);
        check("/usr/include/sys/types.h", "/usr/include");
        check("/usr/lib/gcc/x/12/cc1", "/usr/lib");
        check("/lib64/ld-linux-x86-64.so.2", "/lib64");
        check("/nix/store/abc-zlib/include/zlib.h", "/nix/store/abc-zlib");
        check("/etc/ld.so.cache", "/etc");
        check("/x", "/x");
    }
}

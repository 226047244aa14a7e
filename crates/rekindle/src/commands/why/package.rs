//! What became of each phase of a package in its last build, as text.

use std::fmt::Write as _;

use super::{Subject, causes, word};
use crate::commands::checkpoint::age;
use crate::commands::subject::shown;
use crate::report::{Look, one_line};

/// So many changed sources, findings and files are named one by one.
const MOST_NAMED: usize = 8;

pub(super) fn text(look: &Look, subject: &Subject) -> String {
    let short = |id: &str| id.get(..12).unwrap_or(id).to_owned();
    let made = &subject.made;
    let mut text = format!("{}\n", look.bold(one_line(subject.name().as_bytes())));
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "  {} {value}", look.cyan(format_args!("{key:<15}")));
    };
    line("built", &format!("{} ago, checkpoint {}", age(made.created), short(&subject.info.id)));
    match &made.base {
        Some(base) => line("from", &format!("checkpoint {}", short(base))),
        None => line("from", "nothing that an earlier build left"),
    }
    if let Some(failed) = &made.failed {
        line("failed", &format!("in {}", one_line(failed.as_bytes())));
    }
    if let Some(changes) = &subject.changes {
        for (at, change) in changes.iter().take(MOST_NAMED).enumerate() {
            line(if at == 0 { "sources" } else { "" }, &causes::change(change));
        }
        match changes.len() {
            0 => line("sources", "the same as there"),
            count if count > MOST_NAMED => line("", &format!("and {} more", count - MOST_NAMED)),
            _ => {}
        }
    }
    for told in &subject.told {
        let why = one_line(told.why.as_bytes());
        line(&told.phase, &format!("{}: {why}", look.bold(word(&told.verdict))));
        for finding in told.findings.iter().take(MOST_NAMED) {
            line("", &format!("audit: {}", one_line(finding.as_bytes())));
        }
        if !told.made_again.is_empty() {
            let paths: Vec<String> =
                told.made_again.iter().take(MOST_NAMED).map(|path| shown(path)).collect();
            let more = match told.made_again.len().saturating_sub(MOST_NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            line("", &format!("made again for it: {}{more}", paths.join(", ")));
        }
    }
    if !subject.is_observed() {
        line("processes", "were not observed");
    } else if let phases @ [_, ..] = &subject.unobserved()[..] {
        line("processes", &format!("of {} were not observed", one_line(phases.join(", ").as_bytes())));
    }
    text
}

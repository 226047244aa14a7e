//! A build that failed, told to the person who has to mend it.

use rekindle_engine::{BuildResult, Failure, FailureKind, Progress, VerificationVerdict};
use rekindle_nix::StorePath;

use super::board::label;
use super::line::{one_line, shell_word, spoken};
use super::look::Look;

/// How the user would call this program again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Advice {
    /// The program and its global options: `rekindle --store x`.
    pub(crate) program: String,
    /// What was to be built, as the user named it.
    pub(crate) targets: Vec<String>,
}

/// The lines about one failure. `logs` says that what the builder printed was shown already.
pub(super) fn lines(
    look: &Look,
    advice: &Advice,
    drv: &StorePath,
    failure: &Failure,
    logs: bool,
) -> Vec<String> {
    let name = label(drv);
    let place = failure.phase.as_ref().map(|phase| format!(" in {}", one_line(phase.as_bytes())));
    let place = place.unwrap_or_default();
    if failure.kind == FailureKind::Cancelled {
        let mut lines = vec![format!("{} {name} was stopped{place}", look.red("error:"))];
        lines.extend(kept_so_far(failure));
        return lines;
    }
    let mut lines =
        vec![format!("{} {} failed{place}: {}", look.red("error:"), look.bold(name), what(&failure.kind))];
    if let FailureKind::HashMismatch { expected, got } = &failure.kind {
        lines.push(format!("  expected: {expected}"));
        lines.push(format!("  got:      {got}"));
    }
    if !logs {
        lines.extend(tail(look, &failure.tail));
    }
    if let Some(log) = &failure.log {
        lines.push(format!("  the whole log: {}", log.display()));
        lines.push(format!("  to read it:    {} log /nix/store/{drv}", advice.program));
    }
    lines.extend(kept_so_far(failure));
    match &failure.kept {
        Some(kept) => lines.push(format!("  its tree:      {}", kept.display())),
        None if leaves_a_tree(&failure.kind) => {
            let targets: Vec<_> = advice.targets.iter().map(|target| shell_word(target)).collect();
            lines.push(format!(
                "  to look closer, with its tree kept: {} build --keep-failed {}",
                advice.program,
                targets.join(" ")
            ));
        }
        None => {}
    }
    lines
}

/// What became of the work that was done.
fn kept_so_far(failure: &Failure) -> Option<String> {
    match &failure.progress {
        Progress::None => None,
        Progress::Kept => {
            Some("  what was built so far is kept; the next build goes on from there".to_owned())
        }
        Progress::NotKept(why) => {
            Some(format!("  nothing of this step is kept: {}", one_line(why.as_bytes())))
        }
    }
}

/// The last lines that a builder printed.
pub(super) fn tail(look: &Look, tail: &[Vec<u8>]) -> Vec<String> {
    let head = match tail.len() {
        0 => return Vec::new(),
        1 => "  the last line that it printed:".to_owned(),
        count => format!("  the last {count} lines that it printed:"),
    };
    let bar = if look.unicode { "│" } else { "|" };
    let lines = tail.iter().map(|line| format!("  {} {}", look.dim(bar), one_line(line)));
    std::iter::once(head).chain(lines).collect()
}

/// The exit code for builds that ended like this, as Nix has it: a bit for a timeout, one for a wrong hash.
pub(crate) fn exit_code<'a>(results: impl IntoIterator<Item = &'a BuildResult>) -> u8 {
    const FAILED: u8 = 0x64;
    const DIFFERENT: u8 = 0x68;
    let (mut failed, mut cancelled, mut environment, mut bits) = (false, false, false, 0);
    let mut different = false;
    for result in results {
        let failure = match result {
            BuildResult::Failed(failure) => failure,
            BuildResult::Verified(verification) => {
                different |= verification.verdict != VerificationVerdict::Equal;
                continue;
            }
            _ => continue,
        };
        match failure.kind {
            FailureKind::Cancelled => cancelled = true,
            FailureKind::Environment(_) | FailureKind::UnusableBase(_) => environment = true,
            FailureKind::TimedOut(_) | FailureKind::Silent(_) => {
                failed = true;
                bits |= 1;
            }
            FailureKind::HashMismatch { .. } => {
                failed = true;
                bits |= 2;
            }
            _ => failed = true,
        }
    }
    match (failed, cancelled, environment) {
        (_, true, _) => crate::commands::INTERRUPTED,
        _ if different => DIFFERENT,
        (true, _, _) => FAILED | bits,
        (false, _, true) => 1,
        (false, false, false) => 0,
    }
}

/// What happened, as a clause.
pub(crate) fn what(kind: &FailureKind) -> String {
    match kind {
        FailureKind::Exit(code) => format!("the builder ended with exit code {code}"),
        FailureKind::Signal(signal) => format!("the builder was killed by {}", signal_name(*signal)),
        FailureKind::TimedOut(limit) => {
            format!("it took longer than {}, the limit set by --timeout", spoken(*limit))
        }
        FailureKind::Silent(limit) => {
            format!("it printed nothing for {}, the limit set by --max-silent-time", spoken(*limit))
        }
        FailureKind::Cancelled => "it was stopped".to_owned(),
        FailureKind::MissingOutput(output) => {
            format!("it ended well, but did not make the output `{output}`")
        }
        FailureKind::HashMismatch { .. } => {
            "what came has another hash than the one that is written down".to_owned()
        }
        FailureKind::Refused(reason)
        | FailureKind::Environment(reason)
        | FailureKind::UnusableBase(reason) => one_line(reason.as_bytes()),
    }
}

/// A signal by its name.
pub(crate) fn signal_name(signal: i32) -> String {
    match signal_hook::low_level::signal_name(signal) {
        Some(name) => name.to_owned(),
        None => format!("signal {signal}"),
    }
}

fn leaves_a_tree(kind: &FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::Exit(_)
            | FailureKind::Signal(_)
            | FailureKind::TimedOut(_)
            | FailureKind::Silent(_)
            | FailureKind::MissingOutput(_)
    )
}

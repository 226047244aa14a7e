//! What `rekindle why --json` prints. `docs/json.md` documents it.

use rekindle_plan::explain::cause::{Cause, Fate, Kept, Root, fate};
use rekindle_plan::explain::{Lineage, Maker, RunAt, TaskAt};
use rekindle_plan::trace::{ProcessId, Touch};
use rekindle_plan::{ChangeKind, SourceChange};
use serde_json::{Value, json};

use super::Subject;
use super::file::{MOST_COPIES, original};

/// The version of the shape.
const VERSION: u32 = 1;

pub(super) fn package(subject: &Subject) -> Value {
    let steps = subject.told.iter().map(|told| {
        json!({
            "phase": told.phase,
            "verdict": told.verdict,
            "reason": told.reason,
            "why": told.why,
            "findings": told.findings,
            "madeAgain": told.made_again.iter().map(|path| text(path)).collect::<Vec<_>>(),
        })
    });
    let mut value = about(subject);
    value["sources"] = match &subject.changes {
        Some(changes) => changes.iter().map(change).collect(),
        None => Value::Null,
    };
    value["observed"] = subject.is_observed().into();
    value["steps"] = steps.collect();
    value
}

pub(super) fn untouched(subject: &Subject) -> Value {
    let mut value = about(subject);
    value["path"] = Value::Null;
    value["kind"] = "untouched".into();
    value
}

pub(super) fn file(subject: &Subject, lineage: &Lineage<'_>, path: &[u8]) -> Value {
    copy(subject, lineage, path, MOST_COPIES)
}

/// A file, and what it is a copy of, so many times.
fn copy(subject: &Subject, lineage: &Lineage<'_>, path: &[u8], most: usize) -> Value {
    let maker = lineage.maker(path);
    let mut value = about(subject);
    value["path"] = text(path);
    value["kind"] = match &maker {
        Some(_) => "product",
        None if path.starts_with(b"/") => "outside",
        None => "source",
    }
    .into();
    value["change"] =
        subject.changes.iter().flatten().find(|change| change.path == path).map_or(Value::Null, change);
    value["maker"] = maker.as_ref().map_or(Value::Null, |maker| self::maker(lineage, maker));
    value["fate"] = match &maker {
        Some(maker) => self::fate_of(lineage, &fate(lineage, maker, path, subject.changes.as_deref())),
        None => Value::Null,
    };
    value["copiedFrom"] = match original(lineage, path) {
        Some(original) if most > 1 => copy(subject, lineage, &original, most - 1),
        _ => Value::Null,
    };
    let users = lineage.readers(path).into_iter();
    value["usedBy"] = users.map(|task| self::task(lineage, task)).collect();
    value
}

fn about(subject: &Subject) -> Value {
    json!({
        "version": VERSION,
        "package": subject.made.package,
        "drvPath": format!("/nix/store/{}", subject.made.drv),
        "checkpoint": subject.info.id,
        "base": subject.made.base,
        "created": subject.made.created,
        "failed": subject.made.failed,
        "unobserved": subject.unobserved(),
    })
}

fn maker(lineage: &Lineage<'_>, maker: &Maker) -> Value {
    let task = maker.task;
    let paths = lineage.trace(task.at).paths();
    let inputs = lineage.inputs(task).into_iter().map(|input| {
        let path = paths.get(input.path);
        let of = lineage.maker_of(task, input);
        json!({
            "path": text(path),
            "kind": match &of {
                _ if path.starts_with(b"/") => "outside",
                Some(_) => "product",
                None => "source",
            },
            "how": how(input.touch),
            "madeBy": of.map_or(Value::Null, |maker| self::task(lineage, maker.task)),
        })
    });
    let starters = lineage.ancestry(task.at, lineage.leader(task)).into_iter().skip(1);
    let mut value = self::task(lineage, task);
    value["writtenBy"] = argv(lineage, task.at, maker.process);
    value["movedFrom"] = maker.from.as_deref().map_or(Value::Null, text);
    value["startedBy"] = starters.map(|id| argv(lineage, task.at, id)).collect();
    value["inputs"] = inputs.collect();
    value["products"] = lineage.products(task).into_iter().map(|id| text(paths.get(id))).collect();
    value
}

/// A task in brief.
pub(in crate::commands) fn task(lineage: &Lineage<'_>, task: TaskAt) -> Value {
    let leader = lineage.leader(task);
    let trace = lineage.trace(task.at);
    let process = trace.process(leader);
    let cwd = lineage.exec(task.at, leader).map_or(Value::Null, |exec| text(trace.paths().get(exec.cwd)));
    json!({
        "phase": lineage.steps()[task.at.step].phase,
        "run": task.at.run,
        "lastBuild": lineage.is_now(task.at),
        "command": argv(lineage, task.at, leader),
        "directory": cwd,
        "exitCode": process.exit,
        "startedSeconds": process.started as f64 / 1e6,
        "seconds": process.ended.saturating_sub(process.started) as f64 / 1e6,
        "processes": lineage.members(task).len(),
    })
}

fn fate_of(lineage: &Lineage<'_>, fate: &Fate) -> Value {
    match fate {
        Fate::Made(Cause { root, links }) => {
            let links = links.iter().map(|link| {
                json!({
                    "read": link.path.as_deref().map_or(Value::Null, text),
                    "by": task(lineage, link.task),
                    "made": text(&link.made),
                })
            });
            let root = match root {
                Root::Source(it) => json!({ "kind": "source", "change": change(it) }),
                Root::Step(step) => json!({ "kind": "step", "phase": lineage.steps()[*step].phase }),
                Root::Decided { task, change: it } => {
                    json!({ "kind": "decided", "by": self::task(lineage, *task), "change": change(it) })
                }
                Root::Command { before } => json!({ "kind": "command", "before": task(lineage, *before) }),
                Root::SourcesUnknown => json!({ "kind": "sources-unknown" }),
                Root::Unknown => json!({ "kind": "unknown" }),
            };
            json!({ "made": true, "root": root, "chain": links.collect::<Vec<_>>() })
        }
        Fate::Kept(kept) => {
            let why = match kept {
                Kept::StepDidNotRun(step) => {
                    json!({ "kind": "step-did-not-run", "phase": lineage.steps()[*step].phase })
                }
                Kept::NothingChanged(files) => json!({ "kind": "nothing-changed", "files": files }),
                Kept::SameAgain(path) => json!({ "kind": "same-again", "path": text(path) }),
                Kept::NoDifference(it) => json!({ "kind": "no-difference", "change": change(it) }),
            };
            json!({ "made": false, "why": why })
        }
    }
}

fn argv(lineage: &Lineage<'_>, at: RunAt, process: ProcessId) -> Value {
    let exec = lineage.exec(at, process);
    exec.map_or(Value::Null, |exec| exec.argv.iter().map(text).collect())
}

fn how(touch: Touch) -> Vec<&'static str> {
    let names = [
        (Touch::READ, "read"),
        (Touch::EXECUTED, "executed"),
        (Touch::LISTED, "listed"),
        (Touch::ABSENT, "absent"),
        (Touch::PRESENT, "present"),
        (Touch::FOLLOWED, "followed"),
        (Touch::UPDATED, "updated"),
    ];
    names.into_iter().filter(|(bit, _)| touch.any(*bit)).map(|(_, name)| name).collect()
}

fn change(change: &SourceChange) -> Value {
    let how = match change.kind {
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
        ChangeKind::Content => "content",
        ChangeKind::Mode => "mode",
        ChangeKind::Kind => "kind",
        ChangeKind::Link => "link",
    };
    json!({ "path": text(&change.path), "how": how })
}

/// Bytes as JSON has them; what is no UTF-8 is replaced.
pub(in crate::commands) fn text(bytes: &[u8]) -> Value {
    String::from_utf8_lossy(bytes).into()
}

//! The report that `build --json` prints. `docs/json.md` documents it; `version` changes when a field does.

use std::path::PathBuf;
use std::time::Duration;

use rekindle_engine::{
    Audited, BuildResult, Failure, FailureKind, Progress, Provenance, RestartReason, Taken,
};
use rekindle_nix::{OutputName, StorePath};
use serde_json::{Map, Value, json};

use super::failure::what;
use super::history::{Build, History, Judged, Step};
use super::line::one_line;

/// The version of the report's shape.
const VERSION: u32 = 1;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Goal {
    /// The derivation.
    pub(crate) drv: StorePath,
    /// The package, if it was lowered from one.
    pub(crate) package: Option<String>,
    /// The directory of the package.
    pub(crate) directory: Option<PathBuf>,
    /// The outputs; `None` if not all of them are there.
    pub(crate) outputs: Option<Vec<LinkedOutput>>,
}

/// An output that is there.
#[derive(Debug)]
pub(crate) struct LinkedOutput {
    /// Its name.
    pub(crate) name: OutputName,
    /// Its store path.
    pub(crate) path: StorePath,
    /// Where it lies on the disk.
    pub(crate) real_path: PathBuf,
    /// The link that was made to it.
    pub(crate) link: Option<PathBuf>,
    /// How it came about, if it is known.
    pub(crate) provenance: Option<Provenance>,
}

/// The whole report.
pub(crate) fn report(goals: &[Goal], history: &History, exit_code: u8) -> Value {
    about("goals", &goals.iter().map(goal).collect::<Vec<_>>(), history, exit_code)
}

/// A report about something else than outputs: `what` is the name of the field that has it.
pub(crate) fn about(what: &str, list: &[Value], history: &History, exit_code: u8) -> Value {
    json!({
        "version": VERSION,
        "success": exit_code == 0,
        "exitCode": exit_code,
        what: list,
        "builds": history.builds().iter().map(build).collect::<Vec<_>>(),
        "warnings": history.warnings(),
    })
}

fn goal(goal: &Goal) -> Value {
    let outputs = goal.outputs.as_ref().map(|outputs| {
        outputs.iter().map(|output| (output.name.to_string(), linked(output))).collect::<Map<_, _>>()
    });
    json!({
        "drvPath": logical(&goal.drv),
        "package": goal.package,
        "directory": goal.directory.as_ref().map(|path| path.to_string_lossy()),
        "outputs": outputs,
    })
}

fn linked(output: &LinkedOutput) -> Value {
    json!({
        "path": logical(&output.path),
        "realPath": output.real_path.to_string_lossy(),
        "link": output.link.as_ref().map(|path| path.to_string_lossy()),
        "provenance": provenance(output.provenance.as_ref()),
    })
}

/// How an output came about; `null` if it is not known.
pub(crate) fn provenance(provenance: Option<&Provenance>) -> Value {
    provenance.map_or(Value::Null, |known| json!({ "kind": known.word(), "base": known.base() }))
}

fn build(build: &Build) -> Value {
    let (result, wall) = match &build.end {
        Some((result, wall)) => (Some(result), Some(seconds(*wall))),
        None => (None, None),
    };
    let word = result.map(|result| match result {
        BuildResult::Built => "built",
        BuildResult::Fetched => "fetched",
        BuildResult::AlreadyValid => "already-valid",
        BuildResult::Failed(_) => "failed",
        BuildResult::Abandoned => "abandoned",
        BuildResult::Prepared { .. } => "prepared",
        BuildResult::Verified(_) => "verified",
    });
    let failed = match result {
        Some(BuildResult::Failed(failed)) => Some(failure(failed)),
        _ => None,
    };
    json!({
        "drvPath": logical(&build.drv),
        "name": super::board::label(&build.drv),
        "result": word,
        "wallSeconds": wall,
        "restoreSeconds": build.restore.map(seconds),
        "captureSeconds": build.capture.map(seconds),
        "verdicts": build.verdicts.iter().map(verdict).collect::<Vec<_>>(),
        "taken": build.taken.as_ref().map(taken),
        "audits": build.audits.iter().map(|(phase, found)| audit(phase, found)).collect::<Vec<_>>(),
        "restarts": build.restarts.iter().map(restart).collect::<Vec<_>>(),
        "steps": build.steps.iter().map(step).collect::<Vec<_>>(),
        "failure": failed,
    })
}

fn verdict(judged: &Judged) -> Value {
    json!({ "phase": judged.phase, "verdict": judged.verdict, "reason": judged.reason, "why": judged.why })
}

fn taken(taken: &Taken) -> Value {
    json!({
        "base": taken.base,
        "sources": { "added": taken.added, "changed": taken.changed, "removed": taken.removed },
        "steps": {
            "reused": taken.reused,
            "skipped": taken.skipped,
            "seeded": taken.seeded,
            "ran": taken.ran,
        },
    })
}

fn audit(phase: &str, audited: &Audited) -> Value {
    json!({
        "phase": phase,
        "rounds": audited.rounds,
        "seconds": seconds(audited.took),
        "clean": audited.is_clean,
        "madeAgain": audited.made_again.iter().map(|path| one_line(path)).collect::<Vec<_>>(),
        "findings": audited
            .findings
            .iter()
            .map(|finding| json!({ "rule": finding.rule, "message": one_line(finding.text.as_bytes()) }))
            .collect::<Vec<_>>(),
    })
}

fn step(step: &Step) -> Value {
    json!({
        "phase": step.phase,
        "wallSeconds": seconds(step.usage.wall),
        "cpuSeconds": seconds(step.usage.cpu),
        "peakRssBytes": step.usage.peak_rss,
    })
}

fn restart(reason: &RestartReason) -> Value {
    let kind = match reason {
        RestartReason::HiddenScratchPath { .. } => "hidden-scratch-path",
        RestartReason::ScratchPathInPieces { .. } => "scratch-path-in-pieces",
        RestartReason::ScratchPathLeft { .. } => "scratch-path-left",
        RestartReason::TornLinks { .. } => "torn-links",
        RestartReason::SurvivingProcess { .. } => "surviving-process",
        RestartReason::LostState { .. } => "lost-state",
        RestartReason::SeedFailed { .. } => "seed-failed",
        RestartReason::TimeInOutput { .. } => "time-in-output",
    };
    json!({ "kind": kind, "message": super::transcript::restart(reason) })
}

fn failure(failure: &Failure) -> Value {
    let mut value = json!({
        "kind": match &failure.kind {
            FailureKind::Exit(_) => "exit",
            FailureKind::Signal(_) => "signal",
            FailureKind::TimedOut(_) => "timeout",
            FailureKind::Silent(_) => "silent",
            FailureKind::Cancelled => "cancelled",
            FailureKind::MissingOutput(_) => "missing-output",
            FailureKind::HashMismatch { .. } => "hash-mismatch",
            FailureKind::Refused(_) => "refused",
            FailureKind::UnusableBase(_) => "unusable-base",
            FailureKind::Environment(_) => "environment",
        },
        "message": what(&failure.kind),
        "phase": failure.phase,
        "tail": failure.tail.iter().map(|line| one_line(line)).collect::<Vec<_>>(),
        "log": failure.log.as_ref().map(|path| path.to_string_lossy()),
        "goesOn": failure.progress == Progress::Kept,
        "goesNotOn": match &failure.progress {
            Progress::NotKept(why) => Some(why),
            _ => None,
        },
        "keptTree": failure.kept.as_ref().map(|path| path.to_string_lossy()),
    });
    match &failure.kind {
        FailureKind::Exit(code) => value["exitCode"] = (*code).into(),
        FailureKind::Signal(signal) => value["signal"] = super::failure::signal_name(*signal).into(),
        FailureKind::MissingOutput(output) => value["output"] = output.to_string().into(),
        FailureKind::HashMismatch { expected, got } => {
            value["expected"] = expected.as_str().into();
            value["got"] = got.as_str().into();
        }
        _ => {}
    }
    value
}

/// Seconds with three places: more would only be noise.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

fn logical(path: &StorePath) -> String {
    format!("/nix/store/{path}")
}

#[cfg(test)]
mod tests {
    use rekindle_engine::{Event, StepUsage};

    use super::*;

    #[test]
    fn the_shape_is_the_documented_one() {
        let drv = StorePath::new(&[7; 20], &"a-1.drv".parse().expect("a name"));
        let out = StorePath::new(&[8; 20], &"a-1".parse().expect("a name"));
        let mut history = History::default();
        let usage =
            StepUsage { wall: Duration::from_millis(1500), cpu: Duration::from_nanos(1), peak_rss: 9 };
        history.note(&Event::Started { drv: drv.clone(), fetch: false });
        for verdict in ["run", "reuse"] {
            // The second attempt's is the one that counts.
            history.note(&Event::StepJudged {
                drv: drv.clone(),
                phase: "setup".into(),
                verdict,
                reason: "unchanged",
                why: "nothing changed".into(),
            });
        }
        let taken = Taken {
            base: "0a".into(),
            added: 1,
            changed: 2,
            removed: 3,
            reused: 4,
            skipped: 5,
            seeded: 6,
            ran: 7,
        };
        history.note(&Event::Taken { drv: drv.clone(), taken });
        history.note(&Event::StepFinished { drv: drv.clone(), phase: Some("buildPhase".into()), usage });
        let kind = FailureKind::HashMismatch { expected: "sha256-a".into(), got: "sha256-b".into() };
        let failure = Failure {
            phase: None,
            kind,
            tail: vec![b"\x1b[1mx".to_vec()],
            log: None,
            kept: None,
            progress: Progress::Kept,
        };
        let result = BuildResult::Failed(failure);
        history.note(&Event::Finished { drv: drv.clone(), result, wall: Duration::from_secs(2) });
        let outputs = vec![LinkedOutput {
            name: "out".parse().expect("a name"),
            path: out.clone(),
            real_path: "/s/nix/store/x".into(),
            link: None,
            provenance: Some(Provenance::Incremental { base: "0a".into() }),
        }];
        let goal =
            Goal { drv: drv.clone(), package: Some("a".into()), directory: None, outputs: Some(outputs) };
        let expected = json!({
            "version": 1,
            "success": false,
            "exitCode": 102,
            "goals": [{
                "drvPath": format!("/nix/store/{drv}"),
                "package": "a",
                "directory": null,
                "outputs": { "out": {
                    "path": format!("/nix/store/{out}"), "realPath": "/s/nix/store/x", "link": null,
                    "provenance": { "kind": "incremental", "base": "0a" },
                } },
            }],
            "builds": [{
                "drvPath": format!("/nix/store/{drv}"),
                "name": "a-1",
                "result": "failed",
                "wallSeconds": 2.0,
                "restoreSeconds": null,
                "captureSeconds": null,
                "verdicts": [{
                    "phase": "setup", "verdict": "reuse", "reason": "unchanged", "why": "nothing changed",
                }],
                "taken": {
                    "base": "0a",
                    "sources": { "added": 1, "changed": 2, "removed": 3 },
                    "steps": { "reused": 4, "skipped": 5, "seeded": 6, "ran": 7 },
                },
                "audits": [],
                "restarts": [],
                "steps": [
                    { "phase": "buildPhase", "wallSeconds": 1.5, "cpuSeconds": 0.0, "peakRssBytes": 9 },
                ],
                "failure": {
                    "kind": "hash-mismatch",
                    "message": "what came has another hash than the one that is written down",
                    "phase": null,
                    "tail": ["x"],
                    "log": null,
                    "goesOn": true,
                    "goesNotOn": null,
                    "keptTree": null,
                    "expected": "sha256-a",
                    "got": "sha256-b",
                },
            }],
            "warnings": [],
        });
        assert_eq!(report(&[goal], &history, 102), expected);
    }
}

//! `rekindle gc`, which is `rekindle store gc` as well.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use rekindle_engine::{CheckpointStore, CollectPolicy, Provenances};
use rekindle_store::GcOptions;
use serde_json::json;

use super::{print, print_json};
use crate::args::GcArgs;
use crate::cli_error::CliError;
use crate::report::{counted, spoken_bytes};
use crate::session::Session;

pub(super) fn run(session: &Session<'_>, args: &GcArgs) -> Result<ExitCode, CliError> {
    let GcArgs { dry_run, max, json, .. } = *args;
    let store = if dry_run { session.store_to_read()? } else { session.store_to_change()? };
    let look = session.environment.look_of_stderr();
    let note = |text: &str| {
        // It is only a courtesy.
        let _ = writeln!(std::io::stderr(), "{} {text}", look.yellow("note:"));
    };
    let options = GcOptions { dry_run, max_freed: max };
    let report = store.gc(options, &mut || note("waiting for another collection to end"))?;
    if !dry_run {
        Provenances::of(store.root()).forget(&report.deleted)?;
        session.engine()?.forget_derivations()?;
    }
    let policy = policy(args);
    let mut waiting = || note("waiting for builds that use checkpoints to end");
    // Whoever says nothing about checkpoints does not wait for them.
    let waits: Option<&mut dyn FnMut()> = if policy.is_default() { None } else { Some(&mut waiting) };
    let checkpoints = CheckpointStore::open(store.root())?.collect(&policy, dry_run, waits)?;
    if json {
        print_json(&json!({
            "dryRun": dry_run,
            "deleted": report.deleted.iter().map(|path| store.store_dir().display(path)).collect::<Vec<_>>(),
            "leftovers": report.leftovers.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
            "bytes": report.bytes + checkpoints.bytes,
            "checkpoints": {
                "removed": checkpoints.checkpoints,
                "layers": checkpoints.layers,
                "bytes": checkpoints.bytes,
                "inUse": checkpoints.in_use,
            },
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    if dry_run {
        for path in &report.deleted {
            let _ = writeln!(text, "{}", store.store_dir().display(path));
        }
        for path in &report.leftovers {
            let _ = writeln!(text, "{}", path.display());
        }
        for id in &checkpoints.checkpoints {
            let _ = writeln!(text, "checkpoint {id}");
        }
    }
    let (paths, leftovers) = (report.deleted.len(), report.leftovers.len());
    let verb = if dry_run { "would be deleted" } else { "deleted" };
    let also = match counted(leftovers, "leftover", "leftovers") {
        _ if leftovers == 0 => String::new(),
        leftovers => format!(" and {leftovers} of killed builds"),
    };
    let paths = counted(paths, "path", "paths");
    let _ = writeln!(text, "{paths}{also} {verb}, {} of disk", spoken_bytes(report.bytes));
    if checkpoints.in_use {
        let _ = writeln!(text, "no checkpoints {verb}: builds that run use them");
    } else if !checkpoints.checkpoints.is_empty() || checkpoints.layers > 0 {
        let (count, layers) = (checkpoints.checkpoints.len(), checkpoints.layers);
        let size = spoken_bytes(checkpoints.bytes);
        let checkpoints = counted(count, "checkpoint", "checkpoints");
        let layers = counted(layers, "layer", "layers");
        let _ = writeln!(text, "{checkpoints} with {layers} {verb}, {size} of disk");
    }
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

fn policy(args: &GcArgs) -> CollectPolicy {
    let before =
        |age: std::time::Duration| now().saturating_sub(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
    CollectPolicy {
        keep_last: args.keep_last,
        made_before: args.older_than.map(before),
        max_bytes: args.max_size,
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the age of checkpoints is counted from now")]
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

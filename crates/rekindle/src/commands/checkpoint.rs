//! `rekindle checkpoint`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use rekindle_engine::{CheckpointDetails, CheckpointInfo, CheckpointStore, LayerInfo, Observed, StepInfo};
use serde_json::{Value, json};

use super::gc::now;
use super::subject::is_called;
use super::{print, print_json};
use crate::args::CheckpointCommand;
use crate::cli_error::CliError;
use crate::report::{Look, counted, one_line, spoken_bytes};
use crate::session::Session;

/// So many digits of an identity are shown where it is one among others.
const SHORT: usize = 12;

pub(super) fn run(session: &Session<'_>, command: &CheckpointCommand) -> Result<ExitCode, CliError> {
    let store = session.checkpoints()?;
    let look = session.environment.look_of_stdout();
    match command {
        CheckpointCommand::List { package, json } => list(&store, &look, package.as_deref(), *json)?,
        CheckpointCommand::Show { id, json } => show(&store, &look, id, *json)?,
        CheckpointCommand::Rm { ids, package, json } => {
            remove(session, &store, ids, package.as_deref(), *json)?;
        }
        CheckpointCommand::Pin { ids } => pin(&store, ids, true)?,
        CheckpointCommand::Unpin { ids } => pin(&store, ids, false)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(store: &CheckpointStore, look: &Look, package: Option<&str>, json: bool) -> Result<(), CliError> {
    let infos: Vec<_> = store.list().into_iter().filter(|info| is_of(info, package)).collect();
    if json {
        let list: Vec<_> = infos.iter().map(info_as_json).collect();
        return print_json(&json!({ "version": 1, "checkpoints": list }));
    }
    if infos.is_empty() {
        let of = package.map_or_else(String::new, |name| format!(" of the package {name:?}"));
        // Whoever reads the list has it: it is empty.
        let _ = writeln!(std::io::stderr(), "there are no checkpoints{of}");
        return Ok(());
    }
    let head = ["CHECKPOINT", "AGE", "PACKAGE", "REACHED", "DEPTH", "SIZE", "OWN", ""];
    let rows: Vec<[String; 8]> = infos.iter().map(row).collect();
    print(table(look, head, &rows))
}

fn row(info: &CheckpointInfo) -> [String; 8] {
    let mut marks = Vec::new();
    marks.extend(info.pinned.then(|| "pinned".to_owned()));
    marks.extend(info.quarantined.then(|| "quarantined".to_owned()));
    marks.extend(info.unusable.as_ref().map(|why| format!("unusable: {why}")));
    let id = info.id.get(..SHORT).unwrap_or(&info.id).to_owned();
    let (bytes, own) = (spoken_bytes(info.bytes), spoken_bytes(info.own_bytes));
    let marks = marks.join(", ");
    match &info.made {
        None => [id, String::new(), String::new(), String::new(), String::new(), bytes, own, marks],
        Some(made) => {
            let reached = match &made.failed {
                Some(failed) if failed.is_empty() => "failed".to_owned(),
                Some(failed) => format!("{failed} failed"),
                None => made.reached.clone(),
            };
            let package = one_line(made.package.as_bytes());
            [id, age(made.created), package, reached, made.depth.to_string(), bytes, own, marks]
        }
    }
}

fn table<const N: usize>(look: &Look, head: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut text = format!("{}\n", look.dim(line(&head)));
    for row in rows {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        let _ = writeln!(text, "{}", line(&cells));
    }
    text
}

fn show(store: &CheckpointStore, look: &Look, id: &str, json: bool) -> Result<(), CliError> {
    let details = store.details(&store.resolve(id)?)?;
    if json {
        return print_json(&details_as_json(&details));
    }
    print(details_as_text(look, &details))
}

fn details_as_text(look: &Look, details: &CheckpointDetails) -> String {
    let CheckpointDetails { info, sources, steps, layers } = details;
    let mut text = format!("{}\n", look.bold(&info.id));
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "  {} {}", look.cyan(format_args!("{key:<11}")), one_line(value.as_bytes()));
    };
    if let Some(made) = &info.made {
        line("package", &format!("{} for {}", made.package, made.system));
        line("made by", &format!("/nix/store/{}", made.drv));
        line("age", &age(made.created));
        match &made.failed {
            Some(failed) => line("failed in", failed),
            None => line("reached", &made.reached),
        }
        match &made.base {
            Some(base) => line("from", &format!("{base}, the {} of a chain", ordinal(made.depth))),
            None => line("from", "nothing: it was built clean"),
        }
    }
    if let Some(sources) = sources {
        let size = spoken_bytes(sources.bytes);
        let files = counted(sources.files, "file", "files");
        let directories = counted(sources.directories, "directory", "directories");
        let links = counted(sources.links, "link", "links");
        line("sources", &format!("{files}, {size}; {directories}, {links}"));
    }
    let (bytes, own) = (spoken_bytes(info.bytes), spoken_bytes(info.own_bytes));
    line("size", &format!("{bytes}, of which {own} go with it"));
    if info.pinned {
        line("pinned", "yes");
    }
    if info.quarantined {
        line("quarantined", "yes: a clean build came to another result");
    }
    if let Some(why) = &info.unusable {
        line("unusable", why);
    }
    for step in steps {
        let recipe = step.recipe.get(..SHORT).unwrap_or(&step.recipe);
        let observed = match step.observed {
            Observed::Everything => "may have seen everything".to_owned(),
            Observed::Names { opened, listed, looked_for } => {
                format!("opened {opened}, listed {listed}, looked for {looked_for}")
            }
        };
        let how = if step.own.is_some() { "ran" } else { "continued" };
        line("step", &format!("{:<18} recipe {recipe}  {how}; {observed}", step.phase));
    }
    for layer in layers {
        let shared = match layer.shared {
            0 => "its own".to_owned(),
            1 => "also of another one".to_owned(),
            more => format!("also of {more} others"),
        };
        line("layer", &format!("{}  {:>10}  {shared}", layer.id, spoken_bytes(layer.bytes)));
    }
    text
}

fn ordinal(depth: u32) -> String {
    match depth {
        1 => "first".to_owned(),
        2 => "second".to_owned(),
        3 => "third".to_owned(),
        more => format!("{more}th"),
    }
}

fn remove(
    session: &Session<'_>,
    store: &CheckpointStore,
    ids: &[String],
    package: Option<&str>,
    json: bool,
) -> Result<(), CliError> {
    let ids: BTreeSet<String> = match package {
        Some(name) => {
            let of_it = store.list().into_iter().filter(|info| is_of(info, package));
            let ids: BTreeSet<String> = of_it.map(|info| info.id).collect();
            if ids.is_empty() {
                return Err(CliError::user(format!("there is no checkpoint of the package {name:?}"))
                    .hint("`rekindle checkpoint list` says which there are"));
            }
            ids
        }
        None => ids.iter().map(|id| store.resolve(id)).collect::<Result<_, _>>()?,
    };
    let look = session.environment.look_of_stderr();
    let mut waiting = || {
        // It is only a courtesy.
        let text = "waiting for builds that use checkpoints to end";
        let _ = writeln!(std::io::stderr(), "{} {text}", look.yellow("note:"));
    };
    let removed = store.remove(&ids, &mut waiting)?;
    if json {
        return print_json(&json!({
            "version": 1,
            "removed": removed.checkpoints,
            "layers": removed.layers,
            "bytes": removed.bytes,
        }));
    }
    let (count, layers) = (removed.checkpoints.len(), removed.layers);
    let checkpoints = counted(count, "checkpoint", "checkpoints");
    let layers = counted(layers, "layer", "layers");
    print(format!("{checkpoints} with {layers} removed, {} of disk\n", spoken_bytes(removed.bytes)))
}

fn pin(store: &CheckpointStore, ids: &[String], pinned: bool) -> Result<(), CliError> {
    let ids: Vec<String> = ids.iter().map(|id| store.resolve(id)).collect::<Result<_, _>>()?;
    Ok(ids.iter().try_for_each(|id| store.pin(id, pinned))?)
}

fn is_of(info: &CheckpointInfo, package: Option<&str>) -> bool {
    package.is_none_or(|name| info.made.as_ref().is_some_and(|made| is_called(made, name)))
}

/// What is known of a checkpoint, for programs.
pub(super) fn info_as_json(info: &CheckpointInfo) -> Value {
    let made = info.made.as_ref();
    json!({
        "id": info.id,
        "package": made.map(|made| &made.package),
        "system": made.map(|made| &made.system),
        "drvPath": made.map(|made| format!("/nix/store/{}", made.drv)),
        "created": made.map(|made| made.created),
        "depth": made.map(|made| made.depth),
        "base": made.and_then(|made| made.base.as_ref()),
        "phases": made.map(|made| &made.phases),
        "reached": made.map(|made| &made.reached),
        "failed": made.and_then(|made| made.failed.as_ref()),
        "bytes": info.bytes,
        "ownBytes": info.own_bytes,
        "pinned": info.pinned,
        "quarantined": info.quarantined,
        "unusable": info.unusable,
    })
}

/// What is in a checkpoint, for programs.
pub(super) fn details_as_json(details: &CheckpointDetails) -> Value {
    let mut value = info_as_json(&details.info);
    value["version"] = 1.into();
    value["sources"] = match &details.sources {
        None => Value::Null,
        Some(sources) => json!({
            "files": sources.files,
            "directories": sources.directories,
            "links": sources.links,
            "bytes": sources.bytes,
        }),
    };
    let step = |step: &StepInfo| {
        let observed = match step.observed {
            Observed::Everything => json!({ "everything": true }),
            Observed::Names { opened, listed, looked_for } => {
                json!({ "everything": false, "opened": opened, "listed": listed, "lookedFor": looked_for })
            }
        };
        json!({
            "phase": step.phase,
            "recipe": step.recipe,
            "observed": observed,
            "ownLayers": step.own,
            "treeLayers": step.tree,
        })
    };
    let layer =
        |layer: &LayerInfo| json!({ "id": layer.id, "bytes": layer.bytes, "sharedWith": layer.shared });
    value["steps"] = details.steps.iter().map(step).collect();
    value["layers"] = details.layers.iter().map(layer).collect();
    value
}

pub(super) fn age(created: i64) -> String {
    let seconds = u64::try_from(now().saturating_sub(created)).unwrap_or_default();
    let minutes = Duration::from_secs(seconds).as_secs() / 60;
    match minutes {
        0 => format!("{seconds} s"),
        1..60 => format!("{minutes} min"),
        60..2880 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1440),
    }
}

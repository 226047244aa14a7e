//! `rekindle graph`.

mod dot;

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use rekindle_plan::explain::Lineage;
use rekindle_plan::process_graph::{EdgeKind, Node, Origin, ProcessGraph, Show, draw};
use rekindle_plan::quote;
use serde_json::{Value, json};

use super::subject::{self, ANOTHER, Asked, FileName, Found};
use super::why::json::{task, text};
use super::{print, print_json};
use crate::args::GraphArgs;
use crate::cli_error::CliError;
use crate::session::Session;

/// More nodes than this nobody can look at, and Graphviz takes minutes.
const MOST_NODES: usize = 2000;

pub(super) fn run(session: &Session<'_>, args: &GraphArgs) -> Result<ExitCode, CliError> {
    let which = &args.which;
    let (mut subject, asked) =
        subject::find(session, args.what.as_deref(), which.package.as_deref(), which.checkpoint.as_deref())?;
    if let Asked::File(_) = asked {
        let what = quote::name(args.what.as_deref().unwrap_or(OsStr::new(".")).as_bytes());
        let kind = if which.package.is_some() { "directory" } else { "package that was built here" };
        return Err(CliError::user(format!("{what} is no {kind}"))
            .hint(format!("for what a file came from: `{} graph --of {what}`", session.program())));
    }
    let output_file = match &args.of {
        None => None,
        Some(file) => output_file(session, file)?,
    };
    if output_file.is_some() {
        subject.borrow_install(&session.checkpoints()?)?;
    }
    let lineage = subject.lineage()?;
    let of = match &args.of {
        None => None,
        Some(file) => {
            let name = output_file.unwrap_or_else(|| FileName::Path(file.into()));
            match subject.locate(&lineage, &name)? {
                Found::Known(path) => Some(path),
                Found::Untouched => {
                    let file = quote::name(file.as_bytes());
                    return Err(CliError::user(format!("no process of the build looked at {file}")));
                }
            }
        }
    };
    let show = match (args.processes, args.files) {
        (true, _) => Show::Tasks,
        (_, true) => Show::Files,
        _ => Show::Both,
    };
    let graph = draw(&lineage, of.as_deref(), show, (!args.all).then_some(MOST_NODES));
    let look = session.environment.look_of_stderr();
    let warn = |text: &str| {
        // Whoever does not see it still gets the graph.
        let _ = writeln!(io::stderr(), "{} {text}", look.yellow("warning:"));
    };
    match subject.said_unobserved() {
        Some(why) if graph.nodes.is_empty() => {
            return Err(CliError::user(format!("there is nothing to draw: {why}")).hint(ANOTHER));
        }
        Some(why) => warn(&format!("{why}, so what it did is not drawn; {ANOTHER}")),
        None => {}
    }
    if graph.left_out > 0 {
        let (left_out, all) = (graph.left_out, graph.left_out + graph.nodes.len());
        warn(&format!(
            "{left_out} of {all} nodes are left out; --of FILE shows what one file came from, --all everything"
        ));
    }
    if args.json {
        print_json(&as_json(&lineage, &graph))?;
    } else {
        print(dot::write(&lineage, &graph, subject.name()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The name of a file of an output, if it is one.
fn output_file(session: &Session<'_>, file: &OsStr) -> Result<Option<FileName>, CliError> {
    let store = session.store_to_read()?;
    Ok(match subject::in_output_of(Path::new(file), &store) {
        Some((output, rest)) if !rest.as_os_str().is_empty() => {
            Some(FileName::InOutput(output.name().to_string(), rest))
        }
        _ => None,
    })
}

fn as_json(lineage: &Lineage<'_>, graph: &ProcessGraph) -> Value {
    let node = |(at, node): (usize, &Node)| match node {
        Node::Task { task: it } => {
            let mut value = task(lineage, *it);
            value["id"] = at.into();
            value["kind"] = "process".into();
            value
        }
        Node::File { path, origin } => {
            json!({ "id": at, "kind": "file", "path": text(path), "origin": self::origin(*origin) })
        }
    };
    let edges = graph.edges.iter().map(|edge| {
        json!({
            "from": edge.from,
            "to": edge.to,
            "kind": match edge.kind {
                EdgeKind::Read => "read",
                EdgeKind::Executed => "executed",
                EdgeKind::Made => "made",
            },
            "through": edge.through.as_deref().map_or(Value::Null, text),
            "count": edge.count,
        })
    });
    json!({
        "version": 1,
        "nodes": graph.nodes.iter().enumerate().map(node).collect::<Vec<_>>(),
        "edges": edges.collect::<Vec<_>>(),
        "leftOut": graph.left_out,
    })
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Source => "source",
        Origin::Outside => "outside",
        Origin::Kept => "kept",
        Origin::MadeNow => "made",
    }
}

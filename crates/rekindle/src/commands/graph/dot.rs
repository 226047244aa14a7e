//! A graph in the language of Graphviz.
//!
//! Every name is a quoted string, so no character of it can end the string or mean anything: quotation marks and
//! backslashes are escaped, control characters are gone. Labels go through Graphviz's own escapes a second time.

use std::fmt::Write as _;

use rekindle_plan::explain::Lineage;
use rekindle_plan::process_graph::{Edge, EdgeKind, Node, Origin, ProcessGraph};
use rekindle_plan::quote;

use crate::commands::subject::shown;
use crate::commands::titles::title;
use crate::report::fit;

/// So wide is a label.
const COLUMNS: usize = 48;

/// Writes a graph; `name` is that of the package.
pub(super) fn write(lineage: &Lineage<'_>, graph: &ProcessGraph, name: &str) -> String {
    let mut text = format!(
        "digraph {} {{\n  rankdir=LR;\n  node [fontname=\"sans-serif\", fontsize=10];\n  edge [color=\"#808080\"];\n",
        quoted(name)
    );
    for (at, node) in graph.nodes.iter().enumerate() {
        let _ = writeln!(text, "  n{at} [{}];", attributes(lineage, node));
    }
    for edge in &graph.edges {
        let _ = writeln!(text, "  n{} -> n{}{};", edge.from, edge.to, style(edge));
    }
    text.push_str("}\n");
    text
}

fn attributes(lineage: &Lineage<'_>, node: &Node) -> String {
    match node {
        Node::Task { task } => {
            let whole = title(lineage, *task);
            let color = if lineage.is_now(task.at) { "#cfe8cf" } else { "#e4e4e4" };
            let label = fit(&whole, COLUMNS, "…");
            format!(
                "shape=box, style=filled, fillcolor=\"{color}\", label={}, tooltip={}",
                quoted(&label),
                quoted(&fit(&whole, 2000, "…"))
            )
        }
        Node::File { path, origin } => {
            let whole = shown(path);
            let color = match origin {
                Origin::Source => "#cfe0f4",
                Origin::Outside => "#f4ecd0",
                Origin::Kept => "#ffffff",
                Origin::MadeNow => "#eaf5ea",
            };
            let label = end(&whole);
            format!(
                "shape=ellipse, style=filled, fillcolor=\"{color}\", label={}, tooltip={}",
                quoted(&label),
                quoted(&whole)
            )
        }
    }
}

/// Of a long path the end says more.
fn end(path: &str) -> String {
    let count = path.chars().count();
    if count <= COLUMNS {
        return path.to_owned();
    }
    format!("…{}", path.chars().skip(count - COLUMNS + 1).collect::<String>())
}

fn style(edge: &Edge) -> String {
    let mut attributes = Vec::new();
    if edge.kind == EdgeKind::Executed {
        attributes.push("style=dashed".to_owned());
    }
    if let Some(through) = &edge.through {
        let name = shown(through);
        // The program of a task is no path of the tree.
        let name = if through.contains(&b'/') { name } else { quote::name(through) };
        let more = if edge.count > 1 { format!(" +{}", edge.count - 1) } else { String::new() };
        attributes.push(format!("fontsize=8, label={}", quoted(&format!("{}{more}", end(&name)))));
    }
    if attributes.is_empty() { String::new() } else { format!(" [{}]", attributes.join(", ")) }
}

/// A string of the language, in which nothing has a meaning.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            // Once for the string, once for the escapes of labels.
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            char if char.is_control() => quoted.push(' '),
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_string_early() {
        let check = |text: &str, expected: &str| assert_eq!(quoted(text), expected);
        check("a.o", r#""a.o""#);
        check(r#"say "hi""#, r#""say \"hi\"""#);
        check(r"a\n\", r#""a\\n\\""#);
        check("a\nb", r#""a b""#);
        check("];}<b>&amp;", r#""];}<b>&amp;""#);
    }

    #[test]
    fn long_paths_keep_their_ends() {
        assert_eq!(end("a.o"), "a.o");
        let long = format!("{}/name.o", "d".repeat(80));
        assert!(end(&long).ends_with("/name.o") && end(&long).chars().count() == COLUMNS);
    }
}

//! Modules are named by the noun they own, and every file is part of the program.
//!
//! A file that no `mod` mentions compiles nowhere and its tests never run, silently. The same goes for a second
//! integration binary, which costs a link of everything: there is one per crate, `tests/it`.

use std::collections::BTreeSet;

use super::rust::{Source, words};
use super::{Finding, Tree};

const RULE: &str = "module";
/// Names under which anything can be filed, and therefore everything is.
const VAGUE: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "type", "types", "context", "imp", "misc", "shared"];

/// Checks every Rust file of the workspace.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let paths: BTreeSet<&str> = tree.rust_files().map(|(path, _)| path).collect();
    for (path, text) in tree.rust_files() {
        let source = Source::scan(path, text);
        for (line, name) in declared(&source).filter(|(_, name)| VAGUE.contains(name)) {
            findings.push(Finding::new(
                RULE,
                path,
                line,
                format!("`{name}` names nothing: name what it owns"),
            ));
        }
        let Some(place) = Place::of(path) else { continue };
        if VAGUE.contains(&place.name) {
            findings.push(Finding::new(
                RULE,
                path,
                0,
                format!("`{}` names nothing: name what it owns", place.name),
            ));
        }
        findings.extend(place.unreached(tree, &paths, path));
    }
    findings
}

/// The modules that a file declares, inline ones too: line and name.
fn declared(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    source.words("mod").filter_map(|position| {
        let rest = source.code()[position + "mod".len()..].trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let after = rest[end..].trim_start();
        let is_item = end > 0 && (after.starts_with(';') || after.starts_with('{'));
        is_item.then(|| (source.line_of(position), &rest[..end]))
    })
}

/// A module file and the files that may declare it.
struct Place<'a> {
    name: &'a str,
    parents: Vec<String>,
}

impl<'a> Place<'a> {
    /// `None` for the root of a target, which cargo finds by itself.
    fn of(path: &'a str) -> Option<Place<'a>> {
        let stem = path.strip_suffix(".rs")?;
        // `a/b/mod.rs` is another spelling of `a/b.rs`.
        let stem = stem.strip_suffix("/mod").unwrap_or(stem);
        let (dir, name) = stem.rsplit_once('/')?;
        let in_crate = dir.split('/').skip(2).collect::<Vec<_>>();
        let is_root = match in_crate.as_slice() {
            [] => name == "build",
            ["src"] | ["tests", "it"] => name == "lib" || name == "main",
            ["src", "bin"] | ["benches"] | ["examples"] => true,
            ["src", "bin", _] | ["benches", _] | ["examples", _] => name == "main",
            _ => false,
        };
        let parents = match in_crate.as_slice() {
            ["src"] => vec![format!("{dir}/lib.rs"), format!("{dir}/main.rs")],
            ["tests", "it"] => vec![format!("{dir}/main.rs")],
            // A module directory of a benchmark belongs to the benchmark's file, or to a `main.rs` in it.
            _ => vec![format!("{dir}.rs"), format!("{dir}/mod.rs"), format!("{dir}/main.rs")],
        };
        (!is_root).then_some(Place { name, parents })
    }

    fn unreached(&self, tree: &Tree, paths: &BTreeSet<&str>, path: &str) -> Option<Finding> {
        let exists = |parent: &&String| *parent != path && paths.contains(parent.as_str());
        let parents: Vec<&String> = self.parents.iter().filter(exists).collect();
        if parents.is_empty() {
            let message =
                "no target of the crate reaches this file: one integration binary per crate, `tests/it`";
            return Some(Finding::new(RULE, path, 0, message));
        }
        let mentions = |parent: &&String| {
            let text = tree.get(parent).unwrap_or_default();
            let source = Source::scan(parent, text);
            let by_name = declared(&source).any(|(_, name)| name == self.name);
            by_name || text.contains("#[path") && words(text, self.name).next().is_some()
        };
        if parents.iter().any(mentions) {
            return None;
        }
        let message =
            format!("forgotten: `mod {};` stands in none of {parents:?}, so nothing here runs", self.name);
        Some(Finding::new(RULE, path, 0, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_files(files: &[(&str, &str)], expect: &[&str]) {
        let paths: Vec<_> = check(&Tree::of(files)).into_iter().map(|finding| finding.path).collect();
        assert_eq!(paths, expect, "{files:?}");
    }

    #[test]
    fn vague_names_are_found_in_files_and_inline() {
        let lib = "crates/a/src/lib.rs";
        check_files(&[(lib, "mod utils;"), ("crates/a/src/utils.rs", "")], &[lib, "crates/a/src/utils.rs"]);
        check_files(&[(lib, "pub mod types { }")], &[lib]);
        check_files(&[(lib, "// mod utils;\nmod layout {}")], &[]);
    }

    #[test]
    fn forgotten_files_are_found() {
        let (main, test) = ("crates/a/tests/it/main.rs", "crates/a/tests/it/store.rs");
        check_files(&[(main, "mod store;"), (test, "")], &[]);
        check_files(&[(main, "// mod store;"), (test, "")], &[test]);
        check_files(&[(main, "mod store_two {}"), (test, "")], &[test]);
        let nested = "crates/a/src/store/disk.rs";
        check_files(
            &[("crates/a/src/lib.rs", "mod store;"), ("crates/a/src/store.rs", ""), (nested, "")],
            &[nested],
        );
        check_files(
            &[("crates/a/src/main.rs", "#[path = \"x/y.rs\"] mod y;"), ("crates/a/src/y.rs", "")],
            &[],
        );
    }

    #[test]
    fn a_second_integration_binary_is_found() {
        check_files(&[("crates/a/tests/other.rs", "")], &["crates/a/tests/other.rs"]);
        check_files(&[("crates/a/tests/other/main.rs", "")], &["crates/a/tests/other/main.rs"]);
        check_files(&[("crates/a/tests/it/main.rs", ""), ("crates/a/benches/b.rs", "")], &[]);
    }
}

//! The table of crates in `ARCHITECTURE.md` says what `deps.toml` says.
//!
//! The page is what people read and the list is what the check reads; this holds the two together. The table is
//! the one whose heading begins `| crate | may use |`. Its second column lists crates, shortened or in full; `all`
//! is every other one of the program and `–` is none. Tools of the workspace may have a row, and need none.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Policy, Tree};

const RULE: &str = "architecture";
const PATH: &str = "ARCHITECTURE.md";
/// The program's name, and what its crates' names begin with.
const PROGRAM: &str = "rekindle";

/// Checks the page against the policy.
pub fn check(tree: &Tree, policy: &Policy) -> Vec<Finding> {
    let Some(text) = tree.get(PATH) else {
        return vec![Finding::new(
            RULE,
            PATH,
            0,
            "is missing; it has the table of crates and what they may use",
        )];
    };
    let crates: BTreeMap<&str, &BTreeSet<String>> =
        policy.internal().iter().map(|(name, uses)| (name.as_str(), uses)).collect();
    let of_program = || crates.keys().copied().filter(|name| name.starts_with(PROGRAM));
    let rows = rows(text, &crates.keys().copied().collect());
    let mut findings = Vec::new();
    if rows.is_empty() {
        findings.push(Finding::new(RULE, PATH, 0, "has no table with the heading `| crate | may use |`"));
    }
    for row in &rows {
        let Some(expect) = crates.get(row.name.as_str()) else {
            let message = format!("there is no crate `{}` in deps.toml", row.name);
            findings.push(Finding::new(RULE, PATH, row.line, message));
            continue;
        };
        let others = || of_program().filter(|name| *name != row.name).map(str::to_owned);
        let found: BTreeSet<String> = if row.is_all { others().collect() } else { row.uses.clone() };
        if found != **expect {
            let message = format!("`{}` may use {expect:?} by deps.toml, {found:?} by this table", row.name);
            findings.push(Finding::new(RULE, PATH, row.line, message));
        }
    }
    for name in of_program().filter(|name| !rows.iter().any(|row| row.name == *name)) {
        findings.push(Finding::new(RULE, PATH, 0, format!("the table has no row for `{name}`")));
    }
    findings
}

struct Row {
    line: usize,
    name: String,
    uses: BTreeSet<String>,
    is_all: bool,
}

fn rows(text: &str, crates: &BTreeSet<&str>) -> Vec<Row> {
    let full_name = |name: &str| full_name(name, crates);
    let is_heading = |line: &str| cells(line).take(2).eq(["crate", "may use"]);
    text.lines()
        .enumerate()
        .skip_while(|(_, line)| !is_heading(line))
        // The heading, and the rule below it.
        .skip(2)
        .take_while(|(_, line)| line.trim_start().starts_with('|'))
        .map(|(index, line)| {
            let mut cells = cells(line);
            let name = full_name(cells.next().unwrap_or_default());
            let uses = cells.next().unwrap_or_default();
            let listed =
                uses.split([',', ' ']).filter(|word| !word.is_empty() && !matches!(*word, "–" | "-" | "—"));
            Row { line: index + 1, name, is_all: uses == "all", uses: listed.map(full_name).collect() }
        })
        .collect()
}

fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.trim().trim_start_matches('|').split('|').map(str::trim)
}

/// The crate's name, from `rekindle-nix` or `nix`, with or without back quotes.
fn full_name(name: &str, crates: &BTreeSet<&str>) -> String {
    let name = name.trim_matches('`');
    let is_full = crates.contains(name) || name.starts_with(PROGRAM);
    if is_full { name.to_owned() } else { format!("{PROGRAM}-{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "
        pure = []
        process = []
        dev = []
        [internal]
        rekindle-nix = []
        rekindle-store = ['rekindle-nix']
        rekindle = ['rekindle-nix', 'rekindle-store']
        xtask = []
        [external]
    ";

    #[track_caller]
    fn check_rows(rows: &str, expect: &[&str]) {
        let page = format!("# Title\n\n| crate | may use | knows |\n| --- | --- | --- |\n{rows}\nText.\n");
        let policy = Policy::parse(POLICY).expect("the policy is well formed");
        let messages: Vec<_> =
            check(&Tree::of(&[(PATH, &page)]), &policy).into_iter().map(|finding| finding.message).collect();
        assert_eq!(messages.len(), expect.len(), "{messages:?}");
        for (message, part) in messages.iter().zip(expect) {
            assert!(message.contains(part), "{message} has {part}");
        }
    }

    #[test]
    fn the_table_matches_the_list() {
        let (nix, store) = ("| `rekindle-nix` | – | x |\n", "| `rekindle-store` | nix | x |\n");
        let program = "| `rekindle` | all | x |\n";
        check_rows(&format!("{nix}{store}{program}"), &[]);
        check_rows(&format!("{nix}{store}| `rekindle` | `rekindle-nix`, store | x |\n"), &[]);
        check_rows(&format!("{nix}{store}{program}| `xtask` | – | x |\n"), &[]);
        check_rows(&format!("{nix}{store}{program}| `xtask` | nix | x |\n"), &["`xtask` may use"]);
        check_rows(&format!("{nix}{program}"), &["no row for `rekindle-store`"]);
        check_rows(&format!("{nix}| `rekindle-store` | – | x |\n{program}"), &["`rekindle-store` may use"]);
        check_rows(&format!("{nix}{store}{program}| `rekindle-x` | – | x |\n"), &["no crate `rekindle-x`"]);
    }

    #[test]
    fn a_missing_page_or_table_is_found() {
        let policy = Policy::parse(POLICY).expect("the policy is well formed");
        assert_eq!(check(&Tree::default(), &policy).len(), 1);
        assert!(check(&Tree::of(&[(PATH, "# Title\n")]), &policy)[0].message.contains("has no table"));
    }
}

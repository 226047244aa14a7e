//! Who may depend on whom: the crates' manifests against the allow-list in `deps.toml`.
//!
//! A new edge is a decision, so it is an edit of that list in a commit of its own. Internal edges hold for tests
//! too. External crates are listed with the crates that may use them, which is what keeps SQLite in one place and
//! system calls in another. The manifests are read as text: the check needs no network and no lock file.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::{Error, Finding, Kind, Tree};

const RULE: &str = "edge";
/// The allow-list, relative to the workspace.
pub const POLICY_PATH: &str = "crates/xtask/deps.toml";

/// A file that may be longer than the limit. The list in `deps.toml` also has the date and the reason.
#[derive(Debug, Clone)]
pub struct LongFile {
    /// The file, relative to the workspace.
    pub path: String,
}

/// What `deps.toml` allows.
#[derive(Debug, Default)]
pub struct Policy {
    internal: BTreeMap<String, BTreeSet<String>>,
    external: BTreeMap<String, BTreeSet<String>>,
    dev: BTreeSet<String>,
    pure_crates: Vec<String>,
    process_crates: Vec<String>,
    long_files: Vec<LongFile>,
}

impl Policy {
    /// Reads the policy of a workspace.
    pub fn from_tree(tree: &Tree) -> Result<Policy, Error> {
        let text =
            tree.get(POLICY_PATH).ok_or(Kind::Missing { path: POLICY_PATH.to_owned(), what: "text" })?;
        Policy::parse(text)
    }

    /// Parses the text of `deps.toml`.
    pub fn parse(text: &str) -> Result<Policy, Error> {
        let table = parse(POLICY_PATH, text)?;
        let mut long_files = Vec::new();
        for entry in table.get("long-file").and_then(Value::as_array).into_iter().flatten() {
            let field = |key| entry.get(key).and_then(Value::as_str).map(str::to_owned);
            match (field("path"), entry.get("since").and_then(Value::as_datetime), field("reason")) {
                (Some(path), Some(_), Some(_)) => long_files.push(LongFile { path }),
                _ => return Err(missing("`path`, `since` (a date) and `reason` in each `[[long-file]]`")),
            }
        }
        Ok(Policy {
            internal: lists(&table, "internal")
                .ok_or_else(|| missing("table `internal` of lists of names"))?,
            external: lists(&table, "external")
                .ok_or_else(|| missing("table `external` of lists of names"))?,
            dev: names(table.get("dev")).ok_or_else(|| missing("list of names `dev`"))?,
            pure_crates: names(table.get("pure"))
                .ok_or_else(|| missing("list of names `pure`"))?
                .into_iter()
                .collect(),
            process_crates: names(table.get("process"))
                .ok_or_else(|| missing("list of names `process`"))?
                .into_iter()
                .collect(),
            long_files,
        })
    }

    /// The crates of the workspace, and those that each may use.
    pub fn internal(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.internal
    }

    /// The crates without effects.
    pub fn pure_crates(&self) -> &[String] {
        &self.pure_crates
    }

    /// The crates that may start processes.
    pub fn process_crates(&self) -> &[String] {
        &self.process_crates
    }

    /// The files that may be longer than the limit.
    pub fn long_files(&self) -> &[LongFile] {
        &self.long_files
    }
}

/// Checks the manifest of every crate.
pub fn check(tree: &Tree, policy: &Policy) -> Vec<Finding> {
    let crates: BTreeSet<&str> = tree.crates().collect();
    let mut findings = Vec::new();
    for name in policy.internal.keys().filter(|name| !crates.contains(name.as_str())) {
        findings.push(Finding::new(RULE, POLICY_PATH, 0, format!("there is no crate `{name}`: remove it")));
    }
    let renames = match tree.get("Cargo.toml").map(|text| parse("Cargo.toml", text)) {
        Some(Ok(root)) => renames(&root),
        Some(Err(error)) => return vec![unreadable("Cargo.toml", &error)],
        None => BTreeMap::new(),
    };
    let mut used = BTreeSet::new();
    for name in crates {
        let path = format!("crates/{name}/Cargo.toml");
        let manifest = match parse(&path, tree.get(&path).unwrap_or_default()) {
            Ok(manifest) => manifest,
            Err(error) => {
                findings.push(unreadable(&path, &error));
                continue;
            }
        };
        let Some(allowed) = policy.internal.get(name) else {
            let message = format!("crate `{name}` is not in {POLICY_PATH}: say there what it may use");
            findings.push(Finding::new(RULE, &path, 0, message));
            continue;
        };
        for edge in edges(&manifest, &renames) {
            let message = if policy.internal.contains_key(&edge.to) {
                if allowed.contains(&edge.to) {
                    continue;
                }
                format!("`{name}` may not use `{}`: {POLICY_PATH} does not have this edge", edge.to)
            } else {
                let users = policy.external.get(&edge.to);
                if users.is_some_and(|users| users.contains(name)) {
                    used.insert((edge.to.clone(), name.to_owned()));
                    continue;
                }
                if edge.is_dev && policy.dev.contains(&edge.to) {
                    continue;
                }
                format!(
                    "`{name}` may not use `{}`, which {POLICY_PATH} keeps elsewhere or does not have",
                    edge.to
                )
            };
            findings.push(Finding::new(RULE, &path, 0, message));
        }
    }
    for (dependency, user) in
        policy.external.iter().flat_map(|(to, users)| users.iter().map(move |user| (to, user)))
    {
        if !used.contains(&(dependency.clone(), user.clone())) {
            let message = format!("`{user}` does not use `{dependency}` any more: remove it from the list");
            findings.push(Finding::new(RULE, POLICY_PATH, 0, message));
        }
    }
    findings
}

struct Edge {
    to: String,
    is_dev: bool,
}

/// The dependencies of a manifest, by the name of the package, for every target.
fn edges(manifest: &Table, renames: &BTreeMap<String, String>) -> Vec<Edge> {
    let per_target = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = std::iter::once(manifest).chain(per_target.filter_map(Value::as_table));
    let mut edges = Vec::new();
    for table in tables {
        for (section, is_dev) in
            [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)]
        {
            for (key, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
                let from_workspace = value.get("workspace").and_then(Value::as_bool) == Some(true);
                let inherited = renames.get(key).filter(|_| from_workspace);
                let own = value.get("package").and_then(Value::as_str);
                let to = own.or(inherited.map(String::as_str)).unwrap_or(key).to_owned();
                edges.push(Edge { to, is_dev });
            }
        }
    }
    edges
}

/// The dependencies that the workspace knows under another name than the package's own.
fn renames(root: &Table) -> BTreeMap<String, String> {
    let shared =
        root.get("workspace").and_then(|workspace| workspace.get("dependencies")).and_then(Value::as_table);
    let renamed = |(key, value): (&String, &Value)| {
        Some((key.clone(), value.get("package").and_then(Value::as_str)?.to_owned()))
    };
    shared.into_iter().flatten().filter_map(renamed).collect()
}

fn lists(table: &Table, key: &str) -> Option<BTreeMap<String, BTreeSet<String>>> {
    table
        .get(key)?
        .as_table()?
        .iter()
        .map(|(name, value)| Some((name.clone(), names(Some(value))?)))
        .collect()
}

fn names(value: Option<&Value>) -> Option<BTreeSet<String>> {
    value?.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

fn parse(path: &str, text: &str) -> Result<Table, Error> {
    let parsed = text.parse::<Table>();
    parsed.map_err(|source| Kind::Parse { path: path.to_owned(), source: Box::new(source) }.into())
}

fn missing(what: &'static str) -> Error {
    Kind::Missing { path: POLICY_PATH.to_owned(), what }.into()
}

fn unreadable(path: &str, error: &Error) -> Finding {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    Finding::new(RULE, path, 0, format!("{error}: {}", cause.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "
        pure = ['low']
        process = []
        dev = ['tempfile']
        [internal]
        low = []
        high = ['low']
        [external]
        libc = ['low']
    ";

    /// Checks a workspace where `low` uses libc and `manifest` is the rest of `high`'s manifest.
    #[track_caller]
    fn check_high(manifest: &str, expect: &[&str]) {
        let root = "[workspace.dependencies]\nsystem = { package = 'libc', version = '1' }\n";
        let tree = Tree::of(&[
            ("Cargo.toml", root),
            ("crates/high/Cargo.toml", manifest),
            ("crates/low/Cargo.toml", "[dependencies]\nlibc = '1'\n"),
        ]);
        let policy = Policy::parse(POLICY).expect("the policy is well formed");
        let messages: Vec<_> = check(&tree, &policy).into_iter().map(|finding| finding.message).collect();
        assert_eq!(messages.len(), expect.len(), "{messages:?}");
        for (message, part) in messages.iter().zip(expect) {
            assert!(message.contains(part), "{message} has {part}");
        }
    }

    #[test]
    fn edges_that_are_listed_pass() {
        check_high("[dependencies]\nlow = { path = '../low' }\n[dev-dependencies]\ntempfile = '3'\n", &[]);
    }

    #[test]
    fn edges_that_are_not_listed_are_found() {
        check_high("[dependencies]\nlibc = '1'\n", &["`high` may not use `libc`"]);
        check_high("[dependencies]\nsystem.workspace = true\n", &["`high` may not use `libc`"]);
        check_high("[dependencies]\nx = { package = 'libc' }\n", &["`high` may not use `libc`"]);
        check_high("[dependencies]\ntempfile = '3'\n", &["`high` may not use `tempfile`"]);
        check_high("[build-dependencies]\ncc = '1'\n", &["`high` may not use `cc`"]);
        check_high("[target.'cfg(unix)'.dependencies]\ncc = '1'\n", &["`high` may not use `cc`"]);
        check_high("[dev-dependencies]\nhigh = '1'\n", &["`high` may not use `high`"]);
        check_high("[dependencies\n", &["cannot parse crates/high/Cargo.toml"]);
    }

    #[test]
    fn the_list_and_the_crates_are_the_same() {
        let policy = Policy::parse(POLICY).expect("the policy is well formed");
        let tree = Tree::of(&[("crates/new/Cargo.toml", "")]);
        let messages: Vec<_> = check(&tree, &policy).into_iter().map(|finding| finding.message).collect();
        assert_eq!(messages.len(), 4, "{messages:?}");
        assert!(messages[0].contains("there is no crate `high`"));
        assert!(messages[1].contains("there is no crate `low`"));
        assert!(messages[2].contains("`new` is not in"));
        assert!(messages[3].contains("`low` does not use `libc` any more"));
    }

    #[test]
    fn exceptions_need_a_date_and_a_reason() {
        let with = |entry: &str| Policy::parse(&format!("{POLICY}\n[[long-file]]\npath = 'a.rs'\n{entry}"));
        let policy = with("since = 2026-11-21\nreason = 'a table'").expect("the exception is complete");
        assert_eq!(policy.long_files()[0].path, "a.rs");
        assert!(with("reason = 'a table'").is_err());
        assert!(with("since = 2026-11-21").is_err());
    }
}

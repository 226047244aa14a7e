//! Tidy: rules of this project that neither the compiler nor clippy checks.
//!
//! [`Tree`] holds the text of every file that git tracks or would track; each check is a function from it (and
//! from `deps.toml`) to findings, so a test can hand it a made-up tree. The checks work on text with comments and
//! literals blanked out ([`rust::Source`]), not on a syntax tree: they are fast, need no other crate, and see
//! files that do not compile. They must not change anything.

pub mod architecture;
pub mod commands;
pub mod edges;
pub mod headers;
pub mod leftovers;
pub mod modules;
pub mod portability;
pub mod purity;
pub mod rust;
pub mod size;
pub mod unsafety;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use edges::Policy;

/// One place that breaks a rule. Shown as `path:line: rule: message`, as compilers show theirs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, relative to the workspace.
    pub path: String,
    /// The line, from 1; 0 where the finding is about the file as a whole.
    pub line: usize,
    /// The name of the check.
    pub rule: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Finding {
    fn new(rule: &'static str, path: &str, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, rule, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}: {}", self.path, self.rule, self.message),
            line => write!(f, "{}:{line}: {}: {}", self.path, self.rule, self.message),
        }
    }
}

/// Why the tree could not be checked at all.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] Kind);

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("cannot list the files of {root} with git")]
    List { root: PathBuf, source: std::io::Error },
    #[error("git cannot list the files of {root}: {message}")]
    Git { root: PathBuf, message: String },
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot parse {path}")]
    Parse { path: String, source: Box<toml::de::Error> },
    #[error("{path} has no {what}")]
    Missing { path: String, what: &'static str },
}

/// The text files of a workspace, by path relative to it, sorted.
#[derive(Debug, Default)]
pub struct Tree {
    files: Vec<(String, String)>,
}

impl Tree {
    /// Reads every file under `root` that git tracks, or would track if it were added.
    ///
    /// Files that are not UTF-8 are left out: no check here is about them.
    pub fn read(root: &Path) -> Result<Tree, Error> {
        let output = Command::new("git")
            // The work tree may belong to another user than the one who runs the tests.
            .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .map_err(|source| Kind::List { root: root.to_owned(), source })?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Kind::Git { root: root.to_owned(), message }.into());
        }
        let mut tree = Tree::default();
        for name in output.stdout.split(|&byte| byte == 0) {
            let Ok(name) = std::str::from_utf8(name) else { continue };
            let path = root.join(name);
            // A tracked file may be gone from the work tree, and a tracked link may lead out of it.
            if !std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file()) {
                continue;
            }
            let bytes = std::fs::read(&path).map_err(|source| Kind::Read { path, source })?;
            if let Ok(text) = String::from_utf8(bytes) {
                tree.files.push((name.to_owned(), text));
            }
        }
        tree.files.sort();
        tree.files.dedup();
        Ok(tree)
    }

    /// A tree made of the given paths and texts.
    pub fn of(files: &[(&str, &str)]) -> Tree {
        let mut files: Vec<_> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        files.sort();
        Tree { files }
    }

    /// All files: path and text.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust files of the workspace's crates.
    pub fn rust_files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.starts_with("crates/") && path.ends_with(".rs"))
    }

    /// The text of one file.
    pub fn get(&self, path: &str) -> Option<&str> {
        let index = self.files.binary_search_by(|(name, _)| name.as_str().cmp(path)).ok()?;
        Some(&self.files[index].1)
    }

    /// The names of the crates: the directories of `crates/` that hold a manifest.
    pub fn crates(&self) -> impl Iterator<Item = &str> {
        self.files().filter_map(|(path, _)| {
            let name = path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
            (!name.contains('/')).then_some(name)
        })
    }
}

/// Runs every check on the workspace at `root`. The findings are sorted by place.
pub fn check_workspace(root: &Path) -> Result<Vec<Finding>, Error> {
    let tree = Tree::read(root)?;
    let policy = Policy::from_tree(&tree)?;
    let mut findings = check(&tree, &policy);
    findings.sort();
    Ok(findings)
}

fn check(tree: &Tree, policy: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(edges::check(tree, policy));
    findings.extend(architecture::check(tree, policy));
    findings.extend(unsafety::check(tree));
    findings.extend(headers::check(tree));
    findings.extend(size::check(tree, policy.long_files()));
    findings.extend(modules::check(tree));
    findings.extend(leftovers::check(tree));
    findings.extend(portability::check(tree));
    findings.extend(purity::check(tree, policy.pure_crates(), policy.process_crates()));
    findings.extend(commands::check(tree));
    findings
}

/// The crate that a file under `crates/` belongs to.
fn crate_of(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.split_once('/').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_git_would_track_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let git = Command::new("git").args(["init", "-q"]).current_dir(dir.path()).status();
        assert!(git.expect("git runs").success());
        for (name, bytes) in [
            ("a.rs", &b"fn a() {}"[..]),
            ("skipped", b"x"),
            (".gitignore", b"skipped\n"),
            ("binary", b"\xff\0"),
        ] {
            std::fs::write(dir.path().join(name), bytes).expect("the directory is ours");
        }
        let tree = Tree::read(dir.path()).expect("git lists its own work tree");
        let names: Vec<_> = tree.files().map(|(path, _)| path).collect();
        assert_eq!(names, [".gitignore", "a.rs"]);
        assert_eq!(tree.get("a.rs"), Some("fn a() {}"));
    }

    #[test]
    fn a_directory_without_git_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let error = Tree::read(dir.path()).expect_err("there is no repository");
        assert!(error.to_string().contains(&*dir.path().to_string_lossy()), "{error}");
    }

    #[test]
    fn findings_read_like_a_compiler_s() {
        let at = Finding::new("size", "crates/a/src/b.rs", 7, "too long");
        assert_eq!(at.to_string(), "crates/a/src/b.rs:7: size: too long");
        assert_eq!(Finding { line: 0, ..at }.to_string(), "crates/a/src/b.rs: size: too long");
    }
}

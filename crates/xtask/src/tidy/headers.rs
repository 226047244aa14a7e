//! Every module says what it is in a `//!` header, and every crate also what it must not know.
//!
//! The second half is what keeps a crate from growing into its neighbours: the reader who adds the dependency
//! reads the sentence that forbids it. A `tests.rs` beside a module needs no header: the module's own says what is
//! tested.

use super::{Finding, Tree};

const RULE: &str = "header";
/// How a crate may say what it keeps out. One of these stands in its header.
const BOUNDARY: &[&str] = &["must not know", "must never know", "does not know", "knows nothing"];

/// Checks every Rust file of the workspace.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust_files().filter(|(path, _)| !path.ends_with("/tests.rs")) {
        let header = header(text);
        if header.trim().is_empty() {
            let message =
                "begin the file with a `//!` header: what it is, why this way, what it must not know";
            findings.push(Finding::new(RULE, path, 1, message));
            continue;
        }
        let is_root = path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs");
        let prose = header.split_whitespace().collect::<Vec<_>>().join(" ");
        if is_root && !BOUNDARY.iter().any(|phrase| prose.contains(phrase)) {
            let message = format!("the crate's header does not say what the crate {}", BOUNDARY[0]);
            findings.push(Finding::new(RULE, path, 1, message));
        }
    }
    findings
}

/// The text of the `//!` lines that a file begins with. Inner attributes and other comments may stand before them.
fn header(text: &str) -> String {
    let is_before = |line: &&str| {
        let line = line.trim();
        line.is_empty() || line.starts_with("#![") || (line.starts_with("//") && !line.starts_with("//!"))
    };
    let lines = text.lines().skip_while(is_before).map_while(|line| line.trim().strip_prefix("//!"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_file(path: &str, text: &str, expect: usize) {
        assert_eq!(check(&Tree::of(&[(path, text)])).len(), expect, "{text}");
    }

    #[test]
    fn modules_begin_with_a_header() {
        check_file("crates/a/src/b.rs", "//! What it is.\nfn f() {}\n", 0);
        check_file("crates/a/src/b.rs", "#![cfg(unix)]\n\n//! What it is.\n", 0);
        check_file("crates/a/src/b.rs", "fn f() {}\n//! Too late.\n", 1);
        check_file("crates/a/src/b.rs", "//!\nfn f() {}\n", 1);
        check_file("crates/a/tests/it/main.rs", "mod b;\n", 1);
        check_file("crates/a/src/b/tests.rs", "use super::*;\n", 0);
    }

    #[test]
    fn crates_say_what_they_must_not_know() {
        check_file("crates/a/src/lib.rs", "//! Does this. It must\n//! not know that.\n", 0);
        check_file("crates/a/src/lib.rs", "//! Does this.\n", 1);
        check_file("crates/a/src/main.rs", "//! Does this.\n// It must not know that.\n", 1);
        check_file("crates/a/src/other.rs", "//! Does this.\n", 0);
    }
}

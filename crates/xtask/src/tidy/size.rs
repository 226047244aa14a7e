//! No file grows past what one can hold in mind: 800 lines without its tests.
//!
//! That is the hard limit; 400 is where to start looking for the seam. A file that must be longer is named in
//! `deps.toml` with the date and the reason, and loses its place there as soon as it is short enough.

use super::edges::LongFile;
use super::rust::Source;
use super::{Finding, Tree};

const RULE: &str = "size";
/// Lines that are not part of a test.
const LIMIT: usize = 800;

/// Checks every Rust file of the workspace.
pub fn check(tree: &Tree, excepted: &[LongFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut long = Vec::new();
    for (path, text) in tree.rust_files() {
        let lines = Source::scan(path, text).lines_without_tests().count();
        if lines <= LIMIT {
            continue;
        }
        long.push(path);
        if !excepted.iter().any(|exception| exception.path == path) {
            let message =
                format!("{lines} lines without tests, more than {LIMIT}: split it along what it owns");
            findings.push(Finding::new(RULE, path, 0, message));
        }
    }
    for exception in excepted.iter().filter(|exception| !long.contains(&exception.path.as_str())) {
        let message = "the exception in deps.toml is no longer needed: remove it";
        findings.push(Finding::new(RULE, &exception.path, 0, message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_lines(code: usize, tests: usize, excepted: bool, expect: usize) {
        let text =
            format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "x();\n".repeat(code), "y();\n".repeat(tests));
        let path = "crates/a/src/b.rs";
        let exception = LongFile { path: path.to_owned() };
        let exceptions = if excepted { vec![exception] } else { Vec::new() };
        assert_eq!(check(&Tree::of(&[(path, &text)]), &exceptions).len(), expect);
    }

    #[test]
    fn code_is_limited_and_tests_are_not() {
        check_lines(800, 2000, false, 0);
        check_lines(801, 0, false, 1);
    }

    #[test]
    fn exceptions_hold_as_long_as_they_are_needed() {
        check_lines(801, 0, true, 0);
        check_lines(800, 0, true, 1);
    }
}

//! There is one test command, and the README, `.ci/run` and this crate agree on it.
//!
//! Who follows the README must get the run that continuous integration gets.

use super::{Finding, Tree};
use crate::ci;

const RULE: &str = "commands";

/// Checks that the files that name the test command name the same one.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let command = format!("cargo {}", ci::TEST.join(" "));
    let mut findings = Vec::new();
    for path in ["README.md", ".ci/run"] {
        let message = match tree.get(path) {
            Some(text) if text.contains(&command) => continue,
            Some(_) => format!("does not have the test command `{command}`"),
            None => format!("is missing; it has to name the test command `{command}`"),
        };
        findings.push(Finding::new(RULE, path, 0, message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_name_the_command() {
        let command = format!("cargo {}", ci::TEST.join(" "));
        let good = Tree::of(&[("README.md", command.as_str()), (".ci/run", command.as_str())]);
        assert_eq!(check(&good), []);
        let bad = Tree::of(&[("README.md", "cargo test --release")]);
        assert_eq!(check(&bad).len(), 2);
    }
}

//! Nothing is left for later: no notes to self, no unwritten code, no test that is switched off.
//!
//! What is not done yet belongs into an issue, where somebody will read it.

use super::rust::{Source, words};
use super::{Finding, Tree};

const RULE: &str = "leftover";

/// Checks every text file for notes, and every Rust file for code that is switched off.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        for note in notes() {
            let message = format!("`{note}`: do it, or write an issue");
            let lines = text.lines().enumerate().filter(|(_, line)| words(line, note).next().is_some());
            findings.extend(lines.map(|(index, _)| Finding::new(RULE, path, index + 1, message.clone())));
        }
    }
    for (path, text) in tree.rust_files() {
        let source = Source::scan(path, text);
        for name in ["todo", "unimplemented"] {
            let calls = source.words(name).filter(|at| source.code()[at + name.len()..].starts_with('!'));
            let message = format!("`{name}!` is a panic: write the code");
            findings.extend(calls.map(|at| Finding::new(RULE, path, source.line_of(at), message.clone())));
        }
        for at in source.words("ignore").filter(|&at| source.code()[..at].trim_end().ends_with("#[")) {
            findings.push(Finding::new(
                RULE,
                path,
                source.line_of(at),
                "an ignored test tests nothing: mend it",
            ));
        }
    }
    findings
}

/// Put together here, so that this file does not find itself.
fn notes() -> [&'static str; 2] {
    [concat!("TO", "DO"), concat!("FIX", "ME")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_file(path: &str, text: &str, expect: &[usize]) {
        let lines: Vec<_> = check(&Tree::of(&[(path, text)])).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, expect, "{text}");
    }

    #[test]
    fn notes_are_found_in_any_text() {
        let [todo, fixme] = notes();
        check_file("README.md", &format!("a\n{todo}: b\n"), &[2]);
        check_file("crates/a/src/b.rs", &format!("// {fixme} later\n"), &[1]);
        check_file("x.sh", &format!("mktemp -t {todo}S.{fixme}_\n"), &[]);
    }

    #[test]
    fn code_that_is_switched_off_is_found() {
        let path = "crates/a/src/b.rs";
        check_file(path, "fn f() {\n    todo!()\n}\n", &[2]);
        check_file(path, "#[test]\n#[ignore]\nfn f() {}\n", &[2]);
        check_file(path, "#[ignore = \"slow\"]\nfn f() {}\n", &[1]);
        check_file(path, "// todo! and #[ignore]\nlet x = ignore(todo);\n", &[]);
    }
}

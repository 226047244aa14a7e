//! `unsafe` stays in the sandbox crate, and each block there says why it is sound.
//!
//! Every other crate forbids it at its root. `forbid`, not `deny`: a `deny` is lifted by the next hurried `allow`.

use super::rust::Source;
use super::{Finding, Tree, crate_of};

const RULE: &str = "unsafe";
/// The one crate that talks to the kernel where no safe wrapper exists.
const HOME: &str = "rekindle-sandbox";
const FORBID: &str = "#![forbid(unsafe_code)]";

/// Checks every Rust file of the workspace.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust_files() {
        let source = Source::scan(path, text);
        if crate_of(path) == Some(HOME) {
            findings.extend(uncommented_blocks(path, text, &source));
            continue;
        }
        for position in source.words("unsafe") {
            let message =
                format!("`unsafe` belongs in {HOME} only: use a safe wrapper, or move the code there");
            findings.push(Finding::new(RULE, path, source.line_of(position), message));
        }
        let is_root = path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs");
        if is_root && !source.code().contains(FORBID) {
            findings.push(Finding::new(RULE, path, 0, format!("the crate does not say `{FORBID}`")));
        }
    }
    findings
}

fn uncommented_blocks(path: &str, text: &str, source: &Source) -> Vec<Finding> {
    let lines: Vec<&str> = text.lines().collect();
    let opens_block =
        |position: &usize| source.code()[position + "unsafe".len()..].trim_start().starts_with('{');
    source
        .words("unsafe")
        .filter(opens_block)
        .map(|position| source.line_of(position))
        .filter(|&line| !is_justified(&lines, line))
        .map(|line| {
            Finding::new(RULE, path, line, "write a `// SAFETY:` comment above the block: why is it sound?")
        })
        .collect()
}

/// Whether a comment right above the statement that holds the block on `line` says why it is sound.
///
/// The statement may begin some lines above the block; it ends the search at the statement before it.
fn is_justified(lines: &[&str], line: usize) -> bool {
    let above = lines[..line - 1].iter().rev().map(|line| line.trim());
    let mut in_comment = false;
    for text in above {
        if text.starts_with("//") {
            in_comment = true;
            if text.contains("SAFETY:") {
                return true;
            }
        } else if in_comment || text.is_empty() || text.ends_with([';', '}']) {
            break;
        }
    }
    lines[line - 1].contains("SAFETY:")
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
    fn it_is_forbidden_elsewhere() {
        let forbid = "#![forbid(unsafe_code)]\n";
        check_file("crates/a/src/lib.rs", forbid, &[]);
        check_file("crates/a/src/lib.rs", "//! Says #![forbid(unsafe_code)] in prose.\n", &[0]);
        check_file("crates/a/src/main.rs", "fn main() {}\n", &[0]);
        check_file("crates/a/src/b.rs", "// unsafe\nfn f() { unsafe { g() } }\n", &[2]);
        check_file("crates/a/tests/it/main.rs", "unsafe fn f() {}\n", &[1]);
    }

    #[test]
    fn blocks_of_the_sandbox_say_why() {
        let path = "crates/rekindle-sandbox/src/lib.rs";
        check_file(path, "fn f() {\n    // SAFETY: no pointer.\n    unsafe { g() }\n}\n", &[]);
        check_file(
            path,
            "    // SAFETY: no pointer,\n    // and no lock.\n    let x =\n        unsafe { g() };\n",
            &[],
        );
        check_file(path, "fn f() {\n    unsafe { g() }\n}\n", &[2]);
        check_file(path, "    // SAFETY: of the first.\n    unsafe { g() };\n    unsafe { h() };\n", &[3]);
        check_file(path, "    // Not a reason.\n    unsafe { g() }\n", &[2]);
        check_file(path, "unsafe extern \"C\" fn f() {}\n", &[]);
    }
}

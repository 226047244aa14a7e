//! The pure crates compute: they open no file and no socket, start no process or thread, read no clock and no
//! environment. That is what lets the same input give the same output, and a test hand them any input.
//!
//! Processes are a second wall: only the crates that `deps.toml` lists start any, tests aside. A build step that
//! runs outside the sandbox would read the host, and no key would know.
//!
//! The check resolves the paths and `use` trees that begin with `std`, so `use std::{fs, io}` does not slip by. It
//! does not see a method such as `Path::exists`; the crates' owners do.

use super::rust::Source;
use super::{Finding, Tree, crate_of};

const RULE: &str = "purity";
const BANNED: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::thread",
    "std::os::unix::net",
    "std::os::unix::fs",
    "std::time::SystemTime",
    "std::time::Instant",
];

/// What starts a process. The module by itself counts: `process::Command` would follow.
const PROCESS: &[&str] = &["std::process::Command", "std::process::self"];

/// Checks the Rust files of the pure crates, and of those that start no process, without their tests.
pub fn check(tree: &Tree, pure_crates: &[String], process_crates: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust_files() {
        let is_in =
            |crates: &[String]| crate_of(path).is_some_and(|name| crates.iter().any(|other| other == name));
        let (wall, advice, is_banned): (_, _, fn(&str) -> Option<&'static str>) = if is_in(pure_crates) {
            ("a pure crate", "take the value as an argument", impure)
        } else if is_in(process_crates) {
            continue;
        } else {
            (
                "a crate that starts no process",
                "run it in the sandbox, or have the caller do it",
                starts_process,
            )
        };
        let source = Source::scan(path, text);
        for start in source.words("std") {
            let line = source.line_of(start);
            if source.is_test_line(line) {
                continue;
            }
            for used in paths(&source.code()[start..]) {
                if let Some(banned) = is_banned(&used) {
                    let message = format!("`{banned}` in {wall}: {advice}");
                    findings.push(Finding::new(RULE, path, line, message));
                }
            }
        }
    }
    findings
}

fn impure(used: &str) -> Option<&'static str> {
    BANNED.iter().find(|banned| is_within(used, banned)).copied()
}

fn starts_process(used: &str) -> Option<&'static str> {
    let used = if used == "std::process" { "std::process::self" } else { used };
    PROCESS.iter().find(|banned| is_within(used, banned)).copied()
}

fn is_within(used: &str, banned: &str) -> bool {
    let rest = used.strip_prefix(banned);
    // A glob over a parent brings the banned names in, too.
    let glob_over_parent =
        used.strip_suffix("::*").is_some_and(|parent| banned.starts_with(&format!("{parent}::")));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::")) || glob_over_parent
}

/// The full paths of the path or `use` tree at the beginning of `code`.
fn paths(code: &str) -> Vec<String> {
    let mut tokens = Tokens { rest: code };
    let mut paths = Vec::new();
    collect(&mut tokens, String::new(), &mut paths);
    paths
}

fn collect(tokens: &mut Tokens<'_>, mut prefix: String, paths: &mut Vec<String>) {
    loop {
        match tokens.next() {
            Some("{") => {
                collect(tokens, prefix.clone(), paths);
                while tokens.eat(",") {
                    collect(tokens, prefix.clone(), paths);
                }
                tokens.eat("}");
                return;
            }
            Some(segment) if segment != "," && segment != "}" => {
                if !prefix.is_empty() {
                    prefix.push_str("::");
                }
                prefix.push_str(segment);
            }
            _ => return,
        }
        if !tokens.eat("::") {
            // `as name` renames what the path leads to.
            if tokens.eat("as ") {
                tokens.next();
            }
            paths.push(prefix);
            return;
        }
    }
}

struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    /// An identifier or a single character. A closing brace is left for the group that it closes.
    fn next(&mut self) -> Option<&'a str> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('}') {
            return None;
        }
        let ident =
            self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let length = if ident > 0 { ident } else { self.rest.chars().next()?.len_utf8() };
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(token)
    }

    fn eat(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_code(text: &str, expect: usize) {
        let tree = Tree::of(&[("crates/pure/src/a.rs", text), ("crates/runner/src/a.rs", text)]);
        assert_eq!(check(&tree, &["pure".to_owned()], &["runner".to_owned()]).len(), expect, "{text}");
    }

    #[test]
    fn processes_start_in_listed_crates_only() {
        let check_process = |text: &str, expect: usize| {
            let tree = Tree::of(&[("crates/runner/src/a.rs", text), ("crates/other/src/a.rs", text)]);
            assert_eq!(check(&tree, &[], &["runner".to_owned()]).len(), expect, "{text}");
        };
        check_process("use std::process::Command;", 1);
        check_process("use std::process;", 1);
        check_process("use std::{fs, process::{self, ExitCode}};", 1);
        check_process("fn f() { std::process::Command::new(\"x\"); }", 1);
        check_process(
            "use std::process::ExitStatus;\nuse std::{env, fs};\nfn f() { std::process::id(); }",
            0,
        );
        check_process("#[cfg(test)]\nmod tests {\n    use std::process::Command;\n}\n", 0);
    }

    #[test]
    fn use_trees_are_flattened() {
        let used = paths("std::{fs, io::{self, Read as _}, time::{Duration, SystemTime}, env::var};");
        let expect = [
            "std::fs",
            "std::io::self",
            "std::io::Read",
            "std::time::Duration",
            "std::time::SystemTime",
            "std::env::var",
        ];
        assert_eq!(used, expect);
        assert_eq!(paths("std::fs::read(path)"), ["std::fs::read"]);
    }

    #[test]
    fn effects_are_found_outside_tests() {
        check_code("use std::fs;", 1);
        check_code("use std::{\n    collections::BTreeMap,\n    env,\n};", 1);
        check_code("fn f() { std::process::exit(1) }", 1);
        check_code("use std::time::*;", 1);
        check_code("use std::time::{Duration, SystemTime};", 1);
        check_code("use std::time::Duration;\nuse std::fsx;\n// std::fs\nconst X: &str = \"std::fs\";", 0);
        check_code("#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n", 0);
    }
}

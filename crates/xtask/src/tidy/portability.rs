//! Nothing in the tree depends on the machine it was written on, or on where packages are fetched from there.
//!
//! A path into a home or a work directory works once. A registry's host name in a script overrides the mirror that
//! the machine was set up with; only lock files, which the package manager writes, name one.

use super::{Finding, Tree};

const RULE: &str = "portability";

/// What Cargo writes into lock files for its default registry, wherever a crate is fetched from: names to compare
/// with, not places to go to.
fn registry_identifiers() -> [String; 2] {
    let host = ["crates", "io"].join(".");
    [format!("registry+https://github.com/rust-lang/{host}-index"), format!("sparse+https://index.{host}")]
}

/// Checks every text file.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let identifiers = registry_identifiers();
    let hosts = hosts();
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        let is_lock_file = path == "Cargo.lock" || path.ends_with("/Cargo.lock");
        for (index, line) in text.lines().enumerate() {
            for dir in private_dirs() {
                if mentions_path(line, dir) {
                    let message = format!("`{dir}…` is a path of one machine");
                    findings.push(Finding::new(RULE, path, index + 1, message));
                }
            }
            if is_lock_file {
                continue;
            }
            let line =
                identifiers.iter().fold(line.to_owned(), |line, identifier| line.replace(identifier, ""));
            for host in hosts.iter().filter(|host| line.contains(host.as_str())) {
                let message =
                    format!("`{host}` is a registry's host: leave it to the machine's own settings");
                findings.push(Finding::new(RULE, path, index + 1, message));
            }
        }
    }
    findings
}

/// Whether the line has the directory as the beginning of a path, not in the middle of a longer one.
fn mentions_path(line: &str, dir: &str) -> bool {
    line.match_indices(dir).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.}>)*".contains(c))
    })
}

/// Put together here, like the hosts, so that this file does not find itself.
fn private_dirs() -> [&'static str; 3] {
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")]
}

fn hosts() -> Vec<String> {
    const NAMES: &[&[&str]] = &[
        &["crates", "io"],
        &["deb", "debian", "org"],
        &["security", "debian", "org"],
        &["snapshot", "debian", "org"],
        &["archive", "ubuntu", "com"],
        &["pypi", "org"],
        &["pythonhosted", "org"],
        &["registry", "npmjs", "org"],
        &["registry", "yarnpkg", "com"],
        &["proxy", "golang", "org"],
        &["rubygems", "org"],
    ];
    NAMES.iter().map(|parts| parts.join(".")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_line(path: &str, line: &str, expect: usize) {
        assert_eq!(check(&Tree::of(&[(path, line)])).len(), expect, "{path}: {line}");
    }

    #[test]
    fn private_directories_are_found_where_a_path_begins() {
        let [work, root, home] = private_dirs();
        check_line("a.sh", &format!("cd {work}x"), 1);
        check_line("a.sh", &format!("cd \"{root}x\""), 1);
        check_line("a.md", &format!("in `{home}x`"), 1);
        check_line("a.sh", &format!("cd $HOME{work}x gcroots{root}x {{}}{root}"), 0);
    }

    #[test]
    fn registries_are_named_in_lock_files_only() {
        for host in hosts() {
            check_line("a.sh", &format!("curl https://{host}/x"), 1);
            check_line("b/Cargo.lock", &format!("source = \"https://{host}\""), 0);
        }
        for identifier in registry_identifiers() {
            check_line("crates/a/src/b.rs", &identifier, 0);
        }
    }
}

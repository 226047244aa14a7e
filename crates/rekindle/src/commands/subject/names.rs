//! Names of files: in the tree, as a person gives them, and as a person reads them.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rekindle_plan::explain::Lineage;
use rekindle_plan::quote::name;

use super::HASH;

/// The directories in which sources lie, the usual one first.
pub(super) fn roots(lineage: &Lineage<'_>) -> Vec<Vec<u8>> {
    let mut roots = vec![b"build/source".to_vec()];
    for path in lineage.all_runs().flat_map(|at| lineage.trace(at).paths().iter()) {
        let Some(rest) = path.strip_prefix(b"build/") else { continue };
        let Some(end) = rest.iter().position(|byte| *byte == b'/') else { continue };
        let root = &path[..b"build/".len() + end];
        if !roots.iter().any(|known| known == root) {
            roots.push(root.to_vec());
        }
    }
    roots
}

/// Where a file of an output lay when it was installed: under another hash.
pub(super) fn in_output(lineage: &Lineage<'_>, output: &str, rest: &Path) -> Vec<Vec<u8>> {
    let end = [output.as_bytes(), b"/", rest.as_os_str().as_bytes()].concat();
    let is_it = |path: &&[u8]| {
        path.strip_prefix(b"store/").and_then(|path| path.get(HASH..)).is_some_and(|path| path == end)
    };
    let paths = lineage.all_runs().rev().flat_map(|at| lineage.trace(at).paths().iter());
    let mut found: Vec<Vec<u8>> = paths.filter(is_it).map(<[u8]>::to_vec).collect();
    found.dedup();
    if found.is_empty() {
        // There is none; it serves to find names that are like it.
        found.push([b"store/", &end[..]].concat());
    }
    found
}

/// A path without `.` and `..`, by its text alone.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => _ = normal.pop(),
            other => normal.push(other),
        }
    }
    normal
}

/// A path in the tree as a person reads it: relative to the sources, or as it was inside.
pub(in crate::commands) fn shown(path: &[u8]) -> String {
    if path == b"build/source" {
        return ".".to_owned();
    }
    match (path.strip_prefix(b"build/source/"), path.strip_prefix(b"store/")) {
        (Some(rest), _) => name(rest),
        (_, Some(rest)) if rest.len() > HASH => name(&rest[HASH..]),
        _ if path.starts_with(b"/") => name(path),
        _ => name(&[b"/", path].concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_as_people_name_them() {
        let check = |path: &str, expected: &str| assert_eq!(shown(path.as_bytes()), expected);
        check("build/source/src/a.o", "src/a.o");
        check("build/source", ".");
        check("build/hello-2.10/a.o", "/build/hello-2.10/a.o");
        check("tmp/x", "/tmp/x");
        check("store/0c3z9kq4wvj5h8ya1xlrmnb7dfgps2i6-hello/bin/hello", "hello/bin/hello");
        check("/usr/include/stdio.h", "/usr/include/stdio.h");
        check("build/source/\u{1b}[31mred", r#""\x1b[31mred""#);
        check("tmp/new\nline", r#""/tmp/new\nline""#);
    }

    #[test]
    fn paths_lose_their_dots() {
        let check = |path: &str, expected: &str| assert_eq!(normal(Path::new(path)), Path::new(expected));
        check("./src/../a.c", "a.c");
        check("/build/./source//x", "/build/source/x");
        check("../x", "x");
    }
}

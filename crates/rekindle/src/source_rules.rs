//! Which files of a directory are a package's sources.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use rekindle_engine::SourceRules;
use rekindle_units::manifest::{BuildSystem, FILE_NAME};

use crate::project::Member;

/// The rules for the source directory of a member.
///
/// Left out beside what the manifest and `.gitignore` say: the manifest itself, which says how and not what, and Cargo's
/// own build directory. They would make every edit of the manifest an edit of the sources, or each build of Cargo's.
pub(crate) fn of(member: &Member, source: &Path) -> SourceRules {
    let rules = &member.package.rules;
    let mut exclude = rules.exclude.clone();
    if fs::canonicalize(source).is_ok_and(|source| source == member.dir) {
        exclude.push(format!("/{FILE_NAME}"));
    }
    let target = source.join("target");
    if member.package.build_system == Some(BuildSystem::Cargo) && target.join("CACHEDIR.TAG").is_file() {
        exclude.push("/target/".to_owned());
    }
    SourceRules { gitignore: true, exclude, include: rules.include.clone() }
}

/// The name of a single file in the store, as near to its own as possible.
pub(crate) fn store_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(OsStr::new("source")).to_string_lossy();
    let fit = |c: char| if c.is_ascii_alphanumeric() || "+-._?=".contains(c) { c } else { '-' };
    let name: String = name.trim_start_matches('.').chars().map(fit).take(180).collect();
    if name.is_empty() { "source".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use rekindle_units::manifest::{Package, PackageName};

    use super::*;

    fn member(dir: &Path, build_system: BuildSystem) -> Member {
        let package = Package::new(PackageName::new("x").expect("a name"), build_system);
        Member { dir: dir.to_owned(), package, uses: Vec::new(), lock: None }
    }

    #[test]
    fn what_says_how_and_what_cargo_leaves_is_no_source() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dir = dir.path().canonicalize().expect("there");
        fs::create_dir_all(dir.join("target")).expect("made");
        let rules = of(&member(&dir, BuildSystem::Cargo), &dir);
        assert_eq!(rules.exclude, ["/rekindle.toml"]);
        fs::write(dir.join("target/CACHEDIR.TAG"), "").expect("written");
        let rules = of(&member(&dir, BuildSystem::Cargo), &dir);
        assert_eq!(rules.exclude, ["/rekindle.toml", "/target/"]);
        let rules = of(&member(&dir, BuildSystem::Make), &dir);
        assert_eq!(rules.exclude, ["/rekindle.toml"]);
        let rules = of(&member(&dir.join("s"), BuildSystem::Make), &dir.join("target"));
        assert!(rules.exclude.is_empty() && rules.gitignore);
    }

    #[test]
    fn files_keep_their_names_where_the_store_allows() {
        let check = |path: &str, expected: &str| assert_eq!(store_name(Path::new(path)), expected);
        check("/a/zlib-1.3.tar.gz", "zlib-1.3.tar.gz");
        check("/a/.hidden file", "hidden-file");
        check("/a/ü", "-");
        check("/", "source");
        check("/a/...", "source");
        assert_eq!(store_name(Path::new(&"x".repeat(300))).len(), 180);
    }
}

//! What a user names: a directory of a package, or something in the store.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rekindle_nix::{StoreDir, StorePath};
use rekindle_store::Store;

use crate::cli_error::CliError;

/// What can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A directory with a package in it.
    Package(PathBuf),
    /// A derivation that is in the store.
    Derivation(StorePath),
}

impl Target {
    /// Reads an argument. `root` is that of the store.
    pub(crate) fn parse(argument: &OsStr, root: &Path) -> Result<Target, CliError> {
        let path = Path::new(argument);
        if path.extension() == Some(OsStr::new("drv")) {
            return match store_path(path, root) {
                Some((drv, rest)) if drv.is_derivation() && rest.as_os_str().is_empty() => {
                    Ok(Target::Derivation(drv))
                }
                _ => Err(CliError::user(format!("{} is not a derivation in the store", path.display()))
                    .hint(format!("the store is {}; --store names another one", root.display()))),
            };
        }
        let metadata = fs::metadata(path).map_err(|error| CliError::io("build", path, &error))?;
        if metadata.is_dir() {
            return Ok(Target::Package(path.to_owned()));
        }
        if path.file_name() == Some(OsStr::new(rekindle_units::manifest::FILE_NAME)) {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            return Ok(Target::Package(parent.unwrap_or(Path::new(".")).to_owned()));
        }
        Err(CliError::user(format!("{} is neither a directory nor a derivation", path.display()))
            .hint("a tarball is built with a rekindle.toml beside it that has it as its source"))
    }

    /// The directory, if it is one.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        match self {
            Target::Package(dir) => Some(dir.clone()),
            Target::Derivation(_) => None,
        }
    }

    /// The derivation, if it is one.
    pub(crate) fn derivation(&self) -> Option<StorePath> {
        match self {
            Target::Package(_) => None,
            Target::Derivation(drv) => Some(drv.clone()),
        }
    }
}

/// The store path that `path` names, and what follows it. `path` is logical (`/nix/store/…`), physical, the base name
/// of a store path, or leads to one of these by links.
pub(crate) fn resolve(path: &Path, store: &Store) -> Result<(StorePath, PathBuf), CliError> {
    let mut current = path.to_owned();
    // A chain of links ends in the store, in something else, or nowhere.
    for _ in 0..40 {
        if let Some(found) = store_path(&current, store.root()) {
            return Ok(found);
        }
        match fs::read_link(&current) {
            Ok(target) => current = current.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => break,
        }
    }
    if let Ok(real) = fs::canonicalize(path)
        && let Some(found) = store_path(&real, store.root())
    {
        return Ok(found);
    }
    Err(CliError::user(format!("{} is not in the store {}", path.display(), store.root().display())))
}

fn store_path(path: &Path, root: &Path) -> Option<(StorePath, PathBuf)> {
    let dir = StoreDir::default();
    let bytes = path.as_os_str().as_bytes();
    if let Ok((found, rest)) = dir.parse_prefix(bytes) {
        return Some((found, relative(rest)));
    }
    if let Ok(inside) = path.strip_prefix(root)
        && let Ok((found, rest)) = dir.parse_prefix(&[b"/", inside.as_os_str().as_bytes()].concat())
    {
        return Some((found, relative(rest)));
    }
    match StorePath::from_base_name(bytes) {
        Ok(found) if !path.exists() => Some((found, PathBuf::new())),
        _ => None,
    }
}

fn relative(rest: &[u8]) -> PathBuf {
    let start = rest.iter().position(|byte| *byte != b'/').unwrap_or(rest.len());
    PathBuf::from(OsStr::from_bytes(&rest[start..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "0c3z9kq4wvj5h8ya1xlrmnb7dfgps2i6-hello";

    #[test]
    fn store_paths_have_several_names() {
        let root = Path::new("/srv/me/store");
        let check = |path: String, rest: Option<&str>| {
            let found = store_path(Path::new(&path), root);
            assert_eq!(found.as_ref().map(|(path, _)| path.base_name()), rest.map(|_| HELLO), "{path}");
            assert_eq!(found.map(|(_, rest)| rest), rest.map(PathBuf::from), "{path}");
        };
        check(format!("/nix/store/{HELLO}"), Some(""));
        check(format!("/nix/store/{HELLO}/bin/hello"), Some("bin/hello"));
        check(format!("/srv/me/store/nix/store/{HELLO}/"), Some(""));
        check(HELLO.to_owned(), Some(""));
        check(format!("/srv/you/store/nix/store/{HELLO}"), None);
        check("/nix/store".to_owned(), None);
        check("hello".to_owned(), None);
    }

    #[test]
    fn targets_are_directories_or_derivations() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let manifest = dir.path().join("rekindle.toml");
        fs::write(&manifest, "").expect("written");
        let parse = |path: &Path| Target::parse(path.as_os_str(), Path::new("/s"));
        assert_eq!(parse(dir.path()).expect("a target"), Target::Package(dir.path().to_owned()));
        assert_eq!(parse(&manifest).expect("a target"), Target::Package(dir.path().to_owned()));
        let drv = format!("/nix/store/{HELLO}.drv");
        assert!(matches!(parse(Path::new(&drv)), Ok(Target::Derivation(_))));
        for wrong in ["x.drv", "/nonexistent", "/etc/passwd", &format!("{drv}/x")] {
            assert!(parse(Path::new(wrong)).is_err(), "{wrong}");
        }
    }
}

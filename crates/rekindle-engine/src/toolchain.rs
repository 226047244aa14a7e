//! The host's toolchain: what of the host a step may see, and what identifies it.
//!
//! Without Nix the compiler and the system headers are the host's. They are visible read-only, and an identity of
//! them is written into each derivation, so that another compiler makes another output path. The identity is the
//! list of installed packages with their versions where a package manager keeps one; elsewhere it is the names,
//! sizes and times of what lies in the directories of programs, libraries and headers. What was installed by hand below
//! `/usr/local`, and the choice of alternatives, count by their listing in any case. It is coarse: any upgraded package
//! changes it. It errs on the side of building again, and is only what a package begins with: [`crate::host`].

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rekindle_nix::Hash;

/// The host paths that every step with a host toolchain sees, where they exist.
const VISIBLE: &[&str] = &[
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/sbin",
    "/usr",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
];

/// Where package managers keep the list of what is installed.
const PACKAGE_LISTS: &[&str] = &["/var/lib/dpkg/status", "/lib/apk/db/installed"];

/// Directories whose entries stand for the toolchain where there is no package list.
const LISTED: &[&str] = &["/usr/bin", "/usr/lib", "/usr/lib64", "/usr/include", "/lib", "/bin"];

/// What no package manager keeps a list of: what was installed by hand, and which of several programs has a name.
const UNLISTED: &[&str] = &[
    "/etc/alternatives",
    "/etc/ld.so.conf.d",
    "/usr/local/bin",
    "/usr/local/include",
    "/usr/local/lib",
    "/usr/local/sbin",
];

const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// Where an extra path has its programs.
pub fn programs_in(extra: &Path) -> PathBuf {
    let programs = extra.join("bin");
    if programs.is_dir() { programs } else { extra.to_owned() }
}

/// What of the host a step may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// Files and directories of the host, visible read-only at the same path.
    pub paths: Vec<PathBuf>,
    /// `host-` and a hash in base 32: what a derivation says of it. A package may keep one for longer than `host` stays
    /// the same.
    pub identity: String,
    /// The same of all that the host has. Equal where the toolchain is the same.
    pub host: String,
    /// The package, with its platform, of which builds say that `identity` names this; nothing as long as nobody asked.
    pub(crate) package: Option<(String, String)>,
    /// Why a package does not keep the identity that it had, in a clause; nothing if it does, or had none.
    pub since: Option<String>,
    /// The `PATH` with which a build starts, without the extra paths.
    pub search_path: String,
    /// The directories of programs, those of the extra paths included.
    pub programs: Vec<PathBuf>,
}

impl Toolchain {
    /// The host's toolchain, with `extra` paths that the package asks for (a compiler in `/opt`, say). An extra
    /// path is identified by its own location, and by the names, sizes and times of its first two levels.
    ///
    /// # Errors
    /// An extra path that does not exist or cannot be read, or a package list that cannot be read.
    pub fn host(extra: &[PathBuf]) -> io::Result<Toolchain> {
        let mut paths: Vec<PathBuf> =
            VISIBLE.iter().map(PathBuf::from).filter(|path| path.exists()).collect();
        let mut identity = b"rekindle host toolchain 2\n".to_vec();
        let lists: Vec<_> = PACKAGE_LISTS.iter().map(Path::new).filter(|list| list.exists()).collect();
        for list in &lists {
            identity.extend(installed_packages(&fs::read(list).map_err(|error| at(list, &error))?));
        }
        if lists.is_empty() {
            for directory in LISTED.iter().map(Path::new).filter(|directory| directory.is_dir()) {
                identity.extend(listing(directory, 1)?);
            }
        }
        for directory in UNLISTED.iter().map(Path::new).filter(|directory| directory.is_dir()) {
            identity.extend(listing(directory, 2)?);
        }
        for path in extra {
            identity.extend(listing(path, 2)?);
            if !paths.iter().any(|visible| path.starts_with(visible)) {
                paths.push(path.clone());
            }
        }
        let programs = extra.iter().map(|path| programs_in(path)).collect::<Vec<_>>();
        let programs = programs.into_iter().chain(SEARCH_PATH.split(':').map(PathBuf::from)).collect();
        let digest = Hash::sha256(&identity).to_nix32();
        let host = format!("host-{}", &digest[..32]);
        Ok(Toolchain {
            paths,
            identity: host.clone(),
            host,
            since: None,
            package: None,
            search_path: SEARCH_PATH.to_owned(),
            programs,
        })
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
}

/// Name, version and architecture of each installed package, sorted, from a `dpkg` status file or an `apk` one.
fn installed_packages(status: &[u8]) -> Vec<u8> {
    const FIELDS: &[&[u8]] =
        &[b"Package: ", b"Version: ", b"Architecture: ", b"Status: ", b"P:", b"V:", b"A:"];
    let mut packages = BTreeSet::new();
    let mut current: Vec<u8> = Vec::new();
    for line in status.split(|byte| *byte == b'\n').chain([b"".as_slice()]) {
        if line.is_empty() {
            packages.insert(std::mem::take(&mut current));
        } else if FIELDS.iter().any(|field| line.starts_with(field)) {
            current.extend(line);
            current.push(b'\n');
        }
    }
    packages.into_iter().flatten().collect()
}

/// Names, kinds, sizes and times of what lies in `path`, `depth` levels deep.
fn listing(path: &Path, depth: u32) -> io::Result<Vec<u8>> {
    let metadata = fs::symlink_metadata(path).map_err(|error| at(path, &error))?;
    let mut lines = path.as_os_str().as_bytes().to_vec();
    let (mode, size) = (metadata.mode(), metadata.size());
    lines.extend(format!("\0{mode:o} {size} {}.{}\n", metadata.mtime(), metadata.mtime_nsec()).bytes());
    if metadata.is_dir() && depth > 0 {
        let entries = fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
        let mut entries: Vec<PathBuf> = entries.map_err(|error| at(path, &error))?;
        entries.sort();
        for entry in entries {
            lines.extend(listing(&entry, depth - 1)?);
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_with_their_versions_in_any_order() {
        let one = b"Package: gcc\nStatus: install ok installed\nDescription: a\nVersion: 12\n\nPackage: a\nVersion: 1\n";
        let two = b"Package: a\nVersion: 1\n\nPackage: gcc\nStatus: install ok installed\nVersion: 12\n\n";
        assert_eq!(installed_packages(one), installed_packages(two));
        let other = b"Package: a\nVersion: 1\n\nPackage: gcc\nStatus: install ok installed\nVersion: 13\n\n";
        assert_ne!(installed_packages(one), installed_packages(other));
    }

    #[test]
    fn an_extra_path_is_visible_and_changes_the_identity() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let plain = Toolchain::host(&[]).expect("a host");
        let extra = Toolchain::host(&[dir.path().to_owned()]).expect("a host");
        assert_ne!(plain.identity, extra.identity);
        assert!(extra.paths.contains(&dir.path().to_owned()));
        fs::write(dir.path().join("cc"), "x").expect("written");
        assert_ne!(Toolchain::host(&[dir.path().to_owned()]).expect("a host").identity, extra.identity);
    }

    #[test]
    fn an_extra_path_that_is_missing_is_named() {
        let error = Toolchain::host(&[PathBuf::from("/nonexistent/cc")]).expect_err("missing");
        assert!(error.to_string().contains("/nonexistent/cc"), "{error}");
    }
}

//! `Cargo.lock`: which crates a Cargo project needs, and a project that fetches just them.
//!
//! Cargo itself is the only program that knows how to fetch from the user's registries (mirrors, credentials,
//! index protocols), so it fetches. But it would read the project's own configuration on the way, and a project
//! that one builds may be hostile: [`scratch_project`] makes an empty package that needs the same crates, for
//! `cargo fetch` in a directory of the caller's own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;
use std::path::Path;

use rekindle_nix::{Hash, HashAlgo};
use serde::Deserialize;

use crate::Error;
use crate::error::Problem;
use crate::manifest::position;

/// What a `Cargo.lock` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    version: u32,
    crates: Vec<Crate>,
    local: Vec<String>,
}

/// A crate of a registry. Name and version are checked: they are safe in file names and in TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crate {
    name: String,
    version: String,
    registry: Registry,
    checksum: Hash,
    dependencies: Vec<Dependency>,
}

/// A registry as `Cargo.lock` names it, `registry+https://…` or `sparse+https://…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Registry(String);

/// The text of the two files of a package that depends on exactly the crates of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScratchProject {
    /// `Cargo.toml`.
    pub manifest: String,
    /// `Cargo.lock`.
    pub lock: String,
}

/// An entry of `dependencies`: a name, and as much more as it takes to be unambiguous.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dependency {
    name: String,
    version: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct LockFile {
    version: Option<u32>,
    root: Option<LockPackage>,
    #[serde(default)]
    package: Vec<LockPackage>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct LockPackage {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// The newest format of `Cargo.lock` that is known here.
const NEWEST: u32 = 4;

impl Lock {
    /// Parses a `Cargo.lock` of format 1 to 4. `origin` is only for messages.
    ///
    /// # Errors
    /// Not a lock file, a newer format, a dependency on git (not supported yet), a crate without checksum.
    pub fn parse(origin: &Path, text: &str) -> Result<Self, Error> {
        let file: LockFile = toml::from_str(text).map_err(|error| {
            let (line, column) = position(text, error.span().map_or(0, |span| span.start));
            let message = error.message().lines().collect::<Vec<_>>().join("; ");
            Problem::Lock { place: format!("{}:{line}:{column}", origin.display()), message }
        })?;
        let refuse = |message: String| Problem::Lock { place: origin.display().to_string(), message };
        // Formats 1 and 2 do not say their number; what they differ in is read the same way here.
        let version = file.version.unwrap_or(if file.metadata.is_empty() { 2 } else { 1 });
        if version > NEWEST {
            return Err(
                refuse(format!("its format {version} is newer than {NEWEST}, the newest known")).into()
            );
        }
        let mut crates = Vec::new();
        let mut local = Vec::new();
        for package in file.root.into_iter().chain(file.package) {
            let label = format!("{} {}", package.name, package.version);
            let Some(source) = &package.source else {
                local.push(package.name);
                continue;
            };
            if source.starts_with("git+") {
                let message =
                    format!("the package {label} comes from git, which is not supported yet ({source})");
                return Err(refuse(message).into());
            }
            let registry = Registry::new(source).ok_or_else(|| {
                refuse(format!(
                    "the package {label} comes from {source:?}, which is neither a registry nor git"
                ))
            })?;
            let old = format!("checksum {label} ({source})");
            let checksum = package.checksum.as_ref().or_else(|| file.metadata.get(&old));
            let Some(checksum) = checksum else {
                return Err(refuse(format!("the package {label} has no checksum")).into());
            };
            let checksum = Hash::parse_bare(HashAlgo::Sha256, checksum.as_bytes())
                .map_err(|_| refuse(format!("the checksum of {label} is not SHA-256: {checksum:?}")))?;
            if !is_crate_name(&package.name) || !is_version(&package.version) {
                return Err(refuse(format!("{label:?} is not a crate's name and version")).into());
            }
            crates.push(Crate {
                name: package.name,
                version: package.version,
                registry,
                checksum,
                dependencies: package.dependencies.iter().map(|text| Dependency::parse(text)).collect(),
            });
        }
        Ok(Self { version, crates, local })
    }

    /// Returns the number of the file's format, 1 to 4.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Returns the crates that come from registries, in the order of the file.
    pub fn crates(&self) -> &[Crate] {
        &self.crates
    }

    /// Returns the names of the packages that are not fetched: the workspace's own, and those in its directories.
    pub fn local(&self) -> &[String] {
        &self.local
    }
}

/// Returns a package that depends on exactly the registry crates of `lock`, at their locked versions.
///
/// No feature is on: every crate is named, so none is missing, and fewer edges are fewer reasons for Cargo to look
/// further. A crate that the project patches with a local one is the exception: Cargo may fetch the original too.
/// The caller writes both files, and an empty `lib.rs`, into an otherwise empty directory whose parents have no
/// `.cargo`, and runs `cargo fetch` there.
pub fn scratch_project(lock: &Lock) -> ScratchProject {
    let mut name = String::from("rekindle-fetch");
    while lock.crates.iter().any(|krate| krate.name == name) {
        name.push('x');
    }
    let mut manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2018\"\n\n\
         [lib]\npath = \"lib.rs\"\n\n[workspace]\n"
    );
    let mut text = format!("version = {}\n\n[[package]]\nname = \"{name}\"\nversion = \"0.0.0\"\n", {
        // Formats before 3 write the same entries; Cargo reads them all and writes what it likes.
        lock.version.max(3)
    });
    text.push_str("dependencies = [\n");
    for (index, krate) in lock.crates.iter().enumerate() {
        let Crate { name, version, registry, .. } = krate;
        // Cargo warns of build metadata in a requirement, because it does not look at it.
        let required = version.split('+').next().unwrap_or_default();
        let _ = write!(
            manifest,
            "\n[dependencies.crate-{index}]\npackage = \"{name}\"\nversion = \"={required}\"\n\
             default-features = false\n"
        );
        if !registry.is_crates_io() {
            let _ = writeln!(manifest, "registry-index = {}", quoted(registry.index()));
        }
        let _ = writeln!(text, " \"{name} {version} ({registry})\",");
    }
    text.push_str("]\n");
    let known: BTreeSet<&str> = lock.crates.iter().map(|krate| krate.name.as_str()).collect();
    for krate in &lock.crates {
        let Crate { name, version, registry, checksum, dependencies } = krate;
        let _ = write!(
            text,
            "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = {}\nchecksum = \"{}\"\n",
            quoted(registry.as_str()),
            checksum.to_hex(),
        );
        let kept: Vec<_> = dependencies.iter().filter(|used| known.contains(used.name.as_str())).collect();
        if !kept.is_empty() {
            text.push_str("dependencies = [\n");
            for used in kept {
                let _ = writeln!(text, " {},", quoted(&used.to_string()));
            }
            text.push_str("]\n");
        }
    }
    ScratchProject { manifest, lock: text }
}

impl Crate {
    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns the SHA-256 of the `.crate` file.
    pub fn checksum(&self) -> &Hash {
        &self.checksum
    }

    /// Returns `name-version.crate`, the name in the store and in Cargo's own cache.
    pub fn file_name(&self) -> String {
        format!("{}-{}.crate", self.name, self.version)
    }
}

impl Registry {
    fn new(source: &str) -> Option<Self> {
        let url = source.strip_prefix("registry+").or_else(|| source.strip_prefix("sparse+"))?;
        let clean = url.contains("://") && url.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '\\');
        clean.then(|| Self(source.to_owned()))
    }

    /// Returns the source as `Cargo.lock` writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether it is the public registry, which Cargo's configuration calls `crates-io`.
    pub fn is_crates_io(&self) -> bool {
        let url = self.0.trim_end_matches('/');
        url == "registry+https://github.com/rust-lang/crates.io-index"
            || url == "sparse+https://index.crates.io"
    }

    /// Returns the index URL as Cargo's configuration wants it: with `sparse+`, but without `registry+`.
    pub fn index(&self) -> &str {
        self.0.strip_prefix("registry+").unwrap_or(&self.0)
    }

    /// Returns the part of a Cargo configuration that has this registry replaced by the source `other`.
    pub(crate) fn replaced_by(&self, other: &str) -> String {
        if self.is_crates_io() {
            return format!("[source.crates-io]\nreplace-with = \"{other}\"\n\n");
        }
        let index = quoted(self.index());
        format!("[source.{other}-from]\nregistry = {index}\nreplace-with = \"{other}\"\n\n")
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Dependency {
    /// `name`, `name version` or `name version (source)`.
    fn parse(text: &str) -> Self {
        let mut parts = text.splitn(3, ' ');
        let name = parts.next().unwrap_or_default().to_owned();
        let version = parts.next().map(str::to_owned);
        let source = parts.next().map(|source| source.trim_matches(['(', ')']).to_owned());
        Self { name, version, source }
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(version) = &self.version {
            write!(f, " {version}")?;
        }
        if let Some(source) = &self.source {
            write!(f, " ({source})")?;
        }
        Ok(())
    }
}

fn is_crate_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn is_version(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit())
        && version.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;

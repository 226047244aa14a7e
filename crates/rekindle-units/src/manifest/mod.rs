//! `rekindle.toml`: what a package is made from, and how.
//!
//! Three layers, so that the text and the meaning can change apart from each other: `file` is the shape of the
//! text (serde, and the JSON schema comes from it), `check` turns it into the types of this module and holds
//! every rule with its message, `print` writes them back. `docs/manifest.md` is the user's page.
//!
//! Paths in a manifest are relative to the directory that holds it and stay so here: this module knows no file
//! system and does not look whether they exist.

mod check;
mod file;
mod nearest;
mod print;
mod schema;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use rekindle_nix::{OutputName, StorePath};

use crate::Error;

pub(crate) use nearest::position;
pub use schema::json_schema;

/// The file name that is looked for in a source tree.
pub const FILE_NAME: &str = "rekindle.toml";

/// A parsed `rekindle.toml`: one package or several. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    packages: BTreeMap<PackageName, Package>,
}

/// One package, as the manifest says it; everything unsaid has its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The name, part of the store path.
    pub name: PackageName,
    /// The version, part of the store path when there is one.
    pub version: Option<String>,
    /// What is unpacked.
    pub source: Source,
    /// Which files of a source directory belong to it.
    pub rules: SourceRules,
    /// Patch files in the order in which they are applied, relative to the manifest.
    pub patches: Vec<PathBuf>,
    /// How the package is built; `None` asks the caller to infer it from the source tree.
    pub build_system: Option<BuildSystem>,
    /// Output names in declared order, never empty; the first is the default one.
    pub outputs: Vec<OutputName>,
    /// What the build may use beside the toolchain.
    pub inputs: Vec<Input>,
    /// The texts and switches of the phases.
    pub phases: Phases,
    /// Further environment of the build.
    pub env: BTreeMap<String, String>,
    /// Extra arguments of the tools.
    pub flags: Flags,
    /// Where compilers and shell tools come from.
    pub toolchain: Toolchain,
    /// Whether it is built in a copy of its tree, as it does what overlayfs cannot.
    pub copy_tree: bool,
}

/// A package's name: not empty, only characters that a store path may have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(String);

/// Where the sources come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A directory or a tarball, relative to the manifest.
    Path(PathBuf),
    /// A file fetched by a fixed-output derivation.
    Fetch(Fetch),
    /// Nothing is unpacked.
    None,
}

/// A file that is fetched once and known by its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Where it is.
    pub url: String,
    /// Its SHA-256, SHA-512 or SHA-1 in any of Nix's spellings, as written.
    pub hash: String,
    /// The name in the store, by default the last part of the URL.
    pub name: Option<String>,
}

/// Which files of a source directory are taken: patterns as in `.gitignore`, relative to the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRules {
    /// When not empty, only what matches one of these.
    pub include: Vec<String>,
    /// Never what matches one of these.
    pub exclude: Vec<String>,
}

/// How a package is configured, built and installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BuildSystem {
    /// `./configure && make && make install`.
    Autotools,
    /// `make && make install` with `PREFIX` and `prefix` on the command line.
    Make,
    /// CMake with ninja.
    Cmake,
    /// CMake with make.
    CmakeMake,
    /// Meson with ninja.
    Meson,
    /// Cargo with the crates of `Cargo.lock`.
    Cargo,
    /// Only what the manifest says under `[phases]`.
    Custom,
}

/// One thing that the build may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// What it is.
    pub from: InputFrom,
    /// Which outputs of a package; empty means `dev` when there is one, else the first.
    pub outputs: Vec<OutputName>,
    /// An environment variable that holds its path.
    pub env: Option<String>,
    /// Whether those who use this package get it too.
    pub propagate: bool,
}

/// What an input is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputFrom {
    /// A path that the store already has.
    Store(StorePath),
    /// A package of the same manifest.
    Package(PackageName),
    /// A package of the manifest in another directory; `None` when that holds only one.
    Directory(PathBuf, Option<PackageName>),
    /// A file that is fetched.
    Fetch(Fetch),
}

/// A phase that a manifest can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Makes the source tree from `src`.
    Unpack,
    /// Applies `patches`.
    Patch,
    /// Prepares the tree for the build.
    Configure,
    /// Compiles.
    Build,
    /// Runs the tests in the build tree.
    Check,
    /// Fills the outputs.
    Install,
    /// Strips and arranges the outputs.
    Fixup,
    /// Runs the tests against the outputs.
    InstallCheck,
    /// Makes tarballs.
    Dist,
}

/// The texts and switches of the phases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// What the manifest says of each phase; a phase that is not here is the build system's.
    pub custom: BTreeMap<Phase, PhaseText>,
    /// Phases that do not run.
    pub skip: Vec<Phase>,
    /// Opt-in phases (check, install-check, dist) that are asked for or refused.
    pub enable: BTreeMap<Phase, bool>,
    /// Whether `autoreconf` runs before configure.
    pub autoreconf: bool,
    /// One script that takes the place of all phases.
    pub command: Option<String>,
}

/// The texts around and in one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhaseText {
    /// Takes the place of the phase.
    pub run: Option<String>,
    /// Runs at its start.
    pub pre: Option<String>,
    /// Runs at its end.
    pub post: Option<String>,
}

/// Extra arguments of the tools, one string each; `${out}` (or another output's name) stands for its path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Arguments of `./configure`.
    pub configure: Vec<String>,
    /// Arguments of every `make` and `ninja`.
    pub make: Vec<String>,
    /// Arguments of `make` and `ninja` in the build phase.
    pub build: Vec<String>,
    /// Arguments of `make` and `ninja` in the check phase.
    pub check: Vec<String>,
    /// Arguments of `make` and `ninja` in the install phase.
    pub install: Vec<String>,
    /// Arguments of `cmake`.
    pub cmake: Vec<String>,
    /// Arguments of `meson setup`.
    pub meson: Vec<String>,
    /// Arguments of `cargo build` and `cargo test`.
    pub cargo: Vec<String>,
}

/// Where compilers and shell tools come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// Which toolchain.
    pub kind: ToolchainKind,
    /// Further absolute directories of the host that the build sees and finds programs in.
    pub paths: Vec<PathBuf>,
}

/// The kinds of toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolchainKind {
    /// `/usr`, `/bin` and `/lib*` of this machine.
    Host,
}

impl Manifest {
    /// Parses the text of a manifest. `origin` is only for messages.
    pub fn parse(origin: &Path, text: &str) -> Result<Self, Error> {
        let file = file::parse(origin, text)?;
        check::manifest(origin, text, file)
    }

    /// Returns a manifest with one package.
    pub fn single(package: Package) -> Self {
        Self { packages: BTreeMap::from([(package.name.clone(), package)]) }
    }

    /// Returns the packages by name. Never empty.
    pub fn packages(&self) -> &BTreeMap<PackageName, Package> {
        &self.packages
    }

    /// Returns the only package, or `None` when there are several.
    pub fn only(&self) -> Option<&Package> {
        if self.packages.len() == 1 { self.packages.values().next() } else { None }
    }

    /// Returns the names in an order in which each comes after those that it uses, or an error with the circle.
    pub fn order(&self) -> Result<Vec<&PackageName>, Error> {
        crate::lower::order(self.packages.iter().map(|(name, package)| {
            let uses = package.inputs.iter().filter_map(|input| match &input.from {
                InputFrom::Package(used) => Some(used),
                _ => None,
            });
            (name, uses.collect())
        }))
    }

    /// Writes the manifest as TOML with comments; parsing that gives an equal manifest.
    pub fn to_toml(&self) -> String {
        print::manifest(self)
    }
}

impl Package {
    /// Returns a package that has only a name and a build system; the source is the manifest's directory.
    pub fn new(name: PackageName, build_system: BuildSystem) -> Self {
        Self {
            name,
            version: None,
            source: Source::Path(PathBuf::from(".")),
            rules: SourceRules::default(),
            patches: Vec::new(),
            build_system: Some(build_system),
            outputs: vec![OutputName::out()],
            inputs: Vec::new(),
            phases: Phases::default(),
            env: BTreeMap::new(),
            flags: Flags::default(),
            toolchain: Toolchain::default(),
            copy_tree: false,
        }
    }

    /// Returns the derivation's name: `name-version`, or `name` when there is no version.
    pub fn full_name(&self) -> String {
        match &self.version {
            Some(version) => format!("{}-{version}", self.name),
            None => self.name.to_string(),
        }
    }
}

impl Fetch {
    /// Returns the name in the store: `name`, or the last part of the URL without its query.
    pub fn file_name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| {
            let path = self.url.split(['?', '#']).next().unwrap_or_default();
            path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
        })
    }
}

impl PackageName {
    /// Checks a name; the error is the reason, as the end of a sentence.
    pub fn new(name: &str) -> Result<Self, String> {
        check::store_name(name)?;
        Ok(Self(name.to_owned()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Default for Toolchain {
    fn default() -> Self {
        Self { kind: ToolchainKind::Host, paths: Vec::new() }
    }
}

impl BuildSystem {
    /// Every build system, in the order of the documentation.
    pub const ALL: [Self; 7] =
        [Self::Autotools, Self::Make, Self::Cmake, Self::CmakeMake, Self::Meson, Self::Cargo, Self::Custom];

    /// Returns the word that the manifest uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Autotools => "autotools",
            Self::Make => "make",
            Self::Cmake => "cmake",
            Self::CmakeMake => "cmake-make",
            Self::Meson => "meson",
            Self::Cargo => "cargo",
            Self::Custom => "custom",
        }
    }
}

impl Phase {
    /// Every phase in the order in which they run.
    pub const ALL: [Self; 9] = [
        Self::Unpack,
        Self::Patch,
        Self::Configure,
        Self::Build,
        Self::Check,
        Self::Install,
        Self::Fixup,
        Self::InstallCheck,
        Self::Dist,
    ];

    /// Returns the word that the manifest uses, `install-check` for instance.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unpack => "unpack",
            Self::Patch => "patch",
            Self::Configure => "configure",
            Self::Build => "build",
            Self::Check => "check",
            Self::Install => "install",
            Self::Fixup => "fixup",
            Self::InstallCheck => "install-check",
            Self::Dist => "dist",
        }
    }

    /// Returns the stem of the shell names: `installCheck` gives `installCheckPhase`, `preInstallCheck`, …
    pub fn shell_stem(self) -> &'static str {
        match self {
            Self::InstallCheck => "installCheck",
            other => other.as_str(),
        }
    }

    /// Tells whether the phase runs only when it is asked for (`doCheck` and the like).
    pub fn is_opt_in(self) -> bool {
        matches!(self, Self::Check | Self::InstallCheck | Self::Dist)
    }
}

#[cfg(test)]
mod tests;

//! The shape of the text of `rekindle.toml`: serde types and nothing else.
//!
//! The JSON schema is generated from these very types, so their doc comments are what an editor shows. Values
//! that `check` may refuse are [`Spanned`], so that its messages can point at them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use toml::Spanned;

use super::nearest;
use crate::Error;

/// Describes packages that Rekindle builds. It has either one `[package]`, or several `[packages.NAME]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "rekindle.toml")]
pub(super) struct File {
    /// The only package of this manifest.
    #[serde(default)]
    #[schemars(with = "Table")]
    pub(super) package: Option<Spanned<Table>>,
    /// Several packages by name; they may use each other by name in `inputs`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Table>")]
    pub(super) packages: Option<Spanned<BTreeMap<Spanned<String>, Spanned<Table>>>>,
    /// Short for `[package.phases]`.
    #[serde(default)]
    #[schemars(with = "PhasesTable")]
    pub(super) phases: Option<Spanned<PhasesTable>>,
    /// Short for `[package.env]`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub(super) env: Option<Spanned<EnvTable>>,
    /// Short for `[package.flags]`.
    #[serde(default)]
    #[schemars(with = "FlagsTable")]
    pub(super) flags: Option<Spanned<FlagsTable>>,
    /// Short for `[package.toolchain]`.
    #[serde(default)]
    #[schemars(with = "ToolchainTable")]
    pub(super) toolchain: Option<Spanned<ToolchainTable>>,
}

pub(super) type EnvTable = BTreeMap<Spanned<String>, Spanned<String>>;

/// One package.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Table {
    /// The package's name, part of its store path. Under `[packages.NAME]` it is NAME unless it is said here.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) name: Option<Spanned<String>>,
    /// The version, part of the store path.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) version: Option<Spanned<String>>,
    /// What is unpacked: a directory or a tarball, relative to this file; or a file to fetch. Default: `"."`.
    #[serde(default)]
    #[schemars(with = "SourceValue")]
    pub(super) source: Option<Spanned<SourceValue>>,
    /// Takes only files of a source directory that match one of these patterns (as in `.gitignore`).
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) include: Vec<Spanned<String>>,
    /// Leaves out files of a source directory that match one of these patterns (as in `.gitignore`).
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) exclude: Vec<Spanned<String>>,
    /// Patch files, relative to this file, applied in this order.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) patches: Vec<Spanned<String>>,
    /// How the package is built. Default: recognised from the files of the source.
    #[serde(default)]
    #[schemars(with = "BuildSystemWord")]
    pub(super) build_system: Option<BuildSystemWord>,
    /// The outputs; the first is the default one. Default: `["out"]`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) outputs: Option<Spanned<Vec<Spanned<String>>>>,
    /// What the build may use beside the toolchain.
    #[serde(default)]
    #[schemars(with = "Vec<InputValue>")]
    pub(super) inputs: Vec<Spanned<InputValue>>,
    /// Texts and switches of the phases.
    #[serde(default)]
    #[schemars(with = "PhasesTable")]
    pub(super) phases: Option<Spanned<PhasesTable>>,
    /// Further environment variables of the build.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub(super) env: Option<Spanned<EnvTable>>,
    /// Extra arguments of the tools.
    #[serde(default)]
    #[schemars(with = "FlagsTable")]
    pub(super) flags: Option<Spanned<FlagsTable>>,
    /// Where compilers and shell tools come from.
    #[serde(default)]
    #[schemars(with = "ToolchainTable")]
    pub(super) toolchain: Option<Spanned<ToolchainTable>>,
    /// Builds in a copy of the tree instead of an overlay: slower to begin, but directories of an earlier phase can be
    /// renamed with rename(2), and inode numbers stay. Default: `false`.
    #[serde(default)]
    pub(super) copy_tree: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "BuildSystem")]
pub(super) enum BuildSystemWord {
    /// `./configure`, `make`, `make install`.
    Autotools,
    /// `make` and `make install` with `PREFIX` and `prefix` set.
    Make,
    /// CMake with ninja.
    Cmake,
    /// CMake with make.
    CmakeMake,
    /// Meson with ninja.
    Meson,
    /// Cargo, with the crates of `Cargo.lock`.
    Cargo,
    /// Only what `[phases]` says.
    Custom,
}

/// A path, a file to fetch, or `false` for no source at all.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Source")]
pub(super) enum SourceValue {
    /// A directory or tarball, relative to this file.
    Path(String),
    /// A file to fetch.
    Fetch(FetchTable),
    /// `false`: nothing is unpacked.
    Switch(bool),
}

/// A file that is fetched once and known by its hash.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Fetch")]
pub(super) struct FetchTable {
    /// Where the file is.
    #[schemars(with = "String")]
    pub(super) url: Spanned<String>,
    /// Its hash, `sha256-…` for instance.
    #[schemars(with = "String")]
    pub(super) hash: Spanned<String>,
    /// Its name in the store. Default: the last part of the URL.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) name: Option<Spanned<String>>,
}

/// A store path, the name of another package of this manifest, or a table.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Input")]
pub(super) enum InputValue {
    /// A store path, or the name of another package of this manifest.
    Word(String),
    /// Anything else.
    Table(Box<InputTable>),
}

/// One input; exactly one of `store`, `package`, `path`, `url` (`path` may go with `package`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "InputTable")]
pub(super) struct InputTable {
    /// A store path.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) store: Option<Spanned<String>>,
    /// A package of this manifest, or of the one in `path`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) package: Option<Spanned<String>>,
    /// A directory with a package of its own, relative to this file.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) path: Option<Spanned<String>>,
    /// A file to fetch.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) url: Option<Spanned<String>>,
    /// The hash of the file to fetch.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) hash: Option<Spanned<String>>,
    /// The name in the store of the file to fetch.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) name: Option<Spanned<String>>,
    /// Which outputs of the package. Default: `dev` when there is one, else the first.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) outputs: Vec<Spanned<String>>,
    /// An environment variable that is set to the input's path.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) env: Option<Spanned<String>>,
    /// Whether those who use this package get the input too.
    #[serde(default)]
    pub(super) propagate: bool,
}

/// A script that takes the place of the phase; or `true`/`false` to run it or not.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "OptInPhase")]
pub(super) enum OptIn {
    /// A script that takes the place of the phase.
    Script(String),
    /// Whether the phase runs.
    Switch(bool),
}

/// A phase that has texts for all three places.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Phase")]
pub(super) enum PhaseWord {
    Unpack,
    Patch,
    Configure,
    Build,
    Check,
    Install,
    Fixup,
    InstallCheck,
    Dist,
}

/// Shell texts of phases and hooks, and which phases run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Phases")]
pub(super) struct PhasesTable {
    /// Phases that do not run.
    #[schemars(with = "Vec<PhaseWord>")]
    pub(super) skip: Vec<Spanned<PhaseWord>>,
    /// Runs `autoreconf` before the configure phase.
    pub(super) autoreconf: bool,
    /// One script that takes the place of all phases.
    #[schemars(with = "String")]
    pub(super) command: Option<String>,
    /// Takes the place of the unpack phase.
    #[schemars(with = "String")]
    pub(super) unpack: Option<String>,
    /// Runs at the start of the unpack phase.
    #[schemars(with = "String")]
    pub(super) pre_unpack: Option<String>,
    /// Runs at the end of the unpack phase.
    #[schemars(with = "String")]
    pub(super) post_unpack: Option<String>,
    /// Takes the place of the patch phase.
    #[schemars(with = "String")]
    pub(super) patch: Option<String>,
    /// Runs at the start of the patch phase.
    #[schemars(with = "String")]
    pub(super) pre_patch: Option<String>,
    /// Runs at the end of the patch phase.
    #[schemars(with = "String")]
    pub(super) post_patch: Option<String>,
    /// Takes the place of the configure phase.
    #[schemars(with = "String")]
    pub(super) configure: Option<String>,
    /// Runs at the start of the configure phase.
    #[schemars(with = "String")]
    pub(super) pre_configure: Option<String>,
    /// Runs at the end of the configure phase.
    #[schemars(with = "String")]
    pub(super) post_configure: Option<String>,
    /// Takes the place of the build phase.
    #[schemars(with = "String")]
    pub(super) build: Option<String>,
    /// Runs at the start of the build phase.
    #[schemars(with = "String")]
    pub(super) pre_build: Option<String>,
    /// Runs at the end of the build phase.
    #[schemars(with = "String")]
    pub(super) post_build: Option<String>,
    /// Runs the tests in the build tree (`true`), or takes the place of the check phase.
    #[schemars(with = "OptIn")]
    pub(super) check: Option<OptIn>,
    /// Runs at the start of the check phase.
    #[schemars(with = "String")]
    pub(super) pre_check: Option<String>,
    /// Runs at the end of the check phase.
    #[schemars(with = "String")]
    pub(super) post_check: Option<String>,
    /// Takes the place of the install phase.
    #[schemars(with = "String")]
    pub(super) install: Option<String>,
    /// Runs at the start of the install phase.
    #[schemars(with = "String")]
    pub(super) pre_install: Option<String>,
    /// Runs at the end of the install phase.
    #[schemars(with = "String")]
    pub(super) post_install: Option<String>,
    /// Takes the place of the fixup phase.
    #[schemars(with = "String")]
    pub(super) fixup: Option<String>,
    /// Runs at the start of the fixup phase.
    #[schemars(with = "String")]
    pub(super) pre_fixup: Option<String>,
    /// Runs at the end of the fixup phase.
    #[schemars(with = "String")]
    pub(super) post_fixup: Option<String>,
    /// Runs the tests of what was installed (`true`), or takes the place of the install-check phase.
    #[schemars(with = "OptIn")]
    pub(super) install_check: Option<OptIn>,
    /// Runs at the start of the install-check phase.
    #[schemars(with = "String")]
    pub(super) pre_install_check: Option<String>,
    /// Runs at the end of the install-check phase.
    #[schemars(with = "String")]
    pub(super) post_install_check: Option<String>,
    /// Makes a release tarball (`true`), or takes the place of the dist phase.
    #[schemars(with = "OptIn")]
    pub(super) dist: Option<OptIn>,
    /// Runs at the start of the dist phase.
    #[schemars(with = "String")]
    pub(super) pre_dist: Option<String>,
    /// Runs at the end of the dist phase.
    #[schemars(with = "String")]
    pub(super) post_dist: Option<String>,
}

/// Extra arguments, one string each. `${out}`, or the name of another output, stands for its path.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Flags")]
pub(super) struct FlagsTable {
    /// Arguments of `./configure`.
    #[schemars(with = "Vec<String>")]
    pub(super) configure: Vec<Spanned<String>>,
    /// Arguments of every `make` and `ninja`.
    #[schemars(with = "Vec<String>")]
    pub(super) make: Vec<Spanned<String>>,
    /// Arguments of `make` and `ninja` in the build phase.
    #[schemars(with = "Vec<String>")]
    pub(super) build: Vec<Spanned<String>>,
    /// Arguments of `make` and `ninja` in the check phase.
    #[schemars(with = "Vec<String>")]
    pub(super) check: Vec<Spanned<String>>,
    /// Arguments of `make` and `ninja` in the install phase.
    #[schemars(with = "Vec<String>")]
    pub(super) install: Vec<Spanned<String>>,
    /// Arguments of `cmake`.
    #[schemars(with = "Vec<String>")]
    pub(super) cmake: Vec<Spanned<String>>,
    /// Arguments of `meson setup`.
    #[schemars(with = "Vec<String>")]
    pub(super) meson: Vec<Spanned<String>>,
    /// Arguments of `cargo build` and `cargo test`.
    #[schemars(with = "Vec<String>")]
    pub(super) cargo: Vec<Spanned<String>>,
}

/// Where compilers and shell tools come from.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Toolchain")]
pub(super) struct ToolchainTable {
    /// The only kind today is `"host"`, the tools of this machine.
    #[schemars(with = "ToolchainWord")]
    pub(super) kind: Option<ToolchainWord>,
    /// Further absolute directories of the host that the build sees; each, or its `bin`, is in `PATH`.
    #[schemars(with = "Vec<String>")]
    pub(super) paths: Vec<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "ToolchainKind")]
pub(super) enum ToolchainWord {
    /// The tools of this machine: `/usr`, `/bin`, `/lib*`.
    Host,
}

/// Parses the text; the error points at line and column and names the nearest known key.
pub(super) fn parse(origin: &Path, text: &str) -> Result<File, Error> {
    toml::from_str(text).map_err(|error| nearest::error(origin, text, &error))
}

/// Makes a `Deserialize` for a value that is a string, a switch or a table. serde's `untagged` would do it in one
/// line, but answers "data did not match any variant" to every mistake.
macro_rules! one_of {
    ($type:ident, $expecting:literal $(, str => $str:path)? $(, bool => $bool:path)? $(, map => $map:path)?) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Any;
                impl<'de> Visitor<'de> for Any {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    $(fn visit_str<E>(self, text: &str) -> Result<$type, E> {
                        Ok($str(text.to_owned()))
                    })?
                    $(fn visit_bool<E>(self, switch: bool) -> Result<$type, E> {
                        Ok($bool(switch))
                    })?
                    $(fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$type, A::Error> {
                        Deserialize::deserialize(MapAccessDeserializer::new(map)).map($map)
                    })?
                }
                deserializer.deserialize_any(Any)
            }
        }
    };
}

one_of!(SourceValue, "a path, a table with url and hash, or false",
    str => SourceValue::Path, bool => SourceValue::Switch, map => SourceValue::Fetch);
one_of!(InputValue, "a store path, a package's name, or a table",
    str => InputValue::Word, map => InputValue::Table);
one_of!(OptIn, "a script, true or false", str => OptIn::Script, bool => OptIn::Switch);

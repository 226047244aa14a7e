//! From a package and the store paths of what it is made from to its derivation.
//!
//! The result is an ordinary derivation: `/bin/bash -e $stdenv/default-builder.sh`, everything else in the
//! environment, in the words of nixpkgs' `stdenv`. Nothing in it is private to Rekindle, so real Nix, shown the
//! host's toolchain, builds it to the same output path. `rekindleToolchain` is the identity of that toolchain;
//! no script reads it, it is there so that another compiler is another derivation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use rekindle_nix::{Derivation, DrvHash, Output, OutputName, StoreDir, StorePath, StorePathName};

use crate::Error;
use crate::error::Problem;
use crate::manifest::{BuildSystem, Input, InputFrom, Package, Phase, Source};
use crate::setup;

/// Environment variables that Rekindle or the sandbox sets; a manifest may not use them for anything else.
/// Sorted.
pub const RESERVED: [&str; 31] = [
    "HOME",
    "NIX_ATTRS_JSON_FILE",
    "NIX_ATTRS_SH_FILE",
    "NIX_BUILD_CORES",
    "NIX_BUILD_TOP",
    "NIX_LOG_FD",
    "NIX_STORE",
    "PATH",
    "PWD",
    "TEMP",
    "TEMPDIR",
    "TMP",
    "TMPDIR",
    "__json",
    "__structuredAttrs",
    "args",
    "buildInputs",
    "builder",
    "cargoVendor",
    "name",
    "outputs",
    "patches",
    "pname",
    "propagatedBuildInputs",
    "rekindleHostPaths",
    "rekindleToolchain",
    "src",
    "stdenv",
    "system",
    "toolchainPath",
    "version",
];

/// What every derivation of ours stands on.
#[derive(Clone, Copy, Debug)]
pub struct Stdenv<'a> {
    /// Where store paths are.
    pub store_dir: &'a StoreDir,
    /// The platform, `x86_64-linux` for instance.
    pub system: &'a str,
    /// The directory of [`setup::FILES`] in the store.
    pub setup: &'a StorePath,
    /// The compilers and tools.
    pub toolchain: &'a ToolchainFacts,
}

/// What the caller found out about the toolchain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolchainFacts {
    /// A text that changes when a compiler, a tool or a system header does.
    pub identity: String,
    /// `PATH` inside of the build, with the manifest's own directories already in it.
    pub path: String,
    /// Directories of the host that the build sees beside the usual ones, absolute.
    pub host_paths: Vec<String>,
}

/// A derivation, and what others need to use it as an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The derivation, output paths filled in.
    pub derivation: Derivation,
    /// The store path of its `.drv` file.
    pub path: StorePath,
    /// What it is to the hash of those that use it.
    pub hash: DrvHash,
}

/// Where something that a derivation uses comes from.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// It is in the store.
    Stored(&'a StorePath),
    /// Another derivation makes it.
    Made(&'a Recipe),
}

/// Facts about one package.
#[derive(Clone, Debug, Default)]
pub struct Resolved<'a> {
    /// The sources; `None` exactly when the package has none.
    pub source: Option<Place<'a>>,
    /// The patches, as many as the package has, in its order.
    pub patches: Vec<&'a StorePath>,
    /// The inputs, as many as the package has, in its order.
    pub inputs: Vec<Place<'a>>,
    /// The derivation of [`crate::fetch::cargo_vendor`], if the package's `Cargo.lock` names registry crates.
    pub cargo_vendor: Option<&'a Recipe>,
}

/// Lowers one package.
///
/// # Errors
/// The facts do not fit the package, an input has no such output, or two things want the same variable.
pub fn lower(stdenv: &Stdenv<'_>, package: &Package, facts: &Resolved<'_>) -> Result<Recipe, Error> {
    let mut draft = Draft::new(stdenv, &package.full_name())?;
    draft.set("pname", package.name.as_str())?;
    if let Some(version) = &package.version {
        draft.set("version", version)?;
    }
    draft.outputs(&package.outputs)?;
    draft.sources(package, facts)?;
    draft.inputs(package, facts)?;
    draft.phases(package)?;
    draft.flags(package)?;
    if let Some(vendor) = facts.cargo_vendor {
        let path = draft.made(vendor, &OutputName::out())?;
        draft.set("cargoVendor", path)?;
    }
    for (name, value) in &package.env {
        draft.set(name, value)?;
    }
    draft.finish()
}

/// Returns the keys of a graph so that each comes after those that it uses; the order is the same each time.
/// Uses that are no key are ignored. O(keys + uses), without recursion.
///
/// # Errors
/// A circle, with the names along it.
pub fn order<K: Ord + Copy + Display>(graph: impl IntoIterator<Item = (K, Vec<K>)>) -> Result<Vec<K>, Error> {
    let graph: BTreeMap<K, Vec<K>> = graph.into_iter().collect();
    let mut sorted = Vec::new();
    let mut done = BTreeSet::new();
    for &root in graph.keys() {
        let mut path: Vec<(K, std::slice::Iter<'_, K>)> = Vec::new();
        let mut on_path = BTreeSet::new();
        let mut enter = Some(root);
        loop {
            if let Some(key) = enter.take()
                && !done.contains(&key)
                && let Some(uses) = graph.get(&key)
            {
                if !on_path.insert(key) {
                    let start = path.iter().position(|(other, _)| *other == key).unwrap_or(0);
                    let mut circle: Vec<_> =
                        path[start..].iter().map(|(other, _)| other.to_string()).collect();
                    circle.push(key.to_string());
                    return Err(Problem::Cycle(circle).into());
                }
                path.push((key, uses.iter()));
            }
            let Some((key, uses)) = path.last_mut() else { break };
            let key = *key;
            enter = uses.next().copied();
            if enter.is_none() {
                path.pop();
                on_path.remove(&key);
                done.insert(key);
                sorted.push(key);
            }
        }
    }
    Ok(sorted)
}

impl Recipe {
    /// Completes a derivation: output paths, its own path, its hash. `inputs` are the recipes of its input
    /// derivations.
    pub(crate) fn complete(
        store_dir: &StoreDir,
        mut derivation: Derivation,
        inputs: &BTreeMap<StorePath, DrvHash>,
    ) -> Result<Self, rekindle_nix::Error> {
        let mut input = |path: &StorePath| {
            Ok::<_, rekindle_nix::Error>(
                *inputs.get(path).expect("every input derivation was added with its hash"),
            )
        };
        derivation.fill_output_paths(store_dir, &mut input)?;
        let hash = derivation.hash_as_input(store_dir, &mut input)?;
        let path = derivation.drv_path(store_dir)?;
        Ok(Self { derivation, path, hash })
    }

    /// Returns the path of an output. Recipes of this crate know all of their output paths.
    pub fn output(&self, name: &OutputName) -> Option<&StorePath> {
        self.derivation.output_path(name)
    }
}

/// A derivation of ours that grows variable by variable.
pub(crate) struct Draft<'a> {
    stdenv: &'a Stdenv<'a>,
    name: String,
    derivation: Derivation,
    hashes: BTreeMap<StorePath, DrvHash>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(stdenv: &'a Stdenv<'a>, name: &str) -> Result<Self, Error> {
        let path_name = StorePathName::new(name)
            .map_err(|source| Problem::Derivation { package: name.to_owned(), source })?;
        let setup = stdenv.store_dir.display(stdenv.setup);
        let builder = "/bin/bash";
        let mut draft = Self {
            stdenv,
            name: name.to_owned(),
            derivation: Derivation {
                name: path_name,
                outputs: BTreeMap::new(),
                input_drvs: BTreeMap::new(),
                input_srcs: BTreeSet::from([stdenv.setup.clone()]),
                system: stdenv.system.into(),
                builder: builder.into(),
                args: vec!["-e".into(), format!("{setup}/{}", setup::DEFAULT_BUILDER).into_bytes()],
                env: BTreeMap::new(),
            },
            hashes: BTreeMap::new(),
        };
        draft.set("name", name)?;
        draft.set("system", stdenv.system)?;
        draft.set("builder", builder)?;
        draft.set("stdenv", setup)?;
        draft.set("toolchainPath", stdenv.toolchain.path.as_str())?;
        draft.set("rekindleToolchain", stdenv.toolchain.identity.as_str())?;
        if !stdenv.toolchain.host_paths.is_empty() {
            draft.set("rekindleHostPaths", stdenv.toolchain.host_paths.join("\n"))?;
        }
        Ok(draft)
    }

    /// Sets a variable that nothing has set yet.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) -> Result<(), Error> {
        let value = value.into();
        if value.contains('\0') {
            return Err(self.problem(format!("the text of `{name}` has a NUL in it")));
        }
        if self.derivation.env.insert(name.into(), value.into_bytes()).is_some() {
            return Err(self.problem(format!("`{name}` is set twice, once by Rekindle for something else")));
        }
        Ok(())
    }

    pub(crate) fn outputs(&mut self, outputs: &[OutputName]) -> Result<(), Error> {
        for output in outputs {
            self.set(output.as_str(), "")?;
            self.derivation.outputs.insert(output.clone(), Output::Deferred);
        }
        let names: Vec<_> = outputs.iter().map(OutputName::as_str).collect();
        self.set("outputs", names.join(" "))
    }

    /// Makes an output of another derivation an input, and returns its full path.
    pub(crate) fn made(&mut self, recipe: &Recipe, output: &OutputName) -> Result<String, Error> {
        let Some(path) = recipe.output(output) else {
            return Err(
                self.problem(format!("its input {} has no output `{output}`", recipe.derivation.name))
            );
        };
        self.derivation.input_drvs.entry(recipe.path.clone()).or_default().insert(output.clone());
        self.hashes.insert(recipe.path.clone(), recipe.hash);
        Ok(self.stdenv.store_dir.display(path))
    }

    /// Makes a store path an input, and returns its full path.
    pub(crate) fn stored(&mut self, path: &StorePath) -> String {
        self.derivation.input_srcs.insert(path.clone());
        self.stdenv.store_dir.display(path)
    }

    pub(crate) fn finish(self) -> Result<Recipe, Error> {
        Recipe::complete(self.stdenv.store_dir, self.derivation, &self.hashes)
            .map_err(|source| Problem::Derivation { package: self.name, source }.into())
    }

    fn sources(&mut self, package: &Package, facts: &Resolved<'_>) -> Result<(), Error> {
        match (facts.source, &package.source) {
            (None, Source::None) => self.set("dontUnpack", "1")?,
            (Some(Place::Stored(path)), Source::Path(_) | Source::Fetch(_)) => {
                let path = self.stored(path);
                self.set("src", path)?;
            }
            (Some(Place::Made(recipe)), Source::Path(_) | Source::Fetch(_)) => {
                let path = self.made(recipe, &OutputName::out())?;
                self.set("src", path)?;
            }
            (None, _) => return Err(self.problem("its source was not resolved")),
            (Some(_), Source::None) => return Err(self.problem("a source was resolved, but it has none")),
        }
        if facts.patches.len() != package.patches.len() {
            return Err(self.problem(format!(
                "{} of its {} patches were resolved",
                facts.patches.len(),
                package.patches.len()
            )));
        }
        if !facts.patches.is_empty() {
            let patches: Vec<_> = facts.patches.iter().map(|patch| self.stored(patch)).collect();
            self.set("patches", patches.join(" "))?;
        }
        Ok(())
    }

    fn inputs(&mut self, package: &Package, facts: &Resolved<'_>) -> Result<(), Error> {
        if facts.inputs.len() != package.inputs.len() {
            return Err(self.problem(format!(
                "{} of its {} inputs were resolved",
                facts.inputs.len(),
                package.inputs.len()
            )));
        }
        let (mut own, mut propagated) = (Vec::new(), Vec::new());
        for (input, place) in package.inputs.iter().zip(&facts.inputs) {
            let paths = match place {
                Place::Stored(path) => vec![self.stored(path)],
                Place::Made(recipe) => {
                    let outputs = wanted_outputs(input, recipe);
                    outputs.iter().map(|output| self.made(recipe, output)).collect::<Result<_, _>>()?
                }
            };
            if let (Some(name), Some(first)) = (&input.env, paths.first()) {
                self.set(name, first.as_str())?;
            }
            // A file is only for those who ask for it by its variable.
            if matches!(input.from, InputFrom::Fetch(_)) {
                continue;
            }
            if input.propagate { &mut propagated } else { &mut own }.extend(paths);
        }
        for (name, paths) in [("buildInputs", own), ("propagatedBuildInputs", propagated)] {
            if !paths.is_empty() {
                self.set(name, paths.join(" "))?;
            }
        }
        Ok(())
    }

    fn phases(&mut self, package: &Package) -> Result<(), Error> {
        let phases = &package.phases;
        if let Some(command) = &phases.command {
            return self.set("buildCommand", command.as_str());
        }
        let Some(system) = package.build_system else {
            return Err(self.problem("its build system is not known"));
        };
        for phase in Phase::ALL {
            let text = phases.custom.get(&phase);
            let stem = phase.shell_stem();
            let run = text.and_then(|text| text.run.as_deref());
            match run.or_else(|| system_phase(system, phase)) {
                Some(run) => self.set(&format!("{stem}Phase"), run)?,
                None if system_skips(system, phase) && !phases.skip.contains(&phase) => {
                    self.set(&format!("dont{}", capitalised(stem)), "1")?;
                }
                None => {}
            }
            for (prefix, hook) in [
                ("pre", text.and_then(|text| text.pre.as_deref())),
                ("post", text.and_then(|text| text.post.as_deref())),
            ] {
                if let Some(hook) = hook {
                    self.set(&format!("{prefix}{}", capitalised(stem)), hook)?;
                }
            }
            // Opt-in phases are off unless `doX` is set; there is no `dontX` for them.
            if phase.is_opt_in() {
                if phases.enable.get(&phase) == Some(&true) {
                    self.set(&format!("do{}", capitalised(stem)), "1")?;
                }
            } else if phases.skip.contains(&phase) {
                self.set(&format!("dont{}", capitalised(stem)), "1")?;
            }
        }
        if phases.autoreconf {
            self.set("preConfigurePhases", "autoreconfPhase")?;
        }
        if let Some(generator) = match system {
            BuildSystem::Cmake => Some("Ninja"),
            BuildSystem::CmakeMake => Some("Unix Makefiles"),
            _ => None,
        } {
            self.set("cmakeGenerator", generator)?;
        }
        Ok(())
    }

    fn flags(&mut self, package: &Package) -> Result<(), Error> {
        let flags = &package.flags;
        let mut make = flags.make.clone();
        if package.build_system == Some(BuildSystem::Make) {
            let out = package.outputs.first().map_or("out", OutputName::as_str);
            make.splice(0..0, [format!("PREFIX=${{{out}}}"), format!("prefix=${{{out}}}")]);
        }
        let ninja = matches!(package.build_system, Some(BuildSystem::Cmake | BuildSystem::Meson));
        for (name, list) in [
            ("configureFlags", &flags.configure),
            (if ninja { "ninjaFlags" } else { "makeFlags" }, &make),
            ("buildFlags", &flags.build),
            ("checkFlags", &flags.check),
            ("installFlags", &flags.install),
            ("cmakeFlags", &flags.cmake),
            ("mesonFlags", &flags.meson),
            ("cargoFlags", &flags.cargo),
        ] {
            if !list.is_empty() {
                self.set(name, flag_text(list))?;
            }
        }
        Ok(())
    }

    fn problem(&self, message: impl Into<String>) -> Error {
        Problem::Lowering { package: self.name.clone(), message: message.into() }.into()
    }
}

/// Flags as the setup script reads them: words, or a flag a line as soon as one has a space in it.
fn flag_text(flags: &[String]) -> String {
    if flags.iter().any(|flag| flag.contains(char::is_whitespace)) {
        flags.iter().map(|flag| format!("{flag}\n")).collect()
    } else {
        flags.join(" ")
    }
}

/// The function of the setup script that is a build system's phase, where it is not the default one.
fn system_phase(system: BuildSystem, phase: Phase) -> Option<&'static str> {
    use BuildSystem::{Cargo, Cmake, CmakeMake, Meson};
    Some(match (system, phase) {
        (Cmake | CmakeMake, Phase::Configure) => "cmakeConfigurePhase",
        (Cmake | CmakeMake, Phase::Check) => "cmakeCheckPhase",
        (Meson, Phase::Configure) => "mesonConfigurePhase",
        (Meson, Phase::Check) => "mesonCheckPhase",
        (Meson, Phase::Install) => "mesonInstallPhase",
        (Cmake | Meson, Phase::Build) => "ninjaBuildPhase",
        (Cmake, Phase::Install) => "ninjaInstallPhase",
        (Cargo, Phase::Configure) => "cargoConfigurePhase",
        (Cargo, Phase::Build) => "cargoBuildPhase",
        (Cargo, Phase::Check) => "cargoCheckPhase",
        (Cargo, Phase::Install) => "cargoInstallPhase",
        _ => return None,
    })
}

/// Tells whether a build system has nothing to do in a phase whose default would do something.
fn system_skips(system: BuildSystem, phase: Phase) -> bool {
    match system {
        BuildSystem::Make => phase == Phase::Configure,
        BuildSystem::Custom => matches!(phase, Phase::Configure | Phase::Build | Phase::Install),
        _ => false,
    }
}

/// The outputs of a package that an input means. `dev` is what one builds against; it brings the others along.
fn wanted_outputs(input: &Input, recipe: &Recipe) -> Vec<OutputName> {
    if !input.outputs.is_empty() {
        return input.outputs.clone();
    }
    let names = &recipe.derivation.outputs;
    let declared = recipe.derivation.env.get("outputs".as_bytes());
    let first = declared.and_then(|text| text.split(|byte| *byte == b' ').next());
    let first = first.and_then(|name| names.keys().find(|known| known.as_str().as_bytes() == name));
    names
        .keys()
        .find(|name| name.as_str() == "dev")
        .or(first)
        .or(names.keys().next())
        .cloned()
        .into_iter()
        .collect()
}

fn capitalised(stem: &str) -> String {
    let mut chars = stem.chars();
    chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests;

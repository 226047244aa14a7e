//! From the shape of the text to its meaning: every rule that a manifest has to keep, with its message.

mod inputs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rekindle_nix::OutputName;
use toml::Spanned;

use super::file::{
    BuildSystemWord, EnvTable, File, FlagsTable, OptIn, PhaseWord, PhasesTable, Table, ToolchainTable,
    ToolchainWord,
};
use super::nearest;
use super::{
    BuildSystem, Flags, Input, InputFrom, Manifest, Package, PackageName, Phase, PhaseText, Phases, Source,
    SourceRules, Toolchain, ToolchainKind,
};
use crate::Error;
use crate::lower::RESERVED;

/// Longest `name-version`, so that a store path's name (211 at most) has room for `-output` and `.drv`.
const NAME_MAX: usize = 180;

/// Checks a whole file.
pub(super) fn manifest(origin: &Path, text: &str, file: File) -> Result<Manifest, Error> {
    let checker = Checker { origin, text };
    let File { package, packages, phases, env, flags, toolchain } = file;
    let mut tables = Vec::new();
    match (package, packages) {
        (Some(package), Some(packages)) => {
            let later = package.span().start.max(packages.span().start);
            return Err(checker.at(later, "a manifest has either [package] or [packages.NAME], not both"));
        }
        (None, None) => return Err(checker.at(0, "there is no [package] and no [packages.NAME]")),
        (Some(package), None) => {
            let span = package.span();
            let mut table = package.into_inner();
            checker.adopt(&mut table.phases, phases, "phases")?;
            checker.adopt(&mut table.env, env, "env")?;
            checker.adopt(&mut table.flags, flags, "flags")?;
            checker.adopt(&mut table.toolchain, toolchain, "toolchain")?;
            let Some(name) = table.name.take() else {
                return Err(checker.at(span.start, "[package] has no name"));
            };
            tables.push((name, table));
        }
        (None, Some(packages)) => {
            checker.no_short_form(phases.as_ref(), "phases")?;
            checker.no_short_form(env.as_ref(), "env")?;
            checker.no_short_form(flags.as_ref(), "flags")?;
            checker.no_short_form(toolchain.as_ref(), "toolchain")?;
            if packages.get_ref().is_empty() {
                return Err(checker.at(packages.span().start, "[packages] is empty"));
            }
            for (key, table) in packages.into_inner() {
                let mut table = table.into_inner();
                tables.push((table.name.take().unwrap_or(key), table));
            }
        }
    }
    let mut result = BTreeMap::new();
    let mut uses = Vec::new();
    for (name, table) in tables {
        let at = name.span().start;
        let package = checker.package(&name, table, &mut uses)?;
        if result.contains_key(&package.name) {
            return Err(checker.at(at, format!("there are two packages named `{}`", package.name)));
        }
        result.insert(package.name.clone(), package);
    }
    for (name, at) in uses {
        if !result.contains_key(&name) {
            let known: Vec<&str> = result.keys().map(PackageName::as_str).collect();
            let hint = nearest::nearest(name.as_str(), &known);
            let hint = hint.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(checker.at(at, format!("there is no package `{name}` in this manifest{hint}")));
        }
    }
    Ok(Manifest { packages: result })
}

/// Says why `name` cannot be part of a store path's name, if it cannot.
pub(super) fn store_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+-._?=".contains(c);
    if name.is_empty() {
        Err("it is empty".to_owned())
    } else if name.len() > NAME_MAX {
        Err(format!("it has {} characters, {NAME_MAX} at most are allowed", name.len()))
    } else if name.starts_with('.') {
        Err("it starts with a dot".to_owned())
    } else if let Some(c) = name.chars().find(|c| !allowed(*c)) {
        Err(format!("it has the character {c:?}; only ASCII letters, digits and + - . _ ? = are allowed"))
    } else {
        Ok(())
    }
}

/// Says why `name` cannot be an output's name, if it cannot.
pub(super) fn output_name(name: &str) -> Result<OutputName, String> {
    // Each output's path is in the variable of its name.
    variable_name(name)?;
    if RESERVED.contains(&name) {
        return Err("that is the name of a variable which Rekindle sets itself".to_owned());
    }
    store_name(name)?;
    OutputName::new(name).map_err(|error| error.to_string())
}

fn variable_name(name: &str) -> Result<(), String> {
    let mut chars = name.chars();
    let head = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if head && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        Ok(())
    } else {
        Err("it is not the name of a shell variable (letters, digits and _, not starting with a digit)"
            .to_owned())
    }
}

struct Checker<'a> {
    origin: &'a Path,
    text: &'a str,
}

impl Checker<'_> {
    fn at(&self, offset: usize, message: impl Into<String>) -> Error {
        nearest::at(self.origin, self.text, offset, message.into())
    }

    fn refuse<T>(&self, value: &Spanned<T>, message: impl Into<String>) -> Error {
        self.at(value.span().start, message)
    }

    fn adopt<T>(
        &self,
        long: &mut Option<Spanned<T>>,
        short: Option<Spanned<T>>,
        key: &str,
    ) -> Result<(), Error> {
        match (&long, short) {
            (Some(long), Some(short)) => {
                let later = long.span().start.max(short.span().start);
                Err(self.at(later, format!("[{key}] and [package.{key}] are the same; keep one")))
            }
            (None, Some(short)) => {
                *long = Some(short);
                Ok(())
            }
            (_, None) => Ok(()),
        }
    }

    fn no_short_form<T>(&self, table: Option<&Spanned<T>>, key: &str) -> Result<(), Error> {
        match table {
            Some(table) => {
                Err(self.refuse(table, format!("[{key}] is for [package]; here it is [packages.NAME.{key}]")))
            }
            None => Ok(()),
        }
    }

    fn package(
        &self,
        name: &Spanned<String>,
        table: Table,
        uses: &mut Vec<(PackageName, usize)>,
    ) -> Result<Package, Error> {
        let name_at = name.span().start;
        let name = self.package_name(name)?;
        let version = table.version.map(|version| self.version(version)).transpose()?;
        let outputs = self.outputs(table.outputs)?;
        let mut inputs = Vec::new();
        for value in table.inputs {
            let at = value.span().start;
            let input = self.input(value)?;
            if let InputFrom::Package(used) = &input.from {
                uses.push((used.clone(), at));
            }
            inputs.push(input);
        }
        let package = Package {
            name,
            version,
            source: table
                .source
                .map_or(Ok(Source::Path(PathBuf::from("."))), |source| self.source(source))?,
            rules: SourceRules {
                include: self.patterns(table.include)?,
                exclude: self.patterns(table.exclude)?,
            },
            patches: table.patches.into_iter().map(|patch| self.path(patch)).collect::<Result<_, _>>()?,
            build_system: table.build_system.map(build_system),
            env: self.env(table.env, &outputs, &inputs)?,
            outputs,
            inputs,
            phases: self.phases(table.phases)?,
            flags: self.flags(table.flags)?,
            toolchain: self.toolchain(table.toolchain)?,
            copy_tree: table.copy_tree,
        };
        let has_text = |phase| package.phases.custom.get(&phase).is_some_and(|text| text.run.is_some());
        if package.build_system == Some(BuildSystem::Custom)
            && package.phases.command.is_none()
            && !has_text(Phase::Install)
        {
            let message = "build-system `custom` needs `install` or `command` in its phases";
            return Err(self.at(name_at, message));
        }
        let full = package.full_name();
        store_name(&full).map_err(|reason| {
            self.at(name_at, format!("`{full}` cannot be a store path's name: {reason}"))
        })?;
        Ok(package)
    }

    fn package_name(&self, name: &Spanned<String>) -> Result<PackageName, Error> {
        PackageName::new(name.get_ref()).map_err(|reason| {
            self.refuse(name, format!("`{}` cannot be a package's name: {reason}", name.get_ref()))
        })
    }

    fn version(&self, version: Spanned<String>) -> Result<String, Error> {
        store_name(version.get_ref()).map_err(|reason| {
            self.refuse(&version, format!("`{}` cannot be a version: {reason}", version.get_ref()))
        })?;
        Ok(version.into_inner())
    }

    fn output(&self, name: &Spanned<String>) -> Result<OutputName, Error> {
        let checked = output_name(name.get_ref());
        checked.map_err(|reason| {
            self.refuse(name, format!("`{}` cannot be an output's name: {reason}", name.get_ref()))
        })
    }

    fn outputs(&self, outputs: Option<Spanned<Vec<Spanned<String>>>>) -> Result<Vec<OutputName>, Error> {
        let Some(outputs) = outputs else { return Ok(vec![OutputName::out()]) };
        if outputs.get_ref().is_empty() {
            return Err(self.refuse(&outputs, "a package has at least one output"));
        }
        let mut seen = BTreeSet::new();
        let mut names = Vec::new();
        for name in outputs.get_ref() {
            let output = self.output(name)?;
            if !seen.insert(output.clone()) {
                return Err(self.refuse(name, format!("the output `{output}` is there twice")));
            }
            names.push(output);
        }
        Ok(names)
    }

    fn path(&self, path: Spanned<String>) -> Result<PathBuf, Error> {
        if path.get_ref().is_empty() {
            return Err(self.refuse(&path, "a path cannot be empty; \".\" is the manifest's directory"));
        }
        if path.get_ref().contains('\0') {
            return Err(self.refuse(&path, "a path cannot have a NUL in it"));
        }
        Ok(PathBuf::from(path.into_inner()))
    }

    fn patterns(&self, patterns: Vec<Spanned<String>>) -> Result<Vec<String>, Error> {
        let check = |pattern: Spanned<String>| {
            if pattern.get_ref().is_empty() || pattern.get_ref().contains('\n') {
                return Err(self.refuse(&pattern, "a pattern is one line and not empty"));
            }
            Ok(pattern.into_inner())
        };
        patterns.into_iter().map(check).collect()
    }

    fn variable(&self, name: &Spanned<String>) -> Result<String, Error> {
        let checked = variable_name(name.get_ref()).and_then(|()| {
            if RESERVED.contains(&name.get_ref().as_str()) {
                return Err("Rekindle sets it itself".to_owned());
            }
            Ok(name.get_ref().clone())
        });
        checked.map_err(|reason| {
            self.refuse(
                name,
                format!("`{}` cannot be an environment variable here: {reason}", name.get_ref()),
            )
        })
    }

    fn env(
        &self,
        env: Option<Spanned<EnvTable>>,
        outputs: &[OutputName],
        inputs: &[Input],
    ) -> Result<BTreeMap<String, String>, Error> {
        let mut result = BTreeMap::new();
        for (key, value) in env.map(Spanned::into_inner).unwrap_or_default() {
            let name = self.variable(&key)?;
            if outputs.iter().any(|output| output.as_str() == name) {
                return Err(self.refuse(&key, format!("`{name}` is the path of the output of that name")));
            }
            if inputs.iter().any(|input| input.env.as_ref() == Some(&name)) {
                return Err(
                    self.refuse(&key, format!("`{name}` is the path of the input with `env = \"{name}\"`"))
                );
            }
            if value.get_ref().contains('\0') {
                return Err(self.refuse(&value, "a variable cannot have a NUL in it"));
            }
            result.insert(name, value.into_inner());
        }
        Ok(result)
    }

    fn phases(&self, table: Option<Spanned<PhasesTable>>) -> Result<Phases, Error> {
        let Some(table) = table else { return Ok(Phases::default()) };
        let at = table.span().start;
        let table = table.into_inner();
        let mut phases = Phases { autoreconf: table.autoreconf, command: table.command, ..Phases::default() };
        let mut opt_in = |phase, value: Option<OptIn>| match value {
            None => None,
            Some(OptIn::Switch(switch)) => {
                phases.enable.insert(phase, switch);
                None
            }
            // Who writes a test script wants it to run.
            Some(OptIn::Script(script)) => {
                phases.enable.insert(phase, true);
                Some(script)
            }
        };
        let check = opt_in(Phase::Check, table.check);
        let install_check = opt_in(Phase::InstallCheck, table.install_check);
        let dist = opt_in(Phase::Dist, table.dist);
        for (phase, run, pre, post) in [
            (Phase::Unpack, table.unpack, table.pre_unpack, table.post_unpack),
            (Phase::Patch, table.patch, table.pre_patch, table.post_patch),
            (Phase::Configure, table.configure, table.pre_configure, table.post_configure),
            (Phase::Build, table.build, table.pre_build, table.post_build),
            (Phase::Check, check, table.pre_check, table.post_check),
            (Phase::Install, table.install, table.pre_install, table.post_install),
            (Phase::Fixup, table.fixup, table.pre_fixup, table.post_fixup),
            (Phase::InstallCheck, install_check, table.pre_install_check, table.post_install_check),
            (Phase::Dist, dist, table.pre_dist, table.post_dist),
        ] {
            let text = PhaseText { run, pre, post };
            if text != PhaseText::default() {
                phases.custom.insert(phase, text);
            }
        }
        for word in table.skip {
            let phase = phase(*word.get_ref());
            if phases.skip.contains(&phase) {
                return Err(self.refuse(&word, format!("`{}` is skipped twice", phase.as_str())));
            }
            if phases.enable.get(&phase) == Some(&true) {
                let message = format!("`{}` is both skipped and asked for", phase.as_str());
                return Err(self.refuse(&word, message));
            }
            phases.skip.push(phase);
        }
        if phases.command.is_some()
            && (!phases.custom.is_empty() || !phases.skip.is_empty() || phases.autoreconf)
        {
            return Err(self.at(at, "`command` takes the place of all phases; nothing else goes with it"));
        }
        Ok(phases)
    }

    fn flags(&self, table: Option<Spanned<FlagsTable>>) -> Result<Flags, Error> {
        let table = table.map(Spanned::into_inner).unwrap_or_default();
        let list = |flags: Vec<Spanned<String>>| {
            let check = |flag: Spanned<String>| {
                // The setup script takes a line for a flag, so that flags can have spaces in them.
                if flag.get_ref().contains(['\n', '\0']) || flag.get_ref().is_empty() {
                    return Err(self.refuse(&flag, "a flag is one line and not empty"));
                }
                Ok(flag.into_inner())
            };
            flags.into_iter().map(check).collect::<Result<Vec<_>, Error>>()
        };
        Ok(Flags {
            configure: list(table.configure)?,
            make: list(table.make)?,
            build: list(table.build)?,
            check: list(table.check)?,
            install: list(table.install)?,
            cmake: list(table.cmake)?,
            meson: list(table.meson)?,
            cargo: list(table.cargo)?,
        })
    }

    fn toolchain(&self, table: Option<Spanned<ToolchainTable>>) -> Result<Toolchain, Error> {
        let table = table.map(Spanned::into_inner).unwrap_or_default();
        let mut paths = Vec::new();
        for path in table.paths {
            if !path.get_ref().starts_with('/') {
                return Err(self.refuse(&path, "a toolchain's path is absolute"));
            }
            if path.get_ref().contains(':') {
                return Err(self.refuse(&path, "a toolchain's path has no colon, because it goes into PATH"));
            }
            paths.push(self.path(path)?);
        }
        let kind = match table.kind.unwrap_or(ToolchainWord::Host) {
            ToolchainWord::Host => ToolchainKind::Host,
        };
        Ok(Toolchain { kind, paths })
    }
}

fn build_system(word: BuildSystemWord) -> BuildSystem {
    match word {
        BuildSystemWord::Autotools => BuildSystem::Autotools,
        BuildSystemWord::Make => BuildSystem::Make,
        BuildSystemWord::Cmake => BuildSystem::Cmake,
        BuildSystemWord::CmakeMake => BuildSystem::CmakeMake,
        BuildSystemWord::Meson => BuildSystem::Meson,
        BuildSystemWord::Cargo => BuildSystem::Cargo,
        BuildSystemWord::Custom => BuildSystem::Custom,
    }
}

fn phase(word: PhaseWord) -> Phase {
    match word {
        PhaseWord::Unpack => Phase::Unpack,
        PhaseWord::Patch => Phase::Patch,
        PhaseWord::Configure => Phase::Configure,
        PhaseWord::Build => Phase::Build,
        PhaseWord::Check => Phase::Check,
        PhaseWord::Install => Phase::Install,
        PhaseWord::Fixup => Phase::Fixup,
        PhaseWord::InstallCheck => Phase::InstallCheck,
        PhaseWord::Dist => Phase::Dist,
    }
}

//! What a package says, in the words of the setup script.

use rekindle_nix::OutputName;

use super::draft::Draft;
use super::{Place, Recipe, Resolved};
use crate::Error;
use crate::manifest::{BuildSystem, Input, InputFrom, Package, Phase, Source};

impl Draft<'_> {
    pub(super) fn sources(&mut self, package: &Package, facts: &Resolved<'_>) -> Result<(), Error> {
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

    pub(super) fn inputs(&mut self, package: &Package, facts: &Resolved<'_>) -> Result<(), Error> {
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

    pub(super) fn phases(&mut self, package: &Package) -> Result<(), Error> {
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

    pub(super) fn flags(&mut self, package: &Package) -> Result<(), Error> {
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

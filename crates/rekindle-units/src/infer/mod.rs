//! A package for a source tree that has no `rekindle.toml`.
//!
//! The build system is told from the names in the root of the tree, by this precedence:
//!
//! | # | found | build system |
//! | --- | --- | --- |
//! | 1 | `Cargo.toml` | cargo |
//! | 2 | `configure` | autotools |
//! | 3 | `meson.build` | meson |
//! | 4 | `CMakeLists.txt` | cmake with ninja, or with make where there is no ninja |
//! | 5 | `configure.ac`, `configure.in` | autotools, after `autoreconf` |
//! | 6 | `GNUmakefile`, `makefile`, `Makefile` | make |
//!
//! Cargo comes first because only its own build system brings the crates that an offline build needs. A ready
//! `configure` comes next: it is what a release was made for, and it needs no further tool. A `Makefile` comes
//! last because the others often have one beside them, as a convenience or as a leftover. What else was found is
//! reported, so that the choice is no surprise.
//!
//! Name and version come from what the build system says of itself, where it says it plainly, else from the
//! directory's name.

mod facts;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::Error;
use crate::error::Problem;
use crate::manifest::{BuildSystem, Manifest, Package, PackageName};

/// The root of a source tree: names, and the content of the few files that matter.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The last component of the tree's path; a name and version of last resort.
    pub directory: OsString,
    /// The names in the root. The content is needed only where [`wants_content`] says so; elsewhere, and for
    /// what is not a regular file, it is `None`.
    pub entries: BTreeMap<OsString, Option<Vec<u8>>>,
    /// Whether the toolchain has ninja.
    pub has_ninja: bool,
}

/// What was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    /// The package. Its source is the directory itself.
    pub package: Package,
    /// The file that decided.
    pub decided_by: &'static str,
    /// Files of other build systems that were found too and lost by precedence.
    pub also_found: Vec<&'static str>,
    /// What the user might want to know: tools that the build will need.
    pub notes: Vec<String>,
}

/// A file that tells a build system, strongest first.
const MARKERS: [(&str, BuildSystem); 9] = [
    ("Cargo.toml", BuildSystem::Cargo),
    ("configure", BuildSystem::Autotools),
    ("meson.build", BuildSystem::Meson),
    ("CMakeLists.txt", BuildSystem::Cmake),
    ("configure.ac", BuildSystem::Autotools),
    ("configure.in", BuildSystem::Autotools),
    ("GNUmakefile", BuildSystem::Make),
    ("makefile", BuildSystem::Make),
    ("Makefile", BuildSystem::Make),
];

/// Tells whether the content of a file of that name is looked at. The first 64 KiB are enough.
pub fn wants_content(name: &OsStr) -> bool {
    MARKERS.iter().any(|(marker, _)| name == *marker)
}

/// Recognises a source tree.
///
/// # Errors
/// Nothing was recognised (the error lists what was looked for), or a Cargo project has no `Cargo.lock`.
pub fn infer(listing: &Listing) -> Result<Inferred, Error> {
    let has = |name: &str| listing.entries.contains_key(OsStr::new(name));
    let mut found = MARKERS.iter().filter(|(marker, _)| has(marker));
    let Some(&(decided_by, system)) = found.next() else {
        let looked_for: Vec<_> = MARKERS.iter().map(|(marker, _)| *marker).collect();
        let message = format!(
            "no build system was recognised in {}: there is none of {}; `rekindle.toml` can say how it is built",
            listing.directory.display(),
            looked_for.join(", ")
        );
        return Err(Problem::NotRecognised(message).into());
    };
    if system == BuildSystem::Cargo && !has("Cargo.lock") {
        let message = format!(
            "{} has a Cargo.toml but no Cargo.lock; run `cargo generate-lockfile` to choose the crates",
            listing.directory.display()
        );
        return Err(Problem::NotRecognised(message).into());
    }
    let also_found: Vec<_> = found.filter(|(_, other)| *other != system).map(|(marker, _)| *marker).collect();
    let content = |name: &str| {
        let bytes = listing.entries.get(OsStr::new(name)).and_then(Option::as_deref).unwrap_or_default();
        String::from_utf8_lossy(bytes)
    };
    let system = match system {
        BuildSystem::Cmake if !listing.has_ninja => BuildSystem::CmakeMake,
        other => other,
    };
    let said = match decided_by {
        "Cargo.toml" => facts::cargo(&content(decided_by)),
        "meson.build" => facts::meson(&content(decided_by)),
        "CMakeLists.txt" => facts::cmake(&content(decided_by)),
        "configure" => {
            let input = if has("configure.ac") { "configure.ac" } else { "configure.in" };
            facts::configure(&content(decided_by)).or(facts::autoconf(&content(input)))
        }
        "configure.ac" | "configure.in" => facts::autoconf(&content(decided_by)),
        _ => facts::Said::default(),
    };
    let (name, version) = name_and_version(said, &listing.directory.to_string_lossy());
    let mut package = Package::new(name, system);
    package.version = version;
    let mut notes = Vec::new();
    match decided_by {
        "configure.ac" | "configure.in" => {
            package.phases.autoreconf = true;
            notes.push(format!("{decided_by} without configure: autoreconf (autoconf, automake) will run"));
        }
        // Lua and its kin have their own word for the prefix.
        "GNUmakefile" | "makefile" | "Makefile" if facts::assigns(&content(decided_by), "INSTALL_TOP") => {
            package.flags.make.push("INSTALL_TOP=${out}".to_owned());
        }
        _ => {}
    }
    Ok(Inferred { package, decided_by, also_found, notes })
}

impl Inferred {
    /// Fills in what a manifest left to be recognised: the build system, and what goes with it. What the manifest
    /// says itself stays; nothing changes if it says the build system.
    pub fn complete(&self, package: &mut Package) {
        if package.build_system.is_some() {
            return;
        }
        package.build_system = self.package.build_system;
        package.phases.autoreconf |= self.package.phases.autoreconf && package.phases.command.is_none();
        // The manifest's own come later, so that they win.
        package.flags.make.splice(0..0, self.package.flags.make.iter().cloned());
    }

    /// Writes the manifest that says what was inferred, with comments; parsing it gives the same package.
    pub fn to_toml(&self) -> String {
        let mut text = format!("# Written by `rekindle init`, because there is a {}.\n", self.decided_by);
        if !self.also_found.is_empty() {
            let others = self.also_found.join(", ");
            text.push_str(&format!(
                "# There is also {others}: set build-system to build with that instead.\n"
            ));
        }
        for note in &self.notes {
            text.push_str(&format!("# {note}.\n"));
        }
        text.push('\n');
        text.push_str(&Manifest::single(self.package.clone()).to_toml());
        text
    }
}

/// What the build system says wins; what a store path cannot have in its name is dropped.
fn name_and_version(said: facts::Said, directory: &str) -> (PackageName, Option<String>) {
    let (dir_name, dir_version) = facts::split_version(directory);
    let name = [said.name.as_deref().unwrap_or_default(), &dir_name, "package"]
        .into_iter()
        .find_map(|name| PackageName::new(&clean(name)).ok())
        .expect("\"package\" is a package name");
    let version = [said.version, dir_version].into_iter().flatten().map(|version| clean(&version));
    let version = version.into_iter().find(|version| {
        !version.is_empty()
            && PackageName::new(version).is_ok()
            && PackageName::new(&format!("{name}-{version}")).is_ok()
    });
    (name, version)
}

fn clean(word: &str) -> String {
    let word: String = word
        .trim()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "+-._?=".contains(c) { c } else { '-' })
        .collect();
    word.trim_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests;

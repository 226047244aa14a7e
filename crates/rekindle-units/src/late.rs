//! Which attributes a phase may read: what is bound late.
//!
//! A phase's recipe key holds what it can see. If `postInstall` were visible to `buildPhase`, an edit of it would
//! throw the compiled objects away. Reads of a shell variable cannot be traced, so this is a table: for each
//! attribute in it, the first phase that may read it. What is not in the table is visible from the start.
//!
//! The engine keeps the rule true rather than trusting it: an attribute that is not visible in a phase is not in
//! that phase's environment, so a package that breaks the rule sees an empty variable, as it would see a phase
//! that it does not define. To be in the table an attribute has to be one that nothing in nixpkgs' `setup.sh`, its
//! common setup hooks, or our own script reads earlier.
//!
//! Hooks may write one earlier: `multiple-outputs.sh` prepends to `installFlags` while it configures. So when an
//! attribute is about to become visible and the shell state has a variable of that name already, it may not be
//! bound late in this package: the engine treats it as visible from the start. That costs a miss, never a wrong
//! answer.
//!
//! Setup hooks do look *whether* a phase is given (`if [ -z "${installPhase-}" ]; then
//! installPhase=mesonInstallPhase`), at the very start. Such an attribute's presence is visible from the start,
//! and its text only later ([`Late::presence_is_early`]).

/// A point in a build from which on an attribute is visible, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum From {
    /// Checks, and all later ones.
    Check,
    /// Installing.
    Install,
    /// Arranging the outputs.
    Fixup,
    /// Checks of what was installed.
    InstallCheck,
    /// Making tarballs.
    Dist,
    /// The very end, when all phases are over.
    End,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    /// The attribute's name.
    pub attribute: &'static str,
    /// The first phase that may read it.
    pub from: From,
    /// Whether earlier phases may tell if it is set (and not empty), though not to what.
    pub presence_is_early: bool,
}

/// How much of an attribute a phase sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Its text.
    Text,
    /// Whether it is set and not empty.
    Presence,
    /// Nothing.
    Nothing,
}

const fn row(attribute: &'static str, from: From) -> Late {
    Late { attribute, from, presence_is_early: false }
}

const fn phase(attribute: &'static str, from: From) -> Late {
    Late { attribute, from, presence_is_early: true }
}

/// The table, sorted by attribute.
///
/// Not in it, though one might think so: `doCheck` (CMake's hook turns tests off at configure time without it),
/// `outputs` and `prefix`, `makeFlags` (each make reads them), `enableParallelBuilding`, and every `*Phases` list
/// (the order of phases is fixed at the start).
pub const TABLE: [Late; 54] = [
    row("checkFlags", From::Check),
    row("checkFlagsArray", From::Check),
    phase("checkPhase", From::Check),
    row("checkTarget", From::Check),
    row("compressMan", From::Fixup),
    row("disallowedReferences", From::End),
    row("disallowedRequisites", From::End),
    row("distFlags", From::Dist),
    row("distFlagsArray", From::Dist),
    phase("distPhase", From::Dist),
    row("distTarget", From::Dist),
    row("doDist", From::Dist),
    row("doInstallCheck", From::InstallCheck),
    row("dontAuditTmpdir", From::Fixup),
    row("dontCopyDist", From::Dist),
    row("dontFixup", From::Fixup),
    row("dontGzipMan", From::Fixup),
    row("dontMoveLib64", From::Fixup),
    row("dontMoveSbin", From::Fixup),
    row("dontPatchELF", From::Fixup),
    row("dontPatchShebangs", From::Fixup),
    row("dontPruneLibtoolFiles", From::Fixup),
    row("dontStrip", From::Fixup),
    row("enableParallelChecking", From::Check),
    row("enableParallelInstalling", From::Install),
    phase("fixupPhase", From::Fixup),
    row("forceShare", From::Fixup),
    row("installCheckFlags", From::InstallCheck),
    row("installCheckFlagsArray", From::InstallCheck),
    phase("installCheckPhase", From::InstallCheck),
    row("installCheckTarget", From::InstallCheck),
    row("installFlags", From::Install),
    row("installFlagsArray", From::Install),
    phase("installPhase", From::Install),
    row("installTargets", From::Install),
    row("meta", From::End),
    row("passthru", From::End),
    row("postCheck", From::Check),
    row("postDist", From::Dist),
    row("postFixup", From::Fixup),
    row("postInstall", From::Install),
    row("postInstallCheck", From::InstallCheck),
    row("preCheck", From::Check),
    row("preDist", From::Dist),
    row("preFixup", From::Fixup),
    row("preInstall", From::Install),
    row("preInstallCheck", From::InstallCheck),
    row("setupHook", From::Fixup),
    row("stripAllFlags", From::Fixup),
    row("stripAllList", From::Fixup),
    row("stripDebugFlags", From::Fixup),
    row("stripDebugList", From::Fixup),
    row("tarballs", From::Dist),
    row("updateScript", From::End),
];

/// Returns an attribute's row, or `None` for one that is visible from the start.
pub fn late(attribute: &str) -> Option<&'static Late> {
    TABLE.binary_search_by_key(&attribute, |row| row.attribute).ok().map(|index| &TABLE[index])
}

/// Returns how much of an attribute is visible in the phase with that shell name (`buildPhase`).
///
/// A phase that is not one of stdenv's sees everything: it may run anywhere and read anything, so what it reads
/// must be in its key.
pub fn sight(attribute: &str, phase: &str) -> Sight {
    let Some(row) = late(attribute) else { return Sight::Text };
    let reached = match phase {
        "unpackPhase" | "patchPhase" | "configurePhase" | "buildPhase" => false,
        "autoreconfPhase" | "updateAutotoolsGnuConfigScriptsPhase" => false,
        "checkPhase" => row.from <= From::Check,
        "installPhase" => row.from <= From::Install,
        "fixupPhase" => row.from <= From::Fixup,
        "installCheckPhase" => row.from <= From::InstallCheck,
        "distPhase" => row.from <= From::Dist,
        _ => true,
    };
    if reached {
        Sight::Text
    } else if row.presence_is_early {
        Sight::Presence
    } else {
        Sight::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_without_doubles() {
        assert!(TABLE.is_sorted_by(|a, b| a.attribute < b.attribute));
    }

    #[test]
    fn sights() {
        for (attribute, phase, expect) in [
            ("postInstall", "buildPhase", Sight::Nothing),
            ("postInstall", "installPhase", Sight::Text),
            ("postInstall", "fixupPhase", Sight::Text),
            ("installPhase", "unpackPhase", Sight::Presence),
            ("installPhase", "installPhase", Sight::Text),
            ("buildPhase", "unpackPhase", Sight::Text),
            ("doCheck", "configurePhase", Sight::Text),
            ("checkFlags", "checkPhase", Sight::Text),
            ("checkFlags", "buildPhase", Sight::Nothing),
            ("dontStrip", "installPhase", Sight::Nothing),
            ("dontStrip", "fixupPhase", Sight::Text),
            ("meta", "distPhase", Sight::Nothing),
            ("postInstall", "mySpecialPhase", Sight::Text),
            ("anythingElse", "unpackPhase", Sight::Text),
        ] {
            assert_eq!(sight(attribute, phase), expect, "{attribute} in {phase}");
        }
    }
}

//! The toolchains that the packages of a project are built with.
//!
//! Each package gets the host's, with the directories that it asks for and with the user's Rust if it is a Cargo project.
//! So what it is built with does not depend on what else is built in the same call. What a toolchain is made of is
//! written into the derivation, so that a derivation can later be built again from the store alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rekindle_engine::{Engine, Toolchain, programs_in};
use rekindle_nix::{Derivation, StorePath};
use rekindle_units::lower::ToolchainFacts;
use rekindle_units::manifest::BuildSystem;

use crate::cli_error::CliError;
use crate::host_rust;
use crate::project::Member;
use crate::session::Session;

/// The variable of a derivation that has the extra directories of its toolchain, one per line.
const HOST_PATHS: &[u8] = b"rekindleHostPaths";

/// A toolchain, and what derivations say of it.
#[derive(Debug, Clone)]
pub(crate) struct HostToolchain {
    pub(crate) toolchain: Toolchain,
    pub(crate) facts: ToolchainFacts,
}

impl HostToolchain {
    /// The same with the identity that the package of this derivation keeps.
    pub(crate) fn settled(&self, engine: &Engine, drv: &Derivation) -> HostToolchain {
        let toolchain = engine.settled(drv, &self.toolchain);
        let facts = ToolchainFacts { identity: toolchain.identity.clone(), ..self.facts.clone() };
        HostToolchain { toolchain, facts }
    }
}

/// The toolchain for each of these packages, in their order.
pub(crate) fn host_toolchains(
    session: &Session<'_>,
    members: &[Member],
) -> Result<Vec<HostToolchain>, CliError> {
    let rust = if members.iter().any(|member| member.package.build_system == Some(BuildSystem::Cargo)) {
        host_rust::toolchain(session.environment, &session.cache_dir()?)?
    } else {
        None
    };
    // Most packages ask for nothing, and to identify a toolchain takes a while.
    let mut known: BTreeMap<Vec<PathBuf>, HostToolchain> = BTreeMap::new();
    let mut toolchains = Vec::with_capacity(members.len());
    for member in members {
        let mut extra: Vec<PathBuf> = Vec::new();
        let of_cargo = member.package.build_system == Some(BuildSystem::Cargo);
        for path in member.package.toolchain.paths.iter().chain(rust.iter().filter(|_| of_cargo)) {
            if !extra.contains(path) {
                extra.push(path.clone());
            }
        }
        if !known.contains_key(&extra) {
            known.insert(extra.clone(), host_toolchain(&extra)?);
        }
        toolchains.push(known[&extra].clone());
    }
    Ok(toolchains)
}

fn host_toolchain(extra: &[PathBuf]) -> Result<HostToolchain, CliError> {
    let toolchain = with_paths(extra)?;
    let texts = extra.iter().map(|path| text(path)).collect::<Result<Vec<_>, _>>()?;
    let mut search: Vec<String> = Vec::new();
    for path in extra {
        search.push(text(&programs_in(path))?);
    }
    search.push(toolchain.search_path.clone());
    let facts =
        ToolchainFacts { identity: toolchain.identity.clone(), path: search.join(":"), host_paths: texts };
    Ok(HostToolchain { toolchain, facts })
}

/// The toolchains that derivations in the store, and those that they depend on, ask for.
pub(crate) fn toolchains_of(engine: &Engine, drvs: &[StorePath]) -> Result<Vec<Toolchain>, CliError> {
    let mut known: BTreeMap<Vec<PathBuf>, Toolchain> = BTreeMap::new();
    let mut wanted: Vec<Toolchain> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut pending = drvs.to_vec();
    while let Some(path) = pending.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let drv = engine.derivation(&path)?;
        let lines = drv.env.get(HOST_PATHS).into_iter().flat_map(|paths| paths.split(|byte| *byte == b'\n'));
        let lines = lines.filter(|line| !line.is_empty());
        let extra: Vec<PathBuf> = lines.map(|line| PathBuf::from(OsStr::from_bytes(line))).collect();
        if !known.contains_key(&extra) {
            known.insert(extra.clone(), with_paths(&extra)?);
        }
        if let Some(toolchain) = engine.wanted(&drv, &known[&extra]) {
            wanted.push(toolchain);
        }
        pending.extend(drv.input_drvs.keys().cloned());
    }
    Ok(wanted)
}

fn with_paths(extra: &[PathBuf]) -> Result<Toolchain, CliError> {
    Toolchain::host(extra).map_err(|error| {
        CliError::user(format!("the toolchain cannot be used: {}", crate::cli_error::one_line(&error)))
    })
}

fn text(path: &Path) -> Result<String, CliError> {
    match path.to_str() {
        Some(text) if !text.contains([':', '\n']) => Ok(text.to_owned()),
        _ => Err(CliError::user(format!("the toolchain directory {path:?} cannot be part of a PATH"))),
    }
}

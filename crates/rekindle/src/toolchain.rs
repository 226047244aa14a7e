//! The toolchain that the packages of a project are built with.
//!
//! All packages of one call get the same one: the host's, with the directories that any of them asks for and with the
//! user's Rust if one of them is a Cargo project. What it is made of is written into each derivation, so that a
//! derivation can later be built again from the store alone.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rekindle_engine::Toolchain;
use rekindle_nix::StorePath;
use rekindle_store::Store;
use rekindle_units::lower::ToolchainFacts;
use rekindle_units::manifest::BuildSystem;

use crate::cli_error::CliError;
use crate::host_rust;
use crate::project::Member;
use crate::session::Session;

/// The variable of a derivation that has the extra directories of its toolchain, one per line.
const HOST_PATHS: &[u8] = b"rekindleHostPaths";

/// The toolchain for these packages, and what their derivations say of it.
pub(crate) fn host_toolchain(
    session: &Session<'_>,
    members: &[Member],
) -> Result<(Toolchain, ToolchainFacts), CliError> {
    let mut extra: Vec<PathBuf> = Vec::new();
    let asked = members.iter().flat_map(|member| &member.package.toolchain.paths).cloned();
    let rust = if members.iter().any(|member| member.package.build_system == Some(BuildSystem::Cargo)) {
        host_rust::toolchain(session.environment, &session.cache_dir()?)?
    } else {
        None
    };
    for path in asked.chain(rust) {
        if !extra.contains(&path) {
            extra.push(path);
        }
    }
    let toolchain = with_paths(&extra)?;
    let texts = extra.iter().map(|path| text(path)).collect::<Result<Vec<_>, _>>()?;
    let mut search: Vec<String> = Vec::new();
    for path in &extra {
        let programs = path.join("bin");
        search.push(text(if programs.is_dir() { &programs } else { path })?);
    }
    search.push(toolchain.search_path.clone());
    let facts =
        ToolchainFacts { identity: toolchain.identity.clone(), path: search.join(":"), host_paths: texts };
    Ok((toolchain, facts))
}

/// The toolchain that derivations in the store ask for.
pub(crate) fn toolchain_of(store: &Store, drvs: &[StorePath]) -> Result<Toolchain, CliError> {
    let mut extra = Vec::new();
    let mut seen = BTreeSet::new();
    let mut pending = drvs.to_vec();
    while let Some(path) = pending.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let drv = store.read_derivation(&path)?;
        for line in drv.env.get(HOST_PATHS).into_iter().flat_map(|paths| paths.split(|byte| *byte == b'\n')) {
            let path = PathBuf::from(OsStr::from_bytes(line));
            if !line.is_empty() && !extra.contains(&path) {
                extra.push(path);
            }
        }
        pending.extend(drv.input_drvs.keys().cloned());
    }
    with_paths(&extra)
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

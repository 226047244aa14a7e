//! Fetching: the derivations whose builder is not a program but a `builtin:` of whoever builds.
//!
//! The engine knows that there are such builders and checks what they bring against the hash that the derivation
//! says. How bytes come over a network is the business of the [`Fetcher`] that the program hands in.

use std::collections::BTreeMap;
use std::path::Path;

use rekindle_nix::Derivation;
use rekindle_sandbox::Cancel;

/// Brings what a `builtin:` derivation asks for.
pub trait Fetcher: Sync {
    /// Makes a file or directory at `dest`, which does not exist yet. Must return soon after `cancel`.
    ///
    /// # Errors
    /// What went wrong and what to do, in a sentence for the user.
    fn fetch(&self, request: &FetchRequest<'_>, dest: &Path, cancel: &Cancel) -> Result<(), String>;
}

/// What is to be fetched.
#[derive(Debug, Clone, Copy)]
pub struct FetchRequest<'a> {
    /// What follows `builtin:` in the derivation's builder.
    pub builtin: &'a str,
    /// The derivation's name.
    pub name: &'a str,
    /// The derivation's environment (`url`, `crate`, …).
    pub env: &'a BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<'a> FetchRequest<'a> {
    /// The request that `drv` makes, if its builder is a `builtin:`.
    pub fn of(drv: &'a Derivation) -> Option<FetchRequest<'a>> {
        let builtin = std::str::from_utf8(&drv.builder).ok()?.strip_prefix("builtin:")?;
        Some(FetchRequest { builtin, name: drv.name.as_str(), env: &drv.env })
    }

    /// A variable of the derivation, if it is there and is UTF-8.
    pub fn var(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.env.get(name.as_bytes())?).ok()
    }
}

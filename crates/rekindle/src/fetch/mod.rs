//! Brings what `builtin:` derivations ask for: files by URL, and crates by the user's own cargo.

mod crates;
mod url;

use std::path::{Path, PathBuf};

use rekindle_engine::{Cancel, FetchRequest, Fetcher};
use rekindle_units::cargo::Lock;

use crate::environment::Environment;
use crates::Crates;

/// What the engine asks for fetches.
#[derive(Debug)]
pub(crate) struct HostFetcher {
    crates: Crates,
}

impl HostFetcher {
    /// A fetcher that knows which crates will be asked for, so that it can have them brought together. `cache` is a
    /// directory of the user's for what may go at any time.
    pub(crate) fn new(environment: &Environment, cache: PathBuf, locks: Vec<Lock>) -> HostFetcher {
        HostFetcher { crates: Crates::new(environment, cache, locks) }
    }
}

impl Fetcher for HostFetcher {
    fn fetch(&self, request: &FetchRequest<'_>, dest: &Path, cancel: &Cancel) -> Result<(), String> {
        match request.builtin {
            "fetchurl" => {
                if request.var("unpack") == Some("1") {
                    return Err("it is to be unpacked, which is not supported; fetch the file, and unpack it in a phase".into());
                }
                let url = request.var("url").ok_or("it has no `url`")?;
                url::fetch(url, dest, request.var("executable") == Some("1"), cancel)
            }
            "rekindle-fetch-crate" => self.crates.fetch(request, dest, cancel),
            other => Err(format!("there is no builder \"builtin:{other}\" here")),
        }
    }
}

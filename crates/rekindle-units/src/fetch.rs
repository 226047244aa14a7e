//! Derivations that fetch, and the one that arranges what Cargo needs.
//!
//! What is fetched is a fixed output: its store path comes from its name and its hash and nothing else, so two
//! packages share it, and a mirror or another way to fetch changes nothing. A URL is fetched by `builtin:fetchurl`,
//! exactly as Nix writes it. Crates have a builder of our own, [`FETCH_CRATE`], because only the user's own cargo
//! knows their registry, its mirror and its credentials; real Nix cannot run it, but takes the output from our
//! store and then has no need to.

use std::collections::{BTreeMap, BTreeSet};

use rekindle_nix::{
    ContentAddress, ContentMethod, Derivation, Hash, Output, OutputName, StoreDir, StorePathName,
};

use crate::Error;
use crate::cargo::{Crate, Registry};
use crate::error::Problem;
use crate::lower::{Draft, Recipe, Stdenv};
use crate::manifest::Fetch;

/// The builder of a crate's derivation. Its environment has `crate`, `version` and `registry` (the source as
/// `Cargo.lock` writes it); the output is the `.crate` file.
pub const FETCH_CRATE: &str = "builtin:rekindle-fetch-crate";

/// The builder of a URL's derivation, Nix's own. Its environment has `url`.
pub const FETCH_URL: &str = "builtin:fetchurl";

/// Returns the derivation that fetches a file; the same as Nix's `<nix/fetchurl.nix>` with `hash` makes.
///
/// # Errors
/// The hash or the name is not one; a [`Fetch`] that came from a manifest has both right.
pub fn url(store_dir: &StoreDir, fetch: &Fetch) -> Result<Recipe, Error> {
    let name = fetch.file_name();
    let make = || {
        let hash = Hash::parse(fetch.hash.as_bytes())?;
        let variables = [
            ("executable", ""),
            ("impureEnvVars", "http_proxy https_proxy ftp_proxy all_proxy no_proxy"),
            ("unpack", ""),
            ("url", &fetch.url),
            ("urls", &fetch.url),
        ];
        fixed(store_dir, name, FETCH_URL, hash, &variables)
    };
    make().map_err(|source| Problem::Derivation { package: name.to_owned(), source }.into())
}

/// Returns the derivation that fetches a crate. Its output path depends on name, version and checksum only.
///
/// # Errors
/// The name and version are too long for a store path.
pub fn krate(store_dir: &StoreDir, krate: &Crate) -> Result<Recipe, Error> {
    let name = krate.file_name();
    let variables =
        [("crate", krate.name()), ("version", krate.version()), ("registry", krate.registry().as_str())];
    fixed(store_dir, &name, FETCH_CRATE, *krate.checksum(), &variables)
        .map_err(|source| Problem::Derivation { package: name, source }.into())
}

/// Returns the derivation that unpacks crates into one tree which Cargo can use in place of their registries:
/// a directory for each registry, and a `config.toml` in which `@vendor@` stands for the tree's own path.
///
/// An ordinary derivation without network; it is named the same for all packages, so those with the same crates
/// share it.
///
/// # Errors
/// Two crates have the same name and version in one registry.
pub fn cargo_vendor(stdenv: &Stdenv<'_>, crates: &[(&Crate, &Recipe)]) -> Result<Recipe, Error> {
    let mut registries: BTreeMap<&Registry, BTreeMap<String, &Recipe>> = BTreeMap::new();
    for (krate, recipe) in crates {
        let name = krate.file_name();
        if registries.entry(krate.registry()).or_default().insert(name.clone(), recipe).is_some() {
            let message = format!("the crate {name} is there twice");
            return Err(Problem::Lowering { package: VENDOR_NAME.to_owned(), message }.into());
        }
    }
    let mut draft = Draft::new(stdenv, VENDOR_NAME)?;
    draft.outputs(&[OutputName::out()])?;
    draft.set("buildCommand", include_str!("vendor.sh"))?;
    let mut config = String::from("# Written by Rekindle.\n");
    for (index, (registry, crates)) in registries.into_iter().enumerate() {
        config.push_str(&registry.replaced_by(&format!("rekindle-{index}")));
        config.push_str(&format!("[source.rekindle-{index}]\ndirectory = \"@vendor@/{index}\"\n\n"));
        let mut paths = Vec::new();
        for recipe in crates.values() {
            paths.push(draft.made(recipe, &OutputName::out())?);
        }
        for (chunk, paths) in paths.chunks(CRATES_PER_VARIABLE).enumerate() {
            draft.set(&format!("crates_{index}_{chunk}"), paths.join(" "))?;
        }
    }
    draft.set("cargoConfig", config)?;
    draft.finish()
}

const VENDOR_NAME: &str = "cargo-vendor";

/// Linux refuses an environment variable of more than 128 KiB; a store path has at most 266 bytes or so.
const CRATES_PER_VARIABLE: usize = 400;

fn fixed(
    store_dir: &StoreDir,
    name: &str,
    builder: &str,
    hash: Hash,
    variables: &[(&str, &str)],
) -> Result<Recipe, rekindle_nix::Error> {
    let name = StorePathName::new(name)?;
    let address = ContentAddress::new(ContentMethod::Flat, hash)?;
    let path = store_dir.fixed_output_path(&name, &address)?;
    let sri = hash.to_sri();
    let common = [
        ("builder", builder),
        ("name", name.as_str()),
        ("out", ""),
        ("outputHash", &sri),
        ("outputHashAlgo", ""),
        ("outputHashMode", "flat"),
        ("preferLocalBuild", "1"),
        ("system", "builtin"),
    ];
    let env = common.iter().chain(variables);
    let derivation = Derivation {
        outputs: BTreeMap::from([(OutputName::out(), Output::Fixed { address, path })]),
        input_drvs: BTreeMap::new(),
        input_srcs: BTreeSet::new(),
        system: "builtin".into(),
        builder: builder.into(),
        args: Vec::new(),
        env: env.map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect(),
        name,
    };
    Recipe::complete(store_dir, derivation, &BTreeMap::new())
}

#[cfg(test)]
mod tests;

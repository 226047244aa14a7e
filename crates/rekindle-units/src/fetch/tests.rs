use std::path::Path;

use rekindle_nix::{StorePath, aterm};

use super::*;
use crate::cargo::Lock;
use crate::lower::ToolchainFacts;

fn fetch(hash: &str, name: Option<&str>) -> Fetch {
    let url = "https://example.org/a.tar.gz".to_owned();
    Fetch { url, hash: hash.to_owned(), name: name.map(str::to_owned) }
}

/// What nix-instantiate 2.8 makes of `import <nix/fetchurl.nix> { url = …; hash = "sha256-…"; }`.
#[test]
fn a_url_is_fetched_as_nix_does() {
    let recipe =
        url(&StoreDir::default(), &fetch("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", None));
    let recipe = recipe.expect("a good hash");
    assert_eq!(recipe.path.base_name(), "xkwn27cig7kln3qzy0ik8axj9bnsmrpc-a.tar.gz.drv");
    let out = recipe.output(&OutputName::out()).expect("an output");
    assert_eq!(out.base_name(), "8fb7yhxdpj41755jdwfzykjndjgcx39b-a.tar.gz");
}

#[test]
fn the_spelling_of_a_hash_changes_nothing() {
    let dir = StoreDir::default();
    let sri = url(&dir, &fetch("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", None));
    for other in [
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73",
    ] {
        assert_eq!(url(&dir, &fetch(other, None)).expect("good"), sri.as_ref().expect("good").clone());
    }
    assert!(url(&dir, &fetch("md6:00", None)).is_err());
    assert!(url(&dir, &fetch("sha256:00", Some("a/b"))).is_err());
}

const LOCK: &str = r#"
version = 4

[[package]]
name = "one"
version = "1.0.0+meta"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

[[package]]
name = "two"
version = "2.0.0"
source = "sparse+https://registry.example.org/index/"
checksum = "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b"
"#;

fn recipes() -> (Lock, Vec<Recipe>) {
    let lock = Lock::parse(Path::new("Cargo.lock"), LOCK).expect("a good lock");
    let recipes =
        lock.crates().iter().map(|one| krate(&StoreDir::default(), one).expect("a good crate")).collect();
    (lock, recipes)
}

#[test]
fn a_crate_is_its_name_and_checksum() {
    let (lock, recipes) = recipes();
    let dir = StoreDir::default();
    let text = aterm::write(&recipes[0].derivation, &dir);
    let out = recipes[0].output(&OutputName::out()).expect("an output").base_name().to_owned();
    let expect = format!(
        "Derive([(\"out\",\"/nix/store/{out}\",\"sha256\",\
         \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\")],[],[],\"builtin\",\
         \"builtin:rekindle-fetch-crate\",[],[(\"builder\",\"builtin:rekindle-fetch-crate\"),(\"crate\",\"one\"),\
         (\"name\",\"one-1.0.0+meta.crate\"),(\"out\",\"/nix/store/{out}\"),\
         (\"outputHash\",\"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"),(\"outputHashAlgo\",\"\"),\
         (\"outputHashMode\",\"flat\"),(\"preferLocalBuild\",\"1\"),\
         (\"registry\",\"registry+https://github.com/rust-lang/crates.io-index\"),(\"system\",\"builtin\"),\
         (\"version\",\"1.0.0+meta\")])"
    );
    assert_eq!(String::from_utf8_lossy(&text), expect);

    // From another registry: another derivation, the same output.
    let other =
        LOCK.replace("registry+https://github.com/rust-lang/crates.io-index", "sparse+https://else.org/");
    let other = Lock::parse(Path::new("Cargo.lock"), &other).expect("a good lock");
    let other = krate(&dir, &other.crates()[0]).expect("a good crate");
    assert_ne!(other.path, recipes[0].path);
    assert_eq!(other.derivation.outputs, recipes[0].derivation.outputs);
    assert_eq!(lock.crates()[0].file_name(), "one-1.0.0+meta.crate");
}

#[test]
fn vendoring_replaces_each_registry() {
    let (lock, recipes) = recipes();
    let setup =
        StorePath::from_base_name(b"00bgd045z0d4icpbc2yyz4gx48ak44la-rekindle-stdenv").expect("a path");
    let toolchain = ToolchainFacts { identity: "t".into(), path: "/usr/bin".into(), host_paths: Vec::new() };
    let dir = StoreDir::default();
    let stdenv = Stdenv { store_dir: &dir, system: "x86_64-linux", setup: &setup, toolchain: &toolchain };
    let pairs: Vec<_> = lock.crates().iter().zip(&recipes).collect();
    let vendor = cargo_vendor(&stdenv, &pairs).expect("good crates");
    let variable = |name: &str| String::from_utf8_lossy(&vendor.derivation.env[name.as_bytes()]).into_owned();
    assert_eq!(
        variable("cargoConfig"),
        "# Written by Rekindle.\n\
         [source.crates-io]\nreplace-with = \"rekindle-0\"\n\n\
         [source.rekindle-0]\ndirectory = \"@vendor@/0\"\n\n\
         [source.rekindle-1-from]\nregistry = \"sparse+https://registry.example.org/index/\"\n\
         replace-with = \"rekindle-1\"\n\n\
         [source.rekindle-1]\ndirectory = \"@vendor@/1\"\n\n"
    );
    let crate_path =
        |index: usize| dir.display(recipes[index].output(&OutputName::out()).expect("an output"));
    assert_eq!(variable("crates_0_0"), crate_path(0));
    assert_eq!(variable("crates_1_0"), crate_path(1));
    assert_eq!(vendor.derivation.input_drvs.len(), 2);
    let backwards: Vec<_> = pairs.iter().rev().copied().collect();
    assert_eq!(cargo_vendor(&stdenv, &backwards).expect("good crates"), vendor);

    let twice = [pairs[0], pairs[0]];
    let error = cargo_vendor(&stdenv, &twice).map(|_| ()).expect_err("twice the same");
    assert_eq!(error.to_string(), "package cargo-vendor: the crate one-1.0.0+meta.crate is there twice");
}

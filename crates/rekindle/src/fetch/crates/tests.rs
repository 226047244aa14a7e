use std::collections::BTreeMap;

use super::*;

const CONTENT: &[u8] = b"the crate";
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A home of cargo's, and a `cargo` that is a shell script.
struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    fn new(script: &str) -> Host {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(dir.path().join("home/registry/cache/one")).expect("made");
        // Another process writes it, see host_rust.
        let status = Command::new("sh")
            .args([
                "-c",
                "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$2/cargo\" && chmod +x \"$2/cargo\"",
                "sh",
                script,
            ])
            .arg(dir.path())
            .status()
            .expect("sh");
        assert!(status.success());
        Host { dir }
    }

    /// Puts a file into cargo's cache.
    fn downloaded(&self, name: &str, content: &[u8]) {
        fs::write(self.dir.path().join("home/registry/cache/one").join(name), content).expect("written");
    }

    fn crates(&self, locks: Vec<Lock>) -> Crates {
        let mut path = self.dir.path().as_os_str().to_owned();
        path.push(":/usr/bin:/bin");
        let environment =
            Environment { path, cargo_home: Some(self.dir.path().join("home")), ..Environment::default() };
        Crates::new(&environment, self.dir.path().join("scratch"), locks)
    }

    fn fetch(&self, crates: &Crates, name: &str) -> Result<Vec<u8>, String> {
        let checksum = Hash::sha256(CONTENT).to_sri();
        let variables =
            [("crate", name), ("version", "1.0.0"), ("registry", REGISTRY), ("outputHash", &checksum)];
        let env: BTreeMap<_, _> = variables
            .iter()
            .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect();
        let request = FetchRequest { builtin: "rekindle-fetch-crate", name, env: &env };
        let dest = self.dir.path().join("dest");
        let _ = fs::remove_file(&dest);
        crates.fetch(&request, &dest, &Cancel::new().expect("a switch"))?;
        Ok(fs::read(dest).expect("a file"))
    }
}

fn lock(names: &[&str]) -> Lock {
    let sum = Hash::sha256(CONTENT).to_hex();
    let packages = names.iter().map(|name| {
        format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"{REGISTRY}\"\nchecksum = \"{sum}\"\n")
    });
    let text = format!("version = 3\n{}", packages.collect::<String>());
    Lock::parse(Path::new("Cargo.lock"), &text).expect("a lock")
}

#[test]
fn what_cargo_has_downloaded_before_is_taken() {
    let host = Host::new("exit 1");
    host.downloaded("a-1.0.0.crate", CONTENT);
    assert_eq!(host.fetch(&host.crates(Vec::new()), "a"), Ok(CONTENT.to_vec()));
}

#[test]
fn a_download_with_another_checksum_is_not_taken() {
    let host = Host::new("exit 0");
    host.downloaded("a-1.0.0.crate", b"another crate");
    let error = host.fetch(&host.crates(Vec::new()), "a").expect_err("an error");
    assert!(error.contains("checksum") && error.contains("a 1.0.0"), "{error}");
}

#[test]
fn cargo_fetches_once_for_all_crates_of_a_lock_in_a_directory_of_ours() {
    let host = Host::new(
        "top=$(dirname \"$0\")
         grep -q 'package = \"a\"' Cargo.toml && grep -q 'name = \"b\"' Cargo.lock || exit 1
         echo $(ls) \"$@\" >>\"$top/calls\"
         for name in a b; do printf 'the crate' >\"$top/home/registry/cache/one/$name-1.0.0.crate\"; done",
    );
    let crates = host.crates(vec![lock(&["a", "b"])]);
    assert_eq!(host.fetch(&crates, "a"), Ok(CONTENT.to_vec()));
    assert_eq!(host.fetch(&crates, "b"), Ok(CONTENT.to_vec()));
    let calls = fs::read_to_string(host.dir.path().join("calls")).expect("a file");
    assert_eq!(calls, "Cargo.lock Cargo.toml lib.rs log fetch --color never\n");
    assert_eq!(fs::read_dir(host.dir.path().join("scratch")).expect("a directory").count(), 0);
}

#[test]
fn a_crate_that_no_lock_names_is_fetched_by_itself() {
    let host = Host::new(
        "grep -q 'package = \"c\"' Cargo.toml && grep -q 'version = \"=1.0.0\"' Cargo.toml || exit 1
         printf 'the crate' >\"$(dirname \"$0\")/home/registry/cache/one/c-1.0.0.crate\"",
    );
    assert_eq!(host.fetch(&host.crates(Vec::new()), "c"), Ok(CONTENT.to_vec()));
}

#[test]
fn what_cargo_complains_about_is_passed_on() {
    let host = Host::new(
        "echo ' Updating index' >&2; echo 'error: no such crate' >&2; echo ' at all' >&2; exit 101",
    );
    let error = host.fetch(&host.crates(vec![lock(&["a"])]), "a").expect_err("an error");
    assert_eq!(error, format!("cargo could not fetch a 1.0.0 from {REGISTRY}: no such crate at all"));
}

#[test]
fn a_cancelled_fetch_ends_cargo() {
    let host = Host::new("echo $$ >\"$(dirname \"$0\")/pid\"; sleep 1000 & wait");
    let crates = host.crates(vec![lock(&["a"])]);
    let cancel = Cancel::new().expect("a switch");
    let pid_file = host.dir.path().join("pid");
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            while fs::read(&pid_file).map_or(0, |pid| pid.len()) == 0 {
                thread::sleep(Duration::from_millis(5));
            }
            cancel.cancel();
        });
        crates.run_cargo(&lock(&["a"]), &cancel)
    });
    assert_eq!(outcome, Err("stopped".to_owned()));
    let pid = fs::read_to_string(pid_file).expect("a file");
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "cargo is gone");
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let host = Host::new("exit 0");
    assert!(host.fetch(&host.crates(Vec::new()), "../a").is_err());
}

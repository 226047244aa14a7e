//! Crates, by the user's own cargo: from what it has downloaded before, else by one `cargo fetch` for all of them.
//!
//! Only the user's cargo knows their registries, mirrors and credentials. It runs in a directory of ours, in which
//! there is a package that needs the same crates and nothing else: a project's own `.cargo/config.toml` could name any
//! program.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rekindle_engine::{Cancel, FetchRequest};
use rekindle_nix::Hash;
use rekindle_units::cargo::{Lock, scratch_project};

use crate::environment::Environment;
use crate::report::one_line;
use crate::scratch_dir::ScratchDir;

/// How often it is looked whether cargo has ended.
const GLANCE: Duration = Duration::from_millis(50);

/// Brings crates.
#[derive(Debug)]
pub(super) struct Crates {
    cargo: Option<PathBuf>,
    cargo_home: Option<PathBuf>,
    scratch: PathBuf,
    /// Those whose crates were not fetched yet, and what came of it when they were: one cargo at a time.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    locks: Vec<Lock>,
    complaints: Vec<String>,
}

/// The crate that a derivation asks for.
struct Wanted<'a> {
    name: &'a str,
    version: &'a str,
    registry: &'a str,
    checksum: Hash,
}

impl Crates {
    pub(super) fn new(environment: &Environment, scratch: PathBuf, locks: Vec<Lock>) -> Crates {
        Crates {
            cargo: environment.find_program("cargo"),
            cargo_home: environment.cargo_home(),
            scratch,
            state: Mutex::new(State { locks, complaints: Vec::new() }),
        }
    }

    pub(super) fn fetch(
        &self,
        request: &FetchRequest<'_>,
        dest: &Path,
        cancel: &Cancel,
    ) -> Result<(), String> {
        let wanted = Wanted::of(request)?;
        if self.copy_downloaded(&wanted, dest)? {
            return Ok(());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have had it fetched meanwhile.
        if self.copy_downloaded(&wanted, dest)? {
            return Ok(());
        }
        let known = |lock: &Lock| lock.crates().iter().any(|krate| *krate.checksum() == wanted.checksum);
        let lock = match state.locks.iter().position(known) {
            Some(place) => Some(state.locks.remove(place)),
            // A derivation from the store, say: nobody told which others there will be.
            None if state.complaints.is_empty() => Some(wanted.lock()?),
            None => None,
        };
        if let Some(lock) = lock
            && let Err(complaint) = self.run_cargo(&lock, cancel)
        {
            state.complaints.push(complaint);
        }
        if self.copy_downloaded(&wanted, dest)? {
            return Ok(());
        }
        let Wanted { name, version, registry, .. } = wanted;
        Err(match state.complaints.last() {
            Some(complaint) => format!("cargo could not fetch {name} {version} from {registry}: {complaint}"),
            None => format!(
                "cargo fetched {name} {version} from {registry}, but no file of it in {} has the checksum that Cargo.lock says",
                self.cache().map_or_else(|| "its cache".to_owned(), |cache| cache.display().to_string())
            ),
        })
    }

    /// Copies the crate from cargo's own cache, if it is there.
    fn copy_downloaded(&self, wanted: &Wanted<'_>, dest: &Path) -> Result<bool, String> {
        let Some(cache) = self.cache() else { return Ok(false) };
        let Ok(registries) = fs::read_dir(cache) else { return Ok(false) };
        for registry in registries.flatten() {
            let file = registry.path().join(format!("{}-{}.crate", wanted.name, wanted.version));
            let Ok(bytes) = fs::read(&file) else { continue };
            // Another registry may have another crate of this name.
            if Hash::sha256(&bytes) == wanted.checksum {
                fs::write(dest, bytes)
                    .map_err(|error| format!("cannot write {}: {error}", dest.display()))?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn cache(&self) -> Option<PathBuf> {
        Some(self.cargo_home.as_ref()?.join("registry/cache"))
    }

    /// Has the user's cargo download all crates of a lock.
    fn run_cargo(&self, lock: &Lock, cancel: &Cancel) -> Result<(), String> {
        let cargo = self.cargo.as_ref().ok_or("there is no `cargo` on the PATH")?;
        let disk = |error: io::Error| format!("cannot write to {}: {error}", self.scratch.display());
        let dir = ScratchDir::below(&self.scratch).map_err(disk)?;
        let project = scratch_project(lock);
        for (name, text) in
            [("Cargo.toml", project.manifest.as_str()), ("Cargo.lock", &project.lock), ("lib.rs", "")]
        {
            fs::write(dir.path().join(name), text).map_err(disk)?;
        }
        let log = dir.path().join("log");
        let child = Command::new(cargo)
            // Not `--locked`: cargo may write the same lock in another way. The versions are pinned all the same.
            .args(["fetch", "--color", "never"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).map_err(disk)?)
            // A group of its own: Ctrl-C is ours to handle, and cargo may have children.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", cargo.display()))?;
        if wait(child, cancel)? {
            return Ok(());
        }
        Err(last_words(&log))
    }
}

impl<'a> Wanted<'a> {
    fn of(request: &FetchRequest<'a>) -> Result<Wanted<'a>, String> {
        let var = |name| request.var(name).ok_or_else(|| format!("it has no `{name}`"));
        let (name, version, registry) = (var("crate")?, var("version")?, var("registry")?);
        if [name, version].iter().any(|part| part.contains('/')) {
            return Err(format!("{name} {version} is not a crate's name and version"));
        }
        let checksum = Hash::parse(var("outputHash")?.as_bytes()).map_err(|error| error.to_string())?;
        Ok(Wanted { name, version, registry, checksum })
    }

    /// A lock with just this crate.
    fn lock(&self) -> Result<Lock, String> {
        let Wanted { name, version, registry, checksum } = self;
        let text = format!(
            "version = 3\n[[package]]\nname = {name:?}\nversion = {version:?}\nsource = {registry:?}\nchecksum = \"{}\"\n",
            checksum.to_hex()
        );
        Lock::parse(Path::new("Cargo.lock"), &text).map_err(|error| error.to_string())
    }
}

/// Waits for a process, or ends it with its group. Returns whether it ended well.
fn wait(mut child: Child, cancel: &Cancel) -> Result<bool, String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if cancel.is_cancelled() => {
                let group = rustix::process::Pid::from_child(&child);
                // Gone already is as good.
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                let _ = child.wait();
                return Err("stopped".to_owned());
            }
            Ok(None) => thread::sleep(GLANCE),
            Err(error) => return Err(format!("cannot wait for cargo: {error}")),
        }
    }
}

/// What cargo complained about, as one line: from its first `error:` on, and not too much.
fn last_words(log: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(file) = File::open(log) {
        let _ = file.take(1 << 20).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let complaint = text.find("error:").map_or(text.as_str(), |start| &text[start..]);
    let words: Vec<_> = complaint.trim_start_matches("error:").split_whitespace().collect();
    let line = one_line(words.join(" ").as_bytes());
    if line.is_empty() { "it said nothing".to_owned() } else { line.chars().take(1000).collect() }
}

#[cfg(test)]
mod tests;

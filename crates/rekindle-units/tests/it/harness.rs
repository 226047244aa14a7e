//! One package in a directory of its own: its sources, its environment, and what came of building it.
//!
//! The environment is empty but for what a Nix sandbox sets. The build directory and the outputs have the same
//! paths in every run of a package, so that runs can be compared.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rekindle_units::setup;
use tempfile::TempDir;

/// A hash part, for names that look like store paths.
pub(crate) const HASH: &str = "00bgd045z0d4icpbc2yyz4gx48ak44la";

pub(crate) struct Sandbox {
    root: TempDir,
    env: BTreeMap<String, String>,
    outputs: Vec<String>,
}

/// What a run left.
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) log: String,
}

/// What is at a path below a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Directory,
    File { executable: bool, content: Vec<u8> },
    Link(PathBuf),
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let sandbox = Self { root, env: BTreeMap::new(), outputs: Vec::new() };
        for file in setup::FILES {
            sandbox.file(&format!("stdenv/{}", file.name), file.content);
        }
        let toolchain = "/usr/local/bin:/usr/bin:/bin".to_owned();
        sandbox.outputs(&["out"]).var("name", "demo-1.0").var("toolchainPath", &toolchain)
    }

    /// A package whose source is a directory with these files; those with a `#!` are executable.
    pub(crate) fn with_source(files: &[(&str, &str)]) -> Self {
        let sandbox = Self::new();
        let source = format!("store/{HASH}-source");
        fs::create_dir_all(sandbox.path(&source)).expect("a directory for the source");
        for (name, content) in files {
            sandbox.file(&format!("{source}/{name}"), content.as_bytes());
        }
        let path = sandbox.path(&source);
        sandbox.var("src", path.to_str().expect("temporary directories have plain names"))
    }

    pub(crate) fn outputs(mut self, names: &[&str]) -> Self {
        for old in std::mem::take(&mut self.outputs) {
            self.env.remove(&old);
        }
        self.outputs = names.iter().map(|name| (*name).to_owned()).collect();
        for name in names {
            let path = self.output(name);
            self.env.insert((*name).to_owned(), path.display().to_string());
        }
        self.var("outputs", &names.join(" "))
    }

    pub(crate) fn var(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    pub(crate) fn text(&self, relative: &str) -> String {
        self.path(relative).display().to_string()
    }

    pub(crate) fn output(&self, name: &str) -> PathBuf {
        self.path(&format!("store/{HASH}-demo-1.0-{name}"))
    }

    pub(crate) fn file(&self, relative: &str, content: &[u8]) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("parents");
        fs::write(&path, content).expect("a file");
        if content.starts_with(b"#!") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        path
    }

    /// Reads a file of the output `out`.
    pub(crate) fn read(&self, relative: &str) -> String {
        let path = self.output("out").join(relative);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Builds as Nix does: one bash for all.
    pub(crate) fn run(&self) -> Outcome {
        self.clean();
        outcome(
            &self.bash().args(["-e", &self.text("stdenv/default-builder.sh")]).output().expect("bash runs"),
        )
    }

    /// Builds, expecting success.
    pub(crate) fn build(&self) -> String {
        let outcome = self.run();
        assert!(outcome.success, "{}", outcome.log);
        outcome.log
    }

    /// Removes what a run left.
    pub(crate) fn clean(&self) {
        for path in self.outputs.iter().map(|name| self.output(name)).chain([self.path("build")]) {
            if fs::symlink_metadata(&path).is_ok() {
                fs::remove_dir_all(&path).expect("an old run can be removed");
            }
        }
        for directory in ["build", "store"] {
            fs::create_dir_all(self.path(directory)).expect("a directory");
        }
    }

    /// A bash with nothing in its environment but the package, in the build directory.
    pub(crate) fn bash(&self) -> Command {
        let build = self.path("build");
        let mut command = Command::new("/bin/bash");
        command.env_clear().current_dir(&build).env("PATH", "/path-not-set").env("HOME", "/homeless-shelter");
        for name in ["NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP"] {
            command.env(name, &build);
        }
        command.env("NIX_BUILD_CORES", "2").env("NIX_STORE", self.path("store"));
        command.env("stdenv", self.path("stdenv")).envs(&self.env);
        command
    }

    /// Everything in all outputs, by output and relative path.
    pub(crate) fn trees(&self) -> BTreeMap<String, Entry> {
        let mut all = BTreeMap::new();
        for name in &self.outputs {
            walk(&self.output(name), name, &mut all);
        }
        all
    }

    /// The paths in an output, directories left out.
    pub(crate) fn files(&self, output: &str) -> Vec<String> {
        let mut all = BTreeMap::new();
        walk(&self.output(output), "", &mut all);
        let files = all.into_iter().filter(|(_, entry)| *entry != Entry::Directory);
        files.map(|(path, _)| path.trim_start_matches('/').to_owned()).collect()
    }
}

pub(crate) fn outcome(output: &Output) -> Outcome {
    let mut log = String::from_utf8_lossy(&output.stdout).into_owned();
    log.push_str(&String::from_utf8_lossy(&output.stderr));
    Outcome { success: output.status.success(), log }
}

fn walk(path: &Path, name: &str, all: &mut BTreeMap<String, Entry>) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    let entry = if metadata.is_dir() {
        for child in fs::read_dir(path).expect("a directory can be read") {
            let child = child.expect("an entry");
            let child_name = String::from_utf8_lossy(child.file_name().as_bytes()).into_owned();
            walk(&child.path(), &format!("{name}/{child_name}"), all);
        }
        Entry::Directory
    } else if metadata.is_symlink() {
        Entry::Link(fs::read_link(path).expect("a link"))
    } else {
        let executable = metadata.permissions().mode() & 0o111 != 0;
        Entry::File { executable, content: fs::read(path).expect("a file can be read") }
    };
    all.insert(name.to_owned(), entry);
}

//! The judge: what real Nix makes of the same input, in a store and a home of the test's own.
//!
//! These tests fail where Nix is absent. They would be worth nothing if they could be skipped by accident.

mod archives;
mod derivations;
mod signing;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Real Nix with a chroot store, without substituters, configuration or access to the user's home.
pub(crate) struct RealNix {
    dir: TempDir,
}

impl RealNix {
    pub(crate) fn new() -> RealNix {
        let dir = tempfile::tempdir().unwrap();
        let version = Command::new("nix").arg("--version").output();
        assert!(
            version.is_ok_and(|output| output.status.success()),
            "these tests compare with real Nix, which is not here: install it (Debian: apt-get install nix-bin)"
        );
        std::fs::create_dir(dir.path().join("home")).unwrap();
        RealNix { dir }
    }

    /// A directory for the test's files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the objects of the store are on disk.
    pub(crate) fn store_on_disk(&self) -> PathBuf {
        self.dir().join("root/nix/store")
    }

    /// A command that works on a store whose objects are on disk where their paths say.
    pub(crate) fn command_at(&self, store_dir: &Path, program: &str) -> Command {
        let mut command = self.command(program);
        command
            .env_remove("NIX_REMOTE")
            .env("NIX_STORE_DIR", store_dir)
            .env("NIX_STATE_DIR", self.dir().join("var"))
            .env("NIX_LOG_DIR", self.dir().join("log"));
        command
    }

    /// A command of Nix, which works on the store if it works on one at all.
    #[expect(
        clippy::disallowed_methods,
        reason = "of the environment, only where programs are is let through"
    )]
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let home = self.dir().join("home");
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &home)
            .env("NIX_REMOTE", format!("local?root={}", self.dir().join("root").display()))
            .env("NIX_CONF_DIR", &home)
            .env(
                "NIX_CONFIG",
                "experimental-features = nix-command ca-derivations\n\
                 substituters =\nbuild-users-group =\nsandbox = false\n",
            )
            .current_dir(self.dir());
        command
    }
}

/// Runs a command that has to succeed, and returns what it wrote.
pub(crate) fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {complaint}", output.status);
    output.stdout
}

/// Runs a command that has to succeed, and returns the lines that it wrote.
pub(crate) fn lines(command: &mut Command) -> Vec<String> {
    String::from_utf8(output(command)).unwrap().lines().map(str::to_owned).collect()
}

/// Shortens `command.args([…])` for arguments of different types.
pub(crate) fn with<'a>(command: &'a mut Command, args: &[&dyn AsRef<OsStr>]) -> &'a mut Command {
    for arg in args {
        command.arg(arg.as_ref());
    }
    command
}

//! Runs real Nix on a store, cut off from the machine's configuration and from the network.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Real Nix on the store below a root.
pub(crate) struct Nix {
    root: PathBuf,
    home: PathBuf,
}

impl Nix {
    /// `home` is a directory for what Nix keeps for itself.
    pub(crate) fn on(root: &Path, home: &Path) -> Self {
        std::fs::create_dir_all(home).unwrap();
        Self { root: root.to_owned(), home: home.to_owned() }
    }

    /// Runs a command on the store, and returns how it went.
    pub(crate) fn try_run(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"NIX_"))
        {
            command.env_remove(name);
        }
        command
            .args(args)
            .arg("--store")
            .arg(format!("local?root={}", self.root.display()))
            .env("HOME", &self.home)
            .env("XDG_CACHE_HOME", self.home.join("cache"))
            .env(
                "NIX_CONFIG",
                "substituters =\nexperimental-features = nix-command\nsandbox = true\n\
                 sandbox-paths = /bin /usr /lib /lib64\nbuild-users-group =\n",
            )
            .env("NIX_USER_CONF_FILES", "/dev/null")
            .output()
            .unwrap_or_else(|error| {
                panic!(
                    "these tests need real Nix (Debian: apt-get install nix-bin), but `{program}`: {error}"
                )
            })
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> String {
        let output = self.try_run(program, args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {args:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a query and returns its lines, sorted.
    pub(crate) fn lines(&self, program: &str, args: &[&str]) -> Vec<String> {
        let mut lines: Vec<String> = self.run(program, args).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Lets real Nix check everything, and fails the test if it finds anything.
    pub(crate) fn verify(&self) {
        let output = self.try_run("nix-store", &["--verify", "--check-contents"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        for bad in ["error", "warning", "modified", "disappeared", "updating"] {
            assert!(!said.contains(bad), "{said}");
        }
    }
}

//! Real Nix, asked from outside: the judge of our stores and derivations.
//!
//! Every call has a home and a configuration of its own and needs no network. The sandbox is on, and shows the same
//! host toolchain as ours.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The host paths that a build with the host's toolchain sees.
const SANDBOX_PATHS: &str = "/bin? /lib? /lib32? /lib64? /libx32? /sbin? /usr /etc/alternatives? /etc/ld.so.cache? \
                             /etc/ld.so.conf? /etc/ld.so.conf.d?";

/// Real Nix, with a home of its own.
pub(crate) struct Nix {
    home: tempfile::TempDir,
    /// More host paths that builds see.
    pub(crate) extra_paths: Vec<PathBuf>,
}

impl Nix {
    pub(crate) fn new() -> Nix {
        Nix { home: tempfile::tempdir().expect("a temporary directory"), extra_paths: Vec::new() }
    }

    /// Runs a program of Nix's on the store rooted at `store`, to a good end. Returns what it printed.
    pub(crate) fn run(&self, store: &Path, program: &str, args: &[&str]) -> String {
        let output = self.try_run(store, program, args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{program} {args:?} ended with {}:\n{out}{err}", output.status);
        out.into_owned()
    }

    pub(crate) fn try_run(&self, store: &Path, program: &str, args: &[&str]) -> Output {
        let extra: Vec<_> = self.extra_paths.iter().map(|path| path.display().to_string()).collect();
        let config = format!(
            "substituters =\nsandbox = true\nsandbox-paths = {SANDBOX_PATHS} {}\nbuild-users-group =\n\
             experimental-features = nix-command\ncores = 2\n",
            extra.join(" ")
        );
        Command::new(program)
            .args(["--store", &format!("local?root={}", store.display())])
            .args(args)
            .env("HOME", self.home.path())
            .env("XDG_CACHE_HOME", self.home.path().join("cache"))
            .env("NIX_CONFIG", config)
            .env("NIX_CONF_DIR", self.home.path())
            .env_remove("NIX_PATH")
            .current_dir(self.home.path())
            .output()
            .unwrap_or_else(|error| {
                panic!("{program} cannot be run ({error}): install nix-bin, the tests' judge")
            })
    }

    /// All that Nix can find wrong with a store finds nothing.
    pub(crate) fn verify(&self, store: &Path) {
        self.run(store, "nix-store", &["--verify", "--check-contents"]);
    }

    /// Copies a derivation with all that it needs from one store to another, and builds it there.
    pub(crate) fn build_copy(&self, from: &Path, to: &Path, drv: &str) {
        self.copy_derivation(from, to, drv);
        self.run(to, "nix-store", &["--realise", drv]);
    }

    /// Copies a derivation with all that it needs. Nix checks its output paths on the way.
    pub(crate) fn copy_derivation(&self, from: &Path, to: &Path, drv: &str) {
        let url = |root: &Path| format!("local?root={}", root.display());
        let output = Command::new("nix")
            .args(["copy", "--no-check-sigs", "--derivation", "--from", &url(from), "--to", &url(to), drv])
            .env("HOME", self.home.path())
            .env("NIX_CONF_DIR", self.home.path())
            .env("NIX_CONFIG", "substituters =\nexperimental-features = nix-command\n")
            .output()
            .unwrap_or_else(|error| panic!("nix cannot be run ({error}): install nix-bin, the tests' judge"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The hash of a path's archive, as registered.
    pub(crate) fn nar_hash(&self, store: &Path, path: &str) -> String {
        self.run(store, "nix-store", &["-q", "--hash", path]).trim().to_owned()
    }
}

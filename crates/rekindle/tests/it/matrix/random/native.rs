//! The oracle: a clean build by hand, of a copy of the sources, with the tools and the environment that Rekindle gives.
//!
//! It is several times as fast as a clean build through the program, and knows nothing of it. What it cannot have is the
//! place: projects that are built so must not write down where they are built.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::tree::{Listing, listing_as};

/// The name under which outputs are listed, as they have different ones.
const NAME: &str = "out";

/// A place for clean builds by hand.
pub(in super::super) struct Native {
    dir: tempfile::TempDir,
    /// What of the user's own has to be reachable.
    variables: BTreeMap<&'static str, PathBuf>,
    path: String,
}

impl Native {
    pub(in super::super) fn new(variables: &[(&'static str, PathBuf)]) -> Native {
        let dir =
            tempfile::Builder::new().prefix("rekindle-native-").tempdir().expect("a temporary directory");
        // Cargo itself and not what may stand for it in the user's path.
        let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
        let toolchain = sysroot.map(|sysroot| String::from_utf8_lossy(&sysroot.stdout).trim().to_owned());
        let host = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
        let path = toolchain.map_or_else(|_| host.to_owned(), |root| format!("{root}/bin:{host}"));
        let variables = variables.iter().cloned().collect();
        Native { dir, variables, path }
    }

    /// Builds the sources by a script that installs into `$out`. Returns what is there then, or what the script said
    /// before it failed.
    pub(in super::super) fn build(&self, sources: &Path, script: &str) -> Result<Listing, String> {
        let tree = self.dir.path().join("source");
        let out = self.dir.path().join(NAME);
        for old in [&tree, &out] {
            if old.exists() {
                fs::remove_dir_all(old).expect("our own directory");
            }
        }
        copy(sources, &tree);
        // A file that includes itself is read until there are no descriptors left, so as many have to be left as in a sandbox.
        let descriptors = "ulimit -S -n 1024\n\
            for fd in /proc/self/fd/*; do fd=${fd##*/}; if [ $fd -gt 2 ]; then eval \"exec $fd>&-\"; fi; done";
        let script = format!("umask 022\n{descriptors}\nmkdir -p $out\n{script}");
        let mut command = Command::new("/bin/bash");
        command
            .args(["-eu", "-o", "pipefail", "-c", &script])
            .current_dir(&tree)
            .env_clear()
            .env("PATH", &self.path)
            .envs([("CC", "gcc"), ("CXX", "g++"), ("LC_ALL", "C"), ("TZ", "UTC"), ("TERM", "dumb")])
            .envs([("HOME", "/homeless-shelter"), ("SOURCE_DATE_EPOCH", "315532800")])
            .env("TMPDIR", self.dir.path())
            .env("out", &out)
            .envs(&self.variables)
            .stdin(Stdio::null());
        let ended = command.output().expect("bash");
        if !ended.status.success() {
            return Err(String::from_utf8_lossy(&ended.stderr).into_owned());
        }
        let mut listing = listing_as(&out, NAME);
        // The modes that everything in a store has.
        for (mode, _) in listing.values_mut() {
            *mode = match *mode & 0o170_000 {
                0o100_000 if *mode & 0o100 == 0 => 0o100_444,
                0o120_000 => *mode,
                kind => kind | 0o555,
            };
        }
        Ok(listing)
    }
}

/// What an output has, to be compared with what is built by hand.
pub(in super::super) fn built(output: &Path) -> Listing {
    listing_as(output, NAME)
}

/// Copies a source tree as a build gets it: plain modes, and every file as old as every other.
fn copy(from: &Path, to: &Path) {
    let metadata = from.symlink_metadata().expect("it is there");
    if metadata.is_symlink() {
        symlink(fs::read_link(from).expect("a link"), to).expect("our own directory");
    } else if metadata.is_dir() {
        fs::create_dir(to).expect("our own directory");
        for entry in fs::read_dir(from).expect("a directory") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::write(to, fs::read(from).expect("a file")).expect("our own directory");
        let mode = if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
        fs::set_permissions(to, fs::Permissions::from_mode(mode)).expect("our own file");
    }
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    let times = Timestamps { last_access: second, last_modification: second };
    utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW).expect("our own file");
}

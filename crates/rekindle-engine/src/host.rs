//! What builds of a package looked at of the host, and which identity its toolchain has by that.
//!
//! A list of installed packages is a coarse identity: whatever is upgraded, everything is built again. So it is only
//! the one that a package begins with. Once the package was built, and all of its processes were observed, what they
//! looked at is kept beside the identity. As long as all of that is as it was, the package keeps its identity, and with
//! it its output paths and checkpoints, whatever else the host got.
//!
//! What holds for an identity holds for all builds that were made under it, whatever their sources were: looks are only
//! ever added. When one does not hold any more, the identity is not used again, and the package gets the coarse
//! one of today; or, where that was used and does not hold, one that is derived from it.
//!
//! A build of which something was not observed is bound to the coarse identity that it was made under. Of steps
//! that may go on from what they left it is not recorded who asks for a file without opening it. So a program that
//! is new, or gone, in a directory of programs counts for every package: anybody may have asked for it.
//!
//! ```text
//! hosts/PACKAGE/IDENTITY      what was looked at; PACKAGE is a digest of the package's name and platform
//! ```

mod kept;
mod loader;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rekindle_layers::Timestamp;
use rekindle_nix::{Derivation, Hash};
use rekindle_sandbox::{Records, Touch};

use crate::continuation::package_of;
use crate::engine::{BuildOptions, Engine};
use crate::error::Error;
use crate::toolchain::Toolchain;
use kept::Kept;

/// The dynamic loader's list of libraries. Every program reads it, and every library that is installed changes it.
const LOADER_CACHE: &str = "/etc/ld.so.cache";

/// The variable of a derivation that says for which host toolchain it is.
const TOOLCHAIN_VARIABLE: &[u8] = b"rekindleToolchain";

const PREFIX: &str = "host-";

/// Whether it is one, and no way out of the directory: derivations come from anywhere.
fn is_identity(text: &str) -> bool {
    let digest = text.strip_prefix(PREFIX);
    digest.is_some_and(|digest| digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// What was looked at outside of the tree: absolute paths, and whether their names were listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Looks(BTreeMap<Vec<u8>, bool>);

impl Looks {
    /// Adds what the processes of a step looked at below these paths.
    pub(crate) fn add(&mut self, records: &Records, visible: &[PathBuf]) {
        // Many processes look at the same few files.
        const SEEN: u8 = 1;
        const LISTED: u8 = 2;
        let mut touched = vec![0; records.paths.len()];
        for (_, process) in records.each_process() {
            for access in &process.accesses {
                touched[access.path.index()] |=
                    if access.touch.any(Touch::LISTED) { SEEN | LISTED } else { SEEN };
            }
        }
        for id in records.paths.ids().filter(|id| touched[id.index()] != 0) {
            let path = records.paths.bytes(id);
            if visible.iter().any(|dir| Path::new(OsStr::from_bytes(&path)).starts_with(dir)) {
                *self.0.entry(path).or_default() |= touched[id.index()] & LISTED != 0;
            }
        }
    }

    fn list(&mut self, dir: &Path) {
        self.0.insert(dir.as_os_str().as_bytes().to_vec(), true);
    }
}

impl Engine {
    /// The toolchain with the identity that the package of this derivation keeps, as long as nothing that its builds
    /// looked at is another one. Nothing is written.
    pub fn settled(&self, drv: &Derivation, toolchain: &Toolchain) -> Toolchain {
        let package = package_of(drv);
        let (identity, since) = self.hosts().identity(&package, toolchain);
        Toolchain { identity, since, package: Some(package), ..toolchain.clone() }
    }

    /// The toolchain with the identity that this derivation was made for, if that still is what it names.
    pub fn wanted(&self, drv: &Derivation, toolchain: &Toolchain) -> Option<Toolchain> {
        let wanted = std::str::from_utf8(drv.env.get(TOOLCHAIN_VARIABLE)?).ok()?;
        let package = package_of(drv);
        let holds = self.hosts().holds(&package, wanted, toolchain);
        holds.then(|| Toolchain { identity: wanted.to_owned(), package: Some(package), ..toolchain.clone() })
    }

    /// The toolchain that a derivation asks for: none, or the host's if it still is the one that the derivation was
    /// made for.
    pub(crate) fn toolchain_for<'o>(
        &self,
        drv: &Derivation,
        options: &'o BuildOptions,
    ) -> Result<Option<&'o Toolchain>, Error> {
        let Some(wanted) = drv.env.get(TOOLCHAIN_VARIABLE) else { return Ok(None) };
        // What a name means to one package it need not mean to another.
        let package = Some(package_of(drv));
        let is_wanted = |toolchain: &&Toolchain| {
            toolchain.identity.as_bytes() == wanted.as_slice() && toolchain.package == package
        };
        options.toolchains.iter().find(is_wanted).map(Some).ok_or_else(|| {
            Error::usage(format!(
                "it was made for the host toolchain {}, which is not the one here; build it from its sources again",
                String::from_utf8_lossy(wanted)
            ))
        })
    }
}

/// What is kept for the packages of a store.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    dir: PathBuf,
}

impl Hosts {
    pub(crate) fn of(own_dir: &Path) -> Hosts {
        Hosts { dir: own_dir.join("hosts") }
    }

    /// The identity that the toolchain of a package has now, and, where that is not the last one that it had, why.
    /// Nothing is written.
    pub(crate) fn identity(
        &self,
        package: &(String, String),
        toolchain: &Toolchain,
    ) -> (String, Option<String>) {
        let dir = self.dir_of(package);
        let mut known: Vec<(SystemTime, String)> = fs::read_dir(&dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                Some((entry.metadata().ok()?.modified().ok()?, entry.file_name().into_string().ok()?))
            })
            .collect();
        known.sort_unstable();
        let mut since = None;
        for (_, identity) in known.into_iter().rev().filter(|(_, name)| is_identity(name)) {
            match self.read(package, &identity) {
                Ok(Some(kept)) => match kept.broken(toolchain) {
                    None => return (identity, since),
                    why => since = since.or(why),
                },
                _ => since = since.or_else(|| Some("what was read of the host cannot be read".to_owned())),
            }
        }
        let mut identity = toolchain.host.clone();
        while dir.join(&identity).exists() {
            let next = Hash::sha256(format!("after {identity}").as_bytes()).to_nix32();
            identity = format!("{PREFIX}{}", &next[..32]);
        }
        (identity, since)
    }

    /// Whether what was built under an identity is what would be built with this toolchain.
    pub(crate) fn holds(&self, package: &(String, String), identity: &str, toolchain: &Toolchain) -> bool {
        is_identity(identity)
            && match self.read(package, identity) {
                Ok(Some(kept)) => kept.broken(toolchain).is_none(),
                Ok(None) => identity == toolchain.host,
                Err(_) => false,
            }
    }

    /// What is kept of an identity, if anything is.
    fn read(&self, package: &(String, String), identity: &str) -> io::Result<Option<Kept>> {
        match fs::read(self.dir_of(package).join(identity)) {
            Ok(bytes) => Kept::decode(&bytes).map(Some).ok_or(io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds what a build looked at under the identity of this toolchain; `None` if that is not known. It has to be
    /// written before anything that the build made counts. `began` is when the build began.
    pub(crate) fn note(
        &self,
        package: &(String, String),
        toolchain: &Toolchain,
        looks: Option<Looks>,
        began: Timestamp,
    ) -> Result<(), Error> {
        let dir = self.dir_of(package);
        let fail = |error| Error::io("note what was read of the host in", &dir, error);
        fs::create_dir_all(&dir).map_err(fail)?;
        // Builds of one package may end at once.
        let lock = File::open(&dir).map_err(fail)?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|errno| fail(errno.into()))?;
        let file = dir.join(&toolchain.identity);
        // One that cannot be read does not hold, and is not to come to hold.
        let before = self.read(package, &toolchain.identity).map_err(fail)?;
        let mut kept = before.clone().unwrap_or_else(|| Kept::new(toolchain));
        let looks = looks.map(|mut looks| {
            toolchain.programs.iter().for_each(|dir| looks.list(dir));
            looks.0
        });
        kept.add(looks, toolchain, began);
        if before.as_ref() == Some(&kept) {
            return Ok(());
        }
        let new = dir.join("new");
        fs::write(&new, kept.encode()).and_then(|()| fs::rename(&new, &file)).map_err(fail)
    }

    /// Forgets all other packages. No build may be on its way to note something.
    pub(crate) fn keep_only(&self, packages: &BTreeSet<(String, String)>) -> Result<(), Error> {
        let kept: BTreeSet<PathBuf> = packages.iter().map(|package| self.dir_of(package)).collect();
        for dir in fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if !kept.contains(&dir) {
                fs::remove_dir_all(&dir).map_err(|error| Error::io("remove", &dir, error))?;
            }
        }
        Ok(())
    }

    fn dir_of(&self, (package, system): &(String, String)) -> PathBuf {
        let digest = Hash::sha256(format!("{package}\0{system}").as_bytes()).to_nix32();
        self.dir.join(&digest[..32])
    }
}

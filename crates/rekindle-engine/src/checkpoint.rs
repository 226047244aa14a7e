//! Checkpoints on disk: what a build left after each step, for a later build to start from.
//!
//! ```text
//! checkpoints/lock              shared by whoever uses checkpoints, exclusive for whoever removes some
//! checkpoints/PACKAGE/ID/       a checkpoint; PACKAGE is a digest of the package's name and platform
//!     record                    what is said here, sealed by a digest
//!     sources, sources-changed  the manifest of the sources, if they are mounted
//!     trace-NAME                what the processes of a step did, one for each run
//!     pinned, quarantined       there or not
//! checkpoints/PACKAGE/new-ID/   one that is being written
//! ```
//! It is written beside and renamed, so it is there whole or not at all. Layers are named by identity; those that no
//! checkpoint names and no draft is are removed. Whatever is wrong with a checkpoint, the build goes on without it.
//!
//! Layers are not forced to the disk. After a restart of the machine a checkpoint counts only if all that it names is
//! known to have been written ([`Checkpoints::settle`]).

mod collect;
mod record;
mod shelf;
mod sources;
mod told;
mod traces;

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rekindle_layers::{LayerStore, Manifest};
use rekindle_nix::Hash;
use rustix::fs::FlockOperation;

use crate::error::Error;
pub use collect::{CollectPolicy, CollectedCheckpoints};
pub(crate) use record::{Open, Record, StepRecord};
use record::{Version, decode, encode};
pub use shelf::{
    CheckpointDetails, CheckpointInfo, CheckpointStore, LayerInfo, Made, NamedBase, Observed, SourceCounts,
    StepInfo,
};
pub use told::Told;
pub use traces::StepTraces;
pub(crate) use traces::TraceFile;

/// There if nobody may remove it but on request.
const PINNED: &str = "pinned";
/// There if a comparison with a clean build found the package's checkpoints wrong.
const QUARANTINED: &str = "quarantined";
/// After so many seconds the kernel has written what was changed, or nearly all.
const SETTLED_AFTER: i64 = 60;

/// A checkpoint that may serve as a base.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) record: Record,
    pub(crate) quarantined: bool,
    dir: PathBuf,
}

impl Found {
    /// The manifest of the mounted source. Beside one that is known, only what differs is read.
    pub(crate) fn manifest(&self, known: Option<&Manifest>) -> Result<Manifest, Error> {
        sources::load(&self.dir, known)
    }

    /// A trace that one of its steps names.
    pub(crate) fn trace(&self, name: &str) -> TraceFile {
        TraceFile::of(&self.dir, name)
    }
}

/// All checkpoints of a store.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    dir: PathBuf,
}

/// While it lives, nothing that a checkpoint names is removed.
#[derive(Debug)]
pub(crate) struct InUse(#[expect(dead_code, reason = "held for its lock")] File);

impl Checkpoints {
    pub(crate) fn open(dir: PathBuf) -> Result<Checkpoints, Error> {
        fs::create_dir_all(&dir).map_err(|error| Error::io("make the directory", &dir, error))?;
        Ok(Checkpoints { dir })
    }

    /// Waits until nobody removes checkpoints, and keeps others from it.
    pub(crate) fn use_them(&self) -> Result<InUse, Error> {
        let file = self.lock_file()?;
        lock(&file, FlockOperation::LockShared).map_err(|error| Error::io("lock", &self.dir, error))?;
        Ok(InUse(file))
    }

    /// The checkpoints of a package, newest first, and what is wrong with those that cannot be read.
    pub(crate) fn of_package(
        &self,
        package: &str,
        system: &str,
        layers: &LayerStore,
    ) -> (Vec<Found>, Vec<String>) {
        let (mut found, mut wrong) = (Vec::new(), Vec::new());
        for dir in directories(&self.package_dir(package, system)) {
            match load(&dir, layers) {
                Ok(record) if record.package == package && record.system == system => {
                    let quarantined = dir.join(QUARANTINED).exists();
                    found.push(Found { record, quarantined, dir });
                }
                Ok(record) => wrong.push(format!(
                    "the checkpoint {} is not used: it is one of {} for {}",
                    dir.display(),
                    record.package,
                    record.system
                )),
                Err(reason) => wrong.push(format!("the checkpoint {} is not used: {reason}", dir.display())),
            }
        }
        found.sort_by_key(|found| Reverse((found.record.created, found.record.id.clone())));
        (found, wrong)
    }

    /// Writes a checkpoint. `traces` are those that its steps name.
    pub(crate) fn write(
        &self,
        record: &Record,
        manifest: Option<&Manifest>,
        traces: &[TraceFile],
    ) -> Result<(), Error> {
        let package = self.package_dir(&record.package, &record.system);
        let (new, dir) = (package.join(format!("new-{}", record.id)), package.join(&record.id));
        fs::create_dir_all(&new).map_err(|error| Error::io("make the directory", &new, error))?;
        if let Some(manifest) = manifest {
            let base = record.base.as_ref().map(|base| package.join(base));
            sources::save(manifest, &new, base.as_deref())?;
        }
        // What was made from what is wrong may be wrong, too.
        let from_wrong =
            record.base.as_ref().is_some_and(|base| package.join(base).join(QUARANTINED).exists());
        let write = || {
            if from_wrong {
                fs::write(new.join(QUARANTINED), "")?;
            }
            traces.iter().try_for_each(|trace| trace.save(&new))?;
            let mut file = File::create(new.join("record"))?;
            file.write_all(&encode(record)?)?;
            fs::rename(&new, &dir)
        };
        write().map_err(|error| Error::io("write the checkpoint", &dir, error))
    }

    /// Forces to the disk what older checkpoints name, once that costs little, so that they outlive a restart.
    pub(crate) fn settle(&self, now: i64) {
        let (boot, mut unsettled) = (boot_id(), Vec::new());
        for dir in directories(&self.dir).into_iter().flat_map(|package| directories(&package)) {
            if dir.join("settled").exists() {
                continue;
            }
            let Some(record) = fs::read(dir.join("record")).ok().and_then(|bytes| decode(&bytes)) else {
                continue;
            };
            if record.boot == boot && now - record.created.secs > SETTLED_AFTER {
                unsettled.push(dir);
            }
        }
        if unsettled.is_empty() {
            return;
        }
        // If it fails, they are not settled; nothing is lost but time.
        let Ok(file) = File::open(&self.dir) else { return };
        if rustix::fs::syncfs(&file).is_ok() {
            for dir in unsettled {
                let _ = fs::write(dir.join("settled"), "");
            }
        }
    }

    /// All checkpoints, readable or not, without those that are being written.
    pub(crate) fn all(&self) -> Vec<Shelved> {
        let dirs = directories(&self.dir).into_iter().flat_map(|package| directories(&package));
        dirs.map(Shelved::at).collect()
    }

    /// Marks all checkpoints of a package as wrong, so that nothing starts from them. Returns how many.
    pub(crate) fn quarantine(&self, package: &str, system: &str) -> Result<usize, Error> {
        let _in_use = self.use_them()?;
        let mut marked = 0;
        for dir in directories(&self.package_dir(package, system)) {
            let mark = dir.join(QUARANTINED);
            if !mark.exists() {
                fs::write(&mark, "").map_err(|error| Error::io("write", &mark, error))?;
                marked += 1;
            }
        }
        Ok(marked)
    }

    /// Waits until nobody uses checkpoints, and keeps others from it. Without `waiting`, which is called if it has to
    /// wait, it does not wait and gives `None`.
    pub(crate) fn exclusive(&self, waiting: Option<&mut dyn FnMut()>) -> Result<Option<InUse>, Error> {
        let file = self.lock_file()?;
        let fail = |error| Error::io("lock", &self.dir, error);
        match (lock(&file, FlockOperation::NonBlockingLockExclusive), waiting) {
            (Ok(()), _) => {}
            (Err(error), Some(waiting)) if error.kind() == io::ErrorKind::WouldBlock => {
                waiting();
                lock(&file, FlockOperation::LockExclusive).map_err(fail)?;
            }
            (Err(error), None) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            (Err(error), _) => return Err(fail(error)),
        }
        Ok(Some(InUse(file)))
    }

    fn lock_file(&self) -> Result<File, Error> {
        let path = self.dir.join("lock");
        let file = File::options().write(true).create(true).truncate(false).open(&path);
        file.map_err(|error| Error::io("open", &path, error))
    }

    fn package_dir(&self, package: &str, system: &str) -> PathBuf {
        self.dir.join(&Hash::sha256(format!("{package}\0{system}").as_bytes()).to_nix32()[..32])
    }
}

/// Where the machine was started: another text after each start.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// 128 random bits in hexadecimal.
pub(crate) fn new_id() -> Result<String, Error> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| Error::io("read", path, error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A checkpoint that is there, whether or not it can be used.
#[derive(Debug)]
pub(crate) struct Shelved {
    pub(crate) dir: PathBuf,
    pub(crate) pinned: bool,
    pub(crate) quarantined: bool,
    /// The record, or why it cannot be read.
    pub(crate) record: Result<Record, Unreadable>,
    /// What the record, the manifest of the sources and the traces take.
    pub(crate) record_bytes: u64,
}

/// Why a record cannot be read. `Display` is one clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it is damaged")]
    Damaged,
    #[error("it is of another version")]
    Older,
    #[error("it is of a newer version")]
    Newer,
    #[error("it is not the one that it says it is")]
    Misplaced,
}

impl Shelved {
    /// The manifest of its sources.
    pub(crate) fn manifest(&self) -> Result<Manifest, Error> {
        sources::load(&self.dir, None)
    }

    /// A trace that one of its steps names.
    pub(crate) fn trace(&self, name: &str) -> TraceFile {
        TraceFile::of(&self.dir, name)
    }

    fn at(dir: PathBuf) -> Shelved {
        let size = |name: &str| fs::metadata(dir.join(name)).map_or(0, |metadata| metadata.len());
        Shelved {
            pinned: dir.join(PINNED).exists(),
            quarantined: dir.join(QUARANTINED).exists(),
            record: read(&dir),
            record_bytes: size("record") + sources::bytes(&dir) + traces::bytes(&dir),
            dir,
        }
    }

    /// Its identity, by its directory.
    pub(crate) fn id(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Why nothing can start from it, apart from quarantine.
    pub(crate) fn unusable(&self, layers: &LayerStore) -> Option<String> {
        match &self.record {
            Ok(record) => usable(&self.dir, record, layers).err(),
            Err(reason) => Some(reason.to_string()),
        }
    }
}

fn read(dir: &Path) -> Result<Record, Unreadable> {
    let bytes = fs::read(dir.join("record")).map_err(|_| Unreadable::Damaged)?;
    match record::version(&bytes) {
        Version::This => {}
        Version::Older => return Err(Unreadable::Older),
        Version::Newer => return Err(Unreadable::Newer),
        Version::Unknown => return Err(Unreadable::Damaged),
    }
    let record = decode(&bytes).ok_or(Unreadable::Damaged)?;
    if dir.file_name().is_none_or(|name| *name != *record.id) {
        return Err(Unreadable::Misplaced);
    }
    Ok(record)
}

fn usable(dir: &Path, record: &Record, layers: &LayerStore) -> Result<(), String> {
    if record.boot != boot_id() && !dir.join("settled").exists() {
        return Err("the machine was started again before it was certainly on the disk".to_owned());
    }
    match record.layers().into_iter().find(|layer| !layers.contains(*layer)) {
        Some(layer) => Err(format!("its layer {layer} is missing")),
        None => Ok(()),
    }
}

fn load(dir: &Path, layers: &LayerStore) -> Result<Record, String> {
    let record = read(dir).map_err(|reason| reason.to_string())?;
    usable(dir, &record, layers).map(|()| record)
}

fn lock(file: &File, how: FlockOperation) -> io::Result<()> {
    loop {
        match rustix::fs::flock(file, how) {
            Err(rustix::io::Errno::INTR) => {}
            outcome => return outcome.map_err(io::Error::from),
        }
    }
}

/// The directories that are complete.
fn directories(dir: &Path) -> Vec<PathBuf> {
    let is_new =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"new-"));
    all_directories(dir).into_iter().filter(|path| !is_new(path)).collect()
}

fn all_directories(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests;

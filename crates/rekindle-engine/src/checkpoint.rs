//! Checkpoints on disk: what a build left after each step, for a later build to start from.
//!
//! ```text
//! checkpoints/lock              shared by whoever uses checkpoints, exclusive for whoever removes some
//! checkpoints/PACKAGE/ID/       a checkpoint; PACKAGE is a digest of the package's name and platform
//!     record                    what is said here, sealed by a digest
//!     sources                   the manifest of the sources, if they are mounted
//!     pinned, quarantined       there or not
//! checkpoints/PACKAGE/new-ID/   one that is being written
//! ```
//! It is written beside and renamed, so it is there whole or not at all. Layers are named by identity; those that no
//! checkpoint names and no draft is are removed. Whatever is wrong with a checkpoint, the build goes on without it.
//!
//! Layers are not forced to the disk. After a restart of the machine a checkpoint counts only if all that it names is
//! known to have been written ([`Checkpoints::settle`]).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rekindle_layers::{LayerId, LayerStore, Manifest, Timestamp, remove_tree};
use rekindle_nix::Hash;
use rekindle_plan::{Observations, Recipe, RecipeKey};
use rustix::fs::FlockOperation;

use crate::error::Error;

const FAMILY: &[u8] = b"rekindle checkpoint v";
const MAGIC: &[u8] = b"rekindle checkpoint v1\n";
/// How many checkpoints of a package are kept that nobody has pinned.
const KEPT: usize = 6;
/// After so many seconds the kernel has written what was changed, or nearly all.
const SETTLED_AFTER: i64 = 60;

/// A checkpoint as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) package: String,
    pub(crate) system: String,
    pub(crate) drv: String,
    /// The phase that failed; nothing after a success.
    pub(crate) failed: Option<String>,
    /// Seconds since 1970.
    pub(crate) created: i64,
    /// How many builds went on from one another.
    pub(crate) depth: u32,
    /// Where the machine was started when it was written.
    pub(crate) boot: String,
    /// The names of all phases.
    pub(crate) phases: Vec<String>,
    /// The times by which changed sources were marked.
    pub(crate) canaries: Vec<Timestamp>,
    /// The name of the mounted source, if there is one.
    pub(crate) source_dir: Option<String>,
    /// The layers of the mounted source, topmost first.
    pub(crate) source: Vec<LayerId>,
    pub(crate) steps: Vec<StepRecord>,
}

/// What one step left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepRecord {
    pub(crate) recipe: Recipe,
    pub(crate) key: RecipeKey,
    /// The shell state.
    pub(crate) state: Vec<u8>,
    /// The whole stack, topmost first.
    pub(crate) tree: Vec<LayerId>,
    /// What the step itself put on the tree before it; unknown if it went on from an earlier tree.
    pub(crate) own: Option<Vec<LayerId>>,
    pub(crate) observations: Observations,
    /// The newest mtime in the tree.
    pub(crate) newest: Timestamp,
}

/// A checkpoint that may serve as a base.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) record: Record,
    pub(crate) quarantined: bool,
    dir: PathBuf,
}

impl Found {
    /// The manifest of the mounted source.
    pub(crate) fn manifest(&self) -> Result<Manifest, Error> {
        Ok(Manifest::load(&self.dir.join("sources"))?)
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
                    let quarantined = dir.join("quarantined").exists();
                    found.push(Found { record, quarantined, dir });
                }
                Ok(_) => {}
                Err(reason) => wrong.push(format!("the checkpoint {} is not used: {reason}", dir.display())),
            }
        }
        found.sort_by(|a, b| (b.record.created, &b.record.id).cmp(&(a.record.created, &a.record.id)));
        (found, wrong)
    }

    /// Writes a checkpoint.
    pub(crate) fn write(&self, record: &Record, manifest: Option<&Manifest>) -> Result<(), Error> {
        let package = self.package_dir(&record.package, &record.system);
        let (new, dir) = (package.join(format!("new-{}", record.id)), package.join(&record.id));
        fs::create_dir_all(&new).map_err(|error| Error::io("make the directory", &new, error))?;
        if let Some(manifest) = manifest {
            manifest.save(&new.join("sources"))?;
        }
        let write = || {
            let mut file = File::create(new.join("record"))?;
            file.write_all(&encode(record))?;
            file.sync_all()?;
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
            if record.boot == boot && now - record.created > SETTLED_AFTER {
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

    /// Removes the oldest checkpoints of each package that has too many, and all layers that none names any more.
    /// Does nothing while somebody uses checkpoints.
    pub(crate) fn prune(&self, layers: &LayerStore) -> Result<(), Error> {
        let file = self.lock_file()?;
        match lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Error::io("lock", &self.dir, error)),
        }
        let mut named = BTreeSet::new();
        for package in directories(&self.dir) {
            let mut ages = Vec::new();
            for dir in all_directories(&package) {
                let bytes = fs::read(dir.join("record")).unwrap_or_default();
                if bytes.starts_with(FAMILY) && !bytes.starts_with(MAGIC) {
                    // Another version's: which layers it names is not known.
                    return Ok(());
                }
                match decode(&bytes) {
                    Some(record) if dir.file_name().is_some_and(|name| *name == *record.id) => {
                        ages.push((
                            dir.join("pinned").exists(),
                            record.failed.is_none(),
                            record.created,
                            dir,
                            record,
                        ));
                    }
                    // Damaged, half written, of another version: of no use to anyone.
                    _ => remove_tree(&dir)?,
                }
            }
            ages.sort_by(|a, b| (b.0, b.2, &b.3).cmp(&(a.0, a.2, &a.3)));
            let newest_good = ages.iter().position(|(_, good, ..)| *good);
            for (rank, (pinned, _, _, dir, record)) in ages.into_iter().enumerate() {
                if pinned || rank < KEPT || Some(rank) == newest_good {
                    named.extend(layers_of(&record));
                } else {
                    remove_tree(&dir)?;
                }
            }
        }
        for layer in layers.layers()? {
            if !named.contains(&layer) {
                layers.remove(layer)?;
            }
        }
        Ok(())
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

fn load(dir: &Path, layers: &LayerStore) -> Result<Record, String> {
    let bytes = fs::read(dir.join("record")).map_err(|error| error.to_string())?;
    if !bytes.starts_with(MAGIC) {
        return Err("it is of another version".to_owned());
    }
    let record = decode(&bytes).ok_or("it is damaged")?;
    if dir.file_name().is_none_or(|name| *name != *record.id) {
        return Err("it is not the one that it says it is".to_owned());
    }
    if record.boot != boot_id() && !dir.join("settled").exists() {
        return Err("the machine was started again before it was certainly on the disk".to_owned());
    }
    match layers_of(&record).into_iter().find(|layer| !layers.contains(*layer)) {
        Some(layer) => Err(format!("its layer {layer} is missing")),
        None => Ok(record),
    }
}

fn layers_of(record: &Record) -> BTreeSet<LayerId> {
    let of_steps = record.steps.iter().flat_map(|step| step.tree.iter().chain(step.own.iter().flatten()));
    record.source.iter().chain(of_steps).copied().collect()
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

// Integers are little-endian, everything of variable length follows its length. The last 32 bytes are a digest.

fn encode(record: &Record) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    let text = |out: &mut Vec<u8>, text: &[u8]| {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text);
    };
    let time = |out: &mut Vec<u8>, time: Timestamp| {
        out.extend(time.secs.to_le_bytes());
        out.extend(time.nanos.to_le_bytes());
    };
    let ids = |out: &mut Vec<u8>, ids: &[LayerId]| {
        out.extend((ids.len() as u64).to_le_bytes());
        ids.iter().for_each(|id| text(out, id.to_string().as_bytes()));
    };
    for field in [&record.id, &record.package, &record.system, &record.drv, &record.boot] {
        text(&mut out, field.as_bytes());
    }
    out.push(u8::from(record.failed.is_some()));
    text(&mut out, record.failed.as_deref().unwrap_or_default().as_bytes());
    out.push(u8::from(record.source_dir.is_some()));
    text(&mut out, record.source_dir.as_deref().unwrap_or_default().as_bytes());
    out.extend(record.created.to_le_bytes());
    out.extend(record.depth.to_le_bytes());
    out.extend((record.phases.len() as u64).to_le_bytes());
    record.phases.iter().for_each(|phase| text(&mut out, phase.as_bytes()));
    out.extend((record.canaries.len() as u64).to_le_bytes());
    record.canaries.iter().for_each(|canary| time(&mut out, *canary));
    ids(&mut out, &record.source);
    out.extend((record.steps.len() as u64).to_le_bytes());
    for step in &record.steps {
        text(&mut out, &step.recipe.encode());
        out.extend(step.key.as_bytes());
        text(&mut out, &step.state);
        ids(&mut out, &step.tree);
        out.push(u8::from(step.own.is_some()));
        ids(&mut out, step.own.as_deref().unwrap_or_default());
        text(&mut out, &step.observations.encode());
        time(&mut out, step.newest);
    }
    let digest = Hash::sha256(&out);
    out.extend(digest.digest());
    out
}

fn decode(bytes: &[u8]) -> Option<Record> {
    let (body, digest) = bytes.split_last_chunk::<32>()?;
    if Hash::sha256(body).digest() != digest {
        return None;
    }
    let mut reader = Reader(body.strip_prefix(MAGIC)?);
    let (id, package, system) = (reader.string()?, reader.string()?, reader.string()?);
    let (drv, boot) = (reader.string()?, reader.string()?);
    let (has_failed, phase) = (reader.flag()?, reader.string()?);
    let (has_source, source_dir) = (reader.flag()?, reader.string()?);
    let record = Record {
        id,
        package,
        system,
        drv,
        boot,
        failed: has_failed.then_some(phase),
        source_dir: has_source.then_some(source_dir),
        created: i64::from_le_bytes(reader.array()?),
        depth: u32::from_le_bytes(reader.array()?),
        phases: reader.list(Reader::string)?,
        canaries: reader.list(Reader::time)?,
        source: reader.list(Reader::layer)?,
        steps: reader.list(Reader::step)?,
    };
    reader.0.is_empty().then_some(record)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(u64::from_le_bytes(self.array()?)).ok()?;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.text()?.to_vec()).ok()
    }

    fn flag(&mut self) -> Option<bool> {
        let [flag] = self.array()?;
        (flag <= 1).then_some(flag == 1)
    }

    fn time(&mut self) -> Option<Timestamp> {
        Some(Timestamp { secs: i64::from_le_bytes(self.array()?), nanos: u32::from_le_bytes(self.array()?) })
    }

    fn layer(&mut self) -> Option<LayerId> {
        self.string()?.parse().ok()
    }

    fn list<T>(&mut self, one: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = u64::from_le_bytes(self.array()?);
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(one(self)?);
        }
        Some(list)
    }

    fn step(&mut self) -> Option<StepRecord> {
        let recipe = Recipe::decode(self.text()?).ok()?;
        let key = RecipeKey::from_bytes(self.array()?);
        let (state, tree) = (self.text()?.to_vec(), self.list(Reader::layer)?);
        let (has_own, own) = (self.flag()?, self.list(Reader::layer)?);
        let observations = Observations::decode(self.text()?).ok()?;
        let newest = self.time()?;
        (recipe.key() == key).then_some(StepRecord {
            recipe,
            key,
            state,
            tree,
            own: has_own.then_some(own),
            observations,
            newest,
        })
    }
}

#[cfg(test)]
mod tests;

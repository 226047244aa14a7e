//! The traces of a checkpoint's steps on disk: one packed file for each run of a step.
//!
//! A run is written once. Every checkpoint that still needs it has the same file by a name of its own, which is a digest of what is
//! in it, so each can be removed without the others. They are read when an audit or a person asks for them.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rekindle_nix::Hash;
use rekindle_plan::Trace;

use super::shelf::{CheckpointStore, find, phase};
use crate::error::Error;

const PREFIX: &str = "trace-";
/// More than any trace has, so that a forged one cannot take all memory.
const LARGEST: u64 = 2 << 30;
/// How hard zstd tries: traces are large after a clean build, and nobody waits for the best.
const LEVEL: i32 = 1;

/// A trace that is on disk, or will be.
#[derive(Debug, Clone)]
pub(crate) struct TraceFile {
    pub(crate) name: String,
    at: At,
}

#[derive(Debug, Clone)]
enum At {
    File(PathBuf),
    Packed(Arc<[u8]>),
}

impl TraceFile {
    /// Packs one.
    pub(crate) fn pack(trace: &Trace) -> io::Result<TraceFile> {
        let packed = zstd::bulk::compress(&trace.encode(), LEVEL)?;
        Ok(TraceFile { name: name_of(&packed), at: At::Packed(packed.into()) })
    }

    /// One of the checkpoint in `dir`.
    pub(super) fn of(dir: &Path, name: &str) -> TraceFile {
        let file = dir.join(format!("{PREFIX}{name}"));
        TraceFile { name: name.to_owned(), at: At::File(file) }
    }

    /// Whether it can be put into another checkpoint.
    pub(crate) fn is_there(&self) -> bool {
        match &self.at {
            At::File(path) => path.exists(),
            At::Packed(_) => true,
        }
    }

    /// Reads it.
    pub(crate) fn load(&self) -> Result<Trace, Error> {
        let fail = |path: &Path, error| Error::io("read the trace", path, error);
        let (packed, path) = match &self.at {
            At::File(path) => (fs::read(path).map_err(|error| fail(path, error))?.into(), path.as_path()),
            At::Packed(packed) => (Arc::clone(packed), Path::new(&self.name)),
        };
        // A whole one of another run would say that other files were read.
        if name_of(&packed) != self.name {
            return Err(fail(path, io::Error::other("it is damaged, or another one")));
        }
        // It is packed to a third, most often.
        let mut bytes = Vec::with_capacity(packed.len().saturating_mul(4));
        let mut unpack = || {
            zstd::stream::read::Decoder::new(&packed[..])?.take(LARGEST).read_to_end(&mut bytes)?;
            Trace::decode(&bytes).map_err(io::Error::other)
        };
        unpack().map_err(|error| fail(path, error))
    }

    /// Puts it into the checkpoint that is being written in `dir`.
    pub(super) fn save(&self, dir: &Path) -> io::Result<()> {
        let to = dir.join(format!("{PREFIX}{}", self.name));
        match &self.at {
            _ if to.exists() => Ok(()),
            At::File(path) => fs::hard_link(path, to),
            At::Packed(packed) => fs::write(to, packed),
        }
    }
}

fn name_of(packed: &[u8]) -> String {
    Hash::sha256(packed).to_nix32()[..32].to_owned()
}

/// What the processes of a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTraces {
    /// Its phase.
    pub phase: String,
    /// Of each run that left something of its tree, oldest first.
    pub runs: Vec<Trace>,
    /// How many of the last runs are of the checkpoint's own build.
    pub now: usize,
}

impl CheckpointStore {
    /// What the processes of each step did up to a checkpoint. Steps that were not observed, or did nothing, are missing.
    ///
    /// # Errors
    /// It is not there, or it cannot be read.
    pub fn traces(&self, id: &str) -> Result<Vec<StepTraces>, Error> {
        let all = self.checkpoints.all();
        let one = find(&all, id)?;
        let Ok(record) = &one.record else { return Ok(Vec::new()) };
        let mut steps = Vec::new();
        for step in &record.steps {
            let names = step.traces.iter().flatten();
            let runs: Vec<Trace> = names.map(|name| one.trace(name).load()).collect::<Result<_, _>>()?;
            if !runs.is_empty() {
                let now = (step.traces_now as usize).min(runs.len());
                steps.push(StepTraces { phase: phase(&step.recipe), runs, now });
            }
        }
        Ok(steps)
    }
}

/// What the checkpoint in `dir` takes for traces alone: a file that others have, too, counts as nothing.
pub(super) fn bytes(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    let traces = files.filter(|file| file.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()));
    let own = traces.filter_map(|file| file.metadata().ok().filter(|metadata| metadata.nlink() == 1));
    own.map(|metadata| metadata.len()).sum()
}

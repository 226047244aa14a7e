//! A checkpoint's record, in memory and as bytes.
//!
//! The first line names the version: a record of an older one is of no use any more, and one of a newer one names layers
//! that are not known here. Then comes the body, packed with zstd, because the states of a package's steps are nearly
//! the same text, and an edit should not cost more than it is large. Last is a digest of all before, of 32 bytes. In
//! the body integers are little-endian, and everything of variable length follows its length. It must not know where
//! records lie.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};

use rekindle_layers::{Digest, LayerId, Survey, Timestamp};
use rekindle_nix::Hash;
use rekindle_plan::audit::Removal;
use rekindle_plan::{Observations, Recipe, RecipeKey};

use super::told::Told;
use crate::reader::Reader;

const FAMILY: &[u8] = b"rekindle checkpoint v";
const VERSION: u32 = 9;
const MAGIC: &[u8] = b"rekindle checkpoint v9\n";
/// More than any record has, so that a forged one cannot take all memory.
const LARGEST_BODY: usize = 256 << 20;
/// How hard zstd tries: beyond this it takes long and gains little.
const LEVEL: i32 = 3;

/// By whom a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// By a program like this.
    This,
    /// By an older one: nobody reads it any more.
    Older,
    /// By a newer one.
    Newer,
    /// It does not say.
    Unknown,
}

/// Says by whom a record was written.
pub(crate) fn version(bytes: &[u8]) -> Version {
    let Some(rest) = bytes.strip_prefix(FAMILY) else { return Version::Unknown };
    let digits = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u32>().ok()) {
        Some(version) if version < VERSION => Version::Older,
        Some(VERSION) => Version::This,
        Some(_) => Version::Newer,
        None => Version::Unknown,
    }
}

/// A checkpoint as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) package: String,
    pub(crate) system: String,
    pub(crate) drv: String,
    /// The phase that failed; nothing after a success.
    pub(crate) failed: Option<String>,
    pub(crate) created: Timestamp,
    /// How many builds went on from one another.
    pub(crate) depth: u32,
    /// The checkpoint that its build went on from, if it took anything.
    pub(crate) base: Option<String>,
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
    /// What became of the steps in its build, those of which nothing is kept included.
    pub(crate) told: Vec<Told>,
    /// What each of its layers amounted to when it was kept.
    pub(crate) surveys: BTreeMap<LayerId, Survey>,
}

impl Record {
    /// All layers that it names.
    pub(crate) fn layers(&self) -> BTreeSet<LayerId> {
        let of_steps = self.steps.iter().flat_map(|step| step.tree.iter().chain(step.own.iter().flatten()));
        self.source.iter().chain(of_steps).copied().collect()
    }
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
    /// The names of the traces of all runs that left something of the tree, oldest first; unknown if not all were observed.
    pub(crate) traces: Option<Vec<String>>,
    /// How many of them are of its own build.
    pub(crate) traces_now: u32,
    /// What is not settled, if the step failed: then its tree is only good to go on from. Nothing if it ended well.
    pub(crate) open: Option<Open>,
}

/// What is not settled of a step that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Open {
    /// How many of its last runs failed, with none since that ended well.
    pub(crate) runs: u32,
    /// In how many of the last of these the same was decided, see [`rekindle_plan::audit::Open`].
    pub(crate) alike: u32,
    /// What was in its tree before, and has to come back. The first of each maker's numbers says nothing.
    pub(crate) lost: Vec<Removal>,
}

/// The bytes of a record.
///
/// # Errors
/// It is larger than any that can be read again.
pub(crate) fn encode(record: &Record) -> io::Result<Vec<u8>> {
    let body = body(record);
    if body.len() > LARGEST_BODY {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the record of the checkpoint is too large"));
    }
    let mut out = MAGIC.to_vec();
    out.extend(zstd::bulk::compress(&body, LEVEL)?);
    let digest = Hash::sha256(&out);
    out.extend(digest.digest());
    Ok(out)
}

fn body(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
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
    out.push(u8::from(record.base.is_some()));
    text(&mut out, record.base.as_deref().unwrap_or_default().as_bytes());
    time(&mut out, record.created);
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
        out.push(u8::from(step.traces.is_some()));
        let traces = step.traces.as_deref().unwrap_or_default();
        out.extend((traces.len() as u64).to_le_bytes());
        traces.iter().for_each(|name| text(&mut out, name.as_bytes()));
        out.extend(step.traces_now.to_le_bytes());
        out.push(u8::from(step.open.is_some()));
        let Open { runs, alike, lost } = step.open.clone().unwrap_or_default();
        out.extend(runs.to_le_bytes());
        out.extend(alike.to_le_bytes());
        out.extend((lost.len() as u64).to_le_bytes());
        let mut first_of = HashMap::new();
        for (at, Removal { path, is_tracked, maker }) in lost.iter().enumerate() {
            text(&mut out, path);
            out.push(u8::from(*is_tracked));
            // Numbers of runs are others in the next build. What matters is which are equal.
            out.extend((*first_of.entry(maker).or_insert(at) as u64).to_le_bytes());
        }
    }
    out.extend((record.told.len() as u64).to_le_bytes());
    for told in &record.told {
        for field in [&told.phase, &told.verdict, &told.reason, &told.why] {
            text(&mut out, field.as_bytes());
        }
        out.extend((told.made_again.len() as u64).to_le_bytes());
        told.made_again.iter().for_each(|path| text(&mut out, path));
        out.extend((told.findings.len() as u64).to_le_bytes());
        told.findings.iter().for_each(|finding| text(&mut out, finding.as_bytes()));
    }
    out.extend((record.surveys.len() as u64).to_le_bytes());
    for (layer, Survey { bytes, files, look }) in &record.surveys {
        text(&mut out, layer.to_string().as_bytes());
        out.extend(bytes.to_le_bytes());
        out.extend(files.to_le_bytes());
        out.extend(look.as_bytes());
    }
    out
}

pub(crate) fn decode(bytes: &[u8]) -> Option<Record> {
    let (sealed, digest) = bytes.split_last_chunk::<32>()?;
    if Hash::sha256(sealed).digest() != digest {
        return None;
    }
    let mut body = Vec::new();
    let packed = zstd::stream::read::Decoder::new(sealed.strip_prefix(MAGIC)?).ok()?;
    packed.take(LARGEST_BODY as u64 + 1).read_to_end(&mut body).ok()?;
    if body.len() > LARGEST_BODY {
        return None;
    }
    let mut reader = Reader(&body);
    let (id, package, system) = (reader.string()?, reader.string()?, reader.string()?);
    let (drv, boot) = (reader.string()?, reader.string()?);
    let (has_failed, phase) = (reader.flag()?, reader.string()?);
    let (has_source, source_dir) = (reader.flag()?, reader.string()?);
    let (has_base, base) = (reader.flag()?, reader.string()?);
    let record = Record {
        id,
        package,
        system,
        drv,
        boot,
        failed: has_failed.then_some(phase),
        source_dir: has_source.then_some(source_dir),
        base: has_base.then_some(base),
        created: reader.time()?,
        depth: u32::from_le_bytes(reader.array()?),
        phases: reader.list(Reader::string)?,
        canaries: reader.list(Reader::time)?,
        source: reader.list(Reader::layer)?,
        steps: reader.list(Reader::step)?,
        told: reader.list(Reader::told)?,
        surveys: reader.list(Reader::survey)?.into_iter().collect(),
    };
    reader.0.is_empty().then_some(record)
}

impl Reader<'_> {
    fn time(&mut self) -> Option<Timestamp> {
        Some(Timestamp { secs: i64::from_le_bytes(self.array()?), nanos: u32::from_le_bytes(self.array()?) })
    }

    fn layer(&mut self) -> Option<LayerId> {
        self.string()?.parse().ok()
    }

    fn survey(&mut self) -> Option<(LayerId, Survey)> {
        let (layer, [bytes, files]) = (self.layer()?, [self.array()?, self.array()?].map(u64::from_le_bytes));
        Some((layer, Survey { bytes, files, look: Digest::from_bytes(self.array()?) }))
    }

    fn step(&mut self) -> Option<StepRecord> {
        let recipe = Recipe::decode(self.text()?).ok()?;
        let key = RecipeKey::from_bytes(self.array()?);
        let (state, tree) = (self.text()?.to_vec(), self.list(Reader::layer)?);
        let (has_own, own) = (self.flag()?, self.list(Reader::layer)?);
        let observations = Observations::decode(self.text()?).ok()?;
        let newest = self.time()?;
        let (has_traces, traces) = (self.flag()?, self.list(Reader::trace_name)?);
        let traces_now = u32::from_le_bytes(self.array()?);
        let has_open = self.flag()?;
        let [runs, alike] = [self.array()?, self.array()?].map(u32::from_le_bytes);
        let open = Open { runs, alike, lost: self.list(Reader::removal)? };
        (recipe.key() == key).then_some(StepRecord {
            recipe,
            key,
            state,
            tree,
            own: has_own.then_some(own),
            observations,
            newest,
            traces: has_traces.then_some(traces),
            traces_now,
            open: has_open.then_some(open),
        })
    }

    fn removal(&mut self) -> Option<Removal> {
        let (path, is_tracked) = (self.text()?.to_vec(), self.flag()?);
        let maker = usize::try_from(u64::from_le_bytes(self.array()?)).ok()?;
        // No run has this number.
        Some(Removal { path, is_tracked, maker: (usize::MAX, maker) })
    }

    fn told(&mut self) -> Option<Told> {
        Some(Told {
            phase: self.string()?,
            verdict: self.string()?,
            reason: self.string()?,
            why: self.string()?,
            made_again: self.list(|reader| Some(reader.text()?.to_vec()))?,
            findings: self.list(Reader::string)?,
        })
    }

    /// A name that is no way out of the directory.
    fn trace_name(&mut self) -> Option<String> {
        self.string().filter(|name| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    }
}

//! What became of each step in the build that made a checkpoint: kept for whoever asks why, read by no build.

use std::path::Path;

use rekindle_layers::{ChangeKind as Differs, EntryKind, Manifest};
use rekindle_plan::{ChangeKind, SourceChange};

use super::shelf::{CheckpointStore, find};
use crate::error::Error;
use crate::event::Audited;
use crate::world::TREE_BUILD;

/// What became of a step, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Its phase.
    pub phase: String,
    /// `reuse`, `skip`, `seed` or `run`.
    pub verdict: String,
    /// A name for the reason.
    pub reason: String,
    /// The reason in words, one clause.
    pub why: String,
    /// What the audit had made again; paths in the tree.
    pub made_again: Vec<Vec<u8>>,
    /// What the audit found, in words.
    pub findings: Vec<String>,
}

impl Told {
    /// Takes note of what the audit found.
    pub(crate) fn audited(&mut self, audited: &Audited) {
        self.made_again.clone_from(&audited.made_again);
        self.findings = audited.findings.iter().map(|finding| finding.text.clone()).collect();
        if audited.is_clean {
            (self.verdict, self.reason) = ("run".to_owned(), "audit".to_owned());
            self.why = self.findings.last().cloned().unwrap_or_default();
        }
    }
}

impl CheckpointStore {
    /// What became of the steps in the build that made a checkpoint, as far as it came.
    ///
    /// # Errors
    /// It is not there.
    pub fn told(&self, id: &str) -> Result<Vec<Told>, Error> {
        let all = self.checkpoints.all();
        let record = find(&all, id)?.record.as_ref().ok();
        Ok(record.map(|record| record.told.clone()).unwrap_or_default())
    }

    /// How the sources of a checkpoint differ from those of the one that its build went on from; paths in the tree. `None`
    /// if there is none, or it is gone, or the sources are not mounted.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub fn source_changes(&self, id: &str) -> Result<Option<Vec<SourceChange>>, Error> {
        let all = self.checkpoints.all();
        let one = find(&all, id)?;
        let Ok(record) = &one.record else { return Ok(None) };
        let base = record.base.as_ref().and_then(|base| find(&all, base).ok());
        let (Some(base), Some(dir)) = (base, &record.source_dir) else { return Ok(None) };
        let Ok(then) = &base.record else { return Ok(None) };
        if then.source_dir.as_ref() != Some(dir) {
            return Ok(None);
        }
        let (older, newer) = (base.manifest()?, one.manifest()?);
        let change = |change: rekindle_layers::Change| SourceChange {
            path: [format!("{TREE_BUILD}/{dir}/").as_bytes(), change.path.as_os_str().as_encoded_bytes()]
                .concat(),
            kind: match change.kind {
                Differs::Added => ChangeKind::Added,
                Differs::Removed => ChangeKind::Removed,
                Differs::Changed => changed(&older, &newer, &change.path),
            },
        };
        Ok(Some(older.changes(&newer).into_iter().map(change).collect()))
    }
}

/// How something differs that both manifests have.
fn changed(older: &Manifest, newer: &Manifest, path: &Path) -> ChangeKind {
    let kind = |manifest: &Manifest| match manifest.get(path)?.kind {
        EntryKind::Directory { .. } => Some((0, None)),
        EntryKind::File { digest, .. } => Some((1, Some(digest))),
        EntryKind::Symlink { .. } => Some((2, None)),
    };
    match (kind(older), kind(newer)) {
        (Some((2, _)), Some((2, _))) => ChangeKind::Link,
        (Some((a, _)), Some((b, _))) if a != b => ChangeKind::Kind,
        (then, now) if then == now => ChangeKind::Mode,
        _ => ChangeKind::Content,
    }
}

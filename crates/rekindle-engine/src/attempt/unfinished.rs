//! What is kept of a step that failed or was stopped, for the next build to go on from.
//!
//! `rekindle_plan::audit::unfinished` says what may stay of its tree. What has to go is hidden by one more layer on top of what
//! the step left. The step's record says that it failed, so it is never taken as it is; it only is a tree to go on in.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rekindle_layers::{Draft, Timestamp, TreeChange, TreeChangeKind, merge};
use rekindle_plan::Seedable;
use rekindle_plan::audit::{self, Evidence, Run};

use super::Attempt;
use super::auditing::Made;
use super::kept::Runs;
use super::step::Seen;
use crate::checkpoint::{Open, TraceFile};
use crate::error::Error;
use crate::event::Progress;
use crate::evidence::{Ninjas, Trees};
use crate::links::{Links, names_left};
use crate::recipes::Planned;
use crate::tree::{Layer, paths};
use crate::world::TREE_TMP;

/// What can be kept of a step that failed.
pub(super) struct Unfinished {
    /// What its runs did that left something, and those that are not settled.
    pub(super) runs: Runs,
    /// What has to go from its tree.
    pub(super) remove: Vec<Vec<u8>>,
    /// What is not settled.
    pub(super) open: Open,
    /// Whether it began from what the steps before it had left.
    pub(super) is_clean: bool,
}

impl Attempt<'_> {
    /// Whether what the last step left may be gone on from without these paths, as far as files with several names are concerned; or
    /// why not.
    pub(super) fn can_go_on_without(&self, remove: &[Vec<u8>]) -> Result<(), String> {
        let unreadable = |_| "it cannot be read".to_owned();
        let Some(draft) = &self.failed else { return Ok(()) };
        let below = paths(&self.tree, self.bottom.upper());
        let links = Links::of(draft.upper(), self.links_below.then_some(&below[..])).map_err(unreadable)?;
        if let Some(torn) = links.torn {
            return Err(format!("{} was the same file as another one, and is not any more", torn.display()));
        }
        if !links.some && !self.links_below {
            return Ok(());
        }
        let gone: HashSet<&Path> = remove.iter().map(|path| Path::new(OsStr::from_bytes(path))).collect();
        match names_left(&self.tree(), &gone).map_err(unreadable)? {
            None => Ok(()),
            Some(left) => Err(format!("{} is another name of something half made", left.display())),
        }
    }

    /// Keeps what there is to keep of a step that failed.
    pub(super) fn keep_failed(
        &mut self,
        phase: &str,
        planned: &Planned,
        made: Option<Made>,
    ) -> Result<(), Error> {
        if !Seedable::default().allows(Some(phase)) || !self.given.keeps || self.unreadable {
            return Ok(());
        }
        let unfinished = match made {
            Some(Made::Unfinished(unfinished)) => unfinished,
            Some(Made::Clean(seen)) => self.unfinished(*seen)?,
            _ => Err("it did not end by itself".to_owned()),
        };
        let mut unfinished = match (unfinished, self.failed.take()) {
            (Ok(unfinished), Some(draft)) => {
                self.tree.insert(0, Layer::draft(draft));
                unfinished
            }
            (unfinished, draft) => {
                self.failed = draft;
                self.progress = Progress::NotKept(unfinished.err().unwrap_or_default());
                return Ok(());
            }
        };
        // The next build does not find it anyway.
        let is_tmp = |path: &[u8]| Path::new(OsStr::from_bytes(path)).starts_with(TREE_TMP);
        unfinished.remove.retain(|path| !is_tmp(path));
        unfinished.open.lost.retain(|lost| !is_tmp(&lost.path));
        let hidden = match unfinished.remove.is_empty() {
            true => None,
            false => Some(Layer::draft(self.hiding(&unfinished.remove)?)),
        };
        self.progress = match self.note_failed(planned, hidden, unfinished) {
            true => Progress::Kept,
            false => Progress::NotKept("it cannot be read".to_owned()),
        };
        Ok(())
    }

    /// What can be kept of a step that had begun clean.
    fn unfinished(&self, seen: Seen) -> Result<Result<Unfinished, String>, Error> {
        let trace = match seen.run {
            Ok((trace, _)) => trace,
            Err(why) => return Ok(Err(why)),
        };
        let before = paths(&self.tree, self.bottom.upper());
        let rounds = [Run::new(trace)];
        let (after, ninjas) = ([before.clone(), self.tree()], Ninjas::default());
        let trees = Trees::new(&before, &after, &[Default::default()], &[], &ninjas)?;
        let evidence = Evidence { then: &[], rounds: &rounds, removed: &[], open: audit::Open::default() };
        let left = audit::unfinished(evidence, &trees, self.given.rules, &seen.how);
        let left = match left.and_then(|left| self.can_go_on_without(&left.remove).map(|()| left)) {
            Ok(left) => left,
            Err(why) => return Ok(Err(why)),
        };
        Ok(TraceFile::pack(&left.trace).map_err(|error| error.to_string()).map(|file| Unfinished {
            runs: Runs { files: vec![file], now: 1 },
            remove: left.remove,
            open: Open { runs: 1, alike: 1, lost: left.lost },
            is_clean: true,
        }))
    }

    /// A layer that hides these paths of the tree.
    fn hiding(&self, remove: &[Vec<u8>]) -> Result<Draft, Error> {
        let draft = self.given.layers.begin()?;
        let onto = paths(&self.tree, self.bottom.upper());
        let change = |path: &Vec<u8>| TreeChange {
            path: PathBuf::from(OsStr::from_bytes(path)),
            kind: TreeChangeKind::Removed,
        };
        let changes: Vec<TreeChange> = remove.iter().map(change).collect();
        merge(&changes, &onto, &onto, draft.upper(), Path::new(""), Timestamp::default())?;
        Ok(draft)
    }
}

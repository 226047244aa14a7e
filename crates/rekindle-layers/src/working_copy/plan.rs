//! What a layer has to hold to turn one tree into another.
//!
//! Hard links need care: two names that are links in the stack stay so only if the layer has neither, and names that the
//! layer has are links among each other only. So all names of a file are kept below, or all are written. If the names of
//! one file in the stack belong to several files now, one of these may keep its names.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::record::{Record, find};
use crate::view::{Cursor, same_bytes};
use crate::{Error, FileType, Metadata};

type Inode = (u64, u64);

/// What to write, by directory. A directory comes before those in it; each is to be made, the root apart.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) dirs: BTreeMap<PathBuf, Vec<Act>>,
}

/// What to do with a name.
#[derive(Debug)]
pub(super) enum Act {
    Write(OsString),
    /// Hide what the stack has there.
    Hide(OsString),
}

impl Plan {
    /// Compares two records, the earlier of which says what is in `stack`; the later one says what is `here`.
    pub(super) fn make(
        then: &Record,
        now: &Record,
        stack: &mut Cursor,
        here: &mut Cursor,
    ) -> Result<Plan, Error> {
        let mut plan = Plan::default();
        let written = Doubtful::of(then, now).settle(stack, here)?;
        for (dir, names) in &now.dirs {
            let old = then.dirs.get(dir).map_or(&[][..], Vec::as_slice);
            for (name, _) in old.iter().filter(|(name, _)| find(names, name).is_none()) {
                plan.act(dir, Act::Hide(name.clone()));
            }
            for (name, metadata) in names {
                if metadata.file_type == FileType::Directory {
                    let same = |old: &Metadata| is_alike(old, metadata);
                    if !find(old, name).is_some_and(same) {
                        plan.make_directory(&dir.join(name));
                    }
                } else if written.contains(&metadata.inode()) {
                    plan.act(dir, Act::Write(name.clone()));
                }
            }
        }
        Ok(plan)
    }

    fn act(&mut self, dir: &Path, act: Act) {
        self.make_directory(dir);
        self.dirs.get_mut(dir).expect("just made").push(act);
    }

    fn make_directory(&mut self, dir: &Path) {
        for dir in dir.ancestors() {
            if self.dirs.contains_key(dir) {
                break;
            }
            self.dirs.insert(dir.to_owned(), Vec::new());
        }
    }
}

/// The files that may have to be written.
struct Doubtful {
    /// Every name of each file, with what was there before.
    files: BTreeMap<Inode, Vec<(PathBuf, Option<Metadata>)>>,
    /// Files of the stack whose names one file keeps.
    keepers: HashSet<Inode>,
    now: HashMap<Inode, Metadata>,
}

impl Doubtful {
    fn of(then: &Record, now: &Record) -> Doubtful {
        let mut doubtful = Doubtful { files: BTreeMap::new(), keepers: HashSet::new(), now: HashMap::new() };
        for (dir, names) in &now.dirs {
            let old = then.dirs.get(dir).map_or(&[][..], Vec::as_slice);
            for (name, metadata) in names.iter().filter(|(_, new)| new.file_type != FileType::Directory) {
                let old = find(old, name);
                if old.is_some_and(|old| then.is_untouched(old, metadata)) {
                    // It has its inode number from then.
                    if metadata.hard_link_id().is_some() {
                        doubtful.keepers.insert(metadata.inode());
                    }
                    continue;
                }
                doubtful.now.insert(metadata.inode(), *metadata);
                doubtful.files.entry(metadata.inode()).or_default().push((dir.join(name), old.copied()));
            }
        }
        doubtful
    }

    /// Returns those that have to be written.
    fn settle(mut self, stack: &mut Cursor, here: &mut Cursor) -> Result<HashSet<Inode>, Error> {
        let mut buffers = [Vec::new(), Vec::new()];
        let mut written = HashSet::new();
        for (inode, names) in &self.files {
            let now = &self.now[inode];
            let then = names[0].1;
            let is_one = |old: &Metadata| {
                let same = |other: &Option<Metadata>| other.is_some_and(|other| other.inode() == old.inode());
                names.iter().all(|(_, other)| same(other))
            };
            let keeps = match then {
                Some(then) if is_alike(&then, now) && is_one(&then) => {
                    let is_free = !self.keepers.contains(&then.inode());
                    is_free && is_equal(&names[0].0, stack, here, &mut buffers)?
                }
                _ => false,
            };
            if let (true, Some(then)) = (keeps, then) {
                self.keepers.insert(then.inode());
            } else {
                written.insert(*inode);
            }
        }
        Ok(written)
    }
}

/// Whether all is the same but what is in it.
fn is_alike(then: &Metadata, now: &Metadata) -> bool {
    let Metadata { file_type, mode, size, mtime, .. } = *now;
    let is_directory = file_type == FileType::Directory;
    (then.file_type, then.mode, then.mtime) == (file_type, mode, mtime) && (is_directory || then.size == size)
}

/// Whether the stack has the same bytes or target at a path.
fn is_equal(
    path: &Path,
    stack: &mut Cursor,
    here: &mut Cursor,
    buffers: &mut [Vec<u8>; 2],
) -> Result<bool, Error> {
    let (Some(then), Some(now)) = (stack.entry(path)?, here.entry(path)?) else { return Ok(false) };
    let [Some(before), Some(after)] = [stack.dir(), here.dir()] else { return Ok(false) };
    if then.metadata.file_type != now.metadata.file_type {
        return Ok(false);
    }
    match now.metadata.file_type {
        FileType::File => same_bytes((before, &then), (after, &now), buffers),
        FileType::Symlink => Ok(before.read_link(&then)? == after.read_link(&now)?),
        _ => Ok(true),
    }
}

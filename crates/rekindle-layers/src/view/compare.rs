//! What differs between two stacks of layers.
//!
//! Two stacks of one package usually have most layers in common, at their lower ends: a later tree is an earlier one
//! with something on top, or both are that. A directory is made of parts, one of each layer that has it and shows
//! there. If the lowest parts on both sides are of the same layers, then a name that is in none of the other parts is
//! looked up in the same layers on both sides, and what is under it is the same. So only names in the other parts are
//! looked at, and a directory with the same parts on both sides is not even opened. Whiteouts and opaque directories
//! need no rule of their own: they are names, and they end the list of parts.
//!
//! Lowest parts that are empty directories say nothing, so they do not stand in the way. (Every build has such a
//! layer of its own at the bottom, with the mount points.)

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{FileType, Location, MergedDir, View, ViewEntry};
use crate::Error;

const BUFFER: usize = 128 * 1024;

/// One difference between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeChange {
    /// Where, relative to the place below which the trees were compared; empty for that place itself.
    pub path: PathBuf,
    /// How the later tree differs there.
    pub kind: TreeChangeKind,
}

/// How a path differs between two trees. Where several hold, it is the first of `Kind`, `Content` or `Target`, `Mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TreeChangeKind {
    /// Only the later tree has it.
    Added,
    /// Only the earlier tree has it.
    Removed,
    /// A regular file with other bytes.
    Content,
    /// Other permission bits.
    Mode,
    /// A file of another kind: a directory where a file was, say.
    Kind,
    /// A symlink that points elsewhere.
    Target,
}

/// Lists what differs between two stacks of layers (topmost first) at `sub` and below, in order of path.
///
/// Kind, bytes, permission bits and link targets count; times, owners and hard links do not. Everything below a
/// directory that was added or removed is listed, too. Where a directory took the place of something else or the
/// other way round, what it holds is listed as added or removed. `sub` may be missing on either side.
///
/// The cost is that of the layers that the two stacks do not have in common at their lower ends.
pub fn difference<P: AsRef<Path>>(before: &[P], after: &[P], sub: &Path) -> Result<Vec<TreeChange>, Error> {
    let views = [View::of_layers(before, Path::new(""))?, View::of_layers(after, Path::new(""))?];
    let mut layers = [Vec::new(), Vec::new()];
    for (view, layers) in views.iter().zip(&mut layers) {
        for (fd, path) in &view.stack.layers {
            let stat = rustix::fs::fstat(fd).map_err(|errno| Error::os("examine", path, errno))?;
            layers.push((stat.st_dev, stat.st_ino));
        }
    }
    let mut comparison =
        Comparison { layers, changes: Vec::new(), waiting: Vec::new(), buffers: [vec![], vec![]] };
    comparison.roots(&views, sub)?;
    while let Some((path, locations)) = comparison.waiting.pop() {
        comparison.directory(&views, &path, &locations)?;
    }
    let mut changes = comparison.changes;
    changes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

/// An entry of a directory, before or after.
pub(crate) type At<'a> = (&'a MergedDir, &'a ViewEntry);

struct Comparison {
    /// What identifies each layer, for the two stacks.
    layers: [Vec<(u64, u64)>; 2],
    changes: Vec<TreeChange>,
    /// Directories that are in both trees.
    waiting: Vec<(PathBuf, [Location; 2])>,
    buffers: [Vec<u8>; 2],
}

impl Comparison {
    fn roots(&mut self, views: &[View; 2], sub: &Path) -> Result<(), Error> {
        if sub.as_os_str().is_empty() {
            let [before, after] = views.each_ref().map(|view| view.root_metadata().mode);
            if before != after {
                self.change(Path::new(""), TreeChangeKind::Mode);
            }
            self.waiting.push((PathBuf::new(), views.each_ref().map(|view| Location::whole(&view.stack))));
            return Ok(());
        }
        let before = views[0].find(sub)?;
        let after = views[1].find(sub)?;
        let before = before.as_ref().map(|(dir, entry)| (dir, entry));
        let after = after.as_ref().map(|(dir, entry)| (dir, entry));
        self.entry(Path::new(""), before, after)
    }

    /// Compares a directory that is in both trees, itself apart.
    fn directory(&mut self, views: &[View; 2], path: &Path, locations: &[Location; 2]) -> Result<(), Error> {
        if self.layers_of(0, &locations[0]) == self.layers_of(1, &locations[1]) {
            return Ok(());
        }
        let dirs = [
            MergedDir::open(&views[0].stack, &locations[0])?,
            MergedDir::open(&views[1].stack, &locations[1])?,
        ];
        for name in self.candidates(&dirs)? {
            let before = dirs[0].entry(&name)?;
            let after = dirs[1].entry(&name)?;
            let before = before.as_ref().map(|entry| (&dirs[0], entry));
            let after = after.as_ref().map(|entry| (&dirs[1], entry));
            self.entry(&path.join(&name), before, after)?;
        }
        Ok(())
    }

    /// The names in a directory that need not be the same on both sides, sorted.
    fn candidates(&self, dirs: &[MergedDir; 2]) -> Result<Vec<OsString>, Error> {
        // Only now is it known which parts lie below opaque ones.
        let layers = [0, 1].map(|side| self.layers_of(side, &dirs[side].location()));
        let mut heads = layers.each_ref().map(Vec::len);
        loop {
            let lowest = [0, 1].map(|side| heads[side].checked_sub(1));
            if let [Some(before), Some(after)] = lowest
                && layers[0][before] == layers[1][after]
            {
                heads = [before, after];
                continue;
            }
            let mut dropped = false;
            for side in [0, 1] {
                if let Some(lowest) = lowest[side]
                    && dirs[side].names(lowest)?.len() == 0
                {
                    heads[side] = lowest;
                    dropped = true;
                }
            }
            if !dropped {
                break;
            }
        }
        let mut candidates = Vec::new();
        for side in [0, 1] {
            for part in 0..heads[side] {
                candidates.extend(dirs[side].names(part)?.iter().map(|name| name.os().to_owned()));
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        Ok(candidates)
    }

    /// Compares what is at a path, and all below it sooner or later.
    fn entry(&mut self, path: &Path, before: Option<At<'_>>, after: Option<At<'_>>) -> Result<(), Error> {
        use TreeChangeKind::{Added, Content, Kind, Mode, Removed, Target};
        let (before, after) = match (before, after) {
            (None, None) => return Ok(()),
            (Some(before), None) => {
                self.change(path, Removed);
                return self.below(path, before, Removed);
            }
            (None, Some(after)) => {
                self.change(path, Added);
                return self.below(path, after, Added);
            }
            (Some(before), Some(after)) => (before, after),
        };
        let [old, new] = [&before.1.metadata, &after.1.metadata];
        let kind = match (old.file_type, new.file_type) {
            (FileType::Directory, FileType::Directory) => {
                let locations = [before.0.child_location(before.1)?, after.0.child_location(after.1)?];
                self.waiting.push((path.to_owned(), locations));
                None
            }
            (FileType::File, FileType::File) => {
                (!same_bytes(before, after, &mut self.buffers)?).then_some(Content)
            }
            (FileType::Symlink, FileType::Symlink) => {
                (before.0.read_link(before.1)? != after.0.read_link(after.1)?).then_some(Target)
            }
            (one, other) => (one != other).then_some(Kind),
        };
        if let Some(kind) = kind.or((old.mode != new.mode).then_some(Mode)) {
            self.change(path, kind);
        }
        if kind == Some(Kind) {
            self.below(path, before, Removed)?;
            self.below(path, after, Added)?;
        }
        Ok(())
    }

    /// Lists what is below a path on one side.
    fn below(&mut self, path: &Path, (dir, entry): At<'_>, kind: TreeChangeKind) -> Result<(), Error> {
        if entry.metadata.file_type != FileType::Directory {
            return Ok(());
        }
        dir.subtree(entry)?.walk(|walked| {
            if !walked.path().as_os_str().is_empty() {
                self.change(&path.join(walked.path()), kind);
            }
            Ok(())
        })
    }

    fn change(&mut self, path: &Path, kind: TreeChangeKind) {
        self.changes.push(TreeChange { path: path.to_owned(), kind });
    }

    fn layers_of(&self, side: usize, location: &Location) -> Vec<(u64, u64)> {
        location.layers.iter().map(|&layer| self.layers[side][layer]).collect()
    }
}

/// Whether two regular files hold the same bytes.
pub(crate) fn same_bytes(before: At<'_>, after: At<'_>, buffers: &mut [Vec<u8>; 2]) -> Result<bool, Error> {
    let [old, new] = [&before.1.metadata, &after.1.metadata];
    if old.inode == new.inode {
        return Ok(true);
    }
    if old.size != new.size {
        return Ok(false);
    }
    let files = [before.0.open_file(before.1)?, after.0.open_file(after.1)?];
    loop {
        let mut filled = [0, 0];
        for (side, (dir, entry)) in [before, after].into_iter().enumerate() {
            let buffer = &mut buffers[side];
            buffer.resize(BUFFER, 0);
            filled[side] =
                fill(&files[side], buffer).map_err(|error| Error::os("read", dir.path_of(entry), error))?;
        }
        let [old, new] = [&buffers[0][..filled[0]], &buffers[1][..filled[1]]];
        if old != new || old.is_empty() {
            return Ok(old == new);
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(mut file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

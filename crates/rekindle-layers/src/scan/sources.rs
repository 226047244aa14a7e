//! Which files are sources. The rule, the same for every build:
//!
//! 1. `.git`, directory or file, is never a source.
//! 2. What the caller's exclude patterns match is none, tracked by git or not; what a `!` pattern among them
//!    matches is one.
//! 3. What git tracks is one, whatever a `.gitignore` says.
//! 4. What a `.gitignore` of the work tree ignores is none. These files are read from the work tree's root
//!    downwards, so also above the directory that is scanned; per-user and per-clone excludes do not count.
//! 5. Everything else is one. A directory is one if it is empty on disk or holds a source.
//!
//! A file belongs to the innermost work tree around it: a submodule, or a repository within another, has its own
//! index and its own `.gitignore` files. Where there is no work tree, or where the scanned directory itself is
//! ignored by the work tree around it (a project unpacked below `target/`, say), 3 and 4 do not apply.
//! As in git, a file in an ignored directory cannot be brought back by a `.gitignore` pattern.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::git_index::GitIndex;
use super::gitignore::{Patterns, Verdict};
use super::work_tree;
use crate::Error;
use crate::dirfd::{self, Names};

/// What applies in one directory.
#[derive(Clone, Debug)]
pub(super) struct Place {
    git: Option<GitPlace>,
}

/// A directory within a work tree.
#[derive(Clone, Debug)]
struct GitPlace {
    index: Arc<GitIndex>,
    /// The tracked paths below this directory.
    tracked: Range<usize>,
    /// Path from the work tree's root, with a `/` at its end unless it is the root.
    path: Vec<u8>,
    levels: Option<Arc<Level>>,
    /// Whether the directory is ignored, so that only what is tracked counts.
    ignored: bool,
}

/// The patterns of one `.gitignore`, and those of the directories above.
#[derive(Debug)]
struct Level {
    patterns: Patterns,
    /// Length of the `path` of the directory that holds the file.
    base: usize,
    above: Option<Arc<Level>>,
}

impl Place {
    /// The place of a root to be scanned, before its own `.gitignore` is read (see [`Place::enter`]).
    pub(super) fn of_root(root: &Path, gitignore: bool) -> Result<Place, Error> {
        let outside = Place { git: None };
        if !gitignore {
            return Ok(outside);
        }
        let root = root.canonicalize().map_err(|error| Error::os("find", root, error))?;
        let Some((top, git)) = work_tree::find_above(&root) else { return Ok(outside) };
        let mut place = GitPlace::top(work_tree::read_index(&git)?);
        let mut dir = top.to_owned();
        for name in root.strip_prefix(top).expect("found above it") {
            if !place.ignored {
                let opened = dirfd::open_root(&dir).map_err(|errno| Error::os("open", &dir, errno))?;
                place.add_level(&opened, &dir)?;
            }
            let tracked = place.tracked_below(name.as_bytes());
            let ignored = place.ignores(name.as_bytes(), true);
            if ignored && tracked.is_empty() {
                return Ok(outside);
            }
            place.descend(name.as_bytes(), tracked, ignored);
            dir.push(name);
        }
        Ok(Place { git: Some(place) })
    }

    /// Takes in what the directory itself says: its `.gitignore`, or that it is a work tree of its own.
    pub(super) fn enter(
        &mut self,
        dir: &OwnedFd,
        path: &Path,
        names: &Names,
        root: bool,
    ) -> Result<(), Error> {
        if !root
            && names.find(b".git").is_some()
            && let Some(git) = work_tree::git_directory(path)
        {
            self.git = Some(GitPlace::top(work_tree::read_index(&git)?));
        }
        match &mut self.git {
            Some(git) if !git.ignored && names.find(b".gitignore").is_some() => git.add_level(dir, path),
            _ => Ok(()),
        }
    }

    /// Judges a file of this directory that is not a directory.
    pub(super) fn keeps_file(&self, name: &[u8], extra: Option<Verdict>) -> bool {
        match (extra, &self.git) {
            (Some(verdict), _) => verdict == Verdict::Keep,
            (None, None) => true,
            (None, Some(git)) => git.tracks(name) || !git.ignores(name, false),
        }
    }

    /// Judges a directory in this directory: its place, or `None` if it is no source.
    pub(super) fn child(&self, name: &[u8], extra: Option<Verdict>) -> Option<Place> {
        if extra == Some(Verdict::Ignore) {
            return None;
        }
        let Some(git) = &self.git else { return Some(self.clone()) };
        let tracked = git.tracked_below(name);
        let ignored = extra != Some(Verdict::Keep) && git.ignores(name, true);
        if ignored && tracked.is_empty() {
            return None;
        }
        let mut child = git.clone();
        child.descend(name, tracked, ignored);
        Some(Place { git: Some(child) })
    }

    /// Whether an empty directory here is a source.
    pub(super) fn keeps_empty(&self) -> bool {
        self.git.as_ref().is_none_or(|git| !git.ignored)
    }
}

impl GitPlace {
    fn top(index: GitIndex) -> GitPlace {
        let tracked = index.all();
        GitPlace { index: Arc::new(index), tracked, path: Vec::new(), levels: None, ignored: false }
    }

    fn join(&self, name: &[u8]) -> Vec<u8> {
        // One more, as most callers add a slash.
        let mut path = Vec::with_capacity(self.path.len() + name.len() + 1);
        path.extend_from_slice(&self.path);
        path.extend_from_slice(name);
        path
    }

    fn tracks(&self, name: &[u8]) -> bool {
        !self.tracked.is_empty() && self.index.contains(&self.tracked, &self.join(name))
    }

    fn tracked_below(&self, name: &[u8]) -> Range<usize> {
        let mut prefix = self.join(name);
        prefix.push(b'/');
        self.index.below(&self.tracked, &prefix)
    }

    fn ignores(&self, name: &[u8], directory: bool) -> bool {
        if self.ignored {
            return true;
        }
        let Some(innermost) = &self.levels else { return false };
        let path = self.join(name);
        let mut levels = std::iter::successors(Some(innermost), |level| level.above.as_ref());
        levels.find_map(|level| level.patterns.judge(&path[level.base..], directory)) == Some(Verdict::Ignore)
    }

    fn descend(&mut self, name: &[u8], tracked: Range<usize>, ignored: bool) {
        self.path = self.join(name);
        self.path.push(b'/');
        self.tracked = tracked;
        self.ignored = ignored;
    }

    /// Reads the `.gitignore` of the directory. As for git, only a regular file is one, not a symlink.
    fn add_level(&mut self, dir: &OwnedFd, path: &Path) -> Result<(), Error> {
        let fail = |error| Error::os("read", path.join(".gitignore"), error);
        let opened = match dirfd::open_name(dir, OsStr::new(".gitignore"), dirfd::FILE) {
            Ok(opened) => File::from(opened),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => {
                return Ok(());
            }
            Err(errno) => return Err(fail(errno.into())),
        };
        if !opened.metadata().map_err(fail)?.is_file() {
            return Ok(());
        }
        let mut text = Vec::new();
        (&opened).read_to_end(&mut text).map_err(fail)?;
        let patterns = Patterns::parse(&text);
        if !patterns.is_empty() {
            self.levels =
                Some(Arc::new(Level { patterns, base: self.path.len(), above: self.levels.take() }));
        }
        Ok(())
    }
}

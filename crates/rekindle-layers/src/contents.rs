//! Writing the contents of a tree's files, the large ones beside the walk that makes them.
//!
//! Most of the time of writing a tree out goes into a few large files, and a processor copies more slowly than memory is
//! read. So those are handed to other threads, a few at a time, as each of them keeps two files open. What comes of it is
//! the same, in the same order, as if one thread had written all.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::Scope;

use crate::rewrite::Rewriter;
use crate::tree_writer::{fill, set_mode_and_mtime};
use crate::{Error, Metadata};

/// From what size on it is worth another thread's while.
const LARGE: u64 = 256 << 10;

/// How many files other threads have at a time.
const MOST: usize = 8;

/// A file to be filled.
#[derive(Debug)]
pub(crate) struct Content {
    /// What is read.
    pub(crate) source: File,
    /// What is written; empty.
    pub(crate) file: File,
    /// Where that is, for errors.
    pub(crate) path: PathBuf,
    /// Where the original is in its view.
    pub(crate) seen: PathBuf,
    /// Of the original.
    pub(crate) metadata: Metadata,
}

/// What came of one file.
#[derive(Debug)]
pub(crate) struct Filled {
    /// See [`Content::seen`].
    pub(crate) seen: PathBuf,
    /// How many replacements were made.
    pub(crate) replaced: u64,
    /// How many of its bytes share their blocks with the original.
    pub(crate) shared: u64,
}

/// The files of one tree.
pub(crate) struct Contents<'a> {
    rewriter: &'a Rewriter<'a>,
    /// What came of those of which something is to be said, with their places in the order.
    done: Mutex<Vec<(usize, Result<Filled, Error>)>>,
    /// How many other threads have.
    elsewhere: AtomicUsize,
}

impl<'a> Contents<'a> {
    pub(crate) fn new(rewriter: &'a Rewriter<'a>) -> Contents<'a> {
        Contents { rewriter, done: Mutex::default(), elsewhere: AtomicUsize::new(0) }
    }

    /// Fills the file that is at `place` in the order of all, now or beside what follows, and gives it the mode and the mtime
    /// of its original.
    ///
    /// # Errors
    /// A file that could not be filled now. What could not be later [`Contents::finish`] says.
    pub(crate) fn add<'s>(&'s self, scope: &Scope<'s>, place: usize, content: Content) -> Result<(), Error> {
        // Only this thread makes it more.
        if content.metadata.size < LARGE || self.elsewhere.load(Ordering::Acquire) >= MOST {
            let filled = self.write(content)?;
            self.note(place, Ok(filled));
            return Ok(());
        }
        self.elsewhere.fetch_add(1, Ordering::AcqRel);
        scope.spawn(move |_| {
            let filled = self.write(content);
            self.elsewhere.fetch_sub(1, Ordering::AcqRel);
            self.note(place, filled);
        });
        Ok(())
    }

    /// What came of the files that hold replacements or share their blocks, in their order. Everything that was begun must be over.
    ///
    /// # Errors
    /// The first file that could not be filled.
    pub(crate) fn finish(self) -> Result<Vec<(usize, Filled)>, Error> {
        let mut done = self.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(place, _)| *place);
        done.into_iter().map(|(place, filled)| Ok((place, filled?))).collect()
    }

    fn note(&self, place: usize, filled: Result<Filled, Error>) {
        if filled.as_ref().is_ok_and(|filled| filled.replaced == 0 && filled.shared == 0) {
            return;
        }
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push((place, filled));
    }

    fn write(&self, content: Content) -> Result<Filled, Error> {
        let Content { source, file, path, seen, metadata } = content;
        let failed = |error| Error::os("write", &path, error);
        let replaced = self.rewriter.copy(&source, &file).map_err(failed)?;
        let is_shared = replaced == 0 && fill(&file, &source).map_err(failed)?;
        // Writing takes setuid away and moves the mtime, so this comes last.
        set_mode_and_mtime(&file, metadata.mode, metadata.mtime)
            .map_err(|errno| Error::os("set the mode and time of", &path, errno))?;
        Ok(Filled { seen, replaced, shared: if is_shared { metadata.size } else { 0 } })
    }
}

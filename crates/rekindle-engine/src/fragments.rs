//! Finds the pieces of a scratch path that a compiler has cut, and replaces those that are certain.
//!
//! A compiler copies a short string with moves of 4, 8 or 16 bytes: pieces of it stand as operands among the
//! instructions, or in a pool of constants, in any order. The last move may overlap the one before, so that the last
//! characters of a hash part stand a second time, followed by the rest of the path. None of these pieces is the whole
//! hash part, so none of them is replaced with it, and the program would put a path together that is half scratch and
//! half final. GNU hello does so with its library directory, as does any program with a compiled-in prefix.
//!
//! # What a piece is
//!
//! A *run* is bytes that go as the scratch path goes, as far as they do, with at least one character of its hash part,
//! and not the whole of it. Where it ends is not where the piece ends: what follows may go on like the path by chance. So
//! a piece needs a program that shows its ends (`operand`): it is the operand of an x86 instruction, eight or four bytes
//! behind the opcode; or whole rows of eight aligned bytes in an ELF object. At most two characters of the run may be beside
//! it, by chance; beside a row nothing may be that a zero ends, as it would end a string. Only then is it replaced, character
//! by character, and what is beside it is not.
//!
//! # What is certain
//!
//! In *n* random bytes a certain run of *k* characters is expected *n* · 2⁻⁸ᵏ times, and a hash part has at most 40
//! places where one may begin. Per gigabyte of output that is
//!
//! | known characters | runs by chance | and shown by an opcode (2⁻¹² for eight bytes, 2⁻⁴ for four) |
//! | --- | --- | --- |
//! | 4 | 10 | 0.6 |
//! | 6 | 2·10⁻⁴ | – |
//! | 8 | 2·10⁻⁹ | 6·10⁻¹³ |
//! | 4, within 256 bytes of a certain one | 5·10⁻⁶ for each certain one | 3·10⁻⁷ |
//!
//! Against text the numbers are different: the store directory and the name are in every other path of that name or that
//! store, and only the characters of the hash part tell one from the other, with five bits each. Three of them leave
//! 3·10⁻⁵ for each other path that is cut in the same place; but of the paths that can be in the file, the closure of the
//! inputs, each is known and is compared. And what is text has no opcode before it. So a piece is certain if
//! - it has eight known characters, three of them of the hash part;
//! - or eight, one of the hash part, and five behind it: `x-hello`, which is no other path than one of that name;
//! - or together with another one within 256 bytes it has as many. Pieces of four bytes are of this kind.
//!
//! It is not if another path, of the inputs or of the outputs, has the same characters there. And a program that puts a
//! path together has all of it: where the pieces of a path in a file do not cover the hash part, and it is not there as
//! a whole either, there must be more that was not found.
//!
//! # What is not
//!
//! What may be a piece and is not certain costs a build at the final path, never a wrong output. This is
//! - a piece that nothing shows the ends of (a text, another processor, another format), if it has eight known
//!   characters of which three are the hash part's, or the store directory and four characters, or the last character and
//!   the whole name, or if it is a row of four near another one;
//! - eight characters in reversed order, as a comparison by size has them;
//! - four wide characters of two or four bytes in a row: no representation that is replaced;
//! - a piece that was replaced and is under a checksum, or in a compressed member: searched for afterwards.
//!
//! After replacing, the file is looked through again. Nothing may be found.
//!
//! Not seen are pieces of one or two bytes: an operand of two bytes ends a copy, and behind a hash part there are three
//! bytes at least. An ARM processor has operands of two bytes in the middle of an instruction; there the covering rule
//! and the pieces that are longer have to tell.

mod operand;
mod scan;
mod targets;
#[cfg(test)]
mod tests;
mod verdict;

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use memchr::memmem;
use rekindle_nix::StorePath;

use crate::hidden::find_hidden;
use crate::scratch::OutputPaths;
use scan::scan;
use targets::Targets;
use verdict::{Patch, Verdict, judge};

/// Each looks at a block of a file at a time, and more than a disk can feed are no use.
const MOST_THREADS: usize = 8;

/// What scratch paths are looked for, and what they become.
pub(crate) struct Fragments {
    targets: Targets,
}

impl Fragments {
    /// Of `outputs`, in files where the paths of `others` may be, too.
    pub(crate) fn new(store_dir: &str, outputs: &[OutputPaths], others: &[StorePath]) -> Self {
        Fragments { targets: Targets::new(store_dir, outputs, others) }
    }

    /// Looks for pieces in all regular files at and below `root`, where whole hash parts are replaced already.
    ///
    /// # Errors
    /// A file or directory that cannot be read.
    pub(crate) fn look(&self, root: &Path) -> io::Result<Looked> {
        let files = files(root)?;
        let verdicts = self.look_into_all(&files);
        Ok(Looked { root: root.to_owned(), files: files.into_iter().zip(verdicts).collect() })
    }

    /// Replaces the pieces that were found. Returns the first file with one that is not certain, relative to the root;
    /// the files after it are as they were.
    ///
    /// # Errors
    /// A file that could not be read, or cannot be written.
    pub(crate) fn replace(&self, looked: Looked) -> io::Result<Option<PathBuf>> {
        for (path, verdict) in looked.files {
            let is_good = match verdict? {
                Verdict::Replace(patches) if patches.is_empty() => true,
                Verdict::Replace(patches) => {
                    write(&path, &patches)?;
                    self.look_into(&path)? == Verdict::Replace(Vec::new()) && !is_hidden(&path, &patches)?
                }
                Verdict::Uncertain => false,
            };
            if !is_good {
                return Ok(Some(below(&looked.root, &path)));
            }
        }
        Ok(None)
    }

    /// Looks into many files, several at a time.
    fn look_into_all(&self, files: &[PathBuf]) -> Vec<io::Result<Verdict>> {
        let threads =
            thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS).min(files.len());
        if threads < 2 {
            return files.iter().map(|file| self.look_into(file)).collect();
        }
        // The largest first, or the last to be begun may be the one that takes as long as all others.
        let mut order: Vec<usize> = (0..files.len()).collect();
        order.sort_by_cached_key(|index| Reverse(fs::metadata(&files[*index]).map_or(0, |file| file.len())));
        let next = AtomicUsize::new(0);
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..threads {
                let (sender, next, order) = (sender.clone(), &next, &order);
                scope.spawn(move || {
                    while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                        // The receiver is there until all senders are gone.
                        let _ = sender.send((*index, self.look_into(&files[*index])));
                    }
                });
            }
        });
        drop(sender);
        let mut verdicts: Vec<_> = receiver.into_iter().collect();
        verdicts.sort_by_key(|(index, _)| *index);
        verdicts.into_iter().map(|(_, verdict)| verdict).collect()
    }

    fn look_into(&self, path: &Path) -> io::Result<Verdict> {
        let mut file = File::open(path)?;
        let found = scan(&mut file, &self.targets)?;
        judge(&self.targets, &found, &mut |target| {
            file.rewind()?;
            contains(&mut file, &self.targets.all[target].last)
        })
    }
}

/// What was found in the files of a tree.
pub(crate) struct Looked {
    root: PathBuf,
    /// In order.
    files: Vec<(PathBuf, io::Result<Verdict>)>,
}

impl Looked {
    /// The first file with a piece in it, certain or not, relative to the root.
    ///
    /// # Errors
    /// A file that could not be read.
    pub(crate) fn first(self) -> io::Result<Option<PathBuf>> {
        for (path, verdict) in self.files {
            if verdict? != Verdict::Replace(Vec::new()) {
                return Ok(Some(below(&self.root, &path)));
            }
        }
        Ok(None)
    }
}

/// All regular files at and below `root`, in order, each by the first of its names: git installs one program by 142.
fn files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut pending = vec![root.to_owned()];
    let mut files = Vec::new();
    let mut linked = HashSet::new();
    while let Some(path) = pending.pop() {
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            let entries: Result<Vec<_>, _> =
                fs::read_dir(&path)?.map(|entry| Ok::<_, io::Error>(entry?.path())).collect();
            let mut entries = entries?;
            entries.sort();
            pending.extend(entries.into_iter().rev());
        } else if metadata.is_file()
            && (metadata.nlink() == 1 || linked.insert((metadata.dev(), metadata.ino())))
        {
            files.push(path);
        }
    }
    Ok(files)
}

fn below(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}

/// Whether `needle` is in what is left of `file`.
fn contains(file: &mut dyn Read, needle: &[u8]) -> io::Result<bool> {
    let finder = memmem::Finder::new(needle);
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        file.take(scan::BLOCK as u64).read_to_end(&mut bytes)?;
        if finder.find(&bytes).is_some() {
            return Ok(true);
        }
        if bytes.len() == before {
            return Ok(false);
        }
        bytes.drain(..bytes.len().saturating_sub(needle.len()));
    }
}

/// Writes `patches` into a file that may be read-only, and leaves its mode and time as they were.
fn write(path: &Path, patches: &[Patch]) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    let mode = metadata.permissions().mode();
    fs::set_permissions(path, Permissions::from_mode(mode | 0o200))?;
    let file = OpenOptions::new().write(true).open(path)?;
    for patch in patches {
        file.write_all_at(&patch.bytes, patch.at)?;
    }
    file.set_times(FileTimes::new().set_modified(metadata.modified()?))?;
    // Writing takes away the bits that give a program another user's rights.
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Whether a replaced piece is where bytes are not to be replaced.
fn is_hidden(path: &Path, patches: &[Patch]) -> io::Result<bool> {
    let mut pieces: Vec<Vec<u8>> = patches.iter().map(|patch| patch.piece.clone()).collect();
    pieces.sort_unstable();
    pieces.dedup();
    Ok(find_hidden(path, &pieces)?.is_some_and(|hit| hit.hidden))
}

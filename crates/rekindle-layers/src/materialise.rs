//! skeleton
use crate::{Error, View};
use std::path::{Path, PathBuf};
/// How to write a view out.
#[derive(Clone, Debug, Default)]
pub struct MaterialiseOptions {
    /// Byte strings to replace in contents, link targets and names. Where several match, the leftmost wins, then the first listed.
    pub substitute: Vec<Substitution>,
}
/// A byte string and its replacement, of the same length, not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substitution {
    /// What to look for.
    pub from: Vec<u8>,
    /// What to write instead.
    pub to: Vec<u8>,
}
/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Materialised {
    /// Regular files, each hard link group counted once.
    pub files: u64,
    /// Further names of files already written.
    pub hard_links: u64,
    /// Directories, the root included.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Bytes of the regular files.
    pub bytes: u64,
    /// Of those, bytes that share their blocks with the layer (reflink).
    pub shared_bytes: u64,
    /// Where a substitution applied.
    pub hits: Vec<Hit>,
}
/// A place where a substitution applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The path in the view, before substitution.
    pub path: PathBuf,
    /// In which part of it.
    pub place: HitPlace,
    /// How many replacements were made there.
    pub count: u64,
}
/// The part of a file that a substitution applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HitPlace {
    /// Its last name.
    Name,
    /// The bytes of a regular file.
    Content,
    /// The target of a symlink.
    Target,
}
/// Writes the view out at `dest`, which must not exist.
pub fn materialise(view: &View, dest: &Path, options: &MaterialiseOptions) -> Result<Materialised, Error> {
    let _ = (view, dest, options);
    todo!()
}

//! Writing a view out as a plain directory, exactly: modes, nanosecond mtimes (of directories and symlinks, too),
//! hard links; on request with byte strings replaced.
//!
//! How files are made is for the `tree_writer`, and how they are filled for `contents`; here is what they are made of. A
//! file is read only if there is something to replace, and written anew only if it holds it. Owners, ctimes, atimes and attributes are not kept.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rayon::Scope;
use rustix::io::Errno;

use crate::contents::{Content, Contents, Filled};
use crate::error::Kind;
use crate::rewrite::Rewriter;
use crate::tree_writer::TreeWriter;
use crate::{Error, FileType, View, Walked};

/// How to write a view out.
#[derive(Clone, Debug, Default)]
pub struct MaterialiseOptions {
    /// Byte strings to replace in contents, link targets and names. Where several match, the leftmost wins, then the
    /// first listed; what was replaced is not looked at again.
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
    /// Of those, bytes that share their blocks with the layer.
    pub shared_bytes: u64,
    /// Where a substitution applied, in the order of the walk.
    pub hits: Vec<Hit>,
}

/// A place where a substitution applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The path in the view, before substitution; the first one of hard links.
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

/// Writes the view out at `dest`, which must not exist. The name of `dest` itself is never substituted.
///
/// On an error, what was written so far stays for the caller to remove.
pub fn materialise(view: &View, dest: &Path, options: &MaterialiseOptions) -> Result<Materialised, Error> {
    let rewriter = Rewriter::new(&options.substitute)?;
    let name = dest.file_name().ok_or_else(|| Error::os("write", dest, Errno::INVAL))?;
    let parent = dest.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let contents = Contents::new(&rewriter);
    let mut writer = Materialiser {
        rewriter: &rewriter,
        tree: TreeWriter::new(parent)?,
        name,
        at: (PathBuf::new(), PathBuf::from(name)),
        place: 0,
        hits: Vec::new(),
    };
    let walked = rayon::in_place_scope(|scope| {
        view.walk(|walked| {
            let path = writer.substituted_path(walked)?;
            writer.write(walked, &path, (&contents, scope))?;
            writer.place += 1;
            Ok::<(), Error>(())
        })
    });
    // What was begun before the walk came to an error comes before it, too.
    let filled = contents.finish()?;
    walked?;
    let Materialiser { tree, mut hits, .. } = writer;
    let mut written = tree.finish()?;
    for (place, Filled { seen, replaced, shared }) in filled {
        written.shared_bytes += shared;
        if replaced > 0 {
            hits.push((place, Hit { path: seen, place: HitPlace::Content, count: replaced }));
        }
    }
    // A name comes before what has it.
    hits.sort_by_key(|(place, _)| *place);
    Ok(Materialised {
        files: written.files,
        hard_links: written.hard_links,
        directories: written.directories,
        symlinks: written.symlinks,
        bytes: written.bytes,
        shared_bytes: written.shared_bytes,
        hits: hits.into_iter().map(|(_, hit)| hit).collect(),
    })
}

struct Materialiser<'a> {
    rewriter: &'a Rewriter<'a>,
    /// Writes into the directory that holds `dest`.
    tree: TreeWriter,
    /// The name of `dest`.
    name: &'a OsStr,
    /// The directory that the walk is in, and where it is written. The walk stays in one for all its names.
    at: (PathBuf, PathBuf),
    /// How many files the walk has passed.
    place: usize,
    /// With the place of each in the walk.
    hits: Vec<(usize, Hit)>,
}

impl<'a> Materialiser<'a> {
    /// Where to write what the walk is at.
    fn substituted_path(&mut self, walked: &Walked<'_>) -> Result<PathBuf, Error> {
        let Some(parent) = walked.path().parent() else { return Ok(PathBuf::from(self.name)) };
        if parent != self.at.0 {
            let mut substituted = PathBuf::from(self.name);
            for name in parent {
                substituted.push(self.rewritten(name).1);
            }
            self.at = (parent.to_owned(), substituted);
        }
        let name = self.substituted_name(walked)?;
        Ok(self.at.1.join(name))
    }

    fn rewritten(&self, name: &OsStr) -> (u64, OsString) {
        let mut bytes = name.as_bytes().to_vec();
        let count = self.rewriter.rewrite_all(&mut bytes);
        (count, OsString::from_vec(bytes))
    }

    fn substituted_name(&mut self, walked: &Walked<'_>) -> Result<OsString, Error> {
        let (count, name) = self.rewritten(walked.name());
        if count > 0 {
            if matches!(name.as_bytes(), b"." | b"..")
                || name.as_bytes().iter().any(|byte| b"/\0".contains(byte))
            {
                let reason = "what cannot be a name";
                return Err(Kind::Renamed { path: walked.path().to_owned(), reason }.into());
            }
            self.hit(walked, HitPlace::Name, count);
        }
        Ok(name)
    }

    fn write<'s>(
        &mut self,
        walked: &Walked<'_>,
        path: &Path,
        (contents, scope): (&'s Contents<'a>, &Scope<'s>),
    ) -> Result<(), Error> {
        let metadata = walked.metadata();
        match metadata.file_type {
            FileType::File => {
                if self.tree.link_again(walked, path)? {
                    return Ok(());
                }
                let (source, file) = (walked.open_file()?, self.tree.create(path)?);
                self.tree.count_file(metadata.size);
                let (path, seen) = (self.tree.full_path(path), walked.path().to_owned());
                contents.add(scope, self.place, Content { source, file, path, seen, metadata: *metadata })
            }
            FileType::Symlink => {
                if self.tree.link_again(walked, path)? {
                    return Ok(());
                }
                let mut target = walked.read_link()?.into_os_string().into_vec();
                let count = self.rewriter.rewrite_all(&mut target);
                if count > 0 {
                    self.hit(walked, HitPlace::Target, count);
                }
                self.tree.symlink(path, OsStr::from_bytes(&target), metadata.mtime)
            }
            _ => self.tree.copy(walked, path, metadata.mtime),
        }
    }

    fn hit(&mut self, walked: &Walked<'_>, place: HitPlace, count: u64) {
        self.hits.push((self.place, Hit { path: walked.path().to_owned(), place, count }));
    }
}

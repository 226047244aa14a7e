//! What the file system says of every file of a tree at one moment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::{Error, Metadata, Timestamp, View};

/// All files of a tree with their metadata.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) root: Metadata,
    /// Every directory, the root included, and what it holds, in order of name.
    pub(super) dirs: BTreeMap<PathBuf, Vec<(OsString, Metadata)>>,
    /// A file with an older ctime gets another one with its next change. The clock goes by ticks: one that was changed
    /// in the very tick of the record may be changed again with no trace.
    certain_before: Timestamp,
}

impl Record {
    /// Looks at every file of a plain directory that nothing writes to.
    pub(super) fn take(root: &Path) -> Result<Record, Error> {
        let view = View::of_path(root)?;
        let mut dirs = BTreeMap::from([(PathBuf::new(), Vec::new())]);
        let mut at: (PathBuf, Vec<(OsString, Metadata)>) = Default::default();
        view.walk(|walked| {
            let path = walked.path();
            let Some(parent) = path.parent() else { return Ok(()) };
            // The names of one directory follow each other.
            if at.0 != parent {
                let (dir, names) = std::mem::replace(&mut at, (parent.to_owned(), Vec::new()));
                dirs.insert(dir, names);
            }
            at.1.push((walked.name().to_owned(), *walked.metadata()));
            if walked.metadata().file_type == crate::FileType::Directory {
                dirs.insert(path.to_owned(), Vec::new());
            }
            Ok::<(), Error>(())
        })?;
        let (dir, names) = at;
        dirs.insert(dir, names);
        Ok(Record { root: *view.root_metadata(), dirs, certain_before: Timestamp::file_clock() })
    }

    /// The metadata of what is at a path; `None` for the root, too.
    pub(super) fn metadata(&self, path: &Path) -> Option<&Metadata> {
        find(self.dirs.get(path.parent()?)?, path.file_name()?)
    }

    /// Whether something that is `now` under a name is exactly what was there, untouched.
    pub(super) fn is_untouched(&self, then: &Metadata, now: &Metadata) -> bool {
        // Not the bytes allocated: they change when the disk is written.
        let seen = |of: &Metadata| (of.inode(), of.ctime, of.file_type, of.mode, of.size, of.mtime);
        seen(then) == seen(now) && is_certain(then.ctime, self.certain_before)
    }
}

/// Whether a change after `now` shows in a ctime that is this one now.
fn is_certain(ctime: Timestamp, now: Timestamp) -> bool {
    // Some file systems keep whole seconds only, or every other one.
    let step = if ctime.nanos == 0 { 2 } else { 0 };
    Timestamp { secs: ctime.secs.saturating_add(step), ..ctime } < now
}

/// Looks a name up in a directory.
pub(super) fn find<'a>(names: &'a [(OsString, Metadata)], name: &OsStr) -> Option<&'a Metadata> {
    let at = names.binary_search_by(|(other, _)| other.as_os_str().cmp(name)).ok()?;
    Some(&names[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_in_the_tick_of_the_record_is_in_doubt() {
        let at = |secs, nanos| Timestamp { secs, nanos };
        let check = |ctime, now, expected| assert_eq!(is_certain(ctime, now), expected, "{ctime} {now}");
        check(at(5, 1), at(5, 2), true);
        check(at(5, 2), at(5, 2), false);
        check(at(5, 3), at(5, 2), false);
        // Only seconds: the next change may be in the same one.
        check(at(5, 0), at(5, 900_000_000), false);
        check(at(5, 0), at(6, 900_000_000), false);
        check(at(5, 0), at(7, 1), true);
        check(at(i64::MAX, 0), at(7, 1), false);
    }
}

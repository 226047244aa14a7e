//! Gives back the time that a file had before it was marked as changed.
//!
//! A file that has any other time than the mark was written since, and keeps it. Nothing is followed: whoever left the tree may have
//! put a symlink anywhere.

use std::path::Path;

use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;

use crate::{Error, Timestamp, dirfd};

/// Gives what lies at a relative path below `root` the time `to` if it has exactly the time `from`, whatever it is.
///
/// # Errors
/// The time cannot be set. It is none if nothing is there, or nothing that may be looked at.
pub fn retime(root: &Path, path: &Path, from: Timestamp, to: Timestamp) -> Result<(), Error> {
    let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else { return Ok(()) };
    let failed = |errno: Errno| Error::os("give its time back to", root.join(path), errno);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = dirfd::open_root(root).and_then(|root| dirfd::open_below(root, parent, flags));
    let found = dir.and_then(|dir| Ok((rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?, dir)));
    match found {
        Ok((stat, dir)) if Timestamp::modified(&stat) == from => {
            rustix::fs::utimensat(dir, name, &to.as_mtime(), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)
        }
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::XDEV) => Ok(()),
        Err(errno) => Err(failed(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    const MARK: Timestamp = Timestamp { secs: 2_000_000_000, nanos: 123_456_789 };
    const OLD: Timestamp = Timestamp { secs: 1, nanos: 0 };

    #[test]
    fn only_what_has_the_mark_gets_another_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path();
        fs::create_dir(root.join("d")).expect("made");
        fs::write(root.join("d/marked"), "").expect("written");
        fs::write(root.join("d/other"), "").expect("written");
        symlink("d/marked", root.join("link")).expect("made");
        symlink("d", root.join("way")).expect("made");
        let mark = |path: &str| {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::utimensat(rustix::fs::CWD, root.join(path), &MARK.as_mtime(), flags).expect("set");
        };
        let time = |path: &str| fs::symlink_metadata(root.join(path)).expect("there").mtime();
        let retime = |path: &str| retime(root, Path::new(path), MARK, OLD).expect("done");
        ["d/marked", "link"].into_iter().for_each(mark);
        let other = time("d/other");
        ["d/other", "d/none", "none/x", "way/marked", "d/marked/x", ""].into_iter().for_each(retime);
        assert_eq!((time("d/marked"), time("link"), time("d/other")), (MARK.secs, MARK.secs, other));
        ["link", "d/marked"].into_iter().for_each(retime);
        assert_eq!((time("d/marked"), time("link")), (OLD.secs, OLD.secs));
    }
}

//! The marks that overlayfs leaves in an upper directory.
//!
//! - A whiteout is a character device with number 0:0. Where devices cannot be made, it is an empty regular file
//!   with the attribute `overlay.whiteout`, in a directory whose `overlay.opaque` is `x`.
//! - An opaque directory has `overlay.opaque` = `y`.
//! - A directory that was renamed has `overlay.redirect`.
//!
//! The attributes are `user.overlay.…` when mounted with `userxattr`, as rootless mounts must be, else
//! `trusted.overlay.…`; both count. All others (`origin`, `impure`, `nlink`, …) say nothing about the tree.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::Error;
use crate::error::Kind;

/// What the marks on a directory say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DirectoryMarks {
    /// Nothing below shows through.
    pub(super) opaque: bool,
    /// Regular files in it may be whiteouts.
    pub(super) file_whiteouts: bool,
}

const NAMESPACES: [&str; 2] = ["user.overlay.", "trusted.overlay."];

impl DirectoryMarks {
    /// Reads the marks of an open directory; `path` is for errors.
    pub(super) fn read(dir: impl AsFd, path: &dyn Fn() -> PathBuf) -> Result<DirectoryMarks, Error> {
        let fail = |errno| Error::os("read the attributes of", path(), errno);
        let mut list = vec![0; 256];
        let length = loop {
            match rustix::fs::flistxattr(&dir, &mut list[..]) {
                Ok(length) => break length,
                Err(Errno::RANGE) => list.resize(list.len() * 4, 0),
                // A file system without attributes.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => break 0,
                Err(errno) => return Err(fail(errno)),
            }
        };
        let mut marks = DirectoryMarks::default();
        for name in list[..length].split(|&byte| byte == 0) {
            let Some(mark) = NAMESPACES.iter().find_map(|space| name.strip_prefix(space.as_bytes())) else {
                continue;
            };
            match mark {
                b"opaque" => {
                    let mut value = [0; 8];
                    let length = rustix::fs::fgetxattr(&dir, name, &mut value[..]).map_err(fail)?;
                    marks.opaque |= &value[..length] == b"y";
                    marks.file_whiteouts |= &value[..length] == b"x";
                }
                b"redirect" => {
                    let reason = "which overlayfs renamed; layers must be made with redirect_dir off";
                    return Err(Kind::Layer { path: path(), reason }.into());
                }
                _ => {}
            }
        }
        Ok(marks)
    }
}

/// Whether a name with this status is a whiteout.
pub(super) fn is_whiteout(dir: impl AsFd, marks: DirectoryMarks, name: &OsStr, stat: &Stat) -> bool {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => stat.st_rdev == 0,
        FileType::RegularFile if marks.file_whiteouts && stat.st_size == 0 => {
            // There is no call that takes a directory and a name.
            let path = Path::new("/proc/self/fd").join(dir.as_fd().as_raw_fd().to_string()).join(name);
            NAMESPACES.iter().any(|space| {
                let mark = [space.as_bytes(), b"whiteout"].concat();
                rustix::fs::lgetxattr(&path, OsStr::from_bytes(&mark), &mut [0u8; 8][..]).is_ok()
            })
        }
        _ => false,
    }
}

//! The one form that files have in a store: 0444, or 0555 for directories and executables, mtime 1 (one second after the
//! epoch), the caller's own, no extended attributes.
//!
//! All that an archive does not hold is the same for everyone, so that a path is the same wherever it came from.

use std::fs::{File, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid};

use crate::error::{At, Result};

const MTIME: i64 = 1;

const TIMES: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
    last_modification: Timespec { tv_sec: MTIME, tv_nsec: 0 },
};

/// The mode that a file has when sealed.
pub(crate) fn file_mode(executable: bool) -> u32 {
    if executable { 0o555 } else { 0o444 }
}

/// Whether an archive counts a file of this mode as executable: the owner's bit decides.
pub(crate) fn is_executable(mode: u32) -> bool {
    mode & 0o100 != 0
}

/// Seals a file that was just created here: it has no attributes, and is ours.
pub(crate) fn seal_created(file: &File, executable: bool, path: &Path) -> Result<()> {
    // The umask decides what mode it got, so it is mostly right already.
    let mode = file.metadata().at("look at", path)?.mode();
    if mode & 0o7777 != file_mode(executable) {
        set_mode(file, file_mode(executable), path)?;
    }
    rustix::fs::futimens(file, &TIMES).at("set the time of", path)
}

/// Seals a file of any origin.
pub(crate) fn seal_file(file: &File, meta: &Metadata, path: &Path) -> Result<()> {
    // A change of owner clears bits of the mode, so it comes first.
    own(file, meta, path)?;
    remove_attributes(file, path)?;
    if meta.mode() & 0o7777 != file_mode(is_executable(meta.mode())) {
        set_mode(file, file_mode(is_executable(meta.mode())), path)?;
    }
    if meta.mtime() != MTIME || meta.mtime_nsec() != 0 {
        rustix::fs::futimens(file, &TIMES).at("set the time of", path)?;
    }
    Ok(())
}

/// Seals a directory whose entries will not change any more.
pub(crate) fn seal_directory(path: &Path) -> Result<()> {
    let dir = File::open(path).at("open the directory", path)?;
    let meta = dir.metadata().at("look at", path)?;
    own(&dir, &meta, path)?;
    remove_attributes(&dir, path)?;
    set_mode(&dir, 0o555, path)?;
    rustix::fs::futimens(&dir, &TIMES).at("set the time of", path)
}

/// Seals a symbolic link: it has an owner and a time, but no mode.
pub(crate) fn seal_symlink(path: &Path) -> Result<()> {
    let meta = path.symlink_metadata().at("look at", path)?;
    if let Some((uid, gid)) = new_owner(&meta) {
        rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .at("take ownership of", path)?;
    }
    rustix::fs::utimensat(CWD, path, &TIMES, AtFlags::SYMLINK_NOFOLLOW).at("set the time of", path)
}

/// How a file of a store differs from its sealed form, if it does.
pub(crate) fn unsealed(meta: &Metadata) -> Option<&'static str> {
    let mode = meta.mode() & 0o7777;
    if !meta.is_symlink() && mode != 0o555 && (meta.is_dir() || mode != 0o444) {
        return Some("its mode is neither 0444 nor 0555");
    }
    (meta.mtime() != MTIME).then_some("its modification time is not 1")
}

fn set_mode(file: impl AsFd, mode: u32, path: &Path) -> Result<()> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode)).at("set the mode of", path)
}

fn own(file: impl AsFd, meta: &Metadata, path: &Path) -> Result<()> {
    match new_owner(meta) {
        Some((uid, gid)) => rustix::fs::fchown(file, Some(uid), Some(gid)).at("take ownership of", path),
        None => Ok(()),
    }
}

/// Whose a file should be, if it is somebody else's. The group only follows the owner: a group of the caller's that a
/// directory handed down does no harm.
fn new_owner(meta: &Metadata) -> Option<(Uid, Gid)> {
    let uid = rustix::process::geteuid();
    (meta.uid() != uid.as_raw()).then(|| (uid, rustix::process::getegid()))
}

/// Removes the attributes that would make two equal files differ in what they can do or say. Labels of security modules
/// and of the file system itself are not ours to remove.
fn remove_attributes(file: impl AsFd, path: &Path) -> Result<()> {
    let mut few = [0_u8; 512];
    let mut many = Vec::new();
    let mut names = &mut few[..];
    let length = loop {
        match rustix::fs::flistxattr(&file, &mut *names) {
            Ok(length) => break length,
            Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
            // No list is longer than 64 KiB.
            Err(rustix::io::Errno::RANGE) if many.is_empty() => {
                many.resize(1 << 16, 0);
                names = &mut many;
            }
            Err(error) => return Err(error).at("list the attributes of", path),
        }
    };
    for name in names[..length].split(|byte| *byte == 0) {
        let ours = [&b"user."[..], b"trusted.", b"system.posix_acl_", b"security.capability"];
        if ours.iter().any(|prefix| name.starts_with(prefix)) {
            match rustix::fs::fremovexattr(&file, name) {
                Ok(()) | Err(rustix::io::Errno::NODATA) => {}
                Err(error) => return Err(error).at("remove an attribute of", path),
            }
        }
    }
    Ok(())
}

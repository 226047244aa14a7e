//! Random trees, and random edits of them, of every kind that a build can make.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps};

use crate::seed::Rng;

const NAMES: [&[u8]; 9] =
    [b"a", b"b", b"c.o", b".hidden", b"with space", b"new\nline", b"\xff\xfe", b"-n", b"\xc3\xa9"];

/// A path in the tree, there or not, one to three names deep.
fn place(rng: &mut Rng, root: &Path) -> PathBuf {
    let depth = 1 + rng.below(3);
    (0..depth).fold(root.to_owned(), |path, _| path.join(OsStr::from_bytes(rng.pick(&NAMES))))
}

/// A path that exists, if one is found soon.
fn existing(rng: &mut Rng, root: &Path) -> PathBuf {
    for _ in 0..20 {
        let path = place(rng, root);
        if fs::symlink_metadata(&path).is_ok() {
            return path;
        }
    }
    place(rng, root)
}

fn remove(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        let _ = fs::remove_dir_all(path);
    } else {
        let _ = fs::remove_file(path);
    }
}

/// Opens a file for writing, but does not wait for a reader of a pipe.
fn writing(path: &Path, create: bool) -> std::io::Result<fs::File> {
    let flags = OFlags::NONBLOCK.bits() as i32;
    fs::File::options().write(true).create(create).truncate(create).custom_flags(flags).open(path)
}

fn content(rng: &mut Rng) -> Vec<u8> {
    let length = rng.pick(&[0, 1, 5, 4096, 10_000]);
    (0..length).map(|_| rng.next() as u8).collect()
}

/// Makes one random edit. It may fail, as a build's steps may: then nothing, or part of it, is done.
pub(crate) fn edit(rng: &mut Rng, root: &Path) {
    let new = place(rng, root);
    let old = existing(rng, root);
    match rng.below(18) {
        0..=3 => {
            let _ = fs::create_dir_all(new.parent().expect("below the root"));
            let _ = writing(&new, true).and_then(|mut file| file.write_all(&content(rng)));
        }
        4 => {
            let _ = fs::create_dir_all(new);
        }
        5 => {
            let _ = fs::create_dir_all(new.parent().expect("below the root"));
            let _ = symlink(OsStr::from_bytes(rng.pick(&NAMES)), &new);
        }
        6 | 7 => {
            let _ = fs::create_dir_all(new.parent().expect("below the root"));
            let _ = fs::hard_link(&old, &new);
        }
        8 => {
            // In place, through whichever of its names.
            let _ = writing(&old, false).and_then(|mut file| file.write_all(b"more"));
        }
        9 => {
            let _ = writing(&old, false).and_then(|file| file.set_len(2));
        }
        10 => remove(&old),
        11 => {
            // A directory again where one was: opaque, if there is one below.
            remove(&old);
            let _ = fs::create_dir(&old);
            let _ = fs::write(old.join("fresh"), "fresh");
        }
        12 => {
            // Another kind under the same name.
            remove(&old);
            match rng.below(3) {
                0 => drop(fs::write(&old, "file now")),
                1 => drop(symlink("elsewhere", &old)),
                _ => drop(fs::create_dir(&old)),
            }
        }
        13 => {
            let _ = fs::rename(&old, &new);
        }
        14 => {
            if !fs::symlink_metadata(&old).is_ok_and(|metadata| metadata.is_symlink()) {
                let mode = rng.pick(&[0o644, 0o755, 0o000, 0o4755, 0o2750, 0o1777, 0o600, 0o444, 0o555]);
                let _ = fs::set_permissions(&old, PermissionsExt::from_mode(mode));
            }
        }
        15 | 16 => {
            let secs = rng.pick(&[0, 1, -1, -86_400 * 365, 1_700_000_000, 4_000_000_000]);
            let time = Timespec { tv_sec: secs, tv_nsec: (rng.next() % 1_000_000_000) as i64 };
            let times = Timestamps { last_access: time, last_modification: time };
            let _ = rustix::fs::utimensat(CWD, &old, &times, AtFlags::SYMLINK_NOFOLLOW);
        }
        _ => {
            if rng.one_in(2) {
                let _ = rustix::fs::mknodat(CWD, &new, FileType::Fifo, Mode::from_raw_mode(0o640), 0);
            } else {
                // The listener goes, its file stays.
                let _ = UnixListener::bind(&new);
            }
        }
    }
}

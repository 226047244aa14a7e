//! Digesting a file that somebody may be writing to: never a mixture of two contents.
//!
//! A file is read between two looks at its identity. If they differ, or another length was read, it is read again.
//! A file so young that a further change need not show in its times (see `stat_index`) must give the same digest
//! twice. After a few attempts it is an error that names the file.
//!
//! The kernel stamps a file when a write begins, not when it ends, and a write may take long: a gigabyte, a busy
//! machine. A write that began before the first look would not show in the times at all. So the clock is read first,
//! and then writes that are under way are waited for: whatever is written after that has a time that is too young.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FileType, Stat, fstat};

use crate::error::Kind;
use crate::stat_index::Identity;
use crate::{Digest, Error, Timestamp};

const ATTEMPTS: usize = 8;
const BUFFER: usize = 128 * 1024;

/// Digests an open regular file. `path` is for errors only.
pub(crate) fn digest_steadily(fd: OwnedFd, path: &Path) -> Result<(Stat, Digest), Error> {
    let fail = |error: io::Error| Error::os("read", path, error);
    let look = |file: &File| fstat(file).map_err(|errno| fail(errno.into()));
    let file = File::from(fd);
    let mut buffer = Vec::new();
    let mut seen: Option<(Identity, Digest)> = None;
    for _ in 0..ATTEMPTS {
        let began = Timestamp::file_clock();
        await_writes(&file);
        let before = look(&file)?;
        if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
            return Err(Kind::Unsteady { path: path.to_owned() }.into());
        }
        let identity = Identity::of(&before);
        buffer.resize(BUFFER.min(identity.size as usize + 1), 0);
        let (length, digest) = digest(&file, &mut buffer).map_err(fail)?;
        if length != identity.size || Identity::of(&look(&file)?) != identity {
            seen = None;
            continue;
        }
        if identity.settled_before(began) || seen == Some((identity, digest)) {
            return Ok((before, digest));
        }
        seen = Some((identity, digest));
    }
    Err(Kind::Unsteady { path: path.to_owned() }.into())
}

/// Waits until a write that is under way is done.
///
/// Looking for data takes the file's lock, as writing does; reading does not on most file systems. (On XFS it is the
/// other way round, and a read waits for a write itself.) What is found, and whether it can be looked for at all,
/// does not matter. Nobody else uses this descriptor's position.
fn await_writes(file: &File) {
    let _ = rustix::fs::seek(file, rustix::fs::SeekFrom::Data(0));
}

fn digest(file: &File, buffer: &mut [u8]) -> io::Result<(u64, Digest)> {
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    loop {
        match file.read_at(buffer, at) {
            Ok(0) => return Ok((at, hasher.finalize().into())),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

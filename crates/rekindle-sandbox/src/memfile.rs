//! Files in memory, in which the helper is given its order, and gives back the records.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::child;

/// A memory file with this content, to be read from its beginning.
pub(crate) fn make(content: &[u8]) -> io::Result<OwnedFd> {
    let file = memfd_create(child::NAME, MemfdFlags::CLOEXEC)?;
    let mut done = 0;
    while done < content.len() {
        done += rustix::io::pwrite(&file, &content[done..], done as u64)?;
    }
    Ok(file)
}

/// All that is in one by now.
pub(crate) fn read(file: &OwnedFd) -> io::Result<Vec<u8>> {
    let size = usize::try_from(rustix::fs::fstat(file)?.st_size).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut content = vec![0; size];
    let mut done = 0;
    while done < size {
        match rustix::io::pread(file, &mut content[done..], done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => done += count,
        }
    }
    Ok(content)
}

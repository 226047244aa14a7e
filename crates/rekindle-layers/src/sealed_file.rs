//! Files that only this crate reads and writes: a magic that holds the version, a body, and a digest of both.
//!
//! ```text
//! file = magic:24 bytes, body, BLAKE3 of all before:32 bytes
//! ```
//! A file is written whole beside its place and renamed, so nobody sees half of it. After a crash of the machine it
//! may be there in part; then the digest does not fit. What a damaged file means is for the reader to say.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::{Error, random};

/// What a file begins with: its format and version.
pub(crate) type Magic = [u8; 24];

/// How many bytes are after the body.
pub(crate) const CHECKSUM: usize = 32;

/// A file being written.
pub(crate) struct Sealed {
    file: io::BufWriter<File>,
    hasher: blake3::Hasher,
}

impl Sealed {
    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes)
    }
}

/// Writes a file with the body that `body` puts, replacing what has its name at once or not at all.
///
/// `doing` is for errors: "write the stat index".
pub(crate) fn write(
    path: &Path,
    doing: &'static str,
    magic: &Magic,
    body: impl FnOnce(&mut Sealed) -> io::Result<()>,
) -> Result<(), Error> {
    let fail = |error| Error::os(doing, path, error);
    let unique = random::bytes().map_err(|errno| fail(errno.into()))?;
    let mut name = path.file_name().ok_or_else(|| fail(io::ErrorKind::InvalidInput.into()))?.to_owned();
    name.push(".new-");
    name.push(format!("{:016x}", u64::from_ne_bytes(unique)));
    let scratch = path.with_file_name(name);
    let written = write_whole(&scratch, magic, body).and_then(|()| std::fs::rename(&scratch, path));
    written.map_err(|error| {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&scratch);
        fail(error)
    })
}

fn write_whole(
    path: &Path,
    magic: &Magic,
    body: impl FnOnce(&mut Sealed) -> io::Result<()>,
) -> io::Result<()> {
    let file = io::BufWriter::with_capacity(1 << 16, File::create_new(path)?);
    let mut sealed = Sealed { file, hasher: blake3::Hasher::new() };
    sealed.put(magic)?;
    body(&mut sealed)?;
    let checksum = sealed.hasher.finalize();
    sealed.file.write_all(checksum.as_bytes())?;
    sealed.file.flush()
}

/// Returns the body of a file, or what is wrong with it.
pub(crate) fn body<'a>(bytes: &'a [u8], magic: &Magic) -> Result<&'a [u8], &'static str> {
    const DAMAGED: &str = "is damaged";
    let (sealed, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(DAMAGED)?;
    if blake3::hash(sealed).as_bytes() != checksum {
        return Err(DAMAGED);
    }
    sealed.strip_prefix(magic).ok_or("was written by another version of the program")
}

/// Takes the first bytes of what is left to read; `None` if there are too few.
pub(crate) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

/// Takes so many bytes of what is left to read; `None` if there are too few.
pub(crate) fn take_slice<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

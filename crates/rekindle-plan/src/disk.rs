//! The frame around what is kept on disk, and a reader that never trusts it.
//!
//! A checkpoint may be damaged, half written, or from another version or machine. What is read wrongly here would
//! let a step be skipped that has to run, so every frame ends in a checksum, and every value has exactly one
//! encoding: a reader that accepts something would have written the very same bytes.
//!
//! ```text
//! frame  = "rekindle ", what it holds, " v", 0, version:u32, body, BLAKE3 of all before:32 bytes
//! varint = seven bits per byte, low bits first, the high bit set on all but the last byte; as short as possible
//! ```
//! Integers are little-endian. The reader copies nothing and reserves nothing by a count that it reads, so what it
//! costs is bound by what it was given.

use crate::Error;
use crate::error::Kind;

const CHECKSUM: usize = 32;

/// What a frame holds, and which version of it this program writes and reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    pub(crate) what: &'static str,
    pub(crate) version: u32,
}

impl Format {
    /// Puts a frame around a body.
    pub(crate) fn seal(self, body: &[u8]) -> Vec<u8> {
        let mut frame = self.begin();
        frame.extend_from_slice(body);
        Format::finish(frame)
    }

    /// Begins a frame. The body is to follow.
    pub(crate) fn begin(self) -> Vec<u8> {
        let mut frame = self.magic();
        frame.extend_from_slice(&self.version.to_le_bytes());
        frame
    }

    /// Ends a frame that has its body.
    pub(crate) fn finish(mut frame: Vec<u8>) -> Vec<u8> {
        let checksum = blake3::hash(&frame);
        frame.extend_from_slice(checksum.as_bytes());
        frame
    }

    /// Checks the frame and returns a reader of its body.
    ///
    /// # Errors
    /// If the bytes are damaged, or of another version, which is looked at first.
    pub(crate) fn open(self, bytes: &[u8]) -> Result<Reader<'_>, Error> {
        let mut reader = Reader { what: self.what, whole: bytes.len(), rest: bytes };
        let magic = self.magic();
        if reader.take(magic.len())? != magic {
            return Err(reader.damaged_at(0, "it does not begin as one"));
        }
        let found = u32::from_le_bytes(reader.array()?);
        if found != self.version {
            return Err(Kind::OtherVersion { what: self.what, found, known: self.version }.into());
        }
        let Some(body) = reader.rest.len().checked_sub(CHECKSUM) else {
            return Err(reader.damaged("it is cut off"));
        };
        let (rest, checksum) = reader.rest.split_at(body);
        if blake3::hash(&bytes[..bytes.len() - CHECKSUM]) != *checksum {
            return Err(reader.damaged("the checksum is wrong"));
        }
        reader.rest = rest;
        Ok(reader)
    }

    fn magic(self) -> Vec<u8> {
        [b"rekindle ", self.what.as_bytes(), b" v\0"].concat()
    }
}

/// Reads values off the front of a body.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    what: &'static str,
    whole: usize,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        Ok(self.take(N)?.try_into().expect("as many as asked for"))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.damaged("it is cut off"));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// Takes bytes whose length is a `u64` before them.
    pub(crate) fn sized(&mut self) -> Result<&'a [u8], Error> {
        let length = self.u64()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    pub(crate) fn varint(&mut self) -> Result<usize, Error> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(value).map_err(|_| self.damaged("a number is too large"));
            }
        }
        Err(self.damaged("a number is not as short as it can be"))
    }

    /// One of bytes that are part of what was read.
    pub(crate) fn of_part(bytes: &'a [u8]) -> Reader<'a> {
        Reader { what: "part", whole: bytes.len(), rest: bytes }
    }

    /// What was read since then, `self` being what the reader was.
    pub(crate) fn up_to(&self, now: &Reader<'a>) -> &'a [u8] {
        &self.rest[..self.rest.len() - now.rest.len()]
    }

    /// Checks that nothing is left.
    pub(crate) fn end(self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.damaged("something follows its end")) }
    }

    /// An error about what was just read.
    pub(crate) fn damaged(&self, why: &'static str) -> Error {
        self.damaged_at(self.whole - self.rest.len(), why)
    }

    fn damaged_at(&self, offset: usize, why: &'static str) -> Error {
        Kind::Damaged { what: self.what, offset, why }.into()
    }
}

/// Appends a number as the reader's `varint` takes it.
pub(crate) fn put_varint(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format { what: "thing", version: 7 };

    #[test]
    fn a_frame_opens_only_as_it_was_sealed() {
        let sealed = FORMAT.seal(b"body");
        let mut reader = FORMAT.open(&sealed).expect("it is whole");
        assert_eq!(reader.take(4).expect("four are there"), b"body");
        reader.end().expect("nothing else");
        for cut in 0..sealed.len() {
            assert!(FORMAT.open(&sealed[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert!(FORMAT.open(&flipped).is_err(), "flipped at {at}");
        }
        assert!(FORMAT.open(&[&sealed[..], b"x"].concat()).is_err());
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let other = Format { version: 8, ..FORMAT }.seal(b"in a shape that we do not know");
        let error = FORMAT.open(&other).expect_err("another version");
        assert_eq!(error.to_string(), "the thing is of version 8, and this program reads version 7");
        let error = FORMAT.open(b"rekindle thin").expect_err("cut off");
        assert_eq!(error.to_string(), "the thing is damaged at byte 0: it is cut off");
    }

    #[test]
    fn varints_have_one_encoding() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, usize::MAX - 1, usize::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut reader = Reader { what: "thing", whole: bytes.len(), rest: &bytes };
            assert_eq!(reader.varint().expect("as it was put"), value);
            reader.end().expect("nothing else");
        }
        let too_large = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        for bytes in [&[0x80, 0][..], &[0xff, 0x80, 0], &[0x80], &too_large, &[0xff; 10], &[0xff; 20]] {
            let mut reader = Reader { what: "thing", whole: bytes.len(), rest: bytes };
            assert!(reader.varint().is_err(), "{bytes:?}");
        }
    }
}

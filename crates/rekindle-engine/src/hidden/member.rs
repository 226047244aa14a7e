//! One compressed member of a stream: its header, its decoder, and the stream that it holds.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use bzip2::Decompress as Bunzip2;
use flate2::{Decompress as Inflate, FlushDecompress};
use liblzma::stream::{Action, Status as XzStatus, Stream as Xz};
use zstd::stream::raw::{DParameter, Decoder as Zstd, InBuffer, Operation, OutBuffer};

use super::{CHUNK, Search, Stream};

/// What xz may use at most. Its largest preset needs 65 MiB.
const XZ_MEMORY: u64 = 130 << 20;
/// The base-2 logarithm of zstd's largest window: what `--ultra -22` needs.
const ZSTD_WINDOW_LOG: u32 = 27;
/// No header of a member is longer: a zip entry's name and extra field have 64 KiB each.
const HEADER_LIMIT: usize = 132 << 10;

/// A format of compressed members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Gzip,
    Zip,
    Xz,
    Zstd,
    Bzip2,
    Zlib,
}

/// What members, and the magic number of a tar header, begin with: as much of it as is always the same. All that is read
/// is searched for these, so they are longer than they would have to be.
static BEGINNINGS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let beginnings: [&[u8]; 10] = [
        b"\x1f\x8b\x08",
        b"PK\x03\x04",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b"BZh",
        b"\x78\x01",
        b"\x78\x5e",
        b"\x78\x9c",
        b"\x78\xda",
        TAR_MAGIC,
    ];
    let builder = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(beginnings);
    builder.expect("a few short patterns are not too many")
});

/// The magic number in the middle of a tar header.
pub(super) const TAR_MAGIC: &[u8] = b"ustar";

/// The first place from `from` on where a member, or the magic number of a tar header, may begin.
pub(super) fn beginning(bytes: &[u8], from: usize) -> Option<usize> {
    BEGINNINGS.find(Input::new(bytes).span(from..bytes.len())).map(|found| found.start())
}

impl Format {
    /// The format of the member that seems to begin here.
    pub(super) fn at(bytes: &[u8]) -> Option<Format> {
        match bytes {
            [0x1f, 0x8b, 8, flags, ..] if flags & 0xe0 == 0 => Some(Format::Gzip),
            [b'P', b'K', 3, 4, _, _, _, _, 0 | 8 | 12 | 93 | 95, 0, ..] => Some(Format::Zip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Format::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Format::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Some(Format::Bzip2),
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, block @ ..] if may_be_deflated(block) => Some(Format::Zlib),
            _ => None,
        }
    }

    /// Reads the header of a member, of which `bytes` is the beginning.
    fn header(self, bytes: &[u8]) -> Header {
        /// More bytes than any of the magic numbers has.
        const MAGIC: usize = 10;
        match Format::at(bytes) {
            Some(format) if format == self => {}
            None if bytes.len() < MAGIC => return Header::Incomplete,
            _ => return Header::Invalid,
        }
        match self {
            Format::Gzip => gzip_header(bytes),
            Format::Zip => zip_header(bytes),
            Format::Xz => Header::body(0, Decoder::xz()),
            Format::Zstd => Header::body(0, Decoder::zstd()),
            Format::Bzip2 => Header::body(0, Some(Decoder::bzip2())),
            Format::Zlib => Header::body(0, Some(Decoder::inflate(true))),
        }
    }

    /// How many bytes follow a member before a further one of the same format can go on with its content; nothing
    /// where members do not go on.
    fn trailer(self) -> Option<usize> {
        match self {
            Format::Gzip => Some(8),
            Format::Xz | Format::Zstd | Format::Bzip2 => Some(0),
            Format::Zip | Format::Zlib => None,
        }
    }
}

/// What could be read of a header.
enum Header {
    /// It goes on after the bytes that are there.
    Incomplete,
    /// It is none, or of a kind that cannot be decoded.
    Invalid,
    /// What is to be decoded begins after so many bytes.
    Body(usize, Box<Decoder>),
}

impl Header {
    fn body(offset: usize, decoder: Option<Decoder>) -> Header {
        decoder.map_or(Header::Invalid, |decoder| Header::Body(offset, Box::new(decoder)))
    }
}

/// Whether a deflated block may begin here, as far as its bytes are there (RFC 1951). A zlib stream begins with two
/// bytes that every program has a thousand times, and to set a decoder up takes longer than to look here. What
/// is refused here the decoder refuses before it gives a single byte.
fn may_be_deflated(bytes: &[u8]) -> bool {
    /// Bits before the lengths of the code in which the lengths of the other codes are written.
    const LENGTHS_AT: usize = 17;
    let Some(first) = bytes.first() else { return false };
    match (first >> 1) & 3 {
        // It is stored, and its length stands a second time with all bits turned.
        0 => bytes.get(1..5).is_none_or(|size| size[0] == !size[2] && size[1] == !size[3]),
        1 => true,
        // It brings its codes along, and one that is incomplete is an error.
        2 => {
            let bits = |at: usize, count: usize| {
                let bit = |at: usize| Some(u32::from(*bytes.get(at / 8)? >> (at % 8) & 1));
                (0..count).try_fold(0, |bits, index| Some(bits | bit(at + index)? << index))
            };
            let Some(count) = bits(LENGTHS_AT - 4, 4) else { return true };
            let lengths = (0..count as usize + 4).map(|index| bits(LENGTHS_AT + 3 * index, 3));
            let Some(lengths) = lengths.collect::<Option<Vec<u32>>>() else { return true };
            let used: Vec<u32> = lengths.into_iter().filter(|length| *length > 0).collect();
            used.len() < 2 || used.iter().map(|length| 128 >> length).sum::<u32>() == 128
        }
        _ => false,
    }
}

/// RFC 1952: ten bytes, then by flags an extra field, a name, a comment, a checksum.
fn gzip_header(bytes: &[u8]) -> Header {
    let end = || {
        let flags = *bytes.get(3)?;
        let mut end = 10;
        if flags & 4 != 0 {
            end += 2 + usize::from(little_endian_16(bytes, end)?);
        }
        for flag in [8, 16] {
            if flags & flag != 0 {
                end += 1 + bytes.get(end..)?.iter().position(|byte| *byte == 0)?;
            }
        }
        end += if flags & 2 != 0 { 2 } else { 0 };
        (end <= bytes.len()).then_some(end)
    };
    end().map_or(Header::Incomplete, |end| Header::body(end, Some(Decoder::inflate(false))))
}

/// A zip entry's local header: thirty bytes, a name, an extra field.
fn zip_header(bytes: &[u8]) -> Header {
    const DESCRIPTOR_FOLLOWS: u16 = 8;
    const SIZE_IS_IN_EXTRA_FIELD: u32 = u32::MAX;
    let fields = || {
        let size = u32::from(little_endian_16(bytes, 18)?) | u32::from(little_endian_16(bytes, 20)?) << 16;
        let end = 30 + usize::from(little_endian_16(bytes, 26)?) + usize::from(little_endian_16(bytes, 28)?);
        let fields = (little_endian_16(bytes, 6)?, little_endian_16(bytes, 8)?, size, end);
        (end <= bytes.len()).then_some(fields)
    };
    let Some((flags, method, size, end)) = fields() else { return Header::Incomplete };
    let decoder = match method {
        // Content that is stored lies in plain sight, but under a checksum.
        0 if size == SIZE_IS_IN_EXTRA_FIELD => Some(Decoder::Stored(u64::MAX)),
        0 if size == 0 && flags & DESCRIPTOR_FOLLOWS != 0 => None,
        0 => Some(Decoder::Stored(size.into())),
        8 => Some(Decoder::inflate(false)),
        12 => Some(Decoder::bzip2()),
        93 => Decoder::zstd(),
        95 => Decoder::xz(),
        _ => None,
    };
    Header::body(end, decoder)
}

fn little_endian_16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// What turns the bytes of a member into its content.
enum Decoder {
    Inflate(Inflate),
    Xz(Xz),
    Zstd(Zstd<'static>),
    Bzip2(Bunzip2),
    /// So many bytes follow as they are.
    Stored(u64),
}

/// What one call of a decoder did.
struct Progress {
    read: usize,
    written: usize,
    /// The member ended, or nothing more can be had of it.
    end: Option<End>,
}

#[derive(Clone, Copy)]
enum End {
    Regular,
    Corrupt,
}

impl Decoder {
    fn inflate(zlib_header: bool) -> Decoder {
        Decoder::Inflate(Inflate::new(zlib_header))
    }

    fn xz() -> Option<Decoder> {
        Xz::new_stream_decoder(XZ_MEMORY, 0).ok().map(Decoder::Xz)
    }

    fn zstd() -> Option<Decoder> {
        let mut decoder = Zstd::new().ok()?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).ok()?;
        Some(Decoder::Zstd(decoder))
    }

    fn bzip2() -> Decoder {
        Decoder::Bzip2(Bunzip2::new(false))
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Progress {
        let (before, end, after) = match self {
            Decoder::Inflate(inflate) => {
                let before = (inflate.total_in(), inflate.total_out());
                let status = inflate.decompress(input, output, FlushDecompress::None);
                let end = match status {
                    Ok(flate2::Status::StreamEnd) => Some(End::Regular),
                    Ok(_) => None,
                    Err(_) => Some(End::Corrupt),
                };
                (before, end, (inflate.total_in(), inflate.total_out()))
            }
            Decoder::Xz(xz) => {
                let before = (xz.total_in(), xz.total_out());
                let end = match xz.process(input, output, Action::Run) {
                    Ok(XzStatus::StreamEnd) => Some(End::Regular),
                    Ok(_) => None,
                    Err(_) => Some(End::Corrupt),
                };
                (before, end, (xz.total_in(), xz.total_out()))
            }
            Decoder::Bzip2(bunzip2) => {
                let before = (bunzip2.total_in(), bunzip2.total_out());
                let end = match bunzip2.decompress(input, output) {
                    Ok(bzip2::Status::StreamEnd) => Some(End::Regular),
                    Ok(_) => None,
                    Err(_) => Some(End::Corrupt),
                };
                (before, end, (bunzip2.total_in(), bunzip2.total_out()))
            }
            Decoder::Zstd(zstd) => {
                let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(output));
                let end = match zstd.run(&mut from, &mut to) {
                    Ok(0) => Some(End::Regular),
                    Ok(_) => None,
                    Err(_) => Some(End::Corrupt),
                };
                ((0, 0), end, (from.pos() as u64, to.pos() as u64))
            }
            Decoder::Stored(rest) => {
                let count = input.len().min(output.len()).min(usize::try_from(*rest).unwrap_or(usize::MAX));
                output[..count].copy_from_slice(&input[..count]);
                *rest -= count as u64;
                ((0, 0), (*rest == 0).then_some(End::Regular), (count as u64, count as u64))
            }
        };
        Progress { read: (after.0 - before.0) as usize, written: (after.1 - before.1) as usize, end }
    }
}

/// A member that is being decoded.
pub(super) struct Member {
    format: Format,
    state: State,
    /// Where in the stream around it the next byte lies that it has not made use of.
    position: u64,
    /// Bytes that it gave.
    decoded: u64,
    content: Stream,
}

enum State {
    /// The header is incomplete; these are its bytes.
    Header(Vec<u8>),
    Body(Box<Decoder>),
    /// So many bytes follow before a further member may go on.
    Trailer(usize),
    Over,
}

impl Member {
    /// A member that begins at `position` of the stream around it. Its content goes to `content`.
    pub(super) fn new(format: Format, position: u64, content: Stream) -> Self {
        Member { format, state: State::Header(Vec::new()), position, decoded: 0, content }
    }

    pub(super) fn is_live(&self) -> bool {
        !matches!(self.state, State::Over)
    }

    /// Takes the next bytes of the stream around it. Adds to `claims` where it goes on with a further member.
    pub(super) fn push(&mut self, mut input: &[u8], search: &mut Search<'_>, claims: &mut Vec<u64>) {
        while !input.is_empty() && search.hidden.is_none() {
            let used = match &mut self.state {
                State::Over => return,
                State::Trailer(rest) => {
                    let used = input.len().min(*rest);
                    *rest -= used;
                    self.position += used as u64;
                    if *rest == 0 {
                        self.state = State::Header(Vec::new());
                    }
                    used
                }
                State::Header(bytes) => {
                    // A little at first: most headers are short, and most beginnings are none.
                    let used = input.len().min(bytes.len().max(32));
                    bytes.extend_from_slice(&input[..used]);
                    match self.format.header(bytes) {
                        Header::Incomplete if bytes.len() <= HEADER_LIMIT => {}
                        Header::Incomplete | Header::Invalid => self.finish(search),
                        Header::Body(offset, decoder) => {
                            let bytes = std::mem::take(bytes);
                            claims.push(self.position);
                            self.position += offset as u64;
                            self.state = State::Body(decoder);
                            self.push(&bytes[offset..], search, claims);
                        }
                    }
                    used
                }
                State::Body(_) => self.decode(input, search),
            };
            input = &input[used..];
        }
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self, search: &mut Search<'_>) {
        if self.is_live() {
            self.state = State::Over;
            self.content.finish(search);
        }
    }

    /// Decodes `input` as far as the body goes, and returns how much of it that was.
    fn decode(&mut self, input: &[u8], search: &mut Search<'_>) -> usize {
        let depth = self.content.depth;
        let mut output = std::mem::take(&mut search.buffers[depth]);
        output.resize(CHUNK, 0);
        let mut used = 0;
        let end = loop {
            let State::Body(decoder) = &mut self.state else { break None };
            let progress = decoder.decode(&input[used..], &mut output);
            used += progress.read;
            self.decoded += progress.written as u64;
            search.decoded += progress.written as u64;
            self.content.push(&output[..progress.written], search);
            let exhausted = self.decoded >= search.limits.member || search.decoded >= search.limits.file;
            let stuck = progress.read == 0 && progress.written == 0 && used < input.len();
            if progress.end.is_some() {
                break progress.end;
            } else if exhausted || stuck || search.hidden.is_some() {
                break Some(End::Corrupt);
            } else if used == input.len() && progress.written < output.len() {
                break None;
            }
        };
        search.buffers[depth] = output;
        self.position += used as u64;
        match (end, self.format.trailer()) {
            (None, _) => {}
            (Some(End::Regular), Some(0)) => self.state = State::Header(Vec::new()),
            (Some(End::Regular), Some(length)) => self.state = State::Trailer(length),
            (Some(_), _) => self.finish(search),
        }
        used
    }
}

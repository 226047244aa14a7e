use std::io::Write;
use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

const NEEDLE: &[u8] = b"0c3z9kq4wvj5h8ya1xlrmnb7dfgps2i6";
const OTHER: &[u8] = b"6i2spgfd7bnmrlxay8h5jvw4qk9z3c0a";

type Pack = fn(&[u8]) -> Vec<u8>;

const FORMATS: &[(&str, Pack)] = &[
    ("gzip", gzip),
    ("deflated zip", |bytes| zip(8, &deflate(bytes), bytes.len())),
    ("stored zip", |bytes| zip(0, bytes, bytes.len())),
    ("xz zip", |bytes| zip(95, &xz(bytes), bytes.len())),
    ("xz", xz),
    ("zstd", zstd),
    ("bzip2", bzip2),
    ("zlib", zlib),
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::GzBuilder::new()
        .filename("a name")
        .comment("a comment")
        .extra(b"more".as_slice())
        .write(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("packed")
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("packed")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("packed")
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("packed")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("packed")
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("packed")
}

/// One zip entry, without the central directory, as a streaming unpacker sees it.
fn zip(method: u8, packed: &[u8], size: usize) -> Vec<u8> {
    let mut entry = b"PK\x03\x04\x14\0\0\0".to_vec();
    entry.extend([method, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    entry.extend(u32::try_from(packed.len()).expect("small").to_le_bytes());
    entry.extend(u32::try_from(size).expect("small").to_le_bytes());
    entry.extend([5, 0, 3, 0]);
    entry.extend(b"entryabc");
    entry.extend(packed);
    entry
}

/// One file as tar stores it.
fn tar(name: &[u8], contents: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name);
    header[124..135].copy_from_slice(format!("{:011o}", contents.len()).as_bytes());
    header[257..263].copy_from_slice(b"ustar\0");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.extend(contents);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

/// Bytes without a meaning, the same for the same seed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Text with the needle in its middle.
fn text(length: usize) -> Vec<u8> {
    let mut text: Vec<u8> = b"all work and no play ".iter().copied().cycle().take(length / 2).collect();
    text.extend([b"/nix/store/", NEEDLE, b"-hello/bin"].concat());
    text.extend(b"makes a dull tree ".iter().copied().cycle().take(length / 2));
    text
}

fn search(contents: &[u8]) -> Option<bool> {
    search_within(contents, LIMITS)
}

/// Whether the needle is in a file of these contents, and if so, whether it is hidden.
fn search_within(contents: &[u8], limits: Limits) -> Option<bool> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("file"), contents).expect("written");
    let needles = [OTHER.to_vec(), NEEDLE.to_vec()];
    let hit = find_within(dir.path(), &needles, limits).expect("readable")?;
    assert_eq!((hit.file, hit.needle), (PathBuf::from("file"), 1));
    Some(hit.hidden)
}

#[test]
fn plain_occurrences_are_found_across_reads() {
    assert_eq!(search(b""), None);
    assert_eq!(search(&NEEDLE[1..]), None);
    assert_eq!(search(NEEDLE), Some(false));
    for offset in CHUNK - NEEDLE.len() - 1..=CHUNK + 1 {
        assert_eq!(search(&[vec![b'x'; offset], NEEDLE.to_vec()].concat()), Some(false), "{offset}");
    }
}

#[test]
fn names_and_link_targets_count() {
    let name = String::from_utf8(NEEDLE.to_vec()).expect("ASCII");
    let check = |make: &dyn Fn(&Path), file: &str| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        make(dir.path());
        let hit = find_hidden(dir.path(), &[NEEDLE.to_vec()]).expect("readable");
        assert_eq!(hit, Some(Hit { file: file.into(), needle: 0, hidden: false }));
    };
    check(
        &|dir| fs::write(dir.join(format!("lib{name}.so")), "").expect("written"),
        &format!("lib{name}.so"),
    );
    check(&|dir| fs::create_dir_all(dir.join("a").join(&name)).expect("made"), &format!("a/{name}"));
    check(&|dir| symlink(format!("/nix/store/{name}-a"), dir.join("link")).expect("linked"), "link");
}

#[test]
fn a_root_may_be_a_file_or_a_link() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("file");
    fs::write(&file, NEEDLE).expect("written");
    let hit = Some(Hit { file: PathBuf::new(), needle: 0, hidden: false });
    assert_eq!(find_hidden(&file, &[NEEDLE.to_vec()]).expect("readable"), hit);
    let link = dir.path().join("link");
    symlink(format!("{}-x", String::from_utf8_lossy(NEEDLE)), &link).expect("linked");
    assert_eq!(find_hidden(&link, &[NEEDLE.to_vec()]).expect("readable"), hit);
}

#[test]
fn each_format_is_searched_at_any_offset() {
    for (name, pack) in FORMATS {
        for size in [0, 1000, 300_000] {
            for offset in [0, 1, 4097, CHUNK - 3, 2 * CHUNK - 300] {
                let mut file = noise(offset, 7);
                file.extend(pack(&text(size)));
                file.extend(noise(5000, 8));
                assert_eq!(search(&file), Some(true), "{name}, {size} bytes, at {offset}");
            }
        }
        assert_eq!(search(&pack(&[b"nothing here".as_slice(), &noise(100_000, 1)].concat())), None, "{name}");
    }
}

#[test]
fn members_within_members_are_searched() {
    for (outer, pack_outer) in FORMATS {
        for (inner, pack_inner) in FORMATS {
            let file = pack_outer(&[noise(777, 3), pack_inner(&text(20_000)), noise(99, 4)].concat());
            assert_eq!(search(&file), Some(true), "{inner} in {outer}");
        }
    }
    let three = zip(8, &deflate(&gzip(&tar(b"doc", &xz(&text(9000))))), 0);
    assert_eq!(search(&three), Some(true));
}

#[test]
fn members_are_searched_to_the_depth_allowed() {
    // What comes first makes xz pack the rest too, instead of storing it.
    let file = xz(&[b"play ".repeat(5000), gzip(&text(9000))].concat());
    for (depth, expected) in [(0, None), (1, None), (2, Some(true))] {
        assert_eq!(search_within(&file, Limits { depth, ..LIMITS }), expected, "{depth}");
    }
}

#[test]
fn a_needle_may_lie_across_members_that_go_on() {
    for (name, pack) in [("gzip", gzip as Pack), ("xz", xz), ("zstd", zstd), ("bzip2", bzip2)] {
        for half in [0, 70_000] {
            let whole = text(half * 2);
            let (first, second) = whole.split_at(half + 20);
            assert_eq!(search(&[pack(first), pack(second)].concat()), Some(true), "{name}");
        }
    }
}

#[test]
fn many_members_side_by_side_are_searched_to_the_last() {
    let mut file: Vec<u8> = (0..500).flat_map(|seed| gzip(&noise(200, seed))).collect();
    file.extend(zip(8, &deflate(&text(10)), 0));
    assert_eq!(search(&file), Some(true));
}

#[test]
fn a_hidden_occurrence_wins_over_plain_ones() {
    assert_eq!(search(&[NEEDLE, &gzip(NEEDLE)].concat()), Some(true));
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("a"), NEEDLE).expect("written");
    fs::write(dir.path().join("b.gz"), gzip(NEEDLE)).expect("written");
    let hit = find_hidden(dir.path(), &[NEEDLE.to_vec()]).expect("readable");
    assert_eq!(hit, Some(Hit { file: "b.gz".into(), needle: 0, hidden: true }));
}

#[test]
fn plain_bytes_under_a_checksum_are_hidden() {
    let named = [b"nix/store/", NEEDLE, b"-a"].concat();
    assert_eq!(search(&tar(&named, b"")), Some(true));
    assert_eq!(search(&[tar(b"other", &noise(CHUNK, 1)), tar(&named, b"")].concat()), Some(true));
    assert_eq!(search(&tar(b"other", NEEDLE)), Some(false), "tar has no checksum over contents");
    let stored = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(NEEDLE).expect("written");
        encoder.finish().expect("packed")
    };
    assert!(stored.windows(NEEDLE.len()).any(|window| window == NEEDLE));
    assert_eq!(search(&stored), Some(true));
}

#[test]
fn what_a_corrupt_member_gave_before_its_error_counts() {
    for (name, pack) in FORMATS {
        let (before, after) = (text(1000), noise(2_000_000, 5));
        let mut packed = pack(&[before, after].concat());
        let length = packed.len();
        packed.truncate(length - 1000);
        assert_eq!(search(&packed), Some(true), "{name}, cut off");
        packed[length - 2000..length - 1990].fill(0xff);
        assert_eq!(search(&packed), Some(true), "{name}, damaged");
    }
}

#[test]
fn what_follows_a_corrupt_member_is_searched() {
    for (name, pack) in FORMATS {
        let mut broken = pack(&noise(5000, 6));
        broken[60..90].fill(0xff);
        assert_eq!(search(&[broken, gzip(&text(50))].concat()), Some(true), "{name}");
    }
}

#[test]
fn a_bomb_ends_at_its_limit() {
    let limits = Limits { depth: 3, member: 1 << 20, file: 3 << 20, live: 16 };
    let zeros = vec![0; 16 << 20];
    for (name, pack) in FORMATS {
        let mut contents = zeros.clone();
        contents.extend(NEEDLE);
        // Formats may store the needle itself as it is, in plain sight; then that is found.
        assert_ne!(search_within(&pack(&contents), limits), Some(true), "{name}");
    }
    let small = zstd(&zeros[..512 << 10]);
    let many: Vec<u8> = (0..64).flat_map(|_| [b"-".as_slice(), &small].concat()).collect();
    let cut = search_within(&[many, gzip(&[zeros, NEEDLE.to_vec()].concat())].concat(), limits);
    assert_eq!(cut, None, "the whole file has a limit too");
}

#[test]
fn linked_files_are_read_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("a"), gzip(NEEDLE)).expect("written");
    fs::hard_link(dir.path().join("a"), dir.path().join("b")).expect("linked");
    let hit = find_hidden(dir.path(), &[NEEDLE.to_vec()]).expect("readable").expect("a hit");
    assert_eq!(hit.file, PathBuf::from("a"));
}

#[test]
fn a_missing_root_is_named() {
    let error = find_hidden(Path::new("/nonexistent/out"), &[NEEDLE.to_vec()]).expect_err("missing");
    assert!(error.to_string().contains("/nonexistent/out"), "{error}");
}

#[test]
fn beginnings_without_a_member_are_harmless() {
    let magics: [&[u8]; 7] = [
        &[0x1f, 0x8b, 8, 0],
        b"PK\x03\x04",
        b"\xfd7zXZ\0",
        &[0x28, 0xb5, 0x2f, 0xfd],
        b"BZh91AY&SY",
        b"x\x9c\x01",
        b"ustar",
    ];
    let mut file = Vec::new();
    for round in 0..3000 {
        file.extend(magics[round % magics.len()]);
        file.extend(noise(round % 50, round as u64));
    }
    assert_eq!(search(&file), None);
    file.extend(NEEDLE);
    assert_eq!(search(&file), Some(false));
}

proptest! {
    #[test]
    fn the_matcher_finds_what_a_naive_search_finds(
        text in proptest::collection::vec(b'a'..=b'c', 0..200),
        needles in proptest::collection::vec(proptest::collection::vec(b'a'..=b'c', 1..6), 1..4),
    ) {
        let naive = (0..text.len()).find_map(|at| needles.iter().position(|needle| text[at..].starts_with(needle)));
        prop_assert_eq!(Matcher::new(&needles).find(&text), naive);
    }

    #[test]
    fn any_bytes_can_be_searched(mut bytes in proptest::collection::vec(any::<u8>(), 0..2000), pack in 0..FORMATS.len()) {
        let packed = FORMATS[pack].1(&bytes);
        for at in bytes.iter_mut().take(20) {
            *at = at.wrapping_add(1);
        }
        prop_assert_eq!(search(&[bytes, packed].concat()), None);
    }
}

/// The decoder is the judge of what may be deflated: whatever is refused without it gives nothing with it.
#[test]
fn what_is_refused_without_a_decoder_gives_nothing_with_one() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut bytes = vec![0x78, 0x9c];
        for _ in 0..8 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            bytes.extend(random.to_le_bytes());
        }
        // A beginning of which the rest is not there yet is never refused, unless all of it would be.
        let is_refused = |end: usize| Format::at(&bytes[..end]).is_none();
        let first = (3..bytes.len()).find(|end| is_refused(*end));
        let Some(first) = first else { continue };
        refused += 1;
        assert!((first..bytes.len()).all(is_refused), "{bytes:02x?}");
        let (mut decoder, mut output) = (flate2::Decompress::new(true), [0; 64]);
        let done = decoder.decompress(&bytes[..], &mut output, flate2::FlushDecompress::None);
        assert!(done.is_err() && decoder.total_out() == 0, "{bytes:02x?}");
    }
    assert!(refused > 10_000, "{refused}");
}

#[test]
fn what_is_deflated_in_any_way_is_not_refused() {
    let text: Vec<u8> = (0..3000_u32).flat_map(|number| (number * number).to_string().into_bytes()).collect();
    for length in [0, 1, 2, 10, 100, 1000, text.len()] {
        for level in 0..=9 {
            let packed = zlib_of_level(&text[..length], level);
            assert!((3..packed.len()).all(|end| Format::at(&packed[..end]) == Some(Format::Zlib)));
        }
    }
}

fn zlib_of_level(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

use std::time::{Duration, UNIX_EPOCH};

use rekindle_nix::OutputName;

use std::os::unix::fs::MetadataExt;

use super::*;

const LAST: &str = "rrmg97f3zqkz1r246gkqv3585nwh2san-hello-2.10";
/// Where the hash part is in a path.
const HASH: std::ops::Range<usize> = 11..43;

fn path_of(base_name: &str) -> StorePath {
    StorePath::from_base_name(base_name.as_bytes()).expect("a store path")
}

fn outputs() -> Vec<OutputPaths> {
    OutputPaths::of_outputs([(OutputName::out(), path_of(LAST))]).expect("an output")
}

fn scratch() -> String {
    format!("/nix/store/{}/share/locale", outputs()[0].scratch.base_name())
}

fn last() -> String {
    format!("/nix/store/{LAST}/share/locale")
}

fn replaced_among(file: &[u8], others: &[StorePath]) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("file");
    fs::write(&path, file).expect("our own file");
    let fragments = Fragments::new("/nix/store", &outputs(), others);
    let has_pieces = fragments.look(&path).and_then(Looked::first).expect("it can be read").is_some();
    match fragments.look(&path).and_then(|looked| fragments.replace(looked)).expect("it can be written") {
        Some(_) => {
            assert!(has_pieces);
            None
        }
        None => {
            let bytes = fs::read(&path).expect("our own file");
            assert_eq!(has_pieces, bytes != file);
            Some(bytes)
        }
    }
}

/// The file as it is after replacing, or `None` where something is not certain.
fn replaced(file: &[u8]) -> Option<Vec<u8>> {
    replaced_among(file, &[])
}

/// Some bytes that are nothing, and enough of them that what follows is not near.
fn gap() -> Vec<u8> {
    vec![0x90; 1024]
}

fn elf(machine: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\0\0".to_vec();
    file[18] = machine;
    file.resize(1024, 0);
    [file, parts.concat(), gap()].concat()
}

fn x86(parts: &[&[u8]]) -> Vec<u8> {
    elf(62, parts)
}

/// Instructions that copy `text` by operands of `size` bytes, the last of which overlaps the one before.
fn copy_by(text: &[u8], size: usize, overlaps: bool) -> Vec<u8> {
    let mut code = Vec::new();
    let mut at = 0;
    while at + size <= text.len() {
        let opcode: &[u8] = if size == 8 { b"\x48\xb8" } else { b"\xc7\x44\x24\x78" };
        code.extend([opcode, &text[at..at + size], b"\x31\xc0"].concat());
        at += size;
        if overlaps && at < text.len() && at + size > text.len() {
            at = text.len() - size;
        }
    }
    code
}

#[test]
fn whole_paths_are_no_pieces() {
    let scratch = scratch();
    for text in [scratch.as_str(), &last(), "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-hello-2.10", ""] {
        let file = x86(&[text.as_bytes()]);
        assert_eq!(replaced(&file), Some(file), "{text}");
        assert_eq!(replaced(text.as_bytes()).as_deref(), Some(text.as_bytes()), "{text}");
    }
}

#[test]
fn operands_are_replaced() {
    for shift in 0..16 {
        for (size, overlaps) in [(8, true), (8, false), (4, true), (4, false)] {
            let text = |path: &str| format!("{}{path}", &"PREFIXISWHATITIS"[..shift]).into_bytes();
            let (before, after) = (text(&scratch()), text(&last()));
            let file = x86(&[&copy_by(&before, size, overlaps)]);
            let expected = x86(&[&copy_by(&after, size, overlaps)]);
            assert!(replaced(&file) == Some(expected), "shifted by {shift}, {size} bytes, {overlaps}");
        }
    }
}

#[test]
fn rows_of_a_pool_are_replaced() {
    for shift in 0..16 {
        for size in [16, 32] {
            // In another order, so that the rows are no whole path.
            let pool = |path: &str| {
                let text = format!("{}{path}\0", &"PREFIXISWHATITIS"[..shift]);
                let end = text.len() / size * size;
                let rows = text.as_bytes()[..end].rchunks(size);
                [rows.collect::<Vec<_>>().concat(), text.as_bytes()[text.len() - size..].to_vec()].concat()
            };
            let file = x86(&[&pool(&scratch())]);
            assert!(replaced(&file) == Some(x86(&[&pool(&last())])), "shifted by {shift}, {size} bytes");
        }
    }
}

#[test]
fn what_follows_by_chance_is_not_replaced() {
    let (scratch, last) = (scratch().into_bytes(), last().into_bytes());
    for place in HASH.start..HASH.end - 10 {
        let code = |path: &[u8]| copy_by(&path[place..place + 8], 8, false);
        // The bytes of the path before and behind the operand.
        let amid = |code: &[u8]| {
            let mut code = code.to_vec();
            code[10..12].copy_from_slice(&scratch[place + 8..place + 10]);
            code
        };
        let whole = copy_by(&scratch, 8, true);
        let file = x86(&[&whole, &amid(&code(&scratch))]);
        let expected = x86(&[&copy_by(&last, 8, true), &amid(&code(&last))]);
        assert!(replaced(&file) == Some(expected), "{place}");
    }
}

#[test]
fn a_row_beside_one_that_begins_as_it_goes_on() {
    let pool = |path: &str| {
        let rows: Vec<_> = path.as_bytes()[..64].chunks(16).collect();
        let beside =
            [&scratch().as_bytes()[32..33], &b"123456789abcde"[..], &scratch().as_bytes()[15..16]].concat();
        x86(&[rows[0], &beside, rows[1], &beside, rows[2]])
    };
    assert!(replaced(&pool(&scratch())) == Some(pool(&last())));
}

#[test]
fn a_row_behind_a_whole_path_that_it_overlaps() {
    for from in HASH.start + 1..HASH.end {
        // The whole path ends with a row, in the last character of its hash part.
        let file = |path: &str| {
            let rest = &path.as_bytes()[from..from + 16];
            x86(&[b"12345", &last().as_bytes()[..HASH.end], rest])
        };
        assert!(replaced(&file(&scratch())) == Some(file(&last())), "from {from}");
    }
}

#[test]
fn a_piece_without_ends_is_not_certain() {
    let scratch = scratch().into_bytes();
    // A row of a pool, and a string that ends or begins a bit further.
    assert_eq!(replaced(&x86(&[&scratch[16..33], b"\0"])), None);
    assert_eq!(replaced(&x86(&[b"\0\0\0\0\0\0\0", &scratch[15..32]])), None);
    // Nothing but text.
    assert_eq!(replaced(&scratch[16..32]), None);
    assert_eq!(replaced(&[&gap()[..], &scratch[13..24], &gap()].concat()), None);
    // Another processor, where nothing is aligned.
    let code = copy_by(&scratch, 8, true);
    assert_eq!(replaced(&elf(183, &[&code])), None);
    // Rows of four, without an opcode.
    let rows: Vec<u8> = scratch.chunks(4).flat_map(|row| [row, b"\x90\x90\x90"].concat()).collect();
    assert_eq!(replaced(&x86(&[&rows])), None);
}

#[test]
fn the_store_directory_with_a_few_characters_is_not_certain() {
    let scratch = scratch();
    assert_eq!(replaced(&scratch.as_bytes()[..HASH.start + 5]), None);
    let three = &scratch.as_bytes()[..HASH.start + 2];
    assert_eq!(replaced(three).as_deref(), Some(three), "any text may have it");
}

#[test]
fn the_end_before_the_name() {
    let (scratch, last) = (scratch().into_bytes(), last().into_bytes());
    // Beside a whole path, which was replaced: the overlapping end of a copy.
    for from in HASH.start + 1..HASH.end {
        let file = |path: &[u8]| x86(&[&last, b"\0\0\0\x48\xb8", &path[from..from + 8], b"\x90\x90"]);
        assert!(replaced(&file(&scratch)) == Some(file(&last)), "from {from}");
        let text = [&last, &b"\0\0"[..], &scratch[from..]].concat();
        assert_eq!(replaced(&text), None, "from {from}, in no program");
    }
}

#[test]
fn all_of_a_path_must_be_there() {
    let scratch = scratch().into_bytes();
    let some = [&scratch[..24], &scratch[32..]].map(|part| copy_by(part, 8, true)).concat();
    assert_eq!(replaced(&x86(&[&some])), None);
    assert!(replaced(&x86(&[&some, last().as_bytes()])).is_some());
}

#[test]
fn a_character_that_stays_the_same_need_not_be_found() {
    let scratch = scratch();
    let last = format!("{}{}", &LAST[..31], &scratch[42..54]);
    let paths = OutputPaths::of_outputs([(OutputName::out(), path_of(&last))]).expect("an output");
    let text = format!("PR{scratch}").into_bytes();
    let code = copy_by(&text, 4, true);
    let targets = Targets::new("/nix/store", &paths, &[]);
    let found = scan(&mut &x86(&[&code])[..], &targets).expect("memory can be read");
    let verdict = judge(&targets, &found, &mut |_| Ok(false)).expect("nothing to read");
    assert!(matches!(&verdict, Verdict::Replace(patches) if patches.len() == 8), "{verdict:?}");
}

#[test]
fn what_another_path_has_as_well_is_not_certain() {
    let scratch = scratch();
    let other = format!("{}{}", &scratch[11..16], "aaaaaaaaaaaaaaaaaaaaaaaaaaa-other");
    let file = x86(&[&copy_by(scratch.as_bytes(), 8, true)]);
    assert!(replaced(&file).is_some());
    assert_eq!(replaced_among(&file, &[path_of(&other)]), None);
    let unlike = path_of("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-hello-2.10");
    assert!(replaced_among(&file, &[unlike, path_of(LAST)]).is_some());
}

#[test]
fn other_representations_are_not_certain() {
    let scratch = scratch();
    for width in [2, 4] {
        for is_big in [false, true] {
            let wide = |text: &str| -> Vec<u8> {
                let spread = |byte: u8| {
                    let mut wide = vec![0; width];
                    wide[if is_big { width - 1 } else { 0 }] = byte;
                    wide
                };
                text.bytes().flat_map(spread).collect()
            };
            assert_eq!(replaced(&x86(&[&wide(&scratch)])), None, "{width}");
            assert_eq!(replaced(&wide(&scratch)), None, "{width}");
            let file = x86(&[&wide(&last())]);
            assert_eq!(replaced(&file), Some(file));
        }
        let cut: Vec<u8> = scratch
            .bytes()
            .flat_map(|byte| [&[byte][..], &[0, 0, 0][..width - 1]].concat())
            .collect::<Vec<_>>()
            .chunks(8)
            .flat_map(|eight| [b"\x48\xb8", eight].concat())
            .collect();
        assert_eq!(replaced(&x86(&[&cut])), None, "{width}, cut");
    }
    for from in HASH.start..=HASH.end - 8 {
        let reversed: Vec<u8> =
            scratch.bytes().skip(from).take(8).collect::<Vec<_>>().into_iter().rev().collect();
        assert_eq!(replaced(&x86(&[&reversed])), None, "{from}");
    }
}

#[test]
fn members_of_an_archive_are_objects() {
    let pool: Vec<u8> = scratch().as_bytes()[..64].rchunks(16).collect::<Vec<_>>().concat();
    let mut member = x86(&[&pool]);
    for shift in [0, 2, 4] {
        let header = format!("{:58}`\n", "file.o/");
        member.extend(std::iter::repeat_n(0, shift));
        let archive = [&b"!<arch>\n"[..], header.as_bytes(), &member, header.as_bytes(), &member].concat();
        let replaced = replaced(&archive).expect("certain");
        let pieces: Vec<u8> = last().as_bytes()[..64].rchunks(16).collect::<Vec<_>>().concat();
        assert_eq!(memmem::find_iter(&replaced, &pieces).count(), 2);
    }
}

#[test]
fn nothing_depends_on_where_blocks_end() {
    let code = |path: &str| [copy_by(path.as_bytes(), 8, true), path.as_bytes().to_vec()].concat();
    let (scratch, last) = (scratch(), last());
    // The whole path is what would be replaced before.
    let before = [copy_by(scratch.as_bytes(), 8, true), last.clone().into_bytes()].concat();
    for shift in (0..before.len() + 4).step_by(7) {
        let fill = vec![0x90; scan::BLOCK - 1024 - shift];
        let file = x86(&[&fill, &before]);
        assert!(replaced(&file) == Some(x86(&[&fill, &code(&last)])), "{shift}");
    }
}

#[test]
fn noise_is_left_alone() {
    let mut state: u64 = 7;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(1 << 20)
    .collect();
    let file = x86(&[&noise]);
    assert!(replaced(&file) == Some(file));
}

#[test]
fn the_file_is_named_and_keeps_its_mode_and_time() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(dir.path().join("bin")).expect("our own directory");
    let time = UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    let path = dir.path().join("bin/a");
    fs::write(&path, x86(&[&copy_by(scratch().as_bytes(), 8, true)])).expect("our own file");
    File::options().write(true).open(&path).expect("ours").set_modified(time).expect("ours");
    fs::set_permissions(&path, Permissions::from_mode(0o555)).expect("ours");
    let fragments = Fragments::new("/nix/store", &outputs(), &[]);
    let replace =
        |root: &Path| fragments.look(root).and_then(|looked| fragments.replace(looked)).expect("writable");
    assert_eq!(
        fragments.look(dir.path()).and_then(Looked::first).expect("readable"),
        Some(PathBuf::from("bin/a"))
    );
    assert_eq!(replace(dir.path()), None);
    let metadata = fs::metadata(&path).expect("there");
    assert_eq!((metadata.mode() & 0o7777, metadata.modified().expect("a time")), (0o555, time));
    fs::write(dir.path().join("bin/b"), &scratch()[14..25]).expect("our own file");
    assert_eq!(replace(dir.path()), Some(PathBuf::from("bin/b")));
}

#[test]
fn a_file_is_looked_into_by_one_of_its_names() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let [one, other] = ["one", "other"].map(|name| dir.path().join(name));
    fs::write(&one, x86(&[&copy_by(scratch().as_bytes(), 8, true)])).expect("our own file");
    fs::hard_link(&one, &other).expect("our own file");
    let fragments = Fragments::new("/nix/store", &outputs(), &[]);
    let looked = fragments.look(dir.path()).expect("readable");
    assert_eq!(looked.files.iter().map(|(path, _)| path).collect::<Vec<_>>(), [&one]);
    assert_eq!(fragments.replace(looked).expect("writable"), None);
    assert_eq!(fragments.look(dir.path()).and_then(Looked::first).expect("readable"), None);
    assert_eq!(fs::read(&one).expect("ours"), fs::read(&other).expect("ours"));
}

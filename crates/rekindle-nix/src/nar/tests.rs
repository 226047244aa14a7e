use std::io::{self, Read};

use super::*;
use crate::hash::Hash;

/// The strings of an archive, each with its length and padding.
fn archive(strings: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for string in strings {
        let len = string.len() as u64;
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(string);
        bytes.extend(std::iter::repeat_n(0, padding(len)));
    }
    bytes
}

fn read_all(bytes: &[u8]) -> Result<Vec<Event>, Error> {
    let mut reader = Reader::new(bytes);
    let mut events = Vec::new();
    while let Some(event) = reader.next()? {
        events.push(event);
    }
    assert_eq!(reader.offset(), bytes.len() as u64);
    assert!(reader.next()?.is_none());
    Ok(events)
}

fn entry<'a>(name: &'a [u8], node: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let mut strings: Vec<&[u8]> = vec![b"entry", b"(", b"name", name, b"node"];
    strings.extend_from_slice(node);
    strings.push(b")");
    strings
}

fn directory<'a>(entries: &[Vec<&'a [u8]>]) -> Vec<&'a [u8]> {
    let mut strings: Vec<&[u8]> = vec![b"(", b"type", b"directory"];
    strings.extend_from_slice(&entries.concat());
    strings.push(b")");
    strings
}

const FILE: &[&[u8]] = &[b"(", b"type", b"regular", b"contents", b"hi", b")"];
const LINK: &[&[u8]] = &[b"(", b"type", b"symlink", b"target", b"f", b")"];

fn whole(node: &[&[u8]]) -> Vec<u8> {
    archive(&[&[MAGIC], node].concat())
}

#[test]
fn the_tree_that_real_nix_hashed() {
    let mut writer = Writer::new(Vec::new());
    writer.directory().unwrap();
    writer.entry(b"d").unwrap();
    writer.directory().unwrap();
    writer.entry(b"empty").unwrap();
    writer.file(false, b"").unwrap();
    writer.end().unwrap();
    writer.entry(b"f").unwrap();
    writer.regular(false, 5, &mut b"hello, more".as_slice()).unwrap();
    writer.entry(b"l").unwrap();
    writer.symlink(b"f").unwrap();
    writer.entry(b"x").unwrap();
    writer.begin_regular(true, 10).unwrap();
    writer.content(b"#!/bin").unwrap();
    writer.content(b"/sh\n").unwrap();
    writer.end().unwrap();
    assert_eq!(writer.offset(), 1064);
    let bytes = writer.finish().unwrap();
    assert_eq!(Hash::sha256(&bytes).to_nix32(), "1c5xas6l8qgbylr0v5jpp5h7bzkk4z9n67dls49wb0vg0yiyclfi");

    let file = |executable, size| Event::Regular { executable, size };
    let entry = |name: &str| Event::Entry(name.as_bytes().to_vec());
    let expect = [
        Event::Directory,
        entry("d"),
        Event::Directory,
        entry("empty"),
        file(false, 0),
        Event::End,
        entry("f"),
        file(false, 5),
        entry("l"),
        Event::Symlink(b"f".to_vec()),
        entry("x"),
        file(true, 10),
        Event::End,
    ];
    assert_eq!(read_all(&bytes).unwrap(), expect);

    let mut by_path = Writer::new(Vec::new());
    by_path.at_path(b"").unwrap();
    by_path.directory().unwrap();
    by_path.at_path(b"d").unwrap();
    by_path.directory().unwrap();
    by_path.at_path(b"d/empty").unwrap();
    by_path.file(false, b"").unwrap();
    by_path.at_path(b"f").unwrap();
    by_path.file(false, b"hello").unwrap();
    by_path.at_path(b"l").unwrap();
    by_path.symlink(b"f").unwrap();
    by_path.at_path(b"x").unwrap();
    by_path.file(true, b"#!/bin/sh\n").unwrap();
    assert!(by_path.finish().unwrap() == bytes);
}

#[test]
fn content_can_be_read_skipped_or_left_in_the_middle() {
    let two = directory(&[entry(b"a", FILE), entry(b"b", FILE)]);
    let bytes = whole(&two);
    let mut reader = Reader::new(bytes.as_slice());
    for event in
        [Event::Directory, Event::Entry(b"a".to_vec()), Event::Regular { executable: false, size: 2 }]
    {
        assert_eq!(reader.next().unwrap(), Some(event));
    }
    let at = usize::try_from(reader.offset()).unwrap();
    assert_eq!(&bytes[at..at + 2], b"hi");
    let mut one = [0];
    reader.content().read_exact(&mut one).unwrap();
    assert_eq!(&one, b"h");
    assert_eq!(reader.next().unwrap(), Some(Event::Entry(b"b".to_vec())));
    assert_eq!(io::read_to_string(reader.content()).unwrap(), "");
    reader.next().unwrap();
    assert_eq!(io::read_to_string(reader.content()).unwrap(), "hi");
    assert_eq!(io::read_to_string(reader.content()).unwrap(), "");
    assert_eq!(reader.next().unwrap(), Some(Event::End));
    assert_eq!(reader.next().unwrap(), None);
}

#[test]
fn an_embedded_archive_leaves_what_follows() {
    let bytes = [whole(FILE), b"next".to_vec()].concat();
    assert!(read_all(&bytes).unwrap_err().to_string().contains("nothing may follow"));
    let mut reader = Reader::embedded(bytes.as_slice());
    while reader.next().unwrap().is_some() {}
    assert_eq!(reader.into_inner(), b"next");
}

#[test]
fn malformed_archives() {
    let check = |strings: &[&[u8]], message: &str| {
        let error = read_all(&archive(strings)).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    };
    let check_node = |node: &[&[u8]], message: &str| check(&[&[MAGIC], node].concat(), message);
    check(&[], "ends too early, at byte 0");
    check(&[MAGIC], "ends too early, at byte 24");
    check(&[b"nix-archive-2"], "at byte 0: it does not begin");
    check(&[b"nix-archive-1 and more"], "at byte 0: it does not begin");
    check_node(&[b")"], "at byte 24: expected a node");
    check_node(&[b"(", b"kind"], "expected the type");
    check_node(&[b"(", b"type", b"fifo"], "no file, link or directory");
    check_node(&[b"(", b"type", b"regular", b")"], "expected the contents");
    check_node(&[b"(", b"type", b"regular", b"executable", b"x"], "expected nothing behind");
    check_node(&[b"(", b"type", b"regular", b"executable", b"", b")"], "expected the contents");
    check_node(&[b"(", b"type", b"regular", b"contents", b"hi", b"x"], "expected the end of a file");
    check_node(&[b"(", b"type", b"symlink", b")"], "expected the target");
    check_node(&[b"(", b"type", b"symlink", b"target", b"", b")"], "has to point somewhere");
    check_node(&[b"(", b"type", b"symlink", b"target", b"a\0b", b")"], "zero byte");
    check_node(&[b"(", b"type", b"symlink", b"target", &[b'x'; 4096], b")"], "too long");
    check_node(&[b"(", b"type", b"symlink", b"target", b"f", b"type"], "expected the end of a link");
    check_node(&[b"(", b"type", b"directory", b"name"], "expected an entry or the end");
    check_node(&directory(&[vec![b"entry", b")"]]), "expected an entry");
    check_node(&directory(&[vec![b"entry", b"(", b"node"]]), "expected the name");
    check_node(&directory(&[vec![b"entry", b"(", b"name", b"a", b")"]]), "expected the node");
    check_node(&[&directory(&[entry(b"a", FILE)])[..], &[b")"]].concat(), "nothing may follow");
    check_node(&directory(&[[&entry(b"a", FILE)[..], &[b"x"]].concat()]), "expected an entry or the end");
}

#[test]
fn refused_names() {
    let check = |names: &[&[u8]], message: &str| {
        let entries: Vec<_> = names.iter().map(|name| entry(name, LINK)).collect();
        let error = read_all(&whole(&directory(&entries))).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        let mut writer = Writer::new(io::sink());
        writer.directory().unwrap();
        let written = names.iter().try_for_each(|name| {
            writer.entry(name)?;
            writer.symlink(b"f")
        });
        assert!(written.is_err());
    };
    for name in [&b""[..], b".", b".."] {
        check(&[name], "it is no name");
    }
    check(&[b"a/b"], "no slash");
    check(&[b"/"], "no slash");
    check(&[b"a\0"], "no zero byte");
    check(&[&[b'x'; 256]], "too long");
    check(&[b"a", b"a"], "there already");
    check(&[b"b", b"a"], "sorted");
    check(&[b"a.b", b"a-b"], "sorted");
    check(&[b"\xff", b"a"], "sorted");
    let good: Vec<_> = [&b"A"[..], b"a", b"a-b", b"a.b", b"aa", b"\xff"].map(|name| entry(name, FILE)).into();
    assert_eq!(read_all(&whole(&directory(&good))).unwrap().len(), 2 + 2 * good.len());
}

#[test]
fn hostile_lengths_are_refused_before_anything_is_allocated() {
    for len in [17, 1 << 40, u64::MAX - 7, u64::MAX] {
        for start in [
            archive(&[]),
            archive(&[MAGIC]),
            archive(&[MAGIC, b"(", b"type", b"directory", b"entry", b"(", b"name"]),
            archive(&[MAGIC, b"(", b"type", b"symlink", b"target"]),
            archive(&[MAGIC, b"(", b"type", b"regular", b"contents"]),
        ] {
            let bytes = [start, len.to_le_bytes().to_vec()].concat();
            assert!(read_all(&bytes).is_err());
        }
    }
}

#[test]
fn padding_is_zero() {
    let good = whole(&directory(&[entry(b"a", FILE), entry(b"b", LINK)]));
    read_all(&good).unwrap();
    let mut paddings = 0;
    let mut at = 0;
    while at < good.len() {
        let len = u64::from_le_bytes(*good[at..].first_chunk().unwrap());
        at += 8 + usize::try_from(len).unwrap();
        for _ in 0..padding(len) {
            let mut bad = good.clone();
            bad[at] = 1;
            assert!(read_all(&bad).is_err(), "byte {at}");
            paddings += 1;
            at += 1;
        }
    }
    assert!(paddings > 50);
}

#[test]
fn a_truncated_archive_says_so() {
    let good = whole(&directory(&[entry(b"a", FILE), entry(b"b", LINK)]));
    for len in 0..good.len() {
        assert!(read_all(&good[..len]).unwrap_err().is_truncated(), "{len}");
    }
    let mut reader = Reader::new(good.as_slice());
    while !matches!(reader.next().unwrap(), Some(Event::Regular { .. })) {}
    let start = usize::try_from(reader.offset()).unwrap();
    let mut reader = Reader::new(&good[..=start]);
    while !matches!(reader.next().unwrap(), Some(Event::Regular { .. })) {}
    let error = io::read_to_string(reader.content()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(reader.next().unwrap_err().is_truncated());
    assert!(reader.next().unwrap_err().to_string().contains("given up"));
}

#[test]
fn depth_is_limited_and_nothing_recurses() {
    let nested = |depth: usize| {
        let mut strings: Vec<&[u8]> = vec![MAGIC, b"(", b"type", b"directory"];
        for _ in 1..depth {
            strings.extend_from_slice(&[b"entry", b"(", b"name", b"d", b"node", b"(", b"type", b"directory"]);
        }
        for _ in 1..depth {
            strings.extend_from_slice(&[b")", b")"]);
        }
        strings.push(b")");
        archive(&strings)
    };
    assert!(read_all(&nested(2048)).is_ok());
    assert!(read_all(&nested(2049)).unwrap_err().to_string().contains("too many directories"));
    let deep = nested(300_000);
    let mut reader = Reader::new(deep.as_slice()).with_limits(Limits { depth: usize::MAX, ..Limits::LINUX });
    while reader.next().unwrap().is_some() {}
}

#[test]
fn errors_of_the_streams_come_through() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
    assert!(Reader::new(Broken).next().unwrap_err().is_io());
    let mut writer = Writer::new(io::sink());
    let error = writer.regular(false, 1, &mut Broken).unwrap_err();
    assert!(error.is_io());
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::PermissionDenied);
    let mut small = [0_u8; 30];
    let mut full = Writer::new(small.as_mut_slice());
    assert!(full.directory().unwrap_err().is_io());
}

#[test]
fn events_that_make_no_tree_are_errors() {
    type Steps<'a> = &'a dyn Fn(&mut Writer<io::Sink>) -> Result<(), Error>;
    let check = |good: Steps, bad: Option<Steps>| {
        let mut writer = Writer::new(io::sink());
        good(&mut writer).unwrap();
        if let Some(bad) = bad {
            assert!(bad(&mut writer).is_err());
        }
        assert!(writer.finish().is_err());
    };
    let nothing: Steps = &|_| Ok(());
    check(nothing, None);
    check(nothing, Some(&Writer::end));
    check(nothing, Some(&|writer| writer.entry(b"a")));
    check(nothing, Some(&|writer| writer.content(b"x")));
    check(nothing, Some(&|writer| writer.at_path(b"a")));
    check(nothing, Some(&|writer| writer.begin_regular(false, u64::MAX)));
    check(nothing, Some(&|writer| writer.regular(false, 3, &mut b"hi".as_slice())));
    check(&|writer| writer.file(false, b""), Some(&Writer::directory));
    check(&|writer| writer.begin_regular(false, 2), None);
    check(&|writer| writer.begin_regular(false, 2), Some(&|writer| writer.content(b"123")));
    check(&|writer| writer.begin_regular(false, 2), Some(&Writer::end));
    check(&Writer::directory, Some(&Writer::directory));
    check(&Writer::directory, Some(&|writer| writer.at_path(b"a/b")));
    check(&Writer::directory, Some(&|writer| writer.at_path(b"")));
    let in_entry: Steps = &|writer| {
        writer.directory()?;
        writer.at_path(b"a")
    };
    check(in_entry, None);
    check(in_entry, Some(&Writer::end));
    check(in_entry, Some(&|writer| writer.entry(b"b")));
    check(in_entry, Some(&|writer| writer.at_path(b"a/b")));
}

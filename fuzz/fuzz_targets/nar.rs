//! An archive is refused, or comes back byte for byte, whether its files are copied or skipped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rekindle_nix::nar::{Reader, Writer};

fuzz_target!(|archive: &[u8]| {
    let mut writer = Writer::new(Vec::new());
    let copied = Reader::new(archive).copy_to(&mut writer).and_then(|()| writer.finish());

    let mut reader = Reader::new(archive);
    let skipped = loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    assert!(reader.offset() <= archive.len() as u64);
    assert_eq!(copied.is_ok(), skipped);
    if let Ok(copy) = copied {
        assert_eq!(copy, archive);
    }
});

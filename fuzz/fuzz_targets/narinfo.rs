//! The texts of a binary cache are refused, or mean the same when they are written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rekindle_nix::{CacheInfo, NarInfo, StoreDir};

fuzz_target!(|text: &[u8]| {
    let dir = StoreDir::default();
    if let Ok(info) = NarInfo::parse(&dir, text) {
        let again = info.to_text(&dir);
        assert_eq!(NarInfo::parse(&dir, again.as_bytes()).expect("it was written here"), info);
        assert_eq!(info.fingerprint(&dir).lines().count(), 1);
    }
    if let Ok(info) = CacheInfo::parse(text) {
        let again = info.to_text();
        assert_eq!(CacheInfo::parse(again.as_bytes()).expect("it was written here"), info);
    }
});

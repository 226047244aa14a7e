//! A derivation's text is refused, or comes back byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rekindle_nix::{StoreDir, aterm};

fuzz_target!(|text: &[u8]| {
    let dir = StoreDir::default();
    let name = "x".parse().expect("one letter is a name");
    if let Ok(derivation) = aterm::parse(&dir, &name, text) {
        assert_eq!(aterm::write(&derivation, &dir), text);
        derivation.kind().expect("the parser takes only derivations that are possible");
    }
});

use proptest::prelude::*;

use super::*;

const FULL: &str = "\
StorePath: /nix/store/m0iyz1rzcgxw68h6skk8b9sg0p0napwc-foo.txt
URL: nar/1c5xas6l8qgbylr0v5jpp5h7bzkk4z9n67dls49wb0vg0yiyclfi.nar.zst
Compression: zstd
FileHash: sha256:1c5xas6l8qgbylr0v5jpp5h7bzkk4z9n67dls49wb0vg0yiyclfi
FileSize: 99
NarHash: sha256:1c5xas6l8qgbylr0v5jpp5h7bzkk4z9n67dls49wb0vg0yiyclfi
NarSize: 1064
References: 4c6wsvi6cnq8h7ibg70pv68bi43y92xs-f n0zijngj1hx3b6kwfcsahzjmfdhb8y1j-tree
Deriver: g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo.drv
CA: text:sha256:1c5xas6l8qgbylr0v5jpp5h7bzkk4z9n67dls49wb0vg0yiyclfi
";

const LEAST: &str = "\
StorePath: /nix/store/m0iyz1rzcgxw68h6skk8b9sg0p0napwc-foo.txt
URL: a.nar
Compression: none
NarHash: sha256:1c5xas6l8qgbylr0v5jpp5h7bzkk4z9n67dls49wb0vg0yiyclfi
NarSize: 1064
References: \n";

fn parse(text: &str) -> Result<NarInfo, Error> {
    NarInfo::parse(&StoreDir::default(), text.as_bytes())
}

#[test]
fn texts_round_trip() {
    for text in [FULL, LEAST] {
        assert_eq!(parse(text).unwrap().to_text(&StoreDir::default()), text);
    }
    let info = parse(FULL).unwrap();
    assert_eq!(info.compression, Compression::Zstd);
    assert_eq!(info.file_size, Some(99));
    assert_eq!(info.references.len(), 2);
}

#[test]
fn what_may_be_left_out_or_written_otherwise() {
    let check = |from: &str, to: &str, expect: &dyn Fn(&NarInfo) -> bool| {
        assert!(LEAST.contains(from));
        assert!(expect(&parse(&LEAST.replace(from, to)).unwrap()), "{to:?}");
    };
    check("Compression: none\n", "", &|info| info.compression == Compression::Bzip2);
    check("none", "lz4", &|info| info.compression == Compression::Other("lz4".to_owned()));
    check("References: \n", "", &|info| info.references.is_empty());
    check("References: \n", "References:\n", &|info| info.references.is_empty());
    check("References: ", "Deriver: unknown-deriver", &|info| info.deriver.is_none());
    check("References: ", "Unknown: x\nUnknown: y\n\nCA: ", &|info| info.content_address.is_none());
}

#[test]
fn corrupt_texts() {
    let check = |from: &str, to: &str, message: &str| {
        assert!(FULL.contains(from));
        let error = parse(&FULL.replacen(from, to, 1)).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    };
    check("StorePath: ", "storePath: ", "StorePath is missing");
    check("URL: ", "Url: ", "URL is missing");
    check("NarHash: ", "narHash: ", "NarHash is missing");
    check("NarSize: ", "narSize: ", "NarSize is missing");
    check("StorePath: /nix", "StorePath: /gnu", "line 1: invalid StorePath");
    check("URL: nar/", "URL: na r/", "line 2: invalid URL");
    check("NarHash: sha256:1c5x", "NarHash: sha256:zzzz", "line 6: invalid NarHash");
    check("NarHash: sha256:1c5x", "NarHash: md5:1c5x", "line 6: invalid NarHash");
    check("NarSize: 1064", "NarSize: 0", "line 7: invalid NarSize");
    check("NarSize: 1064", "NarSize: +1", "line 7: invalid NarSize");
    check("NarSize: 1064", "NarSize: 18446744073709551616", "line 7: invalid NarSize");
    check("NarSize: 1064", "NarSize: 1064\r", "line 7: invalid NarSize");
    check("References: ", "References: x ", "line 8: invalid References");
    check("Deriver: g1w7", "Deriver: /nix", "line 9: invalid Deriver");
    check("CA: text", "CA: txet", "line 10: invalid CA");
    check("CA: text", "References: \nCA: text", "line 10: there is a References already");
    check("FileSize: 99", "FileSize", "line 5: it is not of the form");
    check("Deriver:", "Sig: x\nDeriver:", "line 9: invalid Sig");
}

#[test]
fn signatures_speak_for_the_content() {
    let dir = StoreDir::default();
    let key = SecretKey::from_seed("test-1", &[1; 32]).unwrap();
    let mut info = parse(FULL).unwrap();
    let keys = [key.public_key()];
    assert!(!info.is_signed_by(&dir, &keys));
    info.sign(&dir, &key);
    info.sign(&dir, &key);
    assert_eq!(info.signatures.len(), 1);
    assert!(info.is_signed_by(&dir, &keys));
    assert_eq!(
        info.fingerprint(&dir),
        "1;/nix/store/m0iyz1rzcgxw68h6skk8b9sg0p0napwc-foo.txt;\
         sha256:1c5xas6l8qgbylr0v5jpp5h7bzkk4z9n67dls49wb0vg0yiyclfi;1064;\
         /nix/store/4c6wsvi6cnq8h7ibg70pv68bi43y92xs-f,/nix/store/n0zijngj1hx3b6kwfcsahzjmfdhb8y1j-tree"
    );
    let again = parse(&info.to_text(&dir)).unwrap();
    assert_eq!(again, info);
    let repacked = NarInfo { compression: Compression::None, ..again };
    assert!(repacked.is_signed_by(&dir, &keys));
    for other in [
        NarInfo { nar_size: 1065, ..repacked.clone() },
        NarInfo { references: BTreeSet::new(), ..repacked.clone() },
        NarInfo { store_path: "m0iyz1rzcgxw68h6skk8b9sg0p0napwc-foo.txs".parse().unwrap(), ..repacked },
    ] {
        assert!(!other.is_signed_by(&dir, &keys));
    }
}

#[test]
fn cache_info() {
    let check = |text: &str, want_mass_query: bool, priority: Option<u32>| {
        let info = CacheInfo::parse(text.as_bytes()).unwrap();
        assert_eq!(info, CacheInfo { store_dir: StoreDir::default(), want_mass_query, priority });
        assert_eq!(CacheInfo::parse(info.to_text().as_bytes()).unwrap(), info);
    };
    check("StoreDir: /nix/store\n", false, None);
    check("comment\nStoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n", true, Some(40));
    check("StoreDir: /nix/store\nWantMassQuery: 0\nOther: x", false, None);
    for text in ["", "StoreDir: nix\n", "StoreDir: /nix/store\nPriority: x\n", "StoreDir: /a\nStoreDir: /b\n"]
    {
        assert!(CacheInfo::parse(text.as_bytes()).is_err(), "{text:?}");
    }
}

fn any_path() -> impl Strategy<Value = StorePath> {
    "[0-9a-d]{32}-[a-zA-Z0-9+_?=][a-zA-Z0-9+._?=-]{0,20}".prop_map(|path| path.parse().unwrap())
}

fn any_hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash::from_sha256)
}

prop_compose! {
    fn any_info()(
        store_path in any_path(),
        url in "[a-z0-9/.?=]{1,40}",
        compression in prop_oneof![
            Just(Compression::None),
            Just(Compression::Xz),
            Just(Compression::Other("lzip".to_owned())),
        ],
        file_hash in prop::option::of(any_hash()),
        file_size: Option<u64>,
        nar_hash in any_hash(),
        nar_size in 1..u64::MAX,
        references in prop::collection::btree_set(any_path(), 0..4),
        deriver in prop::option::of(any_path()),
        keys in prop::collection::vec("[a-z.0-9-]{1,10}", 0..3),
        address in prop::option::of(any_hash()),
    ) -> NarInfo {
        let signatures =
            keys.iter().map(|name| SecretKey::from_seed(name, &[3; 32]).unwrap().sign(b"")).collect();
        let content_address = address
            .map(|hash| ContentAddress::new(crate::ContentMethod::Recursive, hash).unwrap());
        NarInfo {
            store_path, url, compression, file_hash, file_size, nar_hash, nar_size, references, deriver,
            signatures, content_address,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_description_round_trips(info in any_info()) {
        let dir = StoreDir::default();
        let text = info.to_text(&dir);
        prop_assert_eq!(NarInfo::parse(&dir, text.as_bytes()).unwrap(), info);
    }

    #[test]
    fn damaged_texts_never_make_it_panic(at in 0..FULL.len(), byte: u8, len in 0..FULL.len()) {
        let dir = StoreDir::default();
        let mut text = FULL.as_bytes().to_vec();
        text[at] = byte;
        text.truncate(len.max(at + 1));
        let _ = CacheInfo::parse(&text);
        if let Ok(info) = NarInfo::parse(&dir, &text) {
            let again = info.to_text(&dir);
            prop_assert_eq!(NarInfo::parse(&dir, again.as_bytes()).unwrap(), info);
        }
    }
}

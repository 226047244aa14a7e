use proptest::prelude::*;

use super::*;
use crate::hash::HashAlgo;

fn name(text: &str) -> StorePathName {
    StorePathName::new(text).unwrap()
}

#[test]
fn paths_that_real_nix_gave() {
    let dir = StoreDir::default();
    let check = |path: Result<StorePath, Error>, base_name: &str| {
        assert_eq!(path.unwrap().base_name(), base_name);
    };
    let hello = Hash::sha256(b"hello");
    check(dir.text_path(&name("foo.txt"), &hello, []), "m0iyz1rzcgxw68h6skk8b9sg0p0napwc-foo.txt");
    let flat = ContentAddress::new(ContentMethod::Flat, hello).unwrap();
    check(dir.fixed_output_path(&name("f"), &flat), "4c6wsvi6cnq8h7ibg70pv68bi43y92xs-f");
    let nar: Hash = "sha256:1c5xas6l8qgbylr0v5jpp5h7bzkk4z9n67dls49wb0vg0yiyclfi".parse().unwrap();
    let tree = "n0zijngj1hx3b6kwfcsahzjmfdhb8y1j-tree";
    check(dir.source_path(&name("tree"), &nar, [], false), tree);
    let recursive = ContentAddress::new(ContentMethod::Recursive, nar).unwrap();
    check(dir.fixed_output_path(&name("tree"), &recursive), tree);
    let text = ContentAddress::new(ContentMethod::Text, hello).unwrap();
    check(dir.fixed_output_path(&name("foo.txt"), &text), "m0iyz1rzcgxw68h6skk8b9sg0p0napwc-foo.txt");
}

#[test]
fn the_order_of_references_does_not_matter() {
    let dir = StoreDir::default();
    let [a, b]: [StorePath; 2] =
        ["4c6wsvi6cnq8h7ibg70pv68bi43y92xs-f", "n0zijngj1hx3b6kwfcsahzjmfdhb8y1j-tree"]
            .map(|path| path.parse().unwrap());
    let hash = Hash::sha256(b"");
    let path = |references: &[&StorePath]| {
        dir.source_path(&name("x"), &hash, references.iter().copied(), false).unwrap()
    };
    assert_eq!(path(&[&a, &b]), path(&[&b, &a, &b]));
    assert_ne!(path(&[&a, &b]), path(&[&a]));
    assert_ne!(path(&[&a]), dir.source_path(&name("x"), &hash, [&a], true).unwrap());
}

#[test]
fn a_store_path_needs_sha256() {
    let md5 = HashAlgo::Md5.digest(b"");
    assert!(StoreDir::default().text_path(&name("x"), &md5, []).is_err());
    assert!(ContentAddress::new(ContentMethod::Text, md5).is_err());
}

#[test]
fn parts_of_a_path() {
    let dir = StoreDir::default();
    let path = dir.parse(b"/nix/store/m0iyz1rzcgxw68h6skk8b9sg0p0napwc-foo.txt.drv").unwrap();
    assert_eq!(path.hash_part(), "m0iyz1rzcgxw68h6skk8b9sg0p0napwc");
    assert_eq!(path.hash_part().as_bytes(), path.hash_part_bytes());
    assert_eq!(path.name(), "foo.txt.drv");
    assert_eq!(path.drv_name(), Some(name("foo.txt")));
    assert_eq!(dir.display(&path), "/nix/store/m0iyz1rzcgxw68h6skk8b9sg0p0napwc-foo.txt.drv");
    assert_eq!(StorePath::new(&path.digest(), &name(path.name())), path);
    let (inner, rest) = dir.parse_prefix(b"/nix/store/m0iyz1rzcgxw68h6skk8b9sg0p0napwc-a/bin/x").unwrap();
    assert_eq!((inner.name(), rest), ("a", &b"/bin/x"[..]));
    assert!(!inner.is_derivation());
    assert!("m0iyz1rzcgxw68h6skk8b9sg0p0napwc-.drv".parse::<StorePath>().unwrap().drv_name().is_none());
}

#[test]
fn refused_paths() {
    let dir = StoreDir::default();
    for path in [
        "",
        "/",
        "/nix/store",
        "/nix/store/",
        "/nix/storem0iyz1rzcgxw68h6skk8b9sg0p0napwc-a",
        "nix/store/m0iyz1rzcgxw68h6skk8b9sg0p0napwc-a",
        "/nix/store//m0iyz1rzcgxw68h6skk8b9sg0p0napwc-a",
        "/nix/store/../store/m0iyz1rzcgxw68h6skk8b9sg0p0napwc-a",
        "/nix/store/m0iyz1rzcgxw68h6skk8b9sg0p0napwc",
        "/nix/store/m0iyz1rzcgxw68h6skk8b9sg0p0napwc-",
        "/nix/store/m0iyz1rzcgxw68h6skk8b9sg0p0napwcxa",
        "/nix/store/m0iyz1rzcgxw68h6skk8b9sg0p0napw-aa",
        "/nix/store/e0iyz1rzcgxw68h6skk8b9sg0p0napwc-a",
        "/nix/store/M0IYZ1RZCGXW68H6SKK8B9SG0P0NAPWC-a",
        "/nix/store/m0iyz1rzcgxw68h6skk8b9sg0p0napwc-a/",
        "/nix/store/m0iyz1rzcgxw68h6skk8b9sg0p0napwc-a b",
        "/nix/store/m0iyz1rzcgxw68h6skk8b9sg0p0napwc-..",
    ] {
        assert!(dir.parse(path.as_bytes()).is_err(), "{path}");
    }
}

#[test]
fn names() {
    let check = |text: &str, valid: bool| {
        assert_eq!(StorePathName::new(text).is_ok(), valid, "{text:?}");
    };
    for text in ["a", "A+-._?=9", ".a", "..a", "...", ".a-", "-", "=", &"x".repeat(211)] {
        check(text, true);
    }
    for text in ["", ".", "..", ".-", "..-", ".-a", "..-a", "a/b", "a b", "a\0", "ä", "a~", &"x".repeat(212)]
    {
        check(text, false);
    }
    assert!(name(&"x".repeat(208)).with_suffix(".drv").is_err());
}

#[test]
fn store_directories() {
    let check = |dir: &[u8], valid: bool| {
        assert_eq!(StoreDir::new(dir).is_ok(), valid, "{}", dir.escape_ascii());
    };
    for dir in [&b"/nix/store"[..], b"/s", "/t\u{e9}/x y".as_bytes()] {
        check(dir, true);
    }
    for dir in
        [&b""[..], b"/", b"nix", b"/nix/", b"//nix", b"/nix//store", b"/a/./b", b"/a/..", b"/\xff", b"/a\n"]
    {
        check(dir, false);
    }
    let elsewhere = StoreDir::new(b"/s").unwrap();
    let hash = Hash::sha256(b"hello");
    let path = elsewhere.text_path(&name("foo.txt"), &hash, []).unwrap();
    assert_ne!(path, StoreDir::default().text_path(&name("foo.txt"), &hash, []).unwrap());
}

proptest! {
    #[test]
    fn paths_are_ordered_by_their_bytes(digests: [[u8; 20]; 2], names in ["[a-z0-9.]{1,4}", "[a-z0-9.]{1,4}"]) {
        prop_assume!(names.iter().all(|text| StorePathName::new(text).is_ok()));
        let [a, b] = [0, 1].map(|at| StorePath::new(&digests[at], &name(&names[at])));
        prop_assert_eq!(a.cmp(&b), a.base_name().as_bytes().cmp(b.base_name().as_bytes()));
        prop_assert_eq!(a.digest(), digests[0]);
        prop_assert_eq!(&StorePath::from_base_name(a.base_name().as_bytes()).unwrap(), &a);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let dir = StoreDir::default();
        let _ = (StorePath::from_base_name(&bytes), dir.parse(&bytes), StoreDir::new(&bytes));
        let _ = dir.parse_prefix(&[b"/nix/store/", bytes.as_slice()].concat());
    }
}

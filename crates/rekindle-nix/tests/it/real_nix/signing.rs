//! Binary caches: what real Nix writes is understood here, and what is written here real Nix takes.

use std::collections::BTreeSet;
use std::fs;

use rekindle_nix::{
    CacheInfo, Compression, Hash, NarInfo, PublicKey, SecretKey, StoreDir, StorePath, references::Scanner,
};

use super::{RealNix, lines, output, with};
use crate::tree::{self, Node};

fn keys(nix: &RealNix) -> (SecretKey, PublicKey) {
    let mut generate = nix.command("nix-store");
    output(generate.args(["--generate-binary-cache-key", "test.example-1", "secret", "public"]));
    let read = |name: &str| fs::read_to_string(nix.dir().join(name)).unwrap();
    let secret = SecretKey::parse(&read("secret")).unwrap();
    assert_eq!(secret.to_secret_text(), read("secret").trim());
    let public = PublicKey::parse(&read("public")).unwrap();
    assert_eq!(public.to_string(), read("public").trim());
    assert_eq!(secret.public_key(), public);
    (secret, public)
}

#[test]
fn a_cache_that_real_nix_writes() {
    let nix = RealNix::new();
    let dir = StoreDir::default();
    let (secret, public) = keys(&nix);
    tree::traps().make(&nix.dir().join("tree"));
    let expression = r#"
        let text = builtins.toFile "text" "of ${./tree}";
            drv = derivation { name = "d"; system = "x"; builder = "/b"; inherit text; };
        in derivation { name = "e"; system = "x"; builder = "/b"; inherit drv; also = ./tree; }"#;
    let drv = lines(nix.command("nix-instantiate").args(["-E", expression])).remove(0);
    let store_paths = lines(nix.command("nix-store").args(["-qR", &drv]));
    assert_eq!(store_paths.len(), 4);
    output(nix.command("nix").args([
        "store",
        "sign",
        "--key-file",
        "secret",
        "--recursive",
        "--derivation",
        &drv,
    ]));
    for (cache, compression) in [("plain", "none"), ("packed", "xz")] {
        let url = format!("file://{}?compression={compression}", nix.dir().join(cache).display());
        output(nix.command("nix").args(["copy", "--derivation", "--to", &url, &drv]));
    }

    let all: BTreeSet<StorePath> =
        store_paths.iter().map(|path| dir.parse(path.as_bytes()).unwrap()).collect();
    for path in &all {
        let read = |cache: &str| {
            let text = fs::read(nix.dir().join(format!("{cache}/{}.narinfo", path.hash_part()))).unwrap();
            let info = NarInfo::parse(&dir, &text).unwrap();
            assert_eq!(info.to_text(&dir).as_bytes(), text);
            info
        };
        let info = read("plain");
        assert_eq!(&info.store_path, path);
        assert_eq!(info.compression, Compression::None);
        assert!(info.is_signed_by(&dir, std::slice::from_ref(&public)), "{info:?}");
        let mut signed_here = NarInfo { signatures: Vec::new(), ..info.clone() };
        signed_here.sign(&dir, &secret);
        assert_eq!(signed_here.signatures, info.signatures);
        let packed = read("packed");
        assert_eq!(packed.compression, Compression::Xz);
        assert_eq!(packed.fingerprint(&dir), info.fingerprint(&dir));

        let archive = fs::read(nix.dir().join("plain").join(&info.url)).unwrap();
        assert_eq!(Hash::sha256(&archive), info.nar_hash);
        assert_eq!(archive.len() as u64, info.nar_size);
        Node::from_nar(&archive).unwrap();
        let mut scanner = Scanner::new(all.iter().cloned());
        scanner.update(&archive);
        assert_eq!(scanner.found(), info.references);
    }
    let info = CacheInfo::parse(&fs::read(nix.dir().join("plain/nix-cache-info")).unwrap()).unwrap();
    assert_eq!(info.store_dir, dir);
}

#[test]
fn a_cache_that_real_nix_reads() {
    let nix = RealNix::new();
    let dir = StoreDir::default();
    let (secret, public) = keys(&nix);
    let cache = nix.dir().join("cache");
    fs::create_dir(&cache).unwrap();
    let about = CacheInfo { store_dir: dir.clone(), want_mass_query: true, priority: Some(30) };
    fs::write(cache.join("nix-cache-info"), about.to_text()).unwrap();

    let below: StorePath = "0123456789abcdfghijklmnpqrsvwxyz-below".parse().unwrap();
    let above: StorePath = "1123456789abcdfghijklmnpqrsvwxyz-above".parse().unwrap();
    let tree = tree::traps();
    let text = format!("{} and {}", dir.display(&below), dir.display(&above));
    let file = Node::File { executable: true, content: text.into_bytes() };
    let both = BTreeSet::from([below.clone(), above.clone()]);
    for (path, node, references) in [(&below, &tree, BTreeSet::new()), (&above, &file, both)] {
        let archive = node.to_nar();
        let url = format!("{}.nar", path.hash_part());
        fs::write(cache.join(&url), &archive).unwrap();
        let mut info = NarInfo {
            store_path: path.clone(),
            url,
            compression: Compression::None,
            file_hash: None,
            file_size: None,
            nar_hash: Hash::sha256(&archive),
            nar_size: archive.len() as u64,
            references,
            deriver: None,
            signatures: Vec::new(),
            content_address: None,
        };
        info.sign(&dir, &secret);
        fs::write(cache.join(format!("{}.narinfo", path.hash_part())), info.to_text(&dir)).unwrap();
    }

    let copy = |key: &str| {
        let mut copy = nix.command("nix");
        let url = format!("file://{}", cache.display());
        with(&mut copy, &[&"copy", &"--from", &url, &dir.display(&above)]);
        copy.args(["--option", "trusted-public-keys", key]);
        copy
    };
    let other = SecretKey::from_seed(public.name(), &[1; 32]).unwrap().public_key();
    let refused = copy(&other.to_string()).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("signature"));
    output(&mut copy(&public.to_string()));
    for (path, node) in [(&below, &tree), (&above, &file)] {
        let on_disk = nix.store_on_disk().join(path.base_name());
        let archive = output(with(&mut nix.command("nix-store"), &[&"--dump", &on_disk]));
        assert_eq!(&Node::from_nar(&archive).unwrap(), node);
    }
    let referenced = lines(nix.command("nix-store").args(["-q", "--references", &dir.display(&above)]));
    assert_eq!(referenced, [dir.display(&below), dir.display(&above)]);
}

//! Archives, hashes and the paths of what is added to the store.

use rekindle_nix::{
    ContentAddress, ContentMethod, Hash, HashAlgo, StoreDir, StorePathName, base32, nar, rewrite::SelfHasher,
};

use super::{RealNix, lines, output, with};
use crate::tree::{self, Node};

#[test]
fn archives_and_paths_of_trees() {
    let nix = RealNix::new();
    let dir = StoreDir::default();
    let mut trees = tree::samples(tree::any_tree(), 60);
    trees.push(tree::traps());
    let mut paths = Vec::new();
    for (number, tree) in trees.iter().enumerate() {
        let path = nix.dir().join(format!("tree-{number}"));
        tree.make(&path);
        let theirs = output(with(&mut nix.command("nix-store"), &[&"--dump", &path]));
        assert!(tree.to_nar() == theirs, "{tree:?}");
        assert_eq!(&Node::from_nar(&theirs).unwrap(), tree);
        let mut copy = nar::Writer::new(Vec::new());
        nar::Reader::new(theirs.as_slice()).copy_to(&mut copy).unwrap();
        assert!(copy.finish().unwrap() == theirs);
        paths.push(path);
    }

    let hashes = lines(nix.command("nix-hash").args(["--type", "sha256", "--base32"]).args(&paths));
    let added = lines(nix.command("nix-store").arg("--add").args(&paths));
    assert_eq!((hashes.len(), added.len()), (trees.len(), trees.len()));
    for (number, tree) in trees.iter().enumerate() {
        let hash = Hash::sha256(&tree.to_nar());
        assert_eq!(hash.to_nix32(), hashes[number]);
        let name = StorePathName::new(&format!("tree-{number}")).unwrap();
        assert_eq!(dir.display(&dir.source_path(&name, &hash, [], false).unwrap()), added[number]);
    }
}

/// What Nix unpacks of an archive of ours is the tree again.
#[test]
fn real_nix_unpacks_our_archives() {
    use std::io::Write;
    use std::process::Stdio;

    let nix = RealNix::new();
    for (number, tree) in tree::samples(tree::any_tree(), 20).iter().chain([&tree::traps()]).enumerate() {
        let path = nix.dir().join(number.to_string());
        let mut restore = with(&mut nix.command("nix-store"), &[&"--restore", &path])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        restore.stdin.take().unwrap().write_all(&tree.to_nar()).unwrap();
        assert!(restore.wait().unwrap().success());
        let again = output(with(&mut nix.command("nix-store"), &[&"--dump", &path]));
        assert_eq!(&Node::from_nar(&again).unwrap(), tree);
    }
}

#[test]
fn fixed_content_of_every_algorithm() {
    let nix = RealNix::new();
    let dir = StoreDir::default();
    let tree = tree::traps();
    tree.make(&nix.dir().join("tree"));
    std::fs::write(nix.dir().join("file"), "hello").unwrap();
    for algo in HashAlgo::ALL {
        let check = |name: &str, method: ContentMethod, hash: Hash, args: &[&str]| {
            let address = ContentAddress::new(method, hash).unwrap();
            let path = dir.fixed_output_path(&StorePathName::new(name).unwrap(), &address).unwrap();
            let mut add = nix.command("nix-store");
            let theirs = lines(add.arg("--add-fixed").args(args).args([algo.name(), name]));
            assert_eq!(theirs, [dir.display(&path)]);
            let info = output(nix.command("nix").args(["path-info", "--json", &theirs[0]]));
            let info = String::from_utf8(info).unwrap();
            assert!(info.contains(&format!("\"ca\":\"{address}\"")), "{info}");
        };
        check("file", ContentMethod::Flat, algo.digest(b"hello"), &[]);
        check("tree", ContentMethod::Recursive, algo.digest(&tree.to_nar()), &["--recursive"]);
    }
}

#[test]
fn every_way_to_write_a_hash() {
    let nix = RealNix::new();
    for algo in HashAlgo::ALL {
        for content in [&b""[..], b"abc", b"\xff\0"] {
            let hash = algo.digest(content);
            let to = |base: &str, text: &str| {
                lines(nix.command("nix").args(["hash", base, "--type", algo.name(), text])).remove(0)
            };
            let base32 = to("to-base32", &hash.to_hex());
            assert_eq!(base32, hash.to_nix32());
            assert_eq!(base32::decode(base32.as_bytes()).unwrap(), hash.digest());
            assert_eq!(to("to-base16", &hash.to_nix32()), hash.to_hex());
            assert_eq!(to("to-sri", &hash.to_nix32()), hash.to_sri());
            let base64 = to("to-base64", &hash.to_hex());
            assert_eq!(Hash::parse_bare(algo, base64.as_bytes()).unwrap(), hash);
        }
    }
}

/// A content-addressed output that refers to itself, built by real Nix in a store that needs no namespaces.
#[test]
fn content_that_refers_to_itself() {
    use std::io::Write;

    let nix = RealNix::new();
    let store = nix.dir().join("store");
    let dir = StoreDir::new(store.to_str().unwrap().as_bytes()).unwrap();
    let expression = r#"
        derivation {
          name = "itself"; system = builtins.currentSystem; builder = "/bin/sh";
          args = [ "-c" "echo $out $out >$out; echo in the middle: $out >>$out; echo $other >>$out" ];
          other = builtins.toFile "other" "x";
          __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256";
        }"#;
    let mut build = nix.command_at(&store, "nix-build");
    let built = lines(build.args(["--no-out-link", "-E", expression])).remove(0);
    let path = dir.parse(built.as_bytes()).unwrap();

    let archive = output(nix.command("nix-store").args(["--dump", &built]));
    let mut hasher = SelfHasher::new(&path);
    hasher.write_all(&archive).unwrap();
    let (hash, count) = hasher.finish();
    assert_eq!(count, 3);
    let text = Hash::sha256(b"x");
    let other = dir.text_path(&"other".parse().unwrap(), &text, []).unwrap();
    assert_eq!(dir.source_path(&"itself".parse().unwrap(), &hash, [&other], true).unwrap(), path);
}

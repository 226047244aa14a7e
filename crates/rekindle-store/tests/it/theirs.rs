//! We take for a store what real Nix writes.

use std::collections::BTreeSet;
use std::path::Path;

use rekindle_nix::StorePath;
use rekindle_store::{GcOptions, Mode, Store};

use crate::nix::Nix;
use crate::sample::{scratch, write_tree};

/// `@whose@` is another for each store: what any process has in its environment stays, and the other tests build, too.
const EXPRESSION: &str = r#"
let
  base = derivation {
    name = "base"; system = builtins.currentSystem; builder = "/bin/sh"; outputs = ["out" "dev"];
    source = ./tree; text = builtins.toFile "text" "some text of @whose@";
    args = ["-c" "echo logged; echo $source $text > $dev; echo $dev $out > $out"];
  };
  fixed = derivation {
    name = "fixed-@whose@"; system = builtins.currentSystem; builder = "/bin/sh";
    args = ["-c" "echo -n hello > $out"];
    outputHashAlgo = "sha256"; outputHashMode = "flat";
    outputHash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
  };
in derivation {
  name = "top"; system = builtins.currentSystem; builder = "/bin/sh";
  inherit base fixed; args = ["-c" "echo $base $fixed > $out"];
}"#;

/// A store that real Nix made, and the path that it built.
fn made_by_nix(dir: &Path) -> (Nix, String) {
    let nix = Nix::on(&dir.join("root"), &dir.join("home"));
    std::fs::create_dir(dir.join("tree")).unwrap();
    write_tree(&dir.join("tree"));
    // The evaluator takes no names that are not UTF-8, and copies no others.
    let whose: String =
        dir.file_name().unwrap().to_str().unwrap().chars().filter(char::is_ascii_alphanumeric).collect();
    std::fs::write(dir.join("tree/whose"), &whose).unwrap();
    std::fs::write(dir.join("top.nix"), EXPRESSION.replace("@whose@", &whose)).unwrap();
    nix.run("nix-store", &["--add", dir.join("tree").to_str().unwrap()]);
    let drv = nix.lines("nix-instantiate", &[dir.join("top.nix").to_str().unwrap()]).remove(0);
    let link = dir.join("result");
    let built =
        nix.lines("nix-store", &["--realise", &drv, "--add-root", link.to_str().unwrap(), "--indirect"]);
    assert_eq!(built.len(), 1);
    let out = nix.lines("nix-store", &["-q", "--outputs", &drv]).remove(0);
    (nix, out)
}

#[test]
fn all_of_it_is_understood() {
    let dir = scratch();
    let (nix, out) = made_by_nix(dir.path());
    for mode in [Mode::ReadOnly, Mode::ReadWrite] {
        let store = Store::open(&dir.path().join("root"), mode).unwrap();
        let parse = |lines: Vec<String>| -> BTreeSet<StorePath> {
            lines.iter().map(|line| store.store_dir().parse(line.as_bytes()).unwrap()).collect()
        };
        let out = store.store_dir().parse(out.as_bytes()).unwrap();
        let everything = store.all_valid().unwrap();
        assert!(everything.len() >= 8, "{everything:?}");
        for path in &everything {
            let info = store.require(path).unwrap();
            let query = |what| nix.lines("nix-store", &["-q", what, &store.store_dir().display(path)]);
            assert_eq!(info.references, parse(query("--references")));
            assert_eq!(store.referrers(path).unwrap(), parse(query("--referrers")));
            assert_eq!([info.nar_hash.to_string()], query("--hash")[..]);
            assert_eq!([info.nar_size.unwrap().to_string()], query("--size")[..]);
            if path.is_derivation() {
                let outputs: BTreeSet<_> = store.derivation_outputs(path).unwrap().into_values().collect();
                assert_eq!(outputs, parse(query("--outputs")));
                assert_eq!(
                    store.read_derivation(path).unwrap().references(),
                    info.references.iter().collect()
                );
            }
        }
        let requisites = nix.lines("nix-store", &["-q", "--requisites", &store.store_dir().display(&out)]);
        assert_eq!(store.closure([&out]).unwrap(), parse(requisites));
        assert_eq!(store.verify(true).unwrap(), []);

        let dead = store.gc(GcOptions { dry_run: true, max_freed: None }, &mut || {}).unwrap();
        assert_eq!(
            dead.deleted.iter().cloned().collect::<BTreeSet<_>>(),
            parse(nix.lines("nix-store", &["--gc", "--print-dead"]))
        );

        let base = everything.iter().find(|path| path.name() == "base.drv").unwrap();
        assert_eq!(store.read_log(base).unwrap().unwrap(), b"logged\n");
    }
}

#[test]
fn roots_are_followed_as_nix_does() {
    let dir = scratch();
    let (_, out) = made_by_nix(dir.path());
    let store = Store::open(&dir.path().join("root"), Mode::ReadWrite).unwrap();
    let out = store.store_dir().parse(out.as_bytes()).unwrap();
    let roots: Vec<_> = store.roots().unwrap().into_iter().collect();
    assert_eq!(roots.len(), 1);
    assert_eq!(roots[0].target, out);
    assert_eq!(roots[0].link, dir.path().join("result"));

    std::fs::remove_file(dir.path().join("result")).unwrap();
    assert!(store.roots().unwrap().is_empty());
    store.gc(GcOptions { dry_run: false, max_freed: None }, &mut || {}).unwrap();
    assert_eq!(store.all_valid().unwrap(), BTreeSet::new());
}

#[test]
fn our_collection_leaves_a_store_that_nix_verifies() {
    let dir = scratch();
    let (nix, out) = made_by_nix(dir.path());
    let store = Store::open(&dir.path().join("root"), Mode::ReadWrite).unwrap();
    let out = store.store_dir().parse(out.as_bytes()).unwrap();
    let report = store.gc(GcOptions { dry_run: false, max_freed: None }, &mut || {}).unwrap();
    // The tree was added by hand, and differs from the derivation's only in its origin if at all.
    assert!(report.deleted.iter().all(|path| path.name() == "tree"), "{report:?}");
    assert!(store.is_valid(&out).unwrap());
    assert!(nix.lines("nix-store", &["--gc", "--print-dead"]).is_empty());
    nix.verify();
}

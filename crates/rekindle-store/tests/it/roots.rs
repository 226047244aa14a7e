//! Links of the user's as roots.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use rekindle_nix::Hash;
use rekindle_store::{ErrorKind, GcOptions, GcRoot, Store};

use crate::sample::{name, open, sample, scratch};

const ALL: GcOptions = GcOptions { dry_run: false, max_freed: None };

fn links_in_store(store: &Store) -> Vec<PathBuf> {
    let mut links = Vec::new();
    for dir in ["auto", "rekindle"] {
        let dir = store.root().join("nix/var/nix/gcroots").join(dir);
        links.extend(fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()));
    }
    links
}

#[test]
fn a_link_works_without_nix_and_is_a_root_for_both() {
    let dir = scratch();
    let sample = sample(dir.path());
    let store = &sample.store;
    assert!(fs::read_to_string(sample.link.join("bin/me")).unwrap().contains(sample.out.base_name()));
    assert_eq!(
        store.roots().unwrap(),
        [GcRoot { target: sample.out.clone(), link: sample.link.clone() }].into()
    );
    let links = links_in_store(store);
    assert_eq!(links.len(), 2);
    assert_eq!(links[0].file_name(), links[1].file_name());
    assert_eq!(fs::read_link(&links[0]).unwrap(), sample.link);
    assert_eq!(fs::read_link(&links[1]).unwrap().to_str().unwrap(), sample.shown(&sample.out));
}

#[test]
fn a_link_that_is_gone_or_points_elsewhere_is_no_root() {
    let dir = scratch();
    let sample = sample(dir.path());
    let store = &sample.store;
    let moved = |change: &dyn Fn()| {
        store.add_root(&sample.link, &sample.out).unwrap();
        assert_eq!(links_in_store(store).len(), 2);
        change();
        assert!(store.roots().unwrap().is_empty());
        store.gc(ALL, &mut || {}).unwrap();
        assert!(links_in_store(store).is_empty());
        let _ = fs::remove_file(&sample.link);
    };
    moved(&|| fs::remove_file(&sample.link).unwrap());
    moved(&|| {
        fs::remove_file(&sample.link).unwrap();
        symlink("/nowhere", &sample.link).unwrap();
    });
    moved(&|| {
        fs::remove_file(&sample.link).unwrap();
        fs::write(&sample.link, b"a file").unwrap();
    });
}

#[test]
fn real_nix_took_the_stale_link_and_we_take_the_rest() {
    let dir = scratch();
    let sample = sample(dir.path());
    fs::remove_file(&sample.link).unwrap();
    // What its collection does: it removes the indirect root.
    fs::remove_file(&links_in_store(&sample.store)[0]).unwrap();
    sample.store.gc(ALL, &mut || {}).unwrap();
    assert!(links_in_store(&sample.store).is_empty());
}

#[test]
fn a_link_follows_its_newest_target() {
    let dir = scratch();
    let sample = sample(dir.path());
    sample.store.add_root(&sample.link, &sample.source).unwrap();
    assert_eq!(fs::read_link(&sample.link).unwrap(), sample.store.real_path(&sample.source));
    let roots = sample.store.roots().unwrap();
    assert_eq!(roots.len(), 1);
    assert_eq!(roots.first().unwrap().target, sample.source);
    assert_eq!(links_in_store(&sample.store).len(), 2);
    // Nothing is left of the way there.
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.as_encoded_bytes().starts_with(b".")), "{names:?}");
}

#[test]
fn nothing_else_is_overwritten() {
    let dir = scratch();
    let sample = sample(dir.path());
    let before = links_in_store(&sample.store);
    let check = |name: &str| {
        let error = sample.store.add_root(&dir.path().join(name), &sample.out).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(links_in_store(&sample.store), before);
    };
    fs::write(dir.path().join("file"), b"precious").unwrap();
    check("file");
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"precious");
    fs::create_dir(dir.path().join("directory")).unwrap();
    check("directory");
    symlink("/somewhere/else", dir.path().join("link")).unwrap();
    check("link");
    check("file/below");
}

#[test]
fn only_what_is_valid_can_be_kept() {
    let dir = scratch();
    let store = open(&dir.path().join("root"));
    let absent = store.store_dir().text_path(&name("absent"), &Hash::sha256(b""), []).unwrap();
    let link = dir.path().join("result");
    let error = store.add_root(&link, &absent).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotValid);
    assert!(link.symlink_metadata().is_err());
    assert!(links_in_store(&store).is_empty());
}
